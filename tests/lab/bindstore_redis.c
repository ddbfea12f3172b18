/* Lab test of sys/bindstore.h over a Redis Cluster of its own: three masters and their replicas, in a folder and a
 * network namespace that go with it.
 *
 *   10.77.0.1 .2 .3   masters         all on lo, port 7000
 *   10.77.0.4 .5 .6   replicas
 *
 * The rows of a model go in and come out. Then a master is killed under load, after its replica was kept from hearing
 * of the newest changes: what is read is stale at worst, and what was lost is written forward.
 *
 * Needs root and redis-server. Without them the program says so and exits with 77. */
#include "base/rng.h"
#include "sys/bindstore.h"
#include "tests/lab/lab.h"
#include "tests/unit/bindstore_model.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>

#define NODES 6
#define WHERE "redis:10.77.0.1:7000,10.77.0.2:7000,10.77.0.3:7000"
#define SEEDS "10.77.0.1:7000 10.77.0.2:7000 10.77.0.3:7000 10.77.0.4:7000 10.77.0.5:7000 10.77.0.6:7000"
#define PATIENCE_MS 60000 /* for a condition; reached by failures only */

static char dir[] = "/tmp/hawser-redis-XXXXXX";
static pid_t nodes[NODES];

static int64_t now_ms(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

/* What a command of the shell says, in a buffer of this function. */
static const char *say(const char *command)
{
    static char out[8192];
    FILE *f = popen(command, "r");
    size_t n;

    assert_non_null(f);
    n = fread(out, 1, sizeof(out) - 1, f);
    out[n] = '\0';
    pclose(f);
    return out;
}

static bool says(const char *command, const char *what)
{
    return strstr(say(command), what) != NULL;
}

static void wait_until_says(const char *command, const char *what)
{
    int64_t until = now_ms() + PATIENCE_MS;

    while (!says(command, what)) {
        if (now_ms() > until)
            fail_msg("%s: never said %s: %s", command, what, say(command));
        poll(NULL, 0, 50);
    }
}

static void start_node(int n)
{
    char bind[32], folder[64];
    pid_t pid;

    snprintf(bind, sizeof(bind), "10.77.0.%d", n + 1);
    snprintf(folder, sizeof(folder), "%s/%d", dir, n + 1);
    pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        execlp("redis-server", "redis-server", "--bind", bind, "--bind-source-addr", bind, "--port", "7000", "--dir",
               folder, "--protected-mode", "no", "--cluster-enabled", "yes", "--cluster-node-timeout", "1000",
               "--cluster-replica-validity-factor", "0", "--save", "", "--appendonly", "no", "--logfile", "log",
               "--repl-diskless-sync-delay", "0", NULL);
        _exit(127);
    }
    nodes[n] = pid;
}

static int set_up(void **state)
{
    if (!mkdtemp(dir))
        return -1;
    for (int n = 0; n < NODES; n++) {
        char command[160];

        snprintf(command, sizeof(command), "ip addr add 10.77.0.%d/32 dev lo && mkdir %s/%d", n + 1, dir, n + 1);
        run(command);
        start_node(n);
    }
    for (int n = 0; n < NODES; n++) {
        char command[80];

        snprintf(command, sizeof(command), "redis-cli -h 10.77.0.%d -p 7000 ping 2>&1", n + 1);
        wait_until_says(command, "PONG");
    }
    wait_until_says("redis-cli --cluster create " SEEDS " --cluster-replicas 1 --cluster-yes 2>&1; "
                    "redis-cli -h 10.77.0.1 -p 7000 cluster info",
                    "cluster_state:ok");
    return 0;
}

static int tear_down(void **state)
{
    char command[80];

    for (int n = 0; n < NODES; n++) {
        kill(nodes[n], SIGCONT);
        kill(nodes[n], SIGKILL);
        waitpid(nodes[n], NULL, 0);
    }
    snprintf(command, sizeof(command), "rm -r %s", dir);
    return system(command);
}

static char err[256];

static struct bindstore *open_store(const char *name, uint32_t log_max)
{
    const struct bindstore_options o = { .name = name, .log_max = log_max, .timeout_ms = 30000 };
    struct bindstore *s;

    if (bindstore_open(WHERE, &o, &s, err, sizeof(err)) < 0)
        fail_msg("%s", err);
    return s;
}

static struct bindstore_event next_event(struct bindstore *s)
{
    struct pollfd p = { .fd = bindstore_fd(s), .events = POLLIN };
    struct bindstore_event ev;

    while (!bindstore_pop(s, &ev))
        assert_int_equal(poll(&p, 1, PATIENCE_MS), 1);
    return ev;
}

/* --- the same rows as a model --- */

static struct model model;
static uint32_t seen;

static int check_row(void *ctx, const struct bindstore_row *row)
{
    assert_true(model_has(&model, row));
    seen++;
    return 0;
}

/* Per shard: what the log is to have. */
static struct {
    uint64_t cursor[20000], seq[20000];
    uint32_t subject[20000];
    bool forgotten[20000];
    size_t count, read;
} logs[BINDSTORE_SHARDS_MAX];

static int check_logged(void *ctx, const struct bindstore_logged *c)
{
    unsigned shard = *(unsigned *)ctx;
    size_t i = logs[shard].read++;

    assert_true(i < logs[shard].count);
    assert_true(c->cursor == logs[shard].cursor[i] && c->before == (i > 0 ? logs[shard].cursor[i - 1] : 0));
    assert_true(c->row.seq == logs[shard].seq[i] && c->forgotten == logs[shard].forgotten[i]);
    assert_int_equal(model_number(&c->row.subject), logs[shard].subject[i]);
    if (c->row.bytes)
        assert_true(model_has(&model, &c->row));
    return 0;
}

static void compare(struct bindstore *s)
{
    struct tag_prefix prefix = { model_subject(8), 125 };
    struct bindstore_reader *r;
    uint32_t inside = 0;

    assert_int_equal(bindstore_reader_new(s, &r), 0);
    seen = 0;
    assert_int_equal(bindstore_load(r, check_row, NULL), 0);
    assert_int_equal(seen, model_count(&model));
    seen = 0;
    for (unsigned shard = 0; shard < bindstore_shards(s); shard++) {
        uint64_t cursor, at = 0, snapshot = 0;
        int e;

        assert_int_equal(bindstore_scan(r, shard, &prefix, check_row, NULL, &snapshot), 0);
        logs[shard].read = 0;
        do {
            e = bindstore_changes(r, shard, at, 100, check_logged, &shard, &cursor);
            assert_true(e == 0 || e == 1);
            at = cursor;
        } while (e == 1);
        assert_int_equal(logs[shard].read, logs[shard].count);
        assert_int_equal(cursor, logs[shard].count ? logs[shard].cursor[logs[shard].count - 1] : 0);
        assert_int_equal(snapshot, cursor);
        assert_int_equal(bindstore_changes(r, shard, cursor + 1, 10, check_logged, &shard, &at), -ESTALE);
        /* One that is of no entry. */
        if (logs[shard].count > 1 && logs[shard].cursor[logs[shard].count - 2] < cursor - 1)
            assert_int_equal(bindstore_changes(r, shard, cursor - 1, 10, check_logged, &shard, &at), -ESTALE);
    }
    for (uint32_t n = 0; n < MODEL_SUBJECTS; n++) {
        struct tag t = model_subject(n);
        struct bindstore_row row;

        inside += model.rows[n].there && n >= 8 && n < 16;
        assert_int_equal(bindstore_get(r, &t, MODEL_KIND, MODEL_ANSWER, &row), model.rows[n].there ? 0 : -ENOENT);
        if (model.rows[n].there)
            assert_true(model_has(&model, &row));
    }
    assert_int_equal(seen, inside);
    bindstore_reader_free(r);
}

static void test_model(void **state)
{
    static uint8_t bytes[BINDSTORE_BYTES_MAX];
    struct bindstore *s = open_store("model", 0);
    unsigned behind = 0;
    struct prng p;

    prng_init(&p, 7);
    for (size_t i = 0; i < sizeof(bytes); i++)
        bytes[i] = (uint8_t)prng_below(&p, 256);
    for (uint32_t step = 0; step < 1500; step++) {
        struct bindstore_change c[8];
        size_t count = 1 + prng_below(&p, ARRAY_LEN(c));
        struct bindstore_event ev;

        for (size_t i = 0; i < count; i++) {
            uint32_t n = (uint32_t)prng_below(&p, MODEL_SUBJECTS);
            uint64_t near = model.rows[n].there ? model.rows[n].seq : 0xfffffffe; /* over the half of a sequence */

            c[i] = (struct bindstore_change){ .op = 1 + (enum bindstore_op)(prng_below(&p, 8) * 3 / 11),
                                              .row = { .subject = model_subject(n),
                                                       .kind = MODEL_KIND,
                                                       .answer = MODEL_ANSWER,
                                                       .seq = near + prng_below(&p, 4) - 1,
                                                       .expires_ms = (int64_t)prng_below(&p, 1000) } };
            if (c[i].op == BINDSTORE_PUT && prng_below(&p, 4) > 0) {
                c[i].row.bytes = bytes;
                c[i].row.len = (uint16_t)(1 + prng_below(&p, prng_below(&p, 3)) + (prng_below(&p, 20) ? 0 : 4000));
            }
        }
        assert_int_equal(bindstore_submit(s, c, count, step), 0);
        while ((ev = next_event(s)).type == BINDSTORE_BEHIND)
            behind++;
        assert_int_equal(ev.token, step);
        for (size_t i = 0; i < count; i++) {
            unsigned shard = bindstore_shard_of(s, &c[i].row.subject);
            struct bindstore_result want;

            model_change(&model, &c[i], &want);
            assert_int_equal(ev.results[i].outcome, want.outcome);
            assert_int_equal(ev.results[i].seq, want.seq);
            assert_int_equal(ev.results[i].cursor > 0, want.cursor > 0);
            if (want.cursor > 0) {
                size_t at = logs[shard].count++;

                logs[shard].cursor[at] = ev.results[i].cursor;
                logs[shard].seq[at] = c[i].row.seq;
                logs[shard].subject[at] = model_number(&c[i].row.subject);
                logs[shard].forgotten[at] = c[i].op == BINDSTORE_FORGET;
            }
        }
    }
    assert_int_equal(behind, BINDSTORE_SHARDS_MAX); /* once each, as it was reached first */
    compare(s);
    bindstore_close(s);
    s = open_store("model", 0);
    compare(s);
    bindstore_close(s);
    assert_int_equal(bindstore_open("redis:10.77.0.1:7001", NULL, &s, err, sizeof(err)), -ECONNREFUSED);
    assert_int_equal(bindstore_open("redis:10.77.0.1", NULL, &s, err, sizeof(err)), -EINVAL);
}

/* --- a master dies --- */

#define SUBJECTS 2000u
#define UNDER_WAY 512u

/* What a manager has in its table. */
static uint64_t newest[SUBJECTS];
static atomic_uint_fast64_t submitted[SUBJECTS]; /* the newest, for the reader */
static atomic_bool stop;
static uint64_t gone_back, reads, refused;

struct told {
    uint32_t subject;
    uint64_t seq;
};

/* What a record says: whose it is, and which. */
static void record_of(uint32_t n, uint64_t seq, uint8_t out[64])
{
    memset(out, (int)(n + seq), 64);
    put_be32(out, n);
    put_be64(out + 4, seq);
}

static void check_record(uint32_t n, const struct bindstore_row *row)
{
    uint8_t want[64];

    record_of(n, row->seq, want);
    assert_true(row->len == 64 && memcmp(row->bytes, want, 64) == 0);
    assert_true(row->seq <= atomic_load(&submitted[n]));
}

/* Reads without end, as another manager would that has just begun and has no table; counts what went back. Failures are
 * the process's: cmocka knows nothing of other threads. */
static void *read_main(void *arg)
{
    static uint64_t floor[SUBJECTS];
    struct bindstore_reader *r;
    struct prng p;

    prng_init(&p, 3);
    if (bindstore_reader_new(arg, &r) < 0)
        abort();
    while (!atomic_load(&stop)) {
        uint32_t n = (uint32_t)prng_below(&p, SUBJECTS);
        struct tag t = model_subject(n);
        struct bindstore_row row;
        uint8_t want[64];
        int e = bindstore_get(r, &t, 0, 3, &row);

        if (e == -ENOENT || e == -ETIMEDOUT)
            continue;
        record_of(n, row.seq, want);
        if (e < 0 || row.len != 64 || memcmp(row.bytes, want, 64) != 0 || row.seq > atomic_load(&submitted[n])) {
            fprintf(stderr, "subject %u: wrong: %d %s\n", n, e, bindstore_reader_error(r));
            abort();
        }
        gone_back += row.seq < floor[n];
        floor[n] = MAX(floor[n], row.seq);
        reads++;
    }
    bindstore_reader_free(r);
    return NULL;
}

static unsigned under_way;
static uint64_t forward;
static uint64_t in_order; /* tokens */
static struct told told[1u << 16];

static void submit(struct bindstore *s, uint32_t n, uint64_t seq)
{
    uint8_t record[64];
    struct bindstore_change c = { .op = BINDSTORE_PUT,
                                  .row = { .subject = model_subject(n),
                                           .answer = 3,
                                           .seq = seq,
                                           .expires_ms = (int64_t)time(NULL) * 1000 + 600000,
                                           .bytes = record,
                                           .len = 64 } };

    record_of(n, seq, record);
    if (seq > atomic_load(&submitted[n]))
        atomic_store(&submitted[n], seq);
    told[in_order % ARRAY_LEN(told)] = (struct told){ n, seq };
    assert_int_equal(bindstore_submit(s, &c, 1, in_order++), 0);
    under_way++;
}

/* One event; what is behind is put again from the table. */
static void serve(struct bindstore *s)
{
    struct bindstore_event ev = next_event(s);
    struct told *t = &told[ev.token % ARRAY_LEN(told)];

    if (ev.type == BINDSTORE_BEHIND) {
        for (uint32_t n = 0; n < SUBJECTS; n++) {
            struct tag tag = model_subject(n);

            if (newest[n] > 0 && bindstore_shard_of(s, &tag) == ev.shard) {
                submit(s, n, newest[n]);
                forward++;
            }
        }
        return;
    }
    under_way--;
    /* An older one than in the table is told so; nothing else goes wrong but by time. */
    if (ev.results[0].outcome == -ETIMEDOUT) {
        refused++;
        submit(s, t->subject, newest[t->subject]);
        return;
    }
    assert_in_range(ev.results[0].outcome, BINDSTORE_STORED, BINDSTORE_OLDER);
    if (ev.results[0].outcome == BINDSTORE_OLDER)
        assert_true(t->seq < newest[t->subject]);
}

static void load_for(struct bindstore *s, struct prng *p, int64_t ms)
{
    for (int64_t until = now_ms() + ms; now_ms() < until;) {
        while (under_way < UNDER_WAY) {
            uint32_t n = (uint32_t)prng_below(p, SUBJECTS);

            submit(s, n, ++newest[n]);
        }
        serve(s);
    }
}

struct follower {
    uint64_t cursor[BINDSTORE_SHARDS_MAX], seq[SUBJECTS];
    uint32_t snapshots;
};

static void follow(struct follower *f, const struct bindstore_row *row)
{
    uint32_t n = model_number(&row->subject);

    if (!row->bytes) /* another one follows */
        return;
    check_record(n, row);
    f->seq[n] = MAX(f->seq[n], row->seq); /* its own floor */
}

static int follow_row(void *ctx, const struct bindstore_row *row)
{
    follow(ctx, row);
    return 0;
}

static int follow_logged(void *ctx, const struct bindstore_logged *c)
{
    follow(ctx, &c->row);
    return 0;
}

static void catch_up(struct bindstore_reader *r, struct follower *f)
{
    for (unsigned shard = 0; shard < BINDSTORE_SHARDS_MAX; shard++) {
        int e;

        do {
            uint64_t at = f->cursor[shard];

            e = bindstore_changes(r, shard, at, 1000, follow_logged, f, &f->cursor[shard]);
            if (e == -ESTALE) {
                f->snapshots++;
                e = bindstore_scan(r, shard, NULL, follow_row, f, &f->cursor[shard]);
            }
            if (e < 0)
                fail_msg("%d: %s", e, bindstore_reader_error(r));
        } while (e == 1);
    }
}

/* Keeps the replica of the first master from hearing it, without either noticing that the other is gone. */
static int deafen(void)
{
    int replica = 0;

    for (int n = 3; n < NODES && !replica; n++) {
        char command[120];

        snprintf(command, sizeof(command), "redis-cli -h 10.77.0.%d -p 7000 info replication", n + 1);
        if (says(command, "master_host:10.77.0.1\r"))
            replica = n + 1;
    }
    assert_true(replica > 0);
    {
        char command[300];

        snprintf(command, sizeof(command),
                 "nft 'add table ip t; add chain ip t c { type filter hook output priority 0; }; "
                 "add rule ip t c ip saddr 10.77.0.1 ip daddr 10.77.0.%d tcp sport 7000 drop'",
                 replica);
        run(command);
    }
    return replica;
}

static void test_master_dies(void **state)
{
    struct bindstore *s = open_store("dies", 100000);
    static struct follower f;
    struct bindstore_reader *r;
    struct prng p;
    pthread_t thread;
    int replica;
    char command[120];

    prng_init(&p, 4);
    assert_int_equal(bindstore_reader_new(s, &r), 0);
    assert_int_equal(pthread_create(&thread, NULL, read_main, s), 0);
    load_for(s, &p, 1000);
    catch_up(r, &f);
    replica = deafen();
    load_for(s, &p, 500);
    catch_up(r, &f); /* it has seen what will be lost */
    kill(nodes[0], SIGKILL);
    waitpid(nodes[0], NULL, 0);
    forward = 0;
    snprintf(command, sizeof(command), "redis-cli -h 10.77.0.%d -p 7000 info replication", replica);
    for (int64_t until = now_ms() + PATIENCE_MS; !says(command, "role:master");) {
        assert_true(now_ms() < until);
        load_for(s, &p, 200);
    }
    while (forward == 0) /* the store has come to the new one */
        load_for(s, &p, 100);
    load_for(s, &p, 500);
    while (under_way > 0)
        serve(s);
    atomic_store(&stop, true);
    pthread_join(thread, NULL);
    /* All that was acknowledged is there again, and whoever follows the log has it too. */
    for (uint32_t n = 0; n < SUBJECTS; n++) {
        struct tag t = model_subject(n);
        struct bindstore_row row;

        if (newest[n] == 0)
            continue;
        assert_int_equal(bindstore_get(r, &t, 0, 3, &row), 0);
        assert_int_equal(row.seq, newest[n]);
        check_record(n, &row);
    }
    catch_up(r, &f);
    for (uint32_t n = 0; n < SUBJECTS; n++)
        assert_int_equal(f.seq[n], newest[n]);
    print_message(
        "%llu changes, %llu put again, %llu late; %llu reads, %llu of them older than one before; %u snapshots\n",
        (unsigned long long)in_order, (unsigned long long)forward, (unsigned long long)refused,
        (unsigned long long)reads, (unsigned long long)gone_back, f.snapshots);
    assert_true(forward > 0 && f.snapshots > 0);
    bindstore_reader_free(r);
    bindstore_close(s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_model),
        cmocka_unit_test(test_master_dies),
    };

    if (system("command -v redis-server redis-cli nft >/dev/null") != 0) {
        puts("SKIP: needs redis-server, redis-cli and nft");
        return 77;
    }
    if (enter_namespace(NULL) != 0) {
        puts("SKIP: needs root, network namespaces and iproute2");
        return 77;
    }
    return cmocka_run_group_tests_name("bindstore_redis", tests, set_up, tear_down);
}
