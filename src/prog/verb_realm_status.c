/* prog/verb_realm_status.c - realm status: what a running hawser-realmd says of itself. */
#include "prog/json_client.h"

#include <stdio.h>

#define REALMD_SOCKET "/run/hawser-realm/realmd.sock" /* the default of hawser-realmd's configuration */

static void tell_follow(const json_t *f)
{
    bool up = json_is_true(json_object_get(f, "up"));

    if (!json_is_object(f))
        return;
    if (strcmp(json_text(f, "mode"), "cache") == 0) {
        printf("follows   cache, %s, %.0f subjects, %.0f questions\n",
               up ? "up" : "nobody answers: what is known serves on", json_number(f, "subjects"),
               json_number(f, "asked"));
        return;
    }
    printf("follows   %s, %s, %s", json_text(f, "mode"), up ? "up" : "nobody answers",
           json_is_true(json_object_get(f, "caught_up")) ? "caught up" : "lookups are put off");
    if (json_is_number(json_object_get(f, "behind_s")))
        printf(", behind by %.1f s at most", json_number(f, "behind_s"));
    printf(", %.0f records taken\n", json_number(f, "taken"));
}

static void tell_log(const json_t *l)
{
    const char *fault = json_text(l, "fault");

    if (!json_is_object(l))
        return;
    printf("log       %.0f entries of %.0f, %s\n", json_number(l, "entries"), json_number(l, "there"),
           strcmp(fault, "sound") != 0                     ? fault
           : json_is_true(json_object_get(l, "caught_up")) ? "caught up"
                                                           : "nobody is answered");
}

int verb_realm_status(const struct verb *v, const char *socket, bool json)
{
    CLEANUP(cleanup_json) json_t *reply = NULL;
    const json_t *parent, *follow, *log;
    bool degraded;
    int r = daemon_call(v, socket ? socket : REALMD_SOCKET, json_pack("{s:s}", "verb", "status"), &reply);

    if (r != EXIT_DONE)
        return r;
    parent = json_object_get(reply, "parent");
    follow = json_object_get(reply, "follow");
    log = json_object_get(reply, "log");
    degraded = strcmp(json_text(reply, "store"), "failed") == 0 || *json_text(reply, "folder_error") ||
               (json_is_object(parent) && strcmp(json_text(parent, "state"), "registered") != 0) ||
               (json_is_object(follow) && !json_is_true(json_object_get(follow, "caught_up"))) ||
               (json_is_object(log) && !json_is_true(json_object_get(log, "caught_up")));
    if (json) {
        json_print(reply);
        return degraded ? EXIT_DEGRADED : EXIT_DONE;
    }
    printf("realm     %s %s\nnames     %.0f\nbindings  %.0f, %.0f with a lease\nstore     %s\n",
           json_text(reply, "realm"), json_text(reply, "tag"), json_number(reply, "names"),
           json_number(reply, "bindings"), json_number(reply, "live"), json_text(reply, "store"));
    if (*json_text(reply, "folder_error"))
        printf("folder    %s\n", json_text(reply, "folder_error"));
    if (json_is_object(parent))
        printf("parent    %s\n", json_text(parent, "state"));
    tell_follow(follow);
    tell_log(log);
    printf("told      %.0f subscriptions, %.0f notices\n", json_number(reply, "subscriptions"),
           json_number(reply, "notices"));
    return degraded ? EXIT_DEGRADED : EXIT_DONE;
}
