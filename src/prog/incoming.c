/* prog/incoming.c - see incoming.h.
 *
 * Theory of operation. The part is opened, never followed as a link, and locked (flock): who has the lock may write, so
 * two senders of one name, of this process or of two, cannot mix. A lock on a file that has lost its name meanwhile is
 * worth nothing, hence the second look. What the part holds is hashed a piece at a time, so that other sessions go on;
 * the sender compares. All names are relative to the folder's descriptor.
 *
 * At the end: hash, mode, time, fsync, rename, fsync of the folder. A rename that must not replace anything is one call
 * (renameat2); where the file system has no such call, a second name is given and the first taken away.
 *
 * Limits: pieces of 1 MiB; 8 MiB that the kernel was not yet asked to store, so that fsync has little left to do. */
#include "prog/incoming.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#define PIECE (1u << 20)
#define STORE_BYTES (8u << 20)

static bool PRINTF_LIKE(3, 4) fail(struct incoming *in, enum files_cause cause, const char *fmt, ...)
{
    va_list ap;

    in->cause = (uint8_t)cause;
    va_start(ap, fmt);
    vsnprintf(in->error, sizeof(in->error), fmt, ap);
    va_end(ap);
    return false;
}

static bool fail_errno(struct incoming *in, const char *what)
{
    return fail(in, FILES_FAILED, "%.100s%s%s", what, *what ? ": " : "", strerror(errno));
}

static bool fail_exists(struct incoming *in)
{
    return fail(in, FILES_EXISTS, "another file of that name is there");
}

/* The part is still what has its name. */
static bool is_named(const struct incoming *in)
{
    struct stat st, named;

    return fstat(in->fd, &st) == 0 && fstatat(in->dir, in->part, &named, AT_SYMLINK_NOFOLLOW) == 0 &&
           named.st_ino == st.st_ino && named.st_dev == st.st_dev;
}

static bool open_part(struct incoming *in)
{
    struct stat st;

    in->fd = openat(in->dir, in->part, O_RDWR | O_CREAT | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC, 0600);
    if (in->fd < 0 || fstat(in->fd, &st) < 0)
        return fail_errno(in, in->part);
    if (!S_ISREG(st.st_mode) || st.st_uid != geteuid() || st.st_nlink > 1)
        return fail(in, FILES_FAILED, "something that is not ours is called %.*s", 100, in->part);
    if (flock(in->fd, LOCK_EX | LOCK_NB) < 0)
        return errno == EWOULDBLOCK ? fail(in, FILES_BUSY, "another sender is at it") : fail_errno(in, in->part);
    if (!is_named(in) || fstat(in->fd, &st) < 0) {
        close(in->fd); /* it is whole by now, or has gone */
        in->fd = -1;
        return fail(in, FILES_BUSY, "another sender was at it");
    }
    in->locked = true;
    in->to_hash = (uint64_t)st.st_size <= in->size ? (uint64_t)st.st_size : 0;
    in->what = in->to_hash > 0 ? FILES_SOME : FILES_NOTHING;
    return true;
}

bool incoming_open(struct incoming *in, int dir, const struct files_offer *offer, bool may_replace)
{
    const char *wrong = files_name_check(offer->name, offer->name_len);
    struct stat st;

    *in = (struct incoming){
        .dir = dir,
        .fd = -1,
        .old_fd = -1,
        .size = offer->size,
        .replace = may_replace,
        .mtime_s = offer->mtime_s,
        .mtime_ns = offer->mtime_ns,
        .mode = offer->mode,
    };
    snprintf(in->name, sizeof(in->name), "%.*s", (int)MIN(offer->name_len, FILES_NAME_MAX), offer->name);
    files_clean(in->name);
    if (wrong)
        return fail(in, FILES_FAILED, "its name %s", wrong);
    snprintf(in->part, sizeof(in->part), "%s" FILES_PART, in->name);
    in->hash = sha256_new();
    if (!in->hash)
        return fail(in, FILES_FAILED, "out of memory");
    if (fstatat(dir, in->name, &st, AT_SYMLINK_NOFOLLOW) < 0)
        return errno == ENOENT ? open_part(in) : fail_errno(in, "");
    if (!S_ISREG(st.st_mode))
        return fail(in, FILES_EXISTS, "something of that name is there that is no regular file");
    if ((uint64_t)st.st_size == in->size)
        in->old_fd = openat(dir, in->name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
    if (in->old_fd < 0)
        return may_replace ? open_part(in) : fail_exists(in);
    in->to_hash = in->size;
    in->what = may_replace ? FILES_OLD : FILES_WHOLE;
    return true;
}

bool incoming_look(struct incoming *in, bool *ret_more, struct files_have *ret)
{
    static uint8_t buf[PIECE];
    int fd = in->old_fd >= 0 ? in->old_fd : in->fd;

    if (in->at < in->to_hash) {
        ssize_t n = pread(fd, buf, MIN(PIECE, in->to_hash - in->at), (off_t)in->at);

        if (n < 0 && errno != EINTR)
            return fail_errno(in, "");
        if (n == 0)
            return fail(in, FILES_BUSY, "it becomes shorter while it is looked at");
        if (n > 0 && sha256_update(in->hash, buf, (size_t)n) < 0)
            return fail(in, FILES_FAILED, "out of memory");
        in->at += n > 0 ? (uint64_t)n : 0;
    }
    *ret_more = in->at < in->to_hash;
    if (*ret_more)
        return true;
    memset(ret, 0, sizeof(*ret));
    ret->what = in->what;
    ret->bytes = in->to_hash;
    if (ret->what != FILES_NOTHING && sha256_get(in->hash, ret->hash) < 0)
        return fail(in, FILES_FAILED, "out of memory");
    return true;
}

bool incoming_start(struct incoming *in, uint64_t at)
{
    if (in->what == FILES_WHOLE)
        return fail_exists(in);
    if (in->old_fd >= 0) {
        close(in->old_fd);
        in->old_fd = -1;
        if (at != 0)
            return fail(in, FILES_FAILED, "bytes from a place that was not said");
        if (!open_part(in))
            return false;
    } else if (at != 0 && (at != in->at || in->what != FILES_SOME)) {
        return fail(in, FILES_FAILED, "bytes from a place that was not said");
    }
    if (at == 0) {
        in->at = in->to_hash = 0;
        if (sha256_restart(in->hash) < 0)
            return fail(in, FILES_FAILED, "out of memory");
        if (ftruncate(in->fd, 0) < 0)
            return fail_errno(in, "");
    }
    in->stored = in->at;
    return true;
}

static bool fits(struct incoming *in, size_t len)
{
    return len <= in->size - in->at || fail(in, FILES_FAILED, "more bytes than were offered");
}

bool incoming_write(struct incoming *in, const uint8_t *data, size_t len)
{
    if (!fits(in, len))
        return false;
    if (sha256_update(in->hash, data, len) < 0)
        return fail(in, FILES_FAILED, "out of memory");
    while (len > 0) {
        ssize_t n = pwrite(in->fd, data, len, (off_t)in->at);

        if (n < 0 && errno != EINTR)
            return fail_errno(in, "");
        if (n > 0) {
            data += n;
            len -= (size_t)n;
            in->at += (uint64_t)n;
        }
    }
    if (in->at - in->stored >= STORE_BYTES) {
        sync_file_range(in->fd, (off_t)in->stored, (off_t)(in->at - in->stored), SYNC_FILE_RANGE_WRITE);
        in->stored = in->at;
    }
    return true;
}

bool incoming_hole(struct incoming *in, uint32_t len)
{
    static const uint8_t zeros[FILES_HOLE_MAX];

    if (!fits(in, len))
        return false;
    if (sha256_update(in->hash, zeros, len) < 0)
        return fail(in, FILES_FAILED, "out of memory");
    if (ftruncate(in->fd, (off_t)(in->at + len)) < 0)
        return fail_errno(in, "");
    in->at += len;
    return true;
}

/* The part gets the name. */
static bool place(struct incoming *in)
{
    int r;

    if (!is_named(in))
        return fail(in, FILES_FAILED, "somebody took %.*s away", 100, in->part);
    if (in->replace) {
        r = renameat(in->dir, in->part, in->dir, in->name);
    } else {
        r = renameat2(in->dir, in->part, in->dir, in->name, RENAME_NOREPLACE);
        if (r < 0 && (errno == EINVAL || errno == ENOSYS)) {
            r = linkat(in->dir, in->part, in->dir, in->name, 0);
            if (r == 0) /* if it fails, it has a name too many, and is whole */
                (void)!unlinkat(in->dir, in->part, 0);
        }
    }
    if (r < 0)
        return errno == EEXIST ? fail_exists(in) : fail_errno(in, "");
    in->placed = true;
    if (fsync(in->dir) < 0 && errno != EINVAL) /* EINVAL: not of folders, here */
        return fail_errno(in, "its folder");
    return true;
}

/* Neither may a sender give others more than the receiver does, nor take his own file away from him. */
static mode_t our_umask(void)
{
    mode_t m = umask(0);

    umask(m);
    return m;
}

bool incoming_end(struct incoming *in, const uint8_t hash[FILES_HASH_LEN])
{
    const struct timespec times[2] = { { .tv_nsec = UTIME_NOW },
                                       { .tv_sec = (time_t)in->mtime_s, .tv_nsec = (long)in->mtime_ns } };
    uint8_t ours[FILES_HASH_LEN];

    if (in->at < in->size)
        return fail(in, FILES_FAILED, "fewer bytes than were offered");
    if (sha256_get(in->hash, ours) < 0)
        return fail(in, FILES_FAILED, "out of memory");
    if (memcmp(ours, hash, sizeof(ours)) != 0)
        return fail(in, FILES_FAILED, "what was written is not what was sent");
    if (fchmod(in->fd, ((in->mode & 0777) | S_IRUSR | S_IWUSR) & ~our_umask()) < 0 || futimens(in->fd, times) < 0 ||
        fsync(in->fd) < 0)
        return fail_errno(in, "");
    return place(in);
}

void incoming_close(struct incoming *in)
{
    struct stat st;

    if (in->locked && !in->placed && fstat(in->fd, &st) == 0 && st.st_size == 0 && is_named(in))
        unlinkat(in->dir, in->part, 0);
    if (in->fd >= 0)
        close(in->fd);
    if (in->old_fd >= 0)
        close(in->old_fd);
    sha256_free(in->hash);
    in->fd = in->old_fd = -1;
    in->locked = false;
    in->hash = NULL;
}
