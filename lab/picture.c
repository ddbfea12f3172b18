/* hawser-picture: one picture of a demo run, as SVG on standard output.
 *
 * Theory of operation. Three files in the folder that is named: samples.txt (hawser-probe sample over wlan0, wwan0 and
 * hawser0), marks.txt ("TIME fault|back TEXT") and streams.txt ("START END KIND TEXT"). The lower part is throughput,
 * WiFi and 3G stacked, received above the axis and sent below it, averaged over BIN seconds. The upper part is a bar
 * for each stream, in as many rows as overlapping needs. A band shows where the WiFi was away. Nothing is smoothed
 * beyond the bins and nothing is left out.
 *
 * Limits: SAMPLES_MAX samples, ITEMS_MAX marks and streams each, texts of TEXT_MAX bytes. */
#include "base/base.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>

#define SAMPLES_MAX 20000
#define ITEMS_MAX 128
#define TEXT_MAX 96
#define BIN .25 /* s: chosen: shows a fault of one second, hides the sampler's own unsteadiness */
#define WIDTH 1400
#define LEFT 92
#define RIGHT 28
#define ROW 24
#define PX_PER_MBPS 12.5
#define ROWS_MAX 12

struct sample {
    double t, rx[2], tx[2]; /* bytes of wlan0 and wwan0 */
};

struct item {
    double from, until;
    char kind[16], text[TEXT_MAX];
    unsigned row;
};

struct run {
    struct sample *samples;
    size_t samples_count;
    struct item streams[ITEMS_MAX], marks[ITEMS_MAX];
    size_t streams_count, marks_count;
    double start, end, max_down, max_up; /* s, Mbit/s */
    size_t bins;
    double *mbps[4]; /* wlan received, wwan received, wlan sent, wwan sent */
    unsigned rows;
};

static FILE *open_in(const char *dir, const char *name)
{
    char path[512];
    FILE *f;

    snprintf(path, sizeof(path), "%s/%s", dir, name);
    f = fopen(path, "re");
    if (!f)
        fprintf(stderr, "hawser-picture: %s: %s\n", path, strerror(errno));
    return f;
}

static void read_samples(struct run *r, FILE *f)
{
    char line[512];

    while (r->samples_count < SAMPLES_MAX && fgets(line, sizeof(line), f)) {
        struct sample *s = &r->samples[r->samples_count];

        /* Of the tunnel's own counters, behind these, nothing is drawn. */
        if (sscanf(line, "%lf %lf %lf %lf %lf", &s->t, &s->rx[0], &s->tx[0], &s->rx[1], &s->tx[1]) == 5)
            r->samples_count++;
    }
}

static void take_text(struct item *m, const char *from)
{
    size_t len = strcspn(from, "\n");

    snprintf(m->text, sizeof(m->text), "%.*s", (int)len, from);
}

static void read_items(struct run *r, FILE *streams, FILE *marks)
{
    char line[512];
    int at;

    while (r->streams_count < ITEMS_MAX && fgets(line, sizeof(line), streams)) {
        struct item *m = &r->streams[r->streams_count];

        if (sscanf(line, "%lf %lf %15s %n", &m->from, &m->until, m->kind, &at) == 3) {
            take_text(m, line + at);
            r->streams_count++;
        }
    }
    while (r->marks_count < ITEMS_MAX && fgets(line, sizeof(line), marks)) {
        struct item *m = &r->marks[r->marks_count];

        if (sscanf(line, "%lf %15s %n", &m->from, m->kind, &at) == 2) {
            take_text(m, line + at);
            r->marks_count++;
        }
    }
}

/* Bytes between two samples are spread over the bins that they touch. */
static void spread(double *bins, size_t count, double from, double until, double bytes)
{
    for (size_t b = (size_t)(from / BIN); b < count && (double)b * BIN < until; b++) {
        double overlap = fmin(until, ((double)b + 1) * BIN) - fmax(from, (double)b * BIN);

        if (overlap > 0)
            bins[b] += bytes * overlap / (until - from) * 8e-6 / BIN;
    }
}

static int bin_samples(struct run *r)
{
    r->start = r->samples[0].t;
    r->end = r->samples[r->samples_count - 1].t;
    r->bins = (size_t)((r->end - r->start) / BIN) + 1;
    for (int k = 0; k < 4; k++) {
        r->mbps[k] = calloc(r->bins, sizeof(double));
        if (!r->mbps[k])
            return -ENOMEM;
    }
    for (size_t i = 1; i < r->samples_count; i++) {
        const struct sample *a = &r->samples[i - 1], *b = &r->samples[i];

        for (int link = 0; link < 2 && b->t > a->t; link++) {
            spread(r->mbps[link], r->bins, a->t - r->start, b->t - r->start, fmax(b->rx[link] - a->rx[link], 0));
            spread(r->mbps[2 + link], r->bins, a->t - r->start, b->t - r->start, fmax(b->tx[link] - a->tx[link], 0));
        }
    }
    r->max_down = r->max_up = 1;
    for (size_t b = 0; b < r->bins; b++) {
        r->max_down = fmax(r->max_down, r->mbps[0][b] + r->mbps[1][b]);
        r->max_up = fmax(r->max_up, r->mbps[2][b] + r->mbps[3][b]);
    }
    r->max_down = ceil(r->max_down / 5) * 5;
    r->max_up = ceil(r->max_up / 5) * 5;
    return 0;
}

/* Each stream gets the first row that is free while it runs. */
static void give_rows(struct run *r)
{
    double busy[ROWS_MAX] = { 0 };

    for (size_t i = 0; i < r->streams_count; i++) {
        struct item *m = &r->streams[i];

        /* Long ones first within a start: they are written last, when they end. */
        for (size_t j = i + 1; j < r->streams_count; j++) {
            if (r->streams[j].from < m->from) {
                struct item swap = *m;

                *m = r->streams[j];
                r->streams[j] = swap;
            }
        }
        while (m->row + 1 < ROWS_MAX && busy[m->row] > m->from + .05)
            m->row++;
        busy[m->row] = m->until;
        r->rows = MAX(r->rows, m->row + 1);
    }
}

static double x_of(const struct run *r, double t)
{
    return LEFT + (t - r->start) / (r->end - r->start) * (WIDTH - LEFT - RIGHT);
}

static void put_text(const char *s)
{
    for (; *s; s++) {
        if (*s == '&' || *s == '<' || *s == '>')
            printf("&#%d;", *s);
        else
            putchar(*s);
    }
}

/* The area between low and low + high, in steps; sign -1 draws downwards. */
static void put_area(const struct run *r, const double *low, const double *high, double axis, double scale, int sign,
                     const char *class)
{
    printf("<path class=\"%s\" d=\"", class);
    for (size_t b = 0; b < r->bins; b++)
        printf("%s%.1f %.1fH%.1f", b ? "L" : "M", x_of(r, r->start + (double)b * BIN),
               axis - sign * ((low ? low[b] : 0) + high[b]) * scale,
               x_of(r, fmin(r->start + ((double)b + 1) * BIN, r->end)));
    for (size_t b = r->bins; b-- > 0;)
        printf("L%.1f %.1fH%.1f", x_of(r, fmin(r->start + ((double)b + 1) * BIN, r->end)),
               axis - sign * (low ? low[b] : 0) * scale, x_of(r, r->start + (double)b * BIN));
    printf("Z\"/>\n");
}

static const char style[] =
    "<style>\n"
    "text{font:13px 'Inter','Helvetica Neue','DejaVu Sans',sans-serif;fill:#3b4252}\n"
    ".title{font-size:21px;font-weight:600;fill:#1d2433}.sub{fill:#6b7486}.axis{fill:#6b7486;font-size:12px}\n"
    ".side{font-size:13px;font-weight:600}.grid{stroke:#e6e9f0;stroke-width:1}.zero{stroke:#1d2433;stroke-width:1.2}\n"
    ".wlan{fill:#2f6fde}.wwan{fill:#f0a030}\n"
    ".away{fill:#d64545;opacity:.10}.cut{stroke:#d64545;stroke-width:1.3}.cut-text{fill:#b83232;font-size:12px}\n"
    ".down{fill:#d9e5fb}.up{fill:#dcefe4}.video{fill:#eadcf7}.ssh{fill:#fbe3ea}.download{fill:#d9e5fb}\n"
    ".packets,.note{fill:#f1e7cf}.bar-text{font-size:12px;fill:#2b3242}\n"
    "</style>\n";

static void put_scale(const struct run *r, double top, double axis, double bottom, double scale)
{
    for (int i = 0; 5 * i <= fmax(r->max_down, r->max_up) + .1; i++) {
        double v = 5 * i, up = axis - v * scale, down = axis + v * scale;

        if (up >= top - .5 && v > 0)
            printf("<line class=\"grid\" x1=\"%d\" x2=\"%d\" y1=\"%.1f\" y2=\"%.1f\"/>"
                   "<text class=\"axis\" x=\"%d\" y=\"%.1f\" text-anchor=\"end\">%.0f</text>\n",
                   LEFT, WIDTH - RIGHT, up, up, LEFT - 8, up + 4, v);
        if (down <= bottom + .5)
            printf("<line class=\"grid\" x1=\"%d\" x2=\"%d\" y1=\"%.1f\" y2=\"%.1f\"/>"
                   "<text class=\"axis\" x=\"%d\" y=\"%.1f\" text-anchor=\"end\">%.0f</text>\n",
                   LEFT, WIDTH - RIGHT, down, down, LEFT - 8, down + 4, v);
    }
    for (int s = 0; s <= r->end - r->start; s += 10)
        printf("<text class=\"axis\" x=\"%.1f\" y=\"%.1f\" text-anchor=\"middle\">%d s</text>\n", x_of(r, r->start + s),
               bottom + 20, s);
}

/* Bands where the WiFi was away, each from its mark to the next `back`. Short ones have no room for a text. */
static void put_marks(const struct run *r, double top, double bottom)
{
    for (size_t i = 0; i < r->marks_count; i++) {
        const struct item *m = &r->marks[i];
        double until = r->end, x = x_of(r, m->from);

        if (strcmp(m->kind, "fault") != 0)
            continue;
        for (size_t j = i + 1; j < r->marks_count && until == r->end; j++) {
            if (strcmp(r->marks[j].kind, "back") == 0)
                until = r->marks[j].from;
        }
        printf("<rect class=\"away\" x=\"%.1f\" y=\"%.1f\" width=\"%.1f\" height=\"%.1f\"/>"
               "<line class=\"cut\" x1=\"%.1f\" x2=\"%.1f\" y1=\"%.1f\" y2=\"%.1f\"/>\n",
               x, top, x_of(r, until) - x, bottom - top, x, x, top, bottom);
        if (until - m->from > 3) {
            printf("<text class=\"cut-text\" x=\"%.1f\" y=\"%.1f\">", x + 5, bottom - 7);
            put_text(m->text);
            printf("</text>\n");
        }
    }
}

static void put_streams(const struct run *r, double top)
{
    for (size_t i = 0; i < r->streams_count; i++) {
        const struct item *m = &r->streams[i];
        double x = x_of(r, m->from), width = MAX(x_of(r, m->until) - x - 2, 1), y = top + m->row * ROW;

        printf("<g><title>");
        put_text(m->text);
        printf("</title><rect class=\"%s\" x=\"%.1f\" y=\"%.1f\" width=\"%.1f\" height=\"%d\" rx=\"4\"/>", m->kind, x,
               y, width, ROW - 4);
        /* A text that does not fit is cut, or left to the tooltip. */
        if (width > 56) {
            size_t fits = (size_t)((width - 8) / 6.3);
            struct item cut = *m;

            if (strlen(cut.text) > fits && fits < sizeof(cut.text) - 4)
                memcpy(cut.text + (fits > 1 ? fits - 1 : 0), "…", sizeof("…"));
            printf("<text class=\"bar-text\" x=\"%.1f\" y=\"%.1f\">", x + 5, y + 14);
            put_text(cut.text);
            printf("</text>");
        }
        printf("</g>\n");
    }
}

static void put_legend(double x, double y, const char *class, const char *text)
{
    printf(
        "<rect class=\"%s\" x=\"%.1f\" y=\"%.1f\" width=\"14\" height=\"14\" rx=\"3\"/><text x=\"%.1f\" y=\"%.1f\">%s"
        "</text>\n",
        class, x, y - 12, x + 20, y, text);
}

static void put_picture(const struct run *r)
{
    double rows_top = 92, top = rows_top + r->rows * ROW + 16, scale = PX_PER_MBPS, axis = top + r->max_down * scale;
    double bottom = axis + r->max_up * scale, height = bottom + 44;

    printf("<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 %d %.0f\" width=\"%d\" height=\"%.0f\">\n%s", WIDTH,
           height, WIDTH, height, style);
    printf("<rect width=\"%d\" height=\"%.0f\" fill=\"#fff\"/>\n", WIDTH, height);
    printf("<text class=\"title\" x=\"%d\" y=\"38\">One phone, two uplinks, nothing stops</text>\n", LEFT);
    printf("<text class=\"sub\" x=\"%d\" y=\"62\">All bytes on each interface of the phone, averaged over %.2f s. "
           "Above: what ran. "
           "Shaded: the WiFi was away.</text>\n",
           LEFT, BIN);
    put_legend(WIDTH - RIGHT - 390, 38, "wlan", "WiFi, 14.67 Mbit/s, 30 ms");
    put_legend(WIDTH - RIGHT - 180, 38, "wwan", "3G, 3.61 Mbit/s, 100 ms");
    put_scale(r, top, axis, bottom, scale);
    printf("<clipPath id=\"plot\"><rect x=\"%d\" y=\"%.1f\" width=\"%d\" height=\"%.1f\"/></clipPath><g "
           "clip-path=\"url(#plot)\">",
           LEFT, top, WIDTH - LEFT - RIGHT, bottom - top);
    put_area(r, NULL, r->mbps[0], axis, scale, 1, "wlan");
    put_area(r, r->mbps[0], r->mbps[1], axis, scale, 1, "wwan");
    put_area(r, NULL, r->mbps[2], axis, scale, -1, "wlan");
    put_area(r, r->mbps[2], r->mbps[3], axis, scale, -1, "wwan");
    printf("</g>\n<line class=\"zero\" x1=\"%d\" x2=\"%d\" y1=\"%.1f\" y2=\"%.1f\"/>\n", LEFT, WIDTH - RIGHT, axis,
           axis);
    put_marks(r, rows_top - 4, bottom);
    put_streams(r, rows_top);
    printf("<text class=\"side\" transform=\"translate(30 %.1f) rotate(-90)\" text-anchor=\"middle\">received, "
           "Mbit/s</text>\n",
           (top + axis) / 2);
    printf("<text class=\"side\" transform=\"translate(30 %.1f) rotate(-90)\" text-anchor=\"middle\">sent, "
           "Mbit/s</text>\n",
           (axis + bottom) / 2);
    printf("</svg>\n");
}

int main(int argc, char **argv)
{
    static struct run r;
    FILE *samples, *streams, *marks;

    if (argc != 2) {
        fputs("usage: hawser-picture DIRECTORY\n", stderr);
        return 2;
    }
    r.samples = calloc(SAMPLES_MAX, sizeof(*r.samples));
    samples = open_in(argv[1], "samples.txt");
    streams = open_in(argv[1], "streams.txt");
    marks = open_in(argv[1], "marks.txt");
    if (!r.samples || !samples || !streams || !marks)
        return 1;
    read_samples(&r, samples);
    read_items(&r, streams, marks);
    if (r.samples_count < 2 || bin_samples(&r) < 0) {
        fputs("hawser-picture: found no samples to draw\n", stderr);
        return 1;
    }
    give_rows(&r);
    put_picture(&r);
    for (int k = 0; k < 4; k++)
        free(r.mbps[k]);
    free(r.samples);
    fclose(samples);
    fclose(streams);
    fclose(marks);
    return fflush(stdout) == 0 ? 0 : 1;
}
