/* Fuzz target of wire/cbor: what is accepted has one encoding. It is read by the typed readers, written again and must
 * be the same bytes; what is refused is refused at a place inside the input. */
#include "wire/cbor.h"

#include <assert.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Writes the item at r again. False when it is of a type that the readers do not have. */
static bool again(struct cbor_reader *r, struct writer *w)
{
    const uint8_t *bytes;
    struct cbor_map m;
    uint64_t key, n;
    size_t len;

    switch (cbor_next_major(r)) {
    case CBOR_UINT:
        cbor_write_head(w, CBOR_UINT, cbor_read_uint(r, 0, UINT64_MAX));
        return true;
    case CBOR_BYTES:
        bytes = cbor_read_bytes(r, 0, SIZE_MAX, &len);
        cbor_write_bytes(w, bytes, len);
        return true;
    case CBOR_TEXT:
        bytes = (const uint8_t *)cbor_read_text(r, 0, SIZE_MAX, &len);
        cbor_write_text(w, (const char *)bytes, len);
        return true;
    case CBOR_ARRAY:
        n = cbor_read_array(r, 0, SIZE_MAX);
        cbor_write_head(w, CBOR_ARRAY, n);
        while (n-- > 0)
            if (!again(r, w))
                return false;
        return true;
    case CBOR_MAP:
        m = cbor_read_map(r, SIZE_MAX);
        cbor_write_head(w, CBOR_MAP, m.left);
        while (cbor_map_next(r, &m, &key)) {
            cbor_write_head(w, CBOR_UINT, key);
            if (!again(r, w))
                return false;
        }
        return m.left == 0;
    default:
        return false;
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static uint8_t out[1 << 20];
    struct cbor_reader r = cbor_reader_init(data, size);
    struct writer w = writer_init(out, sizeof(out));
    size_t len = 0, at = 0;
    enum cbor_fault fault = cbor_check(data, size, &len, &at);

    if (fault != CBOR_SOUND) {
        assert(fault < CBOR_FAULT_COUNT && at <= size);
        return 0;
    }
    assert(len > 0 && len <= size);
    if (size <= sizeof(out) && again(&r, &w)) {
        assert(r.fault == CBOR_SOUND && !w.failed);
        assert(writer_len(&w) == len && memcmp(out, data, len) == 0);
    }
    return 0;
}
