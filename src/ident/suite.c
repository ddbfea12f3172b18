/* ident/suite.c - see suite.h.
 *
 * AES-256-GCM with the instructions is about twice as fast as ChaCha20-Poly1305; without them it is several times
 * slower and not constant in time. So it is offered only where the processor has both.
 *
 * Sources: RFC 9001 section 6.6 and appendix B (limits); Noise revision 34 section 12 (names). */
#include "ident/suite.h"

#if defined(__aarch64__)
#include <sys/auxv.h>
#ifndef HWCAP_AES
#define HWCAP_AES (1 << 3)
#endif
#ifndef HWCAP_PMULL
#define HWCAP_PMULL (1 << 4)
#endif
#endif

static bool has_aes_instructions(void)
{
#if defined(__x86_64__) || defined(__i386__)
    return __builtin_cpu_supports("aes") && __builtin_cpu_supports("pclmul");
#elif defined(__aarch64__)
    unsigned long want = HWCAP_AES | HWCAP_PMULL;
    return (getauxval(AT_HWCAP) & want) == want;
#else
    return false;
#endif
}

uint8_t suite_supported(void)
{
    uint8_t set = SUITE_BIT(SUITE_CHACHA20_POLY1305);

    if (has_aes_instructions())
        set |= SUITE_BIT(SUITE_AES256_GCM);
    return set;
}

enum suite suite_choose(uint8_t mine, uint8_t theirs)
{
    return mine & theirs & SUITE_BIT(SUITE_AES256_GCM) ? SUITE_AES256_GCM : SUITE_CHACHA20_POLY1305;
}

bool suite_known(unsigned suite)
{
    return suite == SUITE_CHACHA20_POLY1305 || suite == SUITE_AES256_GCM;
}

const char *suite_noise_name(enum suite suite)
{
    return suite == SUITE_AES256_GCM ? "AESGCM" : "ChaChaPoly";
}

uint64_t suite_seal_limit(enum suite suite)
{
    return suite == SUITE_AES256_GCM ? SUITE_GCM_SEAL_LIMIT : SUITE_CHACHA_SEAL_LIMIT;
}

uint64_t suite_forgery_limit(enum suite suite)
{
    return suite == SUITE_AES256_GCM ? SUITE_GCM_FORGERY_LIMIT : SUITE_CHACHA_FORGERY_LIMIT;
}
