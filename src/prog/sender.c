/* prog/sender.c - see sender.h.
 *
 * Theory of operation. A file is offered; what the receiver has of it (HAVE) is compared by hash with as much of ours,
 * a piece at a time; then bytes follow from there on, or from the first one. Data is read into the frame that carries
 * it. The receiver's last word on a file, DONE or REFUSE, ends it: nothing that is said later is of that file.
 *
 * The session's stream is an ordered one. Places in an unordered one would let the receiver write earlier what came
 * earlier, but it must hash in order, and over unequal links neither was faster: the window is far larger than what
 * waits for a hole.
 *
 * A receiver that is busy with the same name may still hold a sender that was killed: it finds out when we ask.
 *
 * Limits: 20 tries a second apart while another is at it; 15 s for the receiver's first word; 8 frames a call. */
#include "prog/sender.h"

#include <errno.h>
#include <stdio.h>

#define TRY_AGAIN (1 * SEC)
#define TRIES 20              /* chosen: a path that is silent is down within half of it */
#define HELLO_WAIT (15 * SEC) /* chosen: half of what a handshake may take */
#define END_WAIT (2 * SEC)    /* chosen: every outcome is known by then */
#define FRAMES_A_CALL 8

enum state {
    BEGINNING, /* HELLO is owed */
    GREETING,  /* theirs is waited for */
    BETWEEN,   /* files */
    OFFERED,
    LOOKING, /* at our own first bytes */
    SENDING,
    CHECKED,   /* END was said */
    CANCELLED, /* CANCEL was said */
    RETRYING,
    ENDING,
};

void sender_init(struct sender *s, struct frames *f, struct sender_file *files, size_t count, bool replace)
{
    *s = (struct sender){ .frames = f, .files = files, .count = count, .replace = replace, .file = { .fd = -1 } };
}

void sender_deinit(struct sender *s)
{
    outgoing_close(&s->file);
}

static void enter(struct sender *s, enum state state, instant now)
{
    s->state = state;
    s->since = now;
}

/* The present file is over; the next one is looked at. */
static void settle(struct sender *s, enum sender_outcome outcome, const char *error, instant now)
{
    struct sender_file *f = &s->files[s->current++];

    f->outcome = outcome;
    snprintf(f->error, sizeof(f->error), "%s", error);
    outgoing_close(&s->file);
    s->tries = 0;
    enter(s, BETWEEN, now);
}

static void say_cancel(struct sender *s, enum files_cause cause, const char *text)
{
    struct files_message m = { .type = FILES_CANCEL, .said.cause = (uint8_t)cause };

    snprintf(m.said.text, sizeof(m.said.text), "%s", text);
    frames_push(s->frames, &m);
}

/* No more of this file; the outcome counts when the receiver has heard it. */
static void cancel(struct sender *s, enum files_cause cause, enum sender_outcome outcome, const char *reason,
                   instant now)
{
    say_cancel(s, cause, cause == FILES_FAILED ? reason : "");
    s->verdict = outcome;
    s->reason = reason;
    enter(s, CANCELLED, now);
}

/* Our own file cannot go on. */
static void break_off(struct sender *s, instant now)
{
    cancel(s, FILES_FAILED, SENDER_FAILED, s->file.error, now);
}

static void offer(struct sender *s, instant now)
{
    struct sender_file *f = &s->files[s->current];
    struct files_message m = { .type = FILES_OFFER };

    if (!outgoing_open(&s->file, f->path)) {
        settle(s, SENDER_FAILED, s->file.error, now);
        return;
    }
    f->size = s->file.size;
    f->had = f->done = 0;
    m.offer = (struct files_offer){
        .size = f->size,
        .mtime_s = s->file.mtime.tv_sec,
        .mtime_ns = (uint32_t)s->file.mtime.tv_nsec,
        .mode = s->file.mode,
        .replace = s->replace,
        .name = f->name,
        .name_len = strlen(f->name),
    };
    frames_push(s->frames, &m);
    enter(s, OFFERED, now);
}

static void start(struct sender *s, uint64_t at, instant now)
{
    const struct files_message m = { .type = FILES_START, .at = at };

    s->files[s->current].had = s->files[s->current].done = at;
    frames_push(s->frames, &m);
    enter(s, SENDING, now);
}

static void look(struct sender *s, instant now)
{
    uint8_t hash[FILES_HASH_LEN];
    bool equal;

    if (!outgoing_look(&s->file, s->have.bytes)) {
        break_off(s, now);
        return;
    }
    if (s->file.at < s->have.bytes)
        return;
    if (sha256_get(s->file.hash, hash) < 0) {
        snprintf(s->file.error, sizeof(s->file.error), "out of memory");
        break_off(s, now);
        return;
    }
    equal = s->have.what != FILES_NOTHING && memcmp(hash, s->have.hash, sizeof(hash)) == 0;
    if (equal && s->have.what != FILES_SOME) {
        s->files[s->current].had = s->files[s->current].done = s->have.bytes;
        cancel(s, FILES_SAME, SENDER_SAME, "", now);
    } else if (s->have.what == FILES_WHOLE) {
        cancel(s, FILES_EXISTS, SENDER_FAILED, "refused: another file of that name is there", now);
    } else if (!equal && !outgoing_restart(&s->file)) {
        break_off(s, now);
    } else {
        start(s, equal ? s->have.bytes : 0, now);
    }
}

static void send_some(struct sender *s, instant now)
{
    struct files_message m = { .type = FILES_HOLE };
    size_t len;

    if (!outgoing_read(&s->file, frames_data(s->frames), FILES_BODY_MAX, &len, &m.hole)) {
        break_off(s, now);
    } else if (m.hole > 0) {
        frames_push(s->frames, &m);
    } else if (len > 0) {
        frames_push_data(s->frames, len);
    } else if (!outgoing_end(&s->file, m.hash)) {
        break_off(s, now);
    } else {
        m.type = FILES_END;
        frames_push(s->frames, &m);
        enter(s, CHECKED, now);
    }
}

static void on_refuse(struct sender *s, const struct files_message *m, instant now)
{
    char why[FILES_TEXT_MAX + 32];

    if (m->said.cause == FILES_BUSY && s->state == OFFERED && ++s->tries < TRIES) {
        outgoing_close(&s->file);
        enter(s, RETRYING, now);
        return;
    }
    if (s->state == CANCELLED) { /* it crossed ours */
        settle(s, s->verdict, s->reason, now);
        return;
    }
    if (s->state == SENDING)
        say_cancel(s, FILES_FAILED, "");
    snprintf(why, sizeof(why), "refused: %s", m->said.text);
    settle(s, SENDER_FAILED, why, now);
}

/* 0 or -errno. */
static int on_message(struct sender *s, const struct files_message *m, instant now)
{
    struct sender_file *f = s->current < s->count ? &s->files[s->current] : NULL;

    if (s->state <= GREETING) {
        if (m->type != FILES_HELLO)
            return -EPROTO;
        enter(s, BETWEEN, now);
        return 0;
    }
    switch (m->type) {
    case FILES_HAVE:
        if (s->state != OFFERED || m->have.bytes > s->file.size)
            return -EPROTO;
        s->have = m->have;
        enter(s, LOOKING, now);
        return 0;
    case FILES_GOT:
        if (f && (s->state == SENDING || s->state == CHECKED) && m->at >= f->done && m->at <= s->file.size)
            f->done = m->at;
        return 0;
    case FILES_DONE:
        if (s->state == CHECKED && f) {
            f->done = f->size;
            settle(s, SENDER_SENT, "", now);
        } else if (s->state == CANCELLED) {
            settle(s, s->verdict, s->reason, now);
        } else {
            return -EPROTO;
        }
        return 0;
    case FILES_REFUSE:
        if (m->said.cause == FILES_STRANGER) {
            sender_give_up(s, m->said.text);
            return 0;
        }
        if (s->state != OFFERED && s->state != SENDING && s->state != CHECKED && s->state != CANCELLED)
            return -EPROTO;
        on_refuse(s, m, now);
        return 0;
    default:
        return -EPROTO;
    }
}

/* One step, when all that was said has been taken. True: there is another. */
static bool step(struct sender *s, instant now)
{
    const struct files_message hello = { .type = FILES_HELLO };

    switch (s->state) {
    case BEGINNING:
        frames_push(s->frames, &hello);
        enter(s, GREETING, now);
        return true;
    case BETWEEN:
        if (s->current < s->count) {
            offer(s, now);
        } else {
            hws_session_finish(s->frames->session);
            enter(s, ENDING, now);
        }
        return true;
    case LOOKING:
        look(s, now);
        return true;
    case SENDING:
        send_some(s, now);
        return true;
    case RETRYING:
        if (now - s->since < TRY_AGAIN)
            return false;
        offer(s, now);
        return true;
    default:
        return false;
    }
}

int sender_work(struct sender *s, instant now)
{
    struct files_message m;
    int got, r = 0;

    while ((got = frames_pop(s->frames, &m)) == FRAMES_MESSAGE) {
        r = on_message(s, &m, now);
        if (r < 0)
            return r;
    }
    if (s->state == ENDING)
        return got != FRAMES_NONE || now - s->since >= END_WAIT ? SENDER_ENDED : SENDER_WAITS;
    if (got == FRAMES_ENDED)
        return -ECONNRESET;
    if (got < 0)
        return got;
    if (s->state == GREETING && now - s->since >= HELLO_WAIT)
        return -ENOMSG;
    for (unsigned i = 0; i < FRAMES_A_CALL; i++) {
        r = frames_flush(s->frames);
        if (r < 0)
            return r;
        if (!frames_room(s->frames) || !step(s, now))
            return SENDER_WAITS;
    }
    return SENDER_HAS_MORE;
}

instant sender_next_expiry(const struct sender *s)
{
    switch (s->state) {
    case GREETING:
        return s->since + HELLO_WAIT;
    case RETRYING:
        return s->since + TRY_AGAIN;
    case ENDING:
        return s->since + END_WAIT;
    default:
        return INSTANT_NEVER;
    }
}

bool sender_is_unheard(const struct sender *s)
{
    return s->state <= GREETING;
}

void sender_give_up(struct sender *s, const char *why)
{
    for (; s->current < s->count; s->current++) {
        struct sender_file *f = &s->files[s->current];

        f->outcome = SENDER_FAILED;
        if (f->done > f->had)
            snprintf(f->error, sizeof(f->error), "%s; send it again to go on from where it is", why);
        else
            snprintf(f->error, sizeof(f->error), "%s", why);
    }
    outgoing_close(&s->file);
    if (s->state != ENDING)
        s->state = BETWEEN;
}
