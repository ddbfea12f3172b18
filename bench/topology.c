/* See topology.h.
 *
 * Theory of operation. POPs are cities: names in both sources are brought to small letters up to the first comma, slash
 * or bracket, and a few that have two names to one of these. Inside ISPs all distances are computed at once (Floyd and
 * Warshall). Between ISPs a path is walked: at each POP the exits to the ISPs that are one nearer to the goal are
 * compared, the nearest is taken, the first ISP on a tie. All pairs are walked once.
 *
 * Of GraphML only what the Zoo's files have is understood: start tags, their attributes, the text behind them. What is
 * not a node, an edge, a key or their data is passed over.
 *
 * Limits: those of topology.h; lines of 256 characters; a POP number has 16 bits. */
#include "bench/topology.h"

#include <ctype.h>
#include <errno.h>
#include <math.h>
#include <stdio.h>

#define LINE_MAX_BYTES 256
#define EARTH_KM 6371.
#define LATENCY_MAX_MS 10000. /* chosen: more is a mistake */

/* --- cities --- */

static void city_of(char ret[TOPOLOGY_CITY_MAX], const char *text, size_t len)
{
    static const char *const names[][2] = {
        { "firenze", "florence" },        { "torino", "turin" },
        { "iad", "washington" },          { "newyorkcity", "newyork" },
        { "washingtondc", "washington" }, { "frankfurtammain", "frankfurt" },
    };
    size_t n = 0;

    for (size_t i = 0; i < len && !strchr(",(/", text[i]); i++) {
        if (isalpha((unsigned char)text[i]) && n < TOPOLOGY_CITY_MAX - 1)
            ret[n++] = (char)tolower((unsigned char)text[i]);
    }
    ret[n] = '\0';
    for (size_t i = 0; i < ARRAY_LEN(names); i++) {
        if (strcmp(ret, names[i][0]) == 0)
            strcpy(ret, names[i][1]);
    }
}

/* The POP of a city, which is there or is made. SIZE_MAX: no room. */
static size_t pop_of(struct topology_isp *isp, const char *city)
{
    for (size_t i = 0; i < isp->count; i++) {
        if (strcmp(isp->pops[i].city, city) == 0)
            return i;
    }
    if (isp->count == TOPOLOGY_ISP_POPS_MAX)
        return SIZE_MAX;
    isp->pops[isp->count] = (struct topology_pop){ .latitude = NAN, .longitude = NAN };
    snprintf(isp->pops[isp->count].city, TOPOLOGY_CITY_MAX, "%s", city);
    return isp->count++;
}

/* --- inside an ISP --- */

/* While it is read the matrix has room for all; the first call makes it. */
static int isp_link(struct topology_isp *isp, size_t a, size_t b, float ms)
{
    float *there;

    if (!isp->ms) {
        isp->ms = malloc(sizeof(*isp->ms) * TOPOLOGY_ISP_POPS_MAX * TOPOLOGY_ISP_POPS_MAX);
        if (!isp->ms)
            return -ENOMEM;
        for (size_t i = 0; i < TOPOLOGY_ISP_POPS_MAX * TOPOLOGY_ISP_POPS_MAX; i++)
            isp->ms[i] = i / TOPOLOGY_ISP_POPS_MAX == i % TOPOLOGY_ISP_POPS_MAX ? 0 : INFINITY;
    }
    there = &isp->ms[a * TOPOLOGY_ISP_POPS_MAX + b];
    *there = MIN(*there, ms);
    isp->ms[b * TOPOLOGY_ISP_POPS_MAX + a] = *there;
    return 0;
}

/* All distances, and of the POPs those that hang together with the most. */
static void isp_close(struct topology_isp *isp)
{
    const size_t side = TOPOLOGY_ISP_POPS_MAX;
    size_t best = 0, best_joined = 0, kept[TOPOLOGY_ISP_POPS_MAX], count = 0;
    float *d = isp->ms;

    for (size_t k = 0; k < isp->count; k++) {
        for (size_t i = 0; i < isp->count; i++) {
            for (size_t j = 0; j < isp->count; j++)
                d[i * side + j] = MIN(d[i * side + j], d[i * side + k] + d[k * side + j]);
        }
    }
    for (size_t i = 0; i < isp->count; i++) {
        size_t joined = 0;

        for (size_t j = 0; j < isp->count; j++)
            joined += isfinite(d[i * side + j]);
        if (joined > best_joined) {
            best = i;
            best_joined = joined;
        }
    }
    for (size_t i = 0; i < isp->count; i++) {
        if (isfinite(d[best * side + i]))
            kept[count++] = i;
    }
    /* Forward in place: what is written was read before. */
    for (size_t i = 0; i < count; i++) {
        isp->pops[i] = isp->pops[kept[i]];
        for (size_t j = 0; j < count; j++)
            d[i * count + j] = d[kept[i] * side + kept[j]];
    }
    isp->count = count;
}

void topology_isp_deinit(struct topology_isp *isp)
{
    free(isp->ms);
    isp->ms = NULL;
    isp->count = 0;
}

static int ends(struct topology_isp *isp, int r, const char *name, char *err)
{
    if (r == 0 && !isp->ms) {
        snprintf(err, TOPOLOGY_ERROR_MAX, "%.200s: found no link, expected some", name);
        r = -EINVAL;
    }
    if (r == 0)
        isp_close(isp);
    else
        topology_isp_deinit(isp);
    return r;
}

/* --- Rocketfuel --- */

static int rocketfuel_line(struct topology_isp *isp, const char *line, const char *name, unsigned long number,
                           char *err)
{
    char city[TOPOLOGY_CITY_MAX];
    size_t pops[2];
    const char *at = line;
    double ms;
    char *end;

    for (size_t i = 0; i < 2; i++) {
        size_t len = strcspn(at, " \t");

        city_of(city, at, len);
        pops[i] = *city ? pop_of(isp, city) : SIZE_MAX;
        at += len;
        at += strspn(at, " \t");
        if (pops[i] == SIZE_MAX)
            break;
    }
    ms = pops[0] == SIZE_MAX || pops[1] == SIZE_MAX || !isdigit((unsigned char)*at) ? -1 : strtod(at, &end);
    if (ms < 0 || *end != '\0' || !(ms <= LATENCY_MAX_MS)) {
        snprintf(err, TOPOLOGY_ERROR_MAX, "%.150s:%lu: found %.60s, expected two cities, at most %d in all, and ms",
                 name, number, line, TOPOLOGY_ISP_POPS_MAX);
        return -EINVAL;
    }
    return isp_link(isp, pops[0], pops[1], pops[0] == pops[1] ? 0 : (float)ms);
}

int topology_read_rocketfuel(struct topology_isp *ret, const char *text, size_t len, const char *name,
                             char err[TOPOLOGY_ERROR_MAX])
{
    const char *end = text + len;
    unsigned long number = 0;
    int r = 0;

    *ret = (struct topology_isp){ 0 };
    while (text < end && r == 0) {
        const char *stop = memchr(text, '\n', (size_t)(end - text));
        size_t n = (size_t)((stop ? stop : end) - text);
        char line[LINE_MAX_BYTES];

        number++;
        if (n >= sizeof(line) || memchr(text, '\0', n)) {
            snprintf(err, TOPOLOGY_ERROR_MAX, "%.200s:%lu: found no line of text of less than 256 characters", name,
                     number);
            r = -EINVAL;
            break;
        }
        memcpy(line, text, n);
        line[n] = '\0';
        r = rocketfuel_line(ret, line, name, number, err);
        text += n + 1;
    }
    return ends(ret, r, name, err);
}

/* --- GraphML --- */

#define NODES_MAX 1024
#define KEY_MAX 8

struct graph {
    char label[KEY_MAX], latitude[KEY_MAX], longitude[KEY_MAX]; /* ids of the keys of nodes */
    struct {
        long id;
        size_t pop; /* SIZE_MAX: not positioned */
    } nodes[NODES_MAX];
    size_t count;
    char city[TOPOLOGY_CITY_MAX]; /* of the node that is read */
    double at[2];
    bool in_node;
};

/* The value of an attribute of a tag; NULL: none. */
static const char *attribute(const char *tag, const char *end, const char *name, size_t *ret_len)
{
    size_t len = strlen(name);

    for (const char *at = tag; at + len + 2 < end; at++) {
        if (isspace((unsigned char)*at) && memcmp(at + 1, name, len) == 0 && at[len + 1] == '=' && at[len + 2] == '"') {
            const char *value = at + len + 3, *quote = memchr(value, '"', (size_t)(end - value));

            *ret_len = quote ? (size_t)(quote - value) : 0;
            return quote ? value : NULL;
        }
    }
    return NULL;
}

static bool attribute_is(const char *tag, const char *end, const char *name, const char *value)
{
    size_t len;
    const char *there = attribute(tag, end, name, &len);

    return there && len == strlen(value) && memcmp(there, value, len) == 0;
}

static bool attribute_number(const char *tag, const char *end, const char *name, long *ret)
{
    char text[16];
    size_t len;
    const char *there = attribute(tag, end, name, &len);

    if (!there || len == 0 || len >= sizeof(text) || !isdigit((unsigned char)*there))
        return false;
    memcpy(text, there, len);
    text[len] = '\0';
    *ret = strtol(text, NULL, 10);
    return true;
}

static void on_key(struct graph *g, const char *tag, const char *end)
{
    static const char *const names[] = { "label", "Latitude", "Longitude" };
    char *const ids[] = { g->label, g->latitude, g->longitude };
    size_t len;
    const char *id = attribute(tag, end, "id", &len);

    for (size_t i = 0; i < ARRAY_LEN(names); i++) {
        if (id && len < KEY_MAX && attribute_is(tag, end, "for", "node") &&
            attribute_is(tag, end, "attr.name", names[i])) {
            memcpy(ids[i], id, len);
            ids[i][len] = '\0';
        }
    }
}

static double angle(const char *text, size_t len, double limit)
{
    char copy[32], *end;
    double v;

    if (len == 0 || len >= sizeof(copy))
        return NAN;
    memcpy(copy, text, len);
    copy[len] = '\0';
    v = strtod(copy, &end);
    return *end == '\0' && fabs(v) <= limit ? v : NAN;
}

static void on_data(struct graph *g, const char *tag, const char *end, const char *text, size_t len)
{
    if (!g->in_node)
        return;
    if (*g->label && attribute_is(tag, end, "key", g->label))
        city_of(g->city, text, len);
    else if (*g->latitude && attribute_is(tag, end, "key", g->latitude))
        g->at[0] = angle(text, len, 90);
    else if (*g->longitude && attribute_is(tag, end, "key", g->longitude))
        g->at[1] = angle(text, len, 180);
}

/* The node that was read ends: a POP, if it has a city and a place. */
static void end_node(struct graph *g, struct topology_isp *isp)
{
    size_t pop = SIZE_MAX;

    if (!g->in_node)
        return;
    g->in_node = false;
    if (*g->city && !isnan(g->at[0]) && !isnan(g->at[1]))
        pop = pop_of(isp, g->city);
    if (pop != SIZE_MAX && isnan(isp->pops[pop].latitude)) {
        isp->pops[pop].latitude = g->at[0];
        isp->pops[pop].longitude = g->at[1];
    }
    g->nodes[g->count++].pop = pop;
}

static double km_between(const struct topology_pop *a, const struct topology_pop *b)
{
    const double rad = M_PI / 180;
    double dlat = (b->latitude - a->latitude) * rad, dlon = (b->longitude - a->longitude) * rad;
    double h = pow(sin(dlat / 2), 2) + cos(a->latitude * rad) * cos(b->latitude * rad) * pow(sin(dlon / 2), 2);

    return 2 * EARTH_KM * asin(sqrt(MIN(h, 1)));
}

static int on_edge(const struct graph *g, struct topology_isp *isp, const char *tag, const char *end)
{
    size_t pops[2] = { SIZE_MAX, SIZE_MAX };
    long ids[2];

    if (!attribute_number(tag, end, "source", &ids[0]) || !attribute_number(tag, end, "target", &ids[1]))
        return 0;
    for (size_t i = 0; i < g->count; i++) {
        for (size_t k = 0; k < 2; k++)
            pops[k] = g->nodes[i].id == ids[k] ? g->nodes[i].pop : pops[k];
    }
    if (pops[0] == SIZE_MAX || pops[1] == SIZE_MAX || pops[0] == pops[1])
        return 0;
    return isp_link(isp, pops[0], pops[1],
                    (float)MAX(1, round(km_between(&isp->pops[pops[0]], &isp->pops[pops[1]]) / TOPOLOGY_KM_A_MS)));
}

static bool tag_is(const char *tag, const char *end, const char *name)
{
    size_t len = strlen(name);

    return (size_t)(end - tag) >= len && memcmp(tag, name, len) == 0 &&
           (tag + len == end || isspace((unsigned char)tag[len]) || tag[len] == '/');
}

int topology_read_graphml(struct topology_isp *ret, const char *text, size_t len, const char *name,
                          char err[TOPOLOGY_ERROR_MAX])
{
    CLEANUP(cleanup_free) struct graph *g = calloc(1, sizeof(*g));
    const char *stop = text + len, *tag = text;
    int r = g ? 0 : -ENOMEM;

    *ret = (struct topology_isp){ 0 };
    while (r == 0 && (tag = memchr(tag, '<', (size_t)(stop - tag)))) {
        const char *end, *next;

        tag++;
        end = memchr(tag, '>', (size_t)(stop - tag));
        if (!end)
            break;
        next = memchr(end, '<', (size_t)(stop - end));
        if (tag_is(tag, end, "key")) {
            on_key(g, tag, end);
        } else if (tag_is(tag, end, "node")) {
            end_node(g, ret);
            g->city[0] = '\0';
            g->at[0] = g->at[1] = NAN;
            g->in_node = g->count < NODES_MAX && attribute_number(tag, end, "id", &g->nodes[g->count].id);
        } else if (tag_is(tag, end, "/node")) {
            end_node(g, ret);
        } else if (tag_is(tag, end, "data")) {
            on_data(g, tag, end, end + 1, (size_t)((next ? next : stop) - end - 1));
        } else if (tag_is(tag, end, "edge")) {
            end_node(g, ret);
            r = on_edge(g, ret, tag, end);
        }
        tag = end;
    }
    return ends(ret, r, name, err);
}

/* --- between ISPs --- */

struct walk {
    size_t pop;
    float ms;
};

/* One step towards an ISP that is `hops_to` away, by that table. False: no way. */
static bool step(const struct topology *t, struct walk *w, const uint8_t *hops_to)
{
    size_t isp = t->isp_of[w->pop], best = SIZE_MAX;
    float best_ms = INFINITY;

    for (size_t n = 0; n < t->isps; n++) {
        float ms = t->exit_ms[w->pop * t->isps + n];

        if (hops_to[isp] != UINT8_MAX && hops_to[n] + 1 == hops_to[isp] && ms < best_ms) {
            best = n;
            best_ms = ms;
        }
    }
    if (best == SIZE_MAX)
        return false;
    w->ms += best_ms + (float)TOPOLOGY_MEET_MS;
    w->pop = t->exit_to[w->pop * t->isps + best];
    return true;
}

static void find_exits(struct topology *t, const struct topology_isp *isps, const size_t *first)
{
    for (size_t a = 0; a < t->isps; a++) {
        for (size_t b = 0; b < t->isps; b++) {
            for (size_t i = 0; i < isps[a].count && a != b; i++) {
                for (size_t k = 0; k < isps[b].count; k++) {
                    if (strcmp(isps[a].pops[i].city, isps[b].pops[k].city) != 0)
                        continue;
                    t->hops[a][b] = 1;
                    for (size_t p = 0; p < isps[a].count; p++) {
                        size_t at = (first[a] + p) * t->isps + b;

                        if (isps[a].ms[p * isps[a].count + i] < t->exit_ms[at]) {
                            t->exit_ms[at] = isps[a].ms[p * isps[a].count + i];
                            t->exit_to[at] = (uint16_t)(first[b] + k);
                        }
                    }
                }
            }
        }
    }
}

static void find_hops(struct topology *t)
{
    for (size_t k = 0; k < t->isps; k++) {
        for (size_t i = 0; i < t->isps; i++) {
            for (size_t j = 0; j < t->isps; j++) {
                unsigned by = (unsigned)t->hops[i][k] + t->hops[k][j];

                if (by < t->hops[i][j])
                    t->hops[i][j] = (uint8_t)by;
            }
        }
    }
}

static void find_paths(struct topology *t, const struct topology_isp *isps, const size_t *first)
{
    for (size_t from = 0; from < t->pops; from++) {
        for (size_t b = 0; b < t->isps; b++) {
            uint8_t hops_to[TOPOLOGY_ISPS_MAX];
            struct walk w = { .pop = from };
            bool there = true;

            for (size_t n = 0; n < t->isps; n++)
                hops_to[n] = t->hops[n][b];
            while (there && t->isp_of[w.pop] != b)
                there = step(t, &w, hops_to);
            for (size_t k = 0; k < isps[b].count; k++)
                t->ms[from * t->pops + first[b] + k] =
                    there ? w.ms + isps[b].ms[(w.pop - first[b]) * isps[b].count + k] : INFINITY;
        }
    }
}

int topology_init(struct topology *t, const struct topology_isp *isps, size_t count)
{
    size_t first[TOPOLOGY_ISPS_MAX];

    *t = (struct topology){ .isps = count };
    for (size_t i = 0; i < count; i++) {
        first[i] = t->pops;
        t->pops += isps[i].count;
    }
    t->isp_of = calloc(t->pops, sizeof(*t->isp_of));
    t->ms = calloc(t->pops * t->pops, sizeof(*t->ms));
    t->exit_ms = calloc(t->pops * count, sizeof(*t->exit_ms));
    t->exit_to = calloc(t->pops * count, sizeof(*t->exit_to));
    if (!t->isp_of || !t->ms || !t->exit_ms || !t->exit_to) {
        topology_deinit(t);
        return -ENOMEM;
    }
    for (size_t i = 0; i < count; i++) {
        for (size_t k = 0; k < isps[i].count; k++)
            t->isp_of[first[i] + k] = (uint8_t)i;
        for (size_t k = 0; k < count; k++)
            t->hops[i][k] = i == k ? 0 : UINT8_MAX;
    }
    for (size_t i = 0; i < t->pops * count; i++)
        t->exit_ms[i] = INFINITY;
    find_exits(t, isps, first);
    find_hops(t);
    find_paths(t, isps, first);
    return 0;
}

void topology_deinit(struct topology *t)
{
    free(t->isp_of);
    free(t->ms);
    free(t->exit_ms);
    free(t->exit_to);
    *t = (struct topology){ 0 };
}

size_t topology_anycast(const struct topology *t, size_t from, const uint16_t *at, size_t count)
{
    uint8_t hops_to[TOPOLOGY_ISPS_MAX];
    struct walk w = { .pop = from };
    size_t best = SIZE_MAX;
    float best_ms = INFINITY;

    memset(hops_to, UINT8_MAX, sizeof(hops_to));
    for (size_t i = 0; i < count; i++) {
        for (size_t n = 0; n < t->isps; n++)
            hops_to[n] = MIN(hops_to[n], t->hops[n][t->isp_of[at[i]]]);
    }
    while (hops_to[t->isp_of[w.pop]] != 0) {
        if (!step(t, &w, hops_to))
            return SIZE_MAX;
    }
    for (size_t i = 0; i < count; i++) {
        if (t->isp_of[at[i]] == t->isp_of[w.pop] && topology_ms(t, w.pop, at[i]) < best_ms) {
            best = at[i];
            best_ms = topology_ms(t, w.pop, at[i]);
        }
    }
    return best;
}
