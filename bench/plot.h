/* bench/plot.h - distributions of discordance ratios side by side, as SVG. */
#pragma once

#include <stdio.h>

#include "bench/discord.h"

#define PLOT_CURVES_MAX 6
#define PLOT_TEXT_MAX 96
#define PLOT_COLUMNS 3

struct plot_curve {
    char name[PLOT_TEXT_MAX];
    const struct discord_step *steps;
    size_t count;
};

struct plot_panel {
    char title[PLOT_TEXT_MAX], source[PLOT_TEXT_MAX];
    struct plot_curve curves[PLOT_CURVES_MAX];
    size_t count;
};

/* PLOT_COLUMNS in a row. A dashed cross in each panel: at least `part` of the hosts have at most `ratio`. What could
 * not be written is for the caller to ask f. */
void plot_write(FILE *f, const struct plot_panel *panels, size_t count, double ratio, double part);
