/* Fuzz target: a matrix of round trips (bench/matrix.h). What is accepted has series that follow each other without a
 * gap or an overlap, slices in order, and round trips that are more than nothing or missing. */
#include "bench/matrix.h"

#include <assert.h>
#include <errno.h>
#include <math.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_series(const struct matrix *m, const struct matrix_series *s)
{
    assert(s->count > 0);
    for (size_t i = 0; i < s->count; i++) {
        const struct matrix_slice *slice = &m->slices[s->first + i];

        assert(i == 0 || slice->number > slice[-1].number);
        for (size_t l = 0; l < MATRIX_LINES; l++)
            assert(isnan(slice->rtt_ms[l]) || (slice->rtt_ms[l] > 0 && isfinite(slice->rtt_ms[l])));
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char err[MATRIX_ERROR_MAX] = "";
    struct matrix m;
    size_t next = 0;
    int r = matrix_parse(&m, (const char *)data, size, "file", err);

    if (r < 0) {
        assert(strncmp(err, "file:", 5) == 0);
        return 0;
    }
    assert(m.series_count > 0);
    for (size_t i = 0; i < m.series_count; i++) {
        assert(m.series[i].first == next);
        check_series(&m, &m.series[i]);
        next += m.series[i].count;
    }
    assert(next == m.slices_count);
    matrix_deinit(&m);
    return 0;
}
