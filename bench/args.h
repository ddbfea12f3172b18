/* bench/args.h - what the programs behind `hawser bench` and `hawser sim` share: options, complaints, what they print.
 */
#pragma once

#include <jansson.h>
#include <stdio.h>

#include "base/base.h"

#define BENCH_FILES_MAX 4 /* of a report */

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
/* Of what printed to standard output and came back with r: EXIT_DONE, or EXIT_FAILED after telling why. */
int bench_printed(const char *name, int r);

/* A whole file of at most BENCH_FILE_MAX bytes, which the caller frees. 0; -EFBIG; -ENOMEM; -errno. */
MUST_CHECK int bench_load(const char *path, char **ret, size_t *ret_len);
#define BENCH_FILE_MAX (1u << 26)

/* A number of six decimals; NAN: null. */
json_t *bench_number(double v);

/* How findings are told. */
struct bench_report {
    void (*print)(const void *found);   /* tables for people, to standard output */
    json_t *(*json)(const void *found); /* one document; NULL: no memory */
    struct bench_file {
        const char *name; /* NULL: no more */
        /* 0 or -errno. What out could not take is seen afterwards. */
        int (*write)(FILE *out, const void *found);
    } files[BENCH_FILES_MAX + 1];
};
/* Writes the files into dir, then prints: one JSON document and a new line, or the tables. EXIT_DONE, or EXIT_FAILED
 * after telling which file, or standard output, failed. */
MUST_CHECK int bench_report(const char *name, const struct bench_report *report, const void *found, const char *dir,
                            bool json);
