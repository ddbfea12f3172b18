/* path/kernel.c - the control of a path over a connection that the kernel, or a library, governs: it has none of its
 * own.
 *
 * What may leave is what the connection takes without letting it wait for long before it is first sent; the owner says
 * how much that is (struct path_transport), and with it what the connection knows of the way. Its rate is what it
 * delivers; a sample that the application limited can only raise it. */
#include "path/cc.h"

struct kernel {
    uint64_t rate_bps;
    bool counted; /* a sample that was not limited by the application came */
    uint64_t window_bytes;
};

static void kernel_init(void *state, const struct cc_start *start, instant now)
{
    *(struct kernel *)state = (struct kernel){ .window_bytes = start->record_bytes };
}

static enum cc_verdict kernel_on_ack(void *state, const struct cc_ack *a, instant now, span *ret_min_rtt)
{
    return CC_NOTHING;
}

static void kernel_on_transport(void *state, const struct cc_transport *t)
{
    struct kernel *k = state;

    if (t->rate_bps > 0 && (!t->rate_is_lower_bound || t->rate_bps > k->rate_bps))
        k->rate_bps = t->rate_bps;
    if (t->rate_bps > 0)
        k->counted = !t->rate_is_lower_bound;
    k->window_bytes = MAX(t->inflight_bytes + t->room_bytes, UINT64_C(1));
}

/* Before there is a sample: the window of a round trip. */
static struct cc_speed kernel_speed(const void *state, span srtt, span min_rtt)
{
    const struct kernel *k = state;
    uint64_t guess = k->window_bytes * 8 * (uint64_t)SEC / (uint64_t)MAX(srtt, MSEC);

    return (struct cc_speed){ .pacing_bps = MAX(k->rate_bps ? k->rate_bps : guess, UINT64_C(1)),
                              .window_bytes = k->window_bytes };
}

static struct cc_info kernel_info(const void *state)
{
    const struct kernel *k = state;

    return (struct cc_info){ .rate_bps = k->rate_bps, .sought = !k->counted };
}

const struct cc_ops cc_kernel = {
    .name = "kernel",
    .state_bytes = sizeof(struct kernel),
    .init = kernel_init,
    .on_ack = kernel_on_ack,
    .speed = kernel_speed,
    .info = kernel_info,
    .on_transport = kernel_on_transport,
};
