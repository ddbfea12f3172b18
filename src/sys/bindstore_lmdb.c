/* sys/bindstore_lmdb.c - the engine `lmdb` of bindstore.h: rows and log in one file of this machine.
 *
 * Theory of operation. LMDB is a B+ tree that never writes over what the last commit can reach: new pages are written
 * beside the old ones, fdatasync, then one of two meta pages in turn by a write of less than a sector, O_DSYNC. So at
 * any moment the file is that of the last commit or of the one before, and a batch is whole or not there. One thread
 * writes: it takes what waits in the queue as one transaction. A group that fails for want of space is given back as a
 * whole, and the file is what it was. LMDB tells a write that the disk took half of as EIO, which a full disk does too:
 * a group is tried once more before EIO is believed. After that nothing more is taken: nobody can tell what such a disk
 * holds.
 *
 * A store that is made anew is made beside its place and renamed, so that what is in its place is always whole. A lock
 * on the file, which goes with the process, keeps a second process out; so LMDB's own lock file is this process's
 * alone, and one that a killed process left is thrown away.
 *
 * A file that is opened is looked through first (lmdb_check.h), and each row and entry has a check of its own: so
 * damage is told by its place, and never followed.
 *
 * The log's entries are numbered without a gap. When it is longer than it may be, each commit takes away more at its
 * old end than it adds. A file that is as large as it may be takes no new rows any more, but still ends and forgets
 * rows, for which RESERVE is kept: so a full store comes back.
 *
 * Limits: 1 writer, BINDSTORE_READERS_MAX readers; rows of 4 KiB; bytes_max. Measured: see bench/mapping.sh. Sources:
 * LMDB's lmdb.h; fdatasync(2), open(2) of O_DSYNC, fcntl(2) of F_OFD_SETLK. */
#include "sys/bindstore_engine.h"
#include "sys/bindstore_rows.h"
#include "sys/lmdb_check.h"
#include "sys/store.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <lmdb.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#define BYTES_MAX_DEFAULT (16ull << 30)
#define BYTES_MIN (1u << 20)    /* chosen: less than that is a mistake in units */
#define RESERVE (4u << 20)      /* chosen: pages of a few groups that only take away */
#define PAGES_FREE_ENOUGH 1024u /* a group of 256 rows touches some 256 leaves and their branches */
#define COMPACT_EXTRA 64u       /* chosen: entries beyond as many as were added */
#define VERSION 1

enum { DB_ROWS, DB_LOG, DB_ABOUT, DB_COUNT };

static const char *const db_names[DB_COUNT] = { "rows", "log", "about" };

struct lmdb {
    struct bindstore base;
    char *path;
    int lock_fd;
    MDB_env *env;
    MDB_dbi dbi[DB_COUNT];
    uint64_t bytes_max;
    uint32_t log_max;
    uint64_t first, last; /* cursors of the log, the writer's; 0: it is empty */
    pthread_mutex_t readers_lock;
    unsigned readers;
};

struct lmdb_reader {
    struct bindstore_reader base;
    MDB_txn *txn; /* at rest between calls */
    uint8_t bytes[BINDSTORE_BYTES_MAX];
};

static struct lmdb *lmdb_of(struct bindstore *s)
{
    return CONTAINER_OF(s, struct lmdb, base);
}

static struct lmdb_reader *reader_of(struct bindstore_reader *r)
{
    return CONTAINER_OF(r, struct lmdb_reader, base);
}

static int error_of(int r)
{
    switch (r) {
    case MDB_MAP_FULL:
    case MDB_TXN_FULL:
    case ENOSPC:
    case EDQUOT:
    case EFBIG:
        return -ENOSPC;
    case MDB_PANIC:
        return -EIO;
    case MDB_CORRUPTED:
    case MDB_PAGE_NOTFOUND:
    case MDB_INVALID:
    case MDB_BAD_DBI:
    case MDB_INCOMPATIBLE:
        return -EBADMSG;
    case MDB_VERSION_MISMATCH:
        return -ENOTSUP;
    default:
        return r > 0 ? -r : -EBADMSG;
    }
}

/* --- the writer --- */

/* Cursors of the log. 0 or -EBADMSG: a gap; else LMDB's error. */
static int log_ends(struct lmdb *s, MDB_txn *txn, uint64_t *ret_first, uint64_t *ret_last)
{
    uint64_t ends[2] = { 0, 0 };
    MDB_cursor *c;
    MDB_stat st;
    int r = mdb_cursor_open(txn, s->dbi[DB_LOG], &c);

    if (r != 0)
        return error_of(r);
    for (int i = 0; i < 2 && r == 0; i++) {
        MDB_val key, value;

        r = mdb_cursor_get(c, &key, &value, i == 0 ? MDB_FIRST : MDB_LAST);
        if (r == 0 && key.mv_size != ROWS_CURSOR_LEN)
            r = MDB_CORRUPTED;
        if (r == 0)
            ends[i] = get_be64(key.mv_data);
    }
    mdb_cursor_close(c);
    if (r == 0)
        r = mdb_stat(txn, s->dbi[DB_LOG], &st);
    if (r != 0 && r != MDB_NOTFOUND)
        return error_of(r);
    if (r == 0 && (ends[0] == 0 || ends[1] - ends[0] + 1 != st.ms_entries))
        return -EBADMSG;
    *ret_first = ends[0];
    *ret_last = ends[1];
    return 0;
}

/* Pages that the next transactions may take: LMDB's own list, transaction -> count, pages. It shows it to readers only.
 */
static int pages_free(struct lmdb *s, size_t *ret)
{
    MDB_val key, value;
    MDB_cursor *c;
    MDB_txn *txn;
    size_t n = 0, of_one;
    int r = mdb_txn_begin(s->env, NULL, MDB_RDONLY, &txn);

    if (r != 0)
        return error_of(r);
    r = mdb_cursor_open(txn, 0, &c);
    if (r == 0) {
        while ((r = mdb_cursor_get(c, &key, &value, MDB_NEXT)) == 0)
            if (value.mv_size >= sizeof(of_one)) {
                memcpy(&of_one, value.mv_data, sizeof(of_one));
                n += of_one;
            }
        mdb_cursor_close(c);
    }
    mdb_txn_abort(txn);
    *ret = n;
    return r == MDB_NOTFOUND ? 0 : error_of(r);
}

/* True in *ret if new rows may come. Before a transaction. */
static int has_room(struct lmdb *s, bool *ret)
{
    MDB_envinfo info;
    MDB_stat st;
    size_t n = 0;
    int r = 0;

    mdb_env_info(s->env, &info);
    mdb_env_stat(s->env, &st);
    *ret = (uint64_t)info.me_last_pgno * st.ms_psize < s->bytes_max;
    if (!*ret) {
        r = pages_free(s, &n);
        *ret = n >= PAGES_FREE_ENOUGH;
    }
    return r;
}

static int log_append(struct lmdb *s, MDB_txn *txn, const struct bindstore_change *c, uint64_t *last)
{
    struct bindstore_logged logged = { .cursor = *last + 1, .forgotten = c->op == BINDSTORE_FORGET, .row = c->row };
    uint8_t key[ROWS_CURSOR_LEN], entry[ROWS_ENTRY_LEN];
    MDB_val k = { sizeof(key), key }, v = { sizeof(entry), entry };
    int r;

    rows_entry_encode(&logged, key, entry);
    r = mdb_put(txn, s->dbi[DB_LOG], &k, &v, MDB_APPEND);
    if (r != 0)
        return error_of(r);
    (*last)++;
    return 0;
}

/* 0: *result says what became of it, which may be an error of this change alone. -errno: the transaction is to fail. */
static int apply(struct lmdb *s, MDB_txn *txn, const struct bindstore_change *c, bool room, uint64_t *last,
                 struct bindstore_result *result)
{
    uint8_t key[ROWS_KEY_LEN], value[ROWS_VALUE_MAX];
    MDB_val k = { sizeof(key), key }, v;
    struct bindstore_row have = { 0 }, row = { 0 };
    bool there, logged, changed;
    const char *why;
    int r;

    *result = (struct bindstore_result){ 0 };
    rows_key(&c->row.subject, c->row.kind, c->row.answer, key);
    r = mdb_get(txn, s->dbi[DB_ROWS], &k, &v);
    there = r == 0;
    if (r != 0 && r != MDB_NOTFOUND)
        return error_of(r);
    if (there && rows_decode(key, sizeof(key), v.mv_data, v.mv_size, &have, &why) < 0) {
        result->outcome = -EBADMSG;
        return 0;
    }
    result->outcome = bindstore_merge(there ? &have : NULL, c, &row, &logged);
    result->seq = there ? have.seq : 0;
    if (result->outcome != BINDSTORE_STORED && result->outcome != BINDSTORE_SAME)
        return 0;
    changed = result->outcome == BINDSTORE_STORED || row.expires_ms != have.expires_ms;
    if (!changed)
        return 0;
    if (!room && row.bytes && c->op == BINDSTORE_PUT) {
        result->outcome = -ENOSPC;
        return 0;
    }
    if (c->op == BINDSTORE_FORGET) {
        r = mdb_del(txn, s->dbi[DB_ROWS], &k, NULL);
    } else {
        MDB_val out = { rows_encode(&row, value), value };

        r = mdb_put(txn, s->dbi[DB_ROWS], &k, &out, 0);
    }
    if (r != 0)
        return error_of(r);
    result->seq = c->op == BINDSTORE_FORGET ? 0 : row.seq;
    if (logged) {
        r = log_append(s, txn, c, last);
        result->cursor = *last;
    }
    return r;
}

/* Takes entries away at the old end, more than were added. */
static int compact(struct lmdb *s, MDB_txn *txn, uint64_t *first, uint64_t last)
{
    uint64_t most = last - s->last + COMPACT_EXTRA, n = 0;
    MDB_val key, value;
    MDB_cursor *c;
    int r;

    if (*first == 0 && last > 0)
        *first = 1;
    if (last == 0 || last - *first < s->log_max)
        return 0;
    r = mdb_cursor_open(txn, s->dbi[DB_LOG], &c);
    if (r != 0)
        return error_of(r);
    for (; r == 0 && n < most && last - *first >= s->log_max; n++) {
        r = mdb_cursor_get(c, &key, &value, MDB_FIRST);
        if (r == 0)
            r = mdb_cursor_del(c, 0);
        if (r == 0)
            (*first)++;
    }
    mdb_cursor_close(c);
    return r == 0 ? 0 : error_of(r);
}

/* One transaction. 0 or -errno; results are valid when it is 0. */
static int commit_once(struct lmdb *s, struct bindstore_list *group)
{
    uint64_t first = s->first, last = s->last;
    bool room = true;
    MDB_txn *txn;
    int r = has_room(s, &room);

    if (r < 0)
        return r;
    r = mdb_txn_begin(s->env, NULL, 0, &txn);
    if (r != 0)
        return error_of(r);
    for (struct bindstore_batch *b = group->head; b && r == 0; b = b->next)
        for (size_t i = 0; i < b->count && r == 0; i++)
            r = apply(s, txn, &b->changes[i], room, &last, &b->results[i]);
    if (r == 0)
        r = compact(s, txn, &first, last);
    if (r < 0) {
        mdb_txn_abort(txn);
        return r;
    }
    r = mdb_txn_commit(txn);
    if (r != 0)
        return error_of(r);
    s->first = first;
    s->last = last;
    return 0;
}

static void commit(struct lmdb *s, struct bindstore_list *group)
{
    int r = commit_once(s, group);

    if (r == -EIO)
        r = commit_once(s, group);
    if (r == 0)
        return;
    if (r != -ENOSPC && r != -ENOMEM) {
        r = -EIO;
        bindstore_queue_fail(&s->base.queue);
    } else {
        r = -ENOSPC;
    }
    for (struct bindstore_batch *b = group->head; b; b = b->next)
        for (size_t i = 0; i < b->count; i++)
            b->results[i] = (struct bindstore_result){ .outcome = r };
}

static void *write_main(void *arg)
{
    struct lmdb *s = arg;
    struct bindstore_list group;

    while (bindstore_queue_take(&s->base.queue, true, &group)) {
        commit(s, &group);
        bindstore_queue_done(&s->base.queue, &group);
    }
    return NULL;
}

/* --- opening --- */

static int lock(int fd)
{
    struct flock l = { .l_type = F_WRLCK, .l_whence = SEEK_SET };

    if (fcntl(fd, F_OFD_SETLK, &l) == 0)
        return 0;
    return errno == EAGAIN || errno == EACCES ? -EBUSY : -errno;
}

static void remove_lock_file(const char *path)
{
    char name[PATH_MAX];

    if ((size_t)snprintf(name, sizeof(name), "%s-lock", path) < sizeof(name))
        unlink(name);
}

/* An environment over path, which nobody else has. 0 or -errno. */
static int env_open(const char *path, uint64_t bytes, MDB_env **ret)
{
    struct stat st;
    MDB_env *env;
    int r;

    remove_lock_file(path);
    r = mdb_env_create(&env);
    if (r != 0)
        return error_of(r);
    if (stat(path, &st) == 0)
        bytes = MAX(bytes, (uint64_t)st.st_size);
    r = mdb_env_set_mapsize(env, bytes + RESERVE);
    if (r == 0)
        r = mdb_env_set_maxdbs(env, DB_COUNT);
    if (r == 0)
        r = mdb_env_open(env, path, MDB_NOSUBDIR | MDB_NOTLS | MDB_NORDAHEAD, 0600);
    if (r != 0) {
        mdb_env_close(env);
        return error_of(r);
    }
    *ret = env;
    return 0;
}

static const char version_key[] = "version";

static int dbs_open(MDB_txn *txn, MDB_dbi dbi[DB_COUNT], unsigned flags)
{
    int r = 0;

    for (int i = 0; i < DB_COUNT && r == 0; i++)
        r = mdb_dbi_open(txn, db_names[i], flags, &dbi[i]);
    return r;
}

/* A new store beside path, and renamed. 0 or -errno. */
static int make(const char *path)
{
    MDB_val k = { sizeof(version_key) - 1, (void *)(uintptr_t)version_key }, v;
    uint8_t version[4];
    MDB_dbi dbi[DB_COUNT];
    char tmp[PATH_MAX];
    MDB_env *env = NULL;
    MDB_txn *txn;
    int r;

    if ((size_t)snprintf(tmp, sizeof(tmp), "%s.new", path) >= sizeof(tmp))
        return -ENAMETOOLONG;
    unlink(tmp);
    r = env_open(tmp, BYTES_MIN, &env);
    if (r < 0)
        return r;
    put_be32(version, VERSION);
    v = (MDB_val){ sizeof(version), version };
    r = mdb_txn_begin(env, NULL, 0, &txn);
    if (r == 0) {
        r = dbs_open(txn, dbi, MDB_CREATE);
        if (r == 0)
            r = mdb_put(txn, dbi[DB_ABOUT], &k, &v, 0);
        if (r == 0)
            r = mdb_txn_commit(txn);
        else
            mdb_txn_abort(txn);
    }
    mdb_env_close(env);
    remove_lock_file(tmp);
    if (r == 0 && rename(tmp, path) < 0)
        r = errno;
    if (r != 0) {
        unlink(tmp);
        return error_of(r);
    }
    return store_sync_folder(path);
}

/* What a store of ours has. 0 or -errno, said in err. */
static int look(struct lmdb *s, char *err, size_t err_size)
{
    MDB_val k = { sizeof(version_key) - 1, (void *)(uintptr_t)version_key }, v;
    MDB_txn *txn;
    int r = mdb_txn_begin(s->env, NULL, 0, &txn);

    if (r == 0) {
        r = dbs_open(txn, s->dbi, 0);
        if (r == 0)
            r = mdb_get(txn, s->dbi[DB_ABOUT], &k, &v);
        if (r == 0 && (v.mv_size != 4 || get_be32(v.mv_data) != VERSION)) {
            mdb_txn_abort(txn);
            return bindstore_say(-ENOTSUP, err, err_size, "%s: expected a store of version %d", s->path, VERSION);
        }
        if (r != 0) {
            mdb_txn_abort(txn);
        } else {
            int e = log_ends(s, txn, &s->first, &s->last);

            if (e < 0) {
                mdb_txn_abort(txn);
                return bindstore_say(e, err, err_size,
                                     "%s: the log from %" PRIu64 " to %" PRIu64 " has a gap, expected none", s->path,
                                     s->first, s->last);
            }
            r = mdb_txn_commit(txn); /* of nothing: keeps the handles */
        }
    }
    if (r == MDB_NOTFOUND)
        return bindstore_say(-EBADMSG, err, err_size, "%s: expected tables rows, log and about, found not all of them",
                             s->path);
    if (r != 0)
        return bindstore_say(error_of(r), err, err_size, "%s: cannot read: %s", s->path, mdb_strerror(r));
    return 0;
}

static void lmdb_close(struct bindstore *base)
{
    struct lmdb *s = lmdb_of(base);

    bindstore_queue_end(&s->base.queue);
    if (s->env)
        mdb_env_close(s->env);
    if (s->lock_fd >= 0)
        close(s->lock_fd);
    bindstore_queue_deinit(&s->base.queue);
    pthread_mutex_destroy(&s->readers_lock);
    free(s->path);
    free(s);
}

/* The lock of the file, and the file, made when it is not there. 0 or -errno. */
static int open_file(struct lmdb *s)
{
    char name[PATH_MAX];
    int r;

    if ((size_t)snprintf(name, sizeof(name), "%s.lock", s->path) >= sizeof(name))
        return -ENAMETOOLONG;
    s->lock_fd = open(name, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (s->lock_fd < 0)
        return -errno;
    r = lock(s->lock_fd);
    if (r == 0 && access(s->path, F_OK) < 0)
        r = errno == ENOENT ? make(s->path) : -errno;
    return r;
}

/* Whether the file is whole. 0 or -errno, said in err. */
static int check_file(struct lmdb *s, char *err, size_t err_size)
{
    uint8_t *file = NULL;
    char why[160] = "";
    struct stat st;
    int fd = open(s->path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW), r = 0;

    if (fd < 0 || fstat(fd, &st) < 0) {
        r = -errno;
    } else if (!S_ISREG(st.st_mode)) {
        r = -EINVAL;
    } else if (st.st_size > 0) {
        file = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_SHARED, fd, 0);
        if (file == MAP_FAILED) {
            r = -errno;
        } else {
            r = lmdb_check(file, (uint64_t)st.st_size, why, sizeof(why));
            munmap(file, (size_t)st.st_size);
        }
    } else {
        r = lmdb_check(NULL, 0, why, sizeof(why));
    }
    if (fd >= 0)
        close(fd);
    return r < 0 ? bindstore_say(r, err, err_size, "%s: %s", s->path, why[0] ? why : strerror(-r)) : 0;
}

static int lmdb_open(const char *place, const struct bindstore_options *o, struct bindstore **ret, char *err,
                     size_t err_size)
{
    struct lmdb *s;
    int r;

    if (o->bytes_max > 0 && o->bytes_max < BYTES_MIN)
        return bindstore_say(-EINVAL, err, err_size, "bytes_max: found %" PRIu64 ", expected %u or more", o->bytes_max,
                             BYTES_MIN);
    s = calloc(1, sizeof(*s));
    if (!s)
        return bindstore_say(-ENOMEM, err, err_size, "%s: cannot open: %s", place, strerror(ENOMEM));
    r = bindstore_queue_init(&s->base.queue);
    if (r < 0) {
        free(s);
        return bindstore_say(r, err, err_size, "%s: cannot open: %s", place, strerror(-r));
    }
    s->base.engine = &bindstore_lmdb;
    pthread_mutex_init(&s->readers_lock, NULL);
    s->lock_fd = -1;
    s->bytes_max = o->bytes_max > 0 ? o->bytes_max : BYTES_MAX_DEFAULT;
    s->log_max = o->log_max;
    s->path = strdup(place);
    r = s->path ? open_file(s) : -ENOMEM;
    if (r == 0) {
        r = check_file(s, err, err_size);
        if (r < 0) {
            lmdb_close(&s->base);
            return r;
        }
        r = env_open(s->path, s->bytes_max, &s->env);
    }
    /* A process that was killed may have left what is seen but not durable. */
    if (r == 0) {
        int e = mdb_env_sync(s->env, 1);

        r = e == 0 ? store_sync_folder(s->path) : error_of(e);
    }
    if (r < 0) {
        bindstore_say(r, err, err_size, "%s: cannot open: %s", place,
                      r == -EBADMSG ? "expected a file of LMDB, found another" : strerror(-r));
    } else {
        r = look(s, err, err_size);
        if (r == 0)
            r = bindstore_queue_begin(&s->base.queue, write_main, s, place, err, err_size);
    }
    if (r < 0) {
        lmdb_close(&s->base);
        return r;
    }
    *ret = &s->base;
    return 0;
}

static unsigned lmdb_shard_of(const struct tag *subject)
{
    (void)subject;
    return 0;
}

/* --- readers --- */

static int read_failed(struct lmdb_reader *r, int e, const char *what)
{
    return bindstore_say(error_of(e), r->base.err, sizeof(r->base.err), "%s: cannot read %s: %s",
                         lmdb_of(r->base.store)->path, what, mdb_strerror(e));
}

static int read_damaged(struct lmdb_reader *r, const MDB_val *key, const char *why)
{
    char hex[2 * ROWS_KEY_LEN + 1] = "";

    for (size_t i = 0; i < MIN(key->mv_size, ROWS_KEY_LEN); i++)
        snprintf(hex + 2 * i, 3, "%02x", ((const uint8_t *)key->mv_data)[i]);
    return bindstore_say(-EBADMSG, r->base.err, sizeof(r->base.err), "%s: key %s: %s", lmdb_of(r->base.store)->path,
                         hex, why);
}

static int lmdb_reader_new(struct bindstore *base, struct bindstore_reader **ret)
{
    struct lmdb *s = lmdb_of(base);
    struct lmdb_reader *r = calloc(1, sizeof(*r));
    bool full;
    int e;

    if (!r)
        return -ENOMEM;
    r->base.store = base;
    pthread_mutex_lock(&s->readers_lock);
    full = s->readers == BINDSTORE_READERS_MAX;
    if (!full)
        s->readers++;
    pthread_mutex_unlock(&s->readers_lock);
    e = full ? ENOSPC : mdb_txn_begin(s->env, NULL, MDB_RDONLY, &r->txn);
    if (e != 0) {
        if (!full) {
            pthread_mutex_lock(&s->readers_lock);
            s->readers--;
            pthread_mutex_unlock(&s->readers_lock);
        }
        free(r);
        return error_of(e);
    }
    mdb_txn_reset(r->txn);
    *ret = &r->base;
    return 0;
}

static void lmdb_reader_free(struct bindstore_reader *base)
{
    struct lmdb_reader *r = reader_of(base);
    struct lmdb *s = lmdb_of(base->store);

    mdb_txn_abort(r->txn);
    pthread_mutex_lock(&s->readers_lock);
    s->readers--;
    pthread_mutex_unlock(&s->readers_lock);
    free(r);
}

/* The row of a key inside the reader's transaction. 0, -ENOENT or -errno. */
static int find(struct lmdb_reader *r, const struct bindstore_row *of, struct bindstore_row *ret)
{
    uint8_t key[ROWS_KEY_LEN];
    MDB_val k = { sizeof(key), key }, v;
    const char *why;
    int e;

    rows_key(&of->subject, of->kind, of->answer, key);
    e = mdb_get(r->txn, lmdb_of(r->base.store)->dbi[DB_ROWS], &k, &v);
    if (e == MDB_NOTFOUND)
        return -ENOENT;
    if (e != 0)
        return read_failed(r, e, "a row");
    if (rows_decode(k.mv_data, k.mv_size, v.mv_data, v.mv_size, ret, &why) < 0)
        return read_damaged(r, &k, why);
    return 0;
}

static int lmdb_get(struct bindstore_reader *base, const struct tag *subject, uint8_t kind, uint8_t answer,
                    struct bindstore_row *ret)
{
    struct lmdb_reader *r = reader_of(base);
    struct bindstore_row of = { .subject = *subject, .kind = kind, .answer = answer }, row = { 0 };
    int e = mdb_txn_renew(r->txn);

    if (e != 0)
        return read_failed(r, e, "a row");
    e = find(r, &of, &row);
    if (e == 0) {
        if (row.bytes)
            row.bytes = memcpy(r->bytes, row.bytes, row.len);
        *ret = row;
    }
    mdb_txn_reset(r->txn);
    return e;
}

/* Inside a transaction. */
static int scan_rows(struct lmdb_reader *r, MDB_cursor *c, const struct tag_prefix *prefix, bindstore_row_fn *fn,
                     void *ctx)
{
    uint8_t from[ROWS_KEY_LEN] = { 0 };
    MDB_val k = { sizeof(from), from }, v;
    int e;

    if (prefix)
        memcpy(from, prefix->tag.bytes, 16);
    for (e = mdb_cursor_get(c, &k, &v, MDB_SET_RANGE); e == 0; e = mdb_cursor_get(c, &k, &v, MDB_NEXT)) {
        struct bindstore_row row;
        const char *why;
        int stop;

        if (rows_decode(k.mv_data, k.mv_size, v.mv_data, v.mv_size, &row, &why) < 0)
            return read_damaged(r, &k, why);
        if (prefix && !tag_prefix_contains(prefix, &row.subject))
            return 0;
        stop = fn(ctx, &row);
        if (stop != 0)
            return stop;
    }
    return e == MDB_NOTFOUND ? 0 : read_failed(r, e, "rows");
}

/* Begins a look at one of the tables: the transaction, the log's ends in it, and a cursor. 0 and *ret, for
 * look_end; -errno, told, and nothing to end. */
static int look_begin(struct lmdb_reader *r, unsigned shard, int db, uint64_t *ret_first, uint64_t *ret_last,
                      MDB_cursor **ret)
{
    const char *what = db == DB_LOG ? "the log" : "rows";
    struct lmdb *s = lmdb_of(r->base.store);
    int e;

    if (shard != 0)
        return bindstore_say(-EINVAL, r->base.err, sizeof(r->base.err), "shard: found %u, expected 0", shard);
    e = mdb_txn_renew(r->txn);
    if (e != 0)
        return read_failed(r, e, what);
    e = log_ends(s, r->txn, ret_first, ret_last);
    if (e < 0) {
        bindstore_say(e, r->base.err, sizeof(r->base.err), "%s: the log has a gap, expected none", s->path);
    } else {
        e = mdb_cursor_open(r->txn, s->dbi[db], ret);
        if (e != 0)
            e = read_failed(r, e, what);
    }
    if (e < 0)
        mdb_txn_reset(r->txn);
    return e;
}

static void look_end(struct lmdb_reader *r, MDB_cursor *c)
{
    mdb_cursor_close(c);
    mdb_txn_reset(r->txn);
}

static int lmdb_scan(struct bindstore_reader *base, unsigned shard, const struct tag_prefix *prefix,
                     bindstore_row_fn *fn, void *ctx, uint64_t *ret_cursor)
{
    struct lmdb_reader *r = reader_of(base);
    uint64_t first = 0, last = 0;
    MDB_cursor *c = NULL;
    int e = look_begin(r, shard, DB_ROWS, &first, &last, &c);

    if (!c)
        return e;
    e = scan_rows(r, c, prefix, fn, ctx);
    look_end(r, c);
    if (e == 0 && ret_cursor)
        *ret_cursor = last;
    return e;
}

/* The entry at a cursor, with the row as it is now. 0, -errno, or what fn returned. */
static int give_entry(struct lmdb_reader *r, const MDB_val *k, const MDB_val *v, uint64_t expected,
                      bindstore_logged_fn *fn, void *ctx)
{
    struct bindstore_logged change;
    struct bindstore_row row = { 0 };
    const char *why;
    int e = rows_entry_decode(k->mv_data, k->mv_size, v->mv_data, v->mv_size, &change, &why);

    if (e < 0)
        return read_damaged(r, k, why);
    if (change.cursor != expected)
        return read_damaged(r, k, "the log has a gap before this cursor");
    e = change.forgotten ? -ENOENT : find(r, &change.row, &row);
    if (e < 0 && e != -ENOENT)
        return e;
    if (e == 0 && row.seq == change.row.seq)
        change.row = row;
    return fn(ctx, &change);
}

/* Inside a transaction. */
static int changes(struct lmdb_reader *r, MDB_cursor *c, uint64_t since, size_t max, bindstore_logged_fn *fn, void *ctx,
                   uint64_t *ret_cursor)
{
    uint8_t from[ROWS_CURSOR_LEN];
    MDB_val k = { sizeof(from), from }, v;
    int e;

    put_be64(from, since + 1);
    for (e = mdb_cursor_get(c, &k, &v, MDB_SET_RANGE); e == 0 && max > 0; e = mdb_cursor_get(c, &k, &v, MDB_NEXT)) {
        int stop = give_entry(r, &k, &v, since + 1, fn, ctx);

        if (stop != 0)
            return stop;
        *ret_cursor = ++since;
        max--;
    }
    if (e == 0)
        return 1;
    return e == MDB_NOTFOUND ? 0 : read_failed(r, e, "the log");
}

static int lmdb_changes(struct bindstore_reader *base, unsigned shard, uint64_t since, size_t max,
                        bindstore_logged_fn *fn, void *ctx, uint64_t *ret_cursor)
{
    struct lmdb_reader *r = reader_of(base);
    uint64_t first = 0, last = 0;
    MDB_cursor *c = NULL;
    int e = look_begin(r, shard, DB_LOG, &first, &last, &c);

    *ret_cursor = since;
    if (!c)
        return e;
    if (since > last || (first > 0 && since < first - 1))
        e = bindstore_say(-ESTALE, r->base.err, sizeof(r->base.err),
                          "cursor: found %" PRIu64 ", expected one of %" PRIu64 " to %" PRIu64, since,
                          first > 0 ? first - 1 : 0, last);
    else
        e = changes(r, c, since, max, fn, ctx, ret_cursor);
    look_end(r, c);
    return e;
}

const struct bindstore_engine bindstore_lmdb = {
    .name = "lmdb",
    .shards = 1,
    .open = lmdb_open,
    .close = lmdb_close,
    .shard_of = lmdb_shard_of,
    .reader_new = lmdb_reader_new,
    .reader_free = lmdb_reader_free,
    .get = lmdb_get,
    .scan = lmdb_scan,
    .changes = lmdb_changes,
};
