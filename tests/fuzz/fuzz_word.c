/* Fuzz target of wire/word: what is read is written again as the same bytes, and so is a judgement. */
#include "wire/word.h"

#include <assert.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    uint8_t out[WORD_ADMIT_MAX];
    struct judgement j;
    struct word w;

    if (word_read(data, size, &w) == 0) {
        assert(w.type < WORD_TYPE_COUNT && size <= sizeof(out));
        assert(w.noise.len == 0 || w.noise.data + w.noise.len == data + size);
        assert(word_write(&w, out, sizeof(out)) == size && memcmp(out, data, size) == 0);
    }
    if (judgement_read(data, size, &j) == 0) {
        assert(size == WORD_JUDGEMENT_LEN && (j.refusal == WORD_ADMITTED) == (j.lifetime_s > 0));
        judgement_write(&j, out);
        assert(memcmp(out, data, size) == 0);
    }
    return 0;
}
