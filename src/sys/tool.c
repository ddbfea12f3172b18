/* sys/tool.c - see tool.h.
 *
 * Theory of operation. The program reads the text from an anonymous file and writes its complaint to another, so
 * neither side can block on a pipe or be killed by one.
 *
 * Limits: the first kilobytes of the complaint as the caller has room.
 * Sources: posix_spawn(3), memfd_create(2). */
#include "sys/tool.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

extern char **environ;

/* An anonymous file holding data, at its start. The descriptor or -errno. */
static int anonymous_file(const char *name, const char *data)
{
    int fd = memfd_create(name, MFD_CLOEXEC);
    size_t len = strlen(data);

    if (fd < 0)
        return -errno;
    if (write(fd, data, len) != (ssize_t)len || lseek(fd, 0, SEEK_SET) < 0) {
        int r = errno ? -errno : -EIO;
        close(fd);
        return r;
    }
    return fd;
}

/* 0 or -errno; nobody inherits our blocked or ignored signals. */
static int spawn(const char *const argv[], int in, int complaint, pid_t *ret)
{
    static const char *const places[] = { "/usr/sbin/", "/sbin/", "" };
    posix_spawn_file_actions_t files;
    posix_spawnattr_t attr;
    sigset_t none, pipe_signal;
    char path[256];
    int r = ENOENT;

    sigemptyset(&none);
    sigemptyset(&pipe_signal);
    sigaddset(&pipe_signal, SIGPIPE);
    if (posix_spawn_file_actions_init(&files) != 0)
        return -ENOMEM;
    if (posix_spawnattr_init(&attr) != 0) {
        posix_spawn_file_actions_destroy(&files);
        return -ENOMEM;
    }
    posix_spawnattr_setsigmask(&attr, &none);
    posix_spawnattr_setsigdefault(&attr, &pipe_signal);
    posix_spawnattr_setflags(&attr, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF);
    posix_spawn_file_actions_adddup2(&files, in, STDIN_FILENO);
    posix_spawn_file_actions_addopen(&files, STDOUT_FILENO, "/dev/null", O_WRONLY, 0);
    posix_spawn_file_actions_adddup2(&files, complaint, STDERR_FILENO);
    for (size_t i = 0; r == ENOENT && i < ARRAY_LEN(places); i++) {
        snprintf(path, sizeof(path), "%s%s", places[i], argv[0]);
        /* It changes none of the words; the type is older than const. */
        r = posix_spawnp(ret, path, &files, &attr, (char *const *)(uintptr_t)argv, environ);
    }
    posix_spawnattr_destroy(&attr);
    posix_spawn_file_actions_destroy(&files);
    return -r;
}

static int failed(int r, const char *what, const char *tool, char *err, size_t err_size)
{
    if (err && err_size > 0)
        snprintf(err, err_size, "%s %s: %s", what, tool, strerror(-r));
    return r;
}

/* Reads what the program complained about and finds the errno in it. */
static int read_complaint(int fd, const char *tool, char *err, size_t err_size)
{
    char buf[4096];
    ssize_t n = pread(fd, buf, sizeof(buf) - 1, 0);

    buf[MAX(n, (ssize_t)0)] = '\0';
    while (n > 0 && buf[n - 1] == '\n')
        buf[--n] = '\0';
    if (err && err_size > 0)
        snprintf(err, err_size, "%s: %s", tool, buf);
    return strstr(buf, "Operation not permitted") || strstr(buf, "Permission denied") ? -EPERM : -EINVAL;
}

int tool_run(const char *const argv[], const char *input, char *err, size_t err_size)
{
    int in, complaint, status = 0, r;
    pid_t pid;

    in = anonymous_file("input", input);
    if (in < 0)
        return failed(in, "input of", argv[0], err, err_size);
    complaint = anonymous_file("complaint", "");
    if (complaint < 0) {
        close(in);
        return failed(complaint, "complaint of", argv[0], err, err_size);
    }
    r = spawn(argv, in, complaint, &pid);
    if (r < 0) {
        failed(r, "cannot run", argv[0], err, err_size);
    } else {
        while ((r = waitpid(pid, &status, 0)) < 0 && errno == EINTR)
            continue;
        if (r < 0)
            r = failed(-errno, "cannot wait for", argv[0], err, err_size);
        else if (WIFEXITED(status) && WEXITSTATUS(status) == 0)
            r = 0;
        else if (WIFEXITED(status) && WEXITSTATUS(status) != 127)
            r = read_complaint(complaint, argv[0], err, err_size);
        else
            r = failed(-ECHILD, "did not end by itself:", argv[0], err, err_size);
    }
    close(in);
    close(complaint);
    return r;
}
