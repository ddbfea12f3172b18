/* bench/bindstore.c - a store of bindings alone: how many changes a second are told as done, how late one by itself is,
 * and how long a restart takes.
 *
 * Usage: bench-bindstore WHERE ROWS CHANGES. Fills an empty store with ROWS rows of RECORD_LEN bytes, in batches of
 * BATCH. Then CHANGES newer records of subjects at random, each a batch by itself as they come from sessions, UNDER_WAY
 * of them at a time; then ALONE of them one after the other. Then closes it, opens it and reads all rows and checks
 * each. For a file, what one write of a page and fdatasync cost in the same folder is measured first. Prints one object
 * of JSON.
 *
 * Limits: records are not verified here, nothing comes over a network but to the store. */
#include "sys/bindstore.h"
#include "base/rng.h"
#include "bench/measure.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <unistd.h>

#define RECORD_LEN 180 /* a host with two locators, bench/bindings.c */
#define BATCH 256u
#define UNDER_WAY 4096u
#define ALONE 300u
#define SYNCS 200

static uint32_t rows;
static uint32_t *seqs; /* of each subject */
static uint32_t left;  /* rows that a reader has not seen */

static int failed(const char *what, int e)
{
    fprintf(stderr, "bench-bindstore: %s: %s\n", what, strerror(-e));
    return 1;
}

/* Spread, as hashes of keys are; the number is in it. */
static struct tag subject_of(uint32_t i)
{
    struct tag t = { { 0x20, 0x01, 0, 0x3f } };

    put_be64(t.bytes + 8, (i + 1) * 0x9e3779b97f4a7c15u);
    put_be32(t.bytes + 4, i);
    return t;
}

static struct bindstore_change change_of(uint32_t n, uint8_t record[RECORD_LEN])
{
    put_be32(record, n);
    put_be32(record + 4, ++seqs[n]);
    return (struct bindstore_change){ .op = BINDSTORE_PUT,
                                      .row = { .subject = subject_of(n),
                                               .answer = 3,
                                               .seq = seqs[n],
                                               .expires_ms = 4000000000000,
                                               .bytes = record,
                                               .len = RECORD_LEN } };
}

/* Waits for one batch. Its changes, or -errno. */
static int wait_one(struct bindstore *s)
{
    struct pollfd p = { .fd = bindstore_fd(s), .events = POLLIN };
    struct bindstore_event ev;

    do {
        while (!bindstore_pop(s, &ev))
            poll(&p, 1, -1);
    } while (ev.type == BINDSTORE_BEHIND);
    for (size_t i = 0; i < ev.count; i++)
        if (ev.results[i].outcome != BINDSTORE_STORED)
            return ev.results[i].outcome < 0 ? ev.results[i].outcome : -EPROTO;
    return (int)ev.count;
}

/* count changes of subjects in their order or at random, `batch` at a time and `most` under way. 0 or -errno. */
static int work(struct bindstore *s, struct prng *p, uint32_t count, uint32_t batch, uint32_t most)
{
    static uint8_t records[BATCH][RECORD_LEN];
    struct bindstore_change c[BATCH];
    uint32_t sent = 0, done = 0;

    while (done < count) {
        int n;

        while (sent < count && sent - done + batch <= most) {
            uint32_t now = MIN(batch, count - sent);

            for (uint32_t i = 0; i < now; i++)
                c[i] = change_of(p ? (uint32_t)prng_below(p, rows) : sent + i, records[i]);
            n = bindstore_submit(s, c, now, 0);
            if (n < 0)
                return n;
            sent += now;
        }
        n = wait_one(s);
        if (n < 0)
            return n;
        done += (uint32_t)n;
    }
    return 0;
}

static int check_row(void *ctx, const struct bindstore_row *row)
{
    uint32_t n = get_be32(row->subject.bytes + 4);

    if (n >= rows || row->seq != seqs[n] || row->len != RECORD_LEN || get_be32(row->bytes) != n ||
        get_be32(row->bytes + 4) != seqs[n])
        return -EBADMSG;
    left--;
    return 0;
}

/* Milliseconds of a write of a page and fdatasync; 0: not a file. */
static double sync_ms(const char *where)
{
    static const uint8_t page[4096];
    char path[4096];
    double start;
    int fd;

    if (strncmp(where, "lmdb:", 5) != 0 || (size_t)snprintf(path, sizeof(path), "%s.sync", where + 5) >= sizeof(path))
        return 0;
    fd = open(path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    if (fd < 0)
        return 0;
    start = measure_now_s(CLOCK_MONOTONIC);
    for (int i = 0; i < SYNCS; i++)
        if (pwrite(fd, page, sizeof(page), (off_t)i * 4096) < 0 || fdatasync(fd) < 0)
            break;
    start = measure_now_s(CLOCK_MONOTONIC) - start;
    close(fd);
    unlink(path);
    return start * 1e3 / SYNCS;
}

static int by_size(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;

    return x < y ? -1 : x > y;
}

int main(int argc, char **argv)
{
    double disk, start, fill, changes, restart, alone[ALONE];
    struct bindstore_reader *r;
    struct bindstore *s;
    char err[256];
    struct prng p;
    uint32_t count;
    int e;

    if (argc != 4) {
        fprintf(stderr, "usage: bench-bindstore WHERE ROWS CHANGES\n");
        return 2;
    }
    rows = (uint32_t)CLAMP(atoi(argv[2]), 1, 100000000);
    count = (uint32_t)CLAMP(atoi(argv[3]), 1, 100000000);
    seqs = calloc(rows, sizeof(*seqs));
    if (!seqs)
        return failed("rows", -ENOMEM);
    prng_init(&p, 1);
    disk = sync_ms(argv[1]);
    if (bindstore_open(argv[1], NULL, &s, err, sizeof(err)) < 0) {
        fprintf(stderr, "bench-bindstore: %s\n", err);
        return 1;
    }
    start = measure_now_s(CLOCK_MONOTONIC);
    e = work(s, NULL, rows, BATCH, 4 * UNDER_WAY);
    if (e < 0)
        return failed("fill", e);
    fill = measure_now_s(CLOCK_MONOTONIC) - start;
    start = measure_now_s(CLOCK_MONOTONIC);
    e = work(s, &p, count, 1, UNDER_WAY);
    if (e < 0)
        return failed("changes", e);
    changes = measure_now_s(CLOCK_MONOTONIC) - start;
    for (uint32_t i = 0; i < ALONE; i++) {
        start = measure_now_s(CLOCK_MONOTONIC);
        e = work(s, &p, 1, 1, 1);
        if (e < 0)
            return failed("a change alone", e);
        alone[i] = (measure_now_s(CLOCK_MONOTONIC) - start) * 1e3;
    }
    qsort(alone, ALONE, sizeof(*alone), by_size);
    bindstore_close(s);
    start = measure_now_s(CLOCK_MONOTONIC);
    e = bindstore_open(argv[1], NULL, &s, err, sizeof(err));
    if (e == 0)
        e = bindstore_reader_new(s, &r);
    if (e < 0)
        return failed("restart", e);
    left = rows;
    e = bindstore_load(r, check_row, NULL);
    if (e != 0 || left != 0) {
        fprintf(stderr, "bench-bindstore: %u rows are missing: %s\n", left, bindstore_reader_error(r));
        return 1;
    }
    restart = measure_now_s(CLOCK_MONOTONIC) - start;
    bindstore_reader_free(r);
    bindstore_close(s);
    free(seqs);
    printf("{\"fill\":%.0f,\"changes\":%.0f,\"alone_ms\":%.2f,\"alone_p99_ms\":%.2f,\"restart_s\":%.2f,\"sync_ms\":%."
           "2f}\n",
           rows / fill, count / changes, alone[ALONE / 2], alone[ALONE * 99 / 100], restart, disk);
    return 0;
}
