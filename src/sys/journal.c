/* sys/journal.c - see journal.h.
 *
 * Theory of operation. A journal is read into memory, at the start and where it grows: into room that is kept free in
 * the address space, so that what was given out stays where it is. Frames are checked one after the other before any is
 * given out, so that damage is known before anything is done. Appending is one pwrite behind the last
 * whole frame, fsync, and nothing else: a file that is only written at its end has only its end to lose.
 *
 * What a power cut leaves of the frame that was being written is any choice of its sectors, and zeros in the place of
 * the others, or less than was written: so a torn tail has a sector of zeros, or ends too early. And no whole frame is
 * behind it, since the next one is written only after it was acknowledged. What is wrong in another way is damage. For
 * this to be so the place behind the last frame must be empty: a torn tail is cut off, durably, before anything is
 * written over it. A process that was killed may have left a frame that can be read and is not on the disk yet: who
 * opens to write makes durable what is there.
 *
 * A last frame that was acknowledged and lost a whole sector later looks like a torn tail: nothing tells the two apart.
 *
 * fcntl's open file description locks keep a second writer out and go with the process.
 *
 * Limits: frames of 16 MiB, files of 1 GiB; sectors of 512 bytes or a multiple. Sources: fsync(2), fcntl(2); Pillai et
 * al., "All file systems are not created equal" (OSDI 2014), on what survives. */
#include "sys/journal.h"

#include "base/hash.h"
#include "sys/store.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

static const uint8_t magic[4] = { 'h', 'w', 'j', '1' };

#define HEAD 8               /* length and its check */
#define OVERHEAD (HEAD + 8)  /* and the check of all */
#define ROOM_STEP (1u << 20) /* bytes of memory that are taken at a time */
#define SECTOR 512u          /* what a disk writes as a whole, or not */

struct journal {
    int fd;
    char *path;
    uint8_t *bytes; /* JOURNAL_BYTES_MAX of address space, of which `room` has memory */
    uint64_t room;
    uint64_t size, end;  /* of the file; of the last whole frame, which is in bytes up to here */
    uint64_t next, last; /* what journal_next gives next, gave last */
    bool writing, failed;
};

static int failed(int r, const char *path, const char *verb, char *err, size_t err_size)
{
    if (err && err_size > 0)
        snprintf(err, err_size, "%s: cannot %s: %s", path, verb, strerror(-r));
    return r;
}

static int damaged(const char *path, uint64_t at, const char *what, char *err, size_t err_size)
{
    if (err && err_size > 0)
        snprintf(err, err_size, "%s: byte %" PRIu64 ": %s", path, at, what);
    return -EBADMSG;
}

static uint64_t check_of(uint64_t at, const uint8_t *bytes, size_t len)
{
    uint8_t key[16] = { 0 };

    put_be64(key, at);
    return siphash13(key, bytes, len);
}

static bool zeros(const uint8_t *p, uint64_t len)
{
    for (uint64_t i = 0; i < len; i++)
        if (p[i])
            return false;
    return true;
}

/* True if a whole frame begins at `at`; *ret_len is its length. */
static bool whole_frame(const struct journal *j, uint64_t at, uint64_t *ret_len)
{
    const uint8_t *frame = j->bytes + at;
    uint64_t len;

    if (j->size - at <= OVERHEAD)
        return false;
    len = get_be32(frame);
    if (len == 0 || len > MIN(j->size - at - OVERHEAD, JOURNAL_FRAME_MAX) ||
        get_be32(frame + 4) != (uint32_t)check_of(at, frame, 4) ||
        get_be64(frame + HEAD + len) != check_of(at, frame, HEAD + len))
        return false;
    *ret_len = len;
    return true;
}

/* True if part of what is there from `at` to the end of the file never came. */
static bool has_holes(const struct journal *j, uint64_t at)
{
    if (zeros(j->bytes + j->size - 8, 8))
        return true;
    for (uint64_t next; at < j->size; at = next) {
        next = MIN((at / SECTOR + 1) * SECTOR, j->size);
        if (zeros(j->bytes + at, next - at))
            return true;
    }
    return false;
}

/* What is there from `at`, where no whole frame begins: the frame that was being written when the power went? */
static bool is_torn(const struct journal *j, uint64_t at)
{
    uint64_t len = get_be32(j->bytes + at);

    if (j->size - at > OVERHEAD + JOURNAL_FRAME_MAX)
        return false;
    if (len > 0 && len <= JOURNAL_FRAME_MAX &&
        get_be32(j->bytes + at + 4) == (uint32_t)check_of(at, j->bytes + at, 4) && OVERHEAD + len > j->size - at)
        return true; /* it ends before it should */
    if (!has_holes(j, at))
        return false;
    for (uint64_t i = at + 1; i < j->size; i++)
        if (whole_frame(j, i, &len))
            return false; /* written after this one, which so was acknowledged */
    return true;
}

/* Moves j->end over what is whole. 0 or -EBADMSG. */
static int check_frames(struct journal *j, char *err, size_t err_size)
{
    uint64_t at = MAX(j->end, sizeof(magic)), len;

    if (j->size < sizeof(magic) ? memcmp(j->bytes, magic, j->size) != 0 && !zeros(j->bytes, j->size)
                                : memcmp(j->bytes, magic, sizeof(magic)) != 0)
        return damaged(j->path, 0, "found no journal of Hawser", err, err_size);
    if (j->size < sizeof(magic)) /* its making was interrupted */
        return 0;
    while (whole_frame(j, at, &len))
        at += OVERHEAD + len;
    if (j->size - at >= HEAD && !is_torn(j, at))
        return damaged(j->path, at, "a frame is damaged", err, err_size);
    j->end = at;
    return 0;
}

/* Memory for the first `size` bytes. 0, -EFBIG or -ENOMEM. */
static int make_room(struct journal *j, uint64_t size)
{
    const uint64_t room = MIN((size / ROOM_STEP + 1) * ROOM_STEP, JOURNAL_BYTES_MAX);

    if (size > JOURNAL_BYTES_MAX)
        return -EFBIG;
    if (j->room > 0 && size <= j->room)
        return 0;
    if (mprotect(j->bytes, room, PROT_READ | PROT_WRITE) < 0)
        return -ENOMEM;
    j->room = room;
    return 0;
}

/* What is behind the last whole frame. */
static int read_rest(struct journal *j)
{
    struct stat st;
    int r;

    if (fstat(j->fd, &st) < 0)
        return -errno;
    if (!S_ISREG(st.st_mode))
        return -EINVAL;
    if ((uint64_t)st.st_size < j->end)
        return -ESTALE;
    r = make_room(j, (uint64_t)st.st_size);
    if (r < 0)
        return r;
    j->size = j->end;
    while (j->size < (uint64_t)st.st_size) {
        ssize_t n = pread(j->fd, j->bytes + j->size, (size_t)st.st_size - j->size, (off_t)j->size);

        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return -errno;
        if (n == 0)
            break;
        j->size += (uint64_t)n;
    }
    return 0;
}

static int write_all(int fd, const uint8_t *p, size_t len, uint64_t at)
{
    while (len > 0) {
        ssize_t n = pwrite(fd, p, len, (off_t)at);

        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return -errno;
        p += n;
        at += (uint64_t)n;
        len -= (size_t)n;
    }
    return 0;
}

static int lock(int fd, short type)
{
    struct flock l = { .l_type = type, .l_whence = SEEK_SET };

    if (fcntl(fd, F_OFD_SETLK, &l) == 0)
        return 0;
    return errno == EAGAIN || errno == EACCES ? -EBUSY : -errno;
}

/* The magic, where there is none yet; and all that is durable, with the file's name. */
static int begin(struct journal *j)
{
    int r = 0;

    if (j->size < sizeof(magic)) {
        r = write_all(j->fd, magic, sizeof(magic), 0);
        memcpy(j->bytes, magic, sizeof(magic));
        j->size = j->end = sizeof(magic);
    }
    if (r == 0 && fsync(j->fd) < 0)
        r = -errno;
    return r < 0 ? r : store_sync_folder(j->path);
}

int journal_open(const char *path, bool create, bool writing, struct journal **ret, char *err, size_t err_size)
{
    struct journal *j = calloc(1, sizeof(*j));
    int r = 0;

    if (!j || !(j->path = strdup(path))) {
        free(j);
        return failed(-ENOMEM, path, "open", err, err_size);
    }
    j->next = sizeof(magic);
    j->writing = writing;
    j->bytes = mmap(NULL, JOURNAL_BYTES_MAX, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (j->bytes == MAP_FAILED) {
        j->bytes = NULL;
        r = -ENOMEM;
    }
    j->fd = open(path, (writing ? O_RDWR : O_RDONLY) | (create ? O_CREAT : 0) | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (r == 0 && j->fd < 0)
        r = -errno;
    if (r == 0 && writing)
        r = lock(j->fd, F_WRLCK);
    if (r == 0)
        r = read_rest(j);
    if (r < 0) {
        failed(r, path, "open", err, err_size);
    } else {
        r = check_frames(j, err, err_size);
        if (r == 0 && writing) {
            r = begin(j);
            if (r < 0)
                failed(r, path, "write", err, err_size);
        }
    }
    if (r < 0) {
        journal_close(j);
        return r;
    }
    *ret = j;
    return 0;
}

void journal_close(struct journal *j)
{
    if (!j)
        return;
    if (j->fd >= 0)
        close(j->fd);
    if (j->bytes)
        munmap(j->bytes, JOURNAL_BYTES_MAX);
    free(j->path);
    free(j);
}

int journal_read_on(struct journal *j, char *err, size_t err_size)
{
    struct stat now, then;
    int r = 0;

    if (stat(j->path, &now) < 0 || fstat(j->fd, &then) < 0)
        r = -errno;
    else if (now.st_dev != then.st_dev || now.st_ino != then.st_ino)
        r = -ESTALE;
    if (r == 0)
        r = read_rest(j);
    return r < 0 ? failed(r, j->path, "read on", err, err_size) : check_frames(j, err, err_size);
}

int journal_begin_writing(struct journal *j, char *err, size_t err_size)
{
    int fd = open(j->path, O_RDWR | O_CLOEXEC | O_NOFOLLOW), r = fd < 0 ? -errno : lock(fd, F_WRLCK);

    if (r < 0) {
        if (fd >= 0)
            close(fd);
        return failed(r, j->path, "open", err, err_size);
    }
    r = journal_read_on(j, err, err_size); /* through the old one, which so is known to be this file */
    if (r < 0) {
        close(fd);
        return r;
    }
    close(j->fd);
    j->fd = fd;
    j->writing = true;
    r = begin(j);
    if (r < 0)
        journal_end_writing(j);
    return r < 0 ? failed(r, j->path, "write", err, err_size) : 0;
}

void journal_end_writing(struct journal *j)
{
    if (j->writing)
        (void)lock(j->fd, F_UNLCK); /* which cannot fail for what is locked */
    j->writing = false;
}

bool journal_next(struct journal *j, const uint8_t **ret, size_t *ret_len)
{
    if (j->next >= j->end)
        return false;
    *ret = j->bytes + j->next + HEAD;
    *ret_len = get_be32(j->bytes + j->next);
    j->last = j->next;
    j->next += OVERHEAD + *ret_len;
    return true;
}

uint64_t journal_offset(const struct journal *j)
{
    return j->last;
}

uint64_t journal_size(const struct journal *j)
{
    return j->end;
}

uint64_t journal_torn(const struct journal *j)
{
    return j->size - j->end;
}

int journal_append(struct journal *j, const void *frame, size_t len, char *err, size_t err_size)
{
    uint8_t *buf;
    int r;

    if (j->failed || !j->writing)
        return failed(j->failed ? -EIO : -EBADF, j->path, "append after a failure", err, err_size);
    if (len == 0 || len > JOURNAL_FRAME_MAX)
        return failed(-EFBIG, j->path, "append", err, err_size);
    r = make_room(j, j->end + OVERHEAD + len);
    if (r < 0)
        return failed(r, j->path, "append", err, err_size);
    buf = j->bytes + j->end; /* where nobody looks yet */
    put_be32(buf, (uint32_t)len);
    put_be32(buf + 4, (uint32_t)check_of(j->end, buf, 4));
    memcpy(buf + HEAD, frame, len);
    put_be64(buf + HEAD + len, check_of(j->end, buf, HEAD + len));
    if (j->size > j->end && (ftruncate(j->fd, (off_t)j->end) < 0 || fsync(j->fd) < 0))
        r = -errno;
    if (r == 0)
        r = write_all(j->fd, buf, OVERHEAD + len, j->end);
    if (r == 0 && fsync(j->fd) < 0)
        r = -errno;
    if (r < 0) {
        /* After a failed fsync nobody can tell what is on disk. */
        j->failed = true;
        if (ftruncate(j->fd, (off_t)j->end) < 0)
            r = r == -ENOSPC ? r : -EIO;
        return failed(r, j->path, "append", err, err_size);
    }
    j->end += OVERHEAD + len;
    j->size = j->end;
    return 0;
}
