/* A configuration file from memory: any bytes give a configuration or at least one error line, never both. */
#include "prog/config.h"

#include <errno.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static char lines[32768];
    struct config *c = NULL;
    struct text errors;
    int r;

    text_init(&errors, lines, sizeof(lines));
    r = config_parse("f", (const char *)data, size, &errors, &c);
    if (r == 0 ? (!c || c->wait < SEC || !c->control) : (c != NULL || (r != -ENOMEM && errors.len == 0)))
        __builtin_trap();
    config_free(c);
    return 0;
}
