/* node/portmap.c - see portmap.h.
 *
 * Theory of operation. MAP is asked for and repeated, at first after 3 s, then after twice as long each time, to 1024
 * s, for ever (RFC 6887 section 8.1.1). Who answers in version 0 that he does not know version 2 is spoken to in
 * NAT-PMP: his address first, then the port, from 250 ms on, nine times each (RFC 6886 section 3.1). What was given is
 * renewed at half of its lifetime and a random eighth more, at three quarters and a sixteenth, and so on (RFC 6887
 * section 11.2.1).
 *
 * Each answer says for how long the gateway has known what it knows (epoch). When that does not go on as our own clock
 * does, it has begun anew and forgotten us (section 8.5), and is asked again at once if the answer was not to that;
 * when it was an announcement, after a random time, as all hosts of the link have heard it (section 14.1.3).
 *
 * Who forges the gateway's address has us ask more often, once in ASK_PACE; more than one datagram never comes of one.
 * A mapping is taken only with our nonce; NAT-PMP has none, so there only of what was asked.
 *
 * An error stands for as long as it says, within REFUSED_MIN and REFUSED_MAX; a mapping that was there before it stays
 * until its own end. */
#include "node/portmap.h"

#include "base/base.h"

#include <string.h>

#define LIFETIME_S 7200      /* RFC 6886 section 3.3 */
#define LIFETIME_MAX_S 86400 /* RFC 6887 section 15: what is more is taken for that */
#define PCP_FIRST (3 * SEC)  /* section 8.1.1: IRT, MRT */
#define PCP_MAX (1024 * SEC)
#define NATPMP_FIRST (250 * MSEC) /* RFC 6886 section 3.1 */
#define NATPMP_TRIES 9
#define ASK_PACE (4 * SEC)     /* RFC 6887 section 11.2.1: no renewals in less */
#define HEARD_MAX (5 * SEC)    /* section 14.1.3 */
#define REFUSED_MIN (30 * SEC) /* section 7.4: of short and of long errors */
#define REFUSED_MAX (1800 * SEC)

const char *portmap_state_name(enum portmap_state s)
{
    static const char *const names[] = { "off", "asked", "mapped", "refused" };

    return names[s];
}

/* From 0 to max. */
static span some(const struct portmap *p, span max)
{
    return max > 0 ? (span)(rng_u64(&p->o.rng) % ((uint64_t)max + 1)) : 0;
}

/* What is asked from now on, as if nobody had answered yet. */
static void speak(struct portmap *p, enum portmap_version version, instant now)
{
    p->version = (uint8_t)version;
    p->op = version == PORTMAP_PCP ? PORTMAP_MAP : PORTMAP_ADDRESS;
    p->waiting = false;
    p->tries = 0;
    p->due = now;
    p->has_epoch = false;
}

static void begin(struct portmap *p, instant now)
{
    speak(p, p->o.natpmp ? PORTMAP_NATPMP : PORTMAP_PCP, now);
}

void portmap_start(struct portmap *p, const struct portmap_options *o, instant now)
{
    *p = (struct portmap){ .o = *o, .state = PORTMAP_ASKED };
    begin(p, now);
}

/* The k-th time at which a mapping is to be renewed. */
static instant renewal(const struct portmap *p, unsigned k, instant now)
{
    const span life = p->until - p->since;
    const unsigned shift = MIN(k, 30U);
    instant at = p->since + life - (life >> (shift + 1)) + some(p, life >> (shift + 3));

    return instant_min(MAX(at, now + ASK_PACE), MAX(p->until, now));
}

/* Asked, and not answered yet: when again. */
static void schedule(struct portmap *p, instant now)
{
    if (p->state == PORTMAP_MAPPED) {
        p->due = renewal(p, ++p->tries, now);
        p->op = p->version == PORTMAP_PCP ? PORTMAP_MAP : PORTMAP_ADDRESS;
        return;
    }
    if (p->version == PORTMAP_NATPMP)
        p->pause = NATPMP_FIRST << MIN(p->tries, NATPMP_TRIES - 1U);
    else
        p->pause = p->tries == 0 ? PCP_FIRST : MIN(2 * p->pause, PCP_MAX);
    p->tries++;
    p->due = now + p->pause;
    if (p->version == PORTMAP_PCP) /* a tenth more or less */
        p->due += some(p, p->pause / 5) - p->pause / 10;
}

static size_t write_request(const struct portmap *p, uint8_t op, uint32_t lifetime_s, uint8_t *out)
{
    struct portmap_request r = {
        .version = p->version,
        .op = op,
        .client = p->o.client,
        .internal_port = p->o.port,
        .lifetime_s = lifetime_s,
    };

    memcpy(r.nonce, p->o.nonce, sizeof(r.nonce));
    if (lifetime_s > 0)
        r.external = p->state == PORTMAP_MAPPED ? p->external : (struct endpoint){ .port = p->o.port };
    return portmap_request_write(out, &r);
}

size_t portmap_output(struct portmap *p, instant now, uint8_t out[PORTMAP_REQUEST_MAX])
{
    size_t len;

    if (p->state == PORTMAP_MAPPED && now >= p->until) {
        p->state = PORTMAP_ASKED;
        p->external = (struct endpoint){ .port = 0 };
        begin(p, now);
        p->due = MAX(now, p->asked + ASK_PACE);
    }
    if (p->state == PORTMAP_OFF || now < p->due)
        return 0;
    if (p->state == PORTMAP_REFUSED && !p->waiting)
        begin(p, now);
    else if (p->state != PORTMAP_MAPPED && p->version == PORTMAP_NATPMP && p->tries >= NATPMP_TRIES && !p->o.natpmp)
        begin(p, now);
    len = write_request(p, p->op, LIFETIME_S, out);
    p->waiting = true;
    p->asked_op = p->op;
    p->asked = now;
    schedule(p, now);
    return len;
}

/* --- what the gateway says --- */

/* True if it does not know any more what it knew. */
static bool began_anew(struct portmap *p, const struct portmap_answer *a, instant now)
{
    const int64_t ours = (now - p->epoch_at) / SEC, its = (int64_t)a->epoch_s - p->epoch_s;
    bool anew = false;

    if (p->has_epoch && a->version == PORTMAP_NATPMP)
        anew = its < ours - ours / 8 - 2; /* RFC 6886 section 3.6 */
    else if (p->has_epoch)
        anew = its < -1 || ours + 2 < its - its / 16 || its + 2 < ours - ours / 16;
    p->has_epoch = true;
    p->epoch_s = a->epoch_s;
    p->epoch_at = now;
    return anew;
}

static void refuse(struct portmap *p, const char *why, uint32_t lifetime_s, instant now)
{
    const span pause = MIN(MAX((span)MIN(lifetime_s, LIFETIME_MAX_S) * SEC, REFUSED_MIN), REFUSED_MAX);

    p->refused = why;
    if (p->state == PORTMAP_MAPPED) {
        p->due = MIN(MAX(p->due, now + pause), p->until);
        return;
    }
    p->state = PORTMAP_REFUSED;
    p->due = now + pause;
}

static void take(struct portmap *p, const struct portmap_answer *a, instant now)
{
    struct endpoint e = a->external;

    if (a->version == PORTMAP_NATPMP)
        e.addr = p->outside;
    if (a->lifetime_s == 0 || e.port == 0 || e.addr.family != p->o.client.family || !addr_is_unicast(&e.addr)) {
        p->state = PORTMAP_ASKED; /* what was there is not, as it says */
        p->external = (struct endpoint){ .port = 0 };
        refuse(p, "it names no endpoint, or one that is over", a->lifetime_s, now);
        return;
    }
    p->state = PORTMAP_MAPPED;
    p->refused = NULL;
    p->external = e;
    p->since = now;
    p->until = now + (span)MIN(a->lifetime_s, LIFETIME_MAX_S) * SEC;
    p->tries = 0;
    p->due = renewal(p, 0, now);
    p->op = a->version == PORTMAP_PCP ? PORTMAP_MAP : PORTMAP_ADDRESS;
}

static void on_other_version(struct portmap *p, const struct portmap_answer *a, instant now)
{
    if (!p->waiting || a->result != PORTMAP_UNSUPP_VERSION)
        return;
    p->waiting = false;
    if (a->version == PORTMAP_NATPMP && p->o.client.family == ADDR_V4)
        speak(p, PORTMAP_NATPMP, now);
    else
        refuse(p, portmap_result_name(a->version, a->result), a->lifetime_s, now);
}

static void on_announced(struct portmap *p, const struct portmap_answer *a, instant now)
{
    bool anew;

    if (a->op != PORTMAP_ADDRESS || a->result != PORTMAP_SUCCESS)
        return;
    anew = a->version != p->version || began_anew(p, a, now);
    if (a->version == PORTMAP_NATPMP && p->state == PORTMAP_MAPPED)
        anew |= !addr_equal(&a->external.addr, &p->external.addr);
    if (anew || p->state == PORTMAP_ASKED) {
        const instant at = now + some(p, HEARD_MAX);

        p->due = instant_min(p->due, MAX(at, p->asked + ASK_PACE));
    }
}

void portmap_input(struct portmap *p, const struct endpoint *from, const uint8_t *data, size_t len, bool announced,
                   instant now)
{
    struct portmap_answer a;

    if (p->state == PORTMAP_OFF || from->port != PORTMAP_PORT || !addr_equal(&from->addr, &p->o.gateway) ||
        portmap_answer_read(data, len, &a) < 0)
        return;
    if (announced) {
        on_announced(p, &a, now);
        return;
    }
    if (a.version != p->version) {
        on_other_version(p, &a, now);
        return;
    }
    if (a.has_map && (a.internal_port != p->o.port ||
                      (a.version == PORTMAP_PCP && memcmp(a.nonce, p->o.nonce, sizeof(a.nonce)) != 0)))
        return;
    if (a.version == PORTMAP_PCP && a.op != PORTMAP_MAP)
        return;
    /* PCP tells of changes unasked (RFC 6887 section 14.2). */
    if ((a.version == PORTMAP_NATPMP || a.result != PORTMAP_SUCCESS) && (!p->waiting || a.op != p->asked_op))
        return;
    (void)began_anew(p, &a, now);
    p->waiting = false;
    if (a.result != PORTMAP_SUCCESS) {
        refuse(p, portmap_result_name(a.version, a.result), a.lifetime_s, now);
    } else if (a.op == PORTMAP_MAP) {
        take(p, &a, now);
    } else {
        p->outside = a.external.addr;
        p->op = PORTMAP_MAP;
        p->tries = p->state == PORTMAP_MAPPED ? p->tries : 0;
        p->due = now;
    }
}

instant portmap_next_expiry(const struct portmap *p)
{
    if (p->state == PORTMAP_OFF)
        return INSTANT_NEVER;
    return p->state == PORTMAP_MAPPED ? instant_min(p->due, p->until) : p->due;
}

size_t portmap_stop(struct portmap *p, uint8_t out[PORTMAP_REQUEST_MAX])
{
    size_t len = p->state == PORTMAP_MAPPED ? write_request(p, PORTMAP_MAP, 0, out) : 0;

    *p = (struct portmap){ .state = PORTMAP_OFF };
    return len;
}
