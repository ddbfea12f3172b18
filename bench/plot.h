/* bench/plot.h - curves in panels side by side, as SVG. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

#define PLOT_CURVES_MAX 6
#define PLOT_TEXT_MAX 96
#define PLOT_COLUMNS 3

struct plot_point {
    double x, y;
};

struct plot_curve {
    char name[PLOT_TEXT_MAX];
    const struct plot_point *points; /* by rising x */
    size_t count;
    bool stepped; /* a cumulative distribution: from (x.min, y.min), flat between the points, on to x.max */
};

struct plot_axis {
    char label[PLOT_TEXT_MAX];
    double min, max; /* what is outside is drawn at the edge */
    unsigned parts;  /* between the lines of the grid */
    int decimals;    /* of the numbers at them */
};

struct plot_panel {
    char title[PLOT_TEXT_MAX], source[PLOT_TEXT_MAX];
    struct plot_axis x, y;
    struct plot_curve curves[PLOT_CURVES_MAX];
    size_t count;
    bool names_low;       /* the curves' names at the bottom, for curves that rise */
    struct plot_point at; /* a dashed cross: what is claimed. NAN: no line */
};

/* PLOT_COLUMNS panels in a row. Texts are our own and need no escaping. What could not be written is for the caller to
 * ask f. */
void plot_write(FILE *f, const char *title, const char *about, const struct plot_panel *panels, size_t count);
