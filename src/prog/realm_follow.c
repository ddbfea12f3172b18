/* prog/realm_follow.c - see realm.h: the log that another manager of the realm has, kept here too.
 *
 * Theory of operation. Entries come as they were written there. They are cut into runs that one key has signed: an
 * entry holds the digest of the one before, so the signature of the last of a run is that of all of it. A run is looked
 * at as a whole before anything of it is written; then it is read as every log is.
 *
 * Limits: a write waits for the disk, one for each entry. */
#include "prog/realm_internal.h"
#include "sys/journal.h"

#include <errno.h>
#include <inttypes.h>

/* Whether it holds a chain of the realm's own, which may change the key that signs what follows. */
static bool names_realm(struct entry e)
{
    struct record_error fault;
    struct record_bytes b;
    struct record rec;
    struct slice bytes;

    while (entry_next(&e, &bytes))
        if (record_decode(bytes.data, bytes.len, &rec, &b, &fault) == 0 && rec.type == RECORD_ROOT)
            return true;
    return false;
}

/* Entries of one key, each of which holds the digest of the one before: so the signature of the last is enough. */
static int append_run(struct realm *r, const struct slice *entries, size_t count, char err[FILE_ERR])
{
    uint8_t before[ENTRY_DIGEST_LEN], key[IDENT_KEY_LEN];
    struct entry e;
    int got = 0;

    memcpy(before, r->before, sizeof(before));
    memcpy(key, r->self.key, sizeof(key));
    for (size_t i = 0; i < count; i++) {
        if (entry_decode(entries[i].data, entries[i].len, &e) < 0 || e.index != r->next_index + i ||
            memcmp(e.before, before, sizeof(before)) != 0)
            return realm_said_err(err, -EBADMSG,
                                  "%s: expected entry %" PRIu64 " of the log that is followed, which joins",
                                  r->log_path, r->next_index + i);
        if (e.index == 0 && realm_first_key(e, key) < 0)
            return realm_said_err(err, -EBADMSG, "%s: the first entry does not name the realm", r->log_path);
        entry_digest(entries[i].data, entries[i].len, before);
    }
    got = entry_verify(entries[count - 1].data, entries[count - 1].len, key);
    if (got < 0)
        return realm_said_err(err, got, "%s: entry %" PRIu64 " of the log that is followed is not signed by the realm",
                              r->log_path, r->next_index + count - 1);
    for (size_t i = 0; i < count && got == 0; i++)
        got = journal_append(r->log, entries[i].data, entries[i].len, err, FILE_ERR);
    return got == 0 ? realm_take_entries(r, SIZE_MAX, err) : got;
}

/* Those that others have written here meanwhile must be the same. How many, or -EBADMSG. */
static int skip_known(const struct realm *r, const struct slice *entries, size_t count, char err[FILE_ERR])
{
    struct entry e;
    size_t n = 0;

    for (; n < count; n++) {
        if (entry_decode(entries[n].data, entries[n].len, &e) < 0 || e.index >= r->next_index)
            break;
        if (entries[n].len != r->entries[e.index].len ||
            memcmp(entries[n].data, r->entries[e.index].data, entries[n].len) != 0)
            return realm_said_err(err, -EBADMSG,
                                  "%s: entry %" PRIu64 " is another than that of the log that is followed", r->log_path,
                                  e.index);
    }
    return (int)n;
}

static int follow(struct realm *r, const struct slice *entries, size_t count, char err[FILE_ERR])
{
    struct entry e;
    int got = realm_take_entries(r, SIZE_MAX, err), known;

    if (got < 0 || (known = skip_known(r, entries, count, err)) < 0)
        return got < 0 ? got : known;
    for (size_t at = (size_t)known, n; at < count && got == 0; at += n) {
        for (n = 1; at + n < count; n++)
            if (entry_decode(entries[at + n - 1].data, entries[at + n - 1].len, &e) == 0 && names_realm(e))
                break;
        got = append_run(r, entries + at, n, err);
    }
    return got;
}

int realm_follow(struct realm *r, const struct slice *entries, size_t count, char err[FILE_ERR])
{
    int got = journal_begin_writing(r->log, err, FILE_ERR);

    if (got == -EBUSY)
        return realm_said_err(err, got, "%s: another process is changing this realm", r->dir);
    if (got < 0)
        return got;
    got = follow(r, entries, count, err);
    journal_end_writing(r->log);
    return got;
}
