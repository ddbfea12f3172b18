/* prog/realmd_log.c - the realm's log, from manager to manager.
 *
 * Theory of operation. Who has the realm's own key may have its log: its entries are public to whom they concern, but
 * they name everybody. A page has some of them as they are (mapping/log_follower.h); who has come to the end is told by
 * GROWN what is said from then on, one message at a time.
 *
 * The manager that is followed is asked for what is not here. What comes is looked at and written (prog/realm_follow.c)
 * before anything follows from it, and then read as if it had been said here. While there is a gap, or another log than
 * there, or what is here is not taken in, what depends on it is put off (manager_set_gap). One that follows a follower
 * is told of what that one knows to be missing, too, and that it cannot say if it has not heard for too long.
 *
 * Limits: a page has LOG_PAGE_MAX entries, since each waits for the disk where it is written; LOG_TELLERS_MAX followers
 * are told at once. */
#include <errno.h>
#include <syslog.h>

#include "prog/realmd.h"

#define LOG_PAGE_MAX 64 /* chosen: some 100 ms of an ordinary disk */
#define LOG_LATER_MS 1000
#define PAGE_HEAD 96 /* more than an answer has beside its items */
#define ITEM_HEAD 5  /* of bytes in CBOR, of a length that fits a message */
#define LOG_UNKNOWN UINT64_MAX

int log_start(struct realmd *d, instant now)
{
    log_follower_init(&d->log, 0, NULL, now);
    d->log_items = malloc(MAPPING_BYTES_MAX);
    if (d->log_items)
        return 0;
    realmd_say(LOG_ERR, "out of memory");
    return -ENOMEM;
}

void log_end(struct realmd *d)
{
    log_follower_deinit(&d->log);
    free(d->log_items);
}

static bool follows(const struct realmd *d)
{
    return d->config.followed_count > 0;
}

/* --- to those that follow --- */

/* Entries from index on, the first without its first `from` bytes, as many as fit. How many are whole; *ret_cut: bytes
 * of the only one that is there if it is not. */
static size_t fill(const struct realmd *d, uint64_t index, size_t from, struct mapping_list *ret, uint32_t *ret_cut)
{
    struct writer w = writer_init(d->log_items, MAPPING_BYTES_MAX - PAGE_HEAD);
    const uint64_t count = realm_entries(d->realm);
    size_t n = 0;

    *ret = (struct mapping_list){ .items = d->log_items };
    *ret_cut = 0;
    for (; n < LOG_PAGE_MAX && index + n < count && writer_left(&w) > ITEM_HEAD; n++) {
        struct slice e = realm_entry(d->realm, index + n);
        const size_t room = writer_left(&w) - ITEM_HEAD;

        if (n == 0 && from > 0) {
            if (from >= e.len)
                break;
            e = (struct slice){ e.data + from, e.len - from };
        }
        if (e.len > room) {
            if (n > 0)
                break;
            *ret_cut = (uint32_t)(from + room);
            e.len = room;
        }
        mapping_write_bytes(&w, e);
        ret->count++;
        if (*ret_cut > 0)
            break;
    }
    ret->len = writer_len(&w);
    return n;
}

static struct log_teller *teller_of(struct realmd *d, uint64_t peer)
{
    for (size_t i = 0; i < LOG_TELLERS_MAX; i++)
        if (d->tellers[i].peer == peer)
            return &d->tellers[i];
    return NULL;
}

static void answer_page(struct realmd *d, const struct exchange_event *e, const struct mapping_request *r, instant now)
{
    struct writer w = writer_init(d->answer, MAPPING_BYTES_MAX);
    const uint64_t count = realm_entries(d->realm), index = MIN(r->index, count);
    struct mapping_answer a = { .status = MAPPING_ENTRIES, .index = index, .to = count };
    uint8_t digest[ENTRY_DIGEST_LEN];
    struct log_teller *t = teller_of(d, e->peer);
    struct slice before;
    size_t n = fill(d, index, r->position, &a.items, &a.position);

    if (follows(d))
        a.to = MAX(a.to, d->log.there);
    if (index > 0) {
        before = realm_entry(d->realm, index - 1);
        entry_digest(before.data, before.len, digest);
        a.digest = digest;
    }
    t = t ? t : teller_of(d, 0);
    if (t && exchange_peer_set_owner(d->exchange, e->peer, d) == 0) {
        t->peer = e->peer;
        t->upto = index + n == count && r->index <= count && a.position == 0 ? count : LOG_UNKNOWN;
    }
    mapping_answer_write(&w, &a);
    realmd_answer(d, &e->asked, d->answer, writer_len(&w), now);
}

/* The answer that the asker waits for is no more than that it has come. */
static void answer_grown(struct realmd *d, const struct exchange_event *e, instant now)
{
    const struct mapping_answer a = { .status = MAPPING_DONE };
    struct writer w = writer_init(d->answer, MAPPING_BYTES_MAX);

    mapping_answer_write(&w, &a);
    realmd_answer(d, &e->asked, d->answer, writer_len(&w), now);
}

static void tell(struct realmd *d, struct log_teller *t, instant now)
{
    struct writer w = writer_init(d->answer, MAPPING_BYTES_MAX);
    struct mapping_request r = { .type = MAPPING_GROWN, .index = t->upto, .to = realm_entries(d->realm) };
    uint64_t request;
    uint32_t cut;

    t->upto =
        t->upto + fill(d, t->upto, 0, &r.items, &cut) == r.to ? r.to : LOG_UNKNOWN; /* else it asks for the rest */
    if (cut > 0)
        r.items = (struct mapping_list){ 0 };
    mapping_request_write(&w, &r);
    t->telling = exchange_request(d->exchange, t->peer, d->answer, writer_len(&w), t, now, &request) == 0;
    if (!t->telling)
        *t = (struct log_teller){ 0 };
}

/* --- from the one that is followed --- */

static void say_fault(struct realmd *d)
{
    static const char *const words[LOG_FAULT_COUNT] = {
        [LOG_AHEAD] = "entries are here that the manager that is followed does not have",
        [LOG_FORKED] = "another entry is here than at the manager that is followed",
        [LOG_BROKEN] = "what the manager that is followed says is not the realm's log",
    };

    if (d->log.fault == d->log_fault)
        return;
    d->log_fault = d->log.fault;
    if (d->log.fault)
        realmd_say(LOG_ERR, "log fault=%s entries=%llu there=%llu error=\"%s\"", log_fault_name(d->log.fault),
                   (unsigned long long)d->log.index, (unsigned long long)d->log.there, words[d->log.fault]);
}

/* What has come, into the folder. */
static void take(struct realmd *d, instant now)
{
    struct slice entries[LOG_PAGE_MAX];
    size_t n;
    int got;

    do {
        for (n = 0; n < LOG_PAGE_MAX && log_follower_pop(&d->log, now, &entries[n]); n++)
            ;
        got = n > 0 ? folder_follow(d, entries, n, now) : 0;
    } while (got == 0 && n == LOG_PAGE_MAX);
    if (got == -EBADMSG)
        log_follower_refuse(&d->log);
    else if (got < 0)
        log_follower_put_off(&d->log, now);
    if (d->realm && (got < 0 || d->log.fault))
        log_follower_set(&d->log, realm_entries(d->realm), realm_digest(d->realm));
    say_fault(d);
}

static void ask(struct realmd *d, instant now)
{
    uint8_t bytes[LOG_FOLLOWER_REQUEST_MAX];
    uint64_t request;
    size_t len;
    bool gap;

    /* What others have written into the folder, or what is left of what could not be kept. */
    if (d->realm && !d->log.fault && realm_entries(d->realm) != d->log.index)
        log_follower_set(&d->log, realm_entries(d->realm), realm_digest(d->realm));
    len = d->realm && d->followed ? log_follower_output(&d->log, now, bytes) : 0;
    if (len > 0 && exchange_request(d->exchange, d->followed, bytes, len, &d->log, now, &request) < 0)
        log_follower_on_failed(&d->log, now);
    gap = log_follower_has_gap(&d->log, now) || !folder_is_taken_in(d);
    manager_set_gap(d->manager, gap);
    if (gap == d->log_told && !d->log.fault)
        realmd_say(gap ? LOG_WARNING : LOG_NOTICE, "log state=%s entries=%llu there=%llu", gap ? "behind" : "caught_up",
                   (unsigned long long)d->log.index, (unsigned long long)d->log.there);
    d->log_told = !gap;
}

/* --- events --- */

bool log_on_request(struct realmd *d, const struct exchange_event *e, const struct manager_who *who, instant now)
{
    struct mapping_request r;

    if (memcmp(who->ed25519, d->id.ed25519, IDENT_KEY_LEN) != 0 || mapping_request_read(e->data, e->len, &r) < 0)
        return false;
    if (r.type == MAPPING_GROWN && e->peer == d->followed) {
        log_follower_on_grown(&d->log, &r, now);
        take(d, now);
        answer_grown(d, e, now);
        return true;
    }
    if (r.type != MAPPING_LOG)
        return false;
    if (!d->realm || (follows(d) && r.index >= realm_entries(d->realm) && log_follower_has_gap(&d->log, now) &&
                      d->log.index >= d->log.there))
        realmd_answer(d, &e->asked, d->answer, manager_say_later(LOG_LATER_MS, d->answer, MAPPING_BYTES_MAX), now);
    else
        answer_page(d, e, &r, now);
    return true;
}

bool log_on_result(struct realmd *d, const struct exchange_event *e, instant now)
{
    struct log_teller *t = e->context;

    if (e->context == &d->log) {
        if (e->type == EXCHANGE_ANSWER)
            log_follower_on_answer(&d->log, e->data, e->len, now);
        else
            log_follower_on_failed(&d->log, now);
        take(d, now);
        return true;
    }
    for (size_t i = 0; i < LOG_TELLERS_MAX; i++)
        if (t == &d->tellers[i]) {
            t->telling = false;
            if (e->type != EXCHANGE_ANSWER && t->peer == e->peer) /* it asks when it is there again */
                *t = (struct log_teller){ 0 };
            return true;
        }
    return false;
}

void log_on_gone(struct realmd *d, uint64_t peer)
{
    struct log_teller *t = teller_of(d, peer);

    if (t)
        *t = (struct log_teller){ 0 };
}

void log_on_all_gone(struct realmd *d, instant now)
{
    memset(d->tellers, 0, sizeof(d->tellers));
    log_follower_on_failed(&d->log, now);
}

void log_turn(struct realmd *d, instant now)
{
    if (follows(d))
        ask(d, now);
    for (size_t i = 0; d->realm && i < LOG_TELLERS_MAX; i++)
        if (d->tellers[i].peer && !d->tellers[i].telling && d->tellers[i].upto < realm_entries(d->realm))
            tell(d, &d->tellers[i], now);
}

instant log_next_expiry(const struct realmd *d)
{
    if (!follows(d) || !d->followed)
        return INSTANT_NEVER;
    /* and when it is too long ago that all was known to be here; nothing is asked without a folder */
    return instant_min(d->realm ? log_follower_next_expiry(&d->log) : INSTANT_NEVER,
                       d->log_told ? d->log.as_of + LOG_FOLLOWER_BEHIND_MAX + 1 : INSTANT_NEVER);
}

json_t *log_json(const struct realmd *d)
{
    if (!follows(d))
        return json_null();
    return json_pack("{s:s, s:b, s:I, s:I, s:I}", "fault", log_fault_name(d->log.fault), "caught_up", d->log_told,
                     "entries", (json_int_t)d->log.index, "there", (json_int_t)d->log.there, "taken",
                     (json_int_t)d->log.taken);
}
