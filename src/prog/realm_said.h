/* prog/realm_said.h - all that a realm has said, and what of it is in force, found by tag and name. */
#pragma once

#include "prog/realm.h"

#define SAID_NONE UINT32_MAX

struct said_list {
    struct realm_said *all; /* owned, with their names; in the log's order */
    struct said_links *links;
    uint32_t count, size;
    uint32_t *by_tag, *by_name; /* heads of chains of what is in force; heads_count each, a power of two */
    uint32_t heads_count;
    uint8_t hash_key[16];
    uint8_t given[(TAG_REALM_MAX + 1) / 8]; /* a bit for each number that was ever in a range that was delegated */
};

void said_init(struct said_list *l);
void said_deinit(struct said_list *l);
/* Takes in what is said now, which ends what it replaces; a policy that is older than the one in force is not. The
 * bytes are the caller's and stay. 0 or -ENOMEM. */
MUST_CHECK int said_add(struct said_list *l, const struct record *rec, struct slice bytes);
/* What is in force: a registration or delegation. NULL: none. */
struct realm_said *said_by_tag(const struct said_list *l, const struct tag *t);
struct realm_said *said_by_name(const struct said_list *l, const char *name);
/* The policy of that subject that is in force; NULL: none. */
const struct realm_said *said_policy(const struct said_list *l, const struct tag *t);
/* A revocation is for ever. */
bool said_is_revoked(const struct said_list *l, const struct tag *t);
/* Whether any number of the range was given to anybody, ever. */
bool said_was_given(const struct said_list *l, const struct realm_range *range);
