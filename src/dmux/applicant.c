/* dmux/applicant.c - see applicant.h.
 *
 * Theory of operation. ASK is said when a client that has credentials is seen somewhere, when another router serves it,
 * and when three quarters of an admission are over; DEMAND, which answers it or a packet, is answered by ADMIT to a
 * provider that there are credentials for; VERDICT ends it. Whoever has no credentials says nothing.
 *
 * A DEMAND needs no proof: what it can get is a message that only the provider's key opens. One application is made at
 * a time, and at most one for each verdict or second, so that a flood of DEMANDs costs a key a second. One that comes
 * while there is an admission says that the router knows of none: it has restarted, or is another.
 *
 * Packets are held from the start, or from the first word, to the verdict of whoever is not admitted, since the router
 * would drop them: the first ping after a start or a known move is late and not lost. They are 16, since what is held
 * longer than a round trip has been repeated by its sender; what was under way when a DEMAND came back is lost and not
 * repeated here, since nobody can tell which packets passed. A renewal holds nothing.
 *
 * Sources: The Noise Protocol Framework, revision 34, section 7.5 (IK). */
#include "dmux/applicant.h"

#include "dmux/admission.h"
#include "ident/hash.h"
#include "ident/noise.h"

enum step { IDLE, ASKED, APPLIED };

struct held {
    size_t len;
    uint8_t packet[PROTOCOL_PACKET_MAX];
};

struct applicant {
    const struct credential *credentials;
    size_t count;
    uint16_t protocol;
    struct rng rng;
    struct client_id self; /* addr 0: not known yet */
    enum step step;
    unsigned tries;
    instant next, quiet_until;
    const struct credential *shown; /* APPLIED: what is shown now */
    struct noise noise;
    uint8_t nonce[WORD_NONCE_LEN]; /* of the last DEMAND of that provider */
    bool demanded_again;
    uint8_t admit[WORD_ADMIT_MAX];
    size_t admit_len;
    struct applicant_info info;
    struct held *held; /* a ring of APPLICANT_HELD_MAX; NULL without credentials */
    unsigned held_from, held_count;
};

struct applicant *applicant_new(const struct credential *credentials, size_t count, uint16_t protocol,
                                const struct rng *rng)
{
    struct applicant *a = calloc(1, sizeof(*a));

    if (!a)
        return NULL;
    a->credentials = credentials;
    a->count = count;
    a->protocol = protocol;
    a->rng = *rng;
    a->next = INSTANT_NEVER;
    a->info.state = count > 0 ? APPLICANT_ASKING : APPLICANT_UNASKED;
    if (count > 0 && !(a->held = calloc(APPLICANT_HELD_MAX, sizeof(*a->held)))) {
        free(a);
        return NULL;
    }
    return a;
}

void applicant_free(struct applicant *a)
{
    if (!a)
        return;
    noise_wipe(&a->noise);
    free(a->held);
    free(a);
}

static const struct credential *credential_for(const struct applicant *a, uint32_t provider)
{
    for (size_t i = 0; i < a->count; i++) {
        if (a->credentials[i].provider == provider)
            return &a->credentials[i];
    }
    return NULL;
}

static void go(struct applicant *a, enum step step, instant next)
{
    a->step = step;
    a->tries = 0;
    a->next = next;
    a->demanded_again = false;
    if (step != APPLIED)
        noise_wipe(&a->noise);
}

/* What was held goes nowhere. */
static void forget_held(struct applicant *a)
{
    a->info.lost += a->held_count;
    a->held_count = 0;
}

void applicant_begin(struct applicant *a, const struct client_id *self, instant now)
{
    a->self = *self;
    a->quiet_until = 0;
    a->info.state = APPLICANT_UNASKED;
    if (a->count > 0) {
        a->info.state = APPLICANT_ASKING;
        go(a, ASKED, now);
    }
}

/* Writes ADMIT by the nonce that was heard last. */
static bool seal(struct applicant *a)
{
    const struct credential *c = a->shown;
    uint8_t prologue[ADMISSION_PROLOGUE_LEN], message[WORD_NOISE1_MIN + WORD_CHAIN_MAX];
    struct word w = { .type = WORD_ADMIT };
    int r;

    admission_prologue(&a->self, a->protocol, c->provider, a->nonce, prologue);
    r = noise_init(&a->noise, NOISE_IK, SUITE_CHACHA20_POLY1305, true, prologue, sizeof(prologue),
                   c->identity.x25519_priv, c->identity.x25519, c->to.x25519, NULL);
    if (r == 0)
        r = noise_write(&a->noise, &a->rng, c->chain, c->chain_len, message, sizeof(message));
    memcpy(w.nonce, a->nonce, sizeof(w.nonce));
    w.noise = (struct slice){ message, r > 0 ? (size_t)r : 0 };
    a->admit_len = r > 0 ? word_write(&w, a->admit, sizeof(a->admit)) : 0;
    a->demanded_again = false;
    return a->admit_len > 0;
}

/* Soon, but not all at once: who does not answer may have too much to do. */
static span soon(struct applicant *a)
{
    return APPLICANT_RETRY + (span)(rng_u64(&a->rng) % (uint64_t)APPLICANT_AGAIN);
}

static void refused(struct applicant *a, unsigned why, instant now)
{
    span later = why == APPLICANT_UNANSWERED ? soon(a) : APPLICANT_LATER;

    go(a, IDLE, now + later);
    if (why == APPLICANT_UNANSWERED && a->info.state == APPLICANT_ADMITTED) /* and still is: only the renewal failed */
        return;
    a->info.state = APPLICANT_REFUSED;
    a->info.refusal = why;
    a->info.refused++;
    a->quiet_until = now + later;
    forget_held(a);
}

static bool on_demand(struct applicant *a, uint32_t provider, const struct word *w, instant now)
{
    const struct credential *c = credential_for(a, provider);

    a->info.demands++;
    if (a->step == APPLIED) {
        if (c == a->shown) {
            if (a->tries == 1 && memcmp(a->nonce, w->nonce, sizeof(a->nonce)) != 0)
                a->next = now; /* another router, or it has started anew: once at once */
            memcpy(a->nonce, w->nonce, sizeof(a->nonce));
            a->demanded_again = true;
        }
        return true;
    }
    if (a->self.addr == 0 || (a->step == IDLE && now < a->quiet_until))
        return false;
    a->info.provider = provider;
    if (!c) {
        go(a, IDLE, INSTANT_NEVER);
        a->info.state = APPLICANT_WITHOUT;
        forget_held(a);
        return true;
    }
    /* while an admission is renewed packets pass, and whoever was refused tries again without holding any */
    if (a->info.state == APPLICANT_ADMITTED ? a->step == IDLE : a->info.state != APPLICANT_REFUSED)
        a->info.state = APPLICANT_APPLYING;
    a->shown = c;
    memcpy(a->nonce, w->nonce, sizeof(a->nonce));
    go(a, APPLIED, now);
    a->info.shown++;
    if (!seal(a))
        refused(a, APPLICANT_UNREADABLE, now);
    return true;
}

static bool on_verdict(struct applicant *a, uint32_t provider, const struct word *w, instant now)
{
    uint8_t text[WORD_JUDGEMENT_LEN];
    struct noise n = a->noise; /* a forged one spoils nothing */
    struct judgement j;
    int r = -1;

    if (a->step == APPLIED && provider == a->shown->provider)
        r = noise_read(&n, w->noise.data, w->noise.len, text, sizeof(text));
    noise_wipe(&n);
    if (r < 0 || judgement_read(text, (size_t)r, &j) < 0)
        return false;
    if (j.refusal != WORD_ADMITTED) {
        refused(a, j.refusal, now);
        return true;
    }
    go(a, IDLE, now + (span)j.lifetime_s * SEC * 3 / 4);
    a->quiet_until = now + APPLICANT_REST;
    a->info.state = APPLICANT_ADMITTED;
    a->info.until = now + (span)j.lifetime_s * SEC;
    a->info.admitted++;
    return true;
}

static bool on_open(struct applicant *a)
{
    if (a->step != ASKED)
        return false;
    go(a, IDLE, INSTANT_NEVER);
    a->info.state = APPLICANT_UNASKED;
    return true;
}

void applicant_on_word(struct applicant *a, uint32_t provider, const uint8_t *data, size_t len, instant now)
{
    struct word w;
    bool taken = false;

    if (word_read(data, len, &w) == 0) {
        if (w.type == WORD_DEMAND)
            taken = on_demand(a, provider, &w, now);
        else if (w.type == WORD_VERDICT)
            taken = on_verdict(a, provider, &w, now);
        else if (w.type == WORD_OPEN)
            taken = on_open(a);
    }
    a->info.ignored += !taken;
}

void applicant_on_served(struct applicant *a)
{
    if (a->info.state == APPLICANT_REFUSED || a->info.state == APPLICANT_WITHOUT)
        a->info.state = APPLICANT_UNASKED;
}

static size_t ask(struct applicant *a, uint8_t *out, instant now)
{
    const struct word w = { .type = WORD_ASK };

    if (a->tries++ >= APPLICANT_TRIES) { /* a router that knows no words, which drops nothing for that */
        go(a, IDLE,
           now + (a->info.state == APPLICANT_REFUSED && a->info.refusal == APPLICANT_UNANSWERED ? soon(a)
                                                                                                : APPLICANT_LATER));
        if (a->info.state == APPLICANT_ASKING)
            a->info.state = APPLICANT_UNASKED;
        return 0;
    }
    a->next = now + APPLICANT_RETRY;
    return word_write(&w, out, WORD_ADMIT_MAX);
}

static size_t apply(struct applicant *a, uint8_t *out, instant now)
{
    bool again = a->demanded_again;
    /* Where packets are held nothing else is answered by DEMAND; where they are not, they are. */
    bool unreadable = again && (a->info.state != APPLICANT_REFUSED || a->info.refusal == APPLICANT_UNREADABLE);

    if (a->tries++ >= APPLICANT_TRIES || (again && !seal(a))) {
        refused(a, unreadable ? APPLICANT_UNREADABLE : APPLICANT_UNANSWERED, now);
        return 0;
    }
    a->next = now + APPLICANT_RETRY;
    memcpy(out, a->admit, a->admit_len);
    return a->admit_len;
}

size_t applicant_output(struct applicant *a, uint8_t *out, instant now)
{
    if (a->info.state == APPLICANT_ADMITTED && now >= a->info.until) { /* the renewal has failed */
        a->info.state = a->step == APPLIED ? APPLICANT_APPLYING : APPLICANT_ASKING;
        a->next = a->step == IDLE ? now : a->next;
    }
    if (now < a->next)
        return 0;
    if (a->step == IDLE)
        go(a, ASKED, now);
    return a->step == ASKED ? ask(a, out, now) : apply(a, out, now);
}

instant applicant_next_expiry(const struct applicant *a)
{
    if (a->held_count > 0 && !applicant_waits(a))
        return 0;
    return a->info.state == APPLICANT_ADMITTED ? instant_min(a->next, a->info.until) : a->next;
}

bool applicant_waits(const struct applicant *a)
{
    return a->info.state == APPLICANT_ASKING || a->info.state == APPLICANT_APPLYING;
}

void applicant_hold(struct applicant *a, const uint8_t *packet, size_t len)
{
    struct held *h = &a->held[(a->held_from + a->held_count) % APPLICANT_HELD_MAX];

    a->info.held++;
    if (a->held_count == APPLICANT_HELD_MAX || len > sizeof(h->packet)) {
        a->info.lost++;
        return;
    }
    h->len = len;
    memcpy(h->packet, packet, len);
    a->held_count++;
}

size_t applicant_release(struct applicant *a, uint8_t *out)
{
    const struct held *h;

    if (a->held_count == 0 || applicant_waits(a))
        return 0;
    h = &a->held[a->held_from];
    memcpy(out, h->packet, h->len);
    a->held_from = (a->held_from + 1) % APPLICANT_HELD_MAX;
    a->held_count--;
    return h->len;
}

void applicant_info_get(const struct applicant *a, struct applicant_info *ret)
{
    *ret = a->info;
}

const char *applicant_state_name(unsigned state)
{
    static const char *const names[APPLICANT_STATE_COUNT] = { "unasked",  "asking",  "applying",
                                                              "admitted", "refused", "without" };

    return state < APPLICANT_STATE_COUNT ? names[state] : "?";
}

const char *applicant_refusal_name(unsigned refusal)
{
    if (refusal == APPLICANT_UNANSWERED)
        return "unanswered";
    return refusal == APPLICANT_UNREADABLE ? "unreadable" : word_refusal_name(refusal);
}
