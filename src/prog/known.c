/* prog/known.c - what is known of paths, for programs of this machine that have sessions of their own.
 *
 * Theory of operation. A socket of its own, CONTROL_KNOWN, that any user may connect to. A request is one line, and so
 * is the answer:
 *
 *   known ADDRESS...     rows of the ways to these addresses and their neighbours, `;` between (path/scoreboard.h)
 *   tell ROW;ROW...      ok
 *
 * Who may know what: it is asked by address, so nobody learns whom the tunnel, or another, talks to; what it is told by
 * root or by its own user joins what the tunnel's own sessions have measured, and everyone may have that; what another
 * user tells is told to that user alone, so nobody can make others believe in paths. A lie costs its own teller a round
 * trip (path/path.h).
 *
 * One daemon of a machine has the socket, the first; without it, or where it cannot be made, programs remember for
 * themselves. Limits: sys/control.h; USERS_MAX other users, of whom the one that was heard of longest ago makes room,
 * 64 rows each; 32 rows an answer. */
#include <errno.h>
#include <stdio.h>
#include <sys/stat.h>
#include <syslog.h>
#include <unistd.h>

#include "base/text.h"
#include "prog/daemon.h"

#define USERS_MAX 8
#define ROWS_OF_USER 64
#define ASKED_MAX 8 /* addresses, as a session has */

struct known {
    struct control *control;
    struct watch *watch;
    struct {
        struct scoreboard *board; /* NULL: free */
        uid_t uid;
        instant heard;
    } users[USERS_MAX];
};

/* NULL: there is none, or no memory. Our own tells go to the node's. */
static struct scoreboard *board_of(struct daemon *d, uid_t uid, bool make, instant now)
{
    const struct rng rng = sys_rng();
    struct known *k = d->known;
    unsigned oldest = 0;

    if (uid == 0 || uid == geteuid())
        return node_scoreboard(daemon_node(d));
    for (unsigned i = 0; i < USERS_MAX; i++) {
        if (k->users[i].board && k->users[i].uid == uid) {
            k->users[i].heard = now;
            return k->users[i].board;
        }
        if (!k->users[i].board || (k->users[oldest].board && k->users[i].heard < k->users[oldest].heard))
            oldest = i;
    }
    if (!make)
        return NULL;
    scoreboard_free(k->users[oldest].board);
    k->users[oldest].board = scoreboard_new(ROWS_OF_USER, rng_u64(&rng));
    k->users[oldest].uid = uid;
    k->users[oldest].heard = now;
    return k->users[oldest].board;
}

static void answer_known(struct daemon *d, uid_t uid, char *words, struct text *ret, instant now)
{
    struct scoreboard *ours = node_scoreboard(daemon_node(d)), *theirs = board_of(d, uid, false, now);
    struct addr asked[ASKED_MAX];
    size_t count = 0;

    for (char *save = NULL, *w = strtok_r(words, " ", &save); w && count < ASKED_MAX; w = strtok_r(NULL, " ", &save))
        count += addr_parse(w, &asked[count]) == 0;
    if (count == 0)
        return;
    scoreboard_add_text(ours, ret, asked, count, false, now);
    if (theirs && theirs != ours)
        scoreboard_add_text(theirs, ret, asked, count, false, now);
}

static void on_known(struct worker *w, void *arg, instant now)
{
    struct daemon *d = w->d;
    struct control *c = d->known->control;
    struct control_request req;
    char line[CONTROL_LINE_MAX], answer[2 * SCOREBOARD_ROWS_MAX * SCOREBOARD_TEXT_MAX];
    int r = control_process(c);

    if (r < 0)
        say(LOG_ERR, "known error=%s", strerror(-r));
    while (control_pop_request(c, &req)) {
        struct text t;

        text_init(&t, answer, sizeof(answer));
        snprintf(line, sizeof(line), "%s", req.line);
        if (strncmp(line, "known ", 6) == 0) {
            answer_known(d, req.uid, line + 6, &t, now);
        } else if (strncmp(line, "tell ", 5) == 0) {
            struct scoreboard *b = board_of(d, req.uid, true, now);

            if (b)
                scoreboard_learn_text(b, line + 5, now);
            text_add(&t, "ok");
        } else {
            text_add(&t, "error: expected known or tell");
        }
        control_reply(c, req.client, answer);
    }
}

void known_start(struct daemon *d)
{
    struct known *k = calloc(1, sizeof(*k));
    int r;

    mkdir("/run/hawser", 0755); /* the control socket may be elsewhere */
    r = k ? control_open_to_all(CONTROL_KNOWN, &k->control) : -ENOMEM;

    if (r == 0)
        r = watch_new(&d->workers[0], control_fd(k->control), on_known, NULL, &k->watch);
    if (r == 0) {
        d->known = k;
        return;
    }
    if (r != -EADDRINUSE) /* another tunnel's daemon has it */
        say(LOG_WARNING, "cannot listen on %s: %s", CONTROL_KNOWN, strerror(-r));
    control_free(k ? k->control : NULL);
    free(k);
}

void known_stop(struct daemon *d)
{
    struct known *k = d->known;

    if (!k)
        return;
    watch_free(k->watch);
    control_free(k->control);
    for (unsigned i = 0; i < USERS_MAX; i++)
        scoreboard_free(k->users[i].board);
    free(k);
    d->known = NULL;
}
