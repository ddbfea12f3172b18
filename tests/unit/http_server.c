/* Unit tests of prog/http_server.h over a Unix socket, in one loop with its clients. */
#include "prog/http_server.h"
#include "tests/unit/no_memory.h"
#include "tests/unit/test.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

static char folder[] = "/tmp/hawser-http-XXXXXX", path[64];
static uv_loop_t loop;
static struct http_server *server;
static size_t body_len;
static unsigned requests;

static void on_request(void *ctx, const struct http_request *q, struct http_answer *ret)
{
    requests++;
    if (strcmp(q->path, "/big") != 0) {
        http_answer_error(ret, 404, "nothing");
        return;
    }
    *ret =
        (struct http_answer){ .status = 200, .content_type = "text/plain", .body = malloc(body_len), .len = body_len };
    assert_non_null(ret->body);
    memset(ret->body, 'b', body_len);
}

static int set_up(void **state)
{
    if (!mkdtemp(folder))
        return -1;
    snprintf(path, sizeof(path), "%s/http.sock", folder);
    uv_loop_init(&loop);
    return http_server_open(&loop, path, on_request, NULL, &server);
}

static int tear_down(void **state)
{
    http_server_close(server);
    uv_run(&loop, UV_RUN_DEFAULT); /* ends when all is closed */
    assert_int_equal(uv_loop_close(&loop), 0);
    assert_int_equal(access(path, F_OK), -1);
    return rmdir(folder);
}

static int dial(void)
{
    struct sockaddr_un at = { .sun_family = AF_UNIX };
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

    assert_true(fd >= 0);
    snprintf(at.sun_path, sizeof(at.sun_path), "%s", path);
    if (connect(fd, (struct sockaddr *)&at, sizeof(at)) < 0) {
        close(fd);
        return -errno;
    }
    return fd;
}

/* All that comes until the end, its length; the loop runs meanwhile. */
static size_t read_all(int fd, char *out, size_t size)
{
    size_t len = 0;
    ssize_t n;

    while ((n = read(fd, out + len, size - len)) != 0) {
        if (n > 0)
            len += (size_t)n;
        else if (errno == EAGAIN)
            uv_run(&loop, UV_RUN_ONCE); /* a client's timer ends it at the latest */
        else
            break;
    }
    return len;
}

static const char *ask(const char *request, size_t len)
{
    static char out[65536];
    int fd = dial();
    size_t n;

    assert_true(fd >= 0);
    for (size_t at = 0; at < len;) {
        ssize_t sent = send(fd, request + at, len - at, MSG_NOSIGNAL);

        if (sent > 0)
            at += (size_t)sent;
        else if (errno != EAGAIN)
            break; /* answered and closed before it was all said */
        uv_run(&loop, UV_RUN_NOWAIT);
    }
    n = read_all(fd, out, sizeof(out) - 1);
    out[n] = '\0';
    close(fd);
    uv_run(&loop, UV_RUN_NOWAIT);
    return out;
}

#define ASK(text) ask(text, strlen(text))
#define BEGINS(text, with) assert_memory_equal(text, with, strlen(with))

static void test_answers(void **state)
{
    static char long_head[HTTP_HEAD_MAX + 10];
    char *const begin = long_head;

    BEGINS(ASK("GET / HTTP/1.1\r\nHost: x\r\n\r\n"), "HTTP/1.1 404 Not Found\r\nContent-Type: application/json\r\n");
    assert_int_equal(requests, 1);
    BEGINS(ASK("PUT / HTTP/1.1\r\nHost: x\r\n\r\n"), "HTTP/1.1 405 ");
    BEGINS(ASK("PUT / HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\nabc"), "HTTP/1.1 413 ");
    BEGINS(ASK("nonsense\r\n\r\n"), "HTTP/1.1 400 ");
    BEGINS(ask("\0\0\0\0", 4), "HTTP/1.1 400 ");
    memset(begin, 'a', sizeof(long_head) - 1);
    BEGINS(ask(long_head, sizeof(long_head) - 1), "HTTP/1.1 431 ");
    assert_int_equal(requests, 1); /* none of these was one */
    body_len = 5;
    assert_string_equal(strstr(ASK("GET /big HTTP/1.0\r\n\r\n"), "\r\n\r\n"), "\r\n\r\nbbbbb");
    /* Of HEAD the length alone, RFC 9110, 9.3.2. */
    assert_non_null(strstr(ASK("HEAD /big HTTP/1.0\r\n\r\n"), "Content-Length: 5\r\n"));
    assert_string_equal(strstr(ASK("HEAD /big HTTP/1.0\r\n\r\n"), "\r\n\r\n"), "\r\n\r\n");
}

/* More than the kernel keeps: the rest goes as it is read, also to one that has shut its own side. */
static void test_big(void **state)
{
    static const char request[] = "GET /big HTTP/1.0\r\n\r\n";
    static char out[4 << 20];

    body_len = 3 << 20;
    for (int shut = 0; shut < 2; shut++) {
        int fd = dial();

        assert_int_equal(write(fd, request, strlen(request)), strlen(request));
        if (shut)
            assert_int_equal(shutdown(fd, SHUT_WR), 0);
        assert_true(read_all(fd, out, sizeof(out)) > body_len);
        close(fd);
        uv_run(&loop, UV_RUN_NOWAIT);
    }
}

/* Those who ask half a question, or nothing, keep nobody out but beyond HTTP_CLIENTS_MAX; and who hangs up is gone. */
static void test_clients(void **state)
{
    int fds[HTTP_CLIENTS_MAX], more;
    char c;

    for (size_t i = 0; i < HTTP_CLIENTS_MAX; i++) {
        fds[i] = dial();
        assert_int_equal(write(fds[i], "GET", 3), 3);
        uv_run(&loop, UV_RUN_NOWAIT);
    }
    more = dial();
    assert_int_equal(read_all(more, &c, 1), 0); /* closed at once */
    close(more);
    close(fds[0]);
    for (int i = 0; i < 3; i++) /* its end is seen, then closed */
        uv_run(&loop, UV_RUN_NOWAIT);
    BEGINS(ASK("GET / HTTP/1.0\r\n\r\n"), "HTTP/1.1 404 ");
    for (size_t i = 1; i < HTTP_CLIENTS_MAX; i++)
        close(fds[i]);
    for (int i = 0; i < 3; i++)
        uv_run(&loop, UV_RUN_NOWAIT);
}

/* Another user has nothing, whatever he asks: not even that his question is none. */
static void test_others(void **state)
{
    static const char *const questions[] = { "GET / HTTP/1.0\r\n\r\n", "GET /big HTTP/1.0\r\n\r\n", "x\r\n\r\n" };
    struct stat st;

    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0600);
    if (geteuid() != 0)
        skip();
    assert_int_equal(chmod(folder, 0755), 0);
    assert_int_equal(chmod(path, 0666), 0); /* as by mistake */
    for (size_t i = 0; i < ARRAY_LEN(questions); i++) {
        unsigned before = requests;
        int status, tell[2];
        char c = 0;
        pid_t pid;

        assert_int_equal(pipe(tell), 0);
        pid = fork();
        assert_true(pid >= 0);
        if (pid == 0) {
            char in[64];
            int fd = setuid(65534) < 0 ? -1 : dial();
            bool asked = fd >= 0;

            (void)!send(fd, questions[i], strlen(questions[i]), MSG_NOSIGNAL);
            (void)!write(tell[1], &c, 1);
            while (asked && read(fd, in, sizeof(in)) < 0 && errno == EAGAIN)
                poll(NULL, 0, 1);
            _exit(asked && read(fd, in, sizeof(in)) <= 0 ? 0 : 1);
        }
        close(tell[1]);
        assert_int_equal(read(tell[0], &c, 1), 1); /* it has connected, or failed to */
        close(tell[0]);
        while (waitpid(pid, &status, WNOHANG) == 0)
            uv_run(&loop, UV_RUN_NOWAIT);
        assert_int_equal(status, 0);
        assert_int_equal(requests, before);
    }
    assert_int_equal(chmod(path, 0600), 0);
}

/* Whom there is no memory for is closed, also if he does not come alone, and who comes afterwards is answered. */
static void test_no_memory(void **state)
{
    int fds[3];
    char c;

    for (size_t i = 0; i < ARRAY_LEN(fds); i++)
        fds[i] = dial();
    no_memory = ARRAY_LEN(fds);
    for (size_t i = 0; i < ARRAY_LEN(fds); i++) {
        assert_int_equal(read_all(fds[i], &c, 1), 0);
        close(fds[i]);
    }
    assert_int_equal(no_memory, 0);
    BEGINS(ASK("GET / HTTP/1.0\r\n\r\n"), "HTTP/1.1 404 ");
}

static void test_socket(void **state)
{
    struct http_server *other;
    char file[80];
    FILE *f;

    assert_int_equal(http_server_open(&loop, path, on_request, NULL, &other), -EADDRINUSE);
    BEGINS(ASK("GET / HTTP/1.0\r\n\r\n"), "HTTP/1.1 404 ");
    snprintf(file, sizeof(file), "%s/file", folder);
    f = fopen(file, "w");
    assert_non_null(f);
    fclose(f);
    assert_int_equal(http_server_open(&loop, file, on_request, NULL, &other), -EADDRINUSE);
    assert_int_equal(unlink(file), 0);
    uv_run(&loop, UV_RUN_NOWAIT);
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(test_answers), cmocka_unit_test(test_big),
                                        cmocka_unit_test(test_clients), cmocka_unit_test(test_no_memory),
                                        cmocka_unit_test(test_others),  cmocka_unit_test(test_socket) };

    signal(SIGPIPE, SIG_IGN);
    return cmocka_run_group_tests_name("http_server", tests, set_up, tear_down);
}
