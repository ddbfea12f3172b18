/* prog/realmd_folder.c - the realm's folder: what hawser realm changes in it is followed while the daemon runs.
 *
 * Theory of operation. inotify tells that the folder has changed. The log stays open and is read on, ENTRIES_A_TURN
 * entries at a time, and what the manager does not have yet is given to it, RECORDS_A_TURN at a time; the rest is left
 * to the turns that follow at once. A log whose own chain is another one (a change of key, a newer chain from above) is
 * given from the beginning, in one turn, so that nobody finds half of a realm. What cannot be read is told, tried again
 * every 10 s from the beginning, and what was known stays.
 *
 * A manager that follows another has its log from there (realmd_log.c), into the same folder. It may have no log at
 * first, but the realm's key: until the log has come to where it names that key, nobody is answered.
 *
 * A record that is published is appended and durable before it is answered, which waits for the disk: so
 * PUBLISHED_A_TURN of a wake-up are, and who comes after them is told to come later.
 *
 * Limits: as these; a chain from the beginning takes some 5 us a record. */
#include "prog/realmd.h"

#include "sys/clock.h"

#include <errno.h>
#include <stdio.h>
#include <sys/inotify.h>
#include <syslog.h>
#include <unistd.h>

#define LOOK_AGAIN (10 * SEC) /* chosen */
#define ENTRIES_A_TURN 1024u  /* chosen: some 5 ms, and one signature */
#define RECORDS_A_TURN 512u   /* chosen: some 5 ms; a revocation takes 100 us */
#define PUBLISHED_A_TURN 4    /* chosen: of 1 to 5 ms each */
#define CHAIN_BYTES_MAX (CHAIN_LINKS_MAX * RECORD_BYTES_MAX)

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
    char path[PATH_MAX + 16], why[FILE_ERR] = "";
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

    if (len == 0) /* never */
        return -EINVAL;
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
        d->fed_whole = realm_said_count(r);
        realmd_say(LOG_NOTICE, "realm name=%s", realm_self(r)->name);
        realmd_on_chain(d, x, now);
    }
    identity_wipe(&id);
    identity_wipe(&before);
    return got;
}

/* What the manager does not have yet, up to max records. 0: that was all; 1: there is more; -ENOMEM, and it goes on
 * from there the next time. ret_refused: the fault of the last record that was not taken, for who has just published
 * it. */
static int feed(struct realmd *d, const struct realm *r, size_t max, instant now, int *ret_refused)
{
    char why[RECORD_ERROR_STRLEN];

    *ret_refused = 0;
    for (size_t n = 0; d->fed < realm_said_count(r); d->fed++, n++) {
        const struct realm_said *s = realm_said_at(r, d->fed);
        struct record_error e = { 0 };
        int got;

        if (n >= max && d->fed >= d->fed_whole)
            return 1;
        if (d->fed < d->fed_whole && !s->in_force)
            continue;
        got = manager_take(d->manager, s->record.data, s->record.len, now, &e);
        *ret_refused = got;
        if (got == 0)
            continue;
        realmd_say(LOG_ERR, "realm record=%zu type=%s name=%s error=\"%s\"", d->fed, record_type_name(s->type), s->name,
                   got == -EBADMSG ? record_error_format(&e, why) : strerror(-got));
        if (got == -ENOMEM)
            return got;
    }
    return 0;
}

/* With that key from now on. 0, or as failed. */
static int be(struct realmd *d, const struct identity *id, instant now)
{
    struct identity before = d->id;
    struct exchange *x;

    if (memcmp(id->ed25519, d->id.ed25519, IDENT_KEY_LEN) == 0)
        return 0;
    d->id = *id; /* which an exchange points to */
    x = realmd_make_exchange(d, now);
    if (x)
        realmd_on_chain(d, x, now);
    else
        d->id = before;
    identity_wipe(&before);
    return x ? 0 : failed(d, -ENOMEM, "out of memory", now);
}

/* Who follows another manager calls it with the key that he was given, and hears by the log whose it is. 0: go on; 1:
 * the log has not come to where it names that key; or as failed. */
static int take_key(struct realmd *d, const struct realm *r, instant now)
{
    uint8_t chain[CHAIN_BYTES_MAX];
    char path[PATH_MAX + 16], err[FILE_ERR];
    const size_t len = chain_bytes(r, chain);
    const bool same = has_chain(d, chain, len);
    struct identity id;
    int got;

    if (realm_entries(r) > 0) {
        got = read_key(d, r, &id, err);
        identity_wipe(&id);
        if (got == 0)
            return 0;
    }
    snprintf(path, sizeof(path), "%s/key", d->config.directory);
    got = key_file_read(path, &id, err);
    if (got < 0)
        return failed(d, got, err, now);
    got = be(d, &id, now);
    identity_wipe(&id);
    if (got < 0 || same)
        return got;
    return log_follower_has_gap(&d->log, now); /* else take_chain tells that the key is not the log's */
}

/* As feed. */
static int take_in(struct realmd *d, size_t max, instant now, int *ret_refused)
{
    const struct realm *r = d->realm;
    int got;

    if (d->config.followed_count > 0) {
        got = take_key(d, r, now);
        if (got > 0)
            d->look_again = INSTANT_NEVER;
        if (got != 0)
            return MIN(got, 0);
    }
    got = take_chain(d, r, now);
    if (got == 0)
        got = feed(d, r, max, now, ret_refused);
    if (got < 0) {
        d->look_again = now + LOOK_AGAIN;
        return got;
    }
    if (d->entries && d->entries != realm_entries(r))
        realmd_say(LOG_INFO, "realm entries=%llu", (unsigned long long)realm_entries(r));
    d->entries = realm_entries(r);
    d->folder_error[0] = '\0';
    d->look_again = got == 0 ? INSTANT_NEVER : now;
    return got;
}

/* What was said so far may be of a log that is not there any more: the next one is given from the beginning. */
static int give_up(struct realmd *d, int r, const char *err, instant now)
{
    realm_close(d->realm);
    d->realm = NULL;
    free(d->chain);
    d->chain = NULL;
    return failed(d, r, err, now);
}

int folder_read(struct realmd *d, instant now)
{
    char err[FILE_ERR];
    const bool first = !d->realm;
    int got, more, refused;

    if (!first)
        got = realm_read_on(d->realm, ENTRIES_A_TURN, err);
    else if (d->config.followed_count > 0)
        got = realm_open_follower(d->config.directory, &d->realm, err);
    else
        got = realm_open(d->config.directory, false, &d->realm, err);
    more = got;
    d->folder_changed = false;
    if (got < 0)
        return give_up(d, got, err, now);
    got = take_in(d, first ? SIZE_MAX : RECORDS_A_TURN, now, &refused);
    if (got >= 0 && more > 0)
        d->look_again = now;
    return MIN(got, 0);
}

int folder_publish(struct realmd *d, const uint8_t *bytes, size_t len, instant now)
{
    uint8_t chain[CHAIN_BYTES_MAX];
    char err[FILE_ERR];
    int got, refused = 0;

    if (d->published == PUBLISHED_A_TURN)
        return -EAGAIN;
    d->published++;
    if (!d->realm)
        return -EAGAIN; /* it cannot be read: folder_read tells why */
    got = realm_begin(d->realm, ENTRIES_A_TURN, err);
    if (got == -EBUSY)
        return got; /* somebody enrols */
    if (got < 0) {
        give_up(d, got, err, now);
        return got;
    }
    /* Another chain ends the exchange that brought this request: not from here. */
    if (got > 0 || !has_chain(d, chain, chain_bytes(d->realm, chain))) {
        realm_end(d->realm);
        d->look_again = now;
        return -EAGAIN;
    }
    got = realm_publish(d->realm, bytes, len, err);
    realm_end(d->realm);
    if (got < 0) {
        realmd_say(LOG_WARNING, "publish error=\"%s\"", err);
        d->look_again = now;               /* what was read on may be why */
        if (got == -EIO || got == -ENOSPC) /* the journal takes nothing more until it is opened anew */
            give_up(d, got, err, now);
        return got;
    }
    got = take_in(d, RECORDS_A_TURN, now, &refused);
    return got > 0 ? -EAGAIN : got < 0 ? got : refused;
}

int folder_follow(struct realmd *d, const struct slice *entries, size_t count, instant now)
{
    char err[FILE_ERR];
    int got;

    if (!d->realm)
        return -EAGAIN; /* it cannot be read: folder_read tells why */
    got = realm_follow(d->realm, entries, count, err);
    if (got == 0)
        d->look_again = now;
    else if (got != -EBUSY) /* what is in memory may not be what is on disk */
        give_up(d, got, err, now);
    return got;
}

bool folder_is_taken_in(const struct realmd *d)
{
    return d->realm && d->fed == realm_said_count(d->realm);
}

void folder_end(struct realmd *d)
{
    realm_close(d->realm);
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
