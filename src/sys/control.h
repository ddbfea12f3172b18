/* sys/control.h - the daemon's local control socket, and the call that a command makes to it.
 *
 * A Unix stream socket, mode 0600. Only root and the daemon's own user are heard, by the kernel's word; or one that all
 * users may ask, mode 0666, which says who does. A request is
 * one line; an answer is one line, or several where the request says so (a running display). What the lines mean is the
 * program's business. A client that shuts down its sending side gets one line for each request that it sent, and is
 * then closed; for a running display it keeps its side open.
 *
 * The daemon polls control_fd for reading, calls control_process, then pops requests until there are none. Any number
 * of descriptors is behind that one. */
#pragma once

#include <sys/types.h>

#include "base/base.h"
#include "base/instant.h"

#define CONTROL_CLIENTS_MAX 16            /* at once; a further one is closed at once */
#define CONTROL_CLIENTS_OF_USER 4         /* of those, of one user but root and the daemon's own */
#define CONTROL_LINE_MAX 4096             /* bytes of a request with its newline */
#define CONTROL_KNOWN "/run/hawser/known" /* what is known of paths, for all users: prog/known.c */
/* Bytes of answers that a client has not read; then it is closed. Chosen: the status of 4,096 peers, 8 paths each. */
#define CONTROL_PENDING_MAX (32 << 20)

struct control;

struct control_request {
    uint64_t client;  /* never used again for another client */
    const char *line; /* without its newline; valid until the next call on this control socket */
    uid_t uid;        /* whose it is, by the kernel's word */
};

/* 0; -EADDRINUSE (another process listens there); -ENAMETOOLONG (a path of more than 107 bytes) or another -errno. The
 * socket file of a killed process is recognised, since nobody answers on it, and replaced; a file of another kind is
 * left alone (-EADDRINUSE). */
MUST_CHECK int control_open(const char *path, struct control **ret);
/* The same, for every user of the machine. */
MUST_CHECK int control_open_to_all(const char *path, struct control **ret);
/* Accepts NULL. Closes the clients and removes the socket file if it is still ours. */
void control_free(struct control *c);
int control_fd(const struct control *c);
/* Accepts clients, reads requests and writes what is left of answers. 0 or -errno: the socket is of no more use. */
int control_process(struct control *c);
/* True with *ret filled, or false: no complete request is waiting. */
bool control_pop_request(struct control *c, struct control_request *ret);
/* Sends text and a newline to the client, now or as it reads. 0, -ENOTCONN (gone meanwhile), -ENOBUFS (it does not
 * read; it is closed) or -ENOMEM. */
int control_reply(struct control *c, uint64_t client, const char *text);
size_t control_clients_count(const struct control *c);

/* The command's side: connects. A blocking descriptor that the caller closes, or -errno (-ENOENT, -ECONNREFUSED: no
 * daemon). */
int control_connect(const char *path);
/* The command's side: one request, one line of answer into buf without its newline. Its length; -ETIMEDOUT; -EPIPE (the
 * daemon went away); -EMSGSIZE (the answer is longer than size - 1) or another -errno. */
int control_call(const char *path, const char *line, char *buf, size_t size, span timeout);
