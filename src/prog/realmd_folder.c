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
#define CHAIN_BYTES_MAX (CHAIN_LINKS_MAX * RECORD_BYTES_MAX)

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

/* The realm's own chain, as bytes. Their length; 0: never, a chain of realms is as long as that. */
static size_t chain_bytes(const struct realm *r, uint8_t out[CHAIN_BYTES_MAX])
{
    struct slice links[CHAIN_LINKS_MAX];
    size_t count = realm_chain(r, links);

    return slices_gather(links, count, out, CHAIN_BYTES_MAX);
}

static bool has_chain(const struct realmd *d, const uint8_t *bytes, size_t len)
{
    return d->chain && len == d->chain_len && memcmp(bytes, d->chain, len) == 0;
}

/* The key that the realm's log names, in key; or in key.next, when who changed it has not renamed that yet. */
static int read_key(const struct realmd *d, const struct realm *r, struct identity *ret, char err[FILE_ERR])
{
    static const char *const files[] = { "key", "key.next" };
    char path[PATH_MAX + 16], why[FILE_ERR];
    int got = 0;

    for (size_t i = 0; i < ARRAY_LEN(files); i++) {
        snprintf(path, sizeof(path), "%s/%s", d->config.directory, files[i]);
        got = key_file_read(path, ret, i == 0 ? err : why);
        if (got == 0 && memcmp(ret->ed25519, realm_self(r)->key, IDENT_KEY_LEN) == 0)
            return 0;
        if (got == 0 && i == 0)
            snprintf(err, FILE_ERR, "%.240s: not the key of %.240s", path, realm_self(r)->name);
        identity_wipe(ret);
    }
    return -EINVAL;
}

/* Another chain of the realm's own, perhaps of another key. What is new is made first, and takes the place of the old
 * when nothing can fail any more: until then the daemon is who it was, and looks again. */
static int take_chain(struct realmd *d, const struct realm *r, instant now)
{
    struct slice links[CHAIN_LINKS_MAX];
    const size_t count = realm_chain(r, links);
    uint8_t bytes[CHAIN_BYTES_MAX], *copy;
    const size_t len = chain_bytes(r, bytes);
    char err[FILE_ERR], why[RECORD_ERROR_STRLEN];
    struct record_error e = { 0 };
    struct exchange *x = NULL;
    struct identity id, before = d->id;
    bool turned;
    int got;

    if (has_chain(d, bytes, len))
        return 0;
    got = read_key(d, r, &id, err);
    if (got < 0)
        return failed(d, got, err, now);
    turned = memcmp(id.ed25519, d->id.ed25519, IDENT_KEY_LEN) != 0;
    copy = malloc(len);
    d->id = id; /* which an exchange points to */
    if (turned)
        x = realmd_make_exchange(d, now);
    got = !copy || (turned && !x) ? -ENOMEM : manager_set_self(d->manager, links, count, clock_wall_s(), &e);
    if (got < 0) {
        d->id = before;
        exchange_free(x);
        free(copy);
        snprintf(err, sizeof(err), "%.300s: the realm's own chain: %s", d->config.directory,
                 got == -EBADMSG ? record_error_format(&e, why) : strerror(-got));
        failed(d, got, err, now);
    } else {
        memcpy(copy, bytes, len);
        free(d->chain);
        d->chain = copy;
        d->chain_len = len;
        d->fed = 0;
        realmd_say(LOG_NOTICE, "realm name=%s", realm_self(r)->name);
        realmd_on_chain(d, x, now);
    }
    identity_wipe(&id);
    identity_wipe(&before);
    return got;
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
    uint8_t chain[CHAIN_BYTES_MAX];
    char err[FILE_ERR];
    int got = realm_open(d->config.directory, true, &r, err);

    /* Another chain ends the exchange that brought this request: not from here. */
    if (got == 0 && !has_chain(d, chain, chain_bytes(r, chain))) {
        d->look_again = now;
        return -EAGAIN;
    }
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
