/* api/choice.c - see choice.h.
 *
 * Words as in RFC 9622 section 6.2. What is required is used, and nothing else. Without that, what is preferred is; and
 * without that, the first of those that nothing was said of: UDP, whose paths measure most and react first, and TCP
 * where UDP does not pass. What is to be avoided has paths that carry nothing as long as another works; it comes first
 * when all others are prohibited. A listener takes whatever is not prohibited, MPTCP and SCTP only when they were
 * named.
 */
#include "api/choice.h"

#define BIT(t) (uint8_t)(1u << (t))

static uint8_t those_with(const uint8_t preferences[TRANSPORT_COUNT], enum preference p)
{
    uint8_t found = 0;

    for (unsigned i = 0; i < TRANSPORT_COUNT; i++)
        found |= preferences[i] == p ? BIT(i) : 0;
    return found;
}

/* One of them. */
static uint8_t first_of(uint8_t transports, bool hasty)
{
    /* Behind a loss a stream holds up what has come; of SCTP's unordered messages none waits for another. */
    static const uint8_t orders[2][TRANSPORT_COUNT] = {
        { TRANSPORT_UDP, TRANSPORT_TCP, TRANSPORT_MPTCP, TRANSPORT_SCTP },
        { TRANSPORT_UDP, TRANSPORT_SCTP, TRANSPORT_TCP, TRANSPORT_MPTCP },
    };

    for (unsigned i = 0; i < TRANSPORT_COUNT; i++)
        if (transports & BIT(orders[hasty][i]))
            return BIT(orders[hasty][i]);
    return 0;
}

bool choose_transports(const uint8_t preferences[TRANSPORT_COUNT], bool hasty, bool listens,
                       struct engine_transports *ret)
{
    uint8_t required = those_with(preferences, PREFERENCE_REQUIRE);
    uint8_t preferred = those_with(preferences, PREFERENCE_PREFER);
    uint8_t avoided = those_with(preferences, PREFERENCE_AVOID);
    uint8_t unsaid = those_with(preferences, PREFERENCE_NONE);
    struct engine_transports t = { .required = required, .asked = required | preferred };

    if (required) {
        t.used = required;
    } else if (listens) {
        t.used = preferred | avoided | (unsaid & (BIT(TRANSPORT_UDP) | BIT(TRANSPORT_TCP)));
        if (!(t.used & (t.asked | BIT(TRANSPORT_UDP))))
            t.asked = first_of(t.used, false); /* it is all there is */
    } else {
        t.used = preferred ? preferred : first_of(unsaid ? unsaid : avoided, hasty);
        t.spares = avoided & (uint8_t)~t.used;
        t.tcp_instead = (t.used & BIT(TRANSPORT_UDP)) && (unsaid & BIT(TRANSPORT_TCP));
    }
    *ret = t;
    return t.used != 0;
}
