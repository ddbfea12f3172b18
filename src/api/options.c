/* api/options.c - what a program's options mean inside. */
#include "api/handle.h"

#define FLAGS_KNOWN (HWS_NONBLOCK | HWS_UNORDERED | HWS_PLAIN | HWS_HELLO | HWS_THREAD)
#define TIMEOUT_MIN (3 * PATH_PROBE_IDLE) /* an idle path is heard of that often */

/* Of the program's numbers ours, which may change. */
static const enum fairness fairnesses[] = {
    [HWS_FAIR_INDEPENDENT] = FAIRNESS_INDEPENDENT,
    [HWS_FAIR_COUPLED] = FAIRNESS_COUPLED,
    [HWS_FAIR_AUTO] = FAIRNESS_AUTO,
};
static const enum cc controls[] = {
    [HWS_CC_BBR] = CC_BBR,
    [HWS_CC_CUBIC] = CC_CUBIC,
    [HWS_CC_OLIA] = CC_OLIA,
    [HWS_CC_LIA] = CC_LIA,
};

/* Of an earlier program, whose structure was shorter, or a later one, which may say what we do not know if it is
 * nothing. False: it is neither. */
static bool take(const struct hws_options *given, struct hws_options *ret)
{
    const uint8_t *bytes = (const uint8_t *)given;

    if (given->size < offsetof(struct hws_options, congestion) + sizeof(given->congestion))
        return false;
    for (size_t i = sizeof(*ret); i < given->size; i++)
        if (bytes[i] != 0)
            return false;
    memcpy(ret, given, MIN(given->size, sizeof(*ret)));
    return true;
}

static bool may_prohibit(uint8_t preference)
{
    return preference == HWS_NO_PREFERENCE || preference == HWS_PROHIBIT;
}

static bool known(const struct hws_options *o)
{
    if ((o->flags & ~(uint32_t)FLAGS_KNOWN) || o->fairness > HWS_FAIR_AUTO || o->congestion > HWS_CC_LIA)
        return false;
    for (size_t i = 0; i < ARRAY_LEN(o->objectives); i++)
        if (o->objectives[i] > HWS_LOSS || o->semantics[i] > HWS_PROHIBIT || !may_prohibit(o->peer_objectives[i]))
            return false;
    for (size_t i = 0; i < ARRAY_LEN(o->transports); i++)
        if (o->transports[i] > HWS_PROHIBIT || (o->transports[i] && i >= TRANSPORT_COUNT))
            return false;
    for (size_t i = 0; i < ARRAY_LEN(o->peer_fairness); i++)
        if (!may_prohibit(o->peer_fairness[i]))
            return false;
    if (o->flags & HWS_THREAD && !may_prohibit(o->transports[HWS_SCTP])) /* usrsctp's state is the process's */
        return false;
    if ((o->flags & HWS_THREAD && o->flags & HWS_PLAIN) || o->encryption > HWS_AVOID || o->multipath > HWS_HANDOVER ||
        (o->multipath == HWS_HANDOVER && o->scheduler))
        return false;
    return o->loss_tolerance >= 0 && o->loss_tolerance <= 1 && (!o->scheduler || scheduler_find(o->scheduler));
}

_Static_assert((int)HWS_TCP == (int)TRANSPORT_TCP && (int)HWS_MPTCP == (int)TRANSPORT_MPTCP &&
                   (int)HWS_SCTP == (int)TRANSPORT_SCTP && (int)HWS_REQUIRE == (int)PREFERENCE_REQUIRE &&
                   (int)HWS_PREFER == (int)PREFERENCE_PREFER && (int)HWS_AVOID == (int)PREFERENCE_AVOID &&
                   (int)HWS_PROHIBIT == (int)PREFERENCE_PROHIBIT,
               "transports and preferences have the same numbers inside");

static struct session_preferences preferences_of(const struct hws_options *o)
{
    struct session_preferences p = { .latency_tolerance = o->latency_tolerance_us,
                                     .jitter_tolerance = o->jitter_tolerance_us,
                                     .loss_tolerance = o->loss_tolerance,
                                     .scheduler = o->scheduler ? scheduler_find(o->scheduler) : NULL };

    _Static_assert((int)HWS_THROUGHPUT == (int)OBJECTIVE_THROUGHPUT && (int)HWS_LATENCY == (int)OBJECTIVE_LATENCY &&
                       (int)HWS_JITTER == (int)OBJECTIVE_JITTER && (int)HWS_LOSS == (int)OBJECTIVE_LOSS,
                   "objectives have the same numbers inside");
    _Static_assert(sizeof(o->objectives) == sizeof(p.objectives), "and there are as many");
    memcpy(p.objectives, o->objectives, sizeof(p.objectives));
    if (o->multipath == HWS_INTERACTIVE && p.objectives[0] == OBJECTIVE_NONE)
        p.objectives[0] = OBJECTIVE_LATENCY;
    if (o->multipath == HWS_HANDOVER)
        p.scheduler = scheduler_find("handover");
    return p;
}

static struct terms terms_of(const struct hws_options *o, const struct session_preferences *p)
{
    struct terms t = { .fairness = (uint8_t)fairnesses[o->fairness] };

    _Static_assert((int)HWS_UNORDERED_LOSSY == (int)SEMANTICS_UNORDERED_LOSSY &&
                       (int)HWS_UNORDERED_LOSSLESS == (int)SEMANTICS_UNORDERED &&
                       (int)HWS_ORDERED_LOSSY == (int)SEMANTICS_LOSSY &&
                       (int)HWS_ORDERED_LOSSLESS == (int)SEMANTICS_ORDERED && (int)HWS_UDP == (int)TERMS_UDP &&
                       (int)HWS_SCTP == (int)TERMS_SCTP,
                   "semantics and transports have the same numbers inside");
    for (unsigned i = 0; i < ARRAY_LEN(o->semantics); i++) {
        t.semantics_required |= (uint8_t)((o->semantics[i] == HWS_REQUIRE) << i);
        t.semantics_prohibited |= (uint8_t)((o->semantics[i] == HWS_PROHIBIT) << i);
        t.objectives[i] = p->objectives[i];
        t.objectives_prohibited |= (uint8_t)((o->peer_objectives[i] == HWS_PROHIBIT) << (i + 1));
    }
    for (unsigned i = 0; i < ARRAY_LEN(o->peer_fairness); i++)
        t.fairness_prohibited |= (uint8_t)((o->peer_fairness[i] == HWS_PROHIBIT) << fairnesses[i]);
    return t;
}

bool options_read(const struct hws_options *given, struct hws_options *ret)
{
    *ret = (struct hws_options){ 0 };
    return (!given || take(given, ret)) && known(ret);
}

struct engine_options options_of_engine(const struct hws_options *o)
{
    struct engine_options e = {
        .delivery = { .send_bytes = o->send_bytes,
                      .receive_bytes = o->receive_bytes,
                      .unordered = o->flags & HWS_UNORDERED },
        .preferences = preferences_of(o),
        .wait = o->timeout_ms ? MAX((span)o->timeout_ms * MSEC, TIMEOUT_MIN) : 0,
        .fairness = { .mode = fairnesses[o->fairness], .congestion = controls[o->congestion] },
        .instance = o->instance,
        .clear = o->encryption == HWS_AVOID,
    };

    e.terms = terms_of(o, &e.preferences);
    return e;
}
