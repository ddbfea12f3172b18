/* lab/probe.h - what the verbs of hawser-probe share: clocks, sockets, the end of a run. */
#pragma once

#include "base/addr.h"
#include "base/instant.h"

#include <signal.h>
#include <sys/socket.h>

/* Set by SIGTERM and SIGINT: a receiver then prints what it has and ends. */
extern volatile sig_atomic_t probe_stop;

/* Nanoseconds of CLOCK_MONOTONIC: one clock for all namespaces of a machine, so that one-way delays are exact. */
int64_t probe_now_ns(void);
/* Seconds of CLOCK_REALTIME, as bash's EPOCHREALTIME. */
double probe_time(void);
/* Sleeps until then; returns early when probe_stop is set. */
void probe_sleep_until(int64_t ns);
/* A UDP socket bound to `at`, or connected to it. Negative after telling why not. */
int probe_udp_bind(const struct endpoint *at);
int probe_udp_connect(const struct endpoint *to, const struct endpoint *from);
int probe_fail(const char *what);
/* Above ordinary work and below the emulators, so that our own lateness is not taken for the network's. */
void probe_realtime(void);

/* The verbs; argv[0] is the verb. */
int probe_send(int argc, char **argv);
int probe_recv(int argc, char **argv);
int probe_video(int argc, char **argv);
int probe_echo(int argc, char **argv);
int probe_sample(int argc, char **argv);
