/* prog/incoming.h - one file that is being received: NAME.hawser-part until it is whole, then NAME.
 *
 * Calls say false when the file cannot go on: `cause` and `error` tell why, and only incoming_close may follow. */
#pragma once

#include "ident/hash.h"
#include "wire/files.h"

struct incoming {
    int dir;                      /* not ours */
    int fd;                       /* of the part, locked; -1: none */
    int old_fd;                   /* of a whole file of that name and size; -1: none */
    struct sha256 *hash;          /* of the first `at` bytes */
    uint64_t size, at;            /* bytes offered; there */
    uint64_t stored;              /* of these, bytes that are on their way to the disk */
    uint64_t to_hash;             /* bytes there at the beginning */
    bool replace, locked, placed; /* placed: it has its name */
    uint8_t what;                 /* enum files_there */
    int64_t mtime_s;
    uint32_t mtime_ns;
    uint16_t mode;
    char name[FILES_NAME_MAX + 1], part[FILES_NAME_MAX + sizeof(FILES_PART)];
    uint8_t cause; /* enum files_cause */
    char error[FILES_TEXT_MAX + 1];
};

/* Looks for what is there of it in the folder, and locks the part. */
MUST_CHECK bool incoming_open(struct incoming *in, int dir, const struct files_offer *offer, bool may_replace);
/* Reads a piece of what is there: *ret_more, or *ret is what the sender should know. */
MUST_CHECK bool incoming_look(struct incoming *in, bool *ret_more, struct files_have *ret);
/* Bytes follow from there on: 0, or what incoming_look said was there. */
MUST_CHECK bool incoming_start(struct incoming *in, uint64_t at);
MUST_CHECK bool incoming_write(struct incoming *in, const uint8_t *data, size_t len);
MUST_CHECK bool incoming_hole(struct incoming *in, uint32_t len);
/* That was all: checks it, makes it last, gives it its name. */
MUST_CHECK bool incoming_end(struct incoming *in, const uint8_t hash[FILES_HASH_LEN]);
/* A part that has bytes in it stays. */
void incoming_close(struct incoming *in);
