/* prog/json_client.h - one question to a running daemon: a line of JSON each way over its control socket. */
#pragma once

#include "base/instant.h"
#include "prog/verb.h"

#include <jansson.h>

#define DAEMON_DIR "/run/hawser"
#define DAEMON_TIMEOUT (5 * SEC) /* chosen: a daemon answers in milliseconds or not at all */

/* The socket of a tunnel: of the one named, a path when the name has a slash, else $HAWSER_CONTROL, else the only
 * one in DAEMON_DIR. 0 and a path, or an exit code after telling what is wrong. */
int daemon_find(const struct verb *v, const char *name, char *path, size_t size);
/* 0 and *ret (owned by the caller), -errno when nobody answers, -EBADMSG when the answer is not JSON. */
int daemon_ask(const char *path, json_t *question, json_t **ret);
/* daemon_find and daemon_ask; the question's reference is taken. An answer with "ok": false is told. EXIT_DONE and
 * *ret, or another exit code. */
int daemon_call(const struct verb *v, const char *name, json_t *question, json_t **ret);

static inline void cleanup_json(json_t **j)
{
    json_decref(*j);
}

/* Members of an object; what is missing or of another type is empty or 0. */
const char *json_text(const json_t *o, const char *key);
double json_number(const json_t *o, const char *key);
/* A string; null when it is no UTF-8, which JSON cannot say. Never NULL but without memory. */
json_t *json_words(const char *text);
/* Writes j and a new line to standard output. */
void json_print(const json_t *j);
