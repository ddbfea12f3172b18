/* Draws curves, as lines or as steps, in panels that are all of one size. */
#include "bench/plot.h"

#include <math.h>

#include "base/base.h"

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
static double x_of(const struct plot_panel *p, double x)
{
    return (CLAMP(x, p->x.min, p->x.max) - p->x.min) / (p->x.max - p->x.min) * SIDE;
}

static double y_of(const struct plot_panel *p, double y)
{
    return SIDE - (CLAMP(y, p->y.min, p->y.max) - p->y.min) / (p->y.max - p->y.min) * SIDE;
}

static void put_axes(FILE *f, const struct plot_panel *p)
{
    for (unsigned i = 0; i <= p->y.parts; i++) {
        double v = p->y.min + (p->y.max - p->y.min) * i / p->y.parts;

        fprintf(f,
                "<path class=\"grid\" d=\"M0 %.1fH%d\"/>"
                "<text class=\"axis\" x=\"-8\" y=\"%.1f\" text-anchor=\"end\">%.*f</text>\n",
                y_of(p, v), SIDE, y_of(p, v) + 4, p->y.decimals, v);
    }
    for (unsigned i = 0; i <= p->x.parts; i++) {
        double v = p->x.min + (p->x.max - p->x.min) * i / p->x.parts;

        fprintf(f,
                "<path class=\"grid\" d=\"M%.1f 0V%d\"/>"
                "<text class=\"axis\" x=\"%.1f\" y=\"%d\" text-anchor=\"middle\">%.*f</text>\n",
                x_of(p, v), SIDE, x_of(p, v), SIDE + 18, p->x.decimals, v);
    }
    fprintf(f,
            "<text class=\"axis\" x=\"%d\" y=\"%d\" text-anchor=\"middle\">%s</text>"
            "<text class=\"axis\" transform=\"translate(-40 %d) rotate(-90)\" text-anchor=\"middle\">%s</text>\n",
            SIDE / 2, SIDE + 38, p->x.label, SIDE / 2, p->y.label);
}

static void put_curve(FILE *f, const struct plot_panel *p, size_t i)
{
    const struct plot_curve *c = &p->curves[i];
    double y = p->names_low ? SIDE - 16. - 18. * (double)i : 22. + 18. * (double)i;

    fprintf(f, "<path class=\"curve c%zu\" d=\"", i);
    if (c->stepped)
        fprintf(f, "M%.1f %.1f", x_of(p, p->x.min), y_of(p, p->y.min));
    for (size_t s = 0; s < c->count; s++) {
        const struct plot_point *at = &c->points[s];

        if (c->stepped)
            fprintf(f, "H%.1fV%.1f", x_of(p, at->x), y_of(p, at->y));
        else
            fprintf(f, "%c%.1f %.1f", s == 0 ? 'M' : 'L', x_of(p, at->x), y_of(p, at->y));
    }
    if (c->stepped)
        fprintf(f, "H%.1f", x_of(p, p->x.max));
    fprintf(f,
            "\"/><path class=\"curve c%zu\" d=\"M%d %.1fh20\"/><text x=\"%d\" y=\"%.1f\" text-anchor=\"end\">%s</text>"
            "\n",
            i, SIDE - 30, y - 4, SIDE - 36, y, c->name);
}

static void put_claim(FILE *f, const struct plot_panel *p)
{
    if (isnan(p->at.x) && isnan(p->at.y))
        return;
    fputs("<path class=\"claim\" d=\"", f);
    if (!isnan(p->at.x))
        fprintf(f, "M%.1f 0V%d", x_of(p, p->at.x), SIDE);
    if (!isnan(p->at.y))
        fprintf(f, "M0 %.1fH%d", y_of(p, p->at.y), SIDE);
    fputs("\"/>", f);
}

void plot_write(FILE *f, const char *title, const char *about, const struct plot_panel *panels, size_t count)
{
    size_t width = LEFT + (PLOT_COLUMNS - 1) * PANEL + SIDE + RIGHT;
    size_t height = TOP + (count + PLOT_COLUMNS - 1) / PLOT_COLUMNS * ROW;

    fprintf(f,
            "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 %zu %zu\" width=\"%zu\" height=\"%zu\">\n%s"
            "<rect width=\"%zu\" height=\"%zu\" fill=\"#fff\"/>\n"
            "<text class=\"title\" x=\"%d\" y=\"36\">%s</text>\n<text class=\"sub\" x=\"%d\" y=\"58\">%s</text>\n",
            width, height, width, height, style, width, height, LEFT, title, LEFT, about);
    for (size_t i = 0; i < count; i++) {
        const struct plot_panel *p = &panels[i];

        fprintf(f,
                "<g transform=\"translate(%zu %zu)\"><text class=\"panel\" y=\"-28\">%s</text>"
                "<text class=\"sub\" y=\"-10\">%s</text>\n",
                LEFT + i % PLOT_COLUMNS * PANEL, TOP + i / PLOT_COLUMNS * ROW, p->title, p->source);
        put_axes(f, p);
        for (size_t c = 0; c < p->count; c++)
            put_curve(f, p, c);
        put_claim(f, p);
        fprintf(f, "<rect class=\"frame\" width=\"%d\" height=\"%d\"/></g>\n", SIDE, SIDE);
    }
    fputs("</svg>\n", f);
}
