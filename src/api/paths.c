/* api/paths.c - see paths.h. Limits: 256 ways in a process (.6 KB each); a question and an answer of one line each
 * (sys/control.h). */
#include "api/paths.h"

#include <errno.h>
#include <pthread.h>
#include <stdio.h>

#include "base/text.h"
#include "sys/clock.h"
#include "sys/control.h"

#define ROWS 256               /* chosen: who calls more places finds some out again */
#define PATIENCE (20 * MSEC)   /* chosen: it answers in a tenth of one; a session that calls is not to wait for it */
#define SILENCE (10 * SEC)     /* chosen: a daemon that hangs is not asked again before */
#define ANSWER_MAX (32u << 10) /* chosen: a hundred rows */

static struct scoreboard *of_process; /* made when it is first wanted, and kept */
static instant silent_until;          /* the daemon let somebody wait in vain */
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

/* Every row of `from` that is near one of the addresses (or any, if count is 0) and, if so asked, that it was told of
 * itself. */
static void hand_over(const struct scoreboard *from, struct scoreboard *to, const struct addr *remotes, size_t count,
                      bool told, instant now)
{
    struct scoreboard_key k;
    struct scoreboard_row row;
    size_t at = 0;

    while (scoreboard_next(from, &at, now, &k, &row)) {
        bool near = count == 0;

        for (size_t i = 0; i < count; i++)
            near |= scoreboard_is_near(&k.remote, &remotes[i]);
        if (near && (row.told || !told))
            scoreboard_learn(to, &k, &row, now);
    }
}

/* One line to the daemon, and one of it. Its length or -errno. */
static int ask(const char *line, char *answer, size_t size, instant now)
{
    bool silent;
    int r;

    pthread_mutex_lock(&lock);
    silent = now < silent_until;
    pthread_mutex_unlock(&lock);
    if (silent)
        return -EAGAIN;
    r = control_call(CONTROL_KNOWN, line, answer, size, PATIENCE);
    if (r == -ETIMEDOUT) {
        pthread_mutex_lock(&lock);
        silent_until = now + SILENCE;
        pthread_mutex_unlock(&lock);
    }
    return r;
}

void paths_recall(struct scoreboard *b, const struct addr *remotes, size_t count, instant now)
{
    char line[CONTROL_LINE_MAX], remote[ADDR_STRLEN];
    CLEANUP(cleanup_free) char *answer = malloc(ANSWER_MAX);
    struct text t;

    pthread_mutex_lock(&lock);
    if (of_process)
        hand_over(of_process, b, remotes, count, false, now);
    pthread_mutex_unlock(&lock);
    text_init(&t, line, sizeof(line));
    text_add(&t, "known");
    for (size_t i = 0; i < count; i++)
        text_add(&t, " %s", addr_format(&remotes[i], remote));
    if (answer && ask(line, answer, ANSWER_MAX, now) > 0)
        scoreboard_learn_text(b, answer, now);
}

void paths_remember(const struct scoreboard *b, bool ends, instant now)
{
    const struct rng rng = sys_rng();
    char line[CONTROL_LINE_MAX], answer[64];
    struct text t;

    pthread_mutex_lock(&lock);
    if (!of_process)
        of_process = scoreboard_new(ROWS, rng_u64(&rng));
    if (of_process)
        hand_over(b, of_process, NULL, 0, true, now);
    pthread_mutex_unlock(&lock);
    if (!ends)
        return;
    text_init(&t, line, sizeof(line));
    text_add(&t, "tell ");
    if (scoreboard_add_text(b, &t, NULL, 0, true, now) > 0)
        (void)ask(line, answer, sizeof(answer), now);
}
