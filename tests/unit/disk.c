/* tests/unit/disk.c - see disk.h.
 *
 * Theory of operation. A file is known by its inode, as renames move it. Calls are kept in memory that is shared with
 * the children, in the order in which they were made; one lock is around each call and its record. The state after a
 * power cut follows from it: a file has what was written before its last fsync or fdatasync, and writes through
 * O_DSYNC; what came later, the call that the cut fell into included, is there in part: whole writes or sectors of 512
 * bytes, which are held to be atomic, in any choice. A file may be as long as was written, with zeros in the place of
 * what was not. Names are as of the folder's last fsync, and after that the first few changes of what came later: file
 * systems keep these in order.
 *
 * Limits: 64 MiB of calls, 64 files. Sources: fsync(2), open(2); Pillai et al., "All file systems are not created
 * equal" (OSDI 2014); Zheng et al., "Torturing databases for fun and profit" (OSDI 2014). */
#undef _FILE_OFFSET_BITS /* or these would be the names that only some of the callers use */
#include "tests/unit/disk.h"
#include "base/base.h"

#include <assert.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#define ARENA_BYTES (64u << 20)
#define FDS 1024
#define FILES 64
#define SECTOR 512u
#define NAME_LEN 48
#define STANDS_BEFORE __attribute__((visibility("default")))

enum op_type { OP_WRITE, OP_TRUNCATE, OP_SYNC, OP_CREATE, OP_RENAME, OP_UNLINK, OP_SYNC_FOLDER, OP_ACK };

struct op {
    enum op_type type;
    uint32_t call; /* its number */
    bool durable;  /* OP_WRITE: through O_DSYNC */
    uint64_t file; /* inode */
    uint64_t at, len;
    char name[NAME_LEN], to[NAME_LEN];
    uint8_t data[]; /* OP_WRITE */
};

struct shared {
    pthread_mutex_t lock;
    uint32_t calls, fault_at;
    enum disk_fault fault;
    size_t used;
    uint8_t arena[ARENA_BYTES];
};

struct image {
    uint64_t file;
    uint8_t *bytes;
    size_t len, room;
};

struct name {
    char name[NAME_LEN];
    uint64_t file;
};

static struct shared *shared;
static char folder[200];
static size_t folder_len;
static struct {
    bool ours, is_folder, dsync;
    uint64_t file;
} fds[FDS];
/* As of disk_begin. */
static struct image base[FILES];
static struct name base_names[FILES];
static size_t base_count;

/* --- calls --- */

static const char *inside(const char *path)
{
    return shared && strncmp(path, folder, folder_len) == 0 && path[folder_len] == '/' ? path + folder_len + 1 : NULL;
}

static struct op *record(enum op_type type, uint64_t file, const void *data, size_t len)
{
    size_t size = (sizeof(struct op) + len + 15) & ~(size_t)15;
    struct op *op = (struct op *)(void *)(shared->arena + shared->used);

    assert(shared->used + size <= ARENA_BYTES);
    *op = (struct op){ .type = type, .call = shared->calls, .file = file, .len = len };
    if (len > 0)
        memcpy(op->data, data, len);
    shared->used += size;
    return op;
}

static struct op *op_next(size_t *at)
{
    struct op *op = (struct op *)(void *)(shared->arena + *at);
    size_t data = op->type == OP_WRITE ? op->len : 0;

    if (*at >= shared->used)
        return NULL;
    *at += (sizeof(struct op) + data + 15) & ~(size_t)15;
    return op;
}

/* Begins a call: takes the lock, and says what is to become of it. */
static enum disk_fault begin(bool is_write)
{
    enum disk_fault f;

    pthread_mutex_lock(&shared->lock);
    f = shared->calls == shared->fault_at ||
                (shared->calls > shared->fault_at && (shared->fault == DISK_EIO_ON || shared->fault == DISK_FULL))
            ? shared->fault
            : DISK_FINE;
    if (f == DISK_FULL && shared->calls > shared->fault_at)
        f = DISK_ENOSPC;
    if (!is_write && (f == DISK_ENOSPC || f == DISK_FULL || f == DISK_SHORT))
        f = DISK_FINE;
    if (f == DISK_KILL_BEFORE || (f == DISK_KILL_TORN && !is_write))
        kill(getpid(), SIGKILL);
    return f;
}

/* Ends it; result -1 with errno, or what the call returned. */
static long end(enum disk_fault f, long result)
{
    int e = errno;

    shared->calls++;
    if (f == DISK_KILL_AFTER || f == DISK_KILL_TORN)
        kill(getpid(), SIGKILL);
    pthread_mutex_unlock(&shared->lock);
    errno = e;
    return result;
}

static bool fails(enum disk_fault f)
{
    if (f == DISK_EIO || f == DISK_EIO_ON)
        errno = EIO;
    else if (f == DISK_ENOSPC)
        errno = ENOSPC;
    else
        return false;
    return true;
}

static void note_fd(int fd, int flags)
{
    struct stat st;

    if (fd < 0 || fd >= FDS || fstat(fd, &st) < 0)
        return;
    fds[fd].ours = true;
    fds[fd].is_folder = S_ISDIR(st.st_mode);
    fds[fd].dsync = (flags & O_DSYNC) != 0;
    fds[fd].file = st.st_ino;
}

static bool is_ours(int fd)
{
    return shared && fd >= 0 && fd < FDS && fds[fd].ours;
}

STANDS_BEFORE int open(const char *path, int flags, ...)
{
    const char *name = inside(path);
    enum disk_fault f;
    bool made;
    va_list args;
    mode_t mode;
    long fd;

    va_start(args, flags);
    mode = flags & O_CREAT ? va_arg(args, mode_t) : 0;
    va_end(args);
    if (!name && !(shared && strcmp(path, folder) == 0))
        return (int)syscall(SYS_openat, AT_FDCWD, path, flags, mode);
    f = begin(false);
    made = name && (flags & O_CREAT) && access(path, F_OK) < 0;
    fd = fails(f) ? -1 : syscall(SYS_openat, AT_FDCWD, path, flags, mode);
    note_fd((int)fd, flags);
    if (fd >= 0 && flags & O_TRUNC)
        record(OP_TRUNCATE, fds[fd].file, NULL, 0);
    if (fd >= 0 && made)
        snprintf(record(OP_CREATE, fds[fd].file, NULL, 0)->name, NAME_LEN, "%s", name);
    return (int)end(f, fd);
}

STANDS_BEFORE int close(int fd)
{
    if (is_ours(fd))
        fds[fd].ours = false;
    return (int)syscall(SYS_close, fd);
}

static ssize_t do_write(int fd, const void *data, size_t len, off_t at)
{
    enum disk_fault f = begin(true);
    ssize_t n = -1;

    if (!fails(f)) {
        if ((f == DISK_SHORT || f == DISK_FULL || f == DISK_KILL_TORN) && len > 1)
            len /= 2;
        n = syscall(SYS_pwrite64, fd, data, len, at);
        if (n > 0) {
            struct op *op = record(OP_WRITE, fds[fd].file, data, (size_t)n);

            op->at = (uint64_t)at;
            op->durable = fds[fd].dsync;
        }
    }
    return end(f, n);
}

STANDS_BEFORE ssize_t pwrite(int fd, const void *data, size_t len, off_t at)
{
    return is_ours(fd) ? do_write(fd, data, len, at) : syscall(SYS_pwrite64, fd, data, len, at);
}

STANDS_BEFORE ssize_t write(int fd, const void *data, size_t len)
{
    ssize_t n;

    if (!is_ours(fd))
        return syscall(SYS_write, fd, data, len);
    n = do_write(fd, data, len, lseek(fd, 0, SEEK_CUR));
    if (n > 0)
        lseek(fd, n, SEEK_CUR);
    return n;
}

STANDS_BEFORE ssize_t writev(int fd, const struct iovec *v, int count)
{
    uint8_t *data;
    size_t len = 0;
    ssize_t n;

    if (!is_ours(fd))
        return syscall(SYS_writev, fd, v, count);
    for (int i = 0; i < count; i++)
        len += v[i].iov_len;
    data = malloc(len > 0 ? len : 1);
    assert(data);
    len = 0;
    for (int i = 0; i < count; i++) {
        memcpy(data + len, v[i].iov_base, v[i].iov_len);
        len += v[i].iov_len;
    }
    n = write(fd, data, len);
    free(data);
    return n;
}

STANDS_BEFORE int ftruncate(int fd, off_t len)
{
    enum disk_fault f;
    long r;

    if (!is_ours(fd))
        return (int)syscall(SYS_ftruncate, fd, len);
    f = begin(false);
    r = fails(f) ? -1 : syscall(SYS_ftruncate, fd, len);
    if (r == 0)
        record(OP_TRUNCATE, fds[fd].file, NULL, 0)->at = (uint64_t)len;
    return (int)end(f, r);
}

static int sync_of(int fd, long number)
{
    enum disk_fault f;
    long r;

    if (!is_ours(fd))
        return (int)syscall(number, fd);
    f = begin(false);
    r = fails(f) ? -1 : syscall(number, fd);
    if (r == 0)
        record(fds[fd].is_folder ? OP_SYNC_FOLDER : OP_SYNC, fds[fd].file, NULL, 0);
    return (int)end(f, r);
}

STANDS_BEFORE int fsync(int fd)
{
    return sync_of(fd, SYS_fsync);
}

STANDS_BEFORE int fdatasync(int fd)
{
    return sync_of(fd, SYS_fdatasync);
}

STANDS_BEFORE int rename(const char *from, const char *to)
{
    const char *name = inside(from);
    enum disk_fault f;
    long r;

    if (!name)
        return (int)syscall(SYS_rename, from, to);
    f = begin(false);
    r = fails(f) ? -1 : syscall(SYS_rename, from, to);
    if (r == 0) {
        struct op *op = record(OP_RENAME, 0, NULL, 0);

        snprintf(op->name, NAME_LEN, "%s", name);
        snprintf(op->to, NAME_LEN, "%s", inside(to));
    }
    return (int)end(f, r);
}

STANDS_BEFORE int unlink(const char *path)
{
    const char *name = inside(path);
    enum disk_fault f;
    long r;

    if (!name)
        return (int)syscall(SYS_unlink, path);
    f = begin(false);
    r = fails(f) ? -1 : syscall(SYS_unlink, path);
    if (r == 0)
        snprintf(record(OP_UNLINK, 0, NULL, 0)->name, NAME_LEN, "%s", name);
    return (int)end(f, r);
}

/* The same by other names. */
STANDS_BEFORE int open64(const char *path, int flags, ...) __attribute__((alias("open")));
STANDS_BEFORE ssize_t pwrite64(int fd, const void *data, size_t len, off64_t at) __attribute__((alias("pwrite")));
STANDS_BEFORE int ftruncate64(int fd, off64_t len) __attribute__((alias("ftruncate")));

/* --- the disk --- */

bool disk_init(const char *path)
{
    pthread_mutexattr_t a;
    struct shared *s =
        mmap(NULL, sizeof(*s), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

    if (s == MAP_FAILED)
        return false;
    pthread_mutexattr_init(&a);
    pthread_mutexattr_setpshared(&a, PTHREAD_PROCESS_SHARED);
    pthread_mutex_init(&s->lock, &a);
    s->fault_at = UINT32_MAX;
    snprintf(folder, sizeof(folder), "%s", path);
    folder_len = strlen(folder);
    shared = s;
    return true;
}

/* A file of the folder, by name; calls that are not watched. Its bytes are malloc'd. */
static struct image read_image(const char *name, uint64_t *ret_file)
{
    char path[512];
    struct image m = { 0 };
    struct stat st;
    int fd;

    snprintf(path, sizeof(path), "%s/%s", folder, name);
    fd = (int)syscall(SYS_openat, AT_FDCWD, path, O_RDONLY);
    assert(fd >= 0 && fstat(fd, &st) == 0);
    m = (struct image){ .file = st.st_ino, .bytes = malloc((size_t)st.st_size + 1), .room = (size_t)st.st_size + 1 };
    assert(m.bytes);
    m.len = (size_t)pread(fd, m.bytes, (size_t)st.st_size, 0);
    syscall(SYS_close, fd);
    *ret_file = st.st_ino;
    return m;
}

void disk_begin(void)
{
    DIR *d = opendir(folder);
    struct dirent *e;

    for (size_t i = 0; i < base_count; i++)
        free(base[i].bytes);
    base_count = 0;
    assert(d);
    while ((e = readdir(d))) {
        if (e->d_name[0] == '.')
            continue;
        assert(base_count < FILES);
        assert(strlen(e->d_name) < NAME_LEN);
        strcpy(base_names[base_count].name, e->d_name);
        base[base_count] = read_image(e->d_name, &base_names[base_count].file);
        base_count++;
    }
    closedir(d);
    pthread_mutex_init(&shared->lock, NULL); /* a child may have died with it */
    shared->used = 0;
    shared->calls = 0;
    shared->fault_at = UINT32_MAX;
}

void disk_fault_at(uint32_t call, enum disk_fault fault)
{
    pthread_mutex_init(&shared->lock, NULL);
    shared->fault_at = fault == DISK_FINE ? UINT32_MAX : call;
    shared->fault = fault;
}

uint32_t disk_calls(void)
{
    return shared->calls;
}

void disk_ack(uint32_t value)
{
    pthread_mutex_lock(&shared->lock);
    record(OP_ACK, value, NULL, 0);
    pthread_mutex_unlock(&shared->lock);
}

void disk_wipe(void)
{
    DIR *d = opendir(folder);
    struct dirent *e;
    char path[512];

    assert(d);
    while ((e = readdir(d))) {
        if (e->d_name[0] == '.')
            continue;
        snprintf(path, sizeof(path), "%s/%s", folder, e->d_name);
        syscall(SYS_unlink, path);
    }
    closedir(d);
}

/* --- a power cut --- */

static struct image *image_of(struct image *images, size_t *count, uint64_t file)
{
    for (size_t i = 0; i < *count; i++)
        if (images[i].file == file)
            return &images[i];
    assert(*count < FILES);
    images[*count] = (struct image){ .file = file };
    return &images[(*count)++];
}

static void image_resize(struct image *m, size_t len)
{
    if (len > m->room) {
        m->room = len * 2;
        m->bytes = realloc(m->bytes, m->room);
        assert(m->bytes);
    }
    if (len > m->len)
        memset(m->bytes + m->len, 0, len - m->len);
    m->len = len;
}

static void image_write(struct image *m, uint64_t at, const uint8_t *data, size_t len)
{
    if (at + len > m->len)
        image_resize(m, at + len);
    if (len > 0)
        memcpy(m->bytes + at, data, len);
}

/* What is left of a write that was not durable; n is its place among `of`. */
static void write_in_part(struct image *m, const struct op *op, enum disk_cut cut, uint32_t n, uint32_t of,
                          struct prng *p)
{
    uint64_t at = op->at, end_at = op->at + op->len;

    if (cut == DISK_CUT_NONE || (cut == DISK_CUT_LATE && n < of / 2) || (cut == DISK_CUT_WRITES && prng_below(p, 2))) {
        if (cut != DISK_CUT_NONE && end_at > m->len && prng_below(p, 2))
            image_resize(m, end_at); /* its length came */
        return;
    }
    while (at < end_at) {
        uint64_t next = MIN((at / SECTOR + 1) * SECTOR, end_at);

        if (cut != DISK_CUT_SECTORS || prng_below(p, 2))
            image_write(m, at, op->data + (at - op->at), next - at);
        else if (next > m->len && prng_below(p, 4) == 0)
            image_resize(m, next);
        at = next;
    }
}

static bool is_change(const struct op *op)
{
    return op->type == OP_WRITE || op->type == OP_TRUNCATE;
}

/* The place behind op's file's last sync that was over before call `at`, or 0. */
static size_t synced_to(uint64_t file, uint32_t at)
{
    size_t place = 0, ret = 0;
    struct op *op;

    while ((op = op_next(&place)) && op->call < at)
        if (op->type == OP_SYNC && op->file == file)
            ret = place;
    return ret;
}

static void cut_file(struct image *m, uint32_t at, enum disk_cut cut, struct prng *p)
{
    size_t durable = synced_to(m->file, at), place;
    uint32_t n = 0, of = 0;
    struct op *op;

    for (place = durable; (op = op_next(&place)) && op->call <= at;)
        of += is_change(op) && op->file == m->file;
    for (place = 0; (op = op_next(&place)) && op->call <= at;) {
        bool sure = place <= durable || (op->durable && op->call < at);

        if (!is_change(op) || op->file != m->file)
            continue;
        if (op->type == OP_WRITE && sure)
            image_write(m, op->at, op->data, op->len);
        else if (op->type == OP_WRITE)
            write_in_part(m, op, cut, n, of, p);
        else if (sure || cut == DISK_CUT_ALL || (cut != DISK_CUT_NONE && prng_below(p, 2)))
            image_resize(m, op->at);
        n += place > durable;
    }
}

static void change_names(struct name *names, size_t *count, const struct op *op)
{
    const char *goes = op->type == OP_RENAME ? op->to : op->name;
    uint64_t file = op->file;

    if (op->type == OP_RENAME) {
        for (size_t i = 0; i < *count; i++)
            if (strcmp(names[i].name, op->name) == 0) {
                file = names[i].file;
                names[i] = names[--*count];
                break;
            }
    }
    for (size_t i = 0; i < *count; i++)
        if (strcmp(names[i].name, goes) == 0) {
            names[i] = names[--*count];
            break;
        }
    if (op->type == OP_UNLINK)
        return;
    assert(*count < FILES);
    snprintf(names[*count].name, NAME_LEN, "%s", goes);
    names[(*count)++].file = file;
}

static size_t cut_names(struct name *names, uint32_t at, enum disk_cut cut, struct prng *p)
{
    size_t durable = 0, place = 0, count = base_count;
    uint32_t pending = 0, kept;
    struct op *op;

    memcpy(names, base_names, sizeof(base_names));
    while ((op = op_next(&place)) && op->call < at)
        if (op->type == OP_SYNC_FOLDER)
            durable = place;
    for (place = durable; (op = op_next(&place)) && op->call <= at;)
        pending += op->type == OP_CREATE || op->type == OP_RENAME || op->type == OP_UNLINK;
    kept = cut == DISK_CUT_ALL ? pending : cut == DISK_CUT_NONE ? 0 : (uint32_t)prng_below(p, pending + 1u);
    for (place = 0; (op = op_next(&place)) && op->call <= at;) {
        if (op->type != OP_CREATE && op->type != OP_RENAME && op->type != OP_UNLINK)
            continue;
        if (place > durable && kept-- == 0)
            break;
        change_names(names, &count, op);
    }
    return count;
}

uint32_t disk_power_cut(uint32_t at, enum disk_cut cut, struct prng *p)
{
    struct image images[FILES];
    struct name names[FILES];
    size_t count = base_count, names_count = cut_names(names, at, cut, p), place = 0;
    uint32_t acked = 0;
    struct op *op;

    for (size_t i = 0; i < base_count; i++) {
        images[i] = (struct image){ .file = base[i].file };
        image_write(&images[i], 0, base[i].bytes, base[i].len);
    }
    while ((op = op_next(&place)) && op->call <= at) {
        if (op->type == OP_ACK)
            acked = (uint32_t)op->file;
        else if (is_change(op))
            image_of(images, &count, op->file);
    }
    for (size_t i = 0; i < count; i++)
        cut_file(&images[i], at, cut, p);
    disk_wipe();
    for (size_t i = 0; i < names_count; i++) {
        struct image *m = image_of(images, &count, names[i].file);
        char path[512];
        int fd;

        snprintf(path, sizeof(path), "%s/%.47s", folder, names[i].name);
        fd = (int)syscall(SYS_openat, AT_FDCWD, path, O_WRONLY | O_CREAT | O_TRUNC, 0600);
        assert(fd >= 0 && syscall(SYS_pwrite64, fd, m->bytes, m->len, 0L) == (long)m->len);
        syscall(SYS_close, fd);
    }
    for (size_t i = 0; i < count; i++)
        free(images[i].bytes);
    return acked;
}
