/* Reads a matrix of round trips.
 *
 * The whole text is read, a .gz file through a pipe from gzip(1), which is on every Debian: one file is not worth a
 * library. Everything is checked before it is believed, and the first fault ends it.
 *
 * Limits: lines of LINE_MAX_BYTES with their end; MATRIX_BYTES_MAX in all. */
#include "bench/matrix.h"

#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <spawn.h>
#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>

#define LINE_MAX_BYTES 256
#define FIELDS 7

static const char header[] = "pair,nodeA,nodeB,host,slice,rttA_ms,rttB_ms";

struct reader {
    struct matrix m;
    const char *name;
    unsigned long line;
    char *err;
    size_t slices_max, series_max;
};

static int fault(struct reader *r, const char *found, const char *expected)
{
    snprintf(r->err, MATRIX_ERROR_MAX, "%s:%lu: found %.80s, expected %s", r->name, r->line, *found ? found : "nothing",
             expected);
    return -EINVAL;
}

/* Cuts a line at its commas. False, and the line as it was: it has another number of fields. */
static bool cut(char *line, char *fields[FIELDS])
{
    size_t commas = 0;

    for (const char *at = line; *at; at++)
        commas += *at == ',';
    if (commas != FIELDS - 1)
        return false;
    for (size_t i = 0; i < FIELDS; i++) {
        fields[i] = line;
        line += strcspn(line, ",");
        *line++ = '\0';
    }
    return true;
}

static bool whole(const char *text, unsigned long *ret)
{
    char *end;

    if (*text < '0' || *text > '9')
        return false;
    errno = 0;
    *ret = strtoul(text, &end, 10);
    return *end == '\0' && errno == 0 && *ret <= UINT32_MAX;
}

#define ROUND_TRIP_MAX 86400000. /* ms: a day; chosen: more is none, and would not fit a span times a thousand */

static bool round_trip(const char *text, double *ret)
{
    char *end;
    double v;

    if (text[strspn(text, "+-0123456789.eE")] != '\0')
        return false;
    v = strtod(text, &end);
    if (end == text || *end != '\0' || !isfinite(v) || v > ROUND_TRIP_MAX)
        return false;
    *ret = v > 0 ? v : NAN;
    return true;
}

static int grow(void **array, size_t count, size_t *max, size_t size)
{
    size_t more = *max > 0 ? *max * 2 : 4096;
    void *p;

    if (count < *max)
        return 0;
    p = realloc(*array, more * size);
    if (!p)
        return -ENOMEM;
    *array = p;
    *max = more;
    return 0;
}

/* The series that a line belongs to: the last one, or a new one. NULL when out of memory. */
static struct matrix_series *series_of(struct reader *r, unsigned long pair, unsigned long host)
{
    struct matrix *m = &r->m;
    struct matrix_series *last;

    if (m->series_count > 0) {
        last = &m->series[m->series_count - 1];
        if (last->pair == pair && last->host == host)
            return last;
    }
    if (grow((void **)&m->series, m->series_count, &r->series_max, sizeof(*m->series)) < 0)
        return NULL;
    last = &m->series[m->series_count++];
    *last = (struct matrix_series){ .pair = pair, .host = host, .first = m->slices_count };
    return last;
}

static int add(struct reader *r, unsigned long pair, unsigned long host, const struct matrix_slice *s)
{
    struct matrix *m = &r->m;
    struct matrix_series *series = series_of(r, pair, host);

    if (!series || grow((void **)&m->slices, m->slices_count, &r->slices_max, sizeof(*m->slices)) < 0) {
        snprintf(r->err, MATRIX_ERROR_MAX, "%s:%lu: %s", r->name, r->line, strerror(ENOMEM));
        return -ENOMEM;
    }
    if (series->count > 0 && m->slices[m->slices_count - 1].number >= s->number)
        return fault(r, "a slice that is not later than the one before", "the slices of a series in order");
    m->slices[m->slices_count++] = *s;
    series->count++;
    return 0;
}

static int on_line(struct reader *r, char *line)
{
    char *fields[FIELDS];
    unsigned long number[5];
    struct matrix_slice s;

    if (r->line == 1)
        return strcmp(line, header) == 0 ? 0 : fault(r, line, header);
    if (!cut(line, fields))
        return fault(r, line, "seven fields: pair,nodeA,nodeB,host,slice,rttA_ms,rttB_ms");
    for (size_t i = 0; i < ARRAY_LEN(number); i++) {
        if (!whole(fields[i], &number[i]))
            return fault(r, fields[i], "a whole number");
    }
    for (size_t i = 0; i < MATRIX_LINES; i++) {
        if (!round_trip(fields[ARRAY_LEN(number) + i], &s.rtt_ms[i]))
            return fault(r, fields[ARRAY_LEN(number) + i], "a round trip in ms, 0 or less where it is missing");
    }
    s.number = (unsigned)number[4];
    return add(r, number[0], number[3], &s);
}

int matrix_parse(struct matrix *ret, const char *text, size_t len, const char *name, char err[MATRIX_ERROR_MAX])
{
    struct reader r = { .name = name, .err = err };
    const char *end = text + len;
    int result = 0;

    while (text < end && result == 0) {
        const char *stop = memchr(text, '\n', (size_t)(end - text));
        size_t n = (size_t)((stop ? stop : end) - text);
        char line[LINE_MAX_BYTES];

        r.line++;
        if (n >= sizeof(line) || memchr(text, '\0', n)) {
            result = fault(&r, "no line of text", "less than 256 characters");
            break;
        }
        memcpy(line, text, n);
        line[n] = '\0';
        line[strcspn(line, "\r")] = '\0';
        result = on_line(&r, line);
        text += n + 1;
    }
    if (result == 0 && r.m.series_count == 0)
        result = fault(&r, "no series", "a line for each slice after the first line");
    if (result < 0)
        matrix_deinit(&r.m);
    else
        *ret = r.m;
    return result;
}

void matrix_deinit(struct matrix *m)
{
    free(m->slices);
    free(m->series);
    *m = (struct matrix){ 0 };
}

/* --- the file --- */

struct content {
    char *text;
    size_t len, max;
};

/* Until its end. 0 or -errno. */
static int read_all(int file, struct content *c)
{
    for (;;) {
        ssize_t n;

        if (c->len >= MATRIX_BYTES_MAX)
            return -EFBIG;
        if (grow((void **)&c->text, c->len, &c->max, 1) < 0)
            return -ENOMEM;
        n = read(file, c->text + c->len, c->max - c->len);
        if (n < 0 && errno != EINTR)
            return -errno;
        if (n == 0)
            return 0;
        c->len += n > 0 ? (size_t)n : 0;
    }
}

/* gzip reads file and writes into what is returned, and *ret_pid is its process. Or -errno. */
static int unpack(int file, pid_t *ret_pid)
{
    char *argv[] = { "gzip", "-dcq", NULL };
    posix_spawn_file_actions_t actions;
    int ends[2], r;

    if (pipe2(ends, O_CLOEXEC) < 0)
        return -errno;
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_adddup2(&actions, file, STDIN_FILENO);
    posix_spawn_file_actions_adddup2(&actions, ends[1], STDOUT_FILENO);
    posix_spawn_file_actions_addopen(&actions, STDERR_FILENO, "/dev/null", O_WRONLY, 0);
    r = posix_spawnp(ret_pid, argv[0], &actions, NULL, argv, environ);
    posix_spawn_file_actions_destroy(&actions);
    close(ends[1]);
    if (r == 0)
        return ends[0];
    close(ends[0]);
    return -r;
}

/* 0, -errno, or -EBADMSG: gzip was not content. */
static int read_packed(int file, struct content *c)
{
    pid_t pid = -1;
    int status = -1, result, from = unpack(file, &pid);

    if (from < 0)
        return from;
    result = read_all(from, c);
    close(from);
    while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
        ;
    return result == 0 && status != 0 ? -EBADMSG : result;
}

static int open_in(const char *dir, const char *name, char *path, size_t size)
{
    int file;

    snprintf(path, size, "%s/%s", dir, name);
    file = open(path, O_RDONLY | O_CLOEXEC);
    return file < 0 ? -errno : file;
}

int matrix_load(struct matrix *ret, const char *dir, char err[MATRIX_ERROR_MAX])
{
    struct content c = { 0 };
    char path[512];
    bool packed = true;
    int r, file = open_in(dir, MATRIX_FILE ".gz", path, sizeof(path));

    if (file == -ENOENT) {
        packed = false;
        file = open_in(dir, MATRIX_FILE, path, sizeof(path));
    }
    if (file == -ENOENT) {
        snprintf(err, MATRIX_ERROR_MAX, "%.300s: %s; expected " MATRIX_FILE ".gz or " MATRIX_FILE " in it, of lines %s",
                 dir, strerror(-file), header);
        return file;
    }
    if (file < 0) {
        snprintf(err, MATRIX_ERROR_MAX, "%s: %s", path, strerror(-file));
        return file;
    }
    r = packed ? read_packed(file, &c) : read_all(file, &c);
    close(file);
    if (r == -EBADMSG)
        snprintf(err, MATRIX_ERROR_MAX, "%s: gzip cannot unpack it, expected a whole gzip file", path);
    else if (r < 0)
        snprintf(err, MATRIX_ERROR_MAX, "%s: %s", path, strerror(-r));
    else
        r = matrix_parse(ret, c.text, c.len, path, err);
    free(c.text);
    return r;
}
