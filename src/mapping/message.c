/* mapping/message.c - see message.h.
 *
 * Theory of operation. A request is {1: version, 2: type, ...}, an answer {1: version, 3: status, ...}. Both are read
 * by the same walk over one set of keys; a table says which of them a type or a status must and may have. A key that
 * may be missing stands for 0 then and is not there with a 0, so that nothing has two encodings. Lists are checked item
 * by item when they are read, and taken again item by item from the bytes: nothing is allocated.
 *
 * Limits: 64 KiB; 1024 refreshes, failures, changes or entries; chains of 4.
 *
 * Sources: RFC 8949 section 4.2.1. */
#include "mapping/message.h"

#include "wire/cbor.h"

#include <errno.h>

enum key {
    K_VERSION = 1,
    K_TYPE,
    K_STATUS,
    K_FLAGS,
    K_TAG,
    K_NAME,
    K_KIND,
    K_CLASS,
    K_SEQ,
    K_RECORD,
    K_CHAIN,
    K_LEFT,
    K_FRESH,
    K_WAIT,
    K_FAULT,
    K_PREFIX,
    K_EPOCH,
    K_FROM,
    K_TO,
    K_POSITION,
    K_ITEMS,
    K_PROOFS,
    K_INDEX,
    K_PLACES,
    K_RELAY,
    K_DIGEST,
    K_END,
};

#define BIT(k) (1u << (k))

enum list_kind { LIST_NONE, LIST_REFRESHES, LIST_FAILURES, LIST_CHANGES, LIST_ENTRIES };

struct shape {
    const char *name;
    uint32_t must, may;
    enum list_kind list;
};

static const struct shape requests[MAPPING_TYPE_END] = {
    [MAPPING_INTRODUCE] = { "introduce", BIT(K_CHAIN), 0, LIST_NONE },
    [MAPPING_RESOLVE] = { "resolve", BIT(K_KIND), BIT(K_FLAGS) | BIT(K_TAG) | BIT(K_NAME) | BIT(K_SEQ) | BIT(K_PLACES),
                          LIST_NONE },
    [MAPPING_REGISTER] = { "register", BIT(K_RECORD), 0, LIST_NONE },
    [MAPPING_REFRESH] = { "refresh", BIT(K_ITEMS), 0, LIST_REFRESHES },
    [MAPPING_PUBLISH] = { "publish", BIT(K_RECORD), 0, LIST_NONE },
    [MAPPING_SUBSCRIBE] = { "subscribe", BIT(K_PREFIX), BIT(K_LEFT) | BIT(K_EPOCH) | BIT(K_FROM) | BIT(K_POSITION),
                            LIST_NONE },
    [MAPPING_CHANGES] = { "changes", BIT(K_PREFIX), BIT(K_EPOCH) | BIT(K_FROM) | BIT(K_POSITION), LIST_NONE },
    [MAPPING_NOTIFY] = { "notify", BIT(K_PREFIX) | BIT(K_EPOCH) | BIT(K_TO), BIT(K_FLAGS) | BIT(K_FROM) | BIT(K_ITEMS),
                         LIST_CHANGES },
    [MAPPING_LOG] = { "log", 0, BIT(K_INDEX) | BIT(K_POSITION), LIST_NONE },
    [MAPPING_CALL] = { "call", BIT(K_TAG) | BIT(K_PREFIX) | BIT(K_PLACES), BIT(K_RELAY), LIST_NONE },
    [MAPPING_WHERE] = { "where", 0, 0, LIST_NONE },
    [MAPPING_GROWN] = { "grown", BIT(K_TO), BIT(K_INDEX) | BIT(K_ITEMS), LIST_ENTRIES },
};

static const struct shape answers[MAPPING_STATUS_COUNT] = {
    [MAPPING_FOUND] = { "found", BIT(K_RECORD) | BIT(K_CLASS) | BIT(K_LEFT) | BIT(K_FRESH),
                        BIT(K_FLAGS) | BIT(K_CHAIN) | BIT(K_PROOFS) | BIT(K_RELAY), LIST_NONE },
    [MAPPING_NONE] = { "none", BIT(K_FRESH), BIT(K_FLAGS), LIST_NONE },
    [MAPPING_REFERRAL] = { "referral", BIT(K_CHAIN),
                           BIT(K_RECORD) | BIT(K_LEFT) | BIT(K_FRESH) | BIT(K_FLAGS) | BIT(K_PROOFS), LIST_NONE },
    [MAPPING_LATER] = { "later", BIT(K_WAIT), 0, LIST_NONE },
    [MAPPING_REFUSED] = { "refused", BIT(K_FAULT), 0, LIST_NONE },
    [MAPPING_DONE] = { "done", 0,
                       BIT(K_FLAGS) | BIT(K_TAG) | BIT(K_SEQ) | BIT(K_LEFT) | BIT(K_FRESH) | BIT(K_EPOCH) | BIT(K_TO) |
                           BIT(K_ITEMS) | BIT(K_PLACES),
                       LIST_FAILURES },
    [MAPPING_OLDER] = { "older", BIT(K_SEQ), 0, LIST_NONE },
    [MAPPING_PAGE] = { "page", BIT(K_EPOCH),
                       BIT(K_FROM) | BIT(K_TO) | BIT(K_POSITION) | BIT(K_ITEMS) | BIT(K_LEFT) | BIT(K_FLAGS),
                       LIST_CHANGES },
    [MAPPING_ENTRIES] = { "entries", BIT(K_TO), BIT(K_POSITION) | BIT(K_ITEMS) | BIT(K_INDEX) | BIT(K_DIGEST),
                          LIST_ENTRIES },
    [MAPPING_UNKNOWN] = { "unknown", 0, 0, LIST_NONE },
};

const char *mapping_type_name(unsigned type)
{
    return type < MAPPING_TYPE_END ? requests[type].name : NULL;
}

const char *mapping_status_name(unsigned status)
{
    return status < MAPPING_STATUS_COUNT ? answers[status].name : NULL;
}

/* --- reading --- */

/* The fields of both. */
struct fields {
    uint32_t seen;
    unsigned type, status;
    uint8_t flags, kind, answer, fault;
    struct tag tag;
    const char *name;
    size_t name_len;
    uint64_t seq, epoch, from, to, index;
    uint32_t left_s, fresh_s, wait_ms, position;
    struct tag_prefix prefix;
    struct slice record, chain[CHAIN_LINKS_MAX];
    size_t chain_count;
    const uint8_t *digest;
    struct endpoint places[MAPPING_PLACES_MAX];
    size_t places_count;
    struct mapping_relay relay;
    struct mapping_list items, proofs;
};

static struct slice read_record(struct cbor_reader *r)
{
    struct slice s;

    s.data = cbor_read_bytes(r, 1, RECORD_BYTES_MAX, &s.len);
    return s;
}

static struct mapping_refresh read_refresh(struct cbor_reader *r)
{
    struct mapping_refresh i = { 0 };

    cbor_read_array(r, 5, 5);
    cbor_read_copy(r, i.subject.bytes, sizeof(i.subject.bytes));
    i.kind = (uint8_t)cbor_read_uint(r, 0, KIND_COUNT - 1);
    i.answer = (uint8_t)cbor_read_uint(r, CLASS_AGENT, CLASS_FULL);
    i.seq = cbor_read_uint(r, 1, UINT64_MAX);
    i.lease_s = (uint32_t)cbor_read_uint(r, 1, UINT32_MAX);
    return i;
}

static struct mapping_failure read_failure(struct cbor_reader *r)
{
    struct mapping_failure i = { 0 };

    cbor_read_array(r, 2, 2);
    i.index = (uint32_t)cbor_read_uint(r, 0, MAPPING_REFRESHES_MAX - 1);
    i.seq = cbor_read_uint(r, 0, UINT64_MAX);
    return i;
}

/* [record, left, fresh] or [subject, kind, class, seq]. */
static struct mapping_change read_change(struct cbor_reader *r)
{
    struct mapping_change i = { 0 };

    if (cbor_read_array(r, 3, 4) == 3) {
        i.record = read_record(r);
        i.left_s = (uint32_t)cbor_read_uint(r, 1, UINT32_MAX);
        i.fresh_s = (uint32_t)cbor_read_uint(r, 1, UINT32_MAX);
        return i;
    }
    cbor_read_copy(r, i.subject.bytes, sizeof(i.subject.bytes));
    i.kind = (uint8_t)cbor_read_uint(r, 0, KIND_COUNT - 1);
    i.answer = (uint8_t)cbor_read_uint(r, CLASS_AGENT, CLASS_FULL);
    i.seq = cbor_read_uint(r, 1, UINT64_MAX);
    return i;
}

static struct mapping_list read_list(struct cbor_reader *r, enum list_kind kind, size_t max)
{
    struct mapping_list l = { .count = cbor_read_array(r, 1, max) };
    size_t len;

    l.items = r->at;
    for (size_t i = 0; i < l.count && r->fault == CBOR_SOUND; i++) {
        if (kind == LIST_REFRESHES)
            read_refresh(r);
        else if (kind == LIST_FAILURES)
            read_failure(r);
        else if (kind == LIST_CHANGES)
            read_change(r);
        else
            cbor_read_bytes(r, 1, MAPPING_BYTES_MAX, &len);
    }
    l.len = (size_t)(r->at - l.items);
    return l;
}

static void read_prefix(struct cbor_reader *r, struct tag_prefix *ret)
{
    struct tag t;
    size_t at;

    cbor_read_array(r, 2, 2);
    at = cbor_offset(r);
    cbor_read_copy(r, t.bytes, sizeof(t.bytes));
    *ret = tag_prefix_of(&t, (uint8_t)cbor_read_uint(r, 28, 128));
    if (r->fault == CBOR_SOUND && (!tag_in_prefix(&t) || !tag_equal(&ret->tag, &t)))
        cbor_fail(r, CBOR_RANGE, at);
}

static void read_chain(struct cbor_reader *r, struct fields *f)
{
    f->chain_count = cbor_read_array(r, 1, CHAIN_LINKS_MAX);
    for (size_t i = 0; i < f->chain_count; i++)
        f->chain[i] = read_record(r);
}

static struct endpoint read_place(struct cbor_reader *r)
{
    struct endpoint e = { .port = 0 };
    const uint8_t *addr;
    size_t at, len;

    cbor_read_array(r, 2, 2);
    at = cbor_offset(r);
    addr = cbor_read_bytes(r, 4, 16, &len);
    if (addr && (len == 4 || len == 16))
        e.addr = addr_from_bytes(len == 4 ? ADDR_V4 : ADDR_V6, addr);
    if (addr && !addr_is_unicast(&e.addr))
        cbor_fail(r, CBOR_RANGE, at);
    e.port = (uint16_t)cbor_read_uint(r, 1, UINT16_MAX);
    return e;
}

static void read_places(struct cbor_reader *r, size_t max, struct fields *f)
{
    size_t count = cbor_read_array(r, 1, max);

    for (size_t i = 0; i < count && r->fault == CBOR_SOUND; i++)
        f->places[i] = read_place(r);
    f->places_count = count;
}

static void read_numbers(struct cbor_reader *r, unsigned key, bool optional, struct fields *f)
{
    const uint64_t min = optional ? 1 : 0;

    switch (key) {
    case K_SEQ:
        f->seq = cbor_read_uint(r, 1, UINT64_MAX);
        break;
    case K_LEFT:
        f->left_s = (uint32_t)cbor_read_uint(r, 1, UINT32_MAX);
        break;
    case K_FRESH:
        f->fresh_s = (uint32_t)cbor_read_uint(r, 1, UINT32_MAX);
        break;
    case K_WAIT:
        f->wait_ms = (uint32_t)cbor_read_uint(r, 1, MAPPING_WAIT_MAX_MS);
        break;
    case K_EPOCH:
        f->epoch = cbor_read_uint(r, 1, UINT64_MAX);
        break;
    case K_FROM:
        f->from = cbor_read_uint(r, 1, UINT64_MAX);
        break;
    case K_TO:
        f->to = cbor_read_uint(r, min, UINT64_MAX);
        break;
    case K_POSITION:
        f->position = (uint32_t)cbor_read_uint(r, 1, UINT32_MAX);
        break;
    default: /* K_INDEX */
        f->index = cbor_read_uint(r, 1, UINT64_MAX);
        break;
    }
}

static void read_value(struct cbor_reader *r, unsigned key, const struct shape *shape, bool is_request,
                       struct fields *f)
{
    static const struct tag none;
    size_t len, at;

    switch (key) {
    case K_FLAGS:
        f->flags = (uint8_t)cbor_read_uint(r, 1, is_request ? MAPPING_REQUEST_FLAGS : MAPPING_ANSWER_FLAGS);
        break;
    case K_TAG:
        at = cbor_offset(r);
        cbor_read_copy(r, f->tag.bytes, sizeof(f->tag.bytes));
        if (r->fault == CBOR_SOUND && !(shape->must & BIT(K_TAG)) && tag_equal(&f->tag, &none))
            cbor_fail(r, CBOR_RANGE, at);
        break;
    case K_NAME:
        f->name = cbor_read_text(r, 1, NAME_MAX_LEN + 1, &f->name_len);
        break;
    case K_KIND:
        f->kind = (uint8_t)cbor_read_uint(r, 0, KIND_COUNT - 1);
        break;
    case K_CLASS:
        f->answer = (uint8_t)cbor_read_uint(r, CLASS_AGENT, CLASS_FULL);
        break;
    case K_RECORD:
        f->record.data = cbor_read_bytes(r, 1, RECORD_BYTES_MAX, &len);
        f->record.len = len;
        break;
    case K_CHAIN:
        read_chain(r, f);
        break;
    case K_FAULT:
        f->fault = (uint8_t)cbor_read_uint(r, 1, RECORD_FAULT_COUNT - 1);
        break;
    case K_PREFIX:
        read_prefix(r, &f->prefix);
        break;
    case K_ITEMS:
        f->items = read_list(r, shape->list, MAPPING_CHANGES_MAX);
        break;
    case K_PROOFS:
        f->proofs = read_list(r, LIST_ENTRIES, MAPPING_PROOFS_MAX);
        break;
    case K_RELAY:
        cbor_read_array(r, 2, 2);
        f->relay.at = read_place(r);
        cbor_read_copy(r, f->relay.grant, sizeof(f->relay.grant));
        break;
    case K_DIGEST:
        f->digest = cbor_read_bytes(r, ENTRY_DIGEST_LEN, ENTRY_DIGEST_LEN, &len);
        break;
    case K_PLACES:
        read_places(r, is_request ? MAPPING_PLACES_MAX : 1, f);
        break;
    default:
        read_numbers(r, key, !(shape->must & BIT(key)), f);
        break;
    }
}

/* 0, -EBADMSG or -EPROTONOSUPPORT. */
static int read_fields(const uint8_t *bytes, size_t len, bool is_request, struct fields *f)
{
    struct cbor_reader r = cbor_reader_init(bytes, len);
    struct cbor_map m = cbor_read_map(&r, K_END);
    const struct shape *shape;
    uint64_t key = 0;
    unsigned n;

    if (len > MAPPING_BYTES_MAX || !cbor_map_next(&r, &m, &key) || key != K_VERSION)
        return -EBADMSG;
    if (cbor_read_uint(&r, 0, UINT64_MAX) != MAPPING_VERSION)
        return r.fault == CBOR_SOUND ? -EPROTONOSUPPORT : -EBADMSG;
    if (!cbor_map_next(&r, &m, &key) || key != (is_request ? K_TYPE : K_STATUS))
        return -EBADMSG;
    n = (unsigned)cbor_read_uint(&r, 0, UINT32_MAX);
    if (r.fault != CBOR_SOUND)
        return -EBADMSG;
    if (!(is_request ? mapping_type_name(n) : mapping_status_name(n)))
        return -EPROTONOSUPPORT;
    shape = is_request ? &requests[n] : &answers[n];
    f->type = f->status = n;
    while (cbor_map_next(&r, &m, &key)) {
        if (key >= K_END || !((shape->must | shape->may) & BIT(key)))
            return -EBADMSG;
        read_value(&r, (unsigned)key, shape, is_request, f);
        f->seen |= BIT(key);
    }
    return cbor_done(&r) && (f->seen & shape->must) == shape->must ? 0 : -EBADMSG;
}

int mapping_request_read(const uint8_t *bytes, size_t len, struct mapping_request *ret)
{
    struct fields f = { 0 };
    int e = read_fields(bytes, len, true, &f);

    if (e < 0)
        return e;
    /* Just one of the two is asked for. */
    if (f.type == MAPPING_RESOLVE && !(f.seen & BIT(K_NAME)) == !(f.seen & BIT(K_TAG)))
        return -EBADMSG;
    if (f.type == MAPPING_CALL && f.prefix.len != 8 * sizeof(f.prefix.tag.bytes)) /* somebody, and not many */
        return -EBADMSG;
    *ret = (struct mapping_request){ .type = (enum mapping_type)f.type,
                                     .flags = f.flags,
                                     .kind = f.kind,
                                     .name = f.name,
                                     .name_len = f.name_len,
                                     .tag = f.tag,
                                     .seq = f.seq,
                                     .record = f.record,
                                     .chain_count = f.chain_count,
                                     .prefix = f.prefix,
                                     .lease_s = f.left_s,
                                     .epoch = f.epoch,
                                     .from = f.from,
                                     .to = f.to,
                                     .position = f.position,
                                     .index = f.index,
                                     .items = f.items,
                                     .places_count = f.places_count,
                                     .relay = f.relay };
    memcpy(ret->chain, f.chain, sizeof(f.chain));
    memcpy(ret->places, f.places, sizeof(f.places));
    return 0;
}

int mapping_answer_read(const uint8_t *bytes, size_t len, struct mapping_answer *ret)
{
    struct fields f = { 0 };
    int e = read_fields(bytes, len, false, &f);

    if (e < 0)
        return e;
    *ret = (struct mapping_answer){ .status = (enum mapping_status)f.status,
                                    .flags = f.flags,
                                    .granted = f.answer,
                                    .fault = f.fault,
                                    .tag = f.tag,
                                    .seq = f.seq,
                                    .record = f.record,
                                    .chain_count = f.chain_count,
                                    .left_s = f.left_s,
                                    .fresh_s = f.fresh_s,
                                    .wait_ms = f.wait_ms,
                                    .epoch = f.epoch,
                                    .from = f.from,
                                    .to = f.to,
                                    .position = f.position,
                                    .index = f.index,
                                    .digest = f.digest,
                                    .relay = f.relay,
                                    .place = f.places[0],
                                    .proofs = f.proofs,
                                    .items = f.items };
    memcpy(ret->chain, f.chain, sizeof(f.chain));
    return 0;
}

/* --- the items of lists --- */

/* A reader over what is left; false when nothing is. */
static bool begin_item(const struct mapping_list *l, struct cbor_reader *ret)
{
    *ret = cbor_reader_init(l->items, l->len);
    return l->count > 0;
}

static bool end_item(struct mapping_list *l, const struct cbor_reader *r)
{
    l->len -= (size_t)(r->at - l->items);
    l->items = r->at;
    l->count--;
    return r->fault == CBOR_SOUND;
}

bool mapping_next_refresh(struct mapping_list *l, struct mapping_refresh *ret)
{
    struct cbor_reader r;

    if (!begin_item(l, &r))
        return false;
    *ret = read_refresh(&r);
    return end_item(l, &r);
}

bool mapping_next_failure(struct mapping_list *l, struct mapping_failure *ret)
{
    struct cbor_reader r;

    if (!begin_item(l, &r))
        return false;
    *ret = read_failure(&r);
    return end_item(l, &r);
}

bool mapping_next_change(struct mapping_list *l, struct mapping_change *ret)
{
    struct cbor_reader r;

    if (!begin_item(l, &r))
        return false;
    *ret = read_change(&r);
    return end_item(l, &r);
}

bool mapping_next_bytes(struct mapping_list *l, struct slice *ret)
{
    struct cbor_reader r;

    if (!begin_item(l, &r))
        return false;
    ret->data = cbor_read_bytes(&r, 1, MAPPING_BYTES_MAX, &ret->len);
    return end_item(l, &r);
}

void mapping_write_refresh(struct writer *w, const struct mapping_refresh *i)
{
    cbor_write_head(w, CBOR_ARRAY, 5);
    cbor_write_bytes(w, i->subject.bytes, sizeof(i->subject.bytes));
    cbor_write_head(w, CBOR_UINT, i->kind);
    cbor_write_head(w, CBOR_UINT, i->answer);
    cbor_write_head(w, CBOR_UINT, i->seq);
    cbor_write_head(w, CBOR_UINT, i->lease_s);
}

void mapping_write_failure(struct writer *w, const struct mapping_failure *i)
{
    cbor_write_head(w, CBOR_ARRAY, 2);
    cbor_write_head(w, CBOR_UINT, i->index);
    cbor_write_head(w, CBOR_UINT, i->seq);
}

void mapping_write_change(struct writer *w, const struct mapping_change *i)
{
    if (i->record.len > 0) {
        cbor_write_head(w, CBOR_ARRAY, 3);
        cbor_write_bytes(w, i->record.data, i->record.len);
        cbor_write_head(w, CBOR_UINT, i->left_s);
        cbor_write_head(w, CBOR_UINT, i->fresh_s);
        return;
    }
    cbor_write_head(w, CBOR_ARRAY, 4);
    cbor_write_bytes(w, i->subject.bytes, sizeof(i->subject.bytes));
    cbor_write_head(w, CBOR_UINT, i->kind);
    cbor_write_head(w, CBOR_UINT, i->answer);
    cbor_write_head(w, CBOR_UINT, i->seq);
}

void mapping_write_bytes(struct writer *w, struct slice bytes)
{
    cbor_write_bytes(w, bytes.data, bytes.len);
}

/* --- writing --- */

static bool is_zero(const struct tag *t)
{
    return tag_equal(t, &(struct tag){ { 0 } });
}

/* The keys whose values are not 0: of those that may be missing, the ones to be written. */
static uint32_t present(const struct fields *f)
{
    const struct {
        unsigned key;
        bool is;
    } has[] = {
        { K_FLAGS, f->flags != 0 },
        { K_TAG, !f->name && !is_zero(&f->tag) },
        { K_NAME, f->name != NULL },
        { K_SEQ, f->seq != 0 },
        { K_RECORD, f->record.len > 0 },
        { K_CHAIN, f->chain_count > 0 },
        { K_LEFT, f->left_s != 0 },
        { K_FRESH, f->fresh_s != 0 },
        { K_EPOCH, f->epoch != 0 },
        { K_FROM, f->from != 0 },
        { K_TO, f->to != 0 },
        { K_POSITION, f->position != 0 },
        { K_ITEMS, f->items.count > 0 },
        { K_PROOFS, f->proofs.count > 0 },
        { K_INDEX, f->index != 0 },
        { K_PLACES, f->places_count > 0 },
        { K_RELAY, f->relay.at.addr.family != ADDR_NONE },
        { K_DIGEST, f->digest != NULL },
    };
    uint32_t keys = 0;

    for (size_t i = 0; i < ARRAY_LEN(has); i++)
        keys |= has[i].is ? BIT(has[i].key) : 0;
    return keys;
}

static void write_place(struct writer *w, const struct endpoint *e)
{
    cbor_write_head(w, CBOR_ARRAY, 2);
    cbor_write_bytes(w, e->addr.bytes, addr_bytes_len(&e->addr));
    cbor_write_head(w, CBOR_UINT, e->port);
}

static void write_list(struct writer *w, const struct mapping_list *l)
{
    cbor_write_head(w, CBOR_ARRAY, l->count);
    write_bytes(w, l->items, l->len);
}

static uint64_t number_of(const struct fields *f, unsigned key)
{
    switch (key) {
    case K_FLAGS:
        return f->flags;
    case K_KIND:
        return f->kind;
    case K_CLASS:
        return f->answer;
    case K_SEQ:
        return f->seq;
    case K_LEFT:
        return f->left_s;
    case K_FRESH:
        return f->fresh_s;
    case K_WAIT:
        return f->wait_ms;
    case K_FAULT:
        return f->fault;
    case K_EPOCH:
        return f->epoch;
    case K_FROM:
        return f->from;
    case K_TO:
        return f->to;
    case K_POSITION:
        return f->position;
    default: /* K_INDEX */
        return f->index;
    }
}

static void write_value(struct writer *w, unsigned key, const struct fields *f)
{
    switch (key) {
    case K_TAG:
        cbor_write_bytes(w, f->tag.bytes, sizeof(f->tag.bytes));
        break;
    case K_NAME:
        cbor_write_text(w, f->name, f->name_len);
        break;
    case K_RECORD:
        cbor_write_bytes(w, f->record.data, f->record.len);
        break;
    case K_CHAIN:
        cbor_write_head(w, CBOR_ARRAY, f->chain_count);
        for (size_t i = 0; i < f->chain_count; i++)
            cbor_write_bytes(w, f->chain[i].data, f->chain[i].len);
        break;
    case K_PREFIX:
        cbor_write_head(w, CBOR_ARRAY, 2);
        cbor_write_bytes(w, f->prefix.tag.bytes, sizeof(f->prefix.tag.bytes));
        cbor_write_head(w, CBOR_UINT, f->prefix.len);
        break;
    case K_ITEMS:
        write_list(w, &f->items);
        break;
    case K_PROOFS:
        write_list(w, &f->proofs);
        break;
    case K_DIGEST:
        cbor_write_bytes(w, f->digest, ENTRY_DIGEST_LEN);
        break;
    case K_PLACES:
        cbor_write_head(w, CBOR_ARRAY, f->places_count);
        for (size_t i = 0; i < f->places_count; i++)
            write_place(w, &f->places[i]);
        break;
    case K_RELAY:
        cbor_write_head(w, CBOR_ARRAY, 2);
        write_place(w, &f->relay.at);
        cbor_write_bytes(w, f->relay.grant, sizeof(f->relay.grant));
        break;
    default:
        cbor_write_head(w, CBOR_UINT, number_of(f, key));
        break;
    }
}

static void write_fields(struct writer *w, const struct shape *shape, unsigned type_key, unsigned type,
                         const struct fields *f)
{
    const uint32_t keys = shape->must | (shape->may & present(f));
    uint64_t count = 2;

    for (uint32_t left = keys; left; left &= left - 1)
        count++;
    cbor_write_head(w, CBOR_MAP, count);
    cbor_write_head(w, CBOR_UINT, K_VERSION);
    cbor_write_head(w, CBOR_UINT, MAPPING_VERSION);
    cbor_write_head(w, CBOR_UINT, type_key);
    cbor_write_head(w, CBOR_UINT, type);
    for (uint32_t left = keys; left; left &= left - 1) { /* the lowest first */
        unsigned k = (unsigned)__builtin_ctz(left);

        cbor_write_head(w, CBOR_UINT, k);
        write_value(w, k, f);
    }
}

void mapping_request_write(struct writer *w, const struct mapping_request *r)
{
    struct fields f = { .flags = r->flags,
                        .kind = r->kind,
                        .name = r->name,
                        .name_len = r->name_len,
                        .tag = r->tag,
                        .seq = r->seq,
                        .record = r->record,
                        .chain_count = r->chain_count,
                        .prefix = r->prefix,
                        .left_s = r->lease_s,
                        .epoch = r->epoch,
                        .from = r->from,
                        .to = r->to,
                        .position = r->position,
                        .index = r->index,
                        .items = r->items,
                        .places_count = r->places_count,
                        .relay = r->relay };

    memcpy(f.places, r->places, r->places_count * sizeof(f.places[0]));
    memcpy(f.chain, r->chain, r->chain_count * sizeof(f.chain[0]));
    write_fields(w, &requests[r->type], K_TYPE, r->type, &f);
}

void mapping_answer_write(struct writer *w, const struct mapping_answer *a)
{
    struct fields f = { .flags = a->flags,
                        .answer = a->granted,
                        .fault = a->fault,
                        .tag = a->tag,
                        .seq = a->seq,
                        .record = a->record,
                        .chain_count = a->chain_count,
                        .left_s = a->left_s,
                        .fresh_s = a->fresh_s,
                        .wait_ms = a->wait_ms,
                        .epoch = a->epoch,
                        .from = a->from,
                        .to = a->to,
                        .position = a->position,
                        .index = a->index,
                        .proofs = a->proofs,
                        .items = a->items,
                        .digest = a->digest,
                        .relay = a->relay,
                        .places = { a->place },
                        .places_count = a->place.addr.family != ADDR_NONE };

    memcpy(f.chain, a->chain, a->chain_count * sizeof(f.chain[0]));
    write_fields(w, &answers[a->status], K_STATUS, a->status, &f);
}
