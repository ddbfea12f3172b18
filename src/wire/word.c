/* wire/word.c - see word.h.
 *
 * Limits: WORD_ADMIT_MAX, which is less than a packet of a client may be.
 * Sources: The Noise Protocol Framework, revision 34, section 7.5 (IK): lengths of its messages. */
#include "wire/word.h"

#include "wire/cursor.h"

#include <errno.h>

size_t word_write(const struct word *word, uint8_t *buf, size_t size)
{
    struct writer w = writer_init(buf, size);

    write_u8(&w, word->type);
    write_u8(&w, 0);
    switch (word->type) {
    case WORD_ASK:
        for (size_t i = 0; i < WORD_NONCE_LEN; i++)
            write_u8(&w, 0);
        break;
    case WORD_DEMAND:
        write_bytes(&w, word->nonce, sizeof(word->nonce));
        break;
    case WORD_ADMIT:
        write_bytes(&w, word->nonce, sizeof(word->nonce));
        write_bytes(&w, word->noise.data, word->noise.len);
        break;
    case WORD_VERDICT:
        write_bytes(&w, word->noise.data, word->noise.len);
        break;
    case WORD_OPEN:
        break;
    default:
        return 0;
    }
    return w.failed ? 0 : writer_len(&w);
}

static void read_rest(struct reader *r, size_t min, size_t max, struct slice *ret)
{
    ret->len = reader_left(r);
    ret->data = read_bytes(r, ret->len);
    r->failed |= ret->len < min || ret->len > max;
}

int word_read(const uint8_t *data, size_t len, struct word *ret)
{
    struct reader r = reader_init(data, len);
    struct word word = { .type = read_u8(&r) };

    r.failed |= read_u8(&r) != 0;
    switch (word.type) {
    case WORD_ASK:
        for (size_t i = 0; i < WORD_NONCE_LEN; i++)
            r.failed |= read_u8(&r) != 0;
        break;
    case WORD_DEMAND:
        read_copy(&r, word.nonce, sizeof(word.nonce));
        break;
    case WORD_ADMIT:
        read_copy(&r, word.nonce, sizeof(word.nonce));
        read_rest(&r, WORD_NOISE1_MIN, WORD_NOISE1_MIN + WORD_CHAIN_MAX, &word.noise);
        break;
    case WORD_VERDICT:
        read_rest(&r, WORD_NOISE2_LEN, WORD_NOISE2_LEN, &word.noise);
        break;
    case WORD_OPEN:
        break;
    default:
        return -EBADMSG;
    }
    if (!reader_done(&r))
        return -EBADMSG;
    *ret = word;
    return 0;
}

void judgement_write(const struct judgement *j, uint8_t out[WORD_JUDGEMENT_LEN])
{
    out[0] = j->refusal;
    put_be32(out + 1, j->lifetime_s);
}

int judgement_read(const uint8_t *data, size_t len, struct judgement *ret)
{
    struct reader r = reader_init(data, len);
    struct judgement j;

    j.refusal = read_u8(&r);
    j.lifetime_s = read_u32(&r);
    if (!reader_done(&r) || j.refusal >= WORD_REFUSAL_COUNT || (j.refusal == WORD_ADMITTED) != (j.lifetime_s > 0))
        return -EBADMSG;
    *ret = j;
    return 0;
}

const char *word_refusal_name(unsigned refusal)
{
    static const char *const names[WORD_REFUSAL_COUNT] = { "none", "unknown", "certificate", "full", "network" };

    return refusal < WORD_REFUSAL_COUNT ? names[refusal] : "?";
}
