/* prog/outgoing.c - see outgoing.h.
 *
 * A file is what it was when it was opened: one that is shorter, longer or has another time of change at the end was
 * sent as a mixture, which nobody must take for a copy. Holes are asked for where the last known piece of data ends. */
#include "prog/outgoing.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#define PIECE (1u << 20)

static bool fail(struct outgoing *o, const char *what)
{
    snprintf(o->error, sizeof(o->error), "%s", what);
    return false;
}

bool outgoing_open(struct outgoing *o, const char *path)
{
    struct stat st;

    *o = (struct outgoing){ .fd = open(path, O_RDONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC) };
    if (o->fd < 0 || fstat(o->fd, &st) < 0)
        return fail(o, strerror(errno));
    if (!S_ISREG(st.st_mode))
        return fail(o, "is no regular file");
    o->hash = sha256_new();
    if (!o->hash)
        return fail(o, "out of memory");
    o->size = (uint64_t)st.st_size;
    o->mtime = st.st_mtim;
    o->mode = st.st_mode & 0777;
    return true;
}

static bool take(struct outgoing *o, const uint8_t *bytes, size_t len)
{
    if (sha256_update(o->hash, bytes, len) < 0)
        return fail(o, "out of memory");
    o->at += len;
    return true;
}

/* At least one byte; 0: interrupted. */
static bool read_some(struct outgoing *o, uint8_t *buf, size_t max, size_t *ret)
{
    ssize_t n = pread(o->fd, buf, max, (off_t)o->at);

    if (n < 0 && errno != EINTR)
        return fail(o, strerror(errno));
    if (n == 0)
        return fail(o, "it became shorter while it was sent");
    *ret = n > 0 ? (size_t)n : 0;
    return take(o, buf, *ret);
}

bool outgoing_look(struct outgoing *o, uint64_t until)
{
    static uint8_t buf[PIECE];
    size_t n;

    return o->at >= until || read_some(o, buf, MIN(PIECE, until - o->at), &n);
}

bool outgoing_restart(struct outgoing *o)
{
    o->at = o->data_until = 0;
    return sha256_restart(o->hash) == 0 || fail(o, "out of memory");
}

/* Zeros from here on that the file system does not store. */
static uint64_t hole(struct outgoing *o)
{
    off_t data, end;

    if (o->at < o->data_until)
        return 0;
    data = lseek(o->fd, (off_t)o->at, SEEK_DATA);
    if (data < 0)
        data = errno == ENXIO ? (off_t)o->size : (off_t)o->at; /* ENXIO: none follows; else it cannot tell */
    if ((uint64_t)data > o->at)
        return MIN((uint64_t)data, o->size) - o->at;
    end = lseek(o->fd, (off_t)o->at, SEEK_HOLE);
    o->data_until = end > (off_t)o->at ? (uint64_t)end : o->size;
    return 0;
}

bool outgoing_read(struct outgoing *o, uint8_t *buf, size_t max, size_t *ret_len, uint32_t *ret_hole)
{
    static const uint8_t zeros[FILES_HOLE_MAX];

    *ret_len = 0;
    *ret_hole = 0;
    if (o->at >= o->size)
        return true;
    *ret_hole = (uint32_t)MIN(hole(o), FILES_HOLE_MAX);
    if (*ret_hole > 0)
        return take(o, zeros, *ret_hole);
    while (*ret_len == 0)
        if (!read_some(o, buf, MIN(max, o->size - o->at), ret_len))
            return false;
    return true;
}

bool outgoing_end(struct outgoing *o, uint8_t ret[FILES_HASH_LEN])
{
    struct stat st;
    char more;

    if (fstat(o->fd, &st) < 0)
        return fail(o, strerror(errno));
    if (pread(o->fd, &more, 1, (off_t)o->size) > 0) /* as files of /proc have */
        return fail(o, "it has more in it than its size says");
    if ((uint64_t)st.st_size != o->size || st.st_mtim.tv_sec != o->mtime.tv_sec ||
        st.st_mtim.tv_nsec != o->mtime.tv_nsec)
        return fail(o, "it changed while it was sent");
    return sha256_get(o->hash, ret) == 0 || fail(o, "out of memory");
}

void outgoing_close(struct outgoing *o)
{
    if (o->fd >= 0)
        close(o->fd);
    sha256_free(o->hash);
    o->fd = -1;
    o->hash = NULL;
}
