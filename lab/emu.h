/* lab/emu.h - the emulator's state and what its two files ask of each other: emu.c the packets, emu_control.c the rest.
 *
 * Everything belongs to the one process and its one thread. */
#pragma once

#include "base/text.h"
#include "lab/end.h"
#include "sim/link.h"

#define FRAME_MAX 2032
#define CLIENTS_MAX 8
#define REPLY_MAX 8192
#define HISTOGRAM_LEN (32 * 40)

struct frame {
    struct frame *next;
    uint32_t len;
    uint8_t data[FRAME_MAX];
};

struct direction {
    struct link_dir link;
    const char *name;
    uint64_t bypassed, unwritten; /* frames: not for the model; refused by the receiving interface */
};

struct histogram {
    uint64_t count, max_us;
    uint64_t buckets[HISTOGRAM_LEN];
};

struct trace_entry {
    struct trace_entry *next;
    char path[LINK_PATH_MAX];
    struct link_trace trace;
};

struct emu {
    struct end ends[2];
    struct direction dirs[2]; /* from ends[i] to the other */
    struct frame *free;
    struct trace_entry *traces; /* kept until the end: the models point into them */
    struct histogram lateness;
    const char *control_path, *report_path;
    int control_fd, names_fd, clients[CLIENTS_MAX];
    uint64_t seed;
    unsigned mtu;
    span spin;
    instant started;
    bool tun, realtime, want_realtime, carrier, stop;
};

/* CLOCK_MONOTONIC. */
instant clock_now(void);
/* Both ends have or lose their carrier. */
void carrier_set(struct emu *e, bool on);

/* Direction i takes the parameters in text if which has bit i; both change or none does. 0 or negative with err. */
int params_set(struct emu *e, unsigned which, const char *text, char err[LINK_ERROR_MAX]);
/* Counters and lateness: one line of JSON. */
void stats_json(const struct emu *e, struct text *t);
/* Listens at e->control_path. 0 or -errno. */
int control_open(struct emu *e);
void client_accept(struct emu *e);
/* Answers what client i has asked, or forgets a client that has gone. */
void client_serve(struct emu *e, size_t i);
/* `hawser-emu ctl SOCKET WORDS...`: one request to a running link; the exit code. */
int control_main(int argc, char **argv);
