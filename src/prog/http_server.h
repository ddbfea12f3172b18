/* prog/http_server.h - HTTP over a Unix socket, for root and the daemon's own user: GET and HEAD, an answer a
 * connection. In a libuv loop. */
#pragma once

#include "sys/http.h"

#include <uv.h>

#define HTTP_CLIENTS_MAX 16    /* chosen: at once; a further one is closed at once */
#define HTTP_PATIENCE_MS 5000u /* chosen: for a whole request, and for an answer to be read */

struct http_server;

struct http_answer {
    int status;
    const char *content_type;
    char *body; /* malloc, the server's then; NULL: out of memory */
    size_t len;
};

/* A request whose method is GET or HEAD. */
typedef void http_on_request(void *ctx, const struct http_request *q, struct http_answer *ret);

/* 0; -EADDRINUSE: another process listens there; -ENAMETOOLONG; -errno. The socket of a killed process is replaced; a
 * file of another kind is left alone (-EADDRINUSE). */
MUST_CHECK int http_server_open(uv_loop_t *loop, const char *path, http_on_request *on_request, void *ctx,
                                struct http_server **ret);
/* Closes all; its memory goes when the loop has run on. Accepts NULL. */
void http_server_close(struct http_server *s);

/* {"error":"..."}, for an answer that is none. */
void http_answer_error(struct http_answer *a, int status, const char *error);
