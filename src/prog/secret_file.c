/* prog/secret_file.c - see secret_file.h. Nothing is read of what others may read: it is no secret any more. */
#include "prog/secret_file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

int secret_file_line(const char *path, char *line, size_t size, char err[FILE_ERR])
{
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK), r = 0;
    struct stat st;
    ssize_t n = 0;

    if (fd < 0 || fstat(fd, &st) < 0) {
        r = -errno;
        snprintf(err, FILE_ERR, "%s: %s", path, strerror(-r));
    } else if (!S_ISREG(st.st_mode)) {
        r = -EINVAL;
        snprintf(err, FILE_ERR, "%s: found no regular file, expected one", path);
    } else if (st.st_mode & 077) {
        r = -EPERM;
        snprintf(err, FILE_ERR, "%s: found mode %04o, expected 0600: others may read it", path,
                 (unsigned)st.st_mode & 07777);
    } else if ((n = read(fd, line, size - 1)) < 0) {
        r = -errno;
        snprintf(err, FILE_ERR, "%s: %s", path, strerror(-r));
    }
    if (fd >= 0)
        close(fd);
    if (r < 0)
        return r;
    line[n] = '\0';
    n = (ssize_t)strcspn(line, "\r\n");
    while (n > 0 && (line[n - 1] == ' ' || line[n - 1] == '\t'))
        n--;
    explicit_bzero(line + n, size - (size_t)n);
    return 0;
}
