/* Options, complaints and endings of programs that measure. Numbers are read strictly: what is no number as a whole is
 * refused with what was expected. */
#include "bench/args.h"

#include <assert.h>
#include <errno.h>
#include <getopt.h>
#include <math.h>
#include <stdarg.h>

#define OPTIONS_MAX 16 /* of a program */

void bench_complain(const char *name, const char *format, ...)
{
    va_list ap;

    fprintf(stderr, "hawser %s: ", name);
    va_start(ap, format);
    vfprintf(stderr, format, ap);
    va_end(ap);
    fputc('\n', stderr);
}

static bool read_number(const char *name, const struct bench_option *o, const char *text)
{
    unsigned long low = (unsigned long)o->low, high = (unsigned long)o->high, v;
    char *end;

    errno = 0;
    v = strtoul(text, &end, 10);
    if (*text < '0' || *text > '9' || *end != '\0' || errno != 0 || v < low || v > high) {
        bench_complain(name, "found --%s %s, expected a number from %lu to %lu", o->name, text, low, high);
        return false;
    }
    *o->number = v;
    return true;
}

static bool read_real(const char *name, const struct bench_option *o, const char *text)
{
    char *end;
    double v = strtod(text, &end);

    /* No sign, no hexadecimal, no infinity. */
    if (text[strspn(text, "0123456789.e")] != '\0' || end == text || *end != '\0' || !(v >= o->low && v <= o->high)) {
        bench_complain(name, "found --%s %s, expected a number from %g to %g", o->name, text, o->low, o->high);
        return false;
    }
    *o->real = v;
    return true;
}

static bool take(const char *name, const struct bench_option *o, const char *text)
{
    if (o->number)
        return read_number(name, o, text);
    if (o->real)
        return read_real(name, o, text);
    if (o->flag)
        *o->flag = true;
    else
        *o->text = text;
    return true;
}

bool bench_options(const char *name, const struct bench_option *options, int argc, char **argv)
{
    struct option names[OPTIONS_MAX + 1] = { 0 };
    int c, i = 0;

    for (size_t n = 0; options[n].name; n++) {
        assert(n < OPTIONS_MAX);
        names[n] =
            (struct option){ .name = options[n].name, .has_arg = options[n].flag ? no_argument : required_argument };
    }
    opterr = 0;
    while ((c = getopt_long(argc, argv, ":", names, &i)) != -1) {
        if (c != 0) {
            bench_complain(name, "found %s%s", argv[optind - 1],
                           c == ':' ? " without a value" : ", which is no option");
            return false;
        }
        if (!take(name, &options[i], optarg))
            return false;
    }
    if (optind < argc)
        bench_complain(name, "found %s, expected options alone", argv[optind]);
    return optind == argc;
}

/* EXIT_FAILED after `hawser NAME: WHAT: the words of -r`. */
static int fail(const char *name, const char *what, int r)
{
    bench_complain(name, "%s: %s", what, strerror(-r));
    return EXIT_FAILED;
}

int bench_printed(const char *name, int r)
{
    if (r == 0 && (fflush(stdout) != 0 || ferror(stdout)))
        r = -(errno ? errno : EIO);
    return r < 0 ? fail(name, "standard output", r) : EXIT_DONE;
}

int bench_load(const char *path, char **ret, size_t *ret_len)
{
    FILE *f = fopen(path, "re");
    size_t len = 0, max = 1 << 16;
    char *text = f ? malloc(max) : NULL;
    int r = f ? text ? 0 : -ENOMEM : -errno;

    while (r == 0) {
        size_t n = fread(text + len, 1, max - len, f);
        char *more;

        len += n;
        if (len < max) {
            r = ferror(f) ? -EIO : 0;
            break;
        }
        more = max < BENCH_FILE_MAX ? realloc(text, max * 2) : NULL;
        if (!more) {
            r = max < BENCH_FILE_MAX ? -ENOMEM : -EFBIG;
            break;
        }
        text = more;
        max *= 2;
    }
    if (f)
        fclose(f);
    if (r < 0) {
        free(text);
        return r;
    }
    *ret = text;
    *ret_len = len;
    return 0;
}

json_t *bench_number(double v)
{
    return isnan(v) ? json_null() : json_real(round(v * 1e6) / 1e6);
}

/* Unreferences doc. 0 or -errno. */
static int print_json(json_t *doc)
{
    int r;

    if (!doc)
        return -ENOMEM;
    errno = 0;
    r = json_dumpf(doc, stdout, JSON_COMPACT | JSON_REAL_PRECISION(9)) == 0 && putchar('\n') != EOF ? 0 : -1;
    json_decref(doc);
    return r == 0 ? 0 : -(errno ? errno : EIO);
}

static int write_file(const struct bench_file *file, const void *found, const char *path)
{
    FILE *out = fopen(path, "we");
    int r;

    if (!out)
        return -errno;
    r = file->write(out, found);
    if (r == 0 && (fflush(out) != 0 || ferror(out)))
        r = -(errno ? errno : EIO);
    return fclose(out) != 0 && r == 0 ? -errno : r;
}

int bench_report(const char *name, const struct bench_report *report, const void *found, const char *dir, bool json)
{
    char path[512];
    int r = 0;

    for (const struct bench_file *f = report->files; f->name; f++) {
        snprintf(path, sizeof(path), "%s/%s", dir, f->name);
        r = write_file(f, found, path);
        if (r < 0)
            return fail(name, path, r);
    }
    if (json)
        r = print_json(report->json(found));
    else
        report->print(found);
    return bench_printed(name, r);
}
