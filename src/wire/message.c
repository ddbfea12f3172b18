/* wire/message.c - see message.h. Limits: 8 addresses, 8 endpoints, MTU 576..65535. */
#include "wire/message.h"

void addresses_message_write(struct writer *w, const struct addresses_message *m)
{
    write_u8(w, MESSAGE_ADDRESSES);
    write_u8(w, m->count);
    for (unsigned i = 0; i < m->count; i++)
        endpoint_write(w, &m->endpoints[i]);
}

void addresses_message_read(struct reader *r, struct addresses_message *ret)
{
    ret->count = read_u8(r);
    if (ret->count > CONFIG_ENDPOINTS_MAX)
        r->failed = true;
    for (unsigned i = 0; i < ret->count && !r->failed; i++)
        endpoint_read(r, &ret->endpoints[i]);
    if (!reader_done(r))
        r->failed = true;
}

void config_message_write(struct writer *w, const struct config_message *m)
{
    write_u8(w, MESSAGE_CONFIG);
    write_u16(w, m->mtu);
    write_u32(w, m->wait_s);
    write_u8(w, m->addresses_count);
    for (unsigned i = 0; i < m->addresses_count; i++)
        prefix_write(w, &m->addresses[i]);
    write_u8(w, m->endpoints_count);
    for (unsigned i = 0; i < m->endpoints_count; i++)
        endpoint_write(w, &m->endpoints[i]);
}

void config_message_read(struct reader *r, struct config_message *ret)
{
    struct config_message m = { 0 };

    m.mtu = read_u16(r);
    m.wait_s = read_u32(r);
    m.addresses_count = read_u8(r);
    if (m.mtu < 576 || m.addresses_count > CONFIG_ADDRESSES_MAX)
        r->failed = true;
    for (unsigned i = 0; i < m.addresses_count && !r->failed; i++)
        prefix_read(r, &m.addresses[i]);
    m.endpoints_count = read_u8(r);
    if (m.endpoints_count > CONFIG_ENDPOINTS_MAX)
        r->failed = true;
    for (unsigned i = 0; i < m.endpoints_count && !r->failed; i++)
        endpoint_read(r, &m.endpoints[i]);
    if (!r->failed)
        *ret = m;
}

void channel_open_write(struct writer *w, const struct channel_open *m)
{
    write_u8(w, MESSAGE_CHANNEL_OPEN);
    write_u16(w, m->channel);
    endpoint_write(w, &m->from);
    endpoint_write(w, &m->to);
}

void channel_open_read(struct reader *r, struct channel_open *ret)
{
    struct channel_open m = { 0 };

    m.channel = read_u16(r);
    endpoint_read(r, &m.from);
    endpoint_read(r, &m.to);
    if (!reader_done(r) || m.channel == 0 || m.from.addr.family != m.to.addr.family || m.from.port == 0 ||
        m.to.port == 0)
        r->failed = true;
    if (!r->failed)
        *ret = m;
}
