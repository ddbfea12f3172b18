/* prog/realmd_folder.c - the realm's folder: what hawser realm changes in it is followed while the daemon runs.
 *
 * Theory of operation. inotify tells that the folder has changed. The log is read anew, from its beginning, and what
 * stands behind what the manager has already is given to it; a log whose own chain is another one (a change of key, a
 * newer chain from above) is given from the beginning. What cannot be read is told, tried again every 10 s, and what
 * was known stays.
 *
 * Limits: reading verifies the signature of each entry, some 100 us; so 10,000 entries hold the loop for a second. */
#include "prog/realmd.h"

#include "sys/clock.h"

#include <errno.h>
#include <stdio.h>
#include <sys/inotify.h>
#include <syslog.h>
#include <unistd.h>

#define LOOK_AGAIN (10 * SEC) /* chosen */

static void cleanup_realm(struct realm **r)
{
    realm_close(*r);
}

static int failed(struct realmd *d, int r, const char *err, instant now)
{
    if (strcmp(d->folder_error, err) != 0)
        realmd_say(LOG_ERR, "realm error=\"%s\"", err);
    snprintf(d->folder_error, sizeof(d->folder_error), "%s", err);
    d->look_again = now + LOOK_AGAIN;
    return r;
}

/* Its own chain if that is not the one that was read before: 1, 0: the same, or -ENOMEM. */
static int other_chain(struct realmd *d, const struct slice *links, size_t count)
{
    uint8_t bytes[CHAIN_LINKS_MAX * RECORD_BYTES_MAX], *copy;
    size_t len = slices_gather(links, count, bytes, sizeof(bytes));

    if (len == 0) /* never: a chain of realms is as long as that */
        return -EINVAL;
    if (d->chain && len == d->chain_len && memcmp(bytes, d->chain, len) == 0)
        return 0;
    copy = malloc(len);
    if (!copy)
        return -ENOMEM;
    memcpy(copy, bytes, len);
    free(d->chain);
    d->chain = copy;
    d->chain_len = len;
    return 1;
}

static int take_chain(struct realmd *d, const struct realm *r, instant now)
{
    struct slice links[CHAIN_LINKS_MAX];
    size_t count = realm_chain(r, links);
    char err[FILE_ERR], why[RECORD_ERROR_STRLEN], path[PATH_MAX + 16];
    struct record_error e = { 0 };
    struct identity id;
    int got = other_chain(d, links, count);

    if (got <= 0)
        return got;
    d->fed = 0;
    got = manager_set_self(d->manager, links, count, clock_wall_s(), &e);
    if (got < 0) {
        snprintf(err, sizeof(err), "%.300s: the realm's own chain: %s", d->config.directory,
                 got == -EBADMSG ? record_error_format(&e, why) : strerror(-got));
        return failed(d, got, err, now);
    }
    snprintf(path, sizeof(path), "%s/key", d->config.directory);
    got = key_file_read(path, &id, err);
    if (got == 0 && memcmp(id.ed25519, realm_self(r)->key, IDENT_KEY_LEN) != 0) {
        snprintf(err, sizeof(err), "%.240s: not the key of %.240s", path, realm_self(r)->name);
        got = -EINVAL;
    }
    if (got == 0 && memcmp(id.ed25519, d->id.ed25519, IDENT_KEY_LEN) != 0) {
        d->id = id;
        got = realmd_open_exchange(d, now);
        snprintf(err, sizeof(err), "out of memory");
        realmd_say(LOG_NOTICE, "realm name=%s", realm_self(r)->name);
    }
    identity_wipe(&id);
    return got < 0 ? failed(d, got, err, now) : 0;
}

/* What the manager does not have yet. */
static void feed(struct realmd *d, const struct realm *r, instant now)
{
    bool from_start = d->fed == 0;

    for (; d->fed < realm_said_count(r); d->fed++) {
        const struct realm_said *s = realm_said_at(r, d->fed);
        char why[RECORD_ERROR_STRLEN];
        struct record_error e = { 0 };
        int got;

        if (from_start && !s->in_force)
            continue;
        got = manager_take(d->manager, s->record.data, s->record.len, now, &e);
        if (got < 0)
            realmd_say(LOG_ERR, "realm record=%zu type=%s name=%s error=\"%s\"", d->fed, record_type_name(s->type),
                       s->name, got == -EBADMSG ? record_error_format(&e, why) : strerror(-got));
    }
}

static int take_in(struct realmd *d, const struct realm *r, instant now)
{
    int got = take_chain(d, r, now);

    if (got < 0)
        return got;
    feed(d, r, now);
    if (d->entries && d->entries != realm_entries(r))
        realmd_say(LOG_INFO, "realm entries=%llu", (unsigned long long)realm_entries(r));
    d->entries = realm_entries(r);
    d->folder_error[0] = '\0';
    d->look_again = INSTANT_NEVER;
    return 0;
}

int folder_read(struct realmd *d, instant now)
{
    struct realm *r CLEANUP(cleanup_realm) = NULL;
    char err[FILE_ERR];
    int got = realm_open(d->config.directory, false, &r, err);

    d->folder_changed = false;
    return got < 0 ? failed(d, got, err, now) : take_in(d, r, now);
}

int folder_publish(struct realmd *d, const uint8_t *bytes, size_t len, instant now)
{
    struct realm *r CLEANUP(cleanup_realm) = NULL;
    char err[FILE_ERR];
    int got = realm_open(d->config.directory, true, &r, err);

    if (got == 0)
        got = realm_publish(r, bytes, len, err);
    if (got < 0) {
        realmd_say(LOG_WARNING, "publish error=\"%s\"", err);
        return got;
    }
    return take_in(d, r, now);
}

static void on_inotify(uv_poll_t *h, int status, int events)
{
    struct realmd *d = h->data;
    instant now = clock_now();
    char buf[4096] __attribute__((aligned(__alignof__(struct inotify_event))));

    while (read(d->inotify, buf, sizeof(buf)) > 0)
        d->folder_changed = true;
    if (!d->folder_changed)
        return;
    folder_read(d, now);
    realmd_turn(d, now);
}

int folder_watch(struct realmd *d)
{
    int r;

    d->inotify = inotify_init1(IN_NONBLOCK | IN_CLOEXEC);
    if (d->inotify < 0 ||
        inotify_add_watch(d->inotify, d->config.directory, IN_MODIFY | IN_CREATE | IN_MOVED_TO | IN_ATTRIB) < 0) {
        r = -errno;
        realmd_say(LOG_ERR, "realm folder=%s error=%s", d->config.directory, strerror(-r));
        return r;
    }
    r = uv_poll_init(&d->loop, &d->inotify_poll, d->inotify);
    d->inotify_poll.data = d;
    return r == 0 ? uv_poll_start(&d->inotify_poll, UV_READABLE, on_inotify) : r;
}
