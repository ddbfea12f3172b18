/* prog/peer_args.h - what the verbs that use a session (pipe, send, recv, ping) take from their command line.
 *
 * Each function that gives an exit code has told what is wrong when it is not EXIT_DONE. */
#pragma once

#include "base/instant.h"
#include "hawser/session.h"
#include "prog/verb.h"

#define PEER_ADDRESSES_MAX 8 /* as hws_session_connect */

/* 1..65535, or -1. */
int peer_port(const char *text);
/* A session with the key in that file (NULL: with one of its own that nobody saw before), and else as the options say.
 * An exit code. */
MUST_CHECK int peer_session(const struct verb *v, const char *key_file, struct hws_options *o,
                            struct hws_session **ret);
/* --transport: a list of names (udp, tcp, mptcp, sctp), each of which is then required of the session, and no other is
 * used. text NULL: nothing is said. An exit code. */
MUST_CHECK int peer_transports(const struct verb *v, const char *text, struct hws_options *o);
/* Its name; never NULL. */
const char *peer_transport_name(uint32_t transport);
/* Listens on that port, and tells so, with its key, on standard error. An exit code. */
MUST_CHECK int peer_listen(const struct verb *v, struct hws_session *s, int port);
/* Begins to call the peer of that public key at argv[0..count), each HOST:PORT or [HOST]:PORT. An exit code. */
MUST_CHECK int peer_call(const struct verb *v, struct hws_session *s, const char *key, char *const *argv, int count);
/* Descriptors 0 to 2 are there, if only as /dev/null: else those of a session take their places. False: not so. */
bool peer_descriptors(void);
/* One word. */
const char *peer_path_state(enum hws_path_state s);
/* SIGINT and SIGTERM come as something to read from the descriptor that is given, SIGPIPE and SIGXFSZ not at all. -1
 * after telling what is wrong. */
int peer_signals(const struct verb *v);
/* Waits for the session, a signal or `until`: 1 when a signal has come, 0, or -errno of the session. */
MUST_CHECK int peer_wait(struct hws_session *s, int signals, instant until);
/* Seconds as a decimal number: false if it is none, or not within both. */
bool peer_seconds(const char *text, double least, double most, double *ret);
/* --timeout: how long a session without a path is kept, 15 to 86400 seconds; text NULL: nothing is said. An exit code.
 */
MUST_CHECK int peer_timeout(const struct verb *v, const char *text, struct hws_options *o);
/* Index in argv[1..count] of the first that is a public key, or 0. */
int peer_find_key(char *const *argv, int count);
