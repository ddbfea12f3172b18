/* prog/verb_attach.c - id attach: says at the managers of its realm where a key's owner is, for as long as it runs.
 *
 * The chain says who the subject is, and by the link before it which key its managers have. Each manager has a holder
 * (mapping/holder.h), which prog/lookup.h keeps told. Where the host is comes from the command line, or from the
 * addresses of its links, which are followed. When it is stopped it says that the subject is nowhere. */
#include "prog/json_client.h"
#include "prog/lookup.h"
#include "prog/realm.h"
#include "prog/verb.h"
#include "sys/clock.h"
#include "sys/netlink.h"
#include "sys/store.h"

#include <errno.h>
#include <stdio.h>

#define MANAGERS_MAX LOOKUP_HOLDERS_MAX
#define ONCE_TIME (15 * SEC) /* chosen: four tries of an exchange, thrice */
#define LEAVE_TIME (2 * SEC) /* chosen: some round trips */

struct attach {
    const struct verb *verb;
    struct lookup *lookup;
    struct nlmon *links; /* NULL: the locators were given */
    uv_loop_t loop;
    uv_timer_t patience; /* until it is given up */
    uv_signal_t signals[2];
    uv_poll_t netlink;
    uv_prepare_t turn;
    struct identity id;
    uint16_t port;
    struct holder holders[MANAGERS_MAX];
    enum holder_state told[MANAGERS_MAX];
    struct endpoint managers[MANAGERS_MAX];
    size_t count;
    bool once, json, leaving;
    int code; /* of the verb */
};

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
    lookup_wake(a->lookup);
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

static void finish(struct attach *a, int code)
{
    a->code = code;
    uv_stop(&a->loop);
}

static bool all_registered(const struct attach *a)
{
    for (size_t i = 0; i < a->count; i++)
        if (a->holders[i].state != HOLDER_REGISTERED || a->holders[i].asking)
            return false;
    return true;
}

/* After whatever has happened, before the loop waits. */
static void on_turn(uv_prepare_t *h)
{
    struct attach *a = h->data;

    tell(a);
    if ((a->once || a->leaving) && all_registered(a))
        finish(a, EXIT_DONE);
}

static void on_patience(uv_timer_t *t)
{
    struct attach *a = t->data;

    finish(a, a->leaving ? EXIT_DONE : verb_fail(a->verb, "not registered everywhere"));
}

/* It says once more where it is: nowhere. */
static void on_signal(uv_signal_t *h, int signum)
{
    struct attach *a = h->data;
    int got;

    a->leaving = true;
    uv_timer_start(&a->patience, on_patience, LEAVE_TIME / MSEC, 0);
    got = say_where(a, NULL, 0, clock_now());
    if (got != EXIT_DONE)
        finish(a, got);
}

static void catch_signals(struct attach *a)
{
    static const int signums[] = { SIGINT, SIGTERM };

    for (size_t i = 0; i < ARRAY_LEN(signums); i++) {
        uv_signal_init(&a->loop, &a->signals[i]);
        a->signals[i].data = a;
        uv_signal_start(&a->signals[i], on_signal, signums[i]);
    }
}

static void on_netlink(uv_poll_t *h, int status, int events)
{
    struct attach *a = h->data;
    int got = a->leaving ? EXIT_DONE : follow_links(a, clock_now());

    if (got != EXIT_DONE)
        finish(a, got);
}

/* Until it is stopped; once: until all managers have answered. An exit code. */
static int run(struct attach *a)
{
    a->patience.data = a->turn.data = a->netlink.data = a;
    uv_timer_init(&a->loop, &a->patience);
    uv_prepare_init(&a->loop, &a->turn);
    uv_prepare_start(&a->turn, on_turn);
    if (a->links && (uv_poll_init(&a->loop, &a->netlink, nlmon_fd(a->links)) < 0 ||
                     uv_poll_start(&a->netlink, UV_READABLE, on_netlink) < 0))
        return verb_fail(a->verb, "cannot follow the addresses of this host");
    if (a->once)
        uv_timer_start(&a->patience, on_patience, ONCE_TIME / MSEC, 0);
    uv_run(&a->loop, UV_RUN_DEFAULT);
    return a->code;
}

/* --- start --- */

struct attach_options {
    const char *managers[MANAGERS_MAX], *at[RECORD_TARGETS_MAX], *port, *answer;
};

/* Subject and managers' key, of a chain in a file. */
static int read_chain(const struct verb *v, const char *path, const struct identity *id, struct record *ret_subject,
                      uint8_t ret_realm_key[IDENT_KEY_LEN])
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
    memcpy(ret_realm_key, realm.key, IDENT_KEY_LEN);
    return EXIT_DONE;
}

static int open_all(struct attach *a, const struct attach_options *o, const uint8_t realm_key[IDENT_KEY_LEN],
                    const struct record *subject, uint8_t answer)
{
    const struct lookup_options l = { .self = &a->id };
    const struct rng rng = sys_rng();
    uint8_t kind = subject->type == RECORD_DELEGATION ? KIND_REALM_REALM : KIND_HOST_LOCATOR;
    uint32_t boot_epoch = (uint32_t)MAX(clock_wall_s(), 1), counter = (uint32_t)rng_u64(&rng);
    char err[LOOKUP_ERR];

    if (lookup_new(&a->loop, &l, &a->lookup, err) < 0)
        return verb_fail(a->verb, "%s", err);
    for (size_t i = 0; i < MANAGERS_MAX && o->managers[i]; i++) {
        struct endpoint *to = &a->managers[i];
        struct locator_pair way = { .link = 0 };

        if (endpoint_parse(o->managers[i], 51823, to) < 0)
            return verb_misused(a->verb, "--manager: found %s, expected ADDRESS or ADDRESS:PORT", o->managers[i]);
        holder_init(&a->holders[a->count++], a->id.ed25519_seed, &subject->subject, &subject->subject, kind, answer,
                    HOLDER_LEASE_S, boot_epoch, counter);
        way.remote = *to;
        if (lookup_hold(a->lookup, &a->holders[i], realm_key, &way, 1) < 0)
            return verb_fail(a->verb, "out of memory");
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

static void close_handle(uv_handle_t *h, void *context)
{
    if (!uv_is_closing(h))
        uv_close(h, NULL);
}

static void end(struct attach *a)
{
    lookup_close(a->lookup);
    uv_walk(&a->loop, close_handle, NULL);
    uv_run(&a->loop, UV_RUN_DEFAULT);
    uv_loop_close(&a->loop);
    for (size_t i = 0; i < a->count; i++)
        holder_deinit(&a->holders[i]);
    nlmon_free(a->links);
    identity_wipe(&a->id);
}

int verb_attach(const struct verb *v, int argc, char **argv)
{
    static const char *const classes[] = { "", "agent", "coarse", "full" };
    static struct attach a;
    struct attach_options o = { 0 };
    struct verb_option options[MANAGERS_MAX + RECORD_TARGETS_MAX + 5];
    size_t n = 0;
    uint8_t answer = CLASS_FULL;
    uint8_t realm_key[IDENT_KEY_LEN];
    struct record subject;
    char err[FILE_ERR], *rest;
    int got;

    for (size_t i = 0; i < MANAGERS_MAX; i++)
        options[n++] = (struct verb_option){ "manager", &o.managers[i], NULL };
    for (size_t i = 0; i < RECORD_TARGETS_MAX; i++)
        options[n++] = (struct verb_option){ "at", &o.at[i], NULL };
    options[n++] = (struct verb_option){ "port", &o.port, NULL };
    options[n++] = (struct verb_option){ "class", &o.answer, NULL };
    options[n++] = (struct verb_option){ "once", NULL, &a.once };
    options[n++] = (struct verb_option){ "json", NULL, &a.json };
    options[n] = (struct verb_option){ NULL, NULL, NULL };
    got = verb_options(v, argc, argv, options);
    if (got < 0)
        return EXIT_USAGE;
    if (got != 2 || !o.managers[0] || (!o.port && !o.at[0]))
        return verb_misused(v, "expected attach KEY CHAIN --manager ADDRESS[:PORT], and --port or --at");
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
    if (key_file_read(argv[1], &a.id, err) < 0)
        return verb_fail(v, "%s", err);
    uv_loop_init(&a.loop);
    catch_signals(&a);
    got = read_chain(v, argv[2], &a.id, &subject, realm_key);
    if (got == EXIT_DONE)
        got = open_all(&a, &o, realm_key, &subject, answer);
    if (got == EXIT_DONE)
        got = begin(&a, &o, clock_now());
    if (got == EXIT_DONE)
        got = run(&a);
    end(&a);
    return got;
}
