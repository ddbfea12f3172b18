/* session/terms.c - see terms.h.
 *
 * A refusal is a number: its upper four bits say what kind of term it is, the lower four which of them.
 *
 * Wire: u8 semantics required | u8 semantics prohibited | u16 objectives, 4 bits each, the first in the highest |
 * u8 objectives prohibited | u8 fairness | u8 fairness prohibited | u8 transports | u8 refused. */
#include "session/terms.h"

enum kind {
    KIND_SEMANTICS = 1,   /* the initiator requires what the responder prohibits */
    KIND_SEMANTICS_ASKED, /* the other way round */
    KIND_OBJECTIVE,
    KIND_FAIRNESS,       /* of what the initiator sends */
    KIND_FAIRNESS_ASKED, /* of what the responder sends */
    KIND_TRANSPORTS,
};

void terms_write(struct writer *w, const struct terms *t)
{
    uint16_t objectives = 0;

    for (unsigned i = 0; i < TERMS_OBJECTIVES; i++)
        objectives = (uint16_t)(objectives << 4 | (t->objectives[i] & 0xf));
    write_u8(w, t->semantics_required);
    write_u8(w, t->semantics_prohibited);
    write_u16(w, objectives);
    write_u8(w, t->objectives_prohibited);
    write_u8(w, t->fairness);
    write_u8(w, t->fairness_prohibited);
    write_u8(w, t->transports);
    write_u8(w, t->refused);
}

void terms_read(struct reader *r, struct terms *ret)
{
    uint16_t objectives;

    ret->semantics_required = read_u8(r);
    ret->semantics_prohibited = read_u8(r);
    objectives = read_u16(r);
    for (unsigned i = 0; i < TERMS_OBJECTIVES; i++)
        ret->objectives[i] = (uint8_t)(objectives >> (12 - 4 * i) & 0xf);
    ret->objectives_prohibited = read_u8(r);
    ret->fairness = read_u8(r);
    ret->fairness_prohibited = read_u8(r);
    ret->transports = read_u8(r);
    ret->refused = read_u8(r);
}

static uint8_t refusal(enum kind kind, unsigned which)
{
    return (uint8_t)((unsigned)kind << 4 | (which & 0xf));
}

static bool prohibits(uint8_t bits, uint8_t which)
{
    return which < 8 && (bits & 1u << which);
}

uint8_t terms_conflict(const struct terms *responder, const struct terms *initiator)
{
    unsigned a = initiator->semantics_required & responder->semantics_prohibited;
    unsigned b = responder->semantics_required & initiator->semantics_prohibited;

    if (a)
        return refusal(KIND_SEMANTICS, (unsigned)__builtin_ctz(a));
    if (b)
        return refusal(KIND_SEMANTICS_ASKED, (unsigned)__builtin_ctz(b));
    for (unsigned i = 0; i < TERMS_OBJECTIVES; i++)
        if (initiator->objectives[i] > 0 && prohibits(responder->objectives_prohibited, initiator->objectives[i]))
            return refusal(KIND_OBJECTIVE, initiator->objectives[i]);
    if (prohibits(responder->fairness_prohibited, initiator->fairness))
        return refusal(KIND_FAIRNESS, initiator->fairness);
    if (prohibits(initiator->fairness_prohibited, responder->fairness))
        return refusal(KIND_FAIRNESS_ASKED, responder->fairness);
    if (initiator->transports && responder->transports && !(initiator->transports & responder->transports))
        return refusal(KIND_TRANSPORTS, 0);
    return 0;
}

const char *terms_refusal_name(uint8_t refused)
{
    static const char *const names[][5] = {
        [KIND_SEMANTICS] = { "it does not take unordered, lossy delivery",
                             "it does not take unordered, lossless delivery",
                             "it does not take ordered, lossy delivery",
                             "it does not take ordered, lossless delivery" },
        [KIND_SEMANTICS_ASKED] = { "it requires unordered, lossy delivery", "it requires unordered, lossless delivery",
                                   "it requires ordered, lossy delivery", "it requires ordered, lossless delivery" },
        [KIND_OBJECTIVE] = { NULL, "it does not send for throughput", "it does not send for latency",
                             "it does not send for jitter", "it does not send for loss" },
        [KIND_FAIRNESS] = { "it does not take independent paths", "it does not take coupled paths",
                            "it does not take paths that are coupled where they share a bottleneck" },
        [KIND_FAIRNESS_ASKED] = { "it sends by independent paths", "it sends by coupled paths",
                                  "it sends by paths that are coupled where they share a bottleneck" },
        [KIND_TRANSPORTS] = { "it has no transport in common" },
    };
    unsigned kind = refused >> 4, which = refused & 0xf;
    const char *name = kind < ARRAY_LEN(names) && which < ARRAY_LEN(names[0]) ? names[kind][which] : NULL;

    return name ? name : "by a term that is not known here";
}
