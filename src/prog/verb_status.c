/* prog/verb_status.c - status: what the daemon knows, as tables.
 *
 * The daemon's document is printed as it is under --json. Otherwise: a line for the tunnel, a line for each peer, and
 * under it a table with a row for each path, each column as wide as its widest cell. The exit code says whether all is
 * well, so that a script needs no parser: 3 when a session is not up or a path that may be used is not active. */
#include "prog/json_client.h"
#include "prog/units.h"
#include "prog/verb.h"

#include <inttypes.h>
#include <stdio.h>
#include <time.h>
#include <unistd.h>

#define CELL_SIZE 64

enum column { LINK, STATE, TIER, RTT, JITTER, LOSS, QUEUE, MTU, UP, DOWN, SENT, RECEIVED, REMOTE, WHY, COLUMN_COUNT };

static const char *const headings[COLUMN_COUNT] = { "link", "state", "tier", "rtt",  "jitter",   "loss",   "queue",
                                                    "mtu",  "up",    "down", "sent", "received", "remote", "why" };

struct row {
    char cells[COLUMN_COUNT][CELL_SIZE];
};

static void set_rate(char cell[CELL_SIZE], double bps)
{
    char buf[UNIT_STRLEN];

    snprintf(cell, CELL_SIZE, "%s", bps > 0 ? rate_format((uint64_t)bps, buf) : "-");
}

static void set_bytes(char cell[CELL_SIZE], double bytes)
{
    char buf[UNIT_STRLEN];

    snprintf(cell, CELL_SIZE, "%s", bytes_format(bytes > 0 ? (uint64_t)bytes : 0, buf));
}

static void set_ms(char cell[CELL_SIZE], double ms, bool known)
{
    if (known)
        snprintf(cell, CELL_SIZE, "%.1f ms", ms);
    else
        snprintf(cell, CELL_SIZE, "-");
}

static void fill_row(struct row *row, const json_t *path)
{
    bool measured = json_number(path, "srtt_ms") > 0;
    long mtu = (long)json_number(path, "mtu");

    snprintf(row->cells[LINK], CELL_SIZE, "%s", json_text(path, "link"));
    snprintf(row->cells[STATE], CELL_SIZE, "%s", json_text(path, "state"));
    snprintf(row->cells[TIER], CELL_SIZE, "%s", json_text(path, "tier"));
    snprintf(row->cells[REMOTE], CELL_SIZE, "%s", json_text(path, "remote"));
    if (json_is_true(json_object_get(path, "degraded")))
        snprintf(row->cells[WHY], CELL_SIZE, "%s, degraded: %s", json_text(path, "transport"),
                 json_text(path, "degraded_why"));
    else
        snprintf(row->cells[WHY], CELL_SIZE, "%s", json_text(path, "why"));
    set_ms(row->cells[RTT], json_number(path, "srtt_ms"), measured);
    set_ms(row->cells[JITTER], json_number(path, "jitter_ms"), measured);
    set_ms(row->cells[QUEUE], json_number(path, "queue_ms"), measured);
    snprintf(row->cells[LOSS], CELL_SIZE, "%.1f %%", json_number(path, "loss") * 100);
    set_rate(row->cells[UP], json_number(path, "tx_rate_bps"));
    set_rate(row->cells[DOWN], json_number(path, "rx_rate_bps"));
    set_bytes(row->cells[SENT], json_number(path, "tx_bytes"));
    set_bytes(row->cells[RECEIVED], json_number(path, "rx_bytes"));
    if (mtu > 0)
        snprintf(row->cells[MTU], CELL_SIZE, "%ld", mtu);
    else
        snprintf(row->cells[MTU], CELL_SIZE, "-");
}

static void print_paths(const json_t *paths)
{
    size_t count = json_array_size(paths), width[COLUMN_COUNT] = { 0 };
    CLEANUP(cleanup_free) struct row *rows = calloc(count + 1, sizeof(*rows));

    if (!rows || count == 0)
        return;
    for (int c = 0; c < COLUMN_COUNT; c++)
        snprintf(rows[0].cells[c], CELL_SIZE, "%s", headings[c]);
    for (size_t i = 0; i < count; i++)
        fill_row(&rows[i + 1], json_array_get(paths, i));
    for (size_t i = 0; i <= count; i++) {
        for (int c = 0; c < COLUMN_COUNT; c++)
            width[c] = MAX(width[c], strlen(rows[i].cells[c]));
    }
    for (size_t i = 0; i <= count; i++) {
        printf(" ");
        for (int c = 0; c < COLUMN_COUNT; c++) {
            bool number = c >= RTT && c <= RECEIVED;

            if (c == COLUMN_COUNT - 1)
                printf(" %s\n", rows[i].cells[c]);
            else
                printf(number ? " %*s " : " %-*s ", (int)width[c], rows[i].cells[c]);
        }
    }
}

/* " LABEL a,b,c", or nothing for an empty array. */
static void print_list(const char *label, const json_t *array)
{
    for (size_t i = 0; i < json_array_size(array); i++) {
        const char *s = json_string_value(json_array_get(array, i));

        printf("%s%s", i ? "," : label, s ? s : "?");
    }
}

static void print_port_mapping(const json_t *o)
{
    const char *refused = json_text(o, "refused");
    char left[UNIT_STRLEN];

    printf("gateway %s on %s  %s %s", json_text(o, "gateway"), json_text(o, "link"), json_text(o, "protocol"),
           json_text(o, "state"));
    if (json_object_get(o, "at"))
        printf("  %s%s  %s left", json_text(o, "at"),
               json_is_true(json_object_get(o, "used")) ? "" : " (not used: no manager sees us there)",
               duration_format((span)(json_number(o, "left_s") * 1e6), left));
    printf(*refused ? "  refused: %s\n" : "%s\n", refused);
}

static void print_counters(const json_t *o)
{
    char rx[UNIT_STRLEN], tx[UNIT_STRLEN];

    printf("  received %s, sent %s", bytes_format((uint64_t)json_number(o, "rx_bytes"), rx),
           bytes_format((uint64_t)json_number(o, "tx_bytes"), tx));
}

static void print_peer(const json_t *peer)
{
    char age[UNIT_STRLEN];
    const json_t *handshake = json_object_get(peer, "handshake_age_s");
    const char *suite = json_text(peer, "suite");

    printf("\npeer %s  %s", json_text(peer, "name"), json_text(peer, "state"));
    if (*suite && strcmp(suite, "none") != 0)
        printf("  %s", suite);
    if (json_is_number(handshake) && strcmp(suite, "none") != 0)
        printf("  handshake %s ago", duration_format((span)(json_number_value(handshake) * 1e6), age));
    print_list("  ", json_object_get(peer, "addresses"));
    print_counters(peer);
    putchar('\n');
    print_paths(json_object_get(peer, "paths"));
}

static void print_status(const json_t *doc)
{
    const json_t *tun = json_object_get(doc, "tun"), *peers = json_object_get(doc, "peers"),
                 *split = json_object_get(doc, "split"), *count;
    char uptime[UNIT_STRLEN], bytes[UNIT_STRLEN];
    const char *cause, *before = "\ndropped: ";

    printf("%s  %s  up %s  pid %" PRId64 "  version %s\n", json_text(doc, "name"), json_text(doc, "role"),
           duration_format((span)(json_number(doc, "uptime_s") * 1e6), uptime), (int64_t)json_number(doc, "pid"),
           json_text(doc, "version"));
    if (tun) {
        printf("device %s  MTU %" PRId64, json_text(tun, "name"), (int64_t)json_number(tun, "mtu"));
        print_list("  ", json_object_get(tun, "addresses"));
        print_counters(tun);
        print_list("  offloads ", json_object_get(tun, "offloads"));
        putchar('\n');
    }
    if (json_number(split, "begun") > 0)
        printf("split %" PRId64 " connections now, %" PRId64 " since the start, %" PRId64 " refused  %s\n",
               (int64_t)json_number(split, "connections"), (int64_t)json_number(split, "begun"),
               (int64_t)json_number(split, "refused"), bytes_format((uint64_t)json_number(split, "bytes"), bytes));
    for (size_t i = 0; i < json_array_size(json_object_get(doc, "port_mappings")); i++)
        print_port_mapping(json_array_get(json_object_get(doc, "port_mappings"), i));
    for (size_t i = 0; i < json_array_size(peers); i++)
        print_peer(json_array_get(peers, i));
    json_object_foreach(json_object_get(doc, "drops"), cause, count)
    {
        if (json_number_value(count) > 0) {
            printf("%s%s %" PRId64, before, cause, (int64_t)json_number_value(count));
            before = ", ";
        }
    }
    if (*before == ',')
        putchar('\n');
}

static void print_known(const json_t *doc)
{
    const json_t *rows = json_object_get(doc, "known");
    char up[UNIT_STRLEN], age[UNIT_STRLEN];

    printf("%-15s %-24s %-4s %10s %10s %7s %14s %6s %s\n", "link", "remote", "over", "rtt", "jitter", "loss", "up",
           "age", "trouble");
    for (size_t i = 0; i < json_array_size(rows); i++) {
        const json_t *row = json_array_get(rows, i);
        double bps = json_number(row, "tx_rate_bps");

        printf("%-15s %-24s %-4s %7.1f ms %7.1f ms %5.1f %% %2s%12s %6s %s\n", json_text(row, "link"),
               json_text(row, "remote"), json_text(row, "transport"), json_number(row, "srtt_ms"),
               json_number(row, "jitter_ms"), json_number(row, "loss") * 100,
               bps > 0 && json_is_true(json_object_get(row, "tx_rate_is_lower_bound")) ? ">=" : "",
               bps > 0 ? rate_format((uint64_t)bps, up) : "-",
               duration_format((span)(json_number(row, "age_s") * 1e6), age), json_text(row, "trouble"));
    }
}

/* A node needs its sessions; peers of an agent or a host may be away, but those that are here should be well. */
static bool is_degraded(const json_t *doc)
{
    const json_t *peers = json_object_get(doc, "peers");
    bool node = strcmp(json_text(doc, "role"), "node") == 0;

    if (json_array_size(peers) == 0)
        return node;
    for (size_t i = 0; i < json_array_size(peers); i++) {
        const json_t *peer = json_array_get(peers, i), *paths = json_object_get(peer, "paths");
        const char *state = json_text(peer, "state");

        if (strcmp(state, "up") != 0 && (node || strcmp(state, "none") != 0))
            return true;
        for (size_t j = 0; j < json_array_size(paths); j++) {
            const json_t *path = json_array_get(paths, j);

            if (json_is_true(json_object_get(path, "degraded")) ||
                (strcmp(json_text(path, "state"), "active") != 0 && strcmp(json_text(path, "tier"), "never") != 0))
                return true;
        }
    }
    return false;
}

int verb_status(const struct verb *v, int argc, char **argv)
{
    bool as_json = false, watch = false, known = false;
    const struct verb_option options[] = {
        { "json", NULL, &as_json }, { "watch", NULL, &watch }, { "paths-known", NULL, &known }, { NULL, NULL, NULL }
    };
    int n = verb_options(v, argc, argv, options), r;

    if (n < 0)
        return EXIT_USAGE;
    if (n > 1)
        return verb_misused(v, "found %d arguments, expected one at most", n);
    do {
        CLEANUP(cleanup_json) json_t *doc = NULL;

        r = daemon_call(v, n == 1 ? argv[1] : NULL, json_pack("{s:s}", "verb", known ? "known" : "status"), &doc);
        if (r != EXIT_DONE)
            return r;
        if (watch && !as_json && isatty(STDOUT_FILENO))
            fputs("\033[H\033[2J", stdout);
        if (as_json)
            json_print(doc);
        else if (known)
            print_known(doc);
        else
            print_status(doc);
        r = !known && is_degraded(doc) ? EXIT_DEGRADED : EXIT_DONE;
        if (watch && (fflush(stdout) != 0 || nanosleep(&(struct timespec){ .tv_sec = 1 }, NULL) != 0))
            watch = false;
    } while (watch);
    return r;
}
