/* prog/answers.c - the control socket: what the `hawser` command asks. One line of JSON each way. */
#include <errno.h>
#include <jansson.h>
#include <stdio.h>
#include <sys/stat.h>
#include <syslog.h>
#include <unistd.h>

#include "ident/suite.h"
#include "node/relay.h"
#include "prog/daemon.h"

#define RELOAD_ERRORS 8192

static double ms(span us)
{
    return (double)us / 1000;
}

/* Over TCP a path has more delay and less rate than it could have: why is it there? */
static const char *degraded_why(struct daemon *d, unsigned peer, const struct session_path_info *i)
{
    enum node_fallback f = node_fallback(daemon_node_of(d, peer), peer, i->at.link);

    if (i->at.transport != TRANSPORT_TCP)
        return "";
    return d->config->role == CONFIG_AGENT ? "the node came by TCP" : node_fallback_name(f);
}

static json_t *path_json(struct daemon *d, unsigned peer, const struct session_path_info *i)
{
    char local[ADDR_STRLEN], remote[ENDPOINT_STRLEN];
    const struct path_metrics *m = &i->metrics;

    return json_pack("{s:i, s:s, s:s, s:s, s:s, s:s, s:s, s:i, s:b, s:b, s:f, s:f, s:f, s:f, s:f, s:f, s:f, s:I, s:I, "
                     "s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:s, s:b, s:s, s:I, s:i}",
                     "id", (int)i->id, "link", i->link, "local", addr_format(&i->at.local, local), "remote",
                     endpoint_format(&i->at.remote, remote), "state",
                     i->leaving && m->state == PATH_ACTIVE ? "leaving" : path_state_name(m->state), "why",
                     i->link_down ? "link down"
                     : i->leaving ? "leaving"
                     : i->parked  ? session_park_name((enum session_park)i->parked)
                     : i->twice   ? "copied: whatever it loses comes too late, and so it is with the others"
                                  : path_why_name(m->why),
                     "tier", link_tier_name(i->tier), "weight", (int)i->weight, "leaving", i->leaving, "validated",
                     i->validated, "srtt_ms", ms(m->srtt), "rttvar_ms", ms(m->rttvar), "min_rtt_ms", ms(m->min_rtt),
                     "jitter_ms", ms(m->rx_jitter), "owd_diff_ms", ms(i->owd_diff), "loss", m->loss, "queue_ms",
                     ms(m->queue), "tx_rate_bps", (json_int_t)m->rate_bps, "idle_rate_bps", (json_int_t)m->idle_bps,
                     "idle_probe_bytes", (json_int_t)m->train_bytes, "rx_rate_bps", (json_int_t)m->rx_rate_bps,
                     "tx_bytes", (json_int_t)m->tx_bytes, "rx_bytes", (json_int_t)m->rx_bytes, "lost_pkts",
                     (json_int_t)m->lost_pkts, "inflight_bytes", (json_int_t)m->inflight_bytes, "window_bytes",
                     (json_int_t)m->window_bytes, "pacing_bps", (json_int_t)m->pacing_bps, "transport",
                     i->at.transport == TRANSPORT_TCP ? "tcp" : "udp", "degraded", i->at.transport == TRANSPORT_TCP,
                     "degraded_why", degraded_why(d, peer, i), "mtu", (json_int_t)i->mtu, "lane", (int)i->at.lane);
}

static json_t *drops_json(const uint64_t *counts, size_t n, const char *(*name)(unsigned))
{
    json_t *o = json_object();

    for (size_t i = 0; i < n; i++)
        if (counts[i])
            json_object_set_new(o, name((unsigned)i), json_integer((json_int_t)counts[i]));
    return o;
}

static const char *node_name(unsigned i)
{
    return node_drop_name((enum node_drop)i);
}

static const char *session_name(unsigned i)
{
    return session_drop_name((enum session_drop)i);
}

static json_t *peer_json(struct daemon *d, unsigned index, instant now)
{
    struct node *n = daemon_node_of(d, index);
    const struct node_peer_spec *spec = node_peer_spec(n, index);
    struct session *s = node_peer_session(n, index);
    struct session_path_info path;
    struct session_info i = { 0 };
    struct config_message config;
    char key[KEY_TEXT_SIZE], buf[PREFIX_STRLEN];
    json_t *o, *paths = json_array(), *addresses = json_array();
    bool has_config = node_peer_config(n, index, &config);
    const struct prefix *list = has_config ? config.addresses : spec->addresses;
    size_t count = has_config ? config.addresses_count : spec->addresses_count;

    for (size_t j = 0; j < count; j++)
        json_array_append_new(addresses, json_string(prefix_format(&list[j], buf)));
    if (s)
        session_info(s, now, &i);
    for (unsigned slot = 0; s && slot < SESSION_SLOTS; slot++) {
        session_path_info(s, slot, now, &path);
        if (path.used)
            json_array_append_new(paths, path_json(d, index, &path));
    }
    peer_key_encode(&spec->key, key);
    o = json_pack("{s:s, s:s, s:s, s:s, s:f, s:o, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:f, s:o}", "name",
                  spec->name, "key", key, "state",
                  i.up           ? "up"
                  : i.connecting ? "handshake"
                  : s            ? "waiting"
                                 : "none",
                  "suite", i.up ? (i.suite == SUITE_AES256_GCM ? "aes-256-gcm" : "chacha20-poly1305") : "none",
                  "handshake_age_s", (double)i.handshake_age / SEC, "addresses", addresses, "rx_bytes",
                  (json_int_t)i.rx_bytes, "tx_bytes", (json_int_t)i.tx_bytes, "rx_pkts", (json_int_t)i.rx_pkts,
                  "tx_pkts", (json_int_t)i.tx_pkts, "reinjected", (json_int_t)i.reinjected, "duplicated",
                  (json_int_t)i.duplicated, "handshakes", (json_int_t)i.handshakes, "queued_bytes",
                  (json_int_t)i.queued_bytes, "reseq_wait_ms", ms(i.reseq_wait), "paths", paths);
    json_object_set_new(o, "pieces", json_integer((json_int_t)i.pieces));
    json_object_set_new(o, "drops", drops_json(i.drops, SESSION_DROP_COUNT, session_name));
    json_object_set_new(o, "reseq",
                        json_pack("{s:I, s:I, s:I, s:I, s:I, s:I}", "in_order", (json_int_t)i.reseq.in_order, "held",
                                  (json_int_t)i.reseq.held, "gap", (json_int_t)i.reseq.released_gap, "lost",
                                  (json_int_t)i.reseq.released_lost, "deadline", (json_int_t)i.reseq.released_deadline,
                                  "late", (json_int_t)i.reseq.late));
    return o;
}

/* What the workers counted, together. */
static struct worker_counts sum(const struct daemon *d)
{
    struct worker_counts all = { 0 };

    for (unsigned i = 0; i < d->workers_count; i++) {
        const struct worker_counts *c = &d->workers[i].counts;

        all.tun_rx_bytes += c->tun_rx_bytes;
        all.tun_tx_bytes += c->tun_tx_bytes;
        all.tun_write_failed += c->tun_write_failed;
        all.tx_failed += c->tx_failed;
        all.tx_would_block += c->tx_would_block;
    }
    return all;
}

static json_t *workers_json(struct daemon *d)
{
    json_t *list = json_array();

    for (unsigned i = 0; i < d->workers_count; i++) {
        const struct worker_counts *c = &d->workers[i].counts;

        json_array_append_new(list,
                              json_pack("{s:I, s:I, s:I, s:I}", "rx_bytes", (json_int_t)c->tun_rx_bytes, "tx_bytes",
                                        (json_int_t)c->tun_tx_bytes, "letters_lost", (json_int_t)c->letters_lost,
                                        "pool_used", (json_int_t)node_pool_used(d->workers[i].node)));
    }
    return list;
}

static json_t *tun_json(struct daemon *d)
{
    struct worker_counts all = sum(d);
    struct tun_features f = tun_features_get(d->workers[0].tun);
    json_t *offloads = json_array(), *addresses = json_array();
    char buf[ADDR_STRLEN], with_len[ADDR_STRLEN + 5];
    struct config_message m;
    const struct {
        bool on;
        const char *name;
    } rows[] = { { f.rx_csum, "csum" },
                 { f.rx_tso, "tso" },
                 { f.rx_uso, "uso" },
                 { f.vnet_hdr, "write-tso" },
                 { f.tx_uso, "write-uso" } };

    for (size_t i = 0; i < ARRAY_LEN(rows); i++)
        if (rows[i].on)
            json_array_append_new(offloads, json_string(rows[i].name));
    for (size_t i = 0; i < d->config->addresses.count; i++) {
        snprintf(with_len, sizeof(with_len), "%s/%u", addr_format(&d->config->addresses.items[i].addr, buf),
                 d->config->addresses.items[i].len);
        json_array_append_new(addresses, json_string(with_len));
    }
    if (d->host) {
        struct addr identifier = host_identifier(d);

        json_array_append_new(addresses, json_string(addr_format(&identifier, buf)));
    }
    if (d->config->role == CONFIG_NODE && node_peers_count(daemon_node(d)) > 0 &&
        node_peer_config(daemon_node(d), 0, &m)) {
        char prefix[PREFIX_STRLEN];

        for (unsigned i = 0; i < m.addresses_count; i++)
            json_array_append_new(addresses, json_string(prefix_format(&m.addresses[i], prefix)));
    }
    return json_pack("{s:s, s:I, s:o, s:I, s:I, s:I, s:o}", "name", tun_name(d->workers[0].tun), "mtu",
                     (json_int_t)MIN(d->config->mtu, (int64_t)NODE_MTU_MAX), "addresses", addresses, "rx_bytes",
                     (json_int_t)all.tun_rx_bytes, "tx_bytes", (json_int_t)all.tun_tx_bytes, "write_failed",
                     (json_int_t)all.tun_write_failed, "offloads", offloads);
}

static json_t *relay_json(const struct daemon *d)
{
    struct relay_stats s;

    relay_stats_get(d->relay, &s);
    return json_pack("{s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I}", "channels", (json_int_t)s.channels, "bound",
                     (json_int_t)s.bound, "told", (json_int_t)s.told, "refused", (json_int_t)s.refused, "full",
                     (json_int_t)s.full, "passed", (json_int_t)s.passed, "passed_bytes", (json_int_t)s.passed_bytes,
                     "dropped", (json_int_t)s.dropped);
}

static json_t *status_json(struct daemon *d, instant now)
{
    uint64_t drops[NODE_DROP_COUNT] = { 0 };
    struct worker_counts all = sum(d);
    struct node_split_info split = { 0 };
    size_t pool_used = 0;
    json_t *peers = json_array(), *o;

    for (size_t i = 0; i < node_peers_count(daemon_node(d)); i++)
        if (!node_peer_is_gone(daemon_node(d), (unsigned)i))
            json_array_append_new(peers, peer_json(d, (unsigned)i, now));
    for (unsigned w = 0; w < d->workers_count; w++) {
        uint64_t of_one[NODE_DROP_COUNT];
        struct node_split_info split_of_one;

        node_drops(d->workers[w].node, of_one);
        for (unsigned i = 0; i < NODE_DROP_COUNT; i++)
            drops[i] += of_one[i];
        node_split_info(d->workers[w].node, &split_of_one);
        split.count += split_of_one.count;
        split.begun += split_of_one.begun;
        split.refused += split_of_one.refused;
        split.bytes += split_of_one.bytes;
        split.resumed += split_of_one.resumed;
        split.broken += split_of_one.broken;
        pool_used += node_pool_used(d->workers[w].node);
    }
    o = json_pack("{s:b, s:s, s:s, s:s, s:i, s:f, s:o, s:o, s:o, s:o, s:{s:I, s:I, s:I}}", "ok", true, "name",
                  d->config->name, "role", config_role_name((enum config_role)d->config->role), "version",
                  HAWSER_VERSION, "pid", (int)getpid(), "uptime_s", (double)(now - d->started) / SEC, "tun",
                  tun_json(d), "workers", workers_json(d), "peers", peers, "drops",
                  drops_json(drops, NODE_DROP_COUNT, node_name), "outside", "tx_failed", (json_int_t)all.tx_failed,
                  "tx_would_block", (json_int_t)all.tx_would_block, "pool_used", (json_int_t)pool_used);
    json_object_set_new(o, "started_us", json_integer((json_int_t)d->started));
    json_object_set_new(o, "split",
                        json_pack("{s:I, s:I, s:I, s:I, s:I, s:I}", "connections", (json_int_t)split.count, "begun",
                                  (json_int_t)split.begun, "refused", (json_int_t)split.refused, "resumed",
                                  (json_int_t)split.resumed, "reset", (json_int_t)split.broken, "bytes",
                                  (json_int_t)split.bytes));
    if (d->relay)
        json_object_set_new(o, "relay", relay_json(d));
    if (d->portmaps)
        json_object_set_new(o, "port_mappings", portmaps_json(d, now));
    return o;
}

static json_t *failure(const char *text)
{
    return json_pack("{s:b, s:s}", "ok", false, "error", text);
}

static double mbit(uint64_t bps)
{
    return (double)bps / 1e6;
}

/* By what mode auto chose the lane, as words; nothing of other modes. */
static void lane_words(const struct node_why *w, char *buf, size_t size)
{
    const struct node_lane_why *l = &w->lane_why;
    char rates[80];

    *buf = '\0';
    if (w->action.mode != STEER_MODE_AUTO || l->paths == 0)
        return;
    if (l->slow_bps > 0)
        snprintf(rates, sizeof(rates), "%.1f to %.1f Mbit/s", mbit(l->slow_bps), mbit(l->fast_bps));
    else
        snprintf(rates, sizeof(rates), "not all rates known");
    snprintf(buf, size, "%s (paths %u, round trips %.1f to %.1f ms, jitter %.1f ms, loss %.2f %%, %s); ",
             w->lane == NODE_LANE_ONE_PATH ? "packets, since no second path is of use"
             : w->lane == NODE_LANE_ALIKE  ? "packets, since the paths are alike"
                                           : "since they would reorder its packets",
             l->paths, ms(l->rtt), ms(l->rtt + l->spread), ms(l->jitter), l->loss * 100, rates);
}

static json_t *why_json(struct daemon *d, const json_t *q, instant now)
{
    const char *dst = json_string_value(json_object_get(q, "dst")),
               *proto = json_string_value(json_object_get(q, "proto"));
    struct packet_info info = { 0 };
    struct node_why w;
    struct session_path_info path;
    struct session *s;
    struct node *n = daemon_node(d);
    char rule[STEER_TEXT_MAX], chosen[240], reason[512];
    static const char *const lanes[NODE_LANE_COUNT] = {
        [NODE_LANE_PACKETS] = "",
        [NODE_LANE_SPLIT] =
            "split: ended here, opened again at the agent; goes on when either is restarted, reset when either dies; ",
        [NODE_LANE_NOT_TCP] = "packets, since it is not TCP; ",
        [NODE_LANE_NO_CHANNELS] = "packets, since the agent takes no connections now; ",
        [NODE_LANE_NO_ROOM] = "packets, since there is no room for another connection; ",
        [NODE_LANE_AGENT] = "packets, since it begins at the agent; ",
        [NODE_LANE_ONE_PATH] = "",
        [NODE_LANE_ALIKE] = "",
    };
    json_t *paths = json_array(), *o;

    if (!dst || addr_parse(dst, &info.dst) < 0) {
        json_decref(paths);
        return failure("dst: expected an address");
    }
    info.family = info.dst.family;
    info.dport = (uint16_t)json_integer_value(json_object_get(q, "port"));
    info.proto = proto && strcmp(proto, "udp") == 0 ? PROTO_UDP : PROTO_TCP;
    info.total_len = 1400;
    info.src = info.dst; /* an agent's table is asked mirrored */
    info.sport = info.dport;
    node_explain(n, &info, &w, now); /* finds the peer; again where its session is */
    if (w.peer >= 0)
        n = daemon_node_of(d, (unsigned)w.peer);
    node_explain(n, &info, &w, now);
    s = w.peer >= 0 ? node_peer_session(n, (unsigned)w.peer) : NULL;
    for (unsigned i = 0; s && i < SESSION_SLOTS; i++) {
        if (!(w.slots & 1u << i))
            continue;
        session_path_info(s, i, now, &path);
        json_array_append_new(paths, json_pack("{s:s, s:s, s:b, s:f}", "link", path.link, "state",
                                               path_state_name(path.metrics.state), "first", (int)i == w.first,
                                               "srtt_ms", ms(path.metrics.srtt)));
    }
    lane_words(&w, chosen, sizeof(chosen));
    snprintf(reason, sizeof(reason), "%s%s%s%s", lanes[w.lane], chosen, steer_class_name(w.klass),
             w.peer < 0                 ? ", no peer has that destination"
             : !s                       ? ", no session yet"
             : w.slots == 0             ? ", no path is usable: packets wait"
             : w.action.links_count > 0 ? ", of the links that the rule names those usable now"
                                        : ", the best usable tier");
    if (w.rule >= 0) /* then there is a table */
        steer_rule_format(&node_steer(n, (unsigned)MAX(w.peer, 0))->rules[w.rule], false, rule);
    o = json_pack("{s:b, s:s, s:i, s:s, s:s, s:o}", "ok", true, "mode", steer_mode_name(w.action.mode), "number",
                  w.rule, "class", steer_class_name(w.klass), "why", reason, "paths", paths);
    if (w.rule >= 0)
        json_object_set_new(o, "rule", json_string(rule));
    if (w.peer >= 0)
        json_object_set_new(o, "peer", json_string(node_peer_spec(n, (unsigned)w.peer)->name));
    return o;
}

/* Of every worker's node; the workers are paused. */
static json_t *known_json(struct daemon *d, instant now)
{
    json_t *rows = json_array();

    for (unsigned i = 0; i < d->workers_count; i++) {
        struct scoreboard_key k;
        struct scoreboard_row row;
        size_t at = 0;

        while (scoreboard_next(node_scoreboard(d->workers[i].node), &at, now, &k, &row)) {
            char remote[ADDR_STRLEN];

            json_array_append_new(rows,
                                  json_pack("{s:s, s:s, s:s, s:f, s:f, s:f, s:f, s:I, s:b, s:I, s:s, s:i, s:i, s:f}",
                                            "link", k.link, "remote", addr_format(&k.remote, remote), "transport",
                                            k.transport == TRANSPORT_TCP ? "tcp" : "udp", "srtt_ms", ms(row.srtt),
                                            "min_rtt_ms", ms(row.min_rtt), "jitter_ms", ms(row.rx_jitter), "loss",
                                            row.loss, "tx_rate_bps", (json_int_t)row.tx_bps, "tx_rate_is_lower_bound",
                                            row.tx_bps_is_lower_bound, "rx_rate_bps", (json_int_t)row.rx_bps, "trouble",
                                            scoreboard_trouble_name((enum scoreboard_trouble)row.trouble), "reports",
                                            (int)row.reports, "users", (int)row.users, "age_s", (double)row.age / SEC));
        }
    }
    return json_pack("{s:b, s:o}", "ok", true, "known", rows);
}

static json_t *link_json(struct daemon *d, const json_t *q, instant now)
{
    const char *name = json_string_value(json_object_get(q, "name")),
               *set = json_string_value(json_object_get(q, "set"));
    const json_t *v = json_object_get(q, "value");
    char number[24], error[128];
    const char *value = json_string_value(v);
    int r;

    if (json_is_integer(v)) {
        snprintf(number, sizeof(number), "%lld", (long long)json_integer_value(v));
        value = number;
    }
    if (!name || !set || !value)
        return failure("link: expected name, set and value");
    r = outside_link_order(d, name, set, value, now);
    if (r == -ENODEV) {
        snprintf(error, sizeof(error), "no uplink %s", name);
        return failure(error);
    }
    return r < 0 ? failure("link: expected state up|down, tier TIER or signal DBM") : json_pack("{s:b}", "ok", true);
}

/* What may fail by lines for people. */
static json_t *done_json(struct daemon *d, int (*fn)(struct daemon *d, struct text *errors))
{
    char *buf = malloc(RELOAD_ERRORS);
    struct text errors;
    json_t *o;

    if (!buf)
        return failure("out of memory");
    text_init(&errors, buf, RELOAD_ERRORS);
    o = fn(d, &errors) < 0 ? failure(buf) : json_pack("{s:b}", "ok", true);
    free(buf);
    return o;
}

static json_t *restart_json(struct daemon *d, json_t *q)
{
    json_t *by = json_object_get(q, "by");

    if (!by)
        return done_json(d, restart_begin);
    if (json_is_string(by) && strcmp(json_string_value(by), "manager") == 0)
        return done_json(d, restart_leave);
    return failure("by: expected \"manager\"");
}

static json_t *answer(struct daemon *d, const char *line, instant now)
{
    json_error_t e;
    json_t *q = json_loads(line, 0, &e), *o;
    const char *verb = json_string_value(json_object_get(q, "verb"));

    if (!verb)
        o = failure("expected {\"verb\": ...}");
    else if (strcmp(verb, "status") == 0 || strcmp(verb, "why") == 0 || strcmp(verb, "known") == 0) {
        workers_pause(d);
        o = strcmp(verb, "why") == 0     ? why_json(d, q, now)
            : strcmp(verb, "known") == 0 ? known_json(d, now)
                                         : status_json(d, now);
        workers_resume(d);
    } else if (strcmp(verb, "link") == 0)
        o = link_json(d, q, now);
    else if (strcmp(verb, "reload") == 0)
        o = done_json(d, daemon_reload);
    else if (strcmp(verb, "restart") == 0)
        o = restart_json(d, q);
    else if (strcmp(verb, "stop") == 0) {
        o = json_pack("{s:b}", "ok", true);
        daemon_stop(d, 0);
    } else {
        o = failure("unknown verb");
    }
    json_decref(q);
    return o;
}

static void on_control(struct worker *w, void *arg, instant now)
{
    struct daemon *d = w->d;
    struct control_request req;
    int r = control_process(d->control);

    if (r < 0)
        say(LOG_ERR, "control error=%s", strerror(-r));
    while (control_pop_request(d->control, &req)) {
        uint64_t client = req.client;
        json_t *o = answer(d, req.line, now);
        char *text = o ? json_dumps(o, JSON_COMPACT) : NULL;

        control_reply(d->control, client, text ? text : "{\"ok\":false,\"error\":\"out of memory\"}");
        free(text);
        json_decref(o);
    }
}

int answers_start(struct daemon *d)
{
    char dir[256];
    char *slash;
    int r;

    snprintf(dir, sizeof(dir), "%s", d->config->control);
    slash = strrchr(dir, '/');
    if (slash && slash > dir) {
        *slash = '\0';
        mkdir(dir, 0755);
    }
    r = control_open(d->config->control, &d->control);
    if (r == -EADDRINUSE)
        say(LOG_ERR, "another hawserd answers on %s", d->config->control);
    else if (r < 0)
        say(LOG_ERR, "cannot listen on %s: %s", d->config->control, strerror(-r));
    return r < 0 ? r : watch_new(&d->workers[0], control_fd(d->control), on_control, NULL, &d->control_watch);
}

void answers_stop(struct daemon *d)
{
    watch_free(d->control_watch);
    control_free(d->control);
}
