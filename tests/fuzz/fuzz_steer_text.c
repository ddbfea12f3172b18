/* Fuzz target: the text of a steering rule (tunnel/steer.h). What is accepted must format to a text that parses to the
 * same rule; what is refused must come with a reason. */
#include "tunnel/steer.h"

#include <assert.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char text[1024], once[STEER_TEXT_MAX], twice[STEER_TEXT_MAX], err[STEER_ERROR_MAX] = "";
    struct steer_rule rule, again;
    int r;

    if (size >= sizeof(text))
        return 0;
    if (size > 0)
        memcpy(text, data, size);
    text[size] = '\0';
    r = steer_rule_parse(text, &rule, err, sizeof(err));
    if (r < 0) {
        assert(err[0] != '\0');
        return 0;
    }
    steer_rule_format(&rule, r == 1, once);
    assert(strlen(once) < STEER_TEXT_MAX - 1);
    assert(steer_rule_parse(once, &again, err, sizeof(err)) == r);
    assert(memcmp(&again.action, &rule.action, sizeof(rule.action)) == 0);
    steer_rule_format(&again, r == 1, twice);
    assert(strcmp(once, twice) == 0);
    return 0;
}
