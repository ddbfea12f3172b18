/* Random schedules of faults: see faults.h.
 *
 * Theory of operation. Beginnings come after exponential gaps; each fault lasts 20 ms to 8 s, more often short than
 * long. The end of a fault takes back the link parameters of that fault alone and, where several of one kind overlap on
 * an uplink, only when the last has ended. All is over at the schedule's end: what follows is a healthy world. */
#include "sim/faults.h"

#include <assert.h>
#include <math.h>
#include <stdio.h>

#define LAST_MIN (20 * MSEC)
#define LAST_MAX (8 * SEC)

static const char *fault_name(enum fault f)
{
    static const char *const names[FAULT_COUNT] = {
        "carrier", "blackhole", "half",   "loss",  "bursts", "rate", "delay",   "reorder", "duplicate", "corrupt",
        "refused", "rebind",    "moving", "agent", "node",   "all",  "leaving", "tier",    "steer",     "udp",
    };
    return f < FAULT_COUNT ? names[f] : "?";
}

static double percent(struct prng *p, double max)
{
    return prng_unit(p) * max;
}

/* What it does to a link, or to the steering table. */
static void describe(struct fault_step *s, struct prng *p)
{
    static const char *const modes[] = { "stripe",       "active-standby", "smallest-delay",
                                         "load-balance", "priority",       "redundant" };
    char *text = s->text;
    size_t size = sizeof(s->text);

    switch (s->fault) {
    case FAULT_LOSS:
        snprintf(text, size, "loss=%.2f%%", percent(p, 30));
        break;
    case FAULT_BURSTS:
        snprintf(text, size, "ge=%.4f,%.3f", 0.001 + prng_unit(p) * 0.03, 0.03 + prng_unit(p) * 0.4);
        break;
    case FAULT_RATE:
        snprintf(text, size, "rate=%.0fkbit", 200 * pow(100, prng_unit(p)));
        break;
    case FAULT_DELAY:
        snprintf(text, size, "delay=%.0fms", pow(300, prng_unit(p)));
        break;
    case FAULT_REORDER:
        snprintf(text, size, "jitter=%.1fms reorder=1", 0.5 + prng_unit(p) * 20);
        break;
    case FAULT_DUPLICATE:
        snprintf(text, size, "dup=%.2f%%", percent(p, 30));
        break;
    case FAULT_CORRUPT:
        snprintf(text, size, "corrupt=%.2f%%", percent(p, 5));
        break;
    case FAULT_HALF:
        snprintf(text, size, "%s", prng_below(p, 2) ? "up" : "down");
        break;
    case FAULT_TIER:
        snprintf(text, size, "%u", (unsigned)prng_below(p, TIER_NEVER));
        break;
    case FAULT_UDP:
        snprintf(text, size, "%u", prng_below(p, 2) ? 100u : 60u);
        break;
    case FAULT_STEER:
        snprintf(text, size, "default mode %s", modes[prng_below(p, ARRAY_LEN(modes))]);
        break;
    default:
        break;
    }
}

static int by_time(const void *a, const void *b)
{
    const struct fault_step *x = a, *y = b;

    if (x->at != y->at)
        return x->at < y->at ? -1 : 1;
    return (int)x->fault - (int)y->fault;
}

static void fire(struct world *w, struct world_source *s);

void faults_init(struct faults *f, struct world_end *node, struct world_end *agent, const struct fault_options *o)
{
    struct world *w = node->world;
    instant at = w->now, end = w->now + o->length;
    struct prng p;

    *f = (struct faults){ .world = w, .node = node, .agent = agent, .healthy = o->healthy };
    prng_init(&p, o->seed ^ 0x6661756c7473u);
    for (;;) {
        struct fault_step s = { .begins = true };
        double length;

        at += (span)(-log(1 - prng_unit(&p)) * (double)o->mean_gap);
        if (at >= end || f->count + 2 > FAULT_STEPS_MAX)
            break;
        s.at = at;
        s.fault = (uint8_t)prng_below(&p, FAULT_COUNT);
        s.uplink = (uint8_t)prng_below(&p, node->uplinks_count);
        describe(&s, &p);
        length = (double)LAST_MIN * pow((double)LAST_MAX / (double)LAST_MIN, prng_unit(&p));
        if (o->without & 1u << s.fault)
            continue;
        f->steps[f->count++] = s;
        s.begins = false;
        s.at = MIN(at + (span)length, end);
        f->steps[f->count++] = s;
    }
    qsort(f->steps, f->count, sizeof(f->steps[0]), by_time);
    world_source_init(w, &f->source, fire);
    world_schedule(w, &f->source, f->count > 0 ? f->steps[0].at : INSTANT_NEVER);
}

/* Takes back what one kind of fault changed. */
static const char *undo(enum fault f)
{
    switch (f) {
    case FAULT_LOSS:
        return "loss=0";
    case FAULT_BURSTS:
        return "ge=0";
    case FAULT_REORDER:
        return "jitter=0 reorder=0";
    case FAULT_DUPLICATE:
        return "dup=0";
    case FAULT_CORRUPT:
        return "corrupt=0";
    case FAULT_BLACKHOLE:
        return "blackhole=0";
    default:
        return NULL;
    }
}

static void carrier(struct faults *f, const struct fault_step *s)
{
    for (unsigned i = 0; i < f->node->uplinks_count; i++) {
        bool lost = f->depth[i][FAULT_CARRIER] > 0 || f->depth[0][FAULT_ALL_GONE] > 0;

        if (world_uplink(f->node, i)->spec.up == lost)
            world_carrier(world_uplink(f->node, i), !lost);
    }
}

static void blackholes(struct faults *f, struct world_uplink *u, const struct fault_step *s)
{
    bool whole = f->depth[s->uplink][FAULT_BLACKHOLE] > 0, half = f->depth[s->uplink][FAULT_HALF] > 0;
    bool up = whole || (half && (s->fault != FAULT_HALF || strcmp(s->text, "up") == 0));
    bool down = whole || (half && (s->fault != FAULT_HALF || strcmp(s->text, "down") == 0));

    world_link_dir(&u->up, up ? "blackhole=1" : "blackhole=0");
    world_link_dir(&u->down, down ? "blackhole=1" : "blackhole=0");
}

static void program(struct world_end *e, const struct fault_step *s, unsigned depth)
{
    /* Long faults are a machine that is down, short ones a program that is replaced. */
    if (s->begins && depth == 1)
        world_stop(e);
    else if (!s->begins && depth == 0)
        world_restart(e);
}

static void notice(struct faults *f, struct world_uplink *u, const struct fault_step *s, unsigned depth)
{
    if (s->fault == FAULT_LEAVING)
        u->spec.leaving = depth > 0;
    else
        u->spec.tier = depth > 0 ? (uint8_t)(s->text[0] - '0') : TIER_PRIMARY;
    world_uplink_tell(u);
}

static void carry_out(struct faults *f, const struct fault_step *s)
{
    struct world_uplink *u = world_uplink(f->node, s->uplink);
    unsigned *depth = &f->depth[s->fault == FAULT_ALL_GONE || s->fault == FAULT_AGENT || s->fault == FAULT_NODE ||
                                        s->fault == FAULT_STEER
                                    ? 0
                                    : s->uplink][s->fault];

    *depth += s->begins ? 1u : -1u;
    f->happened[s->fault] += s->begins;
    switch ((enum fault)s->fault) {
    case FAULT_CARRIER:
    case FAULT_ALL_GONE:
        carrier(f, s);
        break;
    case FAULT_BLACKHOLE:
    case FAULT_HALF:
        blackholes(f, u, s);
        break;
    case FAULT_RATE:
    case FAULT_DELAY:
        if (s->begins || *depth == 0)
            world_link(u, s->begins ? s->text : f->healthy);
        break;
    case FAULT_SEND_ERROR:
        u->send_error = *depth > 0;
        break;
    case FAULT_REBIND:
        if (s->begins)
            world_nat_rebind(u);
        break;
    case FAULT_MOVE:
        if (s->begins)
            world_uplink_move(u);
        break;
    case FAULT_AGENT:
        program(f->agent, s, *depth);
        break;
    case FAULT_NODE:
        program(f->node, s, *depth);
        break;
    case FAULT_LEAVING:
    case FAULT_TIER:
        notice(f, u, s, *depth);
        break;
    case FAULT_UDP:
        if (s->begins || *depth == 0)
            u->udp_lost_percent = s->begins ? (unsigned)strtoul(s->text, NULL, 10) : 0;
        break;
    case FAULT_STEER:
        if (f->node->node && (s->begins || *depth == 0))
            world_steer(f->node, s->begins ? s->text : "default mode stripe");
        break;
    default:
        if (s->begins || *depth == 0)
            world_link(u, s->begins ? s->text[0] ? s->text : "blackhole=1" : undo(s->fault));
        break;
    }
}

static void fire(struct world *w, struct world_source *source)
{
    struct faults *f = CONTAINER_OF(source, struct faults, source);
    const struct fault_step *s = &f->steps[f->next++];

    if (f->log) {
        char line[200];

        snprintf(line, sizeof(line), "%9.3f s %-9s %s uplink %u %s", (double)(w->now - WORLD_START) / SEC,
                 fault_name(s->fault), s->begins ? "begins" : "ends  ", s->uplink + 1, s->text);
        f->log(line);
    }
    carry_out(f, s);
    world_schedule(w, source, f->next < f->count ? f->steps[f->next].at : INSTANT_NEVER);
}
