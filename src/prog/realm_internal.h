/* prog/realm_internal.h - what the files of realm.h share. */
#pragma once

#include "ident/entry.h"
#include "prog/realm_said.h"

#include <limits.h>

struct journal;

#define PART_RECORDS 4096u /* chosen: 1.5 MB */
#define ROOTS_MAX 32       /* chosen: of earlier keys; the oldest give way */

struct realm {
    char dir[PATH_MAX];
    char log_path[PATH_MAX + 16];
    struct journal *log;
    struct identity id;
    struct chain_end self;
    struct slice chain[CHAIN_LINKS_MAX]; /* into bytes of the journal */
    size_t chain_count;
    struct slice roots[ROOTS_MAX]; /* records of earlier keys of a root, the oldest first */
    size_t roots_count;
    uint64_t next_index;
    struct slice *entries; /* next_index of them, into bytes of the journal; owned */
    size_t entries_room;
    uint8_t before[ENTRY_DIGEST_LEN];
    struct said_list said;
    bool held; /* parts, from that entry on, whose last one is not there */
    uint64_t held_from;
    size_t part_records; /* the most in one entry of a change of key; PART_RECORDS */
    /* The last entry whose signature was not looked at yet, and the key that it is to be of; len 0: none. */
    struct slice unverified;
    uint64_t unverified_at;
};

/* Writes err and returns r. */
PRINTF_LIKE(3, 4)
int realm_said_err(char err[FILE_ERR], int r, const char *fmt, ...);
void realm_path(const char *dir, const char *file, char out[PATH_MAX + 16]);
/* What the journal has and was not taken yet, up to max entries: 0; 1: there are more; -errno. */
MUST_CHECK int realm_take_entries(struct realm *r, size_t max, char err[FILE_ERR]);
/* The key that signs the first entry, which is that of the chain in it. 0 or -EBADMSG. */
MUST_CHECK int realm_first_key(struct entry e, uint8_t ret[IDENT_KEY_LEN]);
/* The realm's own chain, of which `where` speaks. */
MUST_CHECK int realm_take_links(struct realm *r, const struct slice *links, size_t count, const char *where,
                                char err[FILE_ERR]);
/* A record to be said: fills in who, when and in which order, and signs. */
MUST_CHECK int realm_make(struct realm *r, struct record *rec, size_t place, const struct identity *by, uint64_t now_s,
                          struct slice *ret, char err[FILE_ERR]);
void realm_free_made(struct slice *made, size_t count);
/* One entry of these records, signed by the realm's key of now; then they are in force. */
MUST_CHECK int realm_say(struct realm *r, const struct slice *records, size_t count, char err[FILE_ERR]);
/* Likewise, but for when they are in force: ident/entry.h. */
MUST_CHECK int realm_say_part(struct realm *r, enum entry_part part, const struct slice *records, size_t count,
                              char err[FILE_ERR]);
MUST_CHECK int realm_write_root(const struct realm *r, char err[FILE_ERR]);
struct record realm_root_of(const struct identity *id, const struct tag *tag, const char *name);
/* What is in force of a name or tag; NULL: nothing. */
struct realm_said *realm_find(const struct realm *r, const char *who);
