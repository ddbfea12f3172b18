/* bench/args.h - what the programs behind `hawser bench` and `hawser sim` share: options, complaints, what they print.
 */
#pragma once

#include <jansson.h>
#include <stdio.h>

#include "base/base.h"

enum { EXIT_DONE = 0, EXIT_FAILED = 1, EXIT_USAGE = 2 };

/* `hawser NAME: ...` on standard error; name: as "bench discordance". */
void bench_complain(const char *name, const char *format, ...) PRINTF_LIKE(2, 3);
/* The whole number of an option; false after telling what was found and what was expected. */
bool bench_read(const char *name, const char *option, const char *text, unsigned long low, unsigned long high,
                unsigned long *ret);
/* The same of a number with decimals, which must be in [low, high]. */
bool bench_read_real(const char *name, const char *option, const char *text, double low, double high, double *ret);

/* A whole file of at most BENCH_FILE_MAX bytes, which the caller frees. 0; -EFBIG; -ENOMEM; -errno. */
MUST_CHECK int bench_load(const char *path, char **ret, size_t *ret_len);
#define BENCH_FILE_MAX (1u << 26)

/* A number of six decimals; NAN: null. */
json_t *bench_number(double v);
/* One JSON document and a new line on standard output; doc is unreferenced, NULL is out of memory. 0 or -errno. */
MUST_CHECK int bench_print_json(json_t *doc);
/* The last word on a file: 0 or -errno. */
MUST_CHECK int bench_close(FILE *out);
