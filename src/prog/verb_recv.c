/* prog/verb_recv.c - recv: takes files from `hawser send` into a folder.
 *
 * Theory of operation. One listener, whose descriptor is that of all sessions, and one receiver for each sender. Each
 * is given its turn after every wake-up; one that has more to do keeps the loop from waiting. Who is not allowed is
 * told so and leaves. A sender that was killed is not gone for its session: when another asks for the same name, the
 * paths of the first are probed, and once all are down it gives way.
 *
 * Limits: 64 keys, 16 senders at a time; when there are more, one without a file under way makes room. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

#include "ident/keys.h"
#include "prog/json_client.h"
#include "prog/peer_args.h"
#include "prog/receiver.h"
#include "prog/units.h"
#include "sys/clock.h"

#define PORT_DEFAULT "51821" /* chosen: hawserd's and one */
#define ALLOWED_MAX 64
#define OPTIONS_OWN 9  /* beside --allow */
#define SENDERS_MAX 16 /* chosen: 8 MiB each, kept until they are read */

struct recv {
    const struct verb *v;
    struct hws_session *listener;
    int dir, signals;
    bool anyone, replace, once, quiet, json;
    struct peer_key allowed[ALLOWED_MAX];
    size_t allowed_count;
    struct receiver *senders[SENDERS_MAX];
    bool ended;      /* --once: and it has */
    unsigned failed; /* files */
};

static bool is_allowed(const struct recv *r, struct hws_session *s)
{
    char text[HWS_KEY_SIZE];
    struct peer_key k;

    if (hws_session_peer_key(s, text) < 0 || peer_key_decode(text, &k) < 0)
        return false;
    for (size_t i = 0; i < r->allowed_count; i++)
        if (memcmp(r->allowed[i].ed25519, k.ed25519, sizeof(k.ed25519)) == 0)
            return true;
    return false;
}

/* --- telling --- */

static void tell(const struct recv *r, struct receiver *from, const struct receiver_event *ev)
{
    static const char *const outcomes[] = { "received", "same", "failed" };
    char key[HWS_KEY_SIZE] = "", bytes[UNIT_STRLEN];

    hws_session_peer_key(from->frames.session, key);
    if (ev->type == RECEIVER_BUSY)
        return;
    if (r->json) {
        CLEANUP(cleanup_json)
        json_t *doc =
            json_pack("{s:o, s:s, s:I, s:I, s:s}", "name", json_words(ev->name), "outcome", outcomes[ev->type], "bytes",
                      (json_int_t)ev->size, "had_bytes", (json_int_t)ev->had, "from", key);

        if (ev->type == RECEIVER_FAILED)
            json_object_set_new(doc, "error", json_words(ev->text));
        json_print(doc);
    } else if (ev->type == RECEIVER_FAILED) {
        verb_fail(r->v, "%s: %s", ev->name, ev->text);
    } else if (!r->quiet) {
        printf("%s: %s%s, from %.16s..\n", ev->name, bytes_format(ev->size, bytes),
               ev->type == RECEIVER_SAME ? ", there already" : "", key);
    }
    fflush(stdout);
}

/* --- senders --- */

static void drop(struct recv *r, size_t i)
{
    receiver_free(r->senders[i]);
    r->senders[i] = NULL;
}

/* For one more: who has no file under way, but not a key that is allowed for a stranger; for such a key any stranger.
 */
static bool gives_way(const struct receiver *r, bool to_allowed)
{
    bool idle = !receiver_file(r), stranger = !r->may_replace;

    return to_allowed ? idle || stranger : idle && stranger;
}

/* A free place, or that of the longest silent of those who give way. -1: none. */
static int find_place(struct recv *r, bool for_allowed)
{
    int oldest = -1;

    for (int i = 0; i < SENDERS_MAX; i++) {
        if (!r->senders[i])
            return i;
        if (gives_way(r->senders[i], for_allowed) &&
            (oldest < 0 || r->senders[i]->heard_at < r->senders[oldest]->heard_at))
            oldest = i;
    }
    if (oldest >= 0)
        drop(r, (size_t)oldest);
    return oldest;
}

static void accept_all(struct recv *r, instant now)
{
    struct hws_session *s;

    while (hws_session_accept(r->listener, &s) == 0) {
        bool known = is_allowed(r, s);
        int place = find_place(r, known);

        if (place >= 0)
            r->senders[place] = receiver_new(s, r->dir, known, r->replace, now);
        if (place < 0 || !r->senders[place])
            hws_session_close(s);
        else if (!known && !r->anyone)
            receiver_turn_away(r->senders[place], "this key may not send here");
    }
}

static bool all_down(struct hws_session *s)
{
    struct hws_path paths[8];
    size_t n = hws_session_paths(s, paths, sizeof(paths[0]), ARRAY_LEN(paths));

    for (size_t i = 0; i < n; i++)
        if (paths[i].state != HWS_PATH_DOWN)
            return false;
    return true;
}

/* Who has this name under way gives way if it is not there any more. */
static void on_busy(struct recv *r, const struct receiver *asks, const char *name)
{
    for (size_t i = 0; i < SENDERS_MAX; i++) {
        struct receiver *has = r->senders[i];
        const char *file = has && has != asks ? receiver_file(has) : NULL;

        if (!file || strcmp(file, name) != 0)
            continue;
        if (all_down(has->frames.session))
            receiver_abandon(has);
        else
            hws_session_probe(has->frames.session);
    }
}

/* True if the receiver has more to do. */
static bool work(struct recv *r, size_t i, instant now)
{
    struct receiver_event ev;

    switch (receiver_work(r->senders[i], now, &ev)) {
    case RECEIVER_HAS_MORE:
        return true;
    case RECEIVER_EVENT:
        tell(r, r->senders[i], &ev);
        if (ev.type == RECEIVER_BUSY)
            on_busy(r, r->senders[i], ev.name);
        return true;
    case RECEIVER_ENDED:
        if (r->once && r->senders[i]->offered > 0) {
            r->ended = true;
            r->failed += r->senders[i]->failed + (r->senders[i]->done == 0); /* it went away with nothing done */
        }
        drop(r, i);
        return false;
    default:
        return false;
    }
}

static int run(struct recv *r)
{
    while (!r->ended) {
        instant now = clock_now(), until = INSTANT_NEVER;
        int got;

        accept_all(r, now);
        for (size_t i = 0; i < SENDERS_MAX && !r->ended; i++) {
            if (!r->senders[i])
                continue;
            if (work(r, i, now))
                until = now;
            else if (r->senders[i])
                until = instant_min(until, receiver_next_expiry(r->senders[i]));
        }
        if (r->ended)
            break;
        got = peer_wait(r->listener, r->signals, until);
        if (got < 0)
            return verb_fail(r->v, "%s", hws_strerror(got));
        if (got > 0)
            return r->once ? verb_fail(r->v, "interrupted") : EXIT_DONE;
    }
    return r->failed ? EXIT_FAILED : EXIT_DONE;
}

static int read_keys(struct recv *r, const char *const *keys)
{
    if (keys[ALLOWED_MAX])
        return verb_misused(r->v, "found more than %d keys", ALLOWED_MAX);
    for (; keys[r->allowed_count]; r->allowed_count++)
        if (peer_key_decode(keys[r->allowed_count], &r->allowed[r->allowed_count]) < 0)
            return verb_misused(r->v, "found --allow %s, expected a public key", keys[r->allowed_count]);
    if (r->allowed_count == 0 && !r->anyone)
        return verb_misused(r->v, "nobody may send: name the keys of those who may by --allow, or say --anyone");
    return EXIT_DONE;
}

int verb_recv(const struct verb *v, int argc, char **argv)
{
    static struct recv r;
    const char *key_file = NULL, *port = PORT_DEFAULT, *given_port = NULL, *timeout = NULL;
    const char *transports = NULL;
    const char *keys[ALLOWED_MAX + 2] = { NULL };
    struct verb_option options[OPTIONS_OWN + ALLOWED_MAX + 2] = {
        { "key", &key_file, NULL },    { "port", &given_port, NULL }, { "timeout", &timeout, NULL },
        { "anyone", NULL, &r.anyone }, { "force", NULL, &r.replace }, { "once", NULL, &r.once },
        { "quiet", NULL, &r.quiet },   { "json", NULL, &r.json },     { "transport", &transports, NULL },
    };
    struct hws_options o = { .size = sizeof(o), .flags = HWS_NONBLOCK };
    int n, code;

    for (size_t i = 0; i <= ALLOWED_MAX; i++)
        options[OPTIONS_OWN + i] = (struct verb_option){ "allow", &keys[i], NULL };
    n = verb_options(v, argc, argv, options);
    if (n < 0)
        return EXIT_USAGE;
    r.v = v;
    if (n != 1)
        return verb_misused(v, "found %d arguments, expected a folder", n);
    code = read_keys(&r, keys);
    if (code != EXIT_DONE)
        return code;
    port = given_port ? given_port : port;
    if (peer_port(port) < 0)
        return verb_misused(v, "found --port %s, expected a port", port);
    if ((code = peer_timeout(v, timeout, &o)) != EXIT_DONE || (code = peer_transports(v, transports, &o)) != EXIT_DONE)
        return code;
    r.dir = peer_descriptors() ? open(argv[1], O_RDONLY | O_DIRECTORY | O_CLOEXEC) : -1;
    if (r.dir < 0)
        return verb_fail(v, "%s: %s", argv[1], strerror(errno));
    r.signals = peer_signals(v);
    code = r.signals < 0 ? EXIT_FAILED : peer_session(v, key_file, &o, &r.listener);
    if (code != EXIT_DONE)
        return code;
    code = peer_listen(v, r.listener, peer_port(port));
    if (code == EXIT_DONE && r.anyone)
        fprintf(stderr, "anyone who knows that key may send files into %s\n", argv[1]);
    if (code == EXIT_DONE)
        code = run(&r);
    for (size_t i = 0; i < SENDERS_MAX; i++)
        drop(&r, i);
    hws_session_close(r.listener);
    close(r.dir);
    return code;
}
