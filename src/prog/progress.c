/* prog/progress.c - see progress.h.
 *
 * Rates are means of the first 2 s, and from then on smoothed over about 2 s. What does not fit into the terminal is
 * left out, the least important first: rates of the links, bytes, time left, the rate; then the name is cut. A
 * character is taken for one column.
 *
 * Limits: 8 links, as a session has 8 paths; paths of one link (of two families) count as one. */
#include "prog/progress.h"

#include <stdio.h>

#include "base/text.h"

#define SMOOTH (2 * SEC) /* chosen: some round trips of any path; a figure that can be read */
#define NAME_LEAST 8     /* columns, chosen */

void progress_init(struct progress *p)
{
    *p = (struct progress){ .began = INSTANT_NEVER, .at = INSTANT_NEVER };
}

static struct progress_link *find_link(struct progress *p, const char *name)
{
    for (size_t i = 0; i < p->links_count; i++)
        if (strncmp(p->links[i].name, name, sizeof(p->links[i].name)) == 0)
            return &p->links[i];
    if (p->links_count == PROGRESS_LINKS)
        return NULL;
    memcpy(p->links[p->links_count].name, name, sizeof(p->links[0].name) - 1);
    return &p->links[p->links_count++];
}

/* age: since the first sample. */
static void smooth(double *bps, uint64_t before, uint64_t after, span elapsed, span age)
{
    double sample = after > before ? (double)(after - before) * 8 * SEC / (double)elapsed : 0;

    *bps += (sample - *bps) * (double)elapsed / (double)CLAMP(SMOOTH, elapsed, MAX(age, elapsed));
}

void progress_sample(struct progress *p, uint64_t bytes, const struct hws_path *paths, size_t count, instant now)
{
    span elapsed = p->at == INSTANT_NEVER ? 0 : now - p->at;
    uint64_t sent[PROGRESS_LINKS] = { 0 };

    p->down = true;
    p->began = instant_min(p->began, now);
    for (size_t i = 0; i < count; i++) {
        struct progress_link *l = find_link(p, paths[i].link);

        p->down &= paths[i].state == HWS_PATH_DOWN;
        if (l)
            sent[l - p->links] += paths[i].sent_bytes;
    }
    for (size_t i = 0; i < p->links_count; i++) {
        if (elapsed > 0)
            smooth(&p->links[i].bps, p->links[i].bytes, sent[i], elapsed, now - p->began);
        p->links[i].bytes = sent[i];
    }
    if (elapsed > 0)
        smooth(&p->bps, p->bytes, bytes, elapsed, now - p->began);
    p->bytes = bytes;
    p->at = now;
}

void progress_links(const struct progress *p, const double *bps, char *buf, size_t size)
{
    struct text t;

    text_init(&t, buf, size);
    for (size_t i = 0; i < p->links_count; i++)
        text_add(&t, "%s%s %.1f", i ? " + " : "", p->links[i].name, bps[i] / 1e6);
    if (p->links_count > 0)
        text_add(&t, " Mbit/s");
}

/* Continuation bytes of UTF-8 take no column. */
static size_t columns_of(const char *text)
{
    size_t n = 0;

    for (; *text; text++)
        n += ((uint8_t)*text & 0xc0) != 0x80;
    return n;
}

/* The first of these columns, in bytes. */
static int cut(const char *text, size_t columns)
{
    const char *at = text;

    for (size_t n = 0; *at; at++) {
        n += ((uint8_t)*at & 0xc0) != 0x80;
        if (n > columns)
            break;
    }
    return (int)(at - text);
}

static void say_left(uint64_t seconds, char *buf, size_t size)
{
    unsigned long long s = seconds;

    if (s >= 3600)
        snprintf(buf, size, "  %llu:%02llu:%02llu left", s / 3600, s / 60 % 60, s % 60);
    else
        snprintf(buf, size, "  %llu:%02llu left", s / 60, s % 60);
}

enum part { SHARE, RATE, LEFT, BYTES, LINKS, PART_COUNT }; /* the first is dropped last */

void progress_line(const struct progress *p, const char *name, uint64_t done, uint64_t total, size_t columns, char *buf,
                   size_t size)
{
    static const enum part order[PART_COUNT] = { BYTES, SHARE, RATE, LEFT, LINKS };
    char parts[PART_COUNT][256] = { "" };
    double bps[PROGRESS_LINKS];
    size_t used = 0;
    struct text t;

    for (size_t i = 0; i < PROGRESS_LINKS; i++)
        bps[i] = p->links[i].bps;
    snprintf(parts[SHARE], sizeof(parts[0]), "  %3llu %%", (unsigned long long)(total ? done * 100. / total : 100));
    snprintf(parts[BYTES], sizeof(parts[0]), "  %.1f of %.1f MB", done / 1e6, total / 1e6);
    if (p->down)
        snprintf(parts[RATE], sizeof(parts[0]), "  no path works");
    else
        snprintf(parts[RATE], sizeof(parts[0]), "  %.1f Mbit/s", p->bps / 1e6);
    if (p->bps > 0 && !p->down && done < total && (total - done) * 8. / p->bps < 1e6)
        say_left((uint64_t)((total - done) * 8. / p->bps), parts[LEFT], sizeof(parts[0]));
    if (p->links_count > 0) {
        memcpy(parts[LINKS], "  ", 3);
        progress_links(p, bps, parts[LINKS] + 2, sizeof(parts[0]) - 2);
    }
    for (size_t i = 0; i < PART_COUNT; i++)
        used += columns_of(parts[i]);
    for (size_t i = PART_COUNT; i-- > 0 && used + MIN(columns_of(name), NAME_LEAST) > columns;) {
        used -= columns_of(parts[i]);
        parts[i][0] = '\0';
    }
    text_init(&t, buf, size);
    text_add(&t, "%.*s", cut(name, columns - used), name);
    for (size_t i = 0; i < PART_COUNT; i++)
        text_add(&t, "%s", parts[order[i]]);
}
