/* tests/unit/manager_world.h - a manager of the root of realm_world.h with two hosts and a realm below, and those who
 * ask it. */
#pragma once

#include "mapping/manager.h"
#include "tests/unit/realm_world.h"

#define LAPTOP "laptop.h.rid.example"
#define EVERYBODY "2001:3f::/32"

static struct rw w;
static struct manager *m;
static struct tag root, laptop, phone;
static uint8_t out[MAPPING_BYTES_MAX], sent[MAPPING_BYTES_MAX];
static struct manager_reply reply;
static instant now;

static inline void take(const struct rw_blob *b)
{
    struct record_error why;

    assert_int_equal(manager_take(m, b->bytes, b->len, now, &why), 0);
}

static inline int set_up_with(uint32_t log_max, bool stores, uint32_t capacity)
{
    struct manager_options o = { .bindings_max = 100,
                                 .names_max = 100,
                                 .guests_max = 4,
                                 .subscriptions_max = 4,
                                 .log_max = log_max,
                                 .epoch = 7,
                                 .stores = stores,
                                 .capacity = capacity };
    struct record_error why;
    struct slice links[1];
    struct rw_blob b;

    rw_init(&w);
    o.rng = w.rng;
    now = 1000 * SEC;
    m = manager_new(&o, now);
    assert_non_null(m);
    links[0] = rw_slice(&w.root);
    assert_int_equal(manager_set_self(m, links, 1, RW_NOW_S, &why), 0);
    root = rw_tag(&w, RW_ROOT, TAG_TIER_SERVICE, 0);
    laptop = rw_tag(&w, RW_LAPTOP, TAG_TIER_HOST, 0);
    phone = rw_tag(&w, RW_PHONE, TAG_TIER_HOST, 0);
    rw_register(&w, RW_ROOT, 0, RW_LAPTOP, TAG_TIER_HOST, LAPTOP, &b);
    take(&b);
    rw_register(&w, RW_ROOT, 0, RW_PHONE, TAG_TIER_HOST, "phone.h.rid.example", &b);
    take(&b);
    take(&w.acme);
    return 0;
}

/* Another in its place, with a store and room for so many bindings, that knows the root alone. */
static inline void begin_with_room_for(uint32_t bindings)
{
    const struct manager_options o = { .rng = w.rng,
                                       .bindings_max = bindings,
                                       .names_max = 100,
                                       .guests_max = 4,
                                       .subscriptions_max = 4,
                                       .log_max = 8,
                                       .epoch = 7,
                                       .stores = true };
    const struct slice root_link = rw_slice(&w.root);
    struct record_error why;

    manager_free(m);
    m = manager_new(&o, now);
    assert_non_null(m);
    assert_int_equal(manager_set_self(m, &root_link, 1, RW_NOW_S, &why), 0);
}

static inline int set_up(void **state)
{
    return set_up_with(64, false, 0);
}

static inline int tear_down(void **state)
{
    manager_free(m);
    return 0;
}

static inline struct mapping_answer ask_bytes(int key, size_t len)
{
    struct manager_who who = { .peer = (uint64_t)key + 100, .ed25519 = w.keys[key] };
    const struct manager_ahead ahead = { who, sent, len };
    struct mapping_answer a;

    manager_foresee(m, &ahead, 1, now, RW_NOW_S);
    manager_on_request(m, &who, sent, len, now, RW_NOW_S, out, &reply);
    assert_int_equal(mapping_answer_read(out, reply.len, &a), 0);
    return a;
}

static inline struct mapping_answer ask(int key, const struct mapping_request *r)
{
    struct writer at = writer_init(sent, sizeof(sent));

    mapping_request_write(&at, r);
    assert_false(at.failed);
    return ask_bytes(key, writer_len(&at));
}

static inline struct mapping_request by_name(const char *name)
{
    return (struct mapping_request){
        .type = MAPPING_RESOLVE, .name = name, .name_len = strlen(name), .kind = KIND_HOST_LOCATOR
    };
}

static inline struct mapping_answer resolve(int key, const char *name)
{
    struct mapping_request r = by_name(name);

    return ask(key, &r);
}

static inline struct mapping_answer send_record(int key, enum mapping_type type, const struct rw_blob *b)
{
    struct mapping_request r = { .type = type, .record = rw_slice(b) };

    return ask(key, &r);
}

/* The laptop registers itself. */
static inline struct mapping_answer bind_laptop(uint8_t answer, uint64_t seq, uint32_t lease_s, uint8_t n)
{
    struct rw_blob b;

    rw_bind(&w, &laptop, RW_LAPTOP, &laptop, KIND_HOST_LOCATOR, answer, seq, lease_s, n, &b);
    return send_record(RW_LAPTOP, MAPPING_REGISTER, &b);
}

static inline void allow(const char *prefix, enum record_class answer)
{
    struct rw_blob b;

    rw_policy(&w, &root, RW_ROOT, &root, ++w.seq, prefix, answer, &b);
    take(&b);
}

/* Of the last octet of the only target. */
static inline unsigned target_of(struct slice record)
{
    struct record_error why;
    struct record_bytes b;
    struct record r;

    assert_int_equal(record_decode(record.data, record.len, &r, &b, &why), 0);
    assert_int_equal(r.targets_count, 1);
    return r.targets[0].locator.addr.bytes[3];
}
