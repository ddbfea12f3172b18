/* prog/ini_file.c - see ini_file.h.
 *
 * libinih splits lines into keys and values. It says neither the line nor that a section began, it joins indented lines
 * to the key before, and it cuts long names silently; so the reader that feeds it (feed_line) hands over one line at a
 * time without its indentation and comment, keeps the line number, opens sections itself, and reports what libinih
 * would pass over. The handler then finds the key's row in the schema and has the owner read it.
 *
 * The longest line that libinih takes is a variable of Debian's library (ini_max_line), set here.
 *
 * Limits: ini_file.h. */
#include "prog/ini_file.h"

#include <errno.h>
#include <fcntl.h>
#include <ini.h>
#include <stdarg.h>
#include <stdio.h>
#include <strings.h>
#include <sys/stat.h>
#include <unistd.h>

/* --- errors --- */

#define INI_SHOWN_SIZE 72

/* Printable and cut to fit; "(nothing)" for an empty one. Returns buf. */
static char *shown_of(const char *value, char buf[INI_SHOWN_SIZE])
{
    size_t len, kept;

    if (value[0] == '\0')
        value = "(nothing)";
    len = strlen(value);
    kept = MIN(len, (size_t)INI_SHOWN_SIZE - 4);
    for (size_t i = 0; i < kept; i++)
        buf[i] = value[i] >= ' ' && value[i] <= '~' ? value[i] : '?';
    memcpy(buf + kept, len > kept ? "..." : "", len > kept ? 4 : 1);
    return buf;
}

static void add_line(struct ini *f, unsigned line, const char *kind, const char *message)
{
    if (line > 0)
        text_add(f->errors, "%s:%u: %s%s\n", f->file_name, line, kind, message);
    else
        text_add(f->errors, "%s: %s%s\n", f->file_name, kind, message);
}

void ini_error(struct ini *f, unsigned line, const char *fmt, ...)
{
    char message[512];
    va_list ap;

    f->errors_count++;
    if (f->errors_count == INI_ERRORS_MAX + 1)
        text_add(f->errors, "%s: more errors are not shown\n", f->file_name);
    if (f->errors_count > INI_ERRORS_MAX)
        return;
    va_start(ap, fmt);
    vsnprintf(message, sizeof(message), fmt, ap);
    va_end(ap);
    add_line(f, line, "", message);
}

void ini_warning(struct ini *f, unsigned line, const char *fmt, ...)
{
    char message[512];
    va_list ap;

    va_start(ap, fmt);
    vsnprintf(message, sizeof(message), fmt, ap);
    va_end(ap);
    add_line(f, line, "warning: ", message);
}

void ini_expected(struct ini *f, const char *value, const char *near, const char *fmt, ...)
{
    char shown[INI_SHOWN_SIZE], expected[384];
    va_list ap;

    va_start(ap, fmt);
    vsnprintf(expected, sizeof(expected), fmt, ap);
    va_end(ap);
    if (f->key.secret)
        snprintf(shown, sizeof(shown), "(%zu characters)", strlen(value));
    else
        shown_of(value, shown);
    if (near)
        ini_error(f, f->line, "found %s = %s, expected %s (did you mean %s?)", f->key.key, shown, expected, near);
    else
        ini_error(f, f->line, "found %s = %s, expected %s", f->key.key, shown, expected);
}

/* --- sections --- */

static void set_defaults(struct ini *f)
{
    f->falls_back = true;
    for (size_t i = 0; f->schema->key(i, &f->key); i++)
        if (f->key.section == f->section && f->key.fallback)
            f->schema->read(f, i, f->key.fallback);
    f->falls_back = false;
}

static void end_section(struct ini *f)
{
    struct ini_key key;

    for (size_t i = 0; f->schema->key(i, &key); i++)
        if (key.section == f->section && key.required && f->seen[i] == 0)
            ini_error(f, f->section_line, "found no %s in this section, expected one", key.key);
    f->section = 0;
}

static bool begin_once(struct ini *f, unsigned section, const char *name)
{
    const char *word = f->schema->sections[section];

    if (*name)
        ini_error(f, f->line, "found [%s %s], expected [%s]", word, name, word);
    if (f->once[section])
        ini_error(f, f->line, "found [%s] again, expected it once (first in line %u)", word, f->once[section]);
    else
        f->once[section] = f->line;
    return f->once[section] == f->line;
}

/* line: "[...", without indentation and trailing space. */
static void begin_section(struct ini *f, const char *line)
{
    const char *const *sections = f->schema->sections + 1, *end = strchr(line, ']'), *near;
    char text[INI_SHOWN_SIZE], *name;
    unsigned count = 0;

    end_section(f);
    f->section_line = f->line;
    memset(f->seen, 0, sizeof(f->seen));
    shown_of(line, text);
    if (!end || end[1] != '\0') {
        ini_error(f, f->line, "found %s, expected [Section]", text);
        return;
    }
    text[strcspn(text, "]")] = '\0';
    name = text + strcspn(text, " ");
    if (*name)
        *name++ = '\0';
    name += strspn(name, " ");
    for (; sections[count]; count++) {
        if (strcasecmp(text + 1, sections[count]) != 0)
            continue;
        if ((f->schema->named >> (count + 1) & 1 || begin_once(f, count + 1, name)) &&
            f->schema->begin(f, count + 1, name)) {
            f->section = count + 1;
            set_defaults(f);
        }
        return;
    }
    near = text_nearest(text + 1, sections, count);
    ini_error(f, f->line, "found %s], expected %s%s%s%s", text, f->schema->expected, near ? " (did you mean [" : "",
              near ? near : "", near ? "]?)" : "");
}

/* --- lines --- */

/* libinih's reader: like fgets, one line a call. What is wrong is told here and handed on as an empty line. */
static char *feed_line(char *buf, int size, void *ctx)
{
    struct ini *f = ctx;
    const char *line, *end;
    size_t len;
    char shown[INI_SHOWN_SIZE];

    if (f->at >= f->len || f->out_of_memory)
        return NULL;
    line = f->data + f->at;
    end = memchr(line, '\n', f->len - f->at);
    len = end ? (size_t)(end - line) : f->len - f->at;
    f->at += len + (end ? 1 : 0);
    f->line++;
    if (f->line == 1 && len >= 3 && memcmp(line, "\xef\xbb\xbf", 3) == 0) {
        line += 3;
        len -= 3;
    }
    buf[0] = '\0';
    if (len > INI_LINE_MAX || len + 1 > (size_t)size) {
        ini_error(f, f->line, "found a line of %zu characters, expected at most %d", len, INI_LINE_MAX);
        return buf;
    }
    if (memchr(line, '\0', len)) {
        ini_error(f, f->line, "found a zero byte, expected text");
        return buf;
    }
    while (len > 0 && (*line == ' ' || *line == '\t')) {
        line++;
        len--;
    }
    for (size_t i = 0; i < len; i++) { /* a comment: at the start, or after space; so ends the line */
        if ((line[i] == '#' || line[i] == ';') && (i == 0 || line[i - 1] == ' ' || line[i - 1] == '\t'))
            len = i;
    }
    while (len > 0 && strchr(" \t\r\v\f", line[len - 1]))
        len--;
    memcpy(buf, line, len);
    buf[len] = '\0';
    if (buf[0] == '[') {
        begin_section(f, buf);
        buf[0] = '\0';
    } else if (len > 0 && !strchr(buf, '=')) {
        ini_error(f, f->line, "found %s, expected Key = value", shown_of(buf, shown));
        buf[0] = '\0';
    }
    return buf;
}

static void unknown_key(struct ini *f, const char *name)
{
    const char *names[INI_KEYS_MAX] = { NULL }, *near, *here = f->schema->sections[f->section];
    char shown[INI_SHOWN_SIZE];
    struct ini_key key;
    size_t count = 0;

    for (size_t i = 0; f->schema->key(i, &key); i++)
        if (key.section == f->section)
            names[count++] = key.key;
    shown_of(name, shown);
    near = text_nearest(name, names, count);
    if (near) {
        ini_error(f, f->line, "found %s, expected a key of [%s] (did you mean %s?)", shown, here, near);
        return;
    }
    for (size_t i = 0; f->schema->key(i, &key); i++) {
        if (strcasecmp(key.key, name) == 0) {
            ini_error(f, f->line, "found %s in [%s], expected it in [%s]", shown, here,
                      f->schema->sections[key.section]);
            return;
        }
    }
    ini_error(f, f->line, "found %s, expected a key of [%s]", shown, here);
}

static int on_pair(void *ctx, const char *section, const char *name, const char *value)
{
    struct ini *f = ctx;
    char shown[INI_SHOWN_SIZE];

    if (f->section == 0) {
        if (f->section_line == 0) /* else the section's own error says it */
            ini_error(f, f->line, "found %s before any section, expected %s", shown_of(name, shown), f->schema->first);
        return 1;
    }
    for (size_t i = 0; f->schema->key(i, &f->key); i++) {
        if (f->key.section != f->section || strcasecmp(f->key.key, name) != 0)
            continue;
        if (f->seen[i] != 0 && !f->key.multiple) {
            ini_error(f, f->line, "found %s again, expected it once (first in line %u)", f->key.key, f->seen[i]);
            return 1;
        }
        if (f->seen[i] == 0)
            f->seen[i] = f->line;
        f->schema->read(f, i, value);
        return 1;
    }
    unknown_key(f, name);
    return 1;
}

int ini_read(struct ini *f, const char *data, size_t len)
{
    f->data = data;
    f->len = len;
    ini_max_line = INI_LINE_MAX + 2;
    if (len > INI_FILE_MAX)
        ini_error(f, 0, "found more than %d bytes, expected at most that", INI_FILE_MAX);
    else if (ini_parse_stream(feed_line, f, on_pair, f) < 0)
        f->out_of_memory = true;
    end_section(f);
    return f->out_of_memory ? -ENOMEM : 0;
}

/* --- values --- */

bool ini_next_word(const char **at, char word[INI_WORD_SIZE])
{
    const char *s = *at + strspn(*at, " \t,");
    size_t len = strcspn(s, " \t,");
    size_t kept = MIN(len, (size_t)INI_WORD_SIZE - 1);

    memcpy(word, s, kept);
    word[kept] = '\0';
    *at = s + len;
    return len > 0;
}

bool ini_number(const char *value, uint64_t min, uint64_t max, uint64_t *ret)
{
    uint64_t v = 0;

    if (*value == '\0')
        return false;
    for (const char *s = value; *s; s++) {
        if (*s < '0' || *s > '9' || v > max / 10)
            return false;
        v = v * 10 + (uint64_t)(*s - '0');
    }
    *ret = v;
    return v >= min && v <= max;
}

char *ini_beside(const struct ini *f, const char *name, char path[INI_PATH_SIZE])
{
    const char *slash = strrchr(f->file_name, '/');
    int folder = slash && name[0] != '/' ? (int)(slash - f->file_name + 1) : 0;

    snprintf(path, INI_PATH_SIZE, "%.*s%s", folder, f->file_name, name);
    return path;
}

struct ini_key ini_row_key(const struct ini_row *row)
{
    return (struct ini_key){ .section = row->section,
                             .key = row->key,
                             .help = row->help,
                             .fallback = row->fallback,
                             .required = row->required };
}

void ini_row_read(struct ini *f, const struct ini_row *row, void *base, const char *value)
{
    const char *expected = row->read(f, value, (char *)base + row->offset);

    if (expected)
        ini_expected(f, value, NULL, "%s", expected);
}

/* --- files --- */

ssize_t ini_load(const char *path, struct text *errors, char **ret, unsigned *ret_mode)
{
    CLEANUP(cleanup_free) char *data = malloc(INI_FILE_MAX + 1);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t len = 0, n = -1;
    struct stat st;

    if (data && fd >= 0 && fstat(fd, &st) == 0) {
        while ((n = read(fd, data + len, INI_FILE_MAX + 1 - (size_t)len)) != 0) {
            if (n > 0)
                len += n;
            else if (errno != EINTR)
                break;
        }
    }
    if (n < 0) {
        n = -errno;
        text_add(errors, "%s: %s\n", path, strerror(errno));
    } else {
        n = len;
        *ret = data;
        data = NULL;
        *ret_mode = st.st_mode;
    }
    if (fd >= 0)
        close(fd);
    return n;
}
