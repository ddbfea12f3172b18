/* ident/schedule.c - see schedule.h.
 *
 * Each value is keyed BLAKE2s, key = master, over a label of fixed length and the value's own coordinates. Labels
 * differ and have one length, so no two inputs are equal; BLAKE2s with a key is a pseudorandom function (RFC 7693), so
 * no value tells anything of another. Connection ids are hints for finding a session, not secrets: 56 bits make
 * a collision in a table of 2^20 paths a matter of 2^-17, and the AEAD then rejects the packet.
 *
 * Sources: RFC 7693; the labels are ours. */
#include "ident/schedule.h"

#include "ident/hash.h"

#define LABEL_LEN 16

static void derive(const uint8_t master[32], const char label[LABEL_LEN], uint32_t path_id, uint8_t direction,
                   uint8_t out[32])
{
    uint8_t where[5];

    put_be32(where, path_id);
    where[4] = direction;
    blake2s_keyed(out, master, HASH_PARTS({ label, LABEL_LEN }, { where, sizeof(where) }));
}

void schedule_path_key(const uint8_t master[32], uint32_t path_id, uint8_t direction, uint8_t key[32])
{
    derive(master, "hawser path key", path_id, direction, key);
}

uint64_t schedule_cid(const uint8_t master[32], uint32_t path_id, uint8_t direction)
{
    uint8_t out[32];
    uint64_t cid;

    derive(master, "hawser path cid", path_id, direction, out);
    cid = get_be64(out) >> (64 - SCHEDULE_CID_BITS);
    ident_wipe(out, sizeof(out));
    return cid;
}
