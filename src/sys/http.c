/* sys/http.c - see http.h.
 *
 * Theory of operation. The head is looked for its end first, so that what follows has it whole; then its lines are read
 * in order. It is read strictly, since whoever may ask here uses curl or a collector of metrics: lines end in CR LF, no
 * line is folded, no space stands before a colon, HTTP/1.1 has one Host (RFC 9112, sections 2.2, 3, 3.2 and 5.1).
 *
 * Why not a library's: libmicrohttpd brings TLS and nine more libraries into the daemon that holds a realm's key,
 * http-parser is no longer kept, and libevent is a second loop. */
#include "sys/http.h"

#include <errno.h>

static bool is_token(unsigned char c)
{
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
           (c != 0 && strchr("!#$%&'*+-.^_`|~", c));
}

static int hex(char c)
{
    return c >= '0' && c <= '9'   ? c - '0'
           : c >= 'a' && c <= 'f' ? c - 'a' + 10
           : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                  : -1;
}

/* 0; -EINVAL: no text, or longer than HTTP_TARGET_MAX with its NUL. */
static int decode(const char *at, size_t len, char ret[HTTP_TARGET_MAX])
{
    size_t n = 0;

    for (size_t i = 0; i < len; i++) {
        int c = (unsigned char)at[i];

        if (c == '%') {
            if (len - i < 3 || hex(at[i + 1]) < 0 || hex(at[i + 2]) < 0)
                return -EINVAL;
            c = hex(at[i + 1]) * 16 + hex(at[i + 2]);
            i += 2;
        }
        if (c < ' ' || c == 127 || n == HTTP_TARGET_MAX - 1)
            return -EINVAL;
        ret[n++] = (char)c;
    }
    ret[n] = '\0';
    return 0;
}

/* METHOD SP TARGET SP HTTP/1.x. 0 or a status; *ret_old: HTTP/1.0. */
static int read_first(const char *line, size_t len, struct http_request *ret, bool *ret_old)
{
    const char *target = memchr(line, ' ', len), *version, *query;
    size_t method_len = target ? (size_t)(target - line) : 0, target_len, path_len;

    if (method_len == 0)
        return -400;
    for (size_t i = 0; i < method_len; i++)
        if (!is_token((unsigned char)line[i]))
            return -400;
    target++;
    version = memchr(target, ' ', len - method_len - 1);
    if (!version || *target != '/')
        return -400;
    target_len = (size_t)(version++ - target);
    for (size_t i = 0; i < target_len; i++)
        if (target[i] <= ' ' || target[i] == 127 || target[i] == '#')
            return -400;
    len -= method_len + target_len + 2;
    if (len != 8 || memcmp(version, "HTTP/", 5) != 0 || version[5] < '0' || version[5] > '9' || version[6] != '.' ||
        version[7] < '0' || version[7] > '9')
        return -400;
    if (version[5] != '1')
        return -505;
    if (target_len >= HTTP_TARGET_MAX)
        return -414;
    *ret_old = version[7] == '0';
    ret->method = method_len == 3 && memcmp(line, "GET", 3) == 0    ? HTTP_GET
                  : method_len == 4 && memcmp(line, "HEAD", 4) == 0 ? HTTP_HEAD
                                                                    : HTTP_OTHER;
    query = memchr(target, '?', target_len);
    path_len = query ? (size_t)(query - target) : target_len;
    if (decode(target, path_len, ret->path) < 0)
        return -400;
    if (query)
        memcpy(ret->query, query + 1, target_len - path_len - 1);
    ret->query[query ? target_len - path_len - 1 : 0] = '\0';
    return 0;
}

static bool is_field(const char *line, size_t name_len, const char *name)
{
    return strlen(name) == name_len && strncasecmp(line, name, name_len) == 0;
}

/* NAME: VALUE. 0 or a status; counts those that are Host. */
static int read_field(const char *line, size_t len, unsigned *hosts)
{
    const char *colon = memchr(line, ':', len), *value;
    size_t name_len = colon ? (size_t)(colon - line) : 0, value_len;

    if (name_len == 0)
        return -400;
    for (size_t i = 0; i < name_len; i++)
        if (!is_token((unsigned char)line[i]))
            return -400;
    value = colon + 1;
    value_len = len - name_len - 1;
    for (size_t i = 0; i < value_len; i++)
        if ((unsigned char)value[i] < ' ' && value[i] != '\t')
            return -400;
    while (value_len > 0 && (*value == ' ' || *value == '\t')) {
        value++;
        value_len--;
    }
    while (value_len > 0 && (value[value_len - 1] == ' ' || value[value_len - 1] == '\t'))
        value_len--;
    *hosts += is_field(line, name_len, "Host");
    if (is_field(line, name_len, "Transfer-Encoding"))
        return -501;
    if (!is_field(line, name_len, "Content-Length"))
        return 0;
    for (size_t i = 0; i < value_len; i++)
        if (value[i] < '0' || value[i] > '9')
            return -400;
    if (value_len == 0)
        return -400;
    for (size_t i = 0; i < value_len; i++)
        if (value[i] != '0')
            return -413;
    return 0;
}

/* Bytes of the head with its blank line; 0: its end has not come. */
static size_t head_len(const char *bytes, size_t len)
{
    const char *end = memmem(bytes, len, "\r\n\r\n", 4);

    return end ? (size_t)(end - bytes) + 4 : 0;
}

int http_request_read(const char *bytes, size_t len, struct http_request *ret)
{
    size_t seen = MIN(len, (size_t)HTTP_HEAD_MAX), head = head_len(bytes, seen), at = 0;
    unsigned fields = 0, hosts = 0;
    bool old = false;
    int r = 0;

    if (head == 0) /* what is no text at all is told so at once */
        return memchr(bytes, '\0', seen) ? -400 : seen == HTTP_HEAD_MAX ? -431 : 0;
    while (r == 0 && at < head - 2) {
        const char *line = bytes + at, *end = memmem(line, head - at, "\r\n", 2);
        size_t n = (size_t)(end - line);

        if (memchr(line, '\n', n) || memchr(line, '\r', n) || memchr(line, '\0', n))
            return -400;
        if (at == 0)
            r = read_first(line, n, ret, &old);
        else
            r = ++fields > HTTP_FIELDS_MAX ? -431 : read_field(line, n, &hosts);
        at += n + 2;
    }
    if (r == 0 && (hosts > 1 || (hosts == 0 && !old)))
        r = -400;
    return r < 0 ? r : (int)head;
}

int http_query_get(const char *query, const char *key, char ret[HTTP_TARGET_MAX])
{
    size_t key_len = strlen(key);

    while (*query) {
        size_t len = strcspn(query, "&");

        if (len > key_len && memcmp(query, key, key_len) == 0 && query[key_len] == '=')
            return decode(query + key_len + 1, len - key_len - 1, ret);
        query += len + (query[len] == '&');
    }
    return -ENOENT;
}

static const char *reason(int status)
{
    switch (status) {
    case 200:
        return "OK";
    case 400:
        return "Bad Request";
    case 404:
        return "Not Found";
    case 405:
        return "Method Not Allowed";
    case 408:
        return "Request Timeout";
    case 413:
        return "Content Too Large";
    case 414:
        return "URI Too Long";
    case 431:
        return "Request Header Fields Too Large";
    case 500:
        return "Internal Server Error";
    case 501:
        return "Not Implemented";
    case 503:
        return "Service Unavailable";
    case 505:
        return "HTTP Version Not Supported";
    default:
        return "Other";
    }
}

void http_answer_head(struct text *t, int status, const char *content_type, size_t body_len)
{
    text_add(t, "HTTP/1.1 %d %s\r\nContent-Type: %s\r\nContent-Length: %zu\r\nCache-Control: no-store\r\n", status,
             reason(status), content_type, body_len);
    if (status == 405)
        text_add(t, "Allow: GET, HEAD\r\n");
    text_add(t, "Connection: close\r\n\r\n");
}
