/* prog/realm_rotate.c - see realm.h: a realm, or what it has enrolled, gets another key.
 *
 * Theory of operation. A change of key is a file key.next, then an entry (which has the succession, all that is in
 * force signed by the new key, and the new chain), then a rename of key.next to key. The log says which key is the
 * realm's; whoever opens it finishes a rename that did not happen. What is too much for an entry is said in parts, of
 * which nothing is in force until the last one is there, with the chain: a change that is broken off has not happened,
 * and begins anew with its first part.
 *
 * Limits: a log of 1 GiB, so some two million names that change their realm's key once. */
#include "prog/realm_internal.h"
#include "sys/clock.h"
#include "sys/store.h"

#include <errno.h>
#include <stdio.h>
#include <unistd.h>

#define PART_BYTES (8u << 20) /* chosen: a record more, and the chain, fit into a frame of the journal */

int realm_statement(const struct identity *from, const struct identity *to, const struct tag *subject, uint64_t now_s,
                    uint8_t *out, size_t size, size_t *ret_len, char err[FILE_ERR])
{
    struct record rec = { .type = RECORD_SUCCESSOR,
                          .issuer = *subject,
                          .subject = *subject,
                          .seq = now_s,
                          .issued_s = now_s,
                          .not_after_s = now_s };
    int got = tag_verify(subject, from->ed25519);

    if (got < 0)
        return realm_said_err(err, got, "the old key is not the one of the chain");
    memcpy(rec.old_key, from->ed25519, IDENT_KEY_LEN);
    memcpy(rec.key, to->ed25519, IDENT_KEY_LEN);
    got = tag_make(to->ed25519, tag_raa(subject), tag_hda(subject), &rec.next);
    if (got == 0)
        got = successor_prove(&rec, from->ed25519_seed, rec.old_proof);
    if (got == 0)
        got = successor_prove(&rec, to->ed25519_seed, rec.new_proof);
    if (got == 0)
        got = record_encode(&rec, from->ed25519_seed, out, size, ret_len);
    return got < 0 ? realm_said_err(err, got, "cannot make the statement: %s",
                                    got == -EINVAL ? "both keys are the same" : strerror(-got))
                   : 0;
}

/* Records of a change of key that are made and not said yet. */
struct again {
    struct slice *made;         /* part_records of them, and CHAIN_LINKS_MAX more */
    size_t count, bytes, first; /* first: of them are not ours to free */
    bool begun;                 /* a part was said */
};

static void free_made(struct again *a)
{
    realm_free_made(a->made + a->first, a->count - a->first);
    a->count = a->bytes = a->first = 0;
}

/* One that is in force, in the name of `issuer` and signed by its key. 0; 1: it is not said again; -errno. */
static int make_one(struct realm *r, const struct realm_said *s, const struct tag *issuer, const struct identity *by,
                    uint64_t now_s, size_t place, struct slice *ret, char err[FILE_ERR])
{
    struct record_error e;
    struct record_bytes b;
    struct record rec;
    int got;

    if (!s->in_force)
        return 1;
    got = record_decode(s->record.data, s->record.len, &rec, &b, &e);
    if (got < 0)
        return 1; /* never: it was read */
    /* The succession of the realm itself stays what it is: the old key's word. */
    if (rec.type == RECORD_POLICY && tag_equal(&rec.subject, &r->self.tag))
        rec.subject = *issuer; /* the realm's own goes with it */
    else if (tag_equal(&rec.subject, &r->self.tag) || tag_equal(&rec.subject, &rec.issuer))
        return 1;
    rec.issuer = *issuer;
    /* what is over stays over */
    return realm_make(r, &rec, place, by, rec.not_after_s && rec.not_after_s < now_s ? rec.issued_s : now_s, ret, err);
}

/* All that is in force, made again: in parts, and what is left stays in a. */
static int make_again(struct realm *r, const struct tag *issuer, const struct identity *by, uint64_t now_s,
                      struct again *a, char err[FILE_ERR])
{
    int got = 0;

    for (size_t i = 0; i < r->said.count && got >= 0; i++) {
        if (a->count == r->part_records || a->bytes > PART_BYTES) {
            got = realm_say_part(r, a->begun ? ENTRY_NEXT_PART : ENTRY_FIRST_PART, a->made, a->count, err);
            free_made(a);
            a->begun = true;
        }
        if (got >= 0)
            got = make_one(r, &r->said.all[i], issuer, by, now_s, a->count, &a->made[a->count], err);
        if (got == 0)
            a->bytes += a->made[a->count++].len;
    }
    return MIN(got, 0);
}

/* The entries of a change of key, and what follows them. chain: of the new key, its records; extra: 0 or 1 records
 * before.
 */
static int rotate(struct realm *r, const struct identity *next, const struct tag *tag, struct slice *extra,
                  const struct slice *chain, size_t chain_count, uint64_t now_s, char err[FILE_ERR])
{
    struct again a = { .made = calloc(r->part_records + CHAIN_LINKS_MAX, sizeof(*a.made)) };
    char path[PATH_MAX + 16], next_path[PATH_MAX + 16];
    int got;

    if (!a.made)
        return realm_said_err(err, -ENOMEM, "out of memory");
    if (extra)
        a.made[a.count++] = *extra;
    a.first = a.count;
    got = make_again(r, tag, next, now_s, &a, err);
    memcpy(a.made + a.count, chain, chain_count * sizeof(*chain));
    if (got == 0)
        got = realm_say_part(r, a.begun ? ENTRY_LAST_PART : ENTRY_WHOLE, a.made, a.count + chain_count, err);
    free_made(&a);
    free(a.made);
    if (got < 0)
        return got;
    r->id = *next;
    realm_path(r->dir, "key", path);
    realm_path(r->dir, "key.next", next_path);
    if (rename(next_path, path) < 0)
        return realm_said_err(err, -errno, "%s: %s", next_path, strerror(errno));
    return realm_write_root(r, err);
}

/* The next key: the one in key.next, or a new one that is written there. */
static int next_key(struct realm *r, struct identity *ret, char err[FILE_ERR])
{
    const struct rng kernel = sys_rng();
    char path[PATH_MAX + 16], made[PATH_MAX + 16];
    int got;

    realm_path(r->dir, "key.next", path);
    realm_path(r->dir, "key.made", made);
    if (access(path, F_OK) == 0)
        return key_file_read(path, ret, err);
    if (identity_generate(ret, &kernel) < 0)
        return realm_said_err(err, -ENOMEM, "out of memory");
    unlink(made); /* of one that was ended while it wrote: nobody knows that key */
    got = key_file_write(made, ret, err);
    if (got == 0 && rename(made, path) < 0)
        got = realm_said_err(err, -errno, "%s: %s", made, strerror(errno));
    if (got == 0 && (got = store_sync_folder(path)) < 0)
        realm_said_err(err, got, "%s: %s", path, strerror(-got));
    return got;
}

int realm_rotate_root(struct realm *r, uint64_t now_s, uint64_t until_s, char err[FILE_ERR])
{
    struct slice made[2] = { 0 };
    uint8_t statement[RECORD_BYTES_MAX];
    struct identity next;
    struct record_error e;
    struct record_bytes b;
    struct record rec, root;
    size_t len = 0;
    int got;

    if (r->self.links != 1)
        return realm_said_err(err, -EINVAL, "%s is no root: the realm above it must countersign", r->self.name);
    got = next_key(r, &next, err);
    if (got == 0)
        got = realm_statement(&r->id, &next, &r->self.tag, now_s, statement, sizeof(statement), &len, err);
    if (got == 0)
        got = record_decode(statement, len, &rec, &b, &e);
    if (got == 0) {
        rec.not_after_s = until_s;
        root = realm_root_of(&next, &rec.next, r->self.name);
        got = realm_make(r, &rec, 0, &r->id, now_s, &made[0], err);
    }
    if (got == 0)
        got = realm_make(r, &root, 0xffffffff, &next, now_s, &made[1], err);
    if (got == 0)
        got = rotate(r, &next, &rec.next, &made[0], &made[1], 1, now_s, err);
    realm_free_made(made, 2);
    identity_wipe(&next);
    return got;
}

int realm_rotate_begin(struct realm *r, uint64_t now_s, uint8_t *statement, size_t size, size_t *ret_len,
                       char err[FILE_ERR])
{
    struct identity next;
    int got = next_key(r, &next, err);

    if (got == 0)
        got = realm_statement(&r->id, &next, &r->self.tag, now_s, statement, size, ret_len, err);
    identity_wipe(&next);
    return got;
}

int realm_take_chain(struct realm *r, const uint8_t *chain, size_t len, uint64_t now_s, char err[FILE_ERR])
{
    struct slice links[CHAIN_LINKS_MAX];
    size_t count = CHAIN_LINKS_MAX;
    struct realm check = { 0 };
    char path[PATH_MAX + 16];
    struct identity next = { 0 };
    int got = records_split("the chain", chain, len, links, &count, err);

    realm_path(r->dir, "key.next", path);
    if (got == 0)
        got = realm_take_links(&check, links, count, "the chain", err);
    if (got == 0 && (strcmp(check.self.name, r->self.name) != 0 || check.self.range.number != r->self.range.number ||
                     check.self.range.bits != r->self.range.bits || tag_raa(&check.self.tag) != tag_raa(&r->self.tag)))
        got = realm_said_err(err, -EINVAL, "the chain is not of %s", r->self.name);
    if (got == 0 && check.self.seq < r->self.seq)
        got = realm_said_err(err, -EINVAL, "the chain of %s is older than the one that it has", r->self.name);
    if (got < 0)
        return got;
    /* Of the key that it has: it lasts longer, or the root above has another key. What was said stays said. */
    if (tag_equal(&check.self.tag, &r->self.tag)) {
        got = realm_say(r, links, count, err);
        return got == 0 ? realm_write_root(r, err) : got;
    }
    got = key_file_read(path, &next, err);
    if (got == 0 && memcmp(check.self.key, next.ed25519, IDENT_KEY_LEN) != 0)
        got = realm_said_err(err, -EINVAL, "the chain is not of the next key of %s", r->self.name);
    if (got == 0)
        got = rotate(r, &next, &check.self.tag, NULL, links, count, now_s, err);
    identity_wipe(&next);
    return got;
}

int realm_succeed(struct realm *r, const uint8_t *statement, size_t len, const struct peer_key *key, uint64_t now_s,
                  uint64_t until_s, char err[FILE_ERR])
{
    struct record rec, again;
    char text[TAG_STRLEN], why[RECORD_ERROR_STRLEN];
    const struct realm_said *s;
    struct slice made[2] = { 0 };
    struct record_error e;
    struct record_bytes b;
    int got = record_decode(statement, len, &rec, &b, &e);

    if (got < 0)
        return realm_said_err(err, got, "the statement: %s",
                              got == -EBADMSG ? record_error_format(&e, why) : strerror(-got));
    if (rec.type != RECORD_SUCCESSOR || !tag_equal(&rec.issuer, &rec.subject) || record_verify(&b, rec.old_key) < 0 ||
        successor_verify(&rec) < 0)
        return realm_said_err(err, -EBADMSG, "the statement: not signed by the old key and the new one");
    s = realm_find(r, tag_format(&rec.subject, text));
    if (!s)
        return realm_said_err(err, -ENOENT, "%s: nothing of that tag is in force in %s", text, r->self.name);
    if (said_is_revoked(&r->said, &rec.next))
        return realm_said_err(err, -EINVAL, "%s: the new key was revoked", s->name);
    got = record_decode(s->record.data, s->record.len, &again, &b, &e);
    if (got < 0)
        return realm_said_err(err, got, "%s: cannot be read again", s->name);
    if (again.type == RECORD_REGISTRATION && (!key || memcmp(key->ed25519, rec.key, IDENT_KEY_LEN) != 0))
        return realm_said_err(err, -EINVAL, "%s: expected the new public key beside the statement", s->name);
    rec.issuer = r->self.tag;
    rec.not_after_s = until_s;
    again.subject = rec.next;
    memcpy(again.key, rec.key, IDENT_KEY_LEN);
    if (again.type == RECORD_REGISTRATION) {
        memcpy(again.x25519, key->x25519, IDENT_KEY_LEN);
        again.suites = key->suites;
    }
    got = realm_make(r, &rec, 0, &r->id, now_s, &made[0], err);
    if (got == 0)
        got = realm_make(r, &again, 1, &r->id, now_s, &made[1], err);
    if (got == 0)
        got = realm_say(r, made, 2, err);
    realm_free_made(made, 2);
    return got;
}
