/* prog/realm.c - see realm.h.
 *
 * Theory of operation. Opening replays the log: each entry must follow the one before it (index, digest) and be signed
 * by the realm's key of that time. A record of a root in an entry begins the realm's own chain, which goes on to the
 * entry's end; its last record has the realm's key from then on. All other records are what the realm said; later ones
 * end earlier ones of the same name or tag, revocations end what they are of.
 *
 * A change is one entry: made, signed, appended and durable before anything is told. Sequences are (index + 1) << 32 |
 * place in the entry, so they only rise and need no counter of their own.
 *
 * A change of key is a file key.next, then an entry (which has the succession, all that is in force signed by the new
 * key, and the new chain), then a rename of key.next to key. The log says which key is the realm's; whoever opens it
 * finishes a rename that did not happen.
 *
 * Limits: an entry of 16 MiB, so some 50,000 names in force when a key changes. */
#include "prog/realm.h"

#include "base/text.h"
#include "ident/entry.h"
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

#define ROOTS_MAX 32 /* chosen: of earlier keys; the oldest give way */

struct realm {
    char dir[PATH_MAX];
    char log_path[PATH_MAX + 16];
    struct journal *log;
    struct identity id;
    struct chain_end self;
    struct slice chain[CHAIN_LINKS_MAX]; /* into bytes of the journal, or of `kept` */
    size_t chain_count;
    struct slice roots[ROOTS_MAX]; /* records of earlier keys of a root, the oldest first */
    size_t roots_count;
    uint64_t next_index;
    uint8_t before[ENTRY_DIGEST_LEN];
    struct realm_said *said;
    size_t said_count, said_size;
    uint8_t **kept; /* entries that were appended since: said points into them */
    size_t kept_count;
};

PRINTF_LIKE(3, 4)
static int said_err(char err[FILE_ERR], int r, const char *fmt, ...)
{
    va_list ap;

    va_start(ap, fmt);
    vsnprintf(err, FILE_ERR, fmt, ap);
    va_end(ap);
    return r;
}

static void path_of(const char *dir, const char *file, char out[PATH_MAX + 16])
{
    snprintf(out, PATH_MAX + 16, "%s/%s", dir, file);
}

int records_split(const char *file, const uint8_t *bytes, size_t len, struct slice *ret, size_t *count,
                  char err[FILE_ERR])
{
    struct record_error e;
    int r = record_split(bytes, len, ret, count, &e);

    if (r == -E2BIG)
        return said_err(err, r, "%s: byte %zu: more than %zu records", file, e.at, *count);
    if (r < 0)
        return said_err(err, r, "%s: byte %zu: no record: %s: %s", file, e.at, record_fault_name(e.fault),
                        cbor_fault_name(e.cbor));
    if (*count == 0)
        return said_err(err, -EBADMSG, "%s: empty, expected records", file);
    return 0;
}

/* --- replay --- */

static struct realm_said *find(const struct realm *r, const char *who)
{
    struct tag t;
    bool is_tag = tag_parse(who, &t) == 0;

    for (size_t i = r->said_count; i-- > 0;) {
        struct realm_said *s = &r->said[i];

        if (s->in_force && (s->type == RECORD_DELEGATION || s->type == RECORD_REGISTRATION) &&
            (is_tag ? tag_equal(&s->subject, &t) : strcmp(s->name, who) == 0))
            return s;
    }
    return NULL;
}

static bool names_somebody(const struct realm_said *s)
{
    return s->type == RECORD_DELEGATION || s->type == RECORD_REGISTRATION;
}

/* What `now` ends of what was said before. */
static void end_older(struct realm *r, const struct realm_said *now)
{
    for (size_t i = 0; i < r->said_count; i++) {
        struct realm_said *s = &r->said[i];
        bool same = tag_equal(&s->subject, &now->subject);

        if (names_somebody(now))
            same = names_somebody(s) && (same || strcmp(s->name, now->name) == 0);
        else if (now->type == RECORD_REVOCATION)
            same = same && (names_somebody(s) || s->type == RECORD_REVOCATION);
        else
            same = same && s->type == now->type;
        if (same)
            s->in_force = false;
    }
}

static int add_said(struct realm *r, const struct record *rec, struct slice bytes)
{
    struct realm_said s = { .type = rec->type,
                            .subject = rec->subject,
                            .range = rec->range,
                            .not_after_s = rec->not_after_s,
                            .record = bytes,
                            .in_force = true };

    if (r->said_count == r->said_size) {
        size_t size = r->said_size ? r->said_size * 2 : 64;
        struct realm_said *p = realloc(r->said, size * sizeof(*p));

        if (!p)
            return -ENOMEM;
        r->said = p;
        r->said_size = size;
    }
    s.name = strdup(rec->name);
    if (!s.name)
        return -ENOMEM;
    end_older(r, &s);
    r->said[r->said_count++] = s;
    return 0;
}

/* The realm's own chain, of which `where` speaks. */
static int take_chain(struct realm *r, const struct slice *links, size_t count, const char *where, char err[FILE_ERR])
{
    const struct rng kernel = sys_rng();
    char why[RECORD_ERROR_STRLEN];
    struct record_error e = { 0 };
    struct record_bytes b;
    struct record root;
    struct trust *t;
    int got;

    if (record_decode(links[0].data, links[0].len, &root, &b, &e) < 0 || root.type != RECORD_ROOT)
        return said_err(err, -EBADMSG, "%s: expected the record of a root", where);
    t = trust_new(root.key, &(struct trust_options){ .cached_max = 2, .facts_max = 64, .rng = &kernel });
    /* By no clock: the realm's own log must open whatever the time is; who reads its records looks at it. */
    got = t ? trust_verify(t, links, count, 1, &r->self, &e) : -ENOMEM;
    trust_free(t);
    if (got == -EBADMSG && e.fault == RECORD_EXPIRED)
        return said_err(err, got, "%s: record %u of the realm's own chain expired before it was made", where, e.link);
    if (got < 0)
        return said_err(err, got, "%s: the realm's own chain: record %u: %s", where, e.link,
                        got == -EBADMSG ? record_error_format(&e, why) : strerror(-got));
    if (!r->self.is_realm)
        return said_err(err, -EBADMSG, "%s: the chain ends at %s, which is no realm", where, r->self.name);
    if (r->chain_count == 1) {
        if (r->roots_count == ROOTS_MAX)
            memmove(r->roots, r->roots + 1, --r->roots_count * sizeof(r->roots[0]));
        r->roots[r->roots_count++] = r->chain[0];
    }
    memcpy(r->chain, links, count * sizeof(*links));
    r->chain_count = count;
    return 0;
}

/* The records of one entry whose signature is right. */
static int take_records(struct realm *r, struct entry *e, const char *where, char err[FILE_ERR])
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
            return said_err(err, got, "%s: %s", where,
                            got == -EBADMSG ? record_error_format(&fault, why) : strerror(-got));
        if (rec.type == RECORD_ROOT || count > 0) {
            if (count == CHAIN_LINKS_MAX)
                return said_err(err, -EBADMSG, "%s: the realm's own chain is too long", where);
            chain[count++] = bytes;
        } else {
            got = add_said(r, &rec, bytes);
            if (got < 0)
                return said_err(err, got, "%s: %s", where, strerror(-got));
        }
    }
    return count > 0 ? take_chain(r, chain, count, where, err) : 0;
}

/* The key that signs the first entry is that of the chain in it. */
static int first_key(struct entry e, uint8_t ret[IDENT_KEY_LEN])
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

static int take_entry(struct realm *r, const uint8_t *bytes, size_t len, char err[FILE_ERR])
{
    char where[PATH_MAX + 64];
    uint8_t key[IDENT_KEY_LEN];
    struct entry e;
    int got;

    snprintf(where, sizeof(where), "%s: byte %" PRIu64, r->log_path, journal_offset(r->log));
    if (entry_decode(bytes, len, &e) < 0)
        return said_err(err, -EBADMSG, "%s: no entry of a realm's log", where);
    if (e.index != r->next_index || memcmp(e.before, r->before, sizeof(e.before)) != 0)
        return said_err(err, -EBADMSG, "%s: found entry %" PRIu64 ", expected %" PRIu64 " that follows the one before",
                        where, e.index, r->next_index);
    memcpy(key, r->self.key, sizeof(key));
    if (e.index == 0 && first_key(e, key) < 0)
        return said_err(err, -EBADMSG, "%s: the first entry does not name the realm", where);
    got = entry_verify(bytes, len, key);
    if (got < 0)
        return said_err(err, got, "%s: entry %" PRIu64 " is not signed by the realm", where, e.index);
    entry_digest(bytes, len, r->before);
    r->next_index++;
    return take_records(r, &e, where, err);
}

/* --- changes --- */

/* A record to be said: fills in who, when and in which order, and signs. */
static int make(struct realm *r, struct record *rec, size_t place, const struct identity *by, uint64_t now_s,
                struct slice *ret, char err[FILE_ERR])
{
    uint8_t *out = malloc(RECORD_BYTES_MAX);
    size_t len = 0;
    int got;

    rec->seq = (r->next_index + 1) << 32 | place;
    rec->issued_s = now_s;
    got = out ? record_encode(rec, by->ed25519_seed, out, RECORD_BYTES_MAX, &len) : -ENOMEM;
    if (got < 0) {
        free(out);
        return said_err(err, got, "%s: cannot make a %s of %s: %s", r->dir, record_type_name(rec->type),
                        rec->name[0] ? rec->name : "it",
                        got == -EINVAL ? "its values do not go together" : strerror(-got));
    }
    *ret = (struct slice){ out, len };
    return 0;
}

static void free_made(struct slice *made, size_t count)
{
    for (size_t i = 0; i < count; i++)
        free((void *)(uintptr_t)made[i].data);
}

/* One entry of these records, signed by the realm's key of now; then they are in force. */
static int say(struct realm *r, const struct slice *records, size_t count, char err[FILE_ERR])
{
    uint8_t *bytes, **kept = realloc(r->kept, (r->kept_count + 1) * sizeof(*kept));
    size_t size = 0, len = 0;
    struct entry e;
    int got;

    if (kept)
        r->kept = kept;
    for (size_t i = 0; i < count; i++)
        size += records[i].len;
    size = entry_size(count, size);
    bytes = malloc(size);
    got = bytes && kept ? entry_encode(r->next_index, r->before, records, count, r->id.ed25519_seed, bytes, size, &len)
                        : -ENOMEM;
    if (got < 0) {
        free(bytes);
        return said_err(err, got, "%s: cannot write an entry: %s", r->log_path, strerror(-got));
    }
    got = journal_append(r->log, bytes, len, err, FILE_ERR);
    if (got == 0)
        got = entry_decode(bytes, len, &e) < 0 ? said_err(err, -EIO, "%s: an entry of ours cannot be read", r->log_path)
                                               : 0;
    if (got < 0) {
        free(bytes);
        return got;
    }
    r->kept[r->kept_count++] = bytes;
    entry_digest(bytes, len, r->before);
    r->next_index++;
    return take_records(r, &e, r->log_path, err);
}

static int say_one(struct realm *r, struct record *rec, uint64_t now_s, char err[FILE_ERR])
{
    struct slice made;
    int got = make(r, rec, 0, &r->id, now_s, &made, err);

    if (got == 0) {
        got = say(r, &made, 1, err);
        free_made(&made, 1);
    }
    return got;
}

static int write_root(const struct realm *r, char err[FILE_ERR])
{
    char path[PATH_MAX + 16];

    path_of(r->dir, "root", path);
    return store_write(path, r->chain[0].data, r->chain[0].len, err, FILE_ERR);
}

/* An empty realm in a new folder; the key is in it. */
static int begin(const char *dir, const struct identity *id, struct realm **ret, char err[FILE_ERR])
{
    char path[PATH_MAX + 16];
    struct realm *r;
    int got;

    if (strlen(dir) >= PATH_MAX - 16)
        return said_err(err, -ENAMETOOLONG, "%s: too long", dir);
    if (mkdir(dir, 0700) < 0 && errno != EEXIST)
        return said_err(err, -errno, "%s: %s", dir, strerror(errno));
    path_of(dir, "log", path);
    if (access(path, F_OK) == 0)
        return said_err(err, -EEXIST, "%s: there is a realm already", dir);
    r = calloc(1, sizeof(*r));
    if (!r)
        return said_err(err, -ENOMEM, "%s: out of memory", dir);
    snprintf(r->dir, sizeof(r->dir), "%s", dir);
    path_of(dir, "log", r->log_path);
    r->id = *id;
    path_of(dir, "key", path);
    got = key_file_write(path, id, err);
    if (got == 0)
        got = journal_open(r->log_path, true, true, &r->log, err, FILE_ERR);
    if (got == 0 && (got = store_sync_folder(dir)) < 0)
        said_err(err, got, "%s: %s", dir, strerror(-got));
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

static struct record root_of(const struct identity *id, const struct tag *tag, const char *name)
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
        return said_err(err, -EINVAL, "%s: character %zu: %s", name, why.at + 1, why.why);
    if (identity_generate(&id, &kernel) < 0)
        return said_err(err, -ENOMEM, "out of memory");
    got = tag_make(id.ed25519, TAG_RAA(deployment ? deployment : tag_deployment_of(id.ed25519)),
                   TAG_HDA(TAG_TIER_SERVICE, 0), &tag);
    if (got < 0)
        said_err(err, got, "out of memory");
    if (got == 0)
        got = begin(dir, &id, &r, err);
    if (got == 0 && r) {
        rec = root_of(&id, &tag, canonical);
        got = say_one(r, &rec, now_s, err);
        if (got == 0)
            got = write_root(r, err);
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
        got = take_chain(&check, links, count, "the chain", err);
    if (got == 0 && memcmp(check.self.key, id->ed25519, IDENT_KEY_LEN) != 0)
        got = said_err(err, -EINVAL, "the chain is of %s with another key than this one", check.self.name);
    if (got == 0 && check.self.not_after_s && check.self.not_after_s < now_s)
        got = said_err(err, -EINVAL, "the chain of %s has expired", check.self.name);
    if (got == 0)
        got = begin(dir, id, &r, err);
    if (got < 0 || !r)
        return got;
    got = say(r, links, count, err);
    return got == 0 ? write_root(r, err) : got;
}

/* The key that the log says is ours: in key, or still in key.next. */
static int find_key(struct realm *r, char err[FILE_ERR])
{
    char path[PATH_MAX + 16], next[PATH_MAX + 16], why[FILE_ERR];
    int got;

    path_of(r->dir, "key", path);
    path_of(r->dir, "key.next", next);
    got = key_file_read(path, &r->id, err);
    if (got == 0 && memcmp(r->id.ed25519, r->self.key, IDENT_KEY_LEN) == 0)
        return 0;
    if (key_file_read(next, &r->id, why) < 0 || memcmp(r->id.ed25519, r->self.key, IDENT_KEY_LEN) != 0) {
        identity_wipe(&r->id);
        return got < 0 ? got
                       : said_err(err, -EBADMSG, "%s: is not the key of %s, as its log has it", path, r->self.name);
    }
    if (rename(next, path) < 0)
        return said_err(err, -errno, "%s: %s", next, strerror(errno));
    return 0;
}

int realm_open(const char *dir, bool writing, struct realm **ret, char err[FILE_ERR])
{
    struct realm *r = calloc(1, sizeof(*r));
    const uint8_t *bytes;
    size_t len;
    int got;

    if (!r)
        return said_err(err, -ENOMEM, "%s: out of memory", dir);
    snprintf(r->dir, sizeof(r->dir), "%s", dir);
    path_of(r->dir, "log", r->log_path);
    got = journal_open(r->log_path, false, writing, &r->log, err, FILE_ERR);
    if (got == -EBUSY)
        said_err(err, got, "%s: another process is changing this realm", dir);
    while (got == 0 && journal_next(r->log, &bytes, &len))
        got = take_entry(r, bytes, len, err);
    if (got == 0 && r->next_index == 0)
        got =
            said_err(err, -EBADMSG, "%s: empty: the making of this realm was interrupted; remove %s and make it again",
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

void realm_close(struct realm *r)
{
    if (!r)
        return;
    for (size_t i = 0; i < r->said_count; i++)
        free(r->said[i].name);
    for (size_t i = 0; i < r->kept_count; i++)
        free(r->kept[i]);
    free(r->said);
    free(r->kept);
    journal_close(r->log);
    identity_wipe(&r->id);
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
    return r->said_count;
}

const struct realm_said *realm_said_at(const struct realm *r, size_t i)
{
    return &r->said[i];
}

uint64_t realm_entries(const struct realm *r)
{
    return r->next_index;
}

uint64_t realm_torn(const struct realm *r)
{
    return journal_torn(r->log);
}

/* Whether any revocation is of that tag. */
static bool was_revoked(const struct realm *r, const struct tag *t)
{
    for (size_t i = 0; i < r->said_count; i++)
        if (r->said[i].type == RECORD_REVOCATION && tag_equal(&r->said[i].subject, t))
            return true;
    return false;
}

/* The lowest range that overlaps none that was ever given to another. */
static int free_range(const struct realm *r, unsigned bits, struct realm_range *ret, char err[FILE_ERR])
{
    for (unsigned number = r->self.range.number; number <= TAG_REALM_MAX; number += 1u << (12 - bits)) {
        struct realm_range range = { (uint16_t)number, (uint8_t)bits };
        bool taken = !realm_range_may_delegate(&r->self.range, &range);

        /* Never one that was given before: an old record must not come to mean another realm. */
        for (size_t i = 0; i < r->said_count && !taken; i++)
            taken = r->said[i].type == RECORD_DELEGATION && realm_range_overlap(&r->said[i].range, &range);
        if (!taken) {
            *ret = range;
            return 0;
        }
    }
    return said_err(err, -ENOSPC, "%s has no range of %u bits left", r->self.name, bits);
}

/* The name is free, or this key's already. */
static int check_free(const struct realm *r, const char *name, const struct tag *subject, char err[FILE_ERR])
{
    const struct realm_said *s = find(r, name);

    if (was_revoked(r, subject))
        return said_err(err, -EINVAL, "%s: this key was revoked: make another", name);
    if (s && !tag_equal(&s->subject, subject))
        return said_err(err, -EEXIST, "%s has another key: revoke it first, or let it hand over (hawser id rotate)",
                        name);
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
        return said_err(err, -EINVAL, "%s: below it there is room for entities only (chains have at most 4 links)",
                        r->self.name);
    snprintf(joined, sizeof(joined), "%s.%s", label, r->self.name);
    if (name_parse_realm(joined, strlen(joined), rec.name, &why) < 0)
        return said_err(err, -EINVAL, "%s: character %zu: %s", joined, why.at + 1, why.why);
    if (!name_is_child_realm(rec.name, r->self.name))
        return said_err(err, -EINVAL, "%s: expected one label", label);
    s = find(r, rec.name);
    if (s)
        rec.range = s->range;
    else if ((got = free_range(r, bits, &rec.range, err)) < 0)
        return got;
    memcpy(rec.key, ed25519, IDENT_KEY_LEN);
    if (tag_make(ed25519, tag_raa(&r->self.tag), TAG_HDA(TAG_TIER_SERVICE, rec.range.number), &rec.subject) < 0)
        return said_err(err, -ENOMEM, "out of memory");
    got = check_free(r, rec.name, &rec.subject, err);
    return got < 0 ? got : say_one(r, &rec, now_s, err);
}

int realm_enrol(struct realm *r, const char *leaf, const struct peer_key *key, uint8_t flags, uint64_t now_s,
                uint64_t not_after_s, char err[FILE_ERR])
{
    struct record rec = { .type = RECORD_REGISTRATION,
                          .issuer = r->self.tag,
                          .flags = flags,
                          .suites = key->suites,
                          .not_after_s = not_after_s };
    char joined[2 * NAME_SIZE];
    struct name_error why;
    struct name n;
    int got;

    snprintf(joined, sizeof(joined), "%s.%s", leaf, r->self.name);
    if (name_parse(joined, strlen(joined), &n, &why) < 0)
        return said_err(err, -EINVAL, "%s: character %zu: %s", joined, why.at + 1, why.why);
    if (strcmp(n.text + n.realm_at, r->self.name) != 0)
        return said_err(err, -EINVAL, "%s: expected a name and its tier, as laptop.h", leaf);
    if (!(r->self.tiers & 1u << n.tier))
        return said_err(err, -EINVAL, "%s: %s has not been given the tier %c", leaf, r->self.name,
                        name_tier_letter(n.tier));
    memcpy(rec.name, n.text, n.len + 1u);
    memcpy(rec.key, key->ed25519, IDENT_KEY_LEN);
    memcpy(rec.x25519, key->x25519, IDENT_KEY_LEN);
    if (tag_make(key->ed25519, tag_raa(&r->self.tag), TAG_HDA(n.tier, r->self.range.number), &rec.subject) < 0)
        return said_err(err, -ENOMEM, "out of memory");
    got = check_free(r, rec.name, &rec.subject, err);
    return got < 0 ? got : say_one(r, &rec, now_s, err);
}

int realm_revoke(struct realm *r, const char *who, enum record_reason reason, uint64_t now_s, char err[FILE_ERR])
{
    struct record rec = { .type = RECORD_REVOCATION, .issuer = r->self.tag, .reason = reason };
    const struct realm_said *s = find(r, who);

    if (!s)
        return said_err(err, -ENOENT, "%s: nothing of that name or tag is in force in %s", who, r->self.name);
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
    const struct realm_said *s = who ? find(r, who) : NULL;

    if (who && !s)
        return said_err(err, -ENOENT, "%s: nothing of that name or tag is in force in %s", who, r->self.name);
    if (count > RECORD_RULES_MAX)
        return said_err(err, -E2BIG, "found %zu rules, expected %d at most", count, RECORD_RULES_MAX);
    if (s)
        rec.subject = s->subject;
    memcpy(rec.rules, rules, count * sizeof(*rules));
    return say_one(r, &rec, now_s, err);
}

int realm_publish(struct realm *r, const uint8_t *bytes, size_t len, char err[FILE_ERR])
{
    const struct slice record = { bytes, len };
    struct record_error e;
    struct record_bytes b;
    struct record rec;
    char who[TAG_STRLEN];
    int got = record_decode(bytes, len, &rec, &b, &e);

    if (got < 0)
        return said_err(err, got, "%s: no record", r->dir);
    if ((rec.type != RECORD_POLICY && rec.type != RECORD_REVOCATION) ||
        (!tag_equal(&rec.subject, &r->self.tag) && !find(r, tag_format(&rec.subject, who))))
        return said_err(err, -EINVAL, "%s: a %s of nobody who is in force here", r->dir, record_type_name(rec.type));
    return say(r, &record, 1, err);
}

/* --- changes of key --- */

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
        return said_err(err, got, "the old key is not the one of the chain");
    memcpy(rec.old_key, from->ed25519, IDENT_KEY_LEN);
    memcpy(rec.key, to->ed25519, IDENT_KEY_LEN);
    got = tag_make(to->ed25519, tag_raa(subject), tag_hda(subject), &rec.next);
    if (got == 0)
        got = successor_prove(&rec, from->ed25519_seed, rec.old_proof);
    if (got == 0)
        got = successor_prove(&rec, to->ed25519_seed, rec.new_proof);
    if (got == 0)
        got = record_encode(&rec, from->ed25519_seed, out, size, ret_len);
    return got < 0 ? said_err(err, got, "cannot make the statement: %s",
                              got == -EINVAL ? "both keys are the same" : strerror(-got))
                   : 0;
}

/* All that is in force, in the name of `issuer` and signed by its key: into made[from..], whose number comes back. */
static int make_again(struct realm *r, const struct tag *issuer, const struct identity *by, uint64_t now_s,
                      struct slice *made, size_t from, size_t *ret_count, char err[FILE_ERR])
{
    struct record_error e;
    struct record_bytes b;
    struct record rec;
    size_t n = from;
    int got = 0;

    for (size_t i = 0; i < r->said_count && got == 0; i++) {
        uint64_t issued_s;

        if (!r->said[i].in_force)
            continue;
        got = record_decode(r->said[i].record.data, r->said[i].record.len, &rec, &b, &e);
        /* The succession of the realm itself stays what it is: the old key's word. */
        if (got == 0 && rec.type == RECORD_POLICY && tag_equal(&rec.subject, &r->self.tag))
            rec.subject = *issuer; /* the realm's own goes with it */
        else if (got < 0 || tag_equal(&rec.subject, &r->self.tag) || tag_equal(&rec.subject, &rec.issuer))
            continue;
        rec.issuer = *issuer;
        issued_s = rec.not_after_s && rec.not_after_s < now_s ? rec.issued_s : now_s; /* what is over stays over */
        got = make(r, &rec, n, by, issued_s, &made[n], err);
        if (got == 0)
            n++;
    }
    *ret_count = n;
    return got;
}

/* The entry of a change of key, and what follows it. chain: of the new key, its records; extra: 0 or 1 records before.
 */
static int rotate(struct realm *r, const struct identity *next, const struct tag *tag, struct slice *extra,
                  const struct slice *chain, size_t chain_count, uint64_t now_s, char err[FILE_ERR])
{
    struct slice *made = calloc(r->said_count + 1 + CHAIN_LINKS_MAX, sizeof(*made));
    char path[PATH_MAX + 16], next_path[PATH_MAX + 16];
    size_t count = 0, first = 0;
    int got;

    if (!made)
        return said_err(err, -ENOMEM, "out of memory");
    if (extra)
        made[first++] = *extra;
    got = make_again(r, tag, next, now_s, made, first, &count, err);
    memcpy(made + count, chain, chain_count * sizeof(*chain));
    if (got == 0)
        got = say(r, made, count + chain_count, err);
    free_made(made + first, count - first);
    free(made);
    if (got < 0)
        return got;
    r->id = *next;
    path_of(r->dir, "key", path);
    path_of(r->dir, "key.next", next_path);
    if (rename(next_path, path) < 0)
        return said_err(err, -errno, "%s: %s", next_path, strerror(errno));
    return write_root(r, err);
}

/* The next key: the one in key.next, or a new one that is written there. */
static int next_key(struct realm *r, struct identity *ret, char err[FILE_ERR])
{
    const struct rng kernel = sys_rng();
    char path[PATH_MAX + 16];

    path_of(r->dir, "key.next", path);
    if (access(path, F_OK) == 0)
        return key_file_read(path, ret, err);
    if (identity_generate(ret, &kernel) < 0)
        return said_err(err, -ENOMEM, "out of memory");
    return key_file_write(path, ret, err);
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
        return said_err(err, -EINVAL, "%s is no root: the realm above it must countersign", r->self.name);
    got = next_key(r, &next, err);
    if (got == 0)
        got = realm_statement(&r->id, &next, &r->self.tag, now_s, statement, sizeof(statement), &len, err);
    if (got == 0)
        got = record_decode(statement, len, &rec, &b, &e);
    if (got == 0) {
        rec.not_after_s = until_s;
        root = root_of(&next, &rec.next, r->self.name);
        got = make(r, &rec, 0, &r->id, now_s, &made[0], err);
    }
    if (got == 0)
        got = make(r, &root, 0xffffffff, &next, now_s, &made[1], err);
    if (got == 0)
        got = rotate(r, &next, &rec.next, &made[0], &made[1], 1, now_s, err);
    free_made(made, 2);
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

    path_of(r->dir, "key.next", path);
    if (got == 0)
        got = take_chain(&check, links, count, "the chain", err);
    if (got == 0 && (strcmp(check.self.name, r->self.name) != 0 || check.self.range.number != r->self.range.number ||
                     check.self.range.bits != r->self.range.bits || tag_raa(&check.self.tag) != tag_raa(&r->self.tag)))
        got = said_err(err, -EINVAL, "the chain is not of %s", r->self.name);
    if (got == 0 && check.self.seq < r->self.seq)
        got = said_err(err, -EINVAL, "the chain of %s is older than the one that it has", r->self.name);
    if (got < 0)
        return got;
    /* Of the key that it has: it lasts longer, or the root above has another key. What was said stays said. */
    if (tag_equal(&check.self.tag, &r->self.tag)) {
        got = say(r, links, count, err);
        return got == 0 ? write_root(r, err) : got;
    }
    got = key_file_read(path, &next, err);
    if (got == 0 && memcmp(check.self.key, next.ed25519, IDENT_KEY_LEN) != 0)
        got = said_err(err, -EINVAL, "the chain is not of the next key of %s", r->self.name);
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
        return said_err(err, got, "the statement: %s", got == -EBADMSG ? record_error_format(&e, why) : strerror(-got));
    if (rec.type != RECORD_SUCCESSOR || !tag_equal(&rec.issuer, &rec.subject) || record_verify(&b, rec.old_key) < 0 ||
        successor_verify(&rec) < 0)
        return said_err(err, -EBADMSG, "the statement: not signed by the old key and the new one");
    s = find(r, tag_format(&rec.subject, text));
    if (!s)
        return said_err(err, -ENOENT, "%s: nothing of that tag is in force in %s", text, r->self.name);
    if (was_revoked(r, &rec.next))
        return said_err(err, -EINVAL, "%s: the new key was revoked", s->name);
    got = record_decode(s->record.data, s->record.len, &again, &b, &e);
    if (got < 0)
        return said_err(err, got, "%s: cannot be read again", s->name);
    if (again.type == RECORD_REGISTRATION && (!key || memcmp(key->ed25519, rec.key, IDENT_KEY_LEN) != 0))
        return said_err(err, -EINVAL, "%s: expected the new public key beside the statement", s->name);
    rec.issuer = r->self.tag;
    rec.not_after_s = until_s;
    again.subject = rec.next;
    memcpy(again.key, rec.key, IDENT_KEY_LEN);
    if (again.type == RECORD_REGISTRATION) {
        memcpy(again.x25519, key->x25519, IDENT_KEY_LEN);
        again.suites = key->suites;
    }
    got = make(r, &rec, 0, &r->id, now_s, &made[0], err);
    if (got == 0)
        got = make(r, &again, 1, &r->id, now_s, &made[1], err);
    if (got == 0)
        got = say(r, made, 2, err);
    free_made(made, 2);
    return got;
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
        return said_err(err, -ENOMEM, "out of memory");
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
    const struct realm_said *s = who ? find(r, who) : NULL;

    if (who && !s)
        return said_err(err, -ENOENT, "%s: nothing of that name or tag is in force in %s", who, r->self.name);
    return join(r->chain, r->chain_count, s ? &s->record : NULL, s ? 1 : 0, ret, ret_len, err);
}

int realm_ended(const struct realm *r, uint8_t **ret, size_t *ret_len, char err[FILE_ERR])
{
    struct slice *all = calloc(r->roots_count + r->said_count + 1, sizeof(*all));
    size_t n = r->roots_count;
    int got;

    if (!all)
        return said_err(err, -ENOMEM, "out of memory");
    memcpy(all, r->roots, n * sizeof(*all));
    for (size_t i = 0; i < r->said_count; i++)
        if (r->said[i].in_force && (r->said[i].type == RECORD_REVOCATION || r->said[i].type == RECORD_SUCCESSOR))
            all[n++] = r->said[i].record;
    got = join(r->chain, r->chain_count, all, n, ret, ret_len, err);
    free(all);
    return got;
}
