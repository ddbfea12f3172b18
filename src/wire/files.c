/* wire/files.c - see files.h.
 *
 * Limits: bodies of 64 KiB, names of 4096 bytes on the wire and 243 on disk, texts of 200, holes of 1 MiB, files below
 * 2^63 bytes. */
#include "wire/files.h"

#include <errno.h>

static const uint8_t magic[3] = { 'h', 'w', 'f' };

void files_write_header(struct writer *w, enum files_type type, size_t body_len)
{
    write_u8(w, (uint8_t)type);
    write_u8(w, (uint8_t)(body_len >> 16));
    write_u16(w, (uint16_t)body_len);
}

static void write_offer(struct writer *w, const struct files_offer *o)
{
    write_u64(w, o->size);
    write_u64(w, (uint64_t)o->mtime_s);
    write_u32(w, o->mtime_ns);
    write_u16(w, o->mode);
    write_u8(w, o->replace);
    write_bytes(w, o->name, o->name_len);
}

void files_write(struct writer *w, const struct files_message *m)
{
    uint8_t *start = write_room(w, FILES_HEADER_LEN);
    struct writer header;

    switch (m->type) {
    case FILES_HELLO:
        write_u8(w, FILES_VERSION);
        write_bytes(w, magic, sizeof(magic));
        break;
    case FILES_OFFER:
        write_offer(w, &m->offer);
        break;
    case FILES_HAVE:
        write_u8(w, m->have.what);
        write_u64(w, m->have.bytes);
        write_bytes(w, m->have.hash, FILES_HASH_LEN);
        break;
    case FILES_START:
    case FILES_GOT:
        write_u64(w, m->at);
        break;
    case FILES_DATA:
        write_bytes(w, m->data.bytes, m->data.len);
        break;
    case FILES_HOLE:
        write_u32(w, m->hole);
        break;
    case FILES_END:
        write_bytes(w, m->hash, FILES_HASH_LEN);
        break;
    case FILES_CANCEL:
    case FILES_REFUSE:
        write_u8(w, m->said.cause);
        write_bytes(w, m->said.text, strnlen(m->said.text, FILES_TEXT_MAX));
        break;
    default: /* DONE */
        break;
    }
    if (w->failed)
        return;
    header = writer_init(start, FILES_HEADER_LEN);
    files_write_header(&header, m->type, (size_t)(w->at - start) - FILES_HEADER_LEN);
}

/* False unless something is left, of at most max bytes. */
static bool rest_of(struct reader *r, size_t max, const uint8_t **ret, size_t *ret_len)
{
    *ret_len = reader_left(r);
    if (*ret_len == 0 || *ret_len > max)
        r->failed = true;
    *ret = read_bytes(r, *ret_len);
    return !r->failed;
}

static void read_offer(struct reader *r, struct files_offer *o)
{
    const uint8_t *name;
    uint8_t replace;

    o->size = read_u64(r);
    o->mtime_s = (int64_t)read_u64(r);
    o->mtime_ns = read_u32(r);
    o->mode = read_u16(r);
    replace = read_u8(r);
    o->replace = replace;
    if (!rest_of(r, FILES_NAME_WIRE_MAX, &name, &o->name_len) || o->size > INT64_MAX || o->mtime_ns >= 1000000000 ||
        o->mode > 0777 || replace > 1)
        r->failed = true;
    o->name = (const char *)name;
}

static void read_have(struct reader *r, struct files_have *h)
{
    static const uint8_t zeros[FILES_HASH_LEN];

    h->what = read_u8(r);
    h->bytes = read_u64(r);
    read_copy(r, h->hash, FILES_HASH_LEN);
    if (h->what >= FILES_THERE_COUNT || h->bytes > INT64_MAX ||
        (h->what == FILES_NOTHING && (h->bytes > 0 || memcmp(h->hash, zeros, FILES_HASH_LEN) != 0)))
        r->failed = true;
}

static void read_said(struct reader *r, struct files_message *m)
{
    size_t len;

    m->said.cause = read_u8(r);
    len = reader_left(r);
    if (len > FILES_TEXT_MAX || m->said.cause >= FILES_CAUSE_COUNT) {
        r->failed = true;
        return;
    }
    read_copy(r, m->said.text, len);
    files_clean(m->said.text);
}

static void read_body(struct reader *r, struct files_message *m)
{
    uint8_t hello[sizeof(magic)];

    switch (m->type) {
    case FILES_HELLO:
        if (read_u8(r) != FILES_VERSION)
            r->failed = true;
        read_copy(r, hello, sizeof(hello));
        if (memcmp(hello, magic, sizeof(magic)) != 0)
            r->failed = true;
        break;
    case FILES_OFFER:
        read_offer(r, &m->offer);
        break;
    case FILES_HAVE:
        read_have(r, &m->have);
        break;
    case FILES_START:
    case FILES_GOT:
        m->at = read_u64(r);
        if (m->at > INT64_MAX)
            r->failed = true;
        break;
    case FILES_DATA:
        rest_of(r, FILES_BODY_MAX, &m->data.bytes, &m->data.len);
        break;
    case FILES_HOLE:
        m->hole = read_u32(r);
        if (m->hole == 0 || m->hole > FILES_HOLE_MAX)
            r->failed = true;
        break;
    case FILES_END:
        read_copy(r, m->hash, FILES_HASH_LEN);
        break;
    case FILES_CANCEL:
    case FILES_REFUSE:
        read_said(r, m);
        break;
    case FILES_DONE:
        break;
    default:
        r->failed = true;
        break;
    }
}

int files_read(struct reader *r, struct files_message *ret)
{
    while (reader_left(r) >= FILES_HEADER_LEN) {
        struct files_message m = { .type = r->at[0] };
        size_t len = (size_t)r->at[1] << 16 | get_be16(r->at + 2);
        struct reader body;

        if (len > FILES_BODY_MAX)
            return -EPROTO;
        if (reader_left(r) < FILES_HEADER_LEN + len)
            return 1;
        body = reader_init(r->at + FILES_HEADER_LEN, len);
        r->at += FILES_HEADER_LEN + len;
        if (m.type >= FILES_SKIPPABLE)
            continue;
        read_body(&body, &m);
        if (!reader_done(&body))
            return -EPROTO;
        *ret = m;
        return 0;
    }
    return 1;
}

/* Bytes of the UTF-8 character there; 1 of what is none. */
static size_t character_at(const uint8_t *text, size_t left)
{
    size_t len = text[0] >= 0xf0 ? 4 : text[0] >= 0xe0 ? 3 : text[0] >= 0xc2 ? 2 : 1;

    if (text[0] > 0xf4 || len > left)
        return 1;
    for (size_t i = 1; i < len; i++)
        if ((text[i] & 0xc0) != 0x80)
            return 1;
    return len;
}

/* What a terminal heeds instead of showing it: C0, DEL, C1 (as UTF-8, or as a byte of its own), and what turns the
 * direction of text (U+202A to 202E, U+2066 to 2069). len: of the character. */
static bool is_control(const uint8_t *text, size_t len)
{
    if (len == 1)
        return text[0] < 0x20 || (text[0] >= 0x7f && text[0] < 0xa0);
    if (len == 2)
        return text[0] == 0xc2 && text[1] < 0xa0;
    return len == 3 && text[0] == 0xe2 &&
           ((text[1] == 0x80 && text[2] >= 0xaa && text[2] <= 0xae) ||
            (text[1] == 0x81 && text[2] >= 0xa6 && text[2] <= 0xa9));
}

const char *files_name_check(const char *name, size_t len)
{
    const size_t part = sizeof(FILES_PART) - 1;

    if (len == 0 || (len == 1 && name[0] == '.') || (len == 2 && name[0] == '.' && name[1] == '.'))
        return "is no name of a file";
    for (size_t i = 0, n; i < len; i += n) {
        n = character_at((const uint8_t *)name + i, len - i);
        if (name[i] == '/')
            return "has a slash in it";
        if (is_control((const uint8_t *)name + i, n))
            return "has a control character in it";
    }
    if (len > FILES_NAME_MAX)
        return "is longer than 243 bytes";
    if (len >= part && memcmp(name + len - part, FILES_PART, part) == 0)
        return "ends in .hawser-part, as what is not whole yet does";
    return NULL;
}

void files_clean(char *text)
{
    for (size_t left = strlen(text), n; left > 0; text += n, left -= n) {
        n = character_at((const uint8_t *)text, left);
        if (is_control((const uint8_t *)text, n))
            memset(text, '?', n);
    }
}
