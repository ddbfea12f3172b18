/* ident/record.c - see record.h.
 *
 * Theory of operation. A record is [h'a10127', {}, payload, signature], the COSE_Sign1 with the one algorithm that we
 * have, EdDSA. What is signed is COSE's Sig_structure with external_aad "hawser record v1", so that no other signature
 * of such a key passes for one of a record.
 *
 * Decoding walks twice: cbor_check over all bytes of the payload, so that an encoding that is not canonical is named as
 * that whatever it holds, and then by the table: each type has a set of map keys that it must and may have. Unknown
 * keys are refused, since who signs a thing must be able to count on its being heeded; a later version has another
 * type. Then what the values must be to each other is checked, of this record alone; who may say so is chain.c's.
 *
 * Ed25519 is fixed, and libcrypto refuses a signature whose S is not reduced, so bytes have one valid form.
 *
 * Limits: 4096 bytes, 16 targets, 64 rules. Decoding allocates nothing; verifying does, in libcrypto.
 *
 * Sources: RFC 9052 sections 4.2 and 4.4 (COSE_Sign1), RFC 9053 section 2.2 (EdDSA is -8), RFC 8949 section 4.2.1. */
#include "ident/record.h"

#include "base/text.h"
#include "ident/hash.h"
#include "ident/suite.h"

#include <errno.h>

enum key {
    K_TYPE = 1,
    K_ISSUER,
    K_SUBJECT,
    K_SEQ,
    K_ISSUED,
    K_NOT_AFTER,
    K_KEY,
    K_NAME,
    K_SUITES,
    K_RANGE,
    K_TIERS,
    K_X25519,
    K_FLAGS,
    K_KIND,
    K_LEASE,
    K_CLASS,
    K_TARGETS,
    K_RULES,
    K_REASON,
    K_NEXT,
    K_OLD_KEY,
    K_OLD_PROOF,
    K_NEW_PROOF,
    K_DETAILS,
    K_END,
};

#define BIT(k) (1u << (k))
#define ALL (BIT(K_TYPE) | BIT(K_ISSUER) | BIT(K_SUBJECT) | BIT(K_SEQ))
#define HARD (ALL | BIT(K_ISSUED))

static const struct {
    const char *name;
    uint32_t must, may;
} types[RECORD_TYPE_END] = {
    [RECORD_ROOT] = { "root", HARD | BIT(K_KEY) | BIT(K_NAME) | BIT(K_SUITES), BIT(K_NOT_AFTER) },
    [RECORD_DELEGATION] = { "delegation",
                            HARD | BIT(K_NOT_AFTER) | BIT(K_KEY) | BIT(K_NAME) | BIT(K_RANGE) | BIT(K_TIERS), 0 },
    [RECORD_REGISTRATION] = { "registration",
                              HARD | BIT(K_KEY) | BIT(K_NAME) | BIT(K_SUITES) | BIT(K_X25519) | BIT(K_FLAGS),
                              BIT(K_NOT_AFTER) },
    [RECORD_BINDING] = { "binding", ALL | BIT(K_KIND) | BIT(K_LEASE) | BIT(K_CLASS) | BIT(K_TARGETS), BIT(K_DETAILS) },
    [RECORD_POLICY] = { "policy", HARD | BIT(K_RULES), BIT(K_NOT_AFTER) },
    [RECORD_REVOCATION] = { "revocation", HARD | BIT(K_REASON), 0 },
    [RECORD_SUCCESSOR] = { "successor",
                           HARD | BIT(K_NOT_AFTER) | BIT(K_KEY) | BIT(K_NEXT) | BIT(K_OLD_KEY) | BIT(K_OLD_PROOF) |
                               BIT(K_NEW_PROOF),
                           0 },
};

#define TIER(t) (1u << (t))
#define LOCATOR TIER(4)

/* Which tier is attached at which. */
static const struct {
    const char *name;
    uint8_t subject, target;
} kinds[KIND_COUNT] = {
    [KIND_HOST_LOCATOR] = { "host-locator", TIER(TAG_TIER_HOST), LOCATOR },
    [KIND_USER_HOST] = { "user-host", TIER(TAG_TIER_USER), TIER(TAG_TIER_HOST) },
    [KIND_DATA_HOST] = { "data-host", TIER(TAG_TIER_DATA), TIER(TAG_TIER_HOST) },
    [KIND_REALM_REALM] = { "realm-realm", TIER(TAG_TIER_SERVICE), TIER(TAG_TIER_SERVICE) | LOCATOR },
    [KIND_SERVICE_ROUTER] = { "service-router", TIER(TAG_TIER_SERVICE), TIER(TAG_TIER_HOST) | LOCATOR },
    [KIND_GROUP_MEMBER] = { "group-member", TIER(TAG_TIER_SERVICE), 0x0f },
};

static const char *const reasons[REASON_COUNT] = { "unspecified", "key-compromised", "superseded", "left" };

static const struct {
    const char *name, *words;
} faults[RECORD_FAULT_COUNT] = {
    [RECORD_SOUND] = { "sound", "nothing is wrong" },
    [RECORD_TOO_LARGE] = { "too-large", "more than 4096 bytes" },
    [RECORD_NOT_CBOR] = { "not-canonical-cbor", "" },
    [RECORD_ALGORITHM] = { "wrong-algorithm", "expected a COSE_Sign1 by EdDSA" },
    [RECORD_TYPE_UNKNOWN] = { "unknown-type", "no type of record that we know" },
    [RECORD_KEY_UNKNOWN] = { "unknown-key", "a map key that this type of record does not have" },
    [RECORD_KEY_MISSING] = { "missing-key", "a map key that this type of record must have is not there" },
    [RECORD_NAME] = { "bad-name", "not a canonical name, or one of another key" },
    [RECORD_TAG] = { "bad-tag", "a tag that is not that of its key" },
    [RECORD_FIELD] = { "bad-field", "a value that the others do not allow" },
    [RECORD_SIGNATURE] = { "wrong-signature", "not signed by the key that it should be signed by" },
    [RECORD_OLDER_SEQUENCE] = { "older-sequence", "a newer one was seen before" },
    [RECORD_BROKEN_CHAIN] = { "broken-chain", "not issued by the link before it" },
    [RECORD_TOO_LONG_CHAIN] = { "too-long-chain", "more than 4 links" },
    [RECORD_EXPIRED] = { "expired", "its time is over" },
    [RECORD_FOREIGN_PREFIX] = { "foreign-prefix", "a tag or range that is not its issuer's to give" },
    [RECORD_FOREIGN_NAME] = { "foreign-name", "a name that is not its issuer's to give" },
    [RECORD_FOREIGN_ROOT] = { "foreign-root", "not of the root that is trusted" },
    [RECORD_REVOKED] = { "revoked", "its subject was revoked" },
    [RECORD_SUPERSEDED] = { "superseded", "a new key took over" },
    [RECORD_NOT_AUTHORISED] = { "not-authorised", "its issuer may not say this" },
    [RECORD_CONFLICT] = { "conflict", "another successor is there already" },
    [RECORD_AHEAD] = { "ahead", "its sequence is of a time that is more than a day ahead" },
};

const char *record_fault_name(enum record_fault fault)
{
    return fault < RECORD_FAULT_COUNT ? faults[fault].name : "unknown";
}

const char *record_kind_name(unsigned kind)
{
    return kind < KIND_COUNT ? kinds[kind].name : NULL;
}

const char *record_type_name(unsigned type)
{
    return type < RECORD_TYPE_END ? types[type].name : NULL;
}

const char *record_reason_name(unsigned reason)
{
    return reason < REASON_COUNT ? reasons[reason] : NULL;
}

char *record_error_format(const struct record_error *e, char buf[RECORD_ERROR_STRLEN])
{
    struct text t;
    const char *words = e->fault < RECORD_FAULT_COUNT ? faults[e->fault].words : "";

    text_init(&t, buf, RECORD_ERROR_STRLEN);
    text_add(&t, "%s: %s", record_fault_name(e->fault), e->fault == RECORD_NOT_CBOR ? cbor_fault_name(e->cbor) : words);
    if (e->key)
        text_add(&t, ", map key %u", e->key);
    if (e->at)
        text_add(&t, ", byte %zu", e->at);
    return buf;
}

static const uint8_t protected_header[3] = { 0xa1, 0x01, 0x27 }; /* {1: -8} */
static const char external_aad[] = "hawser record v1";
static const char signature1[] = "Signature1";

/* COSE's Sig_structure, but for the payload's bytes, which the caller appends. */
static struct writer sig_structure(uint8_t *out, size_t size, size_t payload_len)
{
    struct writer w = writer_init(out, size);

    cbor_write_head(&w, CBOR_ARRAY, 4);
    cbor_write_text(&w, signature1, sizeof(signature1) - 1);
    cbor_write_bytes(&w, protected_header, sizeof(protected_header));
    cbor_write_bytes(&w, external_aad, sizeof(external_aad) - 1);
    cbor_write_head(&w, CBOR_BYTES, payload_len);
    return w;
}

#define SIG_STRUCTURE_MAX (RECORD_BYTES_MAX + 64)

int record_verify(const struct record_bytes *b, const uint8_t ed25519[IDENT_KEY_LEN])
{
    uint8_t message[SIG_STRUCTURE_MAX];
    struct writer w = sig_structure(message, sizeof(message), b->payload_len);

    write_bytes(&w, b->payload, b->payload_len);
    return w.failed ? -EBADMSG : ed25519_verify(ed25519, message, writer_len(&w), b->signature);
}

void record_digest(const struct record_bytes *b, const uint8_t ed25519[IDENT_KEY_LEN], uint8_t out[RECORD_DIGEST_LEN])
{
    blake2s(out, HASH_PARTS({ ed25519, IDENT_KEY_LEN }, { b->bytes, b->len }));
}

/* --- reading --- */

static void read_tag(struct cbor_reader *r, struct tag *ret)
{
    cbor_read_copy(r, ret->bytes, sizeof(ret->bytes));
}

static void read_target(struct cbor_reader *r, struct record_target *ret)
{
    struct record_target t = { 0 };
    size_t len;

    cbor_read_array(r, 4, 4);
    if (cbor_next_major(r) == CBOR_ARRAY) {
        const uint8_t *addr;
        size_t at;

        cbor_read_array(r, 3, 3);
        t.is_locator = true;
        t.transport = (uint8_t)cbor_read_uint(r, 0, 1);
        at = cbor_offset(r);
        addr = cbor_read_bytes(r, 4, 16, &len);
        if (addr && len != 4 && len != 16)
            cbor_fail(r, CBOR_RANGE, at);
        else if (addr)
            t.locator.addr = addr_from_bytes(len == 4 ? ADDR_V4 : ADDR_V6, addr);
        if (addr && r->fault == CBOR_SOUND && !addr_is_unicast(&t.locator.addr))
            cbor_fail(r, CBOR_RANGE, at);
        t.locator.port = (uint16_t)cbor_read_uint(r, 1, UINT16_MAX);
    } else {
        read_tag(r, &t.tag);
    }
    t.priority = (uint16_t)cbor_read_uint(r, 0, UINT16_MAX);
    t.weight = (uint16_t)cbor_read_uint(r, 0, UINT16_MAX);
    t.flags = (uint8_t)cbor_read_uint(r, 0, 0);
    *ret = t;
}

static void read_rule(struct cbor_reader *r, struct record_rule *ret)
{
    struct tag_prefix p;
    struct tag t;
    size_t at;

    cbor_read_array(r, 3, 3);
    at = cbor_offset(r);
    read_tag(r, &t);
    p = tag_prefix_of(&t, (uint8_t)cbor_read_uint(r, 28, 128));
    if (r->fault == CBOR_SOUND && (!tag_in_prefix(&t) || !tag_equal(&p.tag, &t)))
        cbor_fail(r, CBOR_RANGE, at);
    *ret = (struct record_rule){ .who = p, .answer = (uint8_t)cbor_read_uint(r, CLASS_DENY, CLASS_FULL) };
}

static void read_name(struct cbor_reader *r, char out[NAME_SIZE])
{
    size_t at = cbor_offset(r), len;
    const char *text = cbor_read_text(r, 1, NAME_MAX_LEN, &len);

    if (text && memchr(text, '\0', len)) /* which would end the name here, and not in what was signed */
        cbor_fail(r, CBOR_RANGE, at);
    else if (text)
        memcpy(out, text, len);
    out[len] = '\0';
}

static void read_details(struct cbor_reader *r, struct record *ret)
{
    size_t len;
    const uint8_t *bytes = cbor_read_bytes(r, 1, RECORD_DETAILS_MAX, &len);

    if (!bytes)
        return;
    memcpy(ret->details, bytes, len);
    ret->details_len = (uint16_t)len;
}

static void read_value(struct cbor_reader *r, unsigned key, struct record *ret)
{
    switch (key) {
    case K_ISSUER:
        read_tag(r, &ret->issuer);
        break;
    case K_SUBJECT:
        read_tag(r, &ret->subject);
        break;
    case K_SEQ:
        ret->seq = cbor_read_uint(r, 1, UINT64_MAX);
        break;
    case K_ISSUED:
        ret->issued_s = cbor_read_uint(r, 1, RECORD_TIME_MAX);
        break;
    case K_NOT_AFTER:
        ret->not_after_s = cbor_read_uint(r, 1, RECORD_TIME_MAX);
        break;
    case K_KEY:
        cbor_read_copy(r, ret->key, sizeof(ret->key));
        break;
    case K_NAME:
        read_name(r, ret->name);
        break;
    case K_SUITES:
        ret->suites = (uint8_t)cbor_read_uint(r, 1, 15);
        break;
    case K_RANGE:
        cbor_read_array(r, 2, 2);
        ret->range.number = (uint16_t)cbor_read_uint(r, 1, TAG_REALM_MAX);
        ret->range.bits = (uint8_t)cbor_read_uint(r, 1, 12);
        break;
    case K_TIERS:
        ret->tiers = (uint8_t)cbor_read_uint(r, 1, 15);
        break;
    case K_X25519:
        cbor_read_copy(r, ret->x25519, sizeof(ret->x25519));
        break;
    case K_FLAGS:
        ret->flags = (uint8_t)cbor_read_uint(r, 0, RECORD_FLAGS_KNOWN);
        break;
    case K_KIND:
        ret->kind = (uint8_t)cbor_read_uint(r, 0, KIND_COUNT - 1);
        break;
    case K_LEASE:
        ret->lease_s = (uint32_t)cbor_read_uint(r, 1, UINT32_MAX);
        break;
    case K_CLASS:
        ret->answer = (uint8_t)cbor_read_uint(r, CLASS_AGENT, CLASS_FULL);
        break;
    case K_TARGETS:
        ret->targets_count = (uint8_t)cbor_read_array(r, 0, RECORD_TARGETS_MAX);
        for (size_t i = 0; i < ret->targets_count; i++)
            read_target(r, &ret->targets[i]);
        break;
    case K_RULES:
        ret->rules_count = (uint8_t)cbor_read_array(r, 0, RECORD_RULES_MAX);
        for (size_t i = 0; i < ret->rules_count; i++)
            read_rule(r, &ret->rules[i]);
        break;
    case K_REASON:
        ret->reason = (uint8_t)cbor_read_uint(r, 0, REASON_COUNT - 1);
        break;
    case K_NEXT:
        read_tag(r, &ret->next);
        break;
    case K_OLD_KEY:
        cbor_read_copy(r, ret->old_key, sizeof(ret->old_key));
        break;
    case K_OLD_PROOF:
        cbor_read_copy(r, ret->old_proof, sizeof(ret->old_proof));
        break;
    case K_NEW_PROOF:
        cbor_read_copy(r, ret->new_proof, sizeof(ret->new_proof));
        break;
    default: /* K_DETAILS */
        read_details(r, ret);
        break;
    }
}

/* --- what the values must be to each other --- */

static int wrong(struct record_error *ret, enum record_fault fault, unsigned key)
{
    *ret = (struct record_error){ .fault = fault, .key = (uint8_t)key };
    return -EBADMSG;
}

/* A tag that stands beside its key. */
static int check_tag(const struct tag *t, const uint8_t key[IDENT_KEY_LEN], unsigned at, struct record_error *err)
{
    int r = tag_verify(t, key);

    return r == -ENOMEM ? r : r < 0 ? wrong(err, RECORD_TAG, at) : 0;
}

static int check_realm_name(const char *text, struct record_error *err)
{
    struct name_error why;
    char canonical[NAME_SIZE];

    if (name_parse_realm(text, strlen(text), canonical, &why) < 0 || strcmp(text, canonical) != 0)
        return wrong(err, RECORD_NAME, K_NAME);
    return 0;
}

static int check_registration(const struct record *r, struct record_error *err)
{
    struct name_error why;
    struct name n;
    int e;

    if (name_parse(r->name, strlen(r->name), &n, &why) < 0 || strcmp(r->name, n.text) != 0)
        return wrong(err, RECORD_NAME, K_NAME);
    /* Immutable data is named by its content, which no record holds. */
    if (n.tier != TAG_TIER_DATA || n.leaf_len > 0) {
        e = name_check_key(&n, r->key);
        if (e < 0)
            return e == -ENOMEM ? e : wrong(err, RECORD_NAME, K_NAME);
    }
    if (n.tier != tag_tier(&r->subject))
        return wrong(err, RECORD_FIELD, K_NAME);
    return check_tag(&r->subject, r->key, K_SUBJECT, err);
}

static int check_delegation(const struct record *r, struct record_error *err)
{
    if (!realm_range_valid(&r->range) || r->range.bits == 0)
        return wrong(err, RECORD_FIELD, K_RANGE);
    if (tag_hda(&r->subject) != TAG_HDA(TAG_TIER_SERVICE, r->range.number))
        return wrong(err, RECORD_FIELD, K_SUBJECT);
    if (check_realm_name(r->name, err) < 0)
        return -EBADMSG;
    return check_tag(&r->subject, r->key, K_SUBJECT, err);
}

static int check_binding(const struct record *r, struct record_error *err)
{
    if (!(kinds[r->kind].subject & TIER(tag_tier(&r->subject))))
        return wrong(err, RECORD_FIELD, K_KIND);
    if (tag_is_label(&r->subject) && r->kind != KIND_SERVICE_ROUTER)
        return wrong(err, RECORD_FIELD, K_SUBJECT);
    if (r->details_len > 0 && r->kind != KIND_SERVICE_ROUTER)
        return wrong(err, RECORD_FIELD, K_DETAILS);
    for (size_t i = 0; i < r->targets_count; i++) {
        const struct record_target *t = &r->targets[i];

        if (!t->is_locator && (!tag_in_prefix(&t->tag) || tag_equal(&t->tag, &r->subject)))
            return wrong(err, RECORD_FIELD, K_TARGETS);
        if (!(kinds[r->kind].target & (t->is_locator ? LOCATOR : TIER(tag_tier(&t->tag)))))
            return wrong(err, RECORD_FIELD, K_TARGETS);
    }
    return 0;
}

static int check_successor(const struct record *r, struct record_error *err)
{
    int e = check_tag(&r->subject, r->old_key, K_SUBJECT, err);

    if (e == 0)
        e = check_tag(&r->next, r->key, K_NEXT, err);
    if (e == 0 && (memcmp(r->subject.bytes, r->next.bytes, 8) != 0 || tag_equal(&r->subject, &r->next)))
        e = wrong(err, RECORD_FIELD, K_NEXT);
    return e;
}

static int check_root(const struct record *r, struct record_error *err)
{
    if (!tag_equal(&r->issuer, &r->subject))
        return wrong(err, RECORD_FIELD, K_ISSUER);
    if (tag_hda(&r->subject) != TAG_HDA(TAG_TIER_SERVICE, 0))
        return wrong(err, RECORD_FIELD, K_SUBJECT);
    if (check_realm_name(r->name, err) < 0)
        return -EBADMSG;
    return check_tag(&r->subject, r->key, K_SUBJECT, err);
}

/* Of this record alone. */
static int check_values(const struct record *r, struct record_error *err)
{
    if (!tag_in_prefix(&r->issuer))
        return wrong(err, RECORD_TAG, K_ISSUER);
    if (!tag_in_prefix(&r->subject))
        return wrong(err, RECORD_TAG, K_SUBJECT);
    if (r->not_after_s && r->not_after_s < r->issued_s)
        return wrong(err, RECORD_FIELD, K_NOT_AFTER);
    switch (r->type) {
    case RECORD_ROOT:
        return check_root(r, err);
    case RECORD_DELEGATION:
        return check_delegation(r, err);
    case RECORD_REGISTRATION:
        return check_registration(r, err);
    case RECORD_BINDING:
        return check_binding(r, err);
    case RECORD_SUCCESSOR:
        return check_successor(r, err);
    default:
        return 0;
    }
}

/* A fault of the encoding, in a payload that begins at byte base. */
static int not_cbor(struct record_error *ret, enum cbor_fault fault, size_t at, unsigned key)
{
    *ret = (struct record_error){ .fault = RECORD_NOT_CBOR, .cbor = fault, .at = at, .key = (uint8_t)key };
    return -EBADMSG;
}

static int read_payload(const struct record_bytes *b, struct record *ret, struct record_error *err)
{
    const size_t base = (size_t)(b->payload - b->bytes);
    struct cbor_reader r = cbor_reader_init(b->payload, b->payload_len);
    size_t item_len = 0, at = 0;
    enum cbor_fault fault = cbor_check(b->payload, b->payload_len, &item_len, &at);
    struct cbor_map m;
    uint32_t seen = 0;
    uint64_t key = 0;

    if (fault != CBOR_SOUND)
        return not_cbor(err, fault, base + at, 0);
    if (item_len < b->payload_len)
        return not_cbor(err, CBOR_TRAILING, base + item_len, 0);
    m = cbor_read_map(&r, K_END);
    while (at = cbor_offset(&r), cbor_map_next(&r, &m, &key)) {
        if (!seen && key == K_TYPE) {
            at = cbor_offset(&r);
            ret->type = (enum record_type)cbor_read_uint(&r, 0, UINT32_MAX);
            if (r.fault == CBOR_SOUND && (ret->type < RECORD_ROOT || ret->type >= RECORD_TYPE_END)) {
                *err = (struct record_error){ .fault = RECORD_TYPE_UNKNOWN, .key = K_TYPE, .at = base + at };
                return -EBADMSG;
            }
        } else if (!seen) {
            return wrong(err, RECORD_KEY_MISSING, K_TYPE);
        } else if (key >= K_END || !((types[ret->type].must | types[ret->type].may) & BIT(key))) {
            *err =
                (struct record_error){ .fault = RECORD_KEY_UNKNOWN, .key = (uint8_t)MIN(key, 255u), .at = base + at };
            return -EBADMSG;
        } else {
            read_value(&r, (unsigned)key, ret);
        }
        seen |= BIT(key);
    }
    if (!cbor_done(&r))
        return not_cbor(err, r.fault, base + r.fault_at, (unsigned)key);
    for (unsigned k = K_TYPE; k < K_END; k++)
        if (!(seen & BIT(k)) && (k == K_TYPE || types[ret->type].must & BIT(k)))
            return wrong(err, RECORD_KEY_MISSING, k);
    return 0;
}

int record_decode(const uint8_t *bytes, size_t len, struct record *ret, struct record_bytes *ret_bytes,
                  struct record_error *ret_error)
{
    struct cbor_reader r = cbor_reader_init(bytes, len);
    struct record_bytes b = { .bytes = bytes, .len = len };
    const uint8_t *header;
    size_t header_len, signature_len;
    int e;

    if (len > RECORD_BYTES_MAX)
        return wrong(ret_error, RECORD_TOO_LARGE, 0);
    cbor_read_array(&r, 4, 4);
    header = cbor_read_bytes(&r, 0, sizeof(protected_header), &header_len);
    cbor_read_map(&r, 0);
    b.payload = cbor_read_bytes(&r, 1, RECORD_BYTES_MAX, &b.payload_len);
    b.signature = cbor_read_bytes(&r, SIGNATURE_LEN, SIGNATURE_LEN, &signature_len);
    if (!cbor_done(&r))
        return not_cbor(ret_error, r.fault, r.fault_at, 0);
    if (header_len != sizeof(protected_header) || memcmp(header, protected_header, header_len) != 0)
        return wrong(ret_error, RECORD_ALGORITHM, 0);
    memset(ret, 0, sizeof(*ret));
    e = read_payload(&b, ret, ret_error);
    if (e == 0)
        e = check_values(ret, ret_error);
    if (e == 0)
        *ret_bytes = b;
    return e;
}

int record_split(const uint8_t *bytes, size_t len, struct slice *ret, size_t *count, struct record_error *ret_error)
{
    size_t n = 0;

    for (size_t at = 0, one, wrong_at = 0; at < len; at += one) {
        enum cbor_fault fault = cbor_check(bytes + at, len - at, &one, &wrong_at);

        if (fault != CBOR_SOUND)
            return not_cbor(ret_error, fault, at + wrong_at, 0);
        if (n == *count) {
            *ret_error = (struct record_error){ .at = at };
            return -E2BIG;
        }
        ret[n++] = (struct slice){ bytes + at, one };
    }
    *count = n;
    return 0;
}

/* --- writing --- */

static void write_target(struct writer *w, const struct record_target *t)
{
    cbor_write_head(w, CBOR_ARRAY, 4);
    if (t->is_locator) {
        cbor_write_head(w, CBOR_ARRAY, 3);
        cbor_write_head(w, CBOR_UINT, t->transport);
        cbor_write_bytes(w, t->locator.addr.bytes, addr_bytes_len(&t->locator.addr));
        cbor_write_head(w, CBOR_UINT, t->locator.port);
    } else {
        cbor_write_bytes(w, t->tag.bytes, sizeof(t->tag.bytes));
    }
    cbor_write_head(w, CBOR_UINT, t->priority);
    cbor_write_head(w, CBOR_UINT, t->weight);
    cbor_write_head(w, CBOR_UINT, t->flags);
}

static void write_rule(struct writer *w, const struct record_rule *r)
{
    cbor_write_head(w, CBOR_ARRAY, 3);
    cbor_write_bytes(w, r->who.tag.bytes, sizeof(r->who.tag.bytes));
    cbor_write_head(w, CBOR_UINT, r->who.len);
    cbor_write_head(w, CBOR_UINT, r->answer);
}

static void write_value(struct writer *w, unsigned key, const struct record *r)
{
    switch (key) {
    case K_TYPE:
        cbor_write_head(w, CBOR_UINT, r->type);
        break;
    case K_ISSUER:
        cbor_write_bytes(w, r->issuer.bytes, sizeof(r->issuer.bytes));
        break;
    case K_SUBJECT:
        cbor_write_bytes(w, r->subject.bytes, sizeof(r->subject.bytes));
        break;
    case K_SEQ:
        cbor_write_head(w, CBOR_UINT, r->seq);
        break;
    case K_ISSUED:
        cbor_write_head(w, CBOR_UINT, r->issued_s);
        break;
    case K_NOT_AFTER:
        cbor_write_head(w, CBOR_UINT, r->not_after_s);
        break;
    case K_KEY:
        cbor_write_bytes(w, r->key, sizeof(r->key));
        break;
    case K_NAME:
        cbor_write_text(w, r->name, strlen(r->name));
        break;
    case K_SUITES:
        cbor_write_head(w, CBOR_UINT, r->suites);
        break;
    case K_RANGE:
        cbor_write_head(w, CBOR_ARRAY, 2);
        cbor_write_head(w, CBOR_UINT, r->range.number);
        cbor_write_head(w, CBOR_UINT, r->range.bits);
        break;
    case K_TIERS:
        cbor_write_head(w, CBOR_UINT, r->tiers);
        break;
    case K_X25519:
        cbor_write_bytes(w, r->x25519, sizeof(r->x25519));
        break;
    case K_FLAGS:
        cbor_write_head(w, CBOR_UINT, r->flags);
        break;
    case K_KIND:
        cbor_write_head(w, CBOR_UINT, r->kind);
        break;
    case K_LEASE:
        cbor_write_head(w, CBOR_UINT, r->lease_s);
        break;
    case K_CLASS:
        cbor_write_head(w, CBOR_UINT, r->answer);
        break;
    case K_TARGETS:
        cbor_write_head(w, CBOR_ARRAY, r->targets_count);
        for (size_t i = 0; i < r->targets_count; i++)
            write_target(w, &r->targets[i]);
        break;
    case K_RULES:
        cbor_write_head(w, CBOR_ARRAY, r->rules_count);
        for (size_t i = 0; i < r->rules_count; i++)
            write_rule(w, &r->rules[i]);
        break;
    case K_REASON:
        cbor_write_head(w, CBOR_UINT, r->reason);
        break;
    case K_NEXT:
        cbor_write_bytes(w, r->next.bytes, sizeof(r->next.bytes));
        break;
    case K_OLD_KEY:
        cbor_write_bytes(w, r->old_key, sizeof(r->old_key));
        break;
    case K_OLD_PROOF:
        cbor_write_bytes(w, r->old_proof, sizeof(r->old_proof));
        break;
    case K_NEW_PROOF:
        cbor_write_bytes(w, r->new_proof, sizeof(r->new_proof));
        break;
    default: /* K_DETAILS */
        cbor_write_bytes(w, r->details, r->details_len);
        break;
    }
}

int record_encode(const struct record *r, const uint8_t ed25519_seed[IDENT_KEY_LEN], uint8_t *out, size_t size,
                  size_t *ret_len)
{
    uint8_t payload[RECORD_BYTES_MAX], message[SIG_STRUCTURE_MAX], signature[SIGNATURE_LEN];
    struct writer w = writer_init(payload, sizeof(payload)), m;
    uint32_t keys, pairs = 0;
    struct record again;
    struct record_bytes again_bytes;
    struct record_error why;
    size_t payload_len;
    int e;

    if (r->type < RECORD_ROOT || r->type >= RECORD_TYPE_END || r->targets_count > RECORD_TARGETS_MAX ||
        r->rules_count > RECORD_RULES_MAX || r->details_len > RECORD_DETAILS_MAX)
        return -EINVAL;
    keys = types[r->type].must;
    if (r->not_after_s)
        keys |= types[r->type].may & BIT(K_NOT_AFTER);
    if (r->details_len)
        keys |= types[r->type].may & BIT(K_DETAILS);
    for (unsigned k = K_TYPE; k < K_END; k++)
        pairs += keys >> k & 1;
    cbor_write_head(&w, CBOR_MAP, pairs);
    for (unsigned k = K_TYPE; k < K_END; k++) {
        if (keys & BIT(k)) {
            cbor_write_head(&w, CBOR_UINT, k);
            write_value(&w, k, r);
        }
    }
    payload_len = writer_len(&w);
    m = sig_structure(message, sizeof(message), payload_len);
    write_bytes(&m, payload, payload_len);
    if (w.failed || m.failed)
        return -ENOSPC;
    e = ed25519_sign(ed25519_seed, message, writer_len(&m), signature);
    if (e < 0)
        return e;
    w = writer_init(out, MIN(size, (size_t)RECORD_BYTES_MAX));
    cbor_write_head(&w, CBOR_ARRAY, 4);
    cbor_write_bytes(&w, protected_header, sizeof(protected_header));
    cbor_write_head(&w, CBOR_MAP, 0);
    cbor_write_bytes(&w, payload, payload_len);
    cbor_write_bytes(&w, signature, sizeof(signature));
    if (w.failed)
        return -ENOSPC;
    /* Nothing is ever signed that a reader would refuse. */
    e = record_decode(out, writer_len(&w), &again, &again_bytes, &why);
    if (e < 0)
        return e == -ENOMEM ? e : -EINVAL;
    *ret_len = writer_len(&w);
    return 0;
}

size_t record_locators(const struct record *r, struct endpoint *ret, size_t max)
{
    bool taken[RECORD_TARGETS_MAX] = { false };
    size_t count = 0;

    for (; count < max; count++) {
        size_t best = r->targets_count;

        for (size_t i = 0; i < r->targets_count; i++)
            if (!taken[i] && r->targets[i].is_locator && r->targets[i].transport == 0 &&
                (best == r->targets_count || r->targets[i].priority < r->targets[best].priority))
                best = i;
        if (best == r->targets_count)
            break;
        taken[best] = true;
        ret[count] = r->targets[best].locator;
    }
    return count;
}

/* --- succession --- */

static const char successor_label[] = "hawser successor v1"; /* its NUL is signed too */

#define SUCCESSION_LEN (sizeof(successor_label) + 2 * 16 + 2 * IDENT_KEY_LEN)

static void succession(const struct record *r, uint8_t out[SUCCESSION_LEN])
{
    struct writer w = writer_init(out, SUCCESSION_LEN);

    write_bytes(&w, successor_label, sizeof(successor_label));
    write_bytes(&w, r->subject.bytes, sizeof(r->subject.bytes));
    write_bytes(&w, r->next.bytes, sizeof(r->next.bytes));
    write_bytes(&w, r->old_key, IDENT_KEY_LEN);
    write_bytes(&w, r->key, IDENT_KEY_LEN);
}

int successor_prove(const struct record *r, const uint8_t ed25519_seed[IDENT_KEY_LEN], uint8_t ret_proof[SIGNATURE_LEN])
{
    uint8_t message[SUCCESSION_LEN];

    succession(r, message);
    return ed25519_sign(ed25519_seed, message, sizeof(message), ret_proof);
}

int successor_verify(const struct record *r)
{
    uint8_t message[SUCCESSION_LEN];
    int e;

    succession(r, message);
    e = ed25519_verify(r->old_key, message, sizeof(message), r->old_proof);
    return e < 0 ? e : ed25519_verify(r->key, message, sizeof(message), r->new_proof);
}
