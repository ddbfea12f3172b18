/* prog/ini_file.h - files of sections and keys: hawser.conf, and those of hawser-dmuxd and hawser-realmd.
 *
 * `[Section]` or `[Section NAME]`, and `Key = value` below it; a comment begins with # or ; at the start of a line or
 * after a space. The case of sections and keys does not matter. What is wrong is one line `FILE:LINE: found X, expected
 * Y`, and the rest of the file is read all the same. */
#pragma once

#include "base/text.h"

#define INI_FILE_MAX (1024 * 1024) /* bytes of a file */
#define INI_LINE_MAX 1000          /* bytes of a line */
#define INI_ERRORS_MAX 50          /* lines told before "more" */
#define INI_KEYS_MAX 96            /* rows of a schema */
#define INI_SECTIONS_MAX 16        /* of a schema, and the place outside of all */
#define INI_WORD_SIZE 256          /* of one item of a list and its NUL: the longest host name has 253 characters */
#define INI_PATH_SIZE 4097         /* PATH_MAX and a NUL: a longer path is cut to one that no call opens */

struct ini;

struct ini_key {
    unsigned section; /* which of ini_schema.sections */
    const char *key, *help;
    const char *fallback; /* read when its section begins; NULL: none */
    bool required;        /* in each section of its kind */
    bool multiple;        /* in one section */
    bool secret;          /* its value is not shown */
};

struct ini_schema {
    const char *sections[INI_SECTIONS_MAX]; /* from 1 on; NULL: no more */
    unsigned named;                         /* bits: of sections [Section NAME], of which there may be several */
    const char *expected;                   /* all of them, for people */
    const char *first;                      /* what a file must not be without, for people */
    /* The i-th key; false after the last. */
    bool (*key)(size_t i, struct ini_key *ret);
    /* A section begins, its name empty if it has none; false: it was told what is wrong, the keys are passed over. */
    bool (*begin)(struct ini *f, unsigned section, const char *name);
    /* Takes f->key's value, or tells by ini_expected what it expected. */
    void (*read)(struct ini *f, size_t key, const char *value);
};

/* One file that is read. Set by the owner: schema, file_name, errors; the rest zero. */
struct ini {
    const struct ini_schema *schema;
    const char *file_name;
    struct text *errors;
    unsigned line; /* where we are */
    unsigned errors_count;
    bool out_of_memory;
    unsigned section, section_line;  /* 0: outside of all */
    unsigned once[INI_SECTIONS_MAX]; /* line of a section without a name; 0: not there */
    unsigned seen[INI_KEYS_MAX];     /* line of each key in this section; 0: not there */
    struct ini_key key;              /* that is read */
    bool falls_back;                 /* the value is not the file's */
    const char *data;
    size_t len, at;
};

/* 0, also with errors; -ENOMEM. */
MUST_CHECK int ini_read(struct ini *f, const char *data, size_t len);
/* One error line at `line`; 0: of the file. */
void ini_error(struct ini *f, unsigned line, const char *fmt, ...) PRINTF_LIKE(3, 4);
void ini_warning(struct ini *f, unsigned line, const char *fmt, ...) PRINTF_LIKE(3, 4);
/* "found KEY = VALUE, expected WHAT (did you mean NEAR?)" of f->key at the current line; near may be NULL. */
void ini_expected(struct ini *f, const char *value, const char *near, const char *fmt, ...) PRINTF_LIKE(4, 5);
/* The next item of a list with commas or spaces; false at its end. One that is too long is cut: no reader takes it. */
bool ini_next_word(const char **at, char word[INI_WORD_SIZE]);
/* Digits alone, from min to max. */
bool ini_number(const char *value, uint64_t min, uint64_t max, uint64_t *ret);

/* A file that is named in this one: beside it, unless its name begins at the root. Returns path. */
char *ini_beside(const struct ini *f, const char *name, char path[INI_PATH_SIZE]);

/* --- tables whose readers say what they expected --- */

/* NULL, or what was expected. */
typedef const char *ini_read_fn(struct ini *f, const char *value, void *out);

struct ini_row {
    unsigned section;
    const char *key;
    ini_read_fn *read;
    size_t offset; /* from the base that ini_row_read is given */
    const char *fallback;
    bool required;
    const char *help;
};

struct ini_key ini_row_key(const struct ini_row *row);
void ini_row_read(struct ini *f, const struct ini_row *row, void *base, const char *value);

/* --- files --- */

/* The whole file, or its first INI_FILE_MAX + 1 bytes, for the caller to free. The number of bytes and *ret_mode, or
 * -errno, which is a line too. */
MUST_CHECK ssize_t ini_load(const char *path, struct text *errors, char **ret, unsigned *ret_mode);
