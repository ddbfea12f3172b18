/* prog/verb_up.c - up, down and restart: the daemon in the background.
 *
 * up checks the file first, so that an error is told here and not in a log; starts hawserd in a session of its own; and
 * returns when its control socket answers. The daemon's output goes to a file beside the socket (NAME.log), whose end
 * is shown when it does not come up. down asks the socket for the daemon's pid, holds that process by a pidfd (so that
 * the number cannot come to mean another one), sends SIGTERM and waits for its end.
 *
 * Limits: START_WAIT_S for the start, STOP_WAIT_S for the end. */
#include "prog/config.h"
#include "prog/json_client.h"
#include "prog/verb.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <sys/pidfd.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define START_WAIT_S 10 /* chosen: probing offloads and setting routes takes well under a second */
#define STOP_WAIT_S 10
#define STEP_MS 20

/* The daemon beside this program, else by PATH. */
static void find_daemon(char *path, size_t size)
{
    ssize_t n = readlink("/proc/self/exe", path, size - sizeof("/hawserd"));
    char *slash;

    if (n > 0) {
        path[n] = '\0';
        slash = strrchr(path, '/');
        memcpy(slash, "/hawserd", sizeof("/hawserd"));
        if (access(path, X_OK) == 0)
            return;
    }
    snprintf(path, size, "hawserd");
}

static void make_parent(const char *path)
{
    char dir[256];
    const char *slash = strrchr(path, '/');

    if (slash && slash > path) {
        snprintf(dir, sizeof(dir), "%.*s", (int)(slash - path), path);
        mkdir(dir, 0755);
    }
}

static void show_log(const char *path)
{
    char line[512];
    FILE *f = fopen(path, "re");

    if (!f)
        return;
    if (fseek(f, -2000, SEEK_END) == 0 && fgets(line, sizeof(line), f) == NULL)
        line[0] = '\0'; /* the first line is cut */
    while (fgets(line, sizeof(line), f))
        fputs(line, stderr);
    fclose(f);
}

/* The child: never returns. */
static _Noreturn void run_daemon(const char *file, int log_fd)
{
    char program[4096];
    int null_fd = open("/dev/null", O_RDONLY | O_CLOEXEC);

    find_daemon(program, sizeof(program));
    setsid();
    if (null_fd >= 0)
        dup2(null_fd, STDIN_FILENO);
    dup2(log_fd, STDOUT_FILENO);
    dup2(log_fd, STDERR_FILENO);
    execlp(program, "hawserd", file, (char *)NULL);
    dprintf(STDERR_FILENO, "hawserd: %s: %s\n", program, strerror(errno));
    _exit(127);
}

static bool answers(const char *control)
{
    CLEANUP(cleanup_json) json_t *question = json_pack("{s:s}", "verb", "status");
    CLEANUP(cleanup_json) json_t *doc = NULL;

    return daemon_ask(control, question, &doc) == 0;
}

static int wait_for_start(const struct verb *v, const struct config *c, pid_t pid, const char *log)
{
    int status;

    for (int ms = 0; ms < START_WAIT_S * 1000; ms += STEP_MS) {
        if (waitpid(pid, &status, WNOHANG) == pid) {
            show_log(log);
            if (WIFEXITED(status))
                return verb_fail(v, "hawserd ended with code %d (its output is in %s)", WEXITSTATUS(status), log);
            return verb_fail(v, "hawserd ended by signal %d (its output is in %s)", WTERMSIG(status), log);
        }
        if (answers(c->control)) {
            printf("%s is up\n", c->name);
            return EXIT_DONE;
        }
        nanosleep(&(struct timespec){ .tv_nsec = STEP_MS * 1000000 }, NULL);
    }
    kill(pid, SIGTERM);
    show_log(log);
    return verb_fail(v, "hawserd did not answer at %s within %d s and was stopped (its output is in %s)", c->control,
                     START_WAIT_S, log);
}

static int start(const struct verb *v, const struct config *c, const char *file)
{
    char log[256], *full = realpath(file, NULL);
    size_t len = strlen(c->control);
    int log_fd;
    pid_t pid;

    if (!full)
        return verb_fail(v, "%s: %s", file, strerror(errno));
    if (len > 5 && strcmp(c->control + len - 5, ".sock") == 0)
        len -= 5;
    snprintf(log, sizeof(log), "%.*s.log", (int)MIN(len, sizeof(log) - 5), c->control);
    make_parent(log);
    log_fd = open(log, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (log_fd < 0) {
        free(full);
        return verb_fail(v, "%s: %s", log, strerror(errno));
    }
    pid = fork();
    if (pid == 0)
        run_daemon(full, log_fd);
    close(log_fd);
    free(full);
    return pid < 0 ? verb_fail(v, "fork: %s", strerror(errno)) : wait_for_start(v, c, pid, log);
}

int verb_up(const struct verb *v, int argc, char **argv)
{
    static char lines[65536];
    static const struct verb_option options[] = { { NULL, NULL, NULL } };
    struct config *c = NULL;
    struct text errors;
    int n = verb_options(v, argc, argv, options), r;

    if (n < 0)
        return EXIT_USAGE;
    if (n != 1)
        return verb_misused(v, "found %d arguments, expected a configuration file", n);
    text_init(&errors, lines, sizeof(lines));
    r = config_load(argv[1], &errors, &c);
    fputs(lines, stderr);
    if (r < 0)
        return verb_fail(v, r == -ENOMEM ? "out of memory" : "nothing was started");
    if (answers(c->control))
        r = verb_fail(v, "%s is up already (%s answers)", c->name, c->control);
    else
        r = start(v, c, argv[1]);
    config_free(c);
    return r;
}

/* The process that a status tells of: a descriptor, or -1 and told. */
static int hold(const struct verb *v, const json_t *status)
{
    pid_t pid = (pid_t)json_number(status, "pid");
    int fd;

    if (pid <= 1) {
        (void)verb_fail(v, "the daemon told no pid");
        return -1;
    }
    fd = pidfd_open(pid, 0);
    if (fd < 0)
        (void)verb_fail(v, "process %d: %s", (int)pid, strerror(errno));
    return fd;
}

static int wait_for_end(const struct verb *v, const json_t *status, int fd)
{
    struct pollfd ended = { .fd = fd, .events = POLLIN };

    if (poll(&ended, 1, STOP_WAIT_S * 1000) == 1)
        return EXIT_DONE;
    return verb_fail(v, "process %.0f did not end within %d s", json_number(status, "pid"), STOP_WAIT_S);
}

int verb_down(const struct verb *v, int argc, char **argv)
{
    static const struct verb_option options[] = { { NULL, NULL, NULL } };
    CLEANUP(cleanup_json) json_t *doc = NULL;
    int n = verb_options(v, argc, argv, options), r, fd;

    if (n < 0)
        return EXIT_USAGE;
    if (n > 1)
        return verb_misused(v, "found %d arguments, expected one at most", n);
    r = daemon_call(v, n == 1 ? argv[1] : NULL, json_pack("{s:s}", "verb", "status"), &doc);
    if (r != EXIT_DONE)
        return r;
    fd = hold(v, doc);
    if (fd < 0)
        return EXIT_FAILED;
    if (pidfd_send_signal(fd, SIGTERM, NULL, 0) < 0)
        r = verb_fail(v, "process %.0f: %s", json_number(doc, "pid"), strerror(errno));
    else
        r = wait_for_end(v, doc, fd);
    if (r == EXIT_DONE)
        printf("%s is down\n", json_text(doc, "name"));
    close(fd);
    return r;
}

/* It ends, and its service manager starts the next. */
static int leave(const struct verb *v, const char *name, const json_t *status)
{
    CLEANUP(cleanup_json) json_t *said = NULL;
    int fd = hold(v, status), r;

    if (fd < 0)
        return EXIT_FAILED;
    r = daemon_call(v, name, json_pack("{s:s, s:s}", "verb", "restart", "by", "manager"), &said);
    if (r == EXIT_DONE)
        r = wait_for_end(v, status, fd);
    if (r == EXIT_DONE)
        printf("%s has ended: its service manager keeps its split connections\n", json_text(status, "name"));
    close(fd);
    return r;
}

int verb_restart(const struct verb *v, int argc, char **argv)
{
    bool by_manager = false;
    const struct verb_option options[] = { { "manager", NULL, &by_manager }, { NULL, NULL, NULL } };
    CLEANUP(cleanup_json) json_t *before = NULL, *said = NULL;
    int n = verb_options(v, argc, argv, options), r;
    const char *name = n == 1 ? argv[1] : NULL;
    char control[256];

    if (n < 0)
        return EXIT_USAGE;
    if (n > 1)
        return verb_misused(v, "found %d arguments, expected one at most", n);
    r = daemon_find(v, name, control, sizeof(control));
    if (r == EXIT_DONE)
        r = daemon_call(v, name, json_pack("{s:s}", "verb", "status"), &before);
    if (r == EXIT_DONE && by_manager)
        return leave(v, name, before);
    if (r == EXIT_DONE)
        r = daemon_call(v, name, json_pack("{s:s}", "verb", "restart"), &said);
    if (r != EXIT_DONE)
        return r;
    for (int ms = 0; ms < (START_WAIT_S + STOP_WAIT_S) * 1000; ms += STEP_MS) {
        CLEANUP(cleanup_json) json_t *question = json_pack("{s:s}", "verb", "status"), *now = NULL;

        nanosleep(&(struct timespec){ .tv_nsec = STEP_MS * 1000000 }, NULL);
        if (daemon_ask(control, question, &now) < 0 ||
            json_number(now, "started_us") <= json_number(before, "started_us"))
            continue;
        printf("%s is restarted: %.0f connections go on\n", json_text(now, "name"),
               json_number(json_object_get(now, "split"), "resumed"));
        return EXIT_DONE;
    }
    return verb_fail(v, "it did not answer within %d s: see its log", START_WAIT_S + STOP_WAIT_S);
}
