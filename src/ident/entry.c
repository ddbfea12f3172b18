/* ident/entry.c - see entry.h.
 *
 * Each record is signed already; the entry's signature says that this realm said it, then and there, and nothing
 * between. What is signed is the label, and the BLAKE2s digest of all before the signature: entries may be megabytes,
 * and Ed25519 reads what it signs twice.
 *
 * Limits: 65,535 records. Source: the chain of digests is that of RFC 9162's ancestors; a tree is not needed by readers
 * that follow a whole log. */
#include "ident/entry.h"

#include "ident/hash.h"

#include <errno.h>

static const char entry_label[] = "hawser log entry v1"; /* its NUL is signed too */

#define MESSAGE_LEN (sizeof(entry_label) + BLAKE2S_LEN)

static void message(const uint8_t *bytes, size_t len, uint8_t out[MESSAGE_LEN])
{
    memcpy(out, entry_label, sizeof(entry_label));
    blake2s(out + sizeof(entry_label), HASH_PARTS({ bytes, len }));
}

int entry_encode(uint64_t index, enum entry_part part, const uint8_t before[ENTRY_DIGEST_LEN],
                 const struct slice *records, size_t count, const uint8_t ed25519_seed[IDENT_KEY_LEN], uint8_t *out,
                 size_t size, size_t *ret_len)
{
    struct writer w = writer_init(out, size);
    uint8_t signed_message[MESSAGE_LEN], signature[SIGNATURE_LEN];
    int r;

    if (count == 0 || count > ENTRY_RECORDS_MAX)
        return -EINVAL;
    write_u8(&w, (uint8_t)(part << 4 | ENTRY_VERSION));
    write_u64(&w, index);
    write_bytes(&w, before, ENTRY_DIGEST_LEN);
    write_u16(&w, (uint16_t)count);
    for (size_t i = 0; i < count; i++) {
        if (records[i].len == 0 || records[i].len > RECORD_BYTES_MAX)
            return -EINVAL;
        write_u16(&w, (uint16_t)records[i].len);
        write_bytes(&w, records[i].data, records[i].len);
    }
    if (w.failed)
        return -ENOSPC;
    message(out, writer_len(&w), signed_message);
    r = ed25519_sign(ed25519_seed, signed_message, sizeof(signed_message), signature);
    if (r < 0)
        return r;
    write_bytes(&w, signature, sizeof(signature));
    if (w.failed)
        return -ENOSPC;
    *ret_len = writer_len(&w);
    return 0;
}

int entry_decode(const uint8_t *bytes, size_t len, struct entry *ret)
{
    struct reader r;
    struct entry e;
    uint8_t first;

    if (len < SIGNATURE_LEN)
        return -EPROTO;
    r = reader_init(bytes, len - SIGNATURE_LEN);
    first = read_u8(&r);
    if ((first & 15) != ENTRY_VERSION || first >> 4 >= ENTRY_PART_COUNT)
        return -EPROTO;
    e.part = (enum entry_part)(first >> 4);
    e.index = read_u64(&r);
    read_copy(&r, e.before, sizeof(e.before));
    e.count = read_u16(&r);
    e.records = r.at;
    e.records_len = reader_left(&r);
    for (uint16_t i = 0; i < e.count; i++) {
        uint16_t n = read_u16(&r);

        if (n == 0 || n > RECORD_BYTES_MAX)
            return -EPROTO;
        read_bytes(&r, n);
    }
    if (!reader_done(&r) || e.count == 0)
        return -EPROTO;
    *ret = e;
    return 0;
}

int entry_verify(const uint8_t *bytes, size_t len, const uint8_t ed25519[IDENT_KEY_LEN])
{
    uint8_t signed_message[MESSAGE_LEN];

    if (len < SIGNATURE_LEN)
        return -EBADMSG;
    message(bytes, len - SIGNATURE_LEN, signed_message);
    return ed25519_verify(ed25519, signed_message, sizeof(signed_message), bytes + len - SIGNATURE_LEN);
}

bool entry_next(struct entry *e, struct slice *ret)
{
    struct reader r = reader_init(e->records, e->records_len);
    uint16_t n;

    if (e->count == 0)
        return false;
    n = read_u16(&r);
    *ret = (struct slice){ .data = read_bytes(&r, n), .len = n };
    e->records = r.at;
    e->records_len = reader_left(&r);
    e->count--;
    return true;
}

void entry_digest(const uint8_t *bytes, size_t len, uint8_t out[ENTRY_DIGEST_LEN])
{
    blake2s(out, HASH_PARTS({ bytes, len }));
}
