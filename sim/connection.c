/* sim/connection.c - see connection.h.
 *
 * Theory of operation. What comes out of the tunnel only goes into an end; everything an end says goes into the tunnel
 * when the connection's source fires, which is at once, and else at the next timer or within EVERY: so nothing calls
 * back into a node that is being driven. */
#include "sim/connection.h"

#include "sim/pattern.h"

#include <assert.h>
#include <errno.h>

#define EVERY MSEC
#define PIECE 16384
#define SERVER_PORT 80
#define CLIENT 0
#define SERVER 1

static struct tcp_end_options options(void)
{
    return (struct tcp_end_options){ .send_bytes = 4 << 20, .receive_bytes = 4 << 20, .mtu = 1400, .key = { 7 } };
}

static void write_some(struct connection_side *s, unsigned side)
{
    uint8_t buf[PIECE];
    int64_t r = 1;
    size_t room;

    while (r > 0 && s->written < s->total && (room = tcp_end_room(s->end)) > 0) {
        size_t len = (size_t)MIN(s->total - s->written, (uint64_t)MIN(room, sizeof(buf)));

        pattern_fill(buf, len, side, s->written);
        r = tcp_end_write(s->end, buf, len);
        s->written += (uint64_t)MAX(r, 0);
    }
    if (s->written == s->total && !s->finished) {
        tcp_end_finish(s->end);
        s->finished = true;
    }
}

static void read_some(struct connection *c, unsigned side, instant now)
{
    struct connection_side *s = &c->side[side];
    uint8_t buf[PIECE];
    bool any = false;
    size_t right;
    int64_t r;

    while (s->read < s->read_most &&
           (r = tcp_end_read(s->end, buf, (size_t)MIN(s->read_most - s->read, (uint64_t)sizeof(buf)))) > 0) {
        right = pattern_check(buf, (size_t)r, !side, s->read);
        if (right < (size_t)r)
            world_fail(c->node->world, "byte %llu of a connection is wrong", (unsigned long long)s->read + right);
        s->read += (uint64_t)r;
        any = true;
    }
    if (any) {
        if (s->last_read > 0)
            s->stall_max = MAX(s->stall_max, now - s->last_read);
        s->last_read = now;
    }
    s->at_end |= tcp_end_at_end(s->end);
}

static bool over(const struct connection_side *s)
{
    return s->error || (s->finished && s->at_end && (!s->end || tcp_end_flushed(s->end)));
}

static void serve(struct connection *c, unsigned side, instant now)
{
    struct connection_side *s = &c->side[side];
    uint8_t pkt[WORLD_PACKET_MAX];
    struct merged out;

    if (!s->end)
        return;
    if (tcp_end_next_expiry(s->end) <= now)
        tcp_end_on_expiry(s->end, now);
    if (side == CLIENT && c->connected_at == 0 && tcp_end_state(s->end) >= TCP_END_ESTABLISHED &&
        tcp_end_state(s->end) != TCP_END_CLOSED)
        c->connected_at = now;
    write_some(s, side);
    read_some(c, side, now);
    if (s->error == 0 && tcp_end_error(s->end))
        s->error = tcp_end_error(s->end);
    while (tcp_end_output(s->end, &out, now)) {
        size_t len = slices_gather(out.slices, out.count, pkt, sizeof(pkt));

        assert(len == out.len);
        if (c->tos[side]) {
            pkt[1] = c->tos[side];
            packet_fix_v4_header(pkt);
        }
        world_packet_in(side == CLIENT ? c->node : c->agent, pkt, len);
    }
}

static void fire(struct world *w, struct world_source *source)
{
    struct connection *c = CONTAINER_OF(source, struct connection, source);

    serve(c, CLIENT, w->now);
    serve(c, SERVER, w->now);
    if (c->done_at == 0 && connection_done(c))
        c->done_at = w->now;
    world_schedule(w, source, w->now + EVERY);
}

static bool is_of(const struct packet_info *info, const struct endpoint *from, const struct endpoint *to)
{
    return info->proto == PROTO_TCP && info->sport == from->port && info->dport == to->port &&
           addr_equal(&info->src, &from->addr) && addr_equal(&info->dst, &to->addr);
}

/* Another call by the same addresses, of a client that never heard of the one before. */
static void hang_up(struct connection_side *s)
{
    tcp_end_free(s->end);
    *s = (struct connection_side){ .total = s->total, .read_most = s->read_most };
}

static bool inner(void *ctx, struct world_end *e, const uint8_t *pkt, size_t len)
{
    struct connection *c = ctx;
    unsigned side = e == c->agent ? SERVER : CLIENT;
    const struct offload right = { .flags = OFFLOAD_DATA_VALID };
    struct tcp_end_options o = options();
    struct packet_info info;
    instant now = e->world->now;

    if (c->stopped || (e != c->agent && e != c->node) || packet_parse(pkt, len, &info) < 0 ||
        !is_of(&info, &c->at[!side], &c->at[side]))
        return false;
    if (side == SERVER && (info.tcp_flags & (TCP_SYN | TCP_ACK)) == TCP_SYN) {
        c->syns++;
        if (c->side[SERVER].error && c->connected_at == 0)
            hang_up(&c->side[SERVER]);
        if (!c->side[SERVER].end && !c->silent && tcp_end_new(&o, pkt, &info, now, &c->side[SERVER].end) == 0) {
            if (c->refuses)
                tcp_end_refuse(c->side[SERVER].end, TCP_REFUSED, NULL);
            else
                tcp_end_accept(c->side[SERVER].end, now);
            world_schedule(e->world, &c->source, now);
            return true;
        }
    }
    if (c->side[side].end)
        (void)tcp_end_input(c->side[side].end, pkt, &info, &right, now);
    world_schedule(e->world, &c->source, now);
    return true;
}

struct connection *connection_to(struct world_end *node, struct world_end *agent, uint16_t client_port,
                                 const struct endpoint *server, uint64_t up, uint64_t down)
{
    struct connection *c = calloc(1, sizeof(*c));
    const struct tcp_end_options o = options();
    struct world *w = node->world;

    assert(c);
    c->node = node;
    c->agent = agent;
    c->at[CLIENT] = (struct endpoint){ node->inner[0], client_port };
    c->at[SERVER] = *server;
    c->side[CLIENT] = (struct connection_side){ .total = up, .read_most = UINT64_MAX };
    c->side[SERVER] = (struct connection_side){ .total = down, .read_most = UINT64_MAX };
    if (tcp_end_connect(&o, &c->at[CLIENT], &c->at[SERVER], w->now, &c->side[CLIENT].end) < 0)
        abort();
    c->watch = (struct world_watch){ .ctx = c, .inner = inner };
    world_watch_add(w, &c->watch);
    world_source_init(w, &c->source, fire);
    world_schedule(w, &c->source, w->now);
    return c;
}

struct connection *connection_new(struct world_end *node, struct world_end *agent, uint16_t client_port, uint64_t up,
                                  uint64_t down)
{
    const struct endpoint server = { agent->inner[0], SERVER_PORT };

    return connection_to(node, agent, client_port, &server, up, down);
}

void connection_stop(struct connection *c)
{
    c->stopped = true;
    world_schedule(c->node->world, &c->source, INSTANT_NEVER);
}

void connection_free(struct connection *c)
{
    tcp_end_free(c->side[CLIENT].end);
    tcp_end_free(c->side[SERVER].end);
    free(c);
}

bool connection_done(void *c)
{
    const struct connection *x = c;

    return x->side[CLIENT].error || (over(&x->side[CLIENT]) && over(&x->side[SERVER]));
}
