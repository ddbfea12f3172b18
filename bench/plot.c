/* Draws cumulative distributions as steps, in panels. Texts are our own and need no escaping; both
 * axes go from 0 to 1. */
#include "bench/plot.h"

#define PANEL 440 /* from one panel's left edge to the next one's */
#define LEFT 64
#define RIGHT 28
#define TOP 116
#define SIDE 340 /* of the square */
#define ROW 470  /* from one row's top to the next one's */

static const char style[] =
    "<style>\n"
    "text{font:13px 'Inter','Helvetica Neue','DejaVu Sans',sans-serif;fill:#3b4252}\n"
    ".title{font-size:21px;font-weight:600;fill:#1d2433}.sub,.axis{fill:#6b7486}.axis{font-size:12px}\n"
    ".panel{font-size:15px;font-weight:600}.grid{stroke:#e6e9f0}.frame{stroke:#1d2433;fill:none}\n"
    ".claim{stroke:#d64545;stroke-dasharray:5 4}.curve{fill:none;stroke-width:2}\n"
    ".c0{stroke:#1d2433}.c1{stroke:#2f6fde}.c2{stroke:#f0a030}.c3{stroke:#2c9c69}.c4{stroke:#8a4fc9}.c5{stroke:#b83232}"
    "\n"
    "</style>\n";

/* Within a panel, whose corner is the zero. */
static double x_of(double ratio)
{
    return ratio * SIDE;
}

static double y_of(double part)
{
    return (1 - part) * SIDE;
}

static void put_axes(FILE *f)
{
    for (unsigned i = 0; i <= 5; i++) {
        double v = i / 5.;

        fprintf(f,
                "<path class=\"grid\" d=\"M0 %.1fH%dM%.1f 0V%d\"/>"
                "<text class=\"axis\" x=\"-8\" y=\"%.1f\" text-anchor=\"end\">%.1f</text>"
                "<text class=\"axis\" x=\"%.1f\" y=\"%d\" text-anchor=\"middle\">%.1f</text>\n",
                y_of(v), SIDE, x_of(v), SIDE, y_of(v) + 4, v, x_of(v), SIDE + 18, v);
    }
    fprintf(f,
            "<text class=\"axis\" x=\"%d\" y=\"%d\" text-anchor=\"middle\">discordance ratio of a host</text>"
            "<text class=\"axis\" transform=\"translate(-40 %d) rotate(-90)\" text-anchor=\"middle\">part of the "
            "hosts</text>\n",
            SIDE / 2, SIDE + 38, SIDE / 2);
}

static void put_curve(FILE *f, const struct plot_curve *c, size_t i)
{
    double y = SIDE - 16. - 18. * (double)i;

    fprintf(f, "<path class=\"curve c%zu\" d=\"M%.1f %.1f", i, x_of(0), y_of(0));
    for (size_t s = 0; s < c->count; s++)
        fprintf(f, "H%.1fV%.1f", x_of(c->steps[s].ratio), y_of(c->steps[s].part));
    fprintf(
        f,
        "H%.1f\"/><path class=\"curve c%zu\" d=\"M%d %.1fh20\"/><text x=\"%d\" y=\"%.1f\" text-anchor=\"end\">%s</text>"
        "\n",
        x_of(1), i, SIDE - 30, y - 4, SIDE - 36, y, c->name);
}

void plot_write(FILE *f, const struct plot_panel *panels, size_t count, double ratio, double part)
{
    size_t width = LEFT + (PLOT_COLUMNS - 1) * PANEL + SIDE + RIGHT;
    size_t height = TOP + (count + PLOT_COLUMNS - 1) / PLOT_COLUMNS * ROW;

    fprintf(
        f,
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 %zu %zu\" width=\"%zu\" height=\"%zu\">\n%s"
        "<rect width=\"%zu\" height=\"%zu\" fill=\"#fff\"/>\n"
        "<text class=\"title\" x=\"%d\" y=\"36\">Do two objectives choose the same path?</text>\n"
        "<text class=\"sub\" x=\"%d\" y=\"58\">Discordance ratio: the part of a host's intervals in which no path is "
        "good enough for both. Dashed: the claim, %.0f %% of the hosts at %.1f.</text>\n",
        width, height, width, height, style, width, height, LEFT, LEFT, part * 100, ratio);
    for (size_t i = 0; i < count; i++) {
        const struct plot_panel *p = &panels[i];

        fprintf(f,
                "<g transform=\"translate(%zu %zu)\"><text class=\"panel\" y=\"-28\">%s</text>"
                "<text class=\"sub\" y=\"-10\">%s</text>\n",
                LEFT + i % PLOT_COLUMNS * PANEL, TOP + i / PLOT_COLUMNS * ROW, p->title, p->source);
        put_axes(f);
        for (size_t c = 0; c < p->count; c++)
            put_curve(f, &p->curves[c], c);
        fprintf(f,
                "<path class=\"claim\" d=\"M%.1f 0V%dM0 %.1fH%d\"/>"
                "<rect class=\"frame\" width=\"%d\" height=\"%d\"/></g>\n",
                x_of(ratio), SIDE, y_of(part), SIDE, SIDE, SIDE);
    }
    fputs("</svg>\n", f);
}
