/* Fuzz target: an ISP's POPs (bench/topology.h); the first byte says of which form the rest is. What is accepted has a
 * latency between any two POPs, the same both ways, and no city twice. */
#include "bench/topology.h"

#include <assert.h>
#include <errno.h>
#include <math.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char err[TOPOLOGY_ERROR_MAX] = "";
    struct topology_isp isp;
    int r;

    if (size < 1)
        return 0;
    r = (*data == 'g' ? topology_read_graphml : topology_read_rocketfuel)(&isp, (const char *)data + 1, size - 1,
                                                                          "file", err);
    if (r < 0) {
        assert(r == -ENOMEM || strncmp(err, "file:", 5) == 0);
        return 0;
    }
    assert(isp.count > 0 && isp.count <= TOPOLOGY_ISP_POPS_MAX);
    for (size_t i = 0; i < isp.count; i++) {
        assert(*isp.pops[i].city && isp.ms[i * isp.count + i] == 0);
        for (size_t k = 0; k < i; k++) {
            assert(isfinite(isp.ms[i * isp.count + k]) && isp.ms[i * isp.count + k] == isp.ms[k * isp.count + i]);
            assert(strcmp(isp.pops[i].city, isp.pops[k].city) != 0);
        }
    }
    topology_isp_deinit(&isp);
    return 0;
}
