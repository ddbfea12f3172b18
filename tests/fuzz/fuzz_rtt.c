/* Fuzz target: measured round trips (bench/rtt.h). What is accepted has none that is 0 or less but on the diagonal. */
#include "bench/rtt.h"

#include <assert.h>
#include <errno.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char err[RTT_ERROR_MAX] = "";
    struct rtt m;
    int r = rtt_parse(&m, (const char *)data, size, "file", err);

    if (r < 0) {
        assert(r == -ENOMEM || strncmp(err, "file:", 5) == 0);
        return 0;
    }
    assert(m.count >= 2 && m.count <= RTT_NODES_MAX);
    for (size_t i = 0; i < m.count * m.count; i++)
        assert(i / m.count == i % m.count ? m.ms[i] == 0 : m.ms[i] > 0);
    rtt_deinit(&m);
    return 0;
}
