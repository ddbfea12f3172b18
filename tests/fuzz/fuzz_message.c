/* Fuzz target of wire/message: a configuration that is accepted is within its limits, and what is written of it reads
 * back the same. The bytes need not be: a newer agent may add fields. Of a request for a channel the bytes are the
 * same, too. */
#include "wire/message.h"

#include <assert.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void channel(const uint8_t *data, size_t size)
{
    uint8_t buf[64];
    struct reader r = reader_init(data, size);
    struct writer w = writer_init(buf, sizeof(buf));
    struct channel_open m = { 0 };

    channel_open_read(&r, &m);
    if (r.failed) {
        assert(m.channel == 0); /* nothing was written */
        return;
    }
    assert(m.channel != 0 && m.from.port != 0 && m.to.port != 0 && m.from.addr.family == m.to.addr.family);
    assert(m.from.addr.family == ADDR_V4 || m.from.addr.family == ADDR_V6);
    channel_open_write(&w, &m);
    assert(!w.failed && buf[0] == MESSAGE_CHANNEL_OPEN && writer_len(&w) == size + 1);
    assert(memcmp(buf + 1, data, size) == 0);
}

static void addresses(const uint8_t *data, size_t size)
{
    uint8_t buf[512];
    struct reader r = reader_init(data, size);
    struct writer w = writer_init(buf, sizeof(buf));
    struct addresses_message m = { 0 };

    addresses_message_read(&r, &m);
    if (r.failed)
        return;
    assert(m.count <= CONFIG_ENDPOINTS_MAX);
    addresses_message_write(&w, &m);
    assert(!w.failed && buf[0] == MESSAGE_ADDRESSES && writer_len(&w) == size + 1 && memcmp(buf + 1, data, size) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    uint8_t buf[512];
    struct reader r = reader_init(data, size);
    struct writer w = writer_init(buf, sizeof(buf));
    struct config_message m = { 0 }, again = { 0 };

    channel(data, size);
    addresses(data, size);
    config_message_read(&r, &m);
    if (r.failed)
        return 0;
    assert(m.addresses_count <= CONFIG_ADDRESSES_MAX && m.endpoints_count <= CONFIG_ENDPOINTS_MAX);
    config_message_write(&w, &m);
    assert(!w.failed && buf[0] == MESSAGE_CONFIG);
    r = reader_init(buf + 1, writer_len(&w) - 1);
    config_message_read(&r, &again);
    assert(reader_done(&r));
    assert(again.mtu == m.mtu && again.wait_s == m.wait_s && again.addresses_count == m.addresses_count &&
           again.endpoints_count == m.endpoints_count);
    for (unsigned i = 0; i < m.addresses_count; i++)
        assert(prefix_equal(&again.addresses[i], &m.addresses[i]));
    for (unsigned i = 0; i < m.endpoints_count; i++)
        assert(endpoint_equal(&again.endpoints[i], &m.endpoints[i]));
    return 0;
}
