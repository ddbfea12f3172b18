/* Emulated hosts: what sim/access.h says of a line, for two lines and every hour of a day. */
#include "bench/hosts.h"

#include <errno.h>
#include <math.h>

/* Buffers, loads and loss times so much; bytes of a probe; the same depth; bursts. */
const struct host_change host_changes[HOST_CHANGES] = {
    [CHANGE_NONE] = { "as drawn", 1, 1, 1, ACCESS_PROBE_BYTES, false, BURSTS_DRAWN },
    [CHANGE_DROP_TAIL] = { "no random loss: drop-tail alone", 1, 1, 0, ACCESS_PROBE_BYTES, false, BURSTS_DRAWN },
    { "buffers of a quarter", .25, 1, 1, ACCESS_PROBE_BYTES, false, BURSTS_DRAWN },
    { "buffers of four times", 4, 1, 1, ACCESS_PROBE_BYTES, false, BURSTS_DRAWN },
    { "buffers that drop nothing", 4096, 1, 1, ACCESS_PROBE_BYTES, false, BURSTS_DRAWN },
    { "both buffers equally deep (ms)", 1, 1, 1, ACCESS_PROBE_BYTES, true, BURSTS_DRAWN },
    { "random loss, none in bursts", 1, 1, 1, ACCESS_PROBE_BYTES, false, BURSTS_NONE },
    { "random loss, all in bursts", 1, 1, 1, ACCESS_PROBE_BYTES, false, BURSTS_ALL },
    { "no cross traffic", 1, 0, 1, ACCESS_PROBE_BYTES, false, BURSTS_DRAWN },
    { "cross traffic of four times", 1, 4, 1, ACCESS_PROBE_BYTES, false, BURSTS_DRAWN },
    { "probes of 100 bytes", 1, 1, 1, 100, false, BURSTS_DRAWN },
};

/* The smallest of a series, or false: one of the lines has none. */
static bool base_of(const struct matrix *m, const struct matrix_series *s, span base[HOST_LINES])
{
    for (size_t l = 0; l < HOST_LINES; l++) {
        double best = INFINITY;

        for (size_t i = 0; i < s->count; i++)
            best = fmin(best, m->slices[s->first + i].rtt_ms[l]);
        if (isinf(best))
            return false;
        base[l] = (span)(best * MSEC);
    }
    return true;
}

static void host_draw(struct host *h, const struct matrix *m, uint64_t seed)
{
    span base[HOST_LINES];
    struct prng p;

    prng_init(&p, seed);
    while (!base_of(m, &m->series[prng_below(&p, m->series_count)], base))
        ;
    for (size_t l = 0; l < HOST_LINES; l++)
        access_line_draw(&h->lines[l], &p, base[l]);
    for (size_t i = 0; i < HOST_INTERVALS; i++) {
        for (size_t l = 0; l < HOST_LINES; l++)
            h->seeds[i][l] = prng_u64(&p);
    }
}

int hosts_draw(struct host *hosts, size_t count, const struct matrix *m, uint64_t seed)
{
    span base[HOST_LINES];
    struct prng seeds;
    size_t i = 0;

    while (i < m->series_count && !base_of(m, &m->series[i], base))
        i++;
    if (i == m->series_count)
        return -ENODATA;
    prng_init(&seeds, seed);
    for (i = 0; i < count; i++)
        host_draw(&hosts[i], m, prng_u64(&seeds));
    return 0;
}

static void change_lines(struct access_line lines[HOST_LINES], const struct host_change *c)
{
    for (size_t i = 0; i < HOST_LINES; i++) {
        struct access_line *l = &lines[i];

        if (c->same_depths) {
            l->up_buffer_bytes = lines[0].up_buffer_bytes * l->up_bps / lines[0].up_bps;
            l->down_buffer_bytes = lines[0].down_buffer_bytes * l->down_bps / lines[0].down_bps;
        }
        l->up_buffer_bytes = (uint64_t)((double)l->up_buffer_bytes * c->buffers);
        l->down_buffer_bytes = (uint64_t)((double)l->down_buffer_bytes * c->buffers);
        l->uploads *= c->loads;
        l->downloads *= c->loads;
        l->loss *= c->loss;
        l->bursty = c->bursts == BURSTS_DRAWN ? l->bursty : c->bursts == BURSTS_ALL;
    }
}

int hosts_measure(const struct host *hosts, size_t count, const struct host_change *change, struct host_day *days)
{
    for (size_t h = 0; h < count; h++) {
        struct access_line lines[HOST_LINES];

        memcpy(lines, hosts[h].lines, sizeof(lines));
        change_lines(lines, change);
        for (size_t i = 0; i < HOST_INTERVALS; i++) {
            for (size_t l = 0; l < HOST_LINES; l++) {
                double hour = 24. * (double)i / HOST_INTERVALS;
                int r =
                    access_measure(&lines[l], hour, change->probe_bytes, hosts[h].seeds[i][l], &days[h].reports[i][l]);

                if (r < 0)
                    return r;
            }
        }
    }
    return 0;
}
