/* prog/verb.h - the verbs of the `hawser` command.
 *
 * A verb is a row in the table of hawser.c: help, the usage line and dispatch come from it. A verb gets its own argv
 * (argv[0] is its name) and gives back an exit code. Errors go to standard error as `hawser VERB: ...`. */
#pragma once

#include "base/base.h"

enum verb_exit {
    EXIT_DONE = 0,
    EXIT_FAILED = 1,
    EXIT_USAGE = 2,
    EXIT_DEGRADED = 3, /* status: a session or a path is not as it should be */
};

struct verb {
    const char *name;
    const char *usage;   /* what follows the name */
    const char *summary; /* one line */
    int (*run)(const struct verb *v, int argc, char **argv);
    bool needs_net_admin; /* refused, with a line that says so, without CAP_NET_ADMIN */
};

int verb_keygen(const struct verb *v, int argc, char **argv);
int verb_pubkey(const struct verb *v, int argc, char **argv);
int verb_check(const struct verb *v, int argc, char **argv);
int verb_up(const struct verb *v, int argc, char **argv);
int verb_restart(const struct verb *v, int argc, char **argv);
int verb_down(const struct verb *v, int argc, char **argv);
int verb_status(const struct verb *v, int argc, char **argv);
int verb_why(const struct verb *v, int argc, char **argv);
int verb_link(const struct verb *v, int argc, char **argv);
int verb_pipe(const struct verb *v, int argc, char **argv);
int verb_bench(const struct verb *v, int argc, char **argv);
int verb_sim(const struct verb *v, int argc, char **argv);
int verb_send(const struct verb *v, int argc, char **argv);
int verb_recv(const struct verb *v, int argc, char **argv);
int verb_ping(const struct verb *v, int argc, char **argv);
int verb_run(const struct verb *v, int argc, char **argv);
int verb_lab(const struct verb *v, int argc, char **argv);
int verb_attach(const struct verb *v, int argc, char **argv); /* of id */
int verb_id(const struct verb *v, int argc, char **argv);
int verb_realm(const struct verb *v, int argc, char **argv);
int verb_realm_status(const struct verb *v, const char *socket, bool json); /* of realm; socket may be NULL */
int verb_resolve(const struct verb *v, int argc, char **argv);
int verb_dmux(const struct verb *v, int argc, char **argv);
int verb_doctor(const struct verb *v, int argc, char **argv);

/* One line `hawser VERB: ...`. Returns EXIT_FAILED. */
int verb_fail(const struct verb *v, const char *fmt, ...) PRINTF_LIKE(2, 3);
/* The same and the usage line. Returns EXIT_USAGE. */
int verb_misused(const struct verb *v, const char *fmt, ...) PRINTF_LIKE(2, 3);
/* True if this process has the capability (CAP_* of linux/capability.h) in its effective set. */
bool verb_has_capability(unsigned capability);

/* --- options --- */

/* One option of a verb; a table ends with a NULL name. An option without a place for its value is a flag. One that may
 * be given several times stands in several rows: each value takes the first that is NULL still, or the last. */
struct verb_option {
    const char *name; /* without the dashes */
    const char **value;
    bool *flag;
};

/* Takes `--name value`, `--name=value` and flags out of argv[1..) and moves the rest down: argv[1..n], then NULL.
 * Returns n, or -1 after telling what is wrong. */
int verb_options(const struct verb *v, int argc, char **argv, const struct verb_option *options);
