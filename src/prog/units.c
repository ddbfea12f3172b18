/* prog/units.c - see units.h.
 *
 * Numbers are read in integers, so that 0.1s is 100000 us on every machine. Limits: 12 digits before the point, 9
 * after it. */
#include "prog/units.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <strings.h>

struct unit {
    const char *name;
    uint64_t scale;
};

static int number_with_unit(const char *s, const struct unit *units, size_t count, uint64_t *ret)
{
    uint64_t whole = 0, part = 0, part_scale = 1, scaled;
    const struct unit *unit = NULL;
    size_t digits = 0;

    for (; *s >= '0' && *s <= '9'; s++) {
        if (++digits > 12)
            return -ERANGE;
        whole = whole * 10 + (uint64_t)(*s - '0');
    }
    if (digits == 0)
        return -EINVAL;
    if (*s == '.') {
        s++;
        if (*s < '0' || *s > '9')
            return -EINVAL;
        for (; *s >= '0' && *s <= '9'; s++) {
            if (part_scale == 1000000000)
                return -EINVAL;
            part = part * 10 + (uint64_t)(*s - '0');
            part_scale *= 10;
        }
    }
    while (*s == ' ')
        s++;
    if (*s == '\0' && whole == 0 && part == 0) {
        *ret = 0;
        return 0;
    }
    for (size_t i = 0; i < count && !unit; i++) {
        if (strcasecmp(s, units[i].name) == 0)
            unit = &units[i];
    }
    if (!unit)
        return -EINVAL;
    if (__builtin_mul_overflow(whole, unit->scale, &scaled) || scaled > INT64_MAX / 2)
        return -ERANGE;
    /* part < 10^9; the largest scale is a day, 8.64e10 us: the product needs 67 bits. */
    *ret = scaled + (uint64_t)((unsigned __int128)part * unit->scale / part_scale);
    return 0;
}

int duration_parse(const char *s, span *ret)
{
    static const struct unit units[] = { { "us", 1 },         { "ms", 1000 },      { "s", 1000000 },
                                         { "m", 60000000 },   { "min", 60000000 }, { "h", 3600000000 },
                                         { "d", 86400000000 } };
    uint64_t v;
    int r = number_with_unit(s, units, ARRAY_LEN(units), &v);

    if (r == 0)
        *ret = (span)v;
    return r;
}

int rate_parse(const char *s, uint64_t *ret_bps)
{
    static const struct unit units[] = { { "bit", 1 },           { "bit/s", 1 },          { "kbit", 1000 },
                                         { "kbit/s", 1000 },     { "mbit", 1000000 },     { "mbit/s", 1000000 },
                                         { "gbit", 1000000000 }, { "gbit/s", 1000000000 } };
    uint64_t v;
    int r = number_with_unit(s, units, ARRAY_LEN(units), &v);

    if (r == 0)
        *ret_bps = v;
    return r;
}

char *duration_format(span t, char buf[UNIT_STRLEN])
{
    int64_t s = t / SEC;

    if (t < SEC)
        snprintf(buf, UNIT_STRLEN, "%" PRId64 "ms", t / MSEC);
    else if (s < 60)
        snprintf(buf, UNIT_STRLEN, "%.1fs", (double)t / 1e6);
    else if (s < 3600)
        snprintf(buf, UNIT_STRLEN, "%" PRId64 "m%02" PRId64 "s", s / 60, s % 60);
    else if (s < 86400)
        snprintf(buf, UNIT_STRLEN, "%" PRId64 "h%02" PRId64 "m", s / 3600, s / 60 % 60);
    else
        snprintf(buf, UNIT_STRLEN, "%" PRId64 "d%02" PRId64 "h", s / 86400, s / 3600 % 24);
    return buf;
}

static char *scaled_format(double v, double step, const char *const *names, size_t count, char buf[UNIT_STRLEN])
{
    size_t i = 0;

    while (v >= step && i + 1 < count) {
        v /= step;
        i++;
    }
    snprintf(buf, UNIT_STRLEN, i == 0 || v >= 100 ? "%.0f %s" : "%.1f %s", v, names[i]);
    return buf;
}

char *rate_format(uint64_t bps, char buf[UNIT_STRLEN])
{
    static const char *const names[] = { "bit/s", "kbit/s", "Mbit/s", "Gbit/s", "Tbit/s" };

    return scaled_format((double)bps, 1000, names, ARRAY_LEN(names), buf);
}

char *bytes_format(uint64_t bytes, char buf[UNIT_STRLEN])
{
    static const char *const names[] = { "B", "KiB", "MiB", "GiB", "TiB", "PiB" };

    return scaled_format((double)bytes, 1024, names, ARRAY_LEN(names), buf);
}
