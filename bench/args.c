/* Options, complaints and endings of programs that measure. Numbers are read strictly: what is no number as a whole is
 * refused with what was expected. */
#include "bench/args.h"

#include <errno.h>
#include <math.h>
#include <stdarg.h>

void bench_complain(const char *name, const char *format, ...)
{
    va_list ap;

    fprintf(stderr, "hawser %s: ", name);
    va_start(ap, format);
    vfprintf(stderr, format, ap);
    va_end(ap);
    fputc('\n', stderr);
}

bool bench_read(const char *name, const char *option, const char *text, unsigned long low, unsigned long high,
                unsigned long *ret)
{
    char *end;
    unsigned long v;

    errno = 0;
    v = strtoul(text, &end, 10);
    if (*text < '0' || *text > '9' || *end != '\0' || errno != 0 || v < low || v > high) {
        bench_complain(name, "found --%s %s, expected a number from %lu to %lu", option, text, low, high);
        return false;
    }
    *ret = v;
    return true;
}

bool bench_read_real(const char *name, const char *option, const char *text, double low, double high, double *ret)
{
    char *end;
    double v = strtod(text, &end);

    /* No sign, no hexadecimal, no infinity. */
    if (text[strspn(text, "0123456789.e")] != '\0' || end == text || *end != '\0' || !(v >= low && v <= high)) {
        bench_complain(name, "found --%s %s, expected a number from %g to %g", option, text, low, high);
        return false;
    }
    *ret = v;
    return true;
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

int bench_print_json(json_t *doc)
{
    int r;

    if (!doc)
        return -ENOMEM;
    errno = 0;
    r = json_dumpf(doc, stdout, JSON_COMPACT | JSON_REAL_PRECISION(9)) == 0 && putchar('\n') != EOF ? 0 : -1;
    json_decref(doc);
    return r == 0 ? 0 : -(errno ? errno : EIO);
}

int bench_close(FILE *out)
{
    int r = fflush(out) != 0 || ferror(out) ? -(errno ? errno : EIO) : 0;

    return fclose(out) != 0 && r == 0 ? -errno : r;
}
