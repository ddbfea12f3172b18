/* prog/json_client.c - see json_client.h. One connection a question: the daemon closes nothing that we wait for. */
#include "prog/json_client.h"

#include "base/text.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

/* The names of the sockets in CONTROL_DIR, joined; their number. */
static unsigned list_sockets(struct text *names, char *only, size_t size)
{
    DIR *dir = opendir(CONTROL_DIR);
    struct dirent *e;
    unsigned count = 0;

    while (dir && (e = readdir(dir)) != NULL) {
        size_t len = strlen(e->d_name);

        if (len < 6 || strcmp(e->d_name + len - 5, ".sock") != 0)
            continue;
        text_add(names, "%s%.*s", count ? ", " : "", (int)len - 5, e->d_name);
        snprintf(only, size, CONTROL_DIR "/%s", e->d_name);
        count++;
    }
    if (dir)
        closedir(dir);
    return count;
}

int control_find(const struct verb *v, const char *name, char *path, size_t size)
{
    const char *env = getenv("HAWSER_CONTROL");
    char names_buf[256];
    struct text names;
    unsigned count;

    if (!name && env && *env)
        name = env;
    if (name) {
        snprintf(path, size, strchr(name, '/') ? "%s" : CONTROL_DIR "/%s.sock", name);
        return EXIT_DONE;
    }
    text_init(&names, names_buf, sizeof(names_buf));
    count = list_sockets(&names, path, size);
    if (count == 0)
        return verb_fail(v, "no daemon is running (found no socket in " CONTROL_DIR ")");
    if (count > 1)
        return verb_misused(v, "found %u tunnels (%s), expected the name of one", count, names_buf);
    return EXIT_DONE;
}

static int connect_to(const char *path)
{
    struct sockaddr_un sa = { .sun_family = AF_UNIX };
    struct timeval timeout = { .tv_sec = CONTROL_TIMEOUT_S };
    int fd, r;

    if (strlen(path) >= sizeof(sa.sun_path))
        return -ENAMETOOLONG;
    memcpy(sa.sun_path, path, strlen(path) + 1);
    fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return -errno;
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &timeout, sizeof(timeout));
    setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &timeout, sizeof(timeout));
    if (connect(fd, (struct sockaddr *)&sa, sizeof(sa)) < 0) {
        r = -errno;
        close(fd);
        return r;
    }
    return fd;
}

static int send_line(int fd, const char *line)
{
    size_t len = strlen(line);

    while (len > 0) {
        ssize_t n = send(fd, line, len, MSG_NOSIGNAL);

        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return -errno;
        line += n;
        len -= (size_t)n;
    }
    return 0;
}

/* A line without its end, allocated; or NULL and *ret_error. */
static char *receive_line(int fd, int *ret_error)
{
    size_t size = 65536, len = 0;
    char *buf = malloc(size);

    *ret_error = -ENOMEM;
    while (buf) {
        ssize_t n = recv(fd, buf + len, size - len - 1, 0);
        char *end;

        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0) {
            *ret_error = n == 0 ? -ECONNRESET : errno == EAGAIN ? -ETIMEDOUT : -errno;
            break;
        }
        end = memchr(buf + len, '\n', (size_t)n);
        len += (size_t)n;
        if (end) {
            *end = '\0';
            return buf;
        }
        if (size - len < 2) {
            char *grown = size < CONTROL_REPLY_MAX ? realloc(buf, size * 2) : NULL;

            if (!grown) {
                *ret_error = -EMSGSIZE;
                break;
            }
            buf = grown;
            size *= 2;
        }
    }
    free(buf);
    return NULL;
}

int control_ask(const char *path, json_t *question, json_t **ret)
{
    CLEANUP(cleanup_free) char *line = NULL;
    CLEANUP(cleanup_free) char *reply = NULL;
    int fd = connect_to(path), r;

    if (fd < 0)
        return fd;
    line = json_dumps(question, JSON_COMPACT);
    r = line ? send_line(fd, line) : -ENOMEM;
    if (r == 0)
        r = send_line(fd, "\n");
    if (r == 0)
        reply = receive_line(fd, &r);
    close(fd);
    if (!reply)
        return r;
    *ret = json_loads(reply, 0, NULL);
    if (!json_is_object(*ret)) {
        json_decref(*ret);
        return -EBADMSG;
    }
    return 0;
}

int control_call(const struct verb *v, const char *name, json_t *question, json_t **ret)
{
    CLEANUP(cleanup_json) json_t *q = question;
    CLEANUP(cleanup_json) json_t *reply = NULL;
    char path[256];
    int r = control_find(v, name, path, sizeof(path));

    if (r != EXIT_DONE)
        return r;
    r = control_ask(path, q, &reply);
    if (r == -ENOENT || r == -ECONNREFUSED)
        return verb_fail(v, "no daemon is running (nobody answers at %s)", path);
    if (r == -EACCES || r == -EPERM)
        return verb_fail(v, "no permission to use %s (run as root)", path);
    if (r == -EBADMSG)
        return verb_fail(v, "the daemon at %s gave no JSON object", path);
    if (r < 0)
        return verb_fail(v, "%s: %s", path, strerror(-r));
    if (!json_is_true(json_object_get(reply, "ok")))
        return verb_fail(v, "%s", *json_text(reply, "error") ? json_text(reply, "error") : "refused by the daemon");
    *ret = reply;
    reply = NULL;
    return EXIT_DONE;
}

const char *json_text(const json_t *o, const char *key)
{
    const char *s = json_string_value(json_object_get(o, key));

    return s ? s : "";
}

double json_number(const json_t *o, const char *key)
{
    return json_number_value(json_object_get(o, key));
}

void json_print(const json_t *j)
{
    json_dumpf(j, stdout, JSON_COMPACT);
    putchar('\n');
}
