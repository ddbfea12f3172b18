/* prog/pump.h - the end of `hawser run` that is no program's: carries the connections of those under it.
 *
 * Programs ask (prog/run_words.h); each connection is a relay (prog/relay.h) to a session, or to a plain connection
 * where the peer has none. For each port on which a program listens the pump takes sessions on the UDP port of that
 * number, and calls the program over loopback for each. */
#pragma once

#include "base/addr.h"
#include "prog/verb.h"

#define PUMP_PINS_MAX 64
#define PUMP_EXCLUDES_MAX 16
#define PUMP_ENV_SIZE 80

struct pump;

struct pump_options {
    const struct verb *verb; /* whose name stands before what is told */
    const char *key_file;    /* of what listens; NULL: keys of its own */
    bool verbose;            /* tells of each connection */
    struct pump_pin {
        struct endpoint at; /* port 0: any */
        const char *key;    /* text, which lives as long as the pump */
    } pins[PUMP_PINS_MAX];
    size_t pins_count;
    struct prefix excludes[PUMP_EXCLUDES_MAX]; /* programs go there themselves */
    size_t excludes_count;
    int redirect_fds[2]; /* listening sockets of prog/redirect.h, which the caller keeps; -1: none */
};

/* 0 or -errno. */
MUST_CHECK int pump_new(const struct pump_options *o, struct pump **ret);
/* Accepts NULL. Connections that are not over are reset. */
void pump_free(struct pump *p);
/* What is to stand in RUN_ENV. */
void pump_env(const struct pump *p, char ret[PUMP_ENV_SIZE]);
/* Waits until something has happened, or that descriptor is readable, or so many ms (-1: for ever), and does what is to
 * do. 1: the descriptor is readable; 0; or -errno: it is of no more use. */
MUST_CHECK int pump_process(struct pump *p, int signals, int ms);
/* Connections that are not over. */
size_t pump_count(const struct pump *p);
