/* Fuzz target of wire/shim and wire/dmux: what is read lies inside the datagram, and a control message that is read is
 * written again as the same bytes. */
#include "wire/dmux.h"

#include <assert.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    uint8_t out[2048];
    struct dmux_message m;
    struct shim s;

    if (shim_parse(data, data + size, &s) != SHIM_OK)
        return 0;
    assert(s.len <= size && s.len <= SHIM_LEN_MAX && s.len == shim_len(s.flags));
    assert(s.provider != PROVIDER_INVALID && (s.flags & SHIM_RESERVED) == 0);
    assert(shim_put(out, s.flags, s.protocol, s.provider) == s.len && memcmp(out, data, SHIM_LEN) == 0);
    if (s.cookie_at)
        assert(s.cookie_at + SHIM_COOKIE_LEN <= s.len);
    if (s.client_at)
        assert(s.client_at + SHIM_CLIENT_LEN <= s.len);
    if (!(s.flags & SHIM_CONTROL) || dmux_read(&s, data, size, &m) < 0)
        return 0;
    if (size <= sizeof(out)) {
        size_t len = dmux_write(&m, out, sizeof(out));

        /* HELLO and ECHO may be longer: zeros */
        assert(len > 0 && len <= size && memcmp(out, data, len) == 0);
        assert(dmux_signed_len(data, size) <= size);
    }
    return 0;
}
