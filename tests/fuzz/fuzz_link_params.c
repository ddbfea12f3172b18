/* Fuzz target: a link's parameters (sim/link.h). What is accepted must format to a text that is accepted and formats to
 * itself; what is refused must come with a reason and change nothing. */
#include "sim/link.h"

#include <assert.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char text[2048], formatted[2][LINK_PARAMS_MAX], err[LINK_ERROR_MAX] = "";
    struct link_params p = { .delay = 7 };

    if (size >= sizeof(text))
        return 0;
    if (size > 0)
        memcpy(text, data, size);
    text[size] = '\0';
    if (link_params_parse(text, &p, err) < 0) {
        assert(err[0] != '\0' && p.delay == 7 && p.rate_bps == 0);
        return 0;
    }
    /* Twice: shares below the last place that is printed become zero at the first. */
    for (unsigned i = 0; i < 3; i++) {
        link_params_format(&p, formatted[i % 2]);
        assert(strlen(formatted[i % 2]) < LINK_PARAMS_MAX - 1);
        p = (struct link_params){ 0 };
        assert(link_params_parse(formatted[i % 2], &p, err) == 0);
    }
    assert(strcmp(formatted[0], formatted[1]) == 0);
    return 0;
}
