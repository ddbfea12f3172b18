/* mapping/log_follower.c - see log_follower.h.
 *
 * Theory of operation. A question names the first entry that is not here. The answer says how many there are, and the
 * digest of the entry before the one that was asked for, which is compared with that of the last one here: so one who
 * has not less, but something else, is seen even if there is nothing new. An entry that is longer than a message comes
 * in pieces, each of which is asked for with the bytes that are there already.
 *
 * A manager whose log has grown says so with the entries that fit (GROWN). They are taken if they join what is here;
 * else the rest is asked for. That all is here is believed from answers alone: who is told nothing asks each minute.
 *
 * Limits: one entry of 16 MiB in memory. */
#include "mapping/log_follower.h"

#include <stdlib.h>

void log_follower_init(struct log_follower *f, uint64_t index, const uint8_t before[ENTRY_DIGEST_LEN], instant now)
{
    *f = (struct log_follower){ .next = now, .as_of = INSTANT_NEVER };
    log_follower_set(f, index, before);
}

static void drop_part(struct log_follower *f)
{
    free(f->part);
    f->part = NULL;
    f->part_len = f->part_room = 0;
}

void log_follower_deinit(struct log_follower *f)
{
    drop_part(f);
}

void log_follower_set(struct log_follower *f, uint64_t index, const uint8_t before[ENTRY_DIGEST_LEN])
{
    f->items = (struct mapping_list){ 0 };
    if (index != f->index)
        drop_part(f);
    f->index = index;
    if (index > 0)
        memcpy(f->before, before, sizeof(f->before));
    else
        memset(f->before, 0, sizeof(f->before));
}

static void stop(struct log_follower *f, enum log_fault fault)
{
    f->fault = fault;
    f->items = (struct mapping_list){ 0 };
    f->next = INSTANT_NEVER;
    drop_part(f);
}

size_t log_follower_output(struct log_follower *f, instant now, uint8_t *out)
{
    struct writer w = writer_init(out, LOG_FOLLOWER_REQUEST_MAX);
    const struct mapping_request r = { .type = MAPPING_LOG, .index = f->index, .position = (uint32_t)f->part_len };

    if (f->asking || now < f->next)
        return 0;
    mapping_request_write(&w, &r);
    f->asking = true;
    f->asked = now;
    f->asked_index = f->index;
    f->asked_part = f->part_len;
    return writer_len(&w);
}

static void on_entries(struct log_follower *f, const struct mapping_answer *a, instant now)
{
    static const uint8_t none[ENTRY_DIGEST_LEN];

    f->there = a->to;
    if (a->index < f->index || a->to < f->index) {
        stop(f, LOG_AHEAD);
    } else if (a->index > f->index) {
        stop(f, LOG_BROKEN);
    } else if (memcmp(a->digest ? a->digest : none, f->before, sizeof(none)) != 0) {
        stop(f, LOG_FORKED);
    } else {
        f->items = a->items;
        f->items_at = a->index;
        f->cut = a->position > 0;
        /* Who has said of more than he gives has it from somebody else, and is about to have it. */
        f->next = a->to == f->index    ? f->asked + LOG_FOLLOWER_CHECK
                  : a->items.count > 0 ? now
                                       : now + LOG_FOLLOWER_RETRY;
        if (a->to == f->index)
            f->as_of = f->asked;
    }
}

void log_follower_on_answer(struct log_follower *f, const uint8_t *bytes, size_t len, instant now)
{
    struct mapping_answer a = { .status = MAPPING_UNKNOWN };

    if (!f->asking)
        return;
    f->asking = false;
    if (f->fault)
        return;
    if (f->asked_index != f->index || f->asked_part != f->part_len)
        f->next = now;
    else if (mapping_answer_read(bytes, len, &a) == 0 && a.status == MAPPING_ENTRIES)
        on_entries(f, &a, now);
    else if (a.status == MAPPING_LATER)
        f->next = now + (span)a.wait_ms * MSEC;
    else
        f->next = now + LOG_FOLLOWER_CHECK;
    if (f->again && !f->fault)
        f->next = now;
    f->again = false;
}

void log_follower_on_failed(struct log_follower *f, instant now)
{
    f->asking = f->again = false;
    if (!f->fault)
        f->next = now + LOG_FOLLOWER_RETRY;
}

void log_follower_on_up(struct log_follower *f, instant now)
{
    f->fault = LOG_SOUND;
    f->again = f->asking;
    f->next = now;
    drop_part(f); /* who answers may be another */
}

void log_follower_on_grown(struct log_follower *f, const struct mapping_request *r, instant now)
{
    if (f->fault)
        return;
    f->there = MAX(f->there, r->to);
    f->items = r->items;
    f->items_at = r->index;
    f->cut = false;
    if (f->part_len > 0 || r->index > f->index || r->items.count == 0) { /* what lies between */
        f->items = (struct mapping_list){ 0 };
        f->again = f->asking;
        if (r->to > f->index)
            f->next = now;
    }
}

/* Behind what came of it before. False: no memory, or it has no end. */
static bool add_part(struct log_follower *f, struct slice piece)
{
    const size_t len = f->part_len + piece.len;

    if (len > LOG_FOLLOWER_ENTRY_MAX)
        return false;
    if (len > f->part_room) {
        const size_t room = MIN(MAX(len, 2 * f->part_room), (size_t)LOG_FOLLOWER_ENTRY_MAX);
        uint8_t *part = realloc(f->part, room);

        if (!part)
            return false;
        f->part = part;
        f->part_room = room;
    }
    memcpy(f->part + f->part_len, piece.data, piece.len);
    f->part_len = len;
    return true;
}

/* The next item as a whole entry. False: it is none yet. */
static bool next_entry(struct log_follower *f, instant now, struct slice *ret)
{
    if (!mapping_next_bytes(&f->items, ret))
        return false;
    if (!f->cut && f->part_len == 0)
        return true;
    if (!add_part(f, *ret)) {
        drop_part(f);
        log_follower_put_off(f, now);
        return false;
    }
    if (f->cut)
        return false;
    *ret = (struct slice){ f->part, f->part_len };
    f->part_len = 0; /* its bytes stay until there is another part */
    return true;
}

bool log_follower_pop(struct log_follower *f, instant now, struct slice *ret)
{
    struct slice bytes;
    struct entry e;

    while (next_entry(f, now, &bytes)) {
        const uint64_t at = f->items_at++;

        if (at < f->index)
            continue;
        if (entry_decode(bytes.data, bytes.len, &e) < 0 || e.index != f->index) {
            stop(f, LOG_BROKEN);
            return false;
        }
        if (memcmp(e.before, f->before, sizeof(f->before)) != 0) {
            stop(f, LOG_FORKED);
            return false;
        }
        entry_digest(bytes.data, bytes.len, f->before);
        f->index++;
        f->taken++;
        *ret = bytes;
        return true;
    }
    return false;
}

void log_follower_put_off(struct log_follower *f, instant now)
{
    f->items = (struct mapping_list){ 0 };
    if (!f->fault)
        f->next = now + LOG_FOLLOWER_RETRY;
}

void log_follower_refuse(struct log_follower *f)
{
    stop(f, LOG_BROKEN);
}

bool log_follower_has_gap(const struct log_follower *f, instant now)
{
    return f->fault || f->as_of == INSTANT_NEVER || f->index < f->there || now - f->as_of > LOG_FOLLOWER_BEHIND_MAX;
}

instant log_follower_next_expiry(const struct log_follower *f)
{
    return f->asking ? INSTANT_NEVER : f->next;
}

const char *log_fault_name(enum log_fault fault)
{
    static const char *const names[LOG_FAULT_COUNT] = { "sound", "ahead", "forked", "broken" };

    return names[fault];
}
