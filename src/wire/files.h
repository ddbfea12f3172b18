/* wire/files.h - what `hawser send` and `hawser recv` say to each other in the stream of a session (doc/protocol.md,
 * Files).
 *
 * Either way the stream is frames: u8 type | u24 length of the body | body. A body that is too long, too short or of
 * values that make no sense is an error, and so is an unknown type below 0x40; others are skipped. */
#pragma once

#include "wire/cursor.h"

#define FILES_VERSION 1
#define FILES_HEADER_LEN 4
#define FILES_BODY_MAX 65536      /* chosen: 50 records; a copier's buffer */
#define FILES_NAME_WIRE_MAX 4096  /* PATH_MAX: what is too long for a name is still refused by name */
#define FILES_NAME_MAX 243        /* NAME_MAX less ".hawser-part" */
#define FILES_TEXT_MAX 200        /* chosen: a line */
#define FILES_HASH_LEN 32         /* SHA-256 */
#define FILES_HOLE_MAX (1u << 20) /* chosen: a millisecond of hashing */
#define FILES_PART ".hawser-part" /* what is not whole yet is NAME.hawser-part */

enum files_type {
    FILES_HELLO = 1, /* both, first: u8 version | 3 bytes "hwf" */
    FILES_OFFER,     /* sender: struct files_offer */
    FILES_HAVE,      /* receiver: struct files_have */
    FILES_START,     /* sender: u64, from where on bytes follow */
    FILES_DATA,      /* sender: 1 byte at least */
    FILES_HOLE,      /* sender: u32, so many zeros */
    FILES_END,       /* sender: hash of the whole file */
    FILES_CANCEL,    /* sender: u8 cause | text: no more of this file */
    FILES_GOT,       /* receiver, now and then: u64, so much is written */
    FILES_DONE,      /* receiver: it has its name */
    FILES_REFUSE,    /* receiver: u8 cause | text: no more of this file, or (a stranger) of any */
    FILES_SKIPPABLE = 0x40,
};

enum files_cause {
    FILES_FAILED,   /* as the text says */
    FILES_BUSY,     /* another sender is at it: worth asking again */
    FILES_EXISTS,   /* another file has that name */
    FILES_SAME,     /* the receiver has it already */
    FILES_STRANGER, /* the receiver takes nothing from this key */
    FILES_CAUSE_COUNT,
};

enum files_there { /* at the receiver */
                   FILES_NOTHING,
                   FILES_SOME,  /* the first bytes, of an earlier try */
                   FILES_WHOLE, /* a file of that name and size, which stays if it is another */
                   FILES_OLD,   /* the same, which may be replaced */
                   FILES_THERE_COUNT,
};

struct files_offer { /* u64 size | i64 mtime s | u32 mtime ns | u16 mode | u8 replace | name */
    uint64_t size;   /* at most 2^63 - 1 */
    int64_t mtime_s;
    uint32_t mtime_ns; /* below 10^9 */
    uint16_t mode;     /* rwx bits, below 01000 */
    bool replace;      /* another file of that name */
    const char *name;  /* into the bytes that were read; not checked: files_name_check */
    size_t name_len;   /* 1.. */
};

struct files_have { /* u8 enum files_there | u64 bytes | hash */
    uint8_t what;
    uint64_t bytes;               /* FILES_NOTHING: 0 */
    uint8_t hash[FILES_HASH_LEN]; /* of the first `bytes`; FILES_NOTHING: zeros */
};

struct files_message {
    uint8_t type;
    union {
        struct files_offer offer;
        struct files_have have;
        uint64_t at; /* START, GOT */
        struct {
            const uint8_t *bytes; /* into what was read */
            size_t len;
        } data;
        uint32_t hole;
        uint8_t hash[FILES_HASH_LEN]; /* END */
        struct {
            uint8_t cause;                 /* enum files_cause */
            char text[FILES_TEXT_MAX + 1]; /* without control characters */
        } said;                            /* CANCEL, REFUSE */
    };
};

/* The next message, whose frame is taken out of r. 0; 1: its frame is not whole yet, r is as it was; -EPROTO. */
MUST_CHECK int files_read(struct reader *r, struct files_message *ret);
/* The frame. Text is cut at FILES_TEXT_MAX. */
void files_write(struct writer *w, const struct files_message *m);
/* Only the header, of a frame whose body stands behind it already. */
void files_write_header(struct writer *w, enum files_type type, size_t body_len);

/* NULL, or what is wrong with it as the name of a file: words. */
const char *files_name_check(const char *name, size_t len);
/* Control characters, of ASCII and of UTF-8's second block, become '?'. */
void files_clean(char *text);
