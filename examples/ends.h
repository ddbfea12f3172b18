/* examples/ends.h - what the examples begin with: one end listens and prints its key, the other calls it.
 *
 *     PROGRAM listen PORT ...
 *     PROGRAM call KEY HOST PORT ...
 *
 * Each prints what went wrong and exits with 1; 2 if it was called wrongly. */
#pragma once

#include <hawser/session.h>

#include <netdb.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static inline void must(const char *what, long r)
{
    if (r >= 0)
        return;
    fprintf(stderr, "%s: %s\n", what, hws_strerror((int)r));
    exit(1);
}

static inline struct hws_session *end_listen(const struct hws_options *o, const char *port)
{
    struct hws_session *listener, *s;
    char key[HWS_KEY_SIZE];

    must("session", hws_session_socket(o, &listener));
    must("bind", hws_session_bind(listener, NULL, (uint16_t)atoi(port)));
    must("listen", hws_session_listen(listener));
    must("key", hws_session_key(listener, key));
    printf("%s\n", key);
    fflush(stdout);
    must("accept", hws_session_accept(listener, &s));
    hws_session_close(listener); /* what it accepted lives on */
    return s;
}

/* Over every uplink of this host, to each address that the name has. */
static inline struct hws_session *end_call(const struct hws_options *o, char *const args[3])
{
    const struct addrinfo hints = { .ai_socktype = SOCK_DGRAM };
    const struct sockaddr *addresses[8];
    struct addrinfo *found;
    struct hws_session *s;
    size_t count = 0;
    int r = getaddrinfo(args[1], args[2], &hints, &found);

    if (r != 0) {
        fprintf(stderr, "%s: %s\n", args[1], gai_strerror(r));
        exit(1);
    }
    for (const struct addrinfo *a = found; a && count < 8; a = a->ai_next)
        addresses[count++] = a->ai_addr;
    must("session", hws_session_socket(o, &s));
    must("connect", hws_session_connect(s, args[0], addresses, count));
    freeaddrinfo(found);
    return s;
}

/* The session, and in *rest the arguments that are the example's own: `own` of them. */
static inline struct hws_session *end_open(int argc, char **argv, int own, const char *usage,
                                           const struct hws_options *o, char ***rest, bool *listens)
{
    *listens = argc == 3 + own && strcmp(argv[1], "listen") == 0;
    if (!*listens && (argc != 5 + own || strcmp(argv[1], "call") != 0)) {
        fprintf(stderr, "usage: %s listen PORT %s\n       %s call KEY HOST PORT %s\n", argv[0], usage, argv[0], usage);
        exit(2);
    }
    *rest = argv + argc - own;
    return *listens ? end_listen(o, argv[2]) : end_call(o, argv + 2);
}
