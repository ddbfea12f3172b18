/* prog/restart.c - a planned restart: the daemon becomes its successor, in the same process or by its service manager.
 *
 * Theory of operation. The configuration is read first: with one that is refused nothing happens. Then every thread
 * ends, what cannot go on is broken off (node/restart.c), and what the cores have to hand over is written into a memfd,
 * which is sealed: it is memory, never a file, and nobody can change it. All that the daemon set up is taken back, as
 * at any end, and the process executes the program again by the path that it was started from, so that of a package
 * that was upgraded the new program runs. The pid stays, and with it whatever supervises it.
 *
 * Where a service manager ends the process and starts another (systemctl restart), it is told that it restarts, before
 * it sends SIGTERM: by `hawser restart --manager`, from the unit. Then the memfd goes into the manager's store, and the
 * process ends when the manager has it. Who is only stopped leaves nothing: its connections are reset at once.
 *
 * The successor finds the descriptor's number in its environment, or gets it from the manager, which is told to keep it
 * no longer: a state is for one process, and one that died must not find it again. A state of another version, or one
 * that is broken, is refused and told; then connections are reset, as after a crash.
 *
 * Limits: none of its own; the state is as large as what split connections have buffered (node/split.c). */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <syslog.h>
#include <unistd.h>

#include "prog/daemon.h"
#include "sys/notify.h"

#define VARIABLE "HAWSERD_STATE_FD"
#define KEPT_NAME "split"    /* of the state in the service manager's store */
#define MANAGER_WAIT_MS 5000 /* chosen: it reads within milliseconds, and waits for a minute or so when it stops us */
#define SEALS (F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE | F_SEAL_SEAL)

/* Would the configuration be taken? */
static int try_config(struct daemon *d, struct text *errors)
{
    struct config *fresh;
    int r = config_load(d->config_path, errors, &fresh);

    if (r < 0)
        return r;
    config_free(fresh);
    return 0;
}

int restart_begin(struct daemon *d, struct text *errors)
{
    int r = try_config(d, errors);

    if (r < 0)
        return r;
    if (access(d->program, X_OK) < 0) {
        r = -errno;
        text_add(errors, "%s: %s\n", d->program, strerror(errno));
        return r;
    }
    daemon_stop(d, 0);
    atomic_store(&d->restarting, RESTART_IN_PLACE);
    return 0;
}

int restart_leave(struct daemon *d, struct text *errors)
{
    int r = notify_wanted() ? try_config(d, errors) : -ENOTCONN;

    if (r == -ENOTCONN)
        text_add(errors,
                 "no service manager would keep the state: NOTIFY_SOCKET is not set where hawserd was started\n");
    if (r < 0)
        return r;
    daemon_stop(d, 0);
    atomic_store(&d->restarting, RESTART_BY_MANAGER);
    return 0;
}

/* What fails is told, and -1 returned: then there is nothing to hand over. */
static int make_memfd(size_t size, uint8_t **ret)
{
    int fd = memfd_create("hawserd-state", MFD_ALLOW_SEALING); /* it is to outlive exec */

    if (fd < 0 || ftruncate(fd, (off_t)size) < 0) {
        say(LOG_ERR, "restart-state error=%s: connections are reset", strerror(errno));
    } else {
        *ret = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
        if (*ret != MAP_FAILED)
            return fd;
        say(LOG_ERR, "restart-state error=%s: connections are reset", strerror(errno));
    }
    if (fd >= 0)
        close(fd);
    return -1;
}

/* False, and told: it has nothing. What was sent may be read yet, whatever is known of it: whoever is reset then cannot
 * go on. */
static bool leave(int fd)
{
    int r = notify_send("FDSTORE=1\nFDNAME=" KEPT_NAME, fd);

    if (r < 0) {
        say(LOG_ERR, "restart-state error=%s: the service manager has it not; connections are reset", strerror(-r));
        return false;
    }
    r = notify_wait(MANAGER_WAIT_MS);
    if (r < 0)
        say(LOG_WARNING, "restart-state error=%s: the service manager did not say that it has it", strerror(-r));
    return true;
}

int restart_save(struct daemon *d)
{
    const struct node *nodes[WORKERS_MAX];
    size_t size = 0, len, connections = 0;
    uint8_t *state;
    int fd;

    for (unsigned i = 0; i < d->workers_count; i++) {
        nodes[i] = d->workers[i].node;
        size += node_save_bound(nodes[i]);
    }
    fd = make_memfd(size, &state);
    if (fd < 0)
        return -1;
    len = node_save(nodes, d->workers_count, state, size, &connections);
    munmap(state, size);
    if (len == 0 || ftruncate(fd, (off_t)len) < 0 || fcntl(fd, F_ADD_SEALS, SEALS) < 0) {
        say(LOG_ERR, "restart-state error=%s: connections are reset", len == 0 ? "it does not fit" : strerror(errno));
        close(fd);
        return -1;
    }
    if (d->restarting == RESTART_BY_MANAGER && !leave(fd)) {
        close(fd);
        return -1;
    }
    say(LOG_NOTICE, "restarting program=%s connections=%zu bytes=%zu", d->program, connections, len);
    return fd;
}

void restart_exec(const char *program, char **argv, int state_fd)
{
    char number[12];

    if (state_fd >= 0) {
        snprintf(number, sizeof(number), "%d", state_fd);
        setenv(VARIABLE, number, 1);
    }
    execv(program, argv);
    say(LOG_ERR, "restart program=%s error=%s", program, strerror(errno));
}

/* What the service manager kept. It forgets it before anything can fail. */
static int find_kept(void)
{
    int fd = notify_take(KEPT_NAME);
    int r = fd >= 0 ? notify_send("FDSTOREREMOVE=1\nFDNAME=" KEPT_NAME, -1) : 0;

    if (r < 0)
        say(LOG_WARNING, "restart-state error=%s: the service manager was not told to forget it", strerror(-r));
    return fd;
}

void restart_ready(void)
{
    int r = notify_wanted() ? notify_send("READY=1", -1) : 0;

    if (r < 0)
        say(LOG_WARNING, "ready error=%s: the service manager was not told", strerror(-r));
}

int restart_find(void)
{
    const char *text = getenv(VARIABLE);
    char *end;
    long fd = text ? strtol(text, &end, 10) : -1;

    if (!text)
        return find_kept();
    if (fd < 3 || *end || fcntl((int)fd, F_GETFD) < 0) {
        say(LOG_WARNING, "restart-state refused: %s=%s is no descriptor", VARIABLE, text);
        fd = -1;
    }
    unsetenv(VARIABLE);
    if (fd >= 0)
        fcntl((int)fd, F_SETFD, FD_CLOEXEC);
    return (int)fd;
}

static const char *refusal(int error)
{
    return error == -EPROTONOSUPPORT ? "it is of another version"
           : error == -EPROTO        ? "it is broken"
                                     : strerror(-error);
}

void restart_restore(struct daemon *d, int fd, instant now)
{
    const uint8_t *state;
    struct node_split_info info;
    size_t connections = 0;
    struct stat st;
    int r = 0, seals;

    if (fd < 0)
        return;
    seals = fcntl(fd, F_GET_SEALS);
    if (seals < 0 || (seals & SEALS) != SEALS || fstat(fd, &st) < 0 || st.st_size == 0) {
        say(LOG_WARNING, "restart-state refused: not a sealed state; connections are reset");
        close(fd);
        return;
    }
    state = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
    if (state == MAP_FAILED) {
        say(LOG_WARNING, "restart-state refused: %s; connections are reset", strerror(errno));
        close(fd);
        return;
    }
    for (unsigned i = 0; i < d->workers_count && r == 0; i++) {
        r = node_restore(d->workers[i].node, state, (size_t)st.st_size, now);
        node_split_info(d->workers[i].node, &info);
        connections += info.resumed;
    }
    munmap((void *)(uintptr_t)state, (size_t)st.st_size);
    close(fd);
    for (unsigned i = 0; r < 0 && i < d->workers_count; i++)
        node_restore_undo(d->workers[i].node, now);
    if (r < 0)
        say(LOG_WARNING, "restart-state refused: %s; connections are reset", refusal(r));
    else
        say(LOG_NOTICE, "restarted connections=%zu", connections);
}
