/* prog/verb_attach.c - id attach: says at the managers of its realm where a key's owner is, for as long as it runs.
 *
 * The chain says who the subject is, and by the link before it which key its managers have. Each manager is an
 * association of its own with a holder (mapping/holder.h). Where the host is comes from the command line, or from the
 * addresses of its links, which are followed. When it is stopped it says that the subject is nowhere. */
#include "ident/suite.h"
#include "mapping/holder.h"
#include "prog/json_client.h"
#include "prog/realm.h"
#include "prog/verb.h"
#include "session/exchange.h"
#include "sys/clock.h"
#include "sys/netlink.h"
#include "sys/store.h"
#include "sys/udp.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>

#define MANAGERS_MAX 8 /* chosen */
#define OUTPUT_BATCH 16
#define ONCE_TIME (15 * SEC) /* chosen: four tries of an exchange, thrice */
#define LEAVE_TIME (2 * SEC) /* chosen: some round trips */

struct attach {
    const struct verb *verb;
    struct exchange *exchange;
    struct udp *udp[2];  /* IPv4, IPv6; NULL: none */
    struct nlmon *links; /* NULL: the locators were given */
    struct identity id;
    uint16_t port;
    struct holder holders[MANAGERS_MAX];
    enum holder_state told[MANAGERS_MAX];
    struct endpoint managers[MANAGERS_MAX];
    uint64_t peers[MANAGERS_MAX];
    size_t count;
    bool json;
};

static volatile sig_atomic_t stopped;

static void on_signal(int signum)
{
    stopped = 1;
}

/* What changed of the holders, a line each. */
static void tell(struct attach *a)
{
    for (size_t i = 0; i < a->count; i++) {
        const struct holder *h = &a->holders[i];
        const char *fault = h->state == HOLDER_REFUSED ? record_fault_name((enum record_fault)h->fault) : "";
        char at[ENDPOINT_STRLEN];

        if (h->state == a->told[i])
            continue;
        a->told[i] = h->state;
        endpoint_format(&a->managers[i], at);
        if (a->json) {
            CLEANUP(cleanup_json)
            json_t *doc = json_pack("{s:s, s:s, s:s, s:I, s:i}", "manager", at, "state", holder_state_name(h->state),
                                    "fault", fault, "seq", (json_int_t)h->seq, "locators", (int)h->targets_count);

            json_print(doc);
        } else {
            printf("%s  %s%s%s\n", at, holder_state_name(h->state), fault[0] ? ": " : "", fault);
        }
        fflush(stdout);
    }
}

/* --- where it is --- */

struct locators {
    uint16_t port;
    struct record_target *out; /* RECORD_TARGETS_MAX */
    size_t count;
};

static bool add_link(void *ctx, const struct nlmon_link *l)
{
    struct locators *to = ctx;

    for (size_t i = 0; l->usable && !l->loopback && i < l->addrs_count && to->count < RECORD_TARGETS_MAX; i++) {
        const struct nlmon_addr *at = &l->addrs[i];
        struct tag as_tag;

        memcpy(as_tag.bytes, at->addr.bytes, sizeof(as_tag.bytes));
        if (at->scope != 0 || at->tentative || at->deprecated || !addr_is_unicast(&at->addr) ||
            (at->addr.family == ADDR_V6 && tag_in_prefix(&as_tag)))
            continue;
        to->out[to->count++] = (struct record_target){ .is_locator = true, .locator = { at->addr, to->port } };
    }
    return true;
}

static int say_where(struct attach *a, const struct record_target *targets, size_t count, instant now)
{
    for (size_t i = 0; i < a->count; i++) {
        int r = holder_set_targets(&a->holders[i], targets, count, now);

        if (r < 0)
            return verb_fail(a->verb, r == -EINVAL ? "found a locator that is none" : "out of memory");
    }
    return EXIT_DONE;
}

static int follow_links(struct attach *a, instant now)
{
    struct record_target targets[RECORD_TARGETS_MAX];
    struct locators l = { .port = a->port, .out = targets };
    struct nlmon_event e;
    bool changed = false;

    if (nlmon_process(a->links) < 0)
        return verb_fail(a->verb, "cannot follow the addresses of this host");
    while (nlmon_pop_event(a->links, &e))
        changed = true;
    if (!changed)
        return EXIT_DONE;
    nlmon_foreach_link(a->links, add_link, &l);
    return say_where(a, targets, l.count, now);
}

/* --- the loop --- */

static void take_events(struct attach *a, instant now)
{
    struct exchange_event e;

    while (exchange_pop_event(a->exchange, &e)) {
        for (size_t i = 0; i < a->count; i++) {
            struct holder *h = &a->holders[i];

            if (e.type == EXCHANGE_UP && e.peer == a->peers[i])
                holder_on_up(h, now);
            if (e.context != h)
                continue;
            if (e.type == EXCHANGE_ANSWER)
                holder_on_answer(h, e.data, e.len, now);
            else if (e.type == EXCHANGE_FAILED)
                holder_on_failed(h, now);
        }
    }
}

static void send_all(struct attach *a, instant now)
{
    struct exchange_tx out[OUTPUT_BATCH];
    size_t n;

    while ((n = exchange_output(a->exchange, out, OUTPUT_BATCH, now)) > 0) {
        for (size_t i = 0; i < n; i++) {
            struct udp *u = a->udp[out[i].at.remote.addr.family == ADDR_V6];
            struct udp_tx tx = {
                .data = out[i].data, .len = out[i].len, .to = out[i].at.remote, .local = out[i].at.local
            };
            struct udp_error e;

            if (u && udp_reply(u, &tx) != 0)
                while (udp_pop_error(u, &e) == 1) /* it is asked again */
                    ;
        }
    }
}

static void receive(struct attach *a, uint32_t link, instant now)
{
    struct udp_rx batch[UDP_BATCH_MAX];
    int n = udp_recv(a->udp[link], batch, UDP_BATCH_MAX);

    for (int j = 0; j < n; j++) {
        const struct locator_pair at = { .link = link, .local = batch[j].local, .remote = batch[j].from };
        size_t step = batch[j].segment_bytes ? batch[j].segment_bytes : batch[j].len;

        for (size_t o = 0; o < batch[j].len; o += step) {
            exchange_input(a->exchange, &at, batch[j].data + o, MIN(step, batch[j].len - o), now);
            take_events(a, now);
        }
    }
}

static instant turn(struct attach *a, instant now)
{
    uint8_t bytes[HOLDER_REQUEST_MAX];
    instant next;

    if (exchange_next_expiry(a->exchange) <= now)
        exchange_on_expiry(a->exchange, now);
    take_events(a, now);
    for (size_t i = 0; i < a->count; i++) {
        size_t len = holder_output(&a->holders[i], now, bytes);
        uint64_t request;

        if (len > 0 && exchange_request(a->exchange, a->peers[i], bytes, len, &a->holders[i], now, &request) < 0)
            holder_on_failed(&a->holders[i], now);
    }
    tell(a);
    send_all(a, now);
    next = exchange_next_expiry(a->exchange);
    for (size_t i = 0; i < a->count; i++)
        next = instant_min(next, holder_next_expiry(&a->holders[i]));
    return next;
}

/* Waits until something happens, or the time comes. A signal ends it early. */
static int wait_for(struct attach *a, instant until)
{
    struct pollfd fds[3] = { { -1, POLLIN, 0 }, { -1, POLLIN, 0 }, { -1, POLLIN, 0 } };
    span left = MAX(until == INSTANT_NEVER ? 60 * SEC : until - clock_now(), 0);
    struct timespec t = { (time_t)(left / SEC), (long)(left % SEC) * 1000 };
    sigset_t none;
    int n;

    for (uint32_t i = 0; i < 2; i++)
        fds[i].fd = a->udp[i] ? udp_fd(a->udp[i]) : -1;
    fds[2].fd = a->links ? nlmon_fd(a->links) : -1;
    sigemptyset(&none);
    n = ppoll(fds, 3, &t, &none);
    for (uint32_t i = 0; i < 2 && n > 0; i++)
        if (fds[i].revents)
            receive(a, i, clock_now());
    return n > 0 && fds[2].revents ? follow_links(a, clock_now()) : EXIT_DONE;
}

static bool all_are(const struct attach *a, enum holder_state state)
{
    for (size_t i = 0; i < a->count; i++)
        if (a->holders[i].state != state || a->holders[i].asking)
            return false;
    return true;
}

/* Until it is stopped; once: until all managers have answered. An exit code. */
static int run(struct attach *a, bool once)
{
    instant give_up = once ? clock_now() + ONCE_TIME : INSTANT_NEVER;
    int got = EXIT_DONE;

    while (!stopped && got == EXIT_DONE) {
        instant now = clock_now(), next = turn(a, now);

        if (once && all_are(a, HOLDER_REGISTERED))
            return EXIT_DONE;
        if (now >= give_up)
            return verb_fail(a->verb, "not registered everywhere");
        got = wait_for(a, instant_min(next, give_up));
    }
    give_up = clock_now() + LEAVE_TIME;
    if (got != EXIT_DONE || (got = say_where(a, NULL, 0, clock_now())) != EXIT_DONE)
        return got;
    for (bool first = true; first || (!all_are(a, HOLDER_REGISTERED) && clock_now() < give_up); first = false)
        got = wait_for(a, instant_min(turn(a, clock_now()), give_up));
    return got;
}

/* --- start --- */

struct attach_options {
    const char *managers[MANAGERS_MAX], *at[RECORD_TARGETS_MAX], *port, *answer;
    bool once, json;
};

/* Subject and managers' key, of a chain in a file. */
static int read_chain(const struct verb *v, const char *path, const struct identity *id, struct record *ret_subject,
                      struct peer_key *ret_realm)
{
    uint8_t *bytes CLEANUP(cleanup_free) = NULL;
    struct slice links[CHAIN_LINKS_MAX];
    size_t count = CHAIN_LINKS_MAX, len;
    char err[FILE_ERR], why[RECORD_ERROR_STRLEN];
    struct record_error e = { 0 };
    struct record_bytes b;
    struct record realm;

    if (store_read(path, &bytes, &len, err, sizeof(err)) < 0 || records_split(path, bytes, len, links, &count, err) < 0)
        return verb_fail(v, "%s", err);
    if (count < 2)
        return verb_fail(v, "%s: found the record of a root alone, expected a chain", path);
    if (record_decode(links[count - 1].data, links[count - 1].len, ret_subject, &b, &e) < 0 ||
        record_decode(links[count - 2].data, links[count - 2].len, &realm, &b, &e) < 0)
        return verb_fail(v, "%s: %s", path, record_error_format(&e, why));
    if (memcmp(ret_subject->key, id->ed25519, IDENT_KEY_LEN) != 0)
        return verb_fail(v, "%s: is of %s with another key than this one", path, ret_subject->name);
    if (ret_subject->type != RECORD_DELEGATION && tag_tier(&ret_subject->subject) != TAG_TIER_HOST)
        return verb_fail(v, "%s: is of %s, which is no host and no realm", path, ret_subject->name);
    memcpy(ret_realm->ed25519, realm.key, IDENT_KEY_LEN);
    ret_realm->suites = suite_supported();
    return EXIT_DONE;
}

static int open_all(struct attach *a, const struct attach_options *o, const struct peer_key *realm,
                    const struct record *subject, uint8_t answer, instant now)
{
    struct exchange_options x = { .self = &a->id,
                                  .rng = sys_rng(),
                                  .suites = suite_supported(),
                                  .peers_max = MANAGERS_MAX,
                                  .requests_max = MANAGERS_MAX,
                                  .joins_max = 1 };
    uint8_t kind = subject->type == RECORD_DELEGATION ? KIND_REALM_REALM : KIND_HOST_LOCATOR;
    uint32_t boot_epoch = (uint32_t)MAX(clock_wall_s(), 1), counter = (uint32_t)rng_u64(&x.rng);

    a->exchange = exchange_new(&x, now);
    if (!a->exchange)
        return verb_fail(a->verb, "out of memory");
    for (; a->count < MANAGERS_MAX && o->managers[a->count]; a->count++) {
        struct exchange_call c = { .key = *realm, .ways_count = 1, .keep = 20 * SEC };
        struct endpoint *to = &a->managers[a->count];
        uint32_t link;

        if (endpoint_parse(o->managers[a->count], 51823, to) < 0)
            return verb_misused(a->verb, "--manager: found %s, expected ADDRESS:PORT", o->managers[a->count]);
        link = to->addr.family == ADDR_V6;
        if (!a->udp[link]) {
            struct udp_options u = { .family = to->addr.family };
            int r = udp_open(&u, &a->udp[link]);

            if (r < 0)
                return verb_fail(a->verb, "UDP socket: %s", strerror(-r));
        }
        c.ways[0] = (struct locator_pair){ .link = link, .remote = *to };
        if (exchange_peer_call(a->exchange, &c, now, &a->peers[a->count]) < 0)
            return verb_fail(a->verb, "out of memory");
        holder_init(&a->holders[a->count], a->id.ed25519_seed, &subject->subject, &subject->subject, kind, answer,
                    HOLDER_LEASE_S, boot_epoch, counter);
    }
    return EXIT_DONE;
}

static int begin(struct attach *a, const struct attach_options *o, instant now)
{
    struct record_target targets[RECORD_TARGETS_MAX] = { 0 };
    size_t n = 0;
    int r;

    if (!o->at[0]) {
        r = nlmon_open(&a->links);
        return r < 0 ? verb_fail(a->verb, "cannot follow the addresses of this host: %s", strerror(-r))
                     : follow_links(a, now);
    }
    for (; n < RECORD_TARGETS_MAX && o->at[n]; n++) {
        targets[n].is_locator = true;
        if (endpoint_parse(o->at[n], a->port, &targets[n].locator) < 0 || !addr_is_unicast(&targets[n].locator.addr))
            return verb_misused(a->verb, "--at: found %s, expected ADDRESS:PORT that others can reach", o->at[n]);
    }
    return say_where(a, targets, n, now);
}

static void end(struct attach *a)
{
    exchange_free(a->exchange);
    for (size_t i = 0; i < a->count; i++)
        holder_deinit(&a->holders[i]);
    udp_free(a->udp[0]);
    udp_free(a->udp[1]);
    nlmon_free(a->links);
    identity_wipe(&a->id);
}

static void catch_signals(void)
{
    struct sigaction s = { .sa_handler = on_signal };
    sigset_t set;

    /* They come in ppoll alone. */
    sigemptyset(&set);
    sigaddset(&set, SIGINT);
    sigaddset(&set, SIGTERM);
    sigprocmask(SIG_BLOCK, &set, NULL);
    sigaction(SIGINT, &s, NULL);
    sigaction(SIGTERM, &s, NULL);
}

int verb_attach(const struct verb *v, int argc, char **argv)
{
    static const char *const classes[] = { "", "agent", "coarse", "full" };
    static struct attach a;
    struct attach_options o = { 0 };
    struct verb_option options[MANAGERS_MAX + RECORD_TARGETS_MAX + 5];
    size_t n = 0;
    uint8_t answer = CLASS_FULL;
    struct peer_key realm = { 0 };
    struct record subject;
    char err[FILE_ERR], *rest;
    int got;

    for (size_t i = 0; i < MANAGERS_MAX; i++)
        options[n++] = (struct verb_option){ "manager", &o.managers[i], NULL };
    for (size_t i = 0; i < RECORD_TARGETS_MAX; i++)
        options[n++] = (struct verb_option){ "at", &o.at[i], NULL };
    options[n++] = (struct verb_option){ "port", &o.port, NULL };
    options[n++] = (struct verb_option){ "class", &o.answer, NULL };
    options[n++] = (struct verb_option){ "once", NULL, &o.once };
    options[n++] = (struct verb_option){ "json", NULL, &o.json };
    options[n] = (struct verb_option){ NULL, NULL, NULL };
    got = verb_options(v, argc, argv, options);
    if (got < 0)
        return EXIT_USAGE;
    if (got != 2 || !o.managers[0] || (!o.port && !o.at[0]))
        return verb_misused(v, "expected attach KEY CHAIN --manager ADDRESS:PORT, and --port or --at");
    for (uint8_t c = CLASS_AGENT; o.answer && c <= CLASS_FULL + 1; c++) {
        if (c > CLASS_FULL)
            return verb_misused(v, "--class: found %s, expected agent, coarse or full", o.answer);
        if (strcmp(o.answer, classes[c]) == 0) {
            answer = c;
            break;
        }
    }
    if (o.port) {
        unsigned long port = strtoul(o.port, &rest, 10);

        if (*rest || port == 0 || port > UINT16_MAX)
            return verb_misused(v, "--port: found %s, expected 1 to 65535", o.port);
        a.port = (uint16_t)port;
    }
    a.verb = v;
    a.json = o.json;
    if (key_file_read(argv[1], &a.id, err) < 0)
        return verb_fail(v, "%s", err);
    catch_signals();
    got = read_chain(v, argv[2], &a.id, &subject, &realm);
    if (got == EXIT_DONE)
        got = open_all(&a, &o, &realm, &subject, answer, clock_now());
    if (got == EXIT_DONE)
        got = begin(&a, &o, clock_now());
    if (got == EXIT_DONE)
        got = run(&a, o.once);
    end(&a);
    return got;
}
