/* See rtt.h. A file with a comma in a line that is no comment is of the second form. Numbers are read strictly, and the
 * first fault ends it. Limits: RTT_NODES_MAX nodes. */
#include "bench/rtt.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>

#define PAIR_FIELDS 6
#define ROUND_TRIP_MAX_MS 86400000. /* a day */

struct reader {
    const char *name, *at, *stop;
    unsigned long line;
    char *err;
};

static int fault(const struct reader *r, const char *expected)
{
    size_t len = strcspn(r->at, "\r\n\t ,");

    snprintf(r->err, RTT_ERROR_MAX, "%.150s:%lu: found %.*s, expected %s", r->name, r->line, (int)MIN(len, 40), r->at,
             expected);
    return -EINVAL;
}

/* A number that is not negative, and moves behind it. */
static bool number(struct reader *r, double *ret)
{
    char *end;

    if (r->at == r->stop || *r->at < '0' || *r->at > '9')
        return false;
    *ret = strtod(r->at, &end);
    if (end > r->stop || !(*ret <= ROUND_TRIP_MAX_MS * 1000))
        return false;
    r->at = end;
    return true;
}

static void blanks(struct reader *r)
{
    while (r->at < r->stop && (*r->at == ' ' || *r->at == '\t' || *r->at == '\r'))
        r->at++;
}

static void next_line(struct reader *r)
{
    const char *end = memchr(r->at, '\n', (size_t)(r->stop - r->at));

    r->at = end ? end + 1 : r->stop;
    r->line++;
}

static int make(struct rtt *m, size_t count)
{
    m->count = count;
    m->ms = malloc(count * count * sizeof(*m->ms));
    if (!m->ms)
        return -ENOMEM;
    for (size_t i = 0; i < count * count; i++)
        m->ms[i] = i / count == i % count ? 0 : INFINITY;
    return 0;
}

static void put(struct rtt *m, size_t i, size_t j, double ms)
{
    if (i != j && ms > 0)
        m->ms[i * m->count + j] = (float)ms;
}

static int read_square(struct reader *r, struct rtt *m)
{
    const struct reader begin = *r;
    double v;
    int e;

    for (blanks(r); r->at < r->stop && *r->at != '\n' && number(r, &v); blanks(r))
        m->count++;
    if (m->count < 2 || m->count > RTT_NODES_MAX)
        return fault(r, "2 to 1024 numbers in the first line");
    e = make(m, m->count);
    if (e < 0)
        return e;
    *r = begin;
    for (size_t i = 0; i < m->count; i++, next_line(r)) {
        for (size_t j = 0; j < m->count; j++) {
            blanks(r);
            if (!number(r, &v))
                return fault(r, "as many numbers as the first line has, in as many lines");
            put(m, i, j, v);
        }
        blanks(r);
        if (r->at < r->stop && *r->at != '\n')
            return fault(r, "the end of the line");
    }
    return r->at == r->stop ? 0 : fault(r, "the end of the file");
}

/* A line of the second form into v. */
static int read_pair(struct reader *r, double v[PAIR_FIELDS])
{
    for (size_t f = 0; f < PAIR_FIELDS; f++) {
        if (f > 0 && (r->at == r->stop || *r->at++ != ','))
            return fault(r, "i,j,min,avg,max,stddev");
        if (!number(r, &v[f]))
            return fault(r, "a number");
    }
    if (v[0] >= RTT_NODES_MAX || v[1] >= RTT_NODES_MAX || v[0] != floor(v[0]) || v[1] != floor(v[1]))
        return fault(r, "numbers of nodes below 1024");
    blanks(r);
    return r->at == r->stop || *r->at == '\n' ? 0 : fault(r, "the end of the line");
}

/* Twice: how many nodes there are, then what is between them. */
static int read_pairs(struct reader *r, struct rtt *m)
{
    const struct reader begin = *r;
    size_t count = 0;
    int e = 0;

    for (int pass = 0; pass < 2 && e == 0; pass++) {
        *r = begin;
        for (; r->at < r->stop && e == 0; next_line(r)) {
            double v[PAIR_FIELDS];

            e = read_pair(r, v);
            if (e < 0)
                break;
            count = MAX(count, (size_t)MAX(v[0], v[1]) + 1);
            if (pass == 1)
                put(m, (size_t)v[0], (size_t)v[1], v[2] / 1000);
        }
        if (pass == 0 && e == 0)
            e = count >= 2 ? make(m, count) : fault(r, "two nodes");
    }
    return e;
}

int rtt_parse(struct rtt *ret, const char *text, size_t len, const char *name, char err[RTT_ERROR_MAX])
{
    CLEANUP(cleanup_free) char *copy = malloc(len + 1); /* ends in a NUL, for strtod */
    struct reader r = { .name = name, .at = copy, .stop = copy + len, .line = 1, .err = err };
    const char *line;
    int e;

    *ret = (struct rtt){ 0 };
    if (!copy)
        return -ENOMEM;
    memcpy(copy, text, len);
    copy[len] = '\0';
    while (r.at < r.stop && *r.at == '#')
        next_line(&r);
    line = memchr(r.at, '\n', (size_t)(r.stop - r.at));
    e = memchr(r.at, ',', (size_t)((line ? line : r.stop) - r.at)) ? read_pairs(&r, ret) : read_square(&r, ret);
    if (e < 0)
        rtt_deinit(ret);
    return e;
}

void rtt_deinit(struct rtt *r)
{
    free(r->ms);
    *r = (struct rtt){ 0 };
}
