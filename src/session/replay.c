/* session/replay.c - which counters have been seen.
 *
 * Theory of operation. The window is a ring of 64-bit words indexed by counter / 64. When the highest counter moves to
 * a later word, the words in between are cleared, so the window slides by words and no bit is ever shifted; the price
 * is the word that may be only partly used, hence a window of bits - 64.
 *
 * Limits: 128 to 2^20 bits, a power of two. A check is O(1); a step forward clears at most bits / 64 words.
 *
 * Sources: RFC 6479; RFC 4303 section 3.4.3 (check before, set after authentication). */
#include "session/replay.h"

#include <assert.h>

#define WORD_BITS 64u

_Static_assert(offsetof(struct replay_record, words) == sizeof(struct replay), "the words follow the head");
_Static_assert(offsetof(struct replay_seq, words) == sizeof(struct replay), "the words follow the head");

/* Through char: the words are not part of the head but of the struct around it. */
static uint64_t *word_of(const struct replay *r, uint64_t counter)
{
    uint64_t index = counter / WORD_BITS & (r->bits / WORD_BITS - 1);

    return (uint64_t *)(void *)((char *)(uintptr_t)r + sizeof(*r) + index * sizeof(uint64_t));
}

static uint64_t bit_of(uint64_t counter)
{
    return (uint64_t)1 << counter % WORD_BITS;
}

void replay_init(struct replay *r, size_t bits)
{
    assert(bits >= 2 * WORD_BITS && bits <= 1u << 20 && (bits & (bits - 1)) == 0);
    r->next = 0;
    r->bits = bits;
    memset((char *)(uintptr_t)r + sizeof(*r), 0, bits / 8);
}

bool replay_check(const struct replay *r, uint64_t counter)
{
    if (counter >= r->next)
        return counter != UINT64_MAX;
    if (r->next - 1 - counter > r->bits - WORD_BITS)
        return false;
    return !(*word_of(r, counter) & bit_of(counter));
}

bool replay_check_and_set(struct replay *r, uint64_t counter)
{
    if (!replay_check(r, counter))
        return false;
    if (counter >= r->next) {
        /* The word of the highest counter so far stays; before the first counter, word 0 is the clear one. */
        uint64_t word = r->next == 0 ? 0 : (r->next - 1) / WORD_BITS;
        uint64_t steps = MIN(counter / WORD_BITS - word, r->bits / WORD_BITS);

        for (uint64_t i = 1; i <= steps; i++)
            *word_of(r, (word + i) * WORD_BITS) = 0;
        r->next = counter + 1;
    }
    *word_of(r, counter) |= bit_of(counter);
    return true;
}
