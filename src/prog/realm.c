/* prog/realm.c - see realm.h.
 *
 * Theory of operation. Opening replays the log: each entry must follow the one before it (index, digest) and be signed
 * by the realm's key of that time. Since each holds the digest of the one before it, the last one that a key signed
 * vouches for all that it did: one signature for a key, not one for an entry. A record of a root in an entry begins the
 * realm's own chain, which goes on to the entry's end; its last record has the realm's key from then on. All other
 * records are what the realm said; later ones end earlier ones of the same name or tag, revocations end what they are
 * of.
 *
 * A change is one entry: made, signed, appended and durable before anything is told. Sequences are (index + 1) << 32 |
 * place in the entry, so they only rise and need no counter of their own.
 *
 * Changes of key are in realm_rotate.c.
 *
 * Limits: a log of 1 GiB, of which members may fill half with what they publish. */
#include "prog/realm_internal.h"

#include "base/text.h"
#include "ident/suite.h"
#include "sys/clock.h"
#include "sys/journal.h"
#include "sys/store.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#define ENROL_GROUP 4096u /* chosen: records of an entry: 1.5 MB, and a hundred for each fsync */
#define PUBLISHED_BYTES_MAX (JOURNAL_BYTES_MAX / 2)
#define POLICIES_EACH_MAX 1024u /* chosen: a change a day for three years; nobody fills the log for the others */

int realm_said_err(char err[FILE_ERR], int r, const char *fmt, ...)
{
    va_list ap;

    va_start(ap, fmt);
    vsnprintf(err, FILE_ERR, fmt, ap);
    va_end(ap);
    return r;
}

void realm_path(const char *dir, const char *file, char out[PATH_MAX + 16])
{
    snprintf(out, PATH_MAX + 16, "%s/%s", dir, file);
}

int records_split(const char *file, const uint8_t *bytes, size_t len, struct slice *ret, size_t *count,
                  char err[FILE_ERR])
{
    struct record_error e;
    int r = record_split(bytes, len, ret, count, &e);

    if (r == -E2BIG)
        return realm_said_err(err, r, "%s: byte %zu: more than %zu records", file, e.at, *count);
    if (r < 0)
        return realm_said_err(err, r, "%s: byte %zu: no record: %s: %s", file, e.at, record_fault_name(e.fault),
                              cbor_fault_name(e.cbor));
    if (*count == 0)
        return realm_said_err(err, -EBADMSG, "%s: empty, expected records", file);
    return 0;
}

/* --- replay --- */

struct realm_said *realm_find(const struct realm *r, const char *who)
{
    struct tag t;

    return tag_parse(who, &t) == 0 ? said_by_tag(&r->said, &t) : said_by_name(&r->said, who);
}

int realm_take_links(struct realm *r, const struct slice *links, size_t count, const char *where, char err[FILE_ERR])
{
    const struct rng kernel = sys_rng();
    char why[RECORD_ERROR_STRLEN];
    struct record_error e = { 0 };
    struct record_bytes b;
    struct record root;
    struct trust *t;
    int got;

    if (record_decode(links[0].data, links[0].len, &root, &b, &e) < 0 || root.type != RECORD_ROOT)
        return realm_said_err(err, -EBADMSG, "%s: expected the record of a root", where);
    t = trust_new(root.key, &(struct trust_options){ .cached_max = 2, .facts_max = 64, .rng = &kernel });
    /* By no clock: the realm's own log must open whatever the time is; who reads its records looks at it. */
    got = t ? trust_verify(t, links, count, 1, &r->self, &e) : -ENOMEM;
    trust_free(t);
    if (got == -EBADMSG && e.fault == RECORD_EXPIRED)
        return realm_said_err(err, got, "%s: record %u of the realm's own chain expired before it was made", where,
                              e.link);
    if (got < 0)
        return realm_said_err(err, got, "%s: the realm's own chain: record %u: %s", where, e.link,
                              got == -EBADMSG ? record_error_format(&e, why) : strerror(-got));
    if (!r->self.is_realm)
        return realm_said_err(err, -EBADMSG, "%s: the chain ends at %s, which is no realm", where, r->self.name);
    if (r->chain_count == 1) {
        if (r->roots_count == ROOTS_MAX)
            memmove(r->roots, r->roots + 1, --r->roots_count * sizeof(r->roots[0]));
        r->roots[r->roots_count++] = r->chain[0];
    }
    memcpy(r->chain, links, count * sizeof(*links));
    r->chain_count = count;
    return 0;
}

/* Into the list of what was said, but for a chain of the realm's own, which ends the entry. */
static int add_records(struct realm *r, struct entry *e, const char *where, char err[FILE_ERR])
{
    struct slice chain[CHAIN_LINKS_MAX], bytes;
    char why[RECORD_ERROR_STRLEN];
    struct record_error fault;
    struct record_bytes b;
    struct record rec;
    size_t count = 0;
    int got = 0;

    while (entry_next(e, &bytes)) {
        got = record_decode(bytes.data, bytes.len, &rec, &b, &fault);
        if (got < 0)
            return realm_said_err(err, got, "%s: %s", where,
                                  got == -EBADMSG ? record_error_format(&fault, why) : strerror(-got));
        if (rec.type == RECORD_ROOT || count > 0) {
            if (count == CHAIN_LINKS_MAX)
                return realm_said_err(err, -EBADMSG, "%s: the realm's own chain is too long", where);
            chain[count++] = bytes;
        } else {
            got = said_add(&r->said, &rec, bytes);
            if (got < 0)
                return realm_said_err(err, got, "%s: %s", where, strerror(-got));
        }
    }
    if (count > 0 && (e->part == ENTRY_FIRST_PART || e->part == ENTRY_NEXT_PART))
        return realm_said_err(err, -EBADMSG, "%s: a chain of the realm's own in a part that is not the last", where);
    return count > 0 ? realm_take_links(r, chain, count, where, err) : 0;
}

/* The records of one entry whose signature is right: those of parts when the last part is there. */
static int take_records(struct realm *r, struct entry *e, const char *where, char err[FILE_ERR])
{
    const bool held = r->held;
    struct entry part;
    int got = 0;

    if ((e->part == ENTRY_NEXT_PART || e->part == ENTRY_LAST_PART) && !held)
        return realm_said_err(err, -EBADMSG, "%s: a part of what has no beginning", where);
    r->held = e->part == ENTRY_FIRST_PART || e->part == ENTRY_NEXT_PART;
    if (e->part == ENTRY_FIRST_PART)
        r->held_from = e->index;
    if (r->held)
        return 0;
    for (uint64_t i = r->held_from; e->part == ENTRY_LAST_PART && i < e->index && got == 0; i++) {
        got = entry_decode(r->entries[i].data, r->entries[i].len, &part);
        if (got == 0)
            got = add_records(r, &part, where, err);
    }
    return got == 0 ? add_records(r, e, where, err) : got;
}

int realm_first_key(struct entry e, uint8_t ret[IDENT_KEY_LEN])
{
    struct record_error fault;
    struct record_bytes b;
    struct record rec;
    struct slice bytes;

    while (entry_next(&e, &bytes))
        if (record_decode(bytes.data, bytes.len, &rec, &b, &fault) < 0)
            return -EBADMSG;
    memcpy(ret, rec.key, IDENT_KEY_LEN);
    return 0;
}

/* The last entry that was taken vouches for all before it by the digest that it holds, so one signature is enough for
 * those that are of one key. */
static int verify_last(struct realm *r, const uint8_t key[IDENT_KEY_LEN], char err[FILE_ERR])
{
    const struct slice last = r->unverified;
    int got = last.len > 0 ? entry_verify(last.data, last.len, key) : 0;

    r->unverified = (struct slice){ 0 };
    if (got < 0)
        return realm_said_err(err, got, "%s: byte %" PRIu64 ": entry %" PRIu64 " is not signed by the realm",
                              r->log_path, r->unverified_at, r->next_index - 1);
    return 0;
}

static int grow_entries(struct realm *r)
{
    const size_t room = r->entries_room ? 2 * r->entries_room : 64;
    struct slice *entries = realloc(r->entries, room * sizeof(*entries));

    if (!entries)
        return -ENOMEM;
    r->entries = entries;
    r->entries_room = room;
    return 0;
}

static int take_entry(struct realm *r, const uint8_t *bytes, size_t len, char err[FILE_ERR])
{
    char where[PATH_MAX + 64];
    uint8_t key[IDENT_KEY_LEN];
    struct entry e;
    int got;

    snprintf(where, sizeof(where), "%s: byte %" PRIu64, r->log_path, journal_offset(r->log));
    if (entry_decode(bytes, len, &e) < 0)
        return realm_said_err(err, -EBADMSG, "%s: no entry of a realm's log", where);
    if (e.index != r->next_index || memcmp(e.before, r->before, sizeof(e.before)) != 0)
        return realm_said_err(err, -EBADMSG,
                              "%s: found entry %" PRIu64 ", expected %" PRIu64 " that follows the one before", where,
                              e.index, r->next_index);
    if (r->next_index == r->entries_room && grow_entries(r) < 0)
        return realm_said_err(err, -ENOMEM, "out of memory");
    memcpy(key, r->self.key, sizeof(key));
    if (e.index == 0 && realm_first_key(e, key) < 0)
        return realm_said_err(err, -EBADMSG, "%s: the first entry does not name the realm", where);
    entry_digest(bytes, len, r->before);
    r->entries[r->next_index++] = (struct slice){ bytes, len };
    r->unverified = (struct slice){ bytes, len };
    r->unverified_at = journal_offset(r->log);
    got = take_records(r, &e, where, err);
    /* The next ones are of another key. */
    return got == 0 && memcmp(key, r->self.key, sizeof(key)) != 0 ? verify_last(r, key, err) : got;
}

int realm_take_entries(struct realm *r, size_t max, char err[FILE_ERR])
{
    const uint8_t *bytes;
    int got = 0;
    size_t n = 0, len;

    for (; n < max && got == 0 && journal_next(r->log, &bytes, &len); n++)
        got = take_entry(r, bytes, len, err);
    if (got == 0)
        got = verify_last(r, r->self.key, err);
    return got == 0 && n == max ? 1 : got;
}

int realm_read_on(struct realm *r, size_t max, char err[FILE_ERR])
{
    int got = journal_read_on(r->log, err, FILE_ERR);

    return got == 0 ? realm_take_entries(r, max, err) : got;
}

/* --- changes --- */

/* Of many records that are made before they are said, no more than their bytes. */
static uint8_t *fitted(uint8_t *bytes, size_t len)
{
    uint8_t *less = realloc(bytes, len);

    return less ? less : bytes;
}

int realm_make(struct realm *r, struct record *rec, size_t place, const struct identity *by, uint64_t now_s,
               struct slice *ret, char err[FILE_ERR])
{
    const struct realm_said *policy = rec->type == RECORD_POLICY ? said_policy(&r->said, &rec->subject) : NULL;
    uint8_t *out = malloc(RECORD_BYTES_MAX);
    size_t len = 0;
    int got;

    rec->seq = (r->next_index + 1) << 32 | place;
    if (policy && policy->seq >= rec->seq) /* a member's own, whose numbers are his: the realm's takes its place */
        rec->seq = policy->seq + (policy->seq < UINT64_MAX);
    rec->issued_s = now_s;
    got = out ? record_encode(rec, by->ed25519_seed, out, RECORD_BYTES_MAX, &len) : -ENOMEM;
    if (got < 0) {
        free(out);
        realm_said_err(err, got, "%s: cannot make a %s of %s: %s", r->dir, record_type_name(rec->type),
                       rec->name[0] ? rec->name : "it",
                       got == -EINVAL ? "its values do not go together" : strerror(-got));
        return got;
    }
    *ret = (struct slice){ fitted(out, len), len };
    return 0;
}

void realm_free_made(struct slice *made, size_t count)
{
    for (size_t i = 0; i < count; i++)
        free((void *)(uintptr_t)made[i].data);
}

int realm_say_part(struct realm *r, enum entry_part part, const struct slice *records, size_t count, char err[FILE_ERR])
{
    uint8_t *bytes;
    size_t size = 0, len = 0;
    int got;

    for (size_t i = 0; i < count; i++)
        size += records[i].len;
    size = entry_size(count, size);
    bytes = malloc(size);
    got = bytes ? entry_encode(r->next_index, part, r->before, records, count, r->id.ed25519_seed, bytes, size, &len)
                : -ENOMEM;
    if (got < 0)
        realm_said_err(err, got, "%s: cannot write an entry: %s", r->log_path, strerror(-got));
    else
        got = journal_append(r->log, bytes, len, err, FILE_ERR);
    free(bytes);
    return got == 0 ? realm_take_entries(r, SIZE_MAX, err) : got;
}

int realm_say(struct realm *r, const struct slice *records, size_t count, char err[FILE_ERR])
{
    return realm_say_part(r, ENTRY_WHOLE, records, count, err);
}

static int say_one(struct realm *r, struct record *rec, uint64_t now_s, char err[FILE_ERR])
{
    struct slice made = { 0 };
    int got = realm_make(r, rec, 0, &r->id, now_s, &made, err);

    if (got == 0) {
        got = realm_say(r, &made, 1, err);
        realm_free_made(&made, 1);
    }
    return got;
}

int realm_write_root(const struct realm *r, char err[FILE_ERR])
{
    char path[PATH_MAX + 16];

    realm_path(r->dir, "root", path);
    return store_write(path, r->chain[0].data, r->chain[0].len, err, FILE_ERR);
}

/* One with nothing in it yet. NULL: out of memory. */
static struct realm *realm_new(const char *dir, char err[FILE_ERR])
{
    struct realm *r = calloc(1, sizeof(*r));

    if (!r) {
        realm_said_err(err, -ENOMEM, "%s: out of memory", dir);
        return NULL;
    }
    said_init(&r->said);
    r->part_records = PART_RECORDS;
    snprintf(r->dir, sizeof(r->dir), "%s", dir);
    realm_path(r->dir, "log", r->log_path);
    return r;
}

/* An empty realm in a new folder; the key is in it. */
static int begin(const char *dir, const struct identity *id, struct realm **ret, char err[FILE_ERR])
{
    char path[PATH_MAX + 16];
    struct realm *r;
    int got;

    if (strlen(dir) >= PATH_MAX - 16)
        return realm_said_err(err, -ENAMETOOLONG, "%s: too long", dir);
    if (mkdir(dir, 0700) < 0 && errno != EEXIST)
        return realm_said_err(err, -errno, "%s: %s", dir, strerror(errno));
    realm_path(dir, "log", path);
    if (access(path, F_OK) == 0)
        return realm_said_err(err, -EEXIST, "%s: there is a realm already", dir);
    r = realm_new(dir, err);
    if (!r)
        return -ENOMEM;
    r->id = *id;
    realm_path(dir, "key", path);
    got = key_file_write(path, id, err);
    if (got == 0)
        got = journal_open(r->log_path, true, true, &r->log, err, FILE_ERR);
    if (got == 0 && (got = store_sync_folder(dir)) < 0)
        realm_said_err(err, got, "%s: %s", dir, strerror(-got));
    if (got < 0) {
        realm_close(r);
        return got;
    }
    *ret = r;
    return 0;
}

static void cleanup_realm(struct realm **r)
{
    realm_close(*r);
}

struct record realm_root_of(const struct identity *id, const struct tag *tag, const char *name)
{
    struct record rec = { .type = RECORD_ROOT, .issuer = *tag, .subject = *tag, .suites = suite_supported() };

    memcpy(rec.key, id->ed25519, IDENT_KEY_LEN);
    snprintf(rec.name, sizeof(rec.name), "%s", name);
    return rec;
}

int realm_create_root(const char *dir, const char *name, unsigned deployment, uint64_t now_s, char err[FILE_ERR])
{
    struct realm *r CLEANUP(cleanup_realm) = NULL;
    const struct rng kernel = sys_rng();
    char canonical[NAME_SIZE];
    struct name_error why;
    struct identity id;
    struct record rec;
    struct tag tag;
    int got;

    if (name_parse_realm(name, strlen(name), canonical, &why) < 0)
        return realm_said_err(err, -EINVAL, "%s: character %zu: %s", name, why.at + 1, why.why);
    if (identity_generate(&id, &kernel) < 0)
        return realm_said_err(err, -ENOMEM, "out of memory");
    got = tag_make(id.ed25519, TAG_RAA(deployment ? deployment : tag_deployment_of(id.ed25519)),
                   TAG_HDA(TAG_TIER_SERVICE, 0), &tag);
    if (got < 0)
        realm_said_err(err, got, "out of memory");
    if (got == 0)
        got = begin(dir, &id, &r, err);
    if (got == 0 && r) {
        rec = realm_root_of(&id, &tag, canonical);
        got = say_one(r, &rec, now_s, err);
        if (got == 0)
            got = realm_write_root(r, err);
    }
    identity_wipe(&id);
    return got;
}

int realm_create_sub(const char *dir, const struct identity *id, const uint8_t *chain, size_t len, uint64_t now_s,
                     char err[FILE_ERR])
{
    struct realm *r CLEANUP(cleanup_realm) = NULL;
    struct slice links[CHAIN_LINKS_MAX];
    size_t count = CHAIN_LINKS_MAX;
    struct realm check = { 0 };
    int got = records_split("the chain", chain, len, links, &count, err);

    if (got == 0)
        got = realm_take_links(&check, links, count, "the chain", err);
    if (got == 0 && memcmp(check.self.key, id->ed25519, IDENT_KEY_LEN) != 0)
        got = realm_said_err(err, -EINVAL, "the chain is of %s with another key than this one", check.self.name);
    if (got == 0 && check.self.not_after_s && check.self.not_after_s < now_s)
        got = realm_said_err(err, -EINVAL, "the chain of %s has expired", check.self.name);
    if (got == 0)
        got = begin(dir, id, &r, err);
    if (got < 0 || !r)
        return got;
    got = realm_say(r, links, count, err);
    return got == 0 ? realm_write_root(r, err) : got;
}

/* The key that the log says is ours: in key, or still in key.next. */
static int find_key(struct realm *r, char err[FILE_ERR])
{
    char path[PATH_MAX + 16], next[PATH_MAX + 16], why[FILE_ERR];
    int got;

    realm_path(r->dir, "key", path);
    realm_path(r->dir, "key.next", next);
    got = key_file_read(path, &r->id, err);
    if (got == 0 && memcmp(r->id.ed25519, r->self.key, IDENT_KEY_LEN) == 0)
        return 0;
    if (key_file_read(next, &r->id, why) < 0 || memcmp(r->id.ed25519, r->self.key, IDENT_KEY_LEN) != 0) {
        identity_wipe(&r->id);
        return got < 0
                   ? got
                   : realm_said_err(err, -EBADMSG, "%s: is not the key of %s, as its log has it", path, r->self.name);
    }
    if (rename(next, path) < 0)
        return realm_said_err(err, -errno, "%s: %s", next, strerror(errno));
    return 0;
}

static int open_folder(const char *dir, bool create, bool writing, struct realm **ret, char err[FILE_ERR])
{
    struct realm *r = realm_new(dir, err);
    int got;

    if (!r)
        return -ENOMEM;
    got = journal_open(r->log_path, create, create || writing, &r->log, err, FILE_ERR);
    if (got == -EBUSY)
        realm_said_err(err, got, "%s: another process is changing this realm", dir);
    if (got == 0 && create)
        journal_end_writing(r->log);
    if (got == 0)
        got = realm_take_entries(r, SIZE_MAX, err);
    if (got == 0 && r->next_index == 0 && !create)
        got = realm_said_err(err, -EBADMSG,
                             "%s: empty: the making of this realm was interrupted; remove %s and make it again",
                             r->log_path, dir);
    if (got == 0 && writing)
        got = find_key(r, err);
    if (got < 0) {
        realm_close(r);
        return got;
    }
    *ret = r;
    return 0;
}

int realm_open(const char *dir, bool writing, struct realm **ret, char err[FILE_ERR])
{
    return open_folder(dir, false, writing, ret, err);
}

int realm_open_follower(const char *dir, struct realm **ret, char err[FILE_ERR])
{
    return open_folder(dir, true, false, ret, err);
}

int realm_begin(struct realm *r, size_t max, char err[FILE_ERR])
{
    int got = journal_begin_writing(r->log, err, FILE_ERR);

    if (got == -EBUSY)
        return realm_said_err(err, got, "%s: another process is changing this realm", r->dir);
    if (got == 0)
        got = realm_take_entries(r, max, err);
    if (got == 0)
        got = find_key(r, err);
    if (got != 0)
        realm_end(r);
    return got;
}

void realm_end(struct realm *r)
{
    journal_end_writing(r->log);
    identity_wipe(&r->id);
}

void realm_close(struct realm *r)
{
    if (!r)
        return;
    said_deinit(&r->said);
    journal_close(r->log);
    identity_wipe(&r->id);
    free(r->entries);
    free(r);
}

const struct chain_end *realm_self(const struct realm *r)
{
    return &r->self;
}

size_t realm_chain(const struct realm *r, struct slice ret[CHAIN_LINKS_MAX])
{
    memcpy(ret, r->chain, r->chain_count * sizeof(r->chain[0]));
    return r->chain_count;
}

size_t realm_said_count(const struct realm *r)
{
    return r->said.count;
}

const struct realm_said *realm_said_at(const struct realm *r, size_t i)
{
    return &r->said.all[i];
}

uint64_t realm_entries(const struct realm *r)
{
    return r->next_index;
}

struct slice realm_entry(const struct realm *r, uint64_t index)
{
    return r->entries[index];
}

const uint8_t *realm_digest(const struct realm *r)
{
    return r->before;
}

uint64_t realm_torn(const struct realm *r)
{
    return journal_torn(r->log);
}

/* The lowest range that overlaps none that was ever given to another. */
static int free_range(const struct realm *r, unsigned bits, struct realm_range *ret, char err[FILE_ERR])
{
    for (unsigned number = r->self.range.number; number <= TAG_REALM_MAX; number += 1u << (12 - bits)) {
        struct realm_range range = { (uint16_t)number, (uint8_t)bits };

        /* Never one that was given before: an old record must not come to mean another realm. */
        if (realm_range_may_delegate(&r->self.range, &range) && !said_was_given(&r->said, &range)) {
            *ret = range;
            return 0;
        }
    }
    return realm_said_err(err, -ENOSPC, "%s has no range of %u bits left", r->self.name, bits);
}

/* The name is free, or this key's already. */
static int check_free(const struct realm *r, const char *name, const struct tag *subject, char err[FILE_ERR])
{
    const struct realm_said *s = realm_find(r, name);

    if (said_is_revoked(&r->said, subject))
        return realm_said_err(err, -EINVAL, "%s: this key was revoked: make another", name);
    if (s && !tag_equal(&s->subject, subject))
        return realm_said_err(err, -EEXIST,
                              "%s has another key: revoke it first, or let it hand over (hawser id rotate)", name);
    return 0;
}

int realm_delegate(struct realm *r, const char *label, const uint8_t ed25519[IDENT_KEY_LEN], unsigned bits,
                   uint64_t now_s, uint64_t not_after_s, char err[FILE_ERR])
{
    struct record rec = {
        .type = RECORD_DELEGATION, .issuer = r->self.tag, .tiers = r->self.tiers, .not_after_s = not_after_s
    };
    char joined[2 * NAME_SIZE];
    const struct realm_said *s;
    struct name_error why;
    int got;

    if (r->self.links >= CHAIN_LINKS_MAX - 1)
        return realm_said_err(
            err, -EINVAL, "%s: below it there is room for entities only (chains have at most 4 links)", r->self.name);
    snprintf(joined, sizeof(joined), "%s.%s", label, r->self.name);
    if (name_parse_realm(joined, strlen(joined), rec.name, &why) < 0)
        return realm_said_err(err, -EINVAL, "%s: character %zu: %s", joined, why.at + 1, why.why);
    if (!name_is_child_realm(rec.name, r->self.name))
        return realm_said_err(err, -EINVAL, "%s: expected one label", label);
    s = realm_find(r, rec.name);
    if (s)
        rec.range = s->range;
    else if ((got = free_range(r, bits, &rec.range, err)) < 0)
        return got;
    memcpy(rec.key, ed25519, IDENT_KEY_LEN);
    if (tag_make(ed25519, tag_raa(&r->self.tag), TAG_HDA(TAG_TIER_SERVICE, rec.range.number), &rec.subject) < 0)
        return realm_said_err(err, -ENOMEM, "out of memory");
    got = check_free(r, rec.name, &rec.subject, err);
    return got < 0 ? got : say_one(r, &rec, now_s, err);
}

/* What an enrolment says, if it may be said. */
static int registration_of(const struct realm *r, const char *leaf, const struct peer_key *key, uint8_t flags,
                           uint64_t not_after_s, struct record *ret, char err[FILE_ERR])
{
    char joined[2 * NAME_SIZE];
    struct name_error why;
    struct name n;

    *ret = (struct record){ .type = RECORD_REGISTRATION,
                            .issuer = r->self.tag,
                            .flags = flags,
                            .suites = key->suites,
                            .not_after_s = not_after_s };
    snprintf(joined, sizeof(joined), "%s.%s", leaf, r->self.name);
    if (name_parse(joined, strlen(joined), &n, &why) < 0)
        return realm_said_err(err, -EINVAL, "%s: character %zu: %s", joined, why.at + 1, why.why);
    if (strcmp(n.text + n.realm_at, r->self.name) != 0)
        return realm_said_err(err, -EINVAL, "%s: expected a name and its tier, as laptop.h", leaf);
    if (!(r->self.tiers & 1u << n.tier))
        return realm_said_err(err, -EINVAL, "%s: %s has not been given the tier %c", leaf, r->self.name,
                              name_tier_letter(n.tier));
    memcpy(ret->name, n.text, n.len + 1u);
    memcpy(ret->key, key->ed25519, IDENT_KEY_LEN);
    memcpy(ret->x25519, key->x25519, IDENT_KEY_LEN);
    if (tag_make(key->ed25519, tag_raa(&r->self.tag), TAG_HDA(n.tier, r->self.range.number), &ret->subject) < 0)
        return realm_said_err(err, -ENOMEM, "out of memory");
    return check_free(r, ret->name, &ret->subject, err);
}

int realm_enrol(struct realm *r, const char *leaf, const struct peer_key *key, uint8_t flags, uint64_t now_s,
                uint64_t not_after_s, char err[FILE_ERR])
{
    struct record rec;
    int got = registration_of(r, leaf, key, flags, not_after_s, &rec, err);

    return got < 0 ? got : say_one(r, &rec, now_s, err);
}

/* Each may be said, and no two are of one name or key. */
static int check_many(const struct realm *r, const struct realm_enrolment *list, size_t count, const char *file,
                      char err[FILE_ERR])
{
    struct said_list seen;
    struct record rec;
    char why[FILE_ERR];
    int got = 0;

    said_init(&seen);
    for (size_t i = 0; i < count && got == 0; i++) {
        got = registration_of(r, list[i].leaf, &list[i].key, 0, 0, &rec, why);
        if (got < 0)
            realm_said_err(err, got, "%.150s:%zu: %.300s", file, list[i].line, why);
        else if (said_by_name(&seen, rec.name) || said_by_tag(&seen, &rec.subject))
            got =
                realm_said_err(err, -EINVAL, "%.150s:%zu: the name or the key of an earlier line", file, list[i].line);
        else if ((got = said_add(&seen, &rec, (struct slice){ 0 })) < 0)
            realm_said_err(err, got, "out of memory");
    }
    said_deinit(&seen);
    return got;
}

int realm_enrol_many(struct realm *r, const struct realm_enrolment *list, size_t count, const char *file, uint8_t flags,
                     uint64_t now_s, uint64_t not_after_s, char err[FILE_ERR])
{
    struct slice made[ENROL_GROUP];
    int got = check_many(r, list, count, file, err);

    for (size_t at = 0, n; at < count && got == 0; at += n) {
        for (n = 0; n < MIN(count - at, ENROL_GROUP) && got == 0;) {
            struct record rec;

            got = registration_of(r, list[at + n].leaf, &list[at + n].key, flags, not_after_s, &rec, err);
            if (got == 0)
                got = realm_make(r, &rec, n, &r->id, now_s, &made[n], err);
            n += got == 0;
        }
        if (got == 0)
            got = realm_say(r, made, n, err);
        realm_free_made(made, n);
    }
    return got;
}

int realm_revoke(struct realm *r, const char *who, enum record_reason reason, uint64_t now_s, char err[FILE_ERR])
{
    struct record rec = { .type = RECORD_REVOCATION, .issuer = r->self.tag, .reason = reason };
    const struct realm_said *s = realm_find(r, who);

    if (!s)
        return realm_said_err(err, -ENOENT, "%s: nothing of that name or tag is in force in %s", who, r->self.name);
    rec.subject = s->subject;
    return say_one(r, &rec, now_s, err);
}

int realm_policy(struct realm *r, const char *who, const struct record_rule *rules, size_t count, uint64_t now_s,
                 uint64_t not_after_s, char err[FILE_ERR])
{
    struct record rec = { .type = RECORD_POLICY,
                          .issuer = r->self.tag,
                          .subject = r->self.tag,
                          .not_after_s = not_after_s,
                          .rules_count = (uint8_t)MIN(count, RECORD_RULES_MAX) };
    const struct realm_said *s = who ? realm_find(r, who) : NULL;

    if (who && !s)
        return realm_said_err(err, -ENOENT, "%s: nothing of that name or tag is in force in %s", who, r->self.name);
    if (count > RECORD_RULES_MAX)
        return realm_said_err(err, -E2BIG, "found %zu rules, expected %d at most", count, RECORD_RULES_MAX);
    if (s)
        rec.subject = s->subject;
    if (count > 0)
        memcpy(rec.rules, rules, count * sizeof(*rules));
    return say_one(r, &rec, now_s, err);
}

int realm_publish(struct realm *r, const uint8_t *bytes, size_t len, char err[FILE_ERR])
{
    const struct slice record = { bytes, len };
    const struct realm_said *policy;
    struct record_error e;
    struct record_bytes b;
    struct record rec;
    int got = record_decode(bytes, len, &rec, &b, &e);

    if (got < 0)
        return realm_said_err(err, got, "%s: no record", r->dir);
    if ((rec.type != RECORD_POLICY && rec.type != RECORD_REVOCATION) ||
        (!tag_equal(&rec.subject, &r->self.tag) && !said_by_tag(&r->said, &rec.subject)))
        return realm_said_err(err, -EINVAL, "%s: a %s of nobody who is in force here", r->dir,
                              record_type_name(rec.type));
    policy = rec.type == RECORD_POLICY ? said_policy(&r->said, &rec.subject) : NULL;
    if (policy && policy->seq >= rec.seq)
        return realm_said_err(err, -ESTALE, "%s: a policy of sequence %" PRIu64 ", expected one above %" PRIu64, r->dir,
                              rec.seq, policy->seq);
    if (policy && policy->again >= POLICIES_EACH_MAX)
        return realm_said_err(err, -EDQUOT, "%s: a policy of who has had %u, expected at most so many", r->log_path,
                              POLICIES_EACH_MAX);
    if (rec.type == RECORD_POLICY && rec.seq == UINT64_MAX)
        return realm_said_err(err, -EINVAL, "%s: a policy of a sequence that nothing could follow", r->dir);
    if (rec.type == RECORD_POLICY && journal_size(r->log) > PUBLISHED_BYTES_MAX)
        return realm_said_err(err, -EDQUOT,
                              "%s: found %" PRIu64 " bytes, expected %" PRIu64 " at most for members to add to",
                              r->log_path, journal_size(r->log), (uint64_t)PUBLISHED_BYTES_MAX);
    return realm_say(r, &record, 1, err);
}

/* --- what is handed out --- */

static int join(const struct slice *a, size_t a_count, const struct slice *b, size_t b_count, uint8_t **ret,
                size_t *ret_len, char err[FILE_ERR])
{
    size_t len = 0;
    uint8_t *out;

    for (size_t i = 0; i < a_count; i++)
        len += a[i].len;
    for (size_t i = 0; i < b_count; i++)
        len += b[i].len;
    out = malloc(len + 1);
    if (!out)
        return realm_said_err(err, -ENOMEM, "out of memory");
    len = slices_gather(a, a_count, out, len);
    *ret_len = len;
    for (size_t i = 0; i < b_count; i++) {
        memcpy(out + *ret_len, b[i].data, b[i].len);
        *ret_len += b[i].len;
    }
    *ret = out;
    return 0;
}

int realm_chain_of(const struct realm *r, const char *who, uint8_t **ret, size_t *ret_len, char err[FILE_ERR])
{
    const struct realm_said *s = who ? realm_find(r, who) : NULL;

    if (who && !s)
        return realm_said_err(err, -ENOENT, "%s: nothing of that name or tag is in force in %s", who, r->self.name);
    return join(r->chain, r->chain_count, s ? &s->record : NULL, s ? 1 : 0, ret, ret_len, err);
}

int realm_ended(const struct realm *r, uint8_t **ret, size_t *ret_len, char err[FILE_ERR])
{
    struct slice *all = calloc(r->roots_count + r->said.count + 1, sizeof(*all));
    size_t n = r->roots_count;
    int got;

    if (!all)
        return realm_said_err(err, -ENOMEM, "out of memory");
    memcpy(all, r->roots, n * sizeof(*all));
    for (size_t i = 0; i < r->said.count; i++)
        if (r->said.all[i].in_force &&
            (r->said.all[i].type == RECORD_REVOCATION || r->said.all[i].type == RECORD_SUCCESSOR))
            all[n++] = r->said.all[i].record;
    got = join(r->chain, r->chain_count, all, n, ret, ret_len, err);
    free(all);
    return got;
}
