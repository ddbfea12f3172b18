/* Fuzz target: a Mahimahi trace (sim/link.h). What is accepted never goes back, ends above 0, and drives a link. */
#include "sim/link.h"

#include <assert.h>
#include <errno.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char err[LINK_ERROR_MAX] = "";
    struct link_params p = { 0 };
    struct link_trace t;
    struct link_out out;
    struct link_dir l;
    int r = link_trace_parse((const char *)data, size, &t, err);

    if (r < 0) {
        assert(err[0] != '\0' || r == -ENOMEM);
        return 0;
    }
    assert(t.count > 0 && t.at_ms[t.count - 1] > 0);
    for (size_t i = 1; i < t.count; i++)
        assert(t.at_ms[i] >= t.at_ms[i - 1]);
    if (link_init(&l, 8, 1) == 0) {
        p.trace = &t;
        link_configure(&l, &p, 0);
        for (unsigned i = 0; i < 4; i++)
            assert(link_push(&l, &p, 1500, i * SEC) == LINK_QUEUED);
        for (unsigned i = 0; i < 4; i++)
            while (!link_pop(&l, link_next_expiry(&l), &out))
                ;
        assert(l.counters.delivered_pkts == 4);
        link_deinit(&l);
    }
    link_trace_deinit(&t);
    return 0;
}
