/* Fuzz target of prog/dmux_config: any text is a configuration or gives errors, and what it gives BIRD for is bounded.
 */
#include "prog/bird_config.h"

#include <assert.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static char errors_buf[65536], bird[65536];
    struct dmux_config *c = NULL;
    struct text errors, t;
    int r;

    text_init(&errors, errors_buf, sizeof(errors_buf));
    text_init(&t, bird, sizeof(bird));
    r = dmux_config_parse("fuzz", (const char *)data, size, &errors, &c);
    if (r < 0) {
        assert(errors.len > 0 && strncmp(errors_buf, "fuzz:", 5) == 0);
        return 0;
    }
    assert(c->role != DMUX_ROLE_NONE && errors.len == 0);
    if (c->neighbors_count > 0)
        assert(bird_config_write(c, &t) == 0);
    dmux_config_free(c);
    return 0;
}
