/* prog/verb_send.c - send: files to a host that runs `hawser recv`.
 *
 * The arguments are files, a key and addresses, told apart by the key. All files are looked at before anybody is
 * called. A receiver that still holds an earlier session of this very key (a sender that was killed) ends both when a
 * new one comes, so a session that ends before the receiver has said a word is tried again.
 *
 * The line that shows how far it is goes to standard error, if that is a terminal, and is gone at the end. */
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "prog/json_client.h"
#include "prog/peer_args.h"
#include "prog/progress.h"
#include "prog/sender.h"
#include "prog/units.h"
#include "sys/clock.h"

#define PATH_SHOWN 512 /* bytes of a path in a message, its NUL counted */
#define CALLS_MAX 10
#define SEND_INSTANCE 1   /* of a key: one that was killed and starts again takes its own place */
#define CALL_AGAIN_MS 300 /* chosen: the receiver has closed the old one by then */

struct send {
    const struct verb *v;
    const char *timeout;
    bool quiet, json, shows; /* shows: there is a terminal */
    int signals;
    struct sender_file *files;
    size_t count;
    struct frames frames;
    struct sender sender;
    struct progress progress;
    instant began, drawn_at;
    uint64_t sent_bytes; /* of files, by the receiver's word */
};

/* For a terminal, which control characters in a name must not reach. */
static const char *clean(const char *text, char ret[PATH_SHOWN])
{
    snprintf(ret, PATH_SHOWN, "%s", text);
    files_clean(ret);
    return ret;
}

static bool look_at_files(const struct verb *v, char *const *paths, int count, struct sender_file *files)
{
    bool ok = true;

    for (int i = 0; i < count; i++) {
        const char *slash = strrchr(paths[i], '/');
        char shown[PATH_SHOWN], other[PATH_SHOWN];
        struct stat st;

        files[i] = (struct sender_file){ .path = paths[i], .name = slash ? slash + 1 : paths[i] };
        for (int k = 0; k < i; k++)
            if (strcmp(files[k].name, files[i].name) == 0 && strcmp(paths[k], paths[i]) != 0)
                ok =
                    verb_fail(v, "%s: has the name of %s", clean(paths[i], shown), clean(paths[k], other)) == EXIT_DONE;
        if (stat(paths[i], &st) < 0 || access(paths[i], R_OK) < 0)
            ok = verb_fail(v, "%s: %s", clean(paths[i], shown), strerror(errno)) == EXIT_DONE;
        else if (!S_ISREG(st.st_mode))
            ok = verb_fail(v, "%s: is no regular file", clean(paths[i], shown)) == EXIT_DONE;
    }
    return ok;
}

/* --- showing --- */

static uint64_t bytes_sent(const struct send *s)
{
    uint64_t n = 0;

    for (size_t i = 0; i < s->count; i++)
        n += s->files[i].done - s->files[i].had;
    return n;
}

static void sample(struct send *s, instant now)
{
    struct hws_path paths[PROGRESS_LINKS];
    size_t n = hws_session_paths(s->frames.session, paths, sizeof(paths[0]), ARRAY_LEN(paths));

    s->sent_bytes = MAX(s->sent_bytes, bytes_sent(s));
    progress_sample(&s->progress, s->sent_bytes, paths, n, now);
}

static void wipe_line(const struct send *s)
{
    if (s->shows && s->drawn_at > 0)
        fputs("\r\033[K", stderr);
}

static void draw(struct send *s, instant now)
{
    const struct sender_file *f = &s->files[MIN(s->sender.current, s->count - 1)];
    struct winsize w = { 0 };
    char line[1024], name[PATH_SHOWN];

    if (!s->shows || now - s->drawn_at < PROGRESS_SPAN)
        return;
    sample(s, now);
    if (ioctl(STDERR_FILENO, TIOCGWINSZ, &w) < 0 || w.ws_col == 0)
        w.ws_col = 80;
    if (sender_is_unheard(&s->sender))
        snprintf(line, sizeof(line), "%.*s", w.ws_col - 1, "calling");
    else
        progress_line(&s->progress, clean(f->name, name), f->done, f->size, w.ws_col - 1u, line, sizeof(line));
    fprintf(stderr, "\r%s\033[K", line);
    fflush(stderr);
    s->drawn_at = now;
}

/* --- the session --- */

/* 0 when every file has its outcome; 1: a signal; negative: the session is over. */
static int run(struct send *s)
{
    for (;;) {
        unsigned events = hws_session_events(s->frames.session);
        instant now = clock_now(), until = sender_next_expiry(&s->sender);
        int r = events & (HWS_CONNECTED | HWS_ENDED) ? sender_work(&s->sender, now) : SENDER_WAITS;

        if (r < 0 || r == SENDER_ENDED)
            return MIN(r, 0);
        draw(s, now);
        if (r == SENDER_HAS_MORE)
            until = now;
        if (s->shows)
            until = instant_min(until, s->drawn_at + PROGRESS_SPAN);
        r = peer_wait(s->frames.session, s->signals, until);
        if (r != 0)
            return r;
    }
}

static const char *reason(const struct send *s, int error, bool was_up)
{
    if (error == -ENOMSG)
        return "the other end does not answer as `hawser recv` does";
    if (error == -EPROTO)
        return "the other end does not speak as `hawser recv` does";
    if (error == -ETIMEDOUT && !was_up)
        return "nobody answers there";
    if (error == -ECONNRESET && sender_is_unheard(&s->sender))
        return "the other end does not let us in";
    return hws_strerror(error);
}

/* True: worth another call. Else every file has its outcome, or *ret_code says what is wrong. */
static bool call(struct send *s, const char *key_file, struct hws_options *o, const char *key, char *const *at,
                 int count, int *ret_code)
{
    bool was_up, again;
    int r;

    *ret_code = peer_session(s->v, key_file, o, &s->frames.session);
    if (*ret_code != EXIT_DONE)
        return false;
    *ret_code = peer_call(s->v, s->frames.session, key, at, count);
    if (*ret_code != EXIT_DONE) {
        hws_session_close(s->frames.session);
        return false;
    }
    r = run(s);
    was_up = hws_session_events(s->frames.session) & HWS_CONNECTED;
    again = r == -ECONNRESET && sender_is_unheard(&s->sender);
    sample(s, clock_now());
    wipe_line(s);
    if (r > 0)
        sender_give_up(&s->sender, "interrupted");
    else if (r < 0 && !again)
        sender_give_up(&s->sender, reason(s, r, was_up));
    hws_session_close(s->frames.session);
    return again;
}

/* --- the end --- */

static json_t *links_to_json(const struct progress *p)
{
    json_t *array = json_array();

    for (size_t i = 0; i < p->links_count; i++)
        json_array_append_new(
            array, json_pack("{s:s, s:I}", "link", p->links[i].name, "sent_bytes", (json_int_t)p->links[i].bytes));
    return array;
}

static void print_json(const struct send *s, bool ok, double seconds)
{
    static const char *const outcomes[] = { "failed", "sent", "same", "failed" };
    CLEANUP(cleanup_json) json_t *files = json_array();
    CLEANUP(cleanup_json) json_t *doc = NULL;

    for (size_t i = 0; i < s->count; i++) {
        const struct sender_file *f = &s->files[i];
        json_t *one =
            json_pack("{s:o, s:s, s:I, s:I, s:I}", "name", json_words(f->name), "outcome", outcomes[f->outcome],
                      "bytes", (json_int_t)f->size, "had_bytes", (json_int_t)f->had, "done_bytes", (json_int_t)f->done);

        if (f->outcome == SENDER_FAILED)
            json_object_set_new(one, "error", json_words(f->error));
        json_array_append_new(files, one);
    }
    doc = json_pack("{s:b, s:O, s:I, s:f, s:f, s:o}", "ok", ok, "files", files, "sent_bytes", (json_int_t)s->sent_bytes,
                    "seconds", seconds, "bps", seconds > 0 ? (double)s->sent_bytes * 8 / seconds : 0, "links",
                    links_to_json(&s->progress));
    json_print(doc);
}

static void print_summary(const struct send *s, double seconds)
{
    char bytes[UNIT_STRLEN], rate[UNIT_STRLEN], links[256], name[PATH_SHOWN];
    double bps[PROGRESS_LINKS];
    size_t sent = 0;

    for (size_t i = 0; i < s->count; i++) {
        sent += s->files[i].outcome == SENDER_SENT;
        if (s->files[i].outcome == SENDER_SAME)
            printf("%s: there already, not sent again\n", clean(s->files[i].name, name));
    }
    if (sent == 0 && s->sent_bytes == 0)
        return;
    for (size_t i = 0; i < PROGRESS_LINKS; i++)
        bps[i] = (double)s->progress.links[i].bytes * 8 / seconds;
    progress_links(&s->progress, bps, links, sizeof(links));
    printf("sent %zu %s, %s in %.1f s, %s%s%s\n", sent, sent == 1 ? "file" : "files",
           bytes_format(s->sent_bytes, bytes), seconds, rate_format((uint64_t)(s->sent_bytes * 8. / seconds), rate),
           *links ? ": " : "", links);
}

static int tell(const struct send *s)
{
    double seconds = MAX((double)(clock_now() - s->began) / SEC, 1e-3);
    char path[PATH_SHOWN];
    bool ok = true;

    for (size_t i = 0; i < s->count; i++) {
        ok &= s->files[i].outcome == SENDER_SENT || s->files[i].outcome == SENDER_SAME;
        if (s->files[i].outcome == SENDER_FAILED && !s->json)
            verb_fail(s->v, "%s: %s", clean(s->files[i].path, path), s->files[i].error);
    }
    if (s->json)
        print_json(s, ok, seconds);
    else if (!s->quiet)
        print_summary(s, seconds);
    return ok ? EXIT_DONE : EXIT_FAILED;
}

int verb_send(const struct verb *v, int argc, char **argv)
{
    static struct send s;
    const char *key_file = NULL, *timeout = NULL, *transports = NULL;
    struct hws_options o = { .size = sizeof(o), .flags = HWS_NONBLOCK, .instance = SEND_INSTANCE };
    bool force = false;
    const struct verb_option options[] = { { "key", &key_file, NULL }, { "timeout", &timeout, NULL },
                                           { "force", NULL, &force },  { "quiet", NULL, &s.quiet },
                                           { "json", NULL, &s.json },  { "transport", &transports, NULL },
                                           { NULL, NULL, NULL } };
    int n = verb_options(v, argc, argv, options), key, code = EXIT_DONE;

    if (n < 0)
        return EXIT_USAGE;
    key = peer_find_key(argv, n);
    if (key == 0)
        return verb_misused(v, "expected the peer's public key among the arguments");
    if (key == 1 || key == n)
        return verb_misused(v, "expected %s", key == 1 ? "files before the key" : "addresses behind the key");
    if ((code = peer_timeout(v, timeout, &o)) != EXIT_DONE || (code = peer_transports(v, transports, &o)) != EXIT_DONE)
        return code;
    s.v = v;
    s.count = (size_t)key - 1;
    s.files = calloc(s.count, sizeof(*s.files));
    if (!s.files)
        return verb_fail(v, "out of memory");
    if (!look_at_files(v, argv + 1, key - 1, s.files) || !peer_descriptors() || (s.signals = peer_signals(v)) < 0) {
        free(s.files);
        return EXIT_FAILED;
    }
    s.shows = !s.quiet && !s.json && isatty(STDERR_FILENO);
    s.began = clock_now();
    for (int i = 0; i < CALLS_MAX; i++) {
        if (i > 0)
            poll(NULL, 0, CALL_AGAIN_MS);
        s.frames = (struct frames){ 0 };
        progress_init(&s.progress);
        sender_init(&s.sender, &s.frames, s.files, s.count, force);
        if (!call(&s, key_file, &o, argv[key], argv + key + 1, n - key, &code))
            break;
        if (i == CALLS_MAX - 1)
            sender_give_up(&s.sender, "the other end does not let us in");
    }
    sender_deinit(&s.sender);
    if (code == EXIT_DONE)
        code = tell(&s);
    free(s.files);
    return code;
}
