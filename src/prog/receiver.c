/* prog/receiver.c - see receiver.h.
 *
 * Theory of operation. A sender may say anything at any time: what does not belong into the state ends the session. A
 * file that fails is refused, and what is on its way of it is thrown away until the sender says that it knows.
 *
 * Limits: 8 messages or 1 MiB of hashing a call; GOT at most 5 times a second; 3 s for the last words to arrive. */
#include "prog/receiver.h"

#include <errno.h>
#include <stdio.h>

#define MESSAGES_A_CALL 8
#define GOT_SPAN (200 * MSEC) /* as often as the sender draws it */
#define LAST_WORDS (3 * SEC)  /* chosen: some round trips and a loss */

enum state {
    GREETING,
    BETWEEN, /* files */
    LOOKING, /* at what is there of one */
    OFFERED, /* HAVE was said */
    WRITING,
    SKIPPING, /* REFUSE was said, and bytes may still come */
    LEAVING,  /* nothing more will be said */
};

struct receiver *receiver_new(struct hws_session *s, int dir, bool may_replace, bool replace_all, instant now)
{
    const struct files_message hello = { .type = FILES_HELLO };
    struct receiver *r = calloc(1, sizeof(*r));

    if (!r)
        return NULL;
    r->frames.session = s;
    r->dir = dir;
    r->may_replace = may_replace;
    r->replace_all = replace_all;
    r->heard_at = now;
    r->file.fd = r->file.old_fd = -1;
    frames_push(&r->frames, &hello);
    return r;
}

void receiver_free(struct receiver *r)
{
    if (!r)
        return;
    incoming_close(&r->file);
    hws_session_close(r->frames.session);
    free(r);
}

static void refuse(struct receiver *r, enum files_cause cause, const char *text)
{
    struct files_message m = { .type = FILES_REFUSE, .said.cause = (uint8_t)cause };

    snprintf(m.said.text, sizeof(m.said.text), "%s", text);
    frames_push(&r->frames, &m);
}

void receiver_turn_away(struct receiver *r, const char *why)
{
    refuse(r, FILES_STRANGER, why);
    r->state = LEAVING;
}

static int tell(struct receiver *r, enum receiver_event_type type, const char *text, struct receiver_event *ret)
{
    *ret = (struct receiver_event){
        .type = type,
        .name = r->file.name,
        .text = text,
        .size = r->file.size,
        .had = r->file.what == FILES_SOME ? r->file.to_hash : 0,
    };
    r->failed += type == RECEIVER_FAILED;
    r->done += type == RECEIVER_FILE || type == RECEIVER_SAME;
    return RECEIVER_EVENT;
}

/* The file cannot go on. */
static int fail(struct receiver *r, enum state next, struct receiver_event *ret)
{
    refuse(r, r->file.cause, r->file.error);
    incoming_close(&r->file);
    r->state = next;
    return tell(r, r->file.cause == FILES_BUSY ? RECEIVER_BUSY : RECEIVER_FAILED, r->file.error, ret);
}

static int on_offer(struct receiver *r, const struct files_offer *o, struct receiver_event *ret)
{
    r->offered++;
    if (!incoming_open(&r->file, r->dir, o, r->replace_all || (r->may_replace && o->replace)))
        return fail(r, BETWEEN, ret);
    r->state = LOOKING;
    return RECEIVER_HAS_MORE;
}

static int look(struct receiver *r, struct receiver_event *ret)
{
    struct files_message m = { .type = FILES_HAVE };
    bool more;

    if (!incoming_look(&r->file, &more, &m.have))
        return fail(r, BETWEEN, ret);
    if (!more) {
        frames_push(&r->frames, &m);
        r->state = OFFERED;
    }
    return RECEIVER_HAS_MORE;
}

static int on_cancel(struct receiver *r, const struct files_message *m, struct receiver_event *ret)
{
    const struct files_message done = { .type = FILES_DONE };
    bool skipping = r->state == SKIPPING;

    incoming_close(&r->file);
    r->state = BETWEEN;
    if (skipping) /* REFUSE was the last word */
        return RECEIVER_HAS_MORE;
    frames_push(&r->frames, &done);
    if (m->said.cause == FILES_SAME && (r->file.what == FILES_WHOLE || r->file.what == FILES_OLD))
        return tell(r, RECEIVER_SAME, "", ret);
    snprintf(r->file.error, sizeof(r->file.error), "%s",
             m->said.cause == FILES_EXISTS ? "another file of that name is there"
             : *m->said.text               ? m->said.text
                                           : "the sender gave up");
    return tell(r, RECEIVER_FAILED, r->file.error, ret);
}

static int on_bytes(struct receiver *r, const struct files_message *m, instant now, struct receiver_event *ret)
{
    if (!(m->type == FILES_DATA ? incoming_write(&r->file, m->data.bytes, m->data.len)
                                : incoming_hole(&r->file, m->hole)))
        return fail(r, SKIPPING, ret);
    if (now - r->got_at >= GOT_SPAN) {
        const struct files_message got = { .type = FILES_GOT, .at = r->file.at };

        frames_push(&r->frames, &got);
        r->got_at = now;
    }
    return RECEIVER_HAS_MORE;
}

static int on_end(struct receiver *r, const struct files_message *m, struct receiver_event *ret)
{
    const struct files_message done = { .type = FILES_DONE };

    if (!incoming_end(&r->file, m->hash))
        return fail(r, BETWEEN, ret);
    incoming_close(&r->file);
    frames_push(&r->frames, &done);
    r->state = BETWEEN;
    return tell(r, RECEIVER_FILE, "", ret);
}

/* RECEIVER_HAS_MORE, RECEIVER_EVENT or -EPROTO. */
static int on_message(struct receiver *r, const struct files_message *m, instant now, struct receiver_event *ret)
{
    if (r->state == SKIPPING && (m->type == FILES_DATA || m->type == FILES_HOLE))
        return RECEIVER_HAS_MORE;
    if (r->state == SKIPPING && m->type == FILES_END) { /* it crossed REFUSE: that is the answer */
        r->state = BETWEEN;
        return RECEIVER_HAS_MORE;
    }
    switch (m->type) {
    case FILES_HELLO:
        if (r->state != GREETING)
            return -EPROTO;
        r->state = BETWEEN;
        return RECEIVER_HAS_MORE;
    case FILES_OFFER:
        return r->state == BETWEEN ? on_offer(r, &m->offer, ret) : -EPROTO;
    case FILES_START:
        if (r->state != OFFERED)
            return -EPROTO;
        r->state = WRITING;
        return incoming_start(&r->file, m->at) ? RECEIVER_HAS_MORE : fail(r, SKIPPING, ret);
    case FILES_DATA:
    case FILES_HOLE:
        return r->state == WRITING ? on_bytes(r, m, now, ret) : -EPROTO;
    case FILES_END:
        return r->state == WRITING ? on_end(r, m, ret) : -EPROTO;
    case FILES_CANCEL:
        return r->state == OFFERED || r->state == WRITING || r->state == SKIPPING ? on_cancel(r, m, ret) : -EPROTO;
    default:
        return -EPROTO;
    }
}

/* The session is over: error, or 0 when the sender has finished. */
static int end(struct receiver *r, int error, struct receiver_event *ret)
{
    bool under_way = receiver_file(r);

    r->ended = true;
    if (!under_way)
        return RECEIVER_ENDED;
    incoming_close(&r->file);
    snprintf(r->file.error, sizeof(r->file.error), "interrupted after %llu of %llu bytes: %s",
             r->state == LOOKING ? 0ULL : (unsigned long long)r->file.at, (unsigned long long)r->file.size,
             error ? hws_strerror(error) : "the sender ended");
    return tell(r, RECEIVER_FAILED, r->file.error, ret);
}

void receiver_abandon(struct receiver *r)
{
    r->abandoned = true;
}

static int leave(struct receiver *r, instant now)
{
    unsigned events = hws_session_events(r->frames.session);

    if (frames_room(&r->frames))
        hws_session_finish(r->frames.session);
    return (frames_room(&r->frames) && (events & HWS_FLUSHED)) || (events & HWS_ENDED) ||
                   now - r->heard_at >= LAST_WORDS
               ? RECEIVER_ENDED
               : RECEIVER_WAITS;
}

int receiver_work(struct receiver *r, instant now, struct receiver_event *ret)
{
    struct files_message m;

    if (r->ended)
        return RECEIVER_ENDED;
    if (r->abandoned)
        return end(r, -ETIMEDOUT, ret);
    for (unsigned i = 0; i < MESSAGES_A_CALL; i++) {
        int done = frames_flush(&r->frames);

        if (done < 0)
            return end(r, done, ret);
        if (r->state == LEAVING)
            return leave(r, now);
        if (!frames_room(&r->frames))
            return RECEIVER_WAITS;
        if (r->state == LOOKING) {
            if (hws_session_events(r->frames.session) & HWS_ENDED) /* nobody waits for it */
                return end(r, -ECONNRESET, ret);
            done = look(r, ret);
            return done == RECEIVER_EVENT ? done : RECEIVER_HAS_MORE;
        }
        done = frames_pop(&r->frames, &m);
        if (done == FRAMES_NONE)
            return RECEIVER_WAITS;
        if (done == FRAMES_ENDED && !receiver_file(r)) {
            r->state = LEAVING;
            continue;
        }
        if (done != FRAMES_MESSAGE)
            return end(r, done == FRAMES_ENDED ? 0 : done, ret);
        r->heard_at = now;
        done = on_message(r, &m, now, ret);
        if (done < 0)
            return end(r, done, ret);
        if (done == RECEIVER_EVENT)
            return done;
        if (m.type == FILES_HOLE) /* 1 MiB of hashing for 8 bytes */
            break;
    }
    return RECEIVER_HAS_MORE;
}

instant receiver_next_expiry(const struct receiver *r)
{
    return r->state == LEAVING ? r->heard_at + LAST_WORDS : INSTANT_NEVER;
}

const char *receiver_file(const struct receiver *r)
{
    return r->state == LOOKING || r->state == OFFERED || r->state == WRITING ? r->file.name : NULL;
}
