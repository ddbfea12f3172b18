/* ident/suite.h - cipher suites: which this machine should use, which two ends choose, and how far a key may go.
 *
 * A suite is a number on the wire (invites, records) and part of the Noise protocol name, so that nobody can downgrade
 * it: both ends compute the choice from what each has published. */
#pragma once

#include "base/base.h"

enum suite {
    SUITE_CHACHA20_POLY1305 = 1,
    SUITE_AES256_GCM = 2,
};

/* The bit of a suite in a set of suites. Bits 2 and 3 are for suites to come; a set has 4 bits on the wire. */
#define SUITE_BIT(s) ((uint8_t)(1u << ((s)-1)))
#define SUITES_KNOWN ((uint8_t)(SUITE_BIT(SUITE_CHACHA20_POLY1305) | SUITE_BIT(SUITE_AES256_GCM)))

/* Records that one key may seal under AES-GCM before it must be replaced: RFC 9001 section 6.6 (appendix B.1.1) for
 * packets of up to 2^16 bytes. ChaCha20-Poly1305 has no limit below the 2^62 packets that QUIC can number. */
#define SUITE_GCM_SEAL_LIMIT ((uint64_t)1 << 23)
#define SUITE_CHACHA_SEAL_LIMIT ((uint64_t)1 << 62)
/* Records that may fail to open under one key before it must be dropped: RFC 9001 section 6.6 (appendix B.1.2
 * for AES-GCM). */
#define SUITE_GCM_FORGERY_LIMIT ((uint64_t)1 << 52)
#define SUITE_CHACHA_FORGERY_LIMIT ((uint64_t)1 << 36)

/* The set of suites that this machine should offer: ChaCha20-Poly1305 always, AES-256-GCM only where the processor has
 * AES and carry-less multiplication; without them it is slow and its timing tells the key. */
uint8_t suite_supported(void);
/* What two ends with these sets use: AES-256-GCM if both have it, otherwise ChaCha20-Poly1305, which everyone has.
 * Symmetric; unknown bits are ignored. */
enum suite suite_choose(uint8_t mine, uint8_t theirs);
/* True for a suite that this build can run. */
bool suite_known(unsigned suite);
/* The cipher's part of a Noise protocol name: "ChaChaPoly" or "AESGCM". */
const char *suite_noise_name(enum suite suite);
uint64_t suite_seal_limit(enum suite suite);
uint64_t suite_forgery_limit(enum suite suite);
