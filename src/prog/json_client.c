/* prog/json_client.c - see json_client.h. One connection a question (sys/control.h). */
#include "prog/json_client.h"

#include "base/text.h"
#include "sys/control.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>

/* The names of the sockets in DAEMON_DIR, joined; their number. */
static unsigned list_sockets(struct text *names, char *only, size_t size)
{
    DIR *dir = opendir(DAEMON_DIR);
    struct dirent *e;
    unsigned count = 0;

    while (dir && (e = readdir(dir)) != NULL) {
        size_t len = strlen(e->d_name);

        if (len < 6 || strcmp(e->d_name + len - 5, ".sock") != 0)
            continue;
        text_add(names, "%s%.*s", count ? ", " : "", (int)len - 5, e->d_name);
        snprintf(only, size, DAEMON_DIR "/%s", e->d_name);
        count++;
    }
    if (dir)
        closedir(dir);
    return count;
}

int daemon_find(const struct verb *v, const char *name, char *path, size_t size)
{
    const char *env = getenv("HAWSER_CONTROL");
    char names_buf[256];
    struct text names;
    unsigned count;

    if (!name && env && *env)
        name = env;
    if (name) {
        snprintf(path, size, strchr(name, '/') ? "%s" : DAEMON_DIR "/%s.sock", name);
        return EXIT_DONE;
    }
    text_init(&names, names_buf, sizeof(names_buf));
    count = list_sockets(&names, path, size);
    if (count == 0)
        return verb_fail(v, "no daemon is running (found no socket in " DAEMON_DIR ")");
    if (count > 1)
        return verb_misused(v, "found %u tunnels (%s), expected the name of one", count, names_buf);
    return EXIT_DONE;
}

int daemon_ask(const char *path, json_t *question, json_t **ret)
{
    CLEANUP(cleanup_free) char *line = json_dumps(question, JSON_COMPACT);
    CLEANUP(cleanup_free) char *reply = malloc(CONTROL_PENDING_MAX + 1);
    json_t *doc;
    int r;

    if (!line || !reply)
        return -ENOMEM;
    r = control_call(path, line, reply, CONTROL_PENDING_MAX + 1, DAEMON_TIMEOUT);
    if (r < 0)
        return r;
    doc = json_loads(reply, 0, NULL);
    if (!json_is_object(doc)) {
        json_decref(doc);
        return -EBADMSG;
    }
    *ret = doc;
    return 0;
}

int daemon_call(const struct verb *v, const char *name, json_t *question, json_t **ret)
{
    CLEANUP(cleanup_json) json_t *q = question;
    CLEANUP(cleanup_json) json_t *reply = NULL;
    char path[256];
    int r = daemon_find(v, name, path, sizeof(path));

    if (r != EXIT_DONE)
        return r;
    r = daemon_ask(path, q, &reply);
    if (r == -ENOENT || r == -ECONNREFUSED)
        return verb_fail(v, "no daemon is running (nobody answers at %s)", path);
    if (r == -EACCES || r == -EPERM)
        return verb_fail(v, "no permission to use %s (run as root)", path);
    if (r == -EBADMSG)
        return verb_fail(v, "the daemon at %s gave no JSON object", path);
    if (r < 0)
        return verb_fail(v, "%s: %s", path, strerror(-r));
    if (!json_is_true(json_object_get(reply, "ok")))
        return verb_fail(v, "%s", *json_text(reply, "error") ? json_text(reply, "error") : "refused by the daemon");
    *ret = reply;
    reply = NULL;
    return EXIT_DONE;
}

const char *json_text(const json_t *o, const char *key)
{
    const char *s = json_string_value(json_object_get(o, key));

    return s ? s : "";
}

double json_number(const json_t *o, const char *key)
{
    return json_number_value(json_object_get(o, key));
}

json_t *json_words(const char *text)
{
    json_t *j = json_string(text);

    return j ? j : json_null();
}

void json_print(const json_t *j)
{
    json_dumpf(j, stdout, JSON_COMPACT);
    putchar('\n');
}
