/* session/fairness.h - how much the paths of a session take together of what they share with others. */
#pragma once

#include "path/cc.h"

enum fairness {
    FAIRNESS_INDEPENDENT, /* each path as a flow of its own */
    FAIRNESS_COUPLED,     /* all of them together as one flow */
    FAIRNESS_AUTO,        /* those that are found to share a bottleneck (path/sbd.h) as one flow */
    FAIRNESS_GROUPED,     /* those of one group as one flow, as the owner says: session_set_group */
};

struct fairness_options {
    enum fairness mode;
    /* Of paths that are not coupled. A coupled one is that of the others too; else theirs is OLIA. */
    enum cc congestion;
};

/* What path `self` of these is to know of them; `count` >= 1. */
struct cc_coupling fairness_couple(const struct cc_share shares[], unsigned count, unsigned self);
