/* wire/word.h - what client and router say to each other about credentials, behind a shim with the flag W (doc/dmux.md,
 * Admission). Gateways carry a word like a packet and know nothing of it.
 *
 *   u8 type | u8 0 | the word
 *   ASK      zeros, so that no answer is longer
 *   DEMAND   nonce 20
 *   ADMIT    nonce 20 | Noise IK message 1 of a chain (records in a row, or nothing)
 *   VERDICT  Noise IK message 2 of a judgement: u8 refusal | lifetime 4 (seconds; 0 with a refusal)
 *   OPEN
 *
 * Integers are big-endian. Other bytes, before or behind, are an error. */
#pragma once

#include "base/slice.h"

enum word_type {
    WORD_ASK = 1,     /* client -> router: do you ask for credentials, and if so by which nonce? */
    WORD_DEMAND = 2,  /* router -> client: show credentials */
    WORD_ADMIT = 3,   /* client -> router: here they are, for the provider's eyes */
    WORD_VERDICT = 4, /* router -> client: let in or not, which only the provider can say */
    WORD_OPEN = 5,    /* router -> client: nobody is asked here */
    WORD_TYPE_COUNT,
};

enum word_refusal {
    WORD_ADMITTED = 0,
    WORD_REFUSED_UNKNOWN,     /* neither listed nor of a realm whose members are let in */
    WORD_REFUSED_CERTIFICATE, /* the chain does not hold: forged, over, or of another key */
    WORD_REFUSED_FULL,        /* no more clients */
    WORD_REFUSED_NETWORK,     /* no more clients of that network */
    WORD_REFUSAL_COUNT,
};

#define WORD_HEADER_LEN 2 /* lengths are bytes */
#define WORD_NONCE_LEN 20
#define WORD_DEMAND_LEN (WORD_HEADER_LEN + WORD_NONCE_LEN)
#define WORD_NOISE1_MIN 96   /* Noise IK message 1 of no payload (ident/noise.h) */
#define WORD_CHAIN_MAX 1100  /* as of other certificates (dmux/credentials.h) */
#define WORD_JUDGEMENT_LEN 5 /* text of message 2 */
#define WORD_NOISE2_LEN (48 + WORD_JUDGEMENT_LEN)
#define WORD_VERDICT_LEN (WORD_HEADER_LEN + WORD_NOISE2_LEN)
#define WORD_ADMIT_MAX (WORD_DEMAND_LEN + WORD_NOISE1_MIN + WORD_CHAIN_MAX)

struct word {
    uint8_t type;                  /* enum word_type */
    uint8_t nonce[WORD_NONCE_LEN]; /* DEMAND, ADMIT */
    struct slice noise;            /* ADMIT, VERDICT: in the bytes that were read, or to be written */
};

/* The text of message 2. */
struct judgement {
    uint8_t refusal; /* enum word_refusal */
    uint32_t lifetime_s;
};

/* Writes the word; its length, 0: it does not fit size, or is none. */
size_t word_write(const struct word *w, uint8_t *buf, size_t size);
/* 0, -EBADMSG (length, type, a byte that is to be 0). */
MUST_CHECK int word_read(const uint8_t *data, size_t len, struct word *ret);
void judgement_write(const struct judgement *j, uint8_t out[WORD_JUDGEMENT_LEN]);
/* 0, -EBADMSG (length, no such refusal, a lifetime with a refusal or none without). */
MUST_CHECK int judgement_read(const uint8_t *data, size_t len, struct judgement *ret);
/* "unknown"; "?" for a number that is none. */
const char *word_refusal_name(unsigned refusal);
