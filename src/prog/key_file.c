/* prog/key_file.c - see key_file.h. */
#include "prog/key_file.h"

#include "sys/store.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

static int write_new(const char *path, const char *line)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600), r = 0;
    size_t len = strlen(line);

    if (fd < 0)
        return -errno;
    errno = 0;
    if (fchmod(fd, 0600) < 0 || write(fd, line, len) != (ssize_t)len || fsync(fd) < 0)
        r = errno ? -errno : -EIO;
    if (close(fd) < 0 && r == 0)
        r = -errno;
    if (r == 0)
        r = store_sync_folder(path);
    if (r < 0)
        unlink(path);
    return r;
}

int key_file_write(const char *path, const struct identity *id, char err[FILE_ERR])
{
    char line[KEY_TEXT_SIZE + 1];
    int r;

    identity_secret_encode(id, line);
    memcpy(line + KEY_TEXT_LEN, "\n", 2);
    r = write_new(path, line);
    explicit_bzero(line, sizeof(line));
    if (r == -EEXIST)
        snprintf(err, FILE_ERR, "%s exists already and is left alone", path);
    else if (r < 0)
        snprintf(err, FILE_ERR, "%s: %s", path, strerror(-r));
    return r;
}

int key_file_read(const char *path, struct identity *ret, char err[FILE_ERR])
{
    char line[256];
    int r = secret_file_line(path, line, sizeof(line), err);

    if (r == 0) {
        r = identity_secret_decode(line, ret);
        if (r < 0)
            snprintf(err, FILE_ERR, "%s: found %zu characters, expected a secret key of %d", path, strlen(line),
                     KEY_TEXT_LEN);
    }
    explicit_bzero(line, sizeof(line));
    return r;
}
