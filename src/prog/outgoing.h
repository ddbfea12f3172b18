/* prog/outgoing.h - one file that is being sent. Calls say false when it cannot go on: `error` tells why, and only
 * outgoing_close may follow. */
#pragma once

#include <time.h>

#include "ident/hash.h"
#include "wire/files.h"

struct outgoing {
    int fd; /* -1: not open */
    uint64_t size, at;
    uint64_t data_until; /* no hole before it */
    struct timespec mtime;
    uint16_t mode;
    struct sha256 *hash; /* of the first `at` bytes */
    char error[FILES_TEXT_MAX + 1];
};

/* Opens a regular file. */
MUST_CHECK bool outgoing_open(struct outgoing *o, const char *path);
/* Reads a piece on the way to that place. */
MUST_CHECK bool outgoing_look(struct outgoing *o, uint64_t until);
/* Back to the first byte. */
MUST_CHECK bool outgoing_restart(struct outgoing *o);
/* What comes next: *ret_hole zeros, or else *ret_len bytes in buf; both 0 at the end. */
MUST_CHECK bool outgoing_read(struct outgoing *o, uint8_t *buf, size_t max, size_t *ret_len, uint32_t *ret_hole);
/* The hash of what was read; false too if the file has changed since it was opened. */
MUST_CHECK bool outgoing_end(struct outgoing *o, uint8_t ret[FILES_HASH_LEN]);
void outgoing_close(struct outgoing *o);
