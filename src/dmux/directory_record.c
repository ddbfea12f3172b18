/* dmux/directory_record.c - cells, labels, and what a binding of gateways says (directory.h).
 *
 *   label     "hawser dmux service 1" | protocol 2 | provider 4 | level 1 | cell 3
 *   targets   a locator each, UDP, priority 0, weight 1
 *   details   for each target: gateway 4 | X25519 key 32 | where it is 18, as a PING says it (wire/mesh.h)
 *
 * Edges. The gateways of one cell of the smallest size are within 32 ms of each other but for their heights; a cell of
 * the next one has at most 64 of those, of which on a surface, as the Earth's, some 16 are not empty: as many as a
 * binding has room for. */
#include "dmux/directory.h"

#include <errno.h>
#include <math.h>

static const char label_start[] = "hawser dmux service 1";

#define LABEL_LEN (sizeof(label_start) - 1 + 2 + 4 + 1 + COORD_DIMENSIONS)

static const double edges_us[DIRECTORY_LEVELS - 1] = { 32000, 128000 };

#define MARGIN .25 /* chosen: of an edge: who is at a border does not go to and fro */

_Static_assert(DIRECTORY_ENTRIES_MAX *DIRECTORY_DETAILS_LEN <= RECORD_DETAILS_MAX, "a binding holds all entries");
_Static_assert((int)COORD_REACH_US / 32000 < INT8_MAX, "cells are counted in a byte");

struct directory_cell directory_cell_of(const struct coord *place, unsigned level)
{
    struct directory_cell c = { .level = (uint8_t)level };

    for (size_t i = 0; i < COORD_DIMENSIONS && level < DIRECTORY_LEVELS - 1; i++)
        c.at[i] = (int8_t)floor(place->at_us[i] / edges_us[level]);
    return c;
}

bool directory_cell_equal(const struct directory_cell *a, const struct directory_cell *b)
{
    return a->level == b->level && memcmp(a->at, b->at, sizeof(a->at)) == 0;
}

/* By how much the place is beside the cell on that axis, us; negative inside. */
static double beside_us(const struct directory_cell *c, const struct coord *place, size_t axis)
{
    double low = c->at[axis] * edges_us[c->level];

    return MAX(low - place->at_us[axis], place->at_us[axis] - low - edges_us[c->level]);
}

bool directory_cell_has(const struct directory_cell *c, const struct coord *place)
{
    for (size_t i = 0; i < COORD_DIMENSIONS && c->level < DIRECTORY_LEVELS - 1; i++) {
        if (beside_us(c, place, i) > MARGIN * edges_us[c->level])
            return false;
    }
    return true;
}

double directory_cell_distance_us(const struct directory_cell *c, const struct coord *place)
{
    double sum = 0;

    for (size_t i = 0; i < COORD_DIMENSIONS && c->level < DIRECTORY_LEVELS - 1; i++) {
        double d = MAX(beside_us(c, place, i), 0.);

        sum += d * d;
    }
    return sqrt(sum);
}

int directory_tag(const struct tag *realm, uint16_t protocol, uint32_t provider, const struct directory_cell *c,
                  struct tag *ret)
{
    uint8_t label[LABEL_LEN];
    struct writer w = writer_init(label, sizeof(label));

    write_bytes(&w, label_start, sizeof(label_start) - 1);
    write_u16(&w, protocol);
    write_u32(&w, provider);
    write_u8(&w, c->level);
    write_bytes(&w, c->at, sizeof(c->at));
    return tag_of_label(realm, label, writer_len(&w), ret);
}

size_t directory_entries_write(const struct directory_entry *entries, size_t count, struct record_target *targets,
                               uint8_t details[RECORD_DETAILS_MAX])
{
    struct writer w = writer_init(details, RECORD_DETAILS_MAX);

    for (size_t i = 0; i < count; i++) {
        const struct mesh_coord said = coord_told(&entries[i].place);

        targets[i] = (struct record_target){ .is_locator = true, .weight = 1, .locator = entries[i].at };
        write_u32(&w, entries[i].gateway);
        write_bytes(&w, entries[i].x25519, IDENT_KEY_LEN);
        mesh_put_coord(&w, &said);
    }
    return writer_len(&w);
}

static bool is_told_already(const struct directory_entry *entries, int count, uint32_t gateway)
{
    for (int i = 0; i < count; i++) {
        if (entries[i].gateway == gateway)
            return true;
    }
    return false;
}

int directory_entries_read(const struct record *r, struct directory_entry ret[DIRECTORY_ENTRIES_MAX])
{
    struct reader in = reader_init(r->details, r->details_len);
    int count = 0;

    for (; count < r->targets_count; count++) {
        const struct record_target *t = &r->targets[count];
        struct directory_entry *e = &ret[count];
        struct mesh_coord said;

        *e = (struct directory_entry){ .gateway = read_u32(&in), .at = t->locator };
        read_copy(&in, e->x25519, IDENT_KEY_LEN);
        said = mesh_get_coord(&in);
        if (in.failed || !t->is_locator || t->transport != 0 || t->priority != 0 || t->weight != 1 ||
            t->locator.addr.family != ADDR_V4 || e->gateway == 0 || is_told_already(ret, count, e->gateway) ||
            coord_heard(&said, &e->place) < 0)
            return -EBADMSG;
    }
    return reader_done(&in) ? count : -EBADMSG;
}
