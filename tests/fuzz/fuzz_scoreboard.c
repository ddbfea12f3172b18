/* Fuzz target: a row of a scoreboard as text (path/scoreboard.h). What is accepted must format to a text that parses to
 * the same row, and may be learned; and as a line of them. */
#include "path/scoreboard.h"

#include <assert.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char text[1024], once[SCOREBOARD_TEXT_MAX], twice[SCOREBOARD_TEXT_MAX];
    struct scoreboard *b;
    struct scoreboard_key k, again;
    struct scoreboard_row row, row_again;

    if (size >= sizeof(text))
        return 0;
    if (size > 0)
        memcpy(text, data, size);
    text[size] = '\0';
    b = scoreboard_new(2, 0);
    if (!b)
        return 0;
    scoreboard_learn_text(b, text, 1000 * SEC);
    assert(scoreboard_count(b) <= 2);
    scoreboard_free(b);
    if (scoreboard_parse(text, &k, &row) < 0)
        return 0;
    scoreboard_format(&k, &row, once);
    assert(strlen(once) < SCOREBOARD_TEXT_MAX - 1);
    assert(scoreboard_parse(once, &again, &row_again) == 0);
    scoreboard_format(&again, &row_again, twice);
    assert(strcmp(once, twice) == 0);
    b = scoreboard_new(2, 0);
    if (!b)
        return 0;
    scoreboard_learn(b, &k, &row, 1000 * SEC);
    if (row.age < SCOREBOARD_LIFE) {
        assert(scoreboard_get(b, &k, 1000 * SEC, &row_again));
        assert(row_again.srtt == row.srtt && row_again.age == row.age);
        (void)scoreboard_share_bps(&row_again);
    }
    scoreboard_free(b);
    return 0;
}
