/* Atomic files.
 *
 * Theory of operation. The temporary name is `path.tmp`: one writer a path (each daemon owns its state folder), so a
 * left-over of a killed process is simply written over. rename(2) is atomic on one file system, which the same folder
 * ensures; the folder's fsync makes the rename itself durable.
 *
 * Limits: 16 MiB a file, paths of 4095 bytes. Sources: rename(2), fsync(2). */
#include "sys/store.h"

#include "base/text.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

static int failed(int r, const char *path, const char *verb, char *err, size_t err_size)
{
    if (err && err_size > 0)
        snprintf(err, err_size, "%s: cannot %s: %s", path, verb, strerror(-r));
    return r;
}

static int write_all(int fd, const uint8_t *p, size_t len)
{
    while (len > 0) {
        ssize_t n = write(fd, p, len);

        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return -errno;
        p += n;
        len -= (size_t)n;
    }
    return 0;
}

int store_sync_folder(const char *path)
{
    char folder[PATH_MAX];
    const char *slash = strrchr(path, '/');
    int fd, r = 0;

    if (!slash)
        snprintf(folder, sizeof(folder), ".");
    else
        snprintf(folder, sizeof(folder), "%.*s", slash == path ? 1 : (int)(slash - path), path);
    fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        return -errno;
    if (fsync(fd) < 0)
        r = -errno;
    close(fd);
    return r;
}

int store_write(const char *path, const void *data, size_t len, char *err, size_t err_size)
{
    char tmp[PATH_MAX];
    int fd, r = 0;

    if ((size_t)snprintf(tmp, sizeof(tmp), "%s.tmp", path) >= sizeof(tmp))
        return failed(-ENAMETOOLONG, path, "write", err, err_size);
    if (len > STORE_BYTES_MAX)
        return failed(-EFBIG, path, "write", err, err_size);
    fd = open(tmp, O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (fd < 0)
        return failed(-errno, tmp, "create", err, err_size);
    if (fchmod(fd, 0600) < 0) /* a left-over may have another mode */
        r = -errno;
    if (r == 0)
        r = write_all(fd, data, len);
    if (r == 0 && fsync(fd) < 0)
        r = -errno;
    if (close(fd) < 0 && r == 0)
        r = -errno;
    if (r == 0 && rename(tmp, path) < 0)
        r = -errno;
    if (r < 0) {
        unlink(tmp);
        return failed(r, path, "write", err, err_size);
    }
    r = store_sync_folder(path);
    return r < 0 ? failed(r, path, "make durable", err, err_size) : 0;
}

int store_read(const char *path, uint8_t **ret, size_t *ret_len, char *err, size_t err_size)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC), r = 0;
    uint8_t *buf = NULL;
    size_t len = 0;
    struct stat st;

    if (fd < 0)
        return failed(-errno, path, "open", err, err_size);
    if (fstat(fd, &st) < 0)
        r = -errno;
    else if (!S_ISREG(st.st_mode))
        r = -EINVAL;
    else if (st.st_size > STORE_BYTES_MAX)
        r = -EFBIG;
    else if (!(buf = malloc((size_t)st.st_size + 1)))
        r = -ENOMEM;
    while (r == 0 && len < (size_t)st.st_size) {
        ssize_t n = read(fd, buf + len, (size_t)st.st_size - len);

        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            r = -errno;
        if (n <= 0)
            break;
        len += (size_t)n;
    }
    close(fd);
    if (r < 0 || !buf) {
        free(buf);
        return failed(r, path, "read", err, err_size);
    }
    buf[len] = '\0';
    *ret = buf;
    *ret_len = len;
    return 0;
}
