/* A link's parameters and traces as text; the contract is in link.h.
 *
 * Theory of operation. A text is cut at blanks into key=value words, read one by one into a draft that replaces the
 * caller's parameters only when every word was good. Units are compulsory where a bare number has misled people: tc
 * reads a delay without one as microseconds, and "loss=1" is a hundredth to one reader and everything to another.
 *
 * Limits: a word of 511 bytes, numbers of 15 digits before and after the point, no exponents; a trace of LINK_TRACE_MAX
 * lines. The locale has no influence.
 *
 * Sources: Mahimahi's mm-link(1) for the trace. */
#include "sim/link.h"

#include "base/text.h"

#include <errno.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>

#define WORD_MAX 512 /* one key=value */

static int fault(char err[LINK_ERROR_MAX], const char *fmt, ...) PRINTF_LIKE(2, 3);

static int fault(char err[LINK_ERROR_MAX], const char *fmt, ...)
{
    va_list ap;

    va_start(ap, fmt);
    vsnprintf(err, LINK_ERROR_MAX, fmt, ap);
    va_end(ap);
    return -EINVAL;
}

/* A plain decimal number, not negative; *ret_unit is what follows it. */
static bool number_parse(const char *s, double *ret, const char **ret_unit)
{
    size_t digits = strspn(s, "0123456789");
    size_t point = s[digits] == '.' ? 1 + strspn(s + digits + 1, "0123456789") : 0;
    double value = 0, divisor = 1;

    if (digits == 0 || digits > 15 || point == 1 || point > 16)
        return false;
    /* All digits as one whole number, divided once: rounded as well as a decimal can be up to 15 digits. */
    for (size_t i = 0; i < digits + point; i++) {
        if (s[i] == '.')
            continue;
        value = value * 10 + (s[i] - '0');
        divisor *= i > digits ? 10 : 1;
    }
    *ret = value / divisor;
    *ret_unit = s + digits + point;
    return true;
}

struct unit {
    const char *name;
    double factor;
};

/* A number and one of the units; the unit may be missing only after 0. */
static bool scaled_parse(const char *s, const struct unit *units, double max, double *ret)
{
    const char *unit;
    double value;

    if (!number_parse(s, &value, &unit))
        return false;
    if (*unit == '\0' && value == 0) {
        *ret = 0;
        return true;
    }
    for (; units->name; units++) {
        if (strcmp(unit, units->name) == 0) {
            *ret = value * units->factor;
            return *ret <= max;
        }
    }
    return false;
}

static const struct unit rate_units[] = {
    { "bit", 1 }, { "kbit", 1e3 }, { "mbit", 1e6 }, { "gbit", 1e9 }, { NULL, 0 }
};
static const struct unit time_units[] = { { "us", USEC }, { "ms", MSEC }, { "s", SEC }, { NULL, 0 } };
static const struct unit size_units[] = { { "", 1 }, { "k", 1024 }, { "m", 1024 * 1024 }, { NULL, 0 } };
static const struct unit share_units[] = { { "%", .01 }, { NULL, 0 } };
static const struct unit fraction_units[] = { { "", 1 }, { "%", .01 }, { NULL, 0 } };

static int rate_read(const char *s, struct link_params *p, char err[LINK_ERROR_MAX])
{
    double rate = 0;

    if (strcmp(s, "unlimited") != 0 && (!scaled_parse(s, rate_units, LINK_RATE_MAX, &rate) || (rate > 0 && rate < 1)))
        return fault(err, "rate=%s: expected a number and bit, kbit, mbit or gbit, or `unlimited`", s);
    p->rate_bps = (uint64_t)llround(rate);
    p->trace = NULL;
    p->trace_path[0] = '\0';
    return 0;
}

static int trace_read(const char *s, struct link_params *p, char err[LINK_ERROR_MAX])
{
    if (*s == '\0' || strlen(s) >= LINK_PATH_MAX)
        return fault(err, "trace=%s: expected a file's name of 1 to %d bytes", s, LINK_PATH_MAX - 1);
    memcpy(p->trace_path, s, strlen(s) + 1);
    p->trace = NULL;
    p->rate_bps = 0;
    return 0;
}

static int time_read(const char *key, const char *s, span *ret, char err[LINK_ERROR_MAX])
{
    double us;

    if (!scaled_parse(s, time_units, (double)LINK_DELAY_MAX, &us))
        return fault(err, "%s=%s: expected a time with its unit, us, ms or s, of at most an hour", key, s);
    *ret = (span)llround(us);
    return 0;
}

static int share_read(const char *key, const char *s, double *ret, char err[LINK_ERROR_MAX])
{
    double share;

    if (!scaled_parse(s, share_units, 1, &share))
        return fault(err, "%s=%s: expected 0%% to 100%%, with the sign", key, s);
    *ret = share;
    return 0;
}

static int flag_read(const char *key, const char *s, bool *ret, char err[LINK_ERROR_MAX])
{
    if ((s[0] != '0' && s[0] != '1') || s[1] != '\0')
        return fault(err, "%s=%s: expected 0 or 1", key, s);
    *ret = s[0] == '1';
    return 0;
}

static int ge_read(const char *s, struct link_params *p, char err[LINK_ERROR_MAX])
{
    double v[4] = { 0, 0, 0, 1 };
    size_t count = 0;

    for (const char *at = s; count < 4; at++) {
        size_t len = strcspn(at, ",");
        char field[32];

        if (len >= sizeof(field))
            break;
        memcpy(field, at, len);
        field[len] = '\0';
        if (!scaled_parse(field, fraction_units, 1, &v[count]))
            break;
        count++;
        at += len;
        if (*at == '\0') {
            if (count == 1 && v[0] != 0)
                break;
            p->ge_p = v[0];
            p->ge_r = v[1];
            p->ge_loss_good = v[2];
            p->ge_loss_bad = v[3];
            return 0;
        }
    }
    return fault(err, "ge=%s: expected P,R[,GOOD[,BAD]], each 0 to 1 or 0%% to 100%%, or 0", s);
}

static int queue_read(const char *s, struct link_params *p, char err[LINK_ERROR_MAX])
{
    double v = 0;

    if (strcmp(s, "default") == 0) {
        p->queue_bytes = 0;
        p->queue_time = 0;
    } else if (scaled_parse(s, size_units, 1e12, &v) && v >= 1) {
        p->queue_bytes = (uint64_t)v;
        p->queue_time = 0;
    } else if (scaled_parse(s, time_units, (double)LINK_DELAY_MAX, &v) && v >= 1) {
        p->queue_bytes = 0;
        p->queue_time = (span)llround(v);
    } else {
        return fault(err, "queue=%s: expected bytes (65536, 64k, 2m), a time (50ms) or `default`", s);
    }
    return 0;
}

static int mtu_read(const char *s, struct link_params *p, char err[LINK_ERROR_MAX])
{
    const char *unit;
    double v;

    if (!number_parse(s, &v, &unit) || *unit != '\0' || v > LINK_PACKET_MAX || v != floor(v))
        return fault(err, "mtu=%s: expected bytes, 0 (none) to %d", s, LINK_PACKET_MAX);
    p->mtu = (uint32_t)v;
    return 0;
}

static int dist_read(const char *s, struct link_params *p, char err[LINK_ERROR_MAX])
{
    if (strcmp(s, "normal") != 0 && strcmp(s, "uniform") != 0)
        return fault(err, "dist=%s: expected normal or uniform", s);
    p->dist = s[0] == 'n' ? LINK_DIST_NORMAL : LINK_DIST_UNIFORM;
    return 0;
}

enum key {
    KEY_RATE,
    KEY_TRACE,
    KEY_DELAY,
    KEY_JITTER,
    KEY_DIST,
    KEY_REORDER,
    KEY_LOSS,
    KEY_GE,
    KEY_DUP,
    KEY_CORRUPT,
    KEY_QUEUE,
    KEY_MTU,
    KEY_DOWN,
    KEY_BLACKHOLE,
    KEY_COUNT
};

static const char *const key_names[KEY_COUNT] = {
    "rate", "trace", "delay",   "jitter", "dist", "reorder", "loss",
    "ge",   "dup",   "corrupt", "queue",  "mtu",  "down",    "blackhole"
};

static int value_read(enum key key, const char *s, struct link_params *p, char err[LINK_ERROR_MAX])
{
    switch (key) {
    case KEY_RATE:
        return rate_read(s, p, err);
    case KEY_TRACE:
        return trace_read(s, p, err);
    case KEY_DELAY:
        return time_read("delay", s, &p->delay, err);
    case KEY_JITTER:
        return time_read("jitter", s, &p->jitter, err);
    case KEY_DIST:
        return dist_read(s, p, err);
    case KEY_REORDER:
        return flag_read("reorder", s, &p->reorder, err);
    case KEY_LOSS:
        return share_read("loss", s, &p->loss, err);
    case KEY_GE:
        return ge_read(s, p, err);
    case KEY_DUP:
        return share_read("dup", s, &p->dup, err);
    case KEY_CORRUPT:
        return share_read("corrupt", s, &p->corrupt, err);
    case KEY_QUEUE:
        return queue_read(s, p, err);
    case KEY_MTU:
        return mtu_read(s, p, err);
    case KEY_DOWN:
        return flag_read("down", s, &p->down, err);
    case KEY_BLACKHOLE:
        return flag_read("blackhole", s, &p->blackhole, err);
    case KEY_COUNT:
        break;
    }
    return -EINVAL;
}

static int word_read(char *word, struct link_params *p, char err[LINK_ERROR_MAX])
{
    char *equals = strchr(word, '=');
    const char *nearest;

    if (!equals)
        return fault(err, "`%.60s`: expected key=value", word);
    *equals = '\0';
    for (unsigned key = 0; key < KEY_COUNT; key++)
        if (strcmp(word, key_names[key]) == 0)
            return value_read((enum key)key, equals + 1, p, err);
    nearest = text_nearest(word, key_names, KEY_COUNT);
    if (nearest)
        return fault(err, "unknown key `%.60s`: did you mean `%s`?", word, nearest);
    return fault(err,
                 "unknown key `%.60s`: expected rate, trace, delay, jitter, dist, reorder, loss, ge, dup, corrupt, "
                 "queue, mtu, down or blackhole",
                 word);
}

int link_params_parse(const char *text, struct link_params *p, char err[LINK_ERROR_MAX])
{
    struct link_params draft = *p;
    char word[WORD_MAX];

    for (;;) {
        size_t len;
        int r;

        text += strspn(text, " \t\r\n");
        if (*text == '\0')
            break;
        len = strcspn(text, " \t\r\n");
        if (len >= sizeof(word))
            return fault(err, "`%.60s...`: expected at most %d bytes", text, WORD_MAX - 1);
        memcpy(word, text, len);
        word[len] = '\0';
        r = word_read(word, &draft, err);
        if (r < 0)
            return r;
        text += len;
    }
    *p = draft;
    return 0;
}

/* The shortest plain decimal of at most 15 places; the parser takes no exponents. */
static void decimal_add(struct text *t, double v)
{
    char buf[40];
    size_t len = (size_t)snprintf(buf, sizeof(buf), "%.15f", v);

    while (buf[len - 1] == '0')
        len--;
    if (buf[len - 1] == '.')
        len--;
    text_add(t, "%.*s", (int)len, buf);
}

static void share_add(struct text *t, const char *key, double v)
{
    text_add(t, " %s=", key);
    /* Twelve places of a percentage: more would show the error of the division by 100. */
    decimal_add(t, round(v * 1e14) / 1e12);
    text_add(t, "%%");
}

char *link_params_format(const struct link_params *p, char buf[LINK_PARAMS_MAX])
{
    const double ge[4] = { p->ge_p, p->ge_r, p->ge_loss_good, p->ge_loss_bad };
    struct text t;

    text_init(&t, buf, LINK_PARAMS_MAX);
    if (p->trace_path[0])
        text_add(&t, "trace=%s", p->trace_path);
    else if (p->rate_bps > 0)
        text_add(&t, "rate=%llubit", (unsigned long long)p->rate_bps);
    else
        text_add(&t, "rate=unlimited");
    text_add(&t, " delay=%lldus jitter=%lldus dist=%s reorder=%d", (long long)p->delay, (long long)p->jitter,
             p->dist == LINK_DIST_UNIFORM ? "uniform" : "normal", p->reorder);
    share_add(&t, "loss", p->loss);
    text_add(&t, " ge=");
    for (size_t i = 0; i < (p->ge_p > 0 ? ARRAY_LEN(ge) : 1); i++) {
        if (i > 0)
            text_add(&t, ",");
        decimal_add(&t, ge[i]);
    }
    share_add(&t, "dup", p->dup);
    share_add(&t, "corrupt", p->corrupt);
    if (p->queue_bytes > 0)
        text_add(&t, " queue=%llu", (unsigned long long)p->queue_bytes);
    else if (p->queue_time > 0)
        text_add(&t, " queue=%lldus", (long long)p->queue_time);
    else
        text_add(&t, " queue=default");
    text_add(&t, " mtu=%u down=%d blackhole=%d", p->mtu, p->down, p->blackhole);
    return buf;
}

/* One line of a trace: *ret and 1, 0 if it holds nothing, -EINVAL. */
static int trace_line(const char *s, size_t len, uint32_t *ret)
{
    uint64_t value = 0;
    size_t i = 0;

    while (len > 0 && strchr(" \t\r", s[len - 1]))
        len--;
    if (len == 0 || s[0] == '#')
        return 0;
    for (; i < len && s[i] >= '0' && s[i] <= '9' && value <= UINT32_MAX; i++)
        value = value * 10 + (uint64_t)(s[i] - '0');
    if (i < len || value > UINT32_MAX)
        return -EINVAL;
    *ret = (uint32_t)value;
    return 1;
}

int link_trace_parse(const char *text, size_t len, struct link_trace *ret, char err[LINK_ERROR_MAX])
{
    const char *end = text + len;
    size_t lines = 0, count = 0, room = 1;
    uint32_t CLEANUP(cleanup_free) *at_ms = NULL;

    for (size_t i = 0; i < len; i++)
        room += text[i] == '\n';
    if (room > LINK_TRACE_MAX)
        return fault(err, "%zu lines: expected at most %u", room, LINK_TRACE_MAX);
    at_ms = malloc(room * sizeof(*at_ms));
    if (!at_ms)
        return -ENOMEM;
    while (text < end) {
        const char *stop = memchr(text, '\n', (size_t)(end - text));
        size_t line_len = (size_t)((stop ? stop : end) - text);
        int r = trace_line(text, line_len, &at_ms[count]);

        lines++;
        if (r < 0)
            return fault(err, "line %zu: found `%.*s`, expected milliseconds", lines, (int)MIN(line_len, (size_t)40),
                         text);
        if (r > 0 && count > 0 && at_ms[count] < at_ms[count - 1])
            return fault(err, "line %zu: found %u after %u, expected times that do not go back", lines, at_ms[count],
                         at_ms[count - 1]);
        count += (size_t)r;
        text += line_len + 1;
    }
    if (count == 0 || at_ms[count - 1] == 0)
        return fault(err, "%zu lines: expected at least one time above 0", lines);
    *ret = (struct link_trace){ .at_ms = at_ms, .count = count };
    at_ms = NULL;
    return 0;
}

static void cleanup_file(FILE **f)
{
    if (*f)
        fclose(*f);
}

int link_trace_load(const char *path, struct link_trace *ret, char err[LINK_ERROR_MAX])
{
    FILE CLEANUP(cleanup_file) *f = fopen(path, "re");
    size_t size = 1 << 16, len = 0, got;
    char CLEANUP(cleanup_free) *text = malloc(size);
    char why[LINK_ERROR_MAX];
    int r;

    if (!f) {
        r = -errno;
        fault(err, "trace %.150s: %s", path, strerror(-r));
        return r;
    }
    if (!text)
        return -ENOMEM;
    while ((got = fread(text + len, 1, size - len, f)) > 0) {
        len += got;
        if (len == size) {
            char *more = size < LINK_TRACE_MAX * UINT64_C(11) ? realloc(text, size * 2) : NULL;

            if (!more)
                return -ENOMEM;
            text = more;
            size *= 2;
        }
    }
    if (ferror(f)) {
        fault(err, "trace %.150s: read error", path);
        return -EIO;
    }
    r = link_trace_parse(text, len, ret, why);
    if (r == -EINVAL)
        fault(err, "trace %.100s: %.140s", path, why);
    return r;
}

void link_trace_deinit(struct link_trace *t)
{
    free(t->at_ms);
    *t = (struct link_trace){ 0 };
}
