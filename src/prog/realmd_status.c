/* prog/realmd_status.c - what hawser-realmd says of itself at its control socket. */
#include "prog/realmd.h"

#include <unistd.h>

static json_t *counters(const uint64_t *values, size_t count, size_t from, const char *(*name)(unsigned))
{
    json_t *o = json_object();

    for (size_t i = from; o && i < count; i++)
        if (name((unsigned)i))
            json_object_set_new(o, name((unsigned)i), json_integer((json_int_t)values[i]));
    return o;
}

static const char *fault_name(unsigned i)
{
    return record_fault_name((enum record_fault)i);
}

static const char *drop_name(unsigned i)
{
    return exchange_drop_name((enum exchange_drop)i);
}

static json_t *exchange_json(const struct exchange *x)
{
    struct exchange_stats s;

    exchange_stats_get(x, &s);
    return json_pack("{s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:o}", "peers", (json_int_t)s.peers, "peers_up",
                     (json_int_t)s.peers_up, "handshakes", (json_int_t)s.handshakes, "requests", (json_int_t)s.requests,
                     "answers", (json_int_t)s.answers, "again", (json_int_t)s.again, "received",
                     (json_int_t)s.rx_datagrams, "sent", (json_int_t)s.tx_datagrams, "bytes", (json_int_t)s.memory,
                     "drops", counters(s.drops, EXCHANGE_DROP_COUNT, 0, drop_name));
}

static json_t *parent_json(const struct realmd *d, instant now)
{
    if (!d->parent)
        return json_null();
    return json_pack("{s:s, s:f}", "state", holder_state_name(d->announced.state), "left_s",
                     d->announced.state == HOLDER_REGISTERED ? (double)(d->announced.until - now) / 1e6 : 0.0);
}

json_t *realmd_status(struct realmd *d, instant now)
{
    const struct chain_end *self = authority_self(manager_authority(d->manager));
    struct manager_stats s;
    char tag[TAG_STRLEN];

    manager_get_stats(d->manager, &s);
    return json_pack(
        "{s:b, s:i, s:s, s:f, s:s, s:s, s:I, s:s, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:o, s:o, "
        "s:o, s:o, s:o, s:o, s:o, s:o}",
        "ok", true, "pid", (int)getpid(), "version", HAWSER_VERSION, "uptime_s", (double)(now - d->started) / 1e6,
        "realm", self->name, "tag", tag_format(&self->tag, tag), "entries", (json_int_t)d->entries, "folder_error",
        d->folder_error, "names", (json_int_t)s.names, "bindings", (json_int_t)s.bindings, "live",
        (json_int_t)s.bindings_live, "bytes", (json_int_t)s.bindings_bytes, "guests", (json_int_t)s.guests,
        "subscriptions", (json_int_t)s.subscriptions, "notices", (json_int_t)s.notices, "changes",
        (json_int_t)s.changes, "stored", (json_int_t)s.stored, "waiting", (json_int_t)d->waiting_count, "unknown",
        (json_int_t)s.unknown, "store",
        json_string(!d->store         ? "none"
                    : d->store_failed ? "failed"
                                      : "ok"),
        "parent", parent_json(d, now), "follow", follow_json(d, now), "log", log_json(d), "requests",
        counters(s.requests, MAPPING_TYPE_END, 1, mapping_type_name), "answers",
        counters(s.answers, MAPPING_STATUS_COUNT, 0, mapping_status_name), "refused",
        counters(s.refused, RECORD_FAULT_COUNT, 1, fault_name), "exchange", exchange_json(d->exchange));
}
