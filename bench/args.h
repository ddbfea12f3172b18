/* bench/args.h - what the programs behind `hawser bench` and `hawser sim` share: options, complaints, what they print.
 */
#pragma once

#include <jansson.h>
#include <stdio.h>

#include "base/base.h"

enum { EXIT_DONE = 0, EXIT_FAILED = 1, EXIT_USAGE = 2 };

/* `hawser NAME: ...` on standard error; name: as "bench discordance". */
void bench_complain(const char *name, const char *format, ...) PRINTF_LIKE(2, 3);
/* Of one option, the place that its value goes to: one of flag, text, number, real. What is not given stays. */
struct bench_option {
    const char *name; /* without --; NULL ends a table */
    bool *flag;
    const char **text;
    unsigned long *number;
    double *real;
    double low, high; /* of number and real, both in; below 2^53 */
};
/* Takes the command line; false after telling what was found and what was expected. */
bool bench_options(const char *name, const struct bench_option *options, int argc, char **argv);
/* Ends of programs: EXIT_FAILED after `hawser NAME: WHAT: the words of -r`. */
int bench_fail(const char *name, const char *what, int r);
/* Of what printed to standard output and came back with r: EXIT_DONE, or EXIT_FAILED after telling why. */
int bench_printed(const char *name, int r);

/* A whole file of at most BENCH_FILE_MAX bytes, which the caller frees. 0; -EFBIG; -ENOMEM; -errno. */
MUST_CHECK int bench_load(const char *path, char **ret, size_t *ret_len);
#define BENCH_FILE_MAX (1u << 26)

/* A number of six decimals; NAN: null. */
json_t *bench_number(double v);
/* One JSON document and a new line on standard output; doc is unreferenced, NULL is out of memory. 0 or -errno. */
MUST_CHECK int bench_print_json(json_t *doc);
/* A new file of a folder, whose path is in ret_path whatever comes of it. 0 or -errno. */
MUST_CHECK int bench_create(const char *dir, const char *file, char *ret_path, size_t size, FILE **ret);
/* The last word on a file of which r came so far: r if that is negative, 0 or -errno. */
MUST_CHECK int bench_close(FILE *out, int r);
