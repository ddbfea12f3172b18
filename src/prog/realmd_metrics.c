/* prog/realmd_metrics.c - counters of hawser-realmd in the text that Prometheus reads (its exposition format 0.0.4).
 *
 * A family is a row of a table, or a loop over the numbers of an enum, whose names are labels. Limits: METRICS_MAX
 * bytes, some three times what there is. */
#include <inttypes.h>

#include "prog/realmd.h"

#define METRICS_MAX 65536

static void family(struct text *t, const char *name, const char *type, const char *help)
{
    text_add(t, "# HELP hawser_realm_%s %s\n# TYPE hawser_realm_%s %s\n", name, help, name, type);
}

static void labelled(struct text *t, const char *name, const char *label, const char *help, const uint64_t *values,
                     size_t from, size_t count, const char *(*word)(unsigned))
{
    family(t, name, "counter", help);
    for (size_t i = from; i < count; i++)
        if (word((unsigned)i))
            text_add(t, "hawser_realm_%s{%s=\"%s\"} %" PRIu64 "\n", name, label, word((unsigned)i), values[i]);
}

static const char *fault_word(unsigned i)
{
    return record_fault_name((enum record_fault)i);
}

static const char *drop_word(unsigned i)
{
    return exchange_drop_name((enum exchange_drop)i);
}

static const char *rank_word(unsigned i)
{
    static const char *const words[MANAGER_RANKS] = { "movers", "members", "known", "strangers" };

    return words[i];
}

static void of_manager(struct text *t, const struct manager_stats *s)
{
    labelled(t, "requests_total", "type", "Requests that were understood.", s->requests, 1, MAPPING_TYPE_END,
             mapping_type_name);
    labelled(t, "answers_total", "status", "Answers that were given.", s->answers, 0, MAPPING_STATUS_COUNT,
             mapping_status_name);
    labelled(t, "refused_total", "cause", "Records that were refused.", s->refused, 1, RECORD_FAULT_COUNT, fault_word);
    labelled(t, "put_off_total", "rank", "Requests that were put off under load.", s->later, 0, MANAGER_RANKS,
             rank_word);
}

static void of_exchange(struct text *t, const struct exchange_stats *x)
{
    labelled(t, "drops_total", "cause", "Datagrams that were dropped.", x->drops, 0, EXCHANGE_DROP_COUNT, drop_word);
}

void realmd_metrics(struct realmd *d, instant now, struct http_answer *a)
{
    struct manager_stats s;
    struct exchange_stats x;
    struct fetcher_stats f = { 0 };
    span behind = d->following ? follower_behind(&d->follower, now) : 0;
    struct text t;

    manager_get_stats(d->manager, &s);
    exchange_stats_get(d->exchange, &x);
    if (d->cache)
        cache_get_stats(d, &f);
    const struct {
        const char *name, *type, *help;
        bool there;
        double value;
    } single[] = {
        { "up_seconds", "gauge", "Since the start.", true, (double)(now - d->started) / SEC },
        { "names", "gauge", "Names and aliases in force.", true, s.names },
        { "bindings", "gauge", "Bindings that are known, those whose lease is over included.", true, s.bindings },
        { "bindings_live", "gauge", "Bindings with a lease.", true, s.bindings_live },
        { "bindings_bytes", "gauge", "Memory of the bindings.", true, (double)s.bindings_bytes },
        { "guests", "gauge", "Members of other realms that are remembered.", true, s.guests },
        { "subscriptions", "gauge", "Subscriptions.", true, s.subscriptions },
        { "notices_total", "counter", "Notices to subscribers.", true, (double)s.notices },
        { "notices_lost_total", "counter", "Notices that only said that there was more than is kept.", true,
          (double)s.notices_lost },
        { "changes_total", "counter", "Changes of bindings.", true, (double)s.changes - 1 },
        { "unknown_total", "counter", "Requests that were not understood.", true, (double)s.unknown },
        { "store_failed", "gauge", "1 while the store takes nothing.", d->store, d->store_failed },
        { "store_behind", "gauge", "Changes that are not durable yet.", d->store, (double)(s.changes - s.stored) },
        { "store_waiting", "gauge", "Answers that wait for the store.", d->store, (double)d->waiting_count },
        { "parent_registered", "gauge", "1 while the realm above knows where this one is.", d->parent,
          d->announced.state == HOLDER_REGISTERED },
        { "follow_caught_up", "gauge", "1 while enough is known of the manager that is followed.", d->following,
          behind <= MANAGER_BEHIND_MAX },
        { "follow_behind_seconds", "gauge", "How old what is known may be.", d->following && behind != INSTANT_NEVER,
          (double)behind / SEC },
        { "follow_taken_total", "counter", "Records that were taken from it.", d->following,
          (double)d->follower.taken },
        { "log_caught_up", "gauge", "1 while all entries of the log that is followed are here.", d->following,
          d->log_told },
        { "cache_subjects", "gauge", "Subjects that were asked for.", d->cache, f.subjects },
        { "cache_asked_total", "counter", "Questions about them to the manager that is followed.", d->cache,
          (double)f.asked },
        { "cache_failed_total", "counter", "Questions that were not answered.", d->cache, (double)f.failed },
        { "folder_failed", "gauge", "1 while the realm's folder cannot be read.", true, d->folder_error[0] != '\0' },
        { "peers", "gauge", "Associations.", true, x.peers },
        { "handshakes_total", "counter", "Handshakes begun or answered.", true, (double)x.handshakes },
        { "received_datagrams_total", "counter", "Datagrams that came.", true, (double)x.rx_datagrams },
        { "sent_datagrams_total", "counter", "Datagrams that left.", true, (double)x.tx_datagrams },
    };

    *a =
        (struct http_answer){ .status = 200, .content_type = "text/plain; version=0.0.4", .body = malloc(METRICS_MAX) };
    if (!a->body)
        return;
    text_init(&t, a->body, METRICS_MAX);
    for (size_t i = 0; i < ARRAY_LEN(single); i++) {
        if (!single[i].there)
            continue;
        family(&t, single[i].name, single[i].type, single[i].help);
        text_add(&t, "hawser_realm_%s %.15g\n", single[i].name, single[i].value);
    }
    of_manager(&t, &s);
    of_exchange(&t, &x);
    a->len = strlen(a->body);
}
