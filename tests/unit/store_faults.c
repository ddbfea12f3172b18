/* Every call by which the stores change files fails, is the last of its process, or is where the power goes; what was
 * acknowledged is there afterwards, and what is there is what was submitted. Over sys/bindstore.h (lmdb), sys/journal.h
 * and sys/store.h.
 *
 * Each case is a process of its own that works until it ends or is ended, and another one that opens what is left:
 * whatever ends that one is the failure. HAWSER_FAULT_SEEDS: how many power cuts are tried at each call (default 3,
 * beside those that keep everything and nothing). */
#include "sys/bindstore.h"
#include "sys/journal.h"
#include "sys/store.h"
#include "tests/unit/bindstore_model.h"
#include "tests/unit/disk.h"
#include "tests/unit/test.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#if defined(__SANITIZE_ADDRESS__)
#define EACH 9u
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define EACH 9u
#endif
#endif
#ifndef EACH
#define EACH 1u
#endif

#define STEPS 24u
#define STEPS_MAX 64u

/* What the working process tells: of each step, in memory that is shared. */
enum fate { NOT_TRIED = 0, TRIED, TAKEN, REFUSED, UNKNOWN };

static struct {
    uint32_t tried; /* steps */
    uint32_t life;  /* the first step of the last process that worked */
    enum fate fate[STEPS_MAX];
    char why[512]; /* of the process that looked */
} * told;

static char dir[] = "/dev/shm/hawser-faults-XXXXXX", path[64], where[80];
static uint32_t cuts_each = 2;

#define EXPECT(cond)                                                                                                   \
    do {                                                                                                               \
        if (!(cond)) {                                                                                                 \
            snprintf(told->why, sizeof(told->why), "line %d: %s; %s", __LINE__, #cond, err);                           \
            _exit(1);                                                                                                  \
        }                                                                                                              \
    } while (0)

/* A store to be tested: works from step `from` on; looks at what is there. */
struct subject {
    const char *name;
    void (*work)(uint32_t from, uint32_t to);
    void (*look)(void);
};

/* In a process of its own. What ended it, as waitpid has it. */
static int run(const struct subject *s, bool working, uint32_t from, uint32_t to)
{
    int status = -1;
    pid_t pid = fork();

    assert_true(pid >= 0);
    if (pid == 0) {
        if (working)
            told->life = from;
        if (working)
            s->work(from, to);
        else
            s->look();
        _exit(0);
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    return status;
}

static void look(const struct subject *s, const char *what, uint32_t call, int kind)
{
    int status;

    told->why[0] = '\0';
    status = run(s, false, 0, 0);
    if (status != 0)
        fail_msg("%s: %s %d at call %u: status %#x: %s", s->name, what, kind, call, (unsigned)status, told->why);
}

/* Nothing is acknowledged but what came before. */
static void forget_after(uint32_t acked)
{
    for (uint32_t i = acked; i < told->tried; i++)
        told->fate[i] = UNKNOWN;
}

static void begin(void)
{
    disk_wipe();
    memset(told, 0, sizeof(*told));
    disk_begin();
}

/* (a) and (b): each call fails, or is the last. */
static void faults(const struct subject *s)
{
    uint32_t calls, cases = 0;

    begin();
    assert_int_equal(run(s, true, 0, STEPS), 0);
    calls = disk_calls();
    assert_true(calls > STEPS);
    for (uint32_t i = 0; i < STEPS; i++)
        assert_int_equal(told->fate[i], TAKEN);
    look(s, "no fault", 0, 0);
    for (uint32_t call = 0; call < calls; call += EACH)
        for (enum disk_fault f = DISK_FINE + 1; f < DISK_FAULT_COUNT; f++) {
            int status;

            begin();
            disk_fault_at(call, f);
            status = run(s, true, 0, STEPS);
            if (status != 0 && !(f >= DISK_KILL_BEFORE && WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL))
                fail_msg("%s: fault %d at call %u ended it: %#x: %s", s->name, f, call, (unsigned)status, told->why);
            disk_fault_at(0, DISK_FINE);
            look(s, "fault", call, f);
            cases++;
        }
    print_message("%s: %u calls, %u faults\n", s->name, calls, cases);
}

/* (c): power cuts. Once from nothing; and once from a process that was killed, so that what it left is not durable. */
static void cuts(const struct subject *s, uint32_t killed_at)
{
    uint32_t first = 0, calls, cases = 0;
    struct prng p;

    begin();
    if (killed_at > 0) {
        disk_fault_at(killed_at, DISK_KILL_AFTER);
        run(s, true, 0, STEPS);
        disk_fault_at(0, DISK_FINE);
        first = disk_calls();
        for (uint32_t i = 0; i < told->tried; i++)
            if (told->fate[i] == TRIED)
                told->fate[i] = UNKNOWN;
    }
    assert_int_equal(run(s, true, told->tried, told->tried + STEPS), 0);
    calls = disk_calls();
    for (uint32_t at = first; at < calls; at += EACH)
        for (uint32_t i = 0; i < 2 + cuts_each; i++) {
            enum fate kept[STEPS_MAX];
            enum disk_cut cut = i < DISK_CUT_COUNT ? (enum disk_cut)i : DISK_CUT_SECTORS;

            memcpy(kept, told->fate, sizeof(kept));
            prng_init(&p, (uint64_t)killed_at << 40 | (uint64_t)at << 20 | i);
            forget_after(disk_power_cut(at, cut, &p));
            look(s, "power cut", at, (int)i);
            memcpy(told->fate, kept, sizeof(kept));
            cases++;
        }
    print_message("%s: %u power cuts\n", s->name, cases);
}

/* A cut, and the next life of what it left, which is cut too. */
static void cuts_twice(const struct subject *s)
{
    struct prng p;
    uint32_t calls, cases = 0;

    for (uint32_t seed = 0; seed < 4 * cuts_each; seed += EACH) {
        uint32_t at, again;

        prng_init(&p, seed);
        begin();
        assert_int_equal(run(s, true, 0, STEPS), 0);
        at = (uint32_t)prng_below(&p, disk_calls());
        forget_after(disk_power_cut(at, DISK_CUT_SECTORS, &p));
        disk_begin();
        assert_int_equal(run(s, true, told->tried, told->tried + STEPS), 0);
        calls = disk_calls();
        for (again = 0; again < calls; again += 1 + (uint32_t)prng_below(&p, 8)) {
            enum fate kept[STEPS_MAX];
            uint32_t acked = MAX(disk_power_cut(again, DISK_CUT_SECTORS, &p), told->tried - STEPS);

            memcpy(kept, told->fate, sizeof(kept));
            forget_after(acked);
            look(s, "second power cut", again, (int)seed);
            memcpy(told->fate, kept, sizeof(kept));
            cases++;
        }
    }
    print_message("%s: %u second power cuts\n", s->name, cases);
}

static void all_of(const struct subject *s)
{
    faults(s);
    cuts(s, 0);
    for (uint32_t killed_at = 3; killed_at < 60; killed_at += 19)
        cuts(s, killed_at);
    cuts_twice(s);
}

static void tried(uint32_t step)
{
    told->fate[step] = TRIED;
    told->tried = step + 1;
}

static void taken(uint32_t step)
{
    told->fate[step] = TAKEN;
    disk_ack(step + 1);
}

/* --- bindings --- */

static char err[256];

/* The batch of a step: the same each time. */
static size_t batch_of(uint32_t step, struct bindstore_change c[8], uint8_t bytes[BINDSTORE_BYTES_MAX])
{
    struct prng p;
    size_t count;

    prng_init(&p, 1000 + step);
    count = 1 + prng_below(&p, 8);
    for (size_t i = 0; i < BINDSTORE_BYTES_MAX; i++)
        bytes[i] = (uint8_t)(step + i * 7);
    for (size_t i = 0; i < count; i++) {
        uint64_t what = prng_below(&p, 10);

        c[i] = (struct bindstore_change){ .op = what == 0   ? BINDSTORE_FORGET
                                                : what == 1 ? BINDSTORE_REFRESH
                                                            : BINDSTORE_PUT,
                                          .row = { .subject = model_subject((uint32_t)prng_below(&p, MODEL_SUBJECTS)),
                                                   .kind = MODEL_KIND,
                                                   .answer = MODEL_ANSWER,
                                                   .seq = step / 4 + prng_below(&p, 3),
                                                   .expires_ms = (int64_t)prng_below(&p, 1000) } };
        if (what > 2) {
            c[i].row.bytes = bytes;
            c[i].row.len = (uint16_t)(1 + prng_below(&p, what == 9 ? BINDSTORE_BYTES_MAX : 250));
        }
    }
    return count;
}

static const struct bindstore_options bindings_options = { .bytes_max = 4 << 20, .log_max = 40 };

/* Two batches are under way at a time. */
static void bindings_work(uint32_t from, uint32_t to)
{
    struct bindstore_change c[8];
    uint8_t bytes[BINDSTORE_BYTES_MAX];
    struct bindstore *s = NULL;
    struct bindstore_event ev;
    uint32_t open = 0;

    for (int i = 0; !s; i++)
        if (bindstore_open(where, &bindings_options, &s, err, sizeof(err)) < 0 && i == 2)
            return;
    for (uint32_t step = from; step < to || open > 0;) {
        struct pollfd p = { .fd = bindstore_fd(s), .events = POLLIN };

        if (step < to && open < 2) {
            size_t count = batch_of(step, c, bytes);
            int r;

            tried(step);
            r = bindstore_submit(s, c, count, step);
            if (r == -EIO)
                told->fate[step] = REFUSED;
            else
                open++;
            EXPECT(r == 0 || r == -EIO);
            step++;
            continue;
        }
        while (!bindstore_pop(s, &ev))
            EXPECT(poll(&p, 1, 20000) == 1);
        open--;
        for (size_t i = 1; i < ev.count; i++) /* all of a batch, or nothing */
            EXPECT((ev.results[i].outcome < 0) == (ev.results[0].outcome < 0));
        if (ev.results[0].outcome >= 0)
            taken((uint32_t)ev.token);
        else
            told->fate[ev.token] = ev.results[0].outcome == -ENOSPC ? REFUSED : UNKNOWN;
        EXPECT(ev.results[0].outcome >= 0 || ev.results[0].outcome == -ENOSPC || ev.results[0].outcome == -EIO);
    }
    bindstore_close(s);
}

static struct model model;
static uint32_t seen_rows;
static bool seen_wrong;

static int look_row(void *ctx, const struct bindstore_row *row)
{
    seen_rows++;
    seen_wrong |= !model_has(&model, row);
    return 0;
}

static int look_logged(void *ctx, const struct bindstore_logged *c)
{
    uint64_t *cursor = ctx;

    seen_wrong |= c->cursor != *cursor + 1 || c->before != *cursor || !model_logged(&model, c);
    *cursor = c->cursor;
    return 0;
}

/* True if the store is just what the model is. */
static bool bindings_equal(struct bindstore_reader *r)
{
    uint64_t cursor = 0, last = 0, first = model.last > 40 ? model.last - 40 : 0;
    int e;

    seen_rows = 0;
    seen_wrong = false;
    e = bindstore_scan(r, 0, NULL, look_row, NULL, &last);
    EXPECT(e == 0);
    if (seen_wrong || seen_rows != model_count(&model) || last != model.last)
        return false;
    cursor = first;
    e = bindstore_changes(r, 0, first, 1000, look_logged, &cursor, &last);
    return e == 0 && !seen_wrong && cursor == model.last;
}

static void model_step(uint32_t step)
{
    struct bindstore_change c[8];
    uint8_t bytes[BINDSTORE_BYTES_MAX];
    size_t count = batch_of(step, c, bytes);
    struct bindstore_result ignored;

    for (size_t i = 0; i < count; i++)
        model_change(&model, &c[i], &ignored);
}

/* What was taken, and the first few of what may have been taken or not, of steps from..to. True if there were that
 * many. */
static bool model_steps(uint32_t from, uint32_t to, uint32_t unknown)
{
    for (uint32_t i = from; i < to; i++) {
        if (told->fate[i] == TAKEN)
            model_step(i);
        if ((told->fate[i] != UNKNOWN && told->fate[i] != TRIED) || unknown == 0)
            continue;
        model_step(i);
        unknown--;
    }
    return unknown == 0;
}

/* All that was taken is there, in order, and in each life as much of what is not known as its store came to. */
static void bindings_look(void)
{
    struct bindstore_reader *r;
    struct bindstore *s;
    bool equal = false;

    EXPECT(bindstore_open(where, &bindings_options, &s, err, sizeof(err)) == 0);
    EXPECT(bindstore_reader_new(s, &r) == 0);
    for (uint32_t early = 0; !equal; early++) {
        memset(&model, 0, sizeof(model));
        if (!model_steps(0, told->life, early))
            break;
        for (uint32_t late = 0; !equal; late++) {
            memset(&model, 0, sizeof(model));
            model_steps(0, told->life, early);
            if (!model_steps(told->life, told->tried, late))
                break;
            equal = bindings_equal(r);
        }
    }
    EXPECT(equal);
    bindstore_reader_free(r);
    bindstore_close(s);
}

static void test_bindings(void **state)
{
    static const struct subject s = { "bindings", bindings_work, bindings_look };

    all_of(&s);
}

/* --- the journal --- */

static size_t frame_of(uint32_t step, uint8_t frame[4096])
{
    struct prng p;
    size_t len;

    prng_init(&p, 5000 + step);
    len = 4 + prng_below(&p, prng_below(&p, 3) ? 300 : 4092);
    put_be32(frame, step);
    for (size_t i = 4; i < len; i++)
        frame[i] = (uint8_t)(1 + prng_below(&p, 255));
    return len;
}

static void journal_work(uint32_t from, uint32_t to)
{
    struct journal *j = NULL;
    uint8_t frame[4096];

    for (uint32_t step = from, tries = 0; step < to && tries < STEPS_MAX; tries++) {
        size_t len = frame_of(step, frame);

        if (!j && journal_open(path, true, true, &j, err, sizeof(err)) < 0) {
            j = NULL;
            continue;
        }
        tried(step);
        if (journal_append(j, frame, len, err, sizeof(err)) == 0) {
            taken(step++);
            continue;
        }
        told->fate[step++] = UNKNOWN;
        journal_close(j); /* opened anew it works again */
        j = NULL;
    }
    journal_close(j);
}

/* Frames in order, all that were taken, and none that was not tried. */
static void journal_look(void)
{
    uint8_t want[4096];
    const uint8_t *frame;
    struct journal *j;
    uint32_t next = 0;
    size_t len;
    bool any = false;
    int r = journal_open(path, false, true, &j, err, sizeof(err));

    for (uint32_t i = 0; i < told->tried; i++)
        any |= told->fate[i] == TAKEN;
    if (r == -ENOENT && !any)
        return;
    EXPECT(r == 0);
    while (journal_next(j, &frame, &len)) {
        uint32_t step;

        EXPECT(len >= 4);
        step = get_be32(frame);
        EXPECT(step >= next && step < told->tried);
        for (; next < step; next++)
            EXPECT(told->fate[next] != TAKEN);
        EXPECT(len == frame_of(step, want) && memcmp(frame, want, len) == 0);
        next = step + 1;
    }
    for (; next < told->tried; next++)
        EXPECT(told->fate[next] != TAKEN);
    journal_close(j);
}

static void test_journal(void **state)
{
    static const struct subject s = { "journal", journal_work, journal_look };

    all_of(&s);
}

/* --- small files --- */

static void file_work(uint32_t from, uint32_t to)
{
    uint8_t frame[4096];

    for (uint32_t step = from; step < to; step++) {
        size_t len = frame_of(step, frame);

        tried(step);
        if (store_write(path, frame, len, err, sizeof(err)) == 0)
            taken(step);
        else
            told->fate[step] = UNKNOWN;
    }
}

/* The last that was taken, or one that was tried later. */
static void file_look(void)
{
    uint32_t last = 0, step;
    uint8_t want[4096], *got;
    size_t len;
    int r = store_read(path, &got, &len, err, sizeof(err));

    for (uint32_t i = 0; i < told->tried; i++)
        if (told->fate[i] == TAKEN)
            last = i + 1;
    if (r == -ENOENT && last == 0)
        return;
    EXPECT(r == 0 && len >= 4);
    step = get_be32(got);
    EXPECT(step < told->tried && step + 1 >= last);
    EXPECT(len == frame_of(step, want) && memcmp(got, want, len) == 0);
    free(got);
}

static void test_file(void **state)
{
    static const struct subject s = { "file", file_work, file_look };

    all_of(&s);
}

static int set_up(void **state)
{
    const char *seeds = getenv("HAWSER_FAULT_SEEDS");

    told = mmap(NULL, sizeof(*told), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (told == MAP_FAILED || !mkdtemp(dir) || !disk_init(dir))
        return -1;
    snprintf(path, sizeof(path), "%s/it", dir);
    snprintf(where, sizeof(where), "lmdb:%s", path);
    if (seeds)
        cuts_each = (uint32_t)CLAMP(atoi(seeds), 1, 1000);
    return 0;
}

static int tear_down(void **state)
{
    disk_wipe();
    return rmdir(dir);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_file),
        cmocka_unit_test(test_journal),
        cmocka_unit_test(test_bindings),
    };
    return cmocka_run_group_tests_name("store_faults", tests, set_up, tear_down);
}
