/* tests/unit/digest.h - SHA-256 of bytes that are all there. */
#pragma once

#include "ident/hash.h"
#include "tests/unit/test.h"

static inline void digest(const void *data, size_t len, uint8_t ret[32])
{
    struct sha256 *s = sha256_new();

    assert_non_null(s);
    assert_int_equal(sha256_update(s, data, len), 0);
    assert_int_equal(sha256_get(s, ret), 0);
    sha256_free(s);
}
