/* bench/matrix.h - round trips of two access lines to many hosts over time, from a file.
 *
 * The file is planetlab-24pairs.csv.gz, or the same without .gz: text, first line
 *
 *     pair,nodeA,nodeB,host,slice,rttA_ms,rttB_ms
 *
 * then a line for each time slice of each series (a pair of nodes near each other and a host), slices in order. Numbers
 * are decimal; a round trip of 0 or less is missing. */
#pragma once

#include "base/base.h"

#define MATRIX_FILE "planetlab-24pairs.csv"
#define MATRIX_LINES 2 /* access lines of a series */
#define MATRIX_ERROR_MAX 640
#define MATRIX_BYTES_MAX (1u << 28) /* of the text: chosen: forty times what the file named above has */

struct matrix_slice {
    unsigned number;
    double rtt_ms[MATRIX_LINES]; /* NAN: missing */
};

struct matrix_series {
    unsigned long pair, host;
    size_t first, count; /* of the slices */
};

struct matrix {
    struct matrix_slice *slices;
    struct matrix_series *series;
    size_t slices_count, series_count;
};

/* A matrix from its text; `name` is what errors call it. 0, -ENOMEM, or -EINVAL and err: name, line, what was found and
 * what was expected. */
MUST_CHECK int matrix_parse(struct matrix *ret, const char *text, size_t len, const char *name,
                            char err[MATRIX_ERROR_MAX]);
/* The same from the file in dir. Also the error of open or read, told in err too. */
MUST_CHECK int matrix_load(struct matrix *ret, const char *dir, char err[MATRIX_ERROR_MAX]);
void matrix_deinit(struct matrix *m);
