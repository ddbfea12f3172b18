/* sys/http.h - requests of HTTP/1.1 as an administrator's tool makes them: a method, a path, no body (RFC 9112).
 *
 * A reader of one request's head, and the head of an answer; no sockets. One request a connection. Whoever sends a body
 * has come to the wrong place. */
#pragma once

#include "base/base.h"
#include "base/text.h"

#define HTTP_HEAD_MAX 8192   /* chosen: bytes of a request's head; a browser's has 1,000 */
#define HTTP_TARGET_MAX 1024 /* chosen: bytes of its path and its query, with a NUL each */
#define HTTP_FIELDS_MAX 64   /* chosen */

enum http_method { HTTP_GET, HTTP_HEAD, HTTP_OTHER };

struct http_request {
    enum http_method method;
    char path[HTTP_TARGET_MAX];  /* from its slash on, percent-decoded: no control characters, no NUL but the last */
    char query[HTTP_TARGET_MAX]; /* behind the ?, as it came */
};

/* The length of the head that these bytes begin with, and *ret; 0: more must come; or a status, negative: -400 not a
 * request, -413 it has a body, -414 its target is too long, -431 its head is, -501 a coding of bodies, -505 another
 * version. Looks at HTTP_HEAD_MAX bytes at most. */
MUST_CHECK int http_request_read(const char *bytes, size_t len, struct http_request *ret);
/* The value of a parameter of a query, percent-decoded; *ret of HTTP_TARGET_MAX bytes. 0; -ENOENT; -EINVAL: it is no
 * text. */
MUST_CHECK int http_query_get(const char *query, const char *key, char ret[HTTP_TARGET_MAX]);
/* The head of an answer, with its blank line. */
void http_answer_head(struct text *t, int status, const char *content_type, size_t body_len);
