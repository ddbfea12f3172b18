/* Fuzz target of wire/files: whatever the bytes, a message that is accepted is within its limits, what is written of it
 * reads back the same, and a frame that is not whole takes nothing. */
#include "wire/files.h"

#include <assert.h>
#include <errno.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(const struct files_message *m)
{
    static uint8_t buf[FILES_HEADER_LEN + FILES_BODY_MAX], again[sizeof(buf)];
    struct writer w = writer_init(buf, sizeof(buf)), v = writer_init(again, sizeof(again));
    struct files_message n;
    struct reader r;

    if (m->type == FILES_OFFER) {
        assert(m->offer.size <= INT64_MAX && m->offer.mode <= 0777 && m->offer.name_len <= FILES_NAME_WIRE_MAX);
        if (!files_name_check(m->offer.name, m->offer.name_len))
            assert(m->offer.name_len <= FILES_NAME_MAX && !memchr(m->offer.name, '\0', m->offer.name_len) &&
                   !memchr(m->offer.name, '/', m->offer.name_len));
    }
    if (m->type == FILES_REFUSE)
        assert(strlen(m->said.text) <= FILES_TEXT_MAX && !strpbrk(m->said.text, "\n\r\033\177"));
    files_write(&w, m);
    assert(!w.failed);
    r = reader_init(buf, writer_len(&w) - 1);
    assert(files_read(&r, &n) == 1 && r.at == buf);
    r = reader_init(buf, writer_len(&w));
    assert(files_read(&r, &n) == 0 && reader_done(&r) && n.type == m->type);
    files_write(&v, &n);
    assert(writer_len(&v) == writer_len(&w) && memcmp(buf, again, writer_len(&w)) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct reader r = reader_init(data, size);
    struct files_message m;
    const uint8_t *before = r.at;
    int got;

    while ((got = files_read(&r, &m)) == 0) {
        assert(r.at > before && r.at <= r.end);
        before = r.at;
        check(&m);
    }
    assert(got == 1 || got == -EPROTO);
    return 0;
}
