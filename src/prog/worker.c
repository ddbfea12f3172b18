/* prog/worker.c - threads of an agent, each with a share of its sessions.
 *
 * Theory of operation. A worker is a thread with a loop, a node (a share of the agent's sessions: node/handover.c), a
 * queue of the TUN device and a socket of the agent's port, and nothing that two of them touch while packets flow. The
 * kernel brings most things where they belong: a record by the last bits of its connection id, a packet of the inside
 * by the queue that its flow went in by. The rest goes by mail: a ring of letters (base/ring.h) from each worker to
 * each other one, and an eventfd that is written only when its reader sleeps. A full ring loses the letter, as a full
 * queue would lose the packet.
 *
 * The main thread is the first worker, and all else: netlink, control, TCP connections, files. When it looks into the
 * other nodes (a status, a reload, the memory of endpoints) it pauses their threads: each parks at its next wake-up.
 *
 * How many: `Workers`, or as many as there are processors and peers, a power of two. A node has one session and one
 * worker.
 *
 * Limits: 8 workers; 1 MiB of letters from one to another. */
#include <errno.h>
#include <sys/eventfd.h>
#include <syslog.h>
#include <unistd.h>

#include "base/ring.h"
#include "prog/daemon.h"
#include "sys/thread.h"

#define RING_BYTES (1 << 20) /* chosen: fifteen of the longest trains */
#define LETTERS_MAX 256      /* a wake-up */
#define WORKERS_AUTO_MAX 4   /* chosen: as far as it was tried */

enum letter_kind {
    LETTER_HANDOVER,   /* and the bytes */
    LETTER_TCP_SEND,   /* and the bytes: a datagram or train for the main thread's connection */
    LETTER_TCP_PROVEN, /* to the main thread: a record that came by that connection opened */
    LETTER_UNREACHABLE,
    LETTER_TOO_BIG,
};

struct letter {
    enum letter_kind kind;
    union {
        struct node_handover handover;
        struct session_tx tx;
        struct {
            struct locator_pair at;
            size_t mtu_bytes;
        } said;
    } u;
};

struct mail {
    struct ring from[WORKERS_MAX]; /* by the sender's index; none from itself */
    int fd;                        /* eventfd */
    atomic_bool woken;             /* the descriptor was written and the reader has not come yet */
    struct watch *watch;
    struct endpoint proven; /* whose TCP connection the main thread was told of last */
    instant proven_at;

    pthread_t thread;
    bool running;
    atomic_bool quit, pause;
    sem_t paused, go_on;
};

static unsigned lower_power_of_two(size_t n)
{
    unsigned p = 1;

    while (2 * (size_t)p <= n)
        p *= 2;
    return p;
}

static unsigned count_for(const struct config *c)
{
    long cpus = sysconf(_SC_NPROCESSORS_ONLN);

    if (c->role != CONFIG_AGENT)
        return 1;
    if (c->workers > 0)
        return lower_power_of_two(MIN((size_t)c->workers, (size_t)WORKERS_MAX));
    return lower_power_of_two(MIN(MIN((size_t)MAX(cpus, 1), MAX(c->peers_count, (size_t)1)), (size_t)WORKERS_AUTO_MAX));
}

/* --- letters --- */

static void wake(struct worker *w)
{
    const uint64_t one = 1;

    if (!atomic_exchange(&w->mail->woken, true) && write(w->mail->fd, &one, sizeof(one)) < 0 && errno != EAGAIN)
        say(LOG_ERR, "mail error=%s", strerror(errno));
}

void worker_wake_main(struct daemon *d)
{
    if (d->workers[0].mail)
        wake(&d->workers[0]);
    else
        uv_stop(&d->workers[0].loop);
}

static void post(struct worker *from, unsigned to, const struct letter *l, const uint8_t *data, size_t len)
{
    struct worker *w = &from->d->workers[to];
    struct ring *r = &w->mail->from[from->index];
    /* Datagrams that nobody has opened yet may be anybody's: they leave half of the ring to the rest. */
    bool strange = l->kind == LETTER_HANDOVER && l->u.handover.kind == NODE_HANDOVER_DATAGRAM &&
                   l->u.handover.at.transport == TRANSPORT_UDP;
    uint8_t *out = strange && ring_used(r) > RING_BYTES / 2 ? NULL : ring_reserve(r, sizeof(*l) + len);

    if (!out) { /* as in a full queue */
        from->counts.letters_lost++;
        return;
    }
    memcpy(out, l, sizeof(*l));
    if (len > 0)
        memcpy(out + sizeof(*l), data, len);
    ring_commit(r, sizeof(*l) + len);
    wake(w);
}

static void post_others(struct worker *w, const struct letter *l)
{
    for (unsigned i = 0; i < w->d->workers_count; i++)
        if (i != w->index)
            post(w, i, l, NULL, 0);
}

bool worker_hand_over(struct worker *w)
{
    struct letter l = { .kind = LETTER_HANDOVER };
    bool any = false;
    uint8_t *data;
    size_t len;

    while (w->mail && node_pop_handover(w->node, &l.u.handover, &data, &len)) {
        post(w, l.u.handover.to, &l, data, len);
        any = true;
    }
    return any;
}

void worker_drain(struct worker *w, instant now)
{
    struct merged pkt;

    do {
        while (node_pop_inner(w->node, &pkt, now))
            inside_write(w, &pkt);
    } while (worker_hand_over(w));
}

void worker_tcp_send(struct worker *w, const struct session_tx *tx, const uint8_t *data)
{
    const struct letter l = { .kind = LETTER_TCP_SEND, .u.tx = *tx };

    post(w, 0, &l, data, tx->len);
}

void worker_unreachable(struct worker *w, const struct locator_pair *at, instant now)
{
    const struct letter l = { .kind = LETTER_UNREACHABLE, .u.said = { *at, 0 } };

    node_on_unreachable(w->node, at, now);
    post_others(w, &l);
}

void worker_too_big(struct worker *w, const struct locator_pair *at, size_t mtu_bytes, instant now)
{
    const struct letter l = { .kind = LETTER_TOO_BIG, .u.said = { *at, mtu_bytes } };

    node_on_too_big(w->node, at, mtu_bytes, now);
    post_others(w, &l);
}

static void on_handover(struct worker *w, const struct node_handover *h, uint8_t *data, size_t len, instant now)
{
    unsigned opened = node_on_handover(w->node, h, data, len, now);

    if (opened > 0 && h->at.transport == TRANSPORT_TCP && w->index != 0 &&
        (!endpoint_equal(&h->at.remote, &w->mail->proven) || now - w->mail->proven_at > 1 * SEC)) {
        const struct letter l = { .kind = LETTER_TCP_PROVEN, .u.said = { h->at, 0 } };

        w->mail->proven = h->at.remote;
        w->mail->proven_at = now;
        post(w, 0, &l, NULL, 0);
    }
    worker_drain(w, now); /* the bytes are in the ring */
}

static void read_letter(struct worker *w, uint8_t *bytes, size_t len, instant now)
{
    struct letter l;
    uint8_t *data = bytes + sizeof(l);

    memcpy(&l, bytes, sizeof(l));
    switch (l.kind) {
    case LETTER_HANDOVER:
        on_handover(w, &l.u.handover, data, len - sizeof(l), now);
        break;
    case LETTER_TCP_SEND:
        outside_tcp_send(w->d, &l.u.tx, data, now);
        break;
    case LETTER_TCP_PROVEN:
        outside_tcp_proven(w->d, &l.u.said.at);
        break;
    case LETTER_UNREACHABLE:
        node_on_unreachable(w->node, &l.u.said.at, now);
        break;
    case LETTER_TOO_BIG:
        node_on_too_big(w->node, &l.u.said.at, l.u.said.mtu_bytes, now);
        break;
    }
}

/* Each sender has its share of a wake-up, so that none keeps the others' letters waiting. */
static void read_letters(struct worker *w, instant now)
{
    unsigned quota = LETTERS_MAX / (w->d->workers_count - 1);
    bool more = false;

    for (unsigned i = 0; i < w->d->workers_count; i++) {
        struct ring *r = &w->mail->from[i];
        unsigned left = quota;
        uint8_t *bytes;
        size_t len;

        while (i != w->index && left > 0 && (bytes = ring_peek(r, &len))) {
            read_letter(w, bytes, len, now);
            ring_release(r);
            left--;
        }
        more |= left == 0;
    }
    if (more)
        wake(w); /* after whatever else there is */
}

static void on_mail(struct worker *w, void *arg, instant now)
{
    struct mail *m = w->mail;
    uint64_t count;

    if (read(m->fd, &count, sizeof(count)) < 0 && errno != EAGAIN)
        say(LOG_ERR, "mail error=%s", strerror(errno));
    atomic_store(&m->woken, false); /* before the rings are looked at: what comes later wakes again */
    if (atomic_load(&m->pause)) {
        sem_post(&m->paused);
        while (sem_wait(&m->go_on) < 0 && errno == EINTR)
            ;
        now = clock_now(); /* the main thread was at our node meanwhile, with a later one */
    }
    if (atomic_load(&m->quit) || (w->index == 0 && atomic_load(&w->d->stopping)))
        uv_stop(&w->loop);
    read_letters(w, now);
}

/* --- pause --- */

void workers_pause(struct daemon *d)
{
    if (d->pauses++ > 0)
        return;
    for (unsigned i = 1; i < d->workers_count; i++) {
        atomic_store(&d->workers[i].mail->pause, true);
        wake(&d->workers[i]);
    }
    for (unsigned i = 1; i < d->workers_count; i++)
        while (d->workers[i].mail->running && sem_wait(&d->workers[i].mail->paused) < 0 && errno == EINTR)
            ;
}

void workers_resume(struct daemon *d)
{
    if (--d->pauses > 0)
        return;
    for (unsigned i = 1; i < d->workers_count; i++) {
        atomic_store(&d->workers[i].mail->pause, false);
        if (d->workers[i].mail->running)
            sem_post(&d->workers[i].mail->go_on);
    }
}

/* --- start and stop --- */

static int mail_make(struct worker *w)
{
    struct mail *m = calloc(1, sizeof(*m));
    int r = 0;

    if (!m)
        return -ENOMEM;
    w->mail = m;
    sem_init(&m->paused, 0, 0);
    sem_init(&m->go_on, 0, 0);
    m->fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    if (m->fd < 0)
        return -errno;
    for (unsigned i = 0; i < w->d->workers_count && r == 0; i++)
        if (i != w->index)
            r = ring_init(&m->from[i], RING_BYTES);
    return r < 0 ? r : watch_new(w, m->fd, on_mail, NULL, &m->watch);
}

int workers_make(struct daemon *d)
{
    unsigned count = count_for(d->config);
    int r = 0;

    for (unsigned i = 0; i < count && r == 0; i++) {
        d->workers[i] = (struct worker){ .d = d, .index = i, .timer_fd = -1 };
        r = uv_loop_init(&d->workers[i].loop);
        d->workers_count += r == 0;
    }
    for (unsigned i = 0; i < d->workers_count && count > 1 && r == 0; i++)
        r = mail_make(&d->workers[i]);
    if (r < 0)
        say(LOG_ERR, "cannot make %u workers: %s", count, strerror(-r));
    return r;
}

static void *run(void *arg)
{
    struct worker *w = arg;

    uv_run(&w->loop, UV_RUN_DEFAULT);
    return NULL;
}

int workers_start(struct daemon *d)
{
    int r = 0;

    for (unsigned i = 1; i < d->workers_count && r == 0; i++) {
        r = thread_begin(&d->workers[i].mail->thread, run, &d->workers[i]);
        d->workers[i].mail->running = r == 0;
    }
    if (r < 0)
        say(LOG_ERR, "cannot start a thread: %s", strerror(-r));
    return r;
}

void workers_stop(struct daemon *d)
{
    for (unsigned i = 1; i < d->workers_count; i++) {
        struct mail *m = d->workers[i].mail;

        if (!m || !m->running)
            continue;
        atomic_store(&m->quit, true);
        wake(&d->workers[i]);
        pthread_join(m->thread, NULL);
        m->running = false;
    }
}

static void mail_free(struct mail *m)
{
    if (!m)
        return;
    watch_free(m->watch);
    if (m->fd >= 0)
        close(m->fd);
    for (unsigned i = 0; i < WORKERS_MAX; i++)
        ring_deinit(&m->from[i]);
    sem_destroy(&m->paused);
    sem_destroy(&m->go_on);
    free(m);
}

void workers_free(struct daemon *d)
{
    for (unsigned i = 0; i < d->workers_count; i++) {
        struct worker *w = &d->workers[i];

        watch_free(w->timer_watch);
        mail_free(w->mail);
        node_free(w->node);
        if (d->resolving == 0) {              /* a look-up under way cannot be called back: the process ends over it */
            uv_run(&w->loop, UV_RUN_DEFAULT); /* until every handle is closed */
            uv_loop_close(&w->loop);
        }
        if (w->timer_fd >= 0)
            close(w->timer_fd);
        free(w->out);
    }
}
