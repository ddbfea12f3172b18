/* mapping/bindings.c - see bindings.h.
 *
 * Theory of operation. Rows stand in chunks that never move, and are known by their number, which the index gives. The
 * record itself is one allocation of its own length. Rows that are free hang in a list through the link that their
 * lease would use. A lease that ends frees the record and leaves the row with its sequence; such rows hang in a list
 * until bindings_pop_expired has told them, and then in another, by their age, from whose head they are forgotten when
 * there is no room for others.
 *
 * What is forgotten leaves a floor, the highest sequence of those that were: nobody who is not in the table is taken at
 * or below it. There are FLOORS of them, so that one whose holder counts fast is that of few others; which, nobody can
 * choose, since a keyed hash says. A sequence above SEQ_FORGOTTEN_MAX is none that anybody comes to by counting boots:
 * such a row is never forgotten for others, or its floor would shut out whoever shares it. Labels have floors of their
 * own and are always forgotten: there may be as many as somebody makes up, and how high they count their manager sees
 * to (manager_bind.c).
 *
 * Memory: a row is 80 bytes, its place in the hash 6 to 12, and the record its bytes and 16 of the allocator: 1,000,000
 * bindings of 200 bytes are some 300 MB. Rows whose lease is over cost some 80.
 *
 * Limits: as given, at most 2^31 rows; the floors are 64 KiB. */
#include "mapping/bindings.h"

#include "base/hash.h"
#include "mapping/index.h"
#include "mapping/wheel.h"

#include <errno.h>

#define CHUNK_ROWS 4096u
#define CHUNKS_MAX (1u << 19) /* of CHUNK_ROWS: 2^31 rows */

#define FLOORS 4096u                   /* chosen: a power of two; of a million rows 244 share one */
#define SEQ_FORGOTTEN_MAX (1ull << 60) /* chosen: 2^28 boots */

enum listed { LISTED_NOWHERE, LISTED_ENDED, LISTED_OVER };

struct row {
    struct wheel_link lease; /* next and before: also of free rows, and of the lists of those whose lease is over */
    struct index_key key;
    uint16_t len;
    uint8_t listed;     /* enum listed */
    uint8_t pace;       /* enum binding_pace, of the last move */
    uint32_t changed_s; /* when that was, since the wheel's start */
    uint64_t seq;
    union {
        uint64_t peer;
        uint64_t issuer; /* of a label: the hash in the issuer's tag */
    };
    instant expires;
    uint8_t *bytes;    /* owned; NULL: the lease is over */
    uint8_t digest[8]; /* of the record: whether another comes under the same sequence */
};

/* By the rows' links, the oldest first. */
struct row_list {
    uint32_t head, tail; /* WHEEL_NONE: empty */
};

struct bindings {
    struct index index;
    uint8_t digest_key[16];
    struct row **chunks;
    uint32_t chunks_count, rows_made;
    uint32_t live, max;
    uint32_t free_head;
    struct row_list lists[3];   /* by enum listed: to be told as expired; over and told */
    uint64_t floors[2][FLOORS]; /* of labels: the second */
    uint32_t labels;            /* whose lease runs */
    struct map64 issuers;       /* of these: how many each has, as a pointer */
    size_t bytes_used;
    struct wheel wheel;
};

static struct row *row_at(const struct bindings *b, uint32_t n)
{
    return &b->chunks[n / CHUNK_ROWS][n % CHUNK_ROWS];
}

static const struct index_key *key_of(const void *owner, uint32_t n)
{
    return &row_at(owner, n)->key;
}

static struct wheel_link *link_of(void *owner, uint32_t n)
{
    return &row_at(owner, n)->lease;
}

struct bindings *bindings_new(uint32_t max, const struct rng *rng, instant now)
{
    struct bindings *b = calloc(1, sizeof(*b));

    if (!b)
        return NULL;
    b->max = MIN(max, CHUNK_ROWS * CHUNKS_MAX);
    b->free_head = WHEEL_NONE;
    for (size_t i = 0; i < ARRAY_LEN(b->lists); i++)
        b->lists[i] = (struct row_list){ WHEEL_NONE, WHEEL_NONE };
    index_init(&b->index, rng, key_of, b);
    map64_init(&b->issuers, b->max, rng_u64(rng));
    rng_fill(rng, b->digest_key, sizeof(b->digest_key));
    wheel_init(&b->wheel, now, link_of, b);
    return b;
}

void bindings_free(struct bindings *b)
{
    if (!b)
        return;
    for (uint32_t n = 0; n < b->rows_made; n++)
        free(row_at(b, n)->bytes);
    for (uint32_t i = 0; i < b->chunks_count; i++)
        free(b->chunks[i]);
    free(b->chunks);
    index_deinit(&b->index);
    map64_deinit(&b->issuers);
    free(b);
}

static struct row *find(const struct bindings *b, const struct tag *subject, uint8_t kind, uint8_t answer,
                        uint32_t *ret_n)
{
    *ret_n = index_find(&b->index, &(struct index_key){ *subject, kind, answer });
    return *ret_n == INDEX_NONE ? NULL : row_at(b, *ret_n);
}

/* --- rows --- */

static int grow_rows(struct bindings *b)
{
    struct row **chunks = realloc(b->chunks, (b->chunks_count + 1) * sizeof(*chunks));
    struct row *chunk = chunks ? malloc(CHUNK_ROWS * sizeof(*chunk)) : NULL;

    if (chunks)
        b->chunks = chunks;
    if (!chunk)
        return -ENOMEM;
    b->chunks[b->chunks_count++] = chunk;
    return 0;
}

static void list_row(struct bindings *b, uint32_t n, enum listed where)
{
    struct row_list *l = &b->lists[where];
    struct row *r = row_at(b, n);

    r->listed = (uint8_t)where;
    r->lease.next = WHEEL_NONE;
    r->lease.before = l->tail;
    if (l->tail == WHEEL_NONE)
        l->head = n;
    else
        row_at(b, l->tail)->lease.next = n;
    l->tail = n;
}

/* Its lease begins anew, or it is forgotten, or goes to another list. */
static void unlist_row(struct bindings *b, uint32_t n)
{
    struct row *r = row_at(b, n);
    struct row_list *l = &b->lists[r->listed];

    if (r->listed == LISTED_NOWHERE)
        return;
    if (r->lease.before == WHEEL_NONE)
        l->head = r->lease.next;
    else
        row_at(b, r->lease.before)->lease.next = r->lease.next;
    if (r->lease.next == WHEEL_NONE)
        l->tail = r->lease.before;
    else
        row_at(b, r->lease.next)->lease.before = r->lease.before;
    r->listed = LISTED_NOWHERE;
    wheel_link_init(&r->lease);
}

/* May what is forgotten leave that sequence as a floor? */
static bool is_forgotten(const struct index_key *key, uint64_t seq)
{
    return tag_is_label(&key->subject) || seq <= SEQ_FORGOTTEN_MAX;
}

/* One that has been told. */
static void tell(struct bindings *b, uint32_t n)
{
    unlist_row(b, n);
    if (is_forgotten(&row_at(b, n)->key, row_at(b, n)->seq))
        list_row(b, n, LISTED_OVER);
}

static uint64_t *floor_of(struct bindings *b, const struct index_key *key)
{
    uint8_t bytes[sizeof(key->subject.bytes) + 2];

    memcpy(bytes, key->subject.bytes, sizeof(key->subject.bytes));
    bytes[sizeof(bytes) - 2] = key->kind;
    bytes[sizeof(bytes) - 1] = key->answer;
    return &b->floors[tag_is_label(&key->subject)][siphash13(b->digest_key, bytes, sizeof(bytes)) % FLOORS];
}

static void free_row(struct bindings *b, uint32_t n)
{
    struct row *r = row_at(b, n);

    index_remove(&b->index, n);
    r->seq = 0;
    r->lease.next = b->free_head;
    b->free_head = n;
}

/* Whoever comes without a row is above that sequence from now on. */
static void raise_floor(struct bindings *b, const struct index_key *key, uint64_t seq)
{
    uint64_t *floor = floor_of(b, key);

    if (is_forgotten(key, seq))
        *floor = MAX(*floor, seq);
}

/* Makes room by the oldest row whose lease is over. False: there is none. */
static bool forget_oldest(struct bindings *b)
{
    uint32_t n = b->lists[LISTED_OVER].head;

    if (n == WHEEL_NONE)
        return false;
    raise_floor(b, &row_at(b, n)->key, row_at(b, n)->seq);
    unlist_row(b, n);
    free_row(b, n);
    return true;
}

/* A new row in the hash. 0, -ENOSPC or -ENOMEM. */
static int make_row(struct bindings *b, const struct record *rec, uint32_t *ret)
{
    uint32_t n, next;
    struct row *r;
    int e;

    if (b->index.rows_count == b->max && !forget_oldest(b))
        return -ENOSPC;
    n = b->free_head;
    if (n == WHEEL_NONE) {
        if (b->rows_made == b->chunks_count * CHUNK_ROWS && (e = grow_rows(b)) < 0)
            return e;
        n = b->rows_made;
    }
    r = row_at(b, n);
    next = n == b->rows_made ? WHEEL_NONE : r->lease.next;
    *r = (struct row){ .key = { rec->subject, rec->kind, rec->answer } };
    wheel_link_init(&r->lease);
    e = index_add(&b->index, n);
    if (e < 0) {
        r->lease.next = next; /* free as it was */
        return e;
    }
    if (n == b->rows_made)
        b->rows_made++;
    else
        b->free_head = next;
    *ret = n;
    return 0;
}

/* --- labels --- */

static uint64_t issuer_of(const struct record *r)
{
    return get_be64(r->issuer.bytes + 8);
}

static uint32_t labels_of(const struct bindings *b, uint64_t issuer)
{
    return (uint32_t)(uintptr_t)map64_get(&b->issuers, issuer);
}

/* May the issuer have that row, which is of a label? */
static bool has_quota(const struct bindings *b, const struct row *row, uint64_t issuer)
{
    const bool runs = row && row->bytes;

    if (!runs && b->labels >= MAX(b->max / BINDINGS_LABELS_SHARE, 1u))
        return false;
    return (runs && row->issuer == issuer) || labels_of(b, issuer) < MAX(b->max / BINDINGS_ISSUER_SHARE, 1u);
}

/* The issuer has one more. 0 or -ENOMEM. */
static int count_label(struct bindings *b, uint64_t issuer)
{
    int e = map64_put(&b->issuers, issuer, (void *)((uintptr_t)labels_of(b, issuer) + 1));

    b->labels += e == 0;
    return e;
}

static void uncount_label(struct bindings *b, uint64_t issuer)
{
    uint32_t count = labels_of(b, issuer);

    b->labels--;
    if (count < 2 || map64_put(&b->issuers, issuer, (void *)((uintptr_t)count - 1)) < 0) /* never: it is there */
        map64_remove(&b->issuers, issuer);
}

static uint32_t lease_max_s(const struct row *r)
{
    return tag_is_label(&r->key.subject) ? BINDINGS_LABEL_LEASE_MAX_S : BINDINGS_LEASE_MAX_S;
}

static void drop_bytes(struct bindings *b, struct row *r)
{
    if (!r->bytes)
        return;
    if (tag_is_label(&r->key.subject))
        uncount_label(b, r->issuer);
    b->bytes_used -= r->len;
    b->live--;
    free(r->bytes);
    r->bytes = NULL;
    r->len = 0;
}

static void start_lease(struct bindings *b, uint32_t n, uint32_t lease_s, instant now)
{
    struct row *r = row_at(b, n);

    r->expires = now + (instant)MIN(lease_s, BINDINGS_LEASE_MAX_S) * SEC;
    wheel_start(&b->wheel, n, r->expires);
}

static uint32_t seconds_of(const struct bindings *b, instant now)
{
    return (uint32_t)(MAX(now - b->wheel.start, 0) / SEC);
}

static uint8_t pace_of(const struct bindings *b, const struct row *r, instant now)
{
    uint32_t still_s = (seconds_of(b, now) - r->changed_s) / 10;

    if (r->pace == PACE_MOBILE && still_s < BINDINGS_MOBILE_S)
        return PACE_MOBILE;
    return r->pace != PACE_SETTLED && still_s < BINDINGS_ROAMING_S ? PACE_ROAMING : PACE_SETTLED;
}

/* A record takes the place of another whose lease was not over: who is attached has moved. */
static void note_move(const struct bindings *b, struct row *r, instant now)
{
    uint32_t at_s = seconds_of(b, now), after_s = at_s - r->changed_s;

    r->pace = after_s < BINDINGS_MOBILE_S ? PACE_MOBILE : after_s < BINDINGS_ROAMING_S ? PACE_ROAMING : PACE_SETTLED;
    r->changed_s = at_s;
}

static void view(const struct bindings *b, const struct row *r, instant now, struct binding *ret)
{
    *ret = (struct binding){ .subject = r->key.subject,
                             .peer = tag_is_label(&r->key.subject) ? 0 : r->peer,
                             .kind = r->key.kind,
                             .answer = r->key.answer,
                             .seq = r->seq,
                             .expires = r->expires,
                             .bytes = r->bytes,
                             .len = r->len,
                             .pace = pace_of(b, r, now) };
}

/* --- doors --- */

static int put(struct bindings *b, const struct record *r, const uint8_t *bytes, size_t len, bool followed, instant now,
               uint64_t *ret_seq)
{
    const bool label = tag_is_label(&r->subject);
    bool again;
    uint8_t digest[8], *copy;
    uint32_t n;
    struct row *row = find(b, &r->subject, r->kind, r->answer, &n);
    uint64_t newest;
    int e;

    put_be64(digest, siphash13(b->digest_key, bytes, len));
    if (row && r->seq == row->seq && row->bytes && memcmp(digest, row->digest, sizeof(digest)) == 0 && len == row->len)
        return BINDING_SAME;
    newest = row ? row->seq : *floor_of(b, &(struct index_key){ r->subject, r->kind, r->answer });
    again = followed && row && r->seq == row->seq && !row->bytes &&
            (memcmp(digest, row->digest, sizeof(digest)) == 0 || get_be64(row->digest) == 0);
    if (r->seq <= newest && !again) {
        if (ret_seq)
            *ret_seq = newest;
        return BINDING_OLDER;
    }
    if (len > RECORD_BYTES_MAX)
        return -EINVAL;
    if (label && !followed && !has_quota(b, row, issuer_of(r)))
        return -EDQUOT;
    copy = malloc(len);
    e = !copy ? -ENOMEM : label ? count_label(b, issuer_of(r)) : 0;
    if (e == 0 && !row) {
        e = make_row(b, r, &n);
        if (e < 0 && label)
            uncount_label(b, issuer_of(r));
    }
    if (e < 0) {
        free(copy);
        return e;
    }
    if (!row) {
        row = row_at(b, n);
        row->pace = PACE_SETTLED;
        row->changed_s = seconds_of(b, now);
    } else if (row->bytes) {
        note_move(b, row, now);
    }
    unlist_row(b, n);
    drop_bytes(b, row);
    memcpy(copy, bytes, len);
    memcpy(row->digest, digest, sizeof(digest));
    row->bytes = copy;
    row->len = (uint16_t)len;
    row->seq = r->seq;
    if (label)
        row->issuer = issuer_of(r);
    b->bytes_used += len;
    b->live++;
    start_lease(b, n, MIN(r->lease_s, lease_max_s(row)), now);
    return BINDING_STORED;
}

int bindings_put(struct bindings *b, const struct record *r, const uint8_t *bytes, size_t len, instant now,
                 uint64_t *ret_seq)
{
    return put(b, r, bytes, len, false, now, ret_seq);
}

int bindings_follow(struct bindings *b, const struct record *r, const uint8_t *bytes, size_t len, instant now,
                    uint64_t *ret_seq)
{
    int e = put(b, r, bytes, len, true, now, ret_seq);
    uint32_t n;

    if (e >= 0 && e != BINDING_OLDER && find(b, &r->subject, r->kind, r->answer, &n))
        start_lease(b, n, BINDINGS_LEASE_MAX_S, now);
    return e;
}

void bindings_set_pace(struct bindings *b, const struct tag *subject, uint8_t kind, uint8_t answer,
                       enum binding_pace pace, instant now)
{
    uint32_t n;
    struct row *r = find(b, subject, kind, answer, &n);

    if (!r || pace_of(b, r, now) <= pace)
        return;
    r->pace = (uint8_t)pace;
    r->changed_s = seconds_of(b, now);
}

bool bindings_end(struct bindings *b, const struct tag *subject, uint8_t kind, uint8_t answer, uint64_t seq)
{
    uint32_t n;
    struct row *r = find(b, subject, kind, answer, &n);

    if (!r || r->seq > seq)
        return false;
    if (r->seq < seq) /* of a record that was never here */
        memset(r->digest, 0, sizeof(r->digest));
    r->seq = seq;
    if (!r->bytes)
        return false;
    drop_bytes(b, r);
    wheel_stop(&b->wheel, n);
    tell(b, n);
    return true;
}

int bindings_load(struct bindings *b, const struct tag *subject, uint8_t kind, uint8_t answer, uint64_t seq,
                  const uint8_t *bytes, size_t len, instant expires, instant now)
{
    struct record r = { .subject = *subject, .kind = kind, .answer = answer };
    const bool label = tag_is_label(subject) && len > 0;
    struct record_error why;
    struct record_bytes rb;
    const bool full = b->index.rows_count == b->max;
    uint8_t *copy = NULL;
    struct row *row;
    uint32_t n;
    int e;

    if (find(b, subject, kind, answer, &n))
        return -EEXIST;
    if (len > RECORD_BYTES_MAX)
        return -EINVAL;
    if (label && record_decode(bytes, len, &r, &rb, &why) < 0)
        return -EINVAL;
    if (len > 0 && !(copy = malloc(len)))
        return -ENOMEM;
    if (label && (e = count_label(b, issuer_of(&r))) < 0) {
        free(copy);
        return e;
    }
    /* A lease that runs takes the place of one that is over, and not the other way round. */
    e = full && !copy ? -ENOSPC : make_row(b, &r, &n);
    if (e < 0) {
        if (e == -ENOSPC)
            raise_floor(b, &(struct index_key){ *subject, kind, answer }, seq);
        if (label)
            uncount_label(b, issuer_of(&r));
        free(copy);
        return e;
    }
    row = row_at(b, n);
    row->pace = PACE_SETTLED;
    row->changed_s = seconds_of(b, now);
    row->seq = seq;
    if (!copy) {
        tell(b, n);
        return 0;
    }
    memcpy(copy, bytes, len);
    put_be64(row->digest, siphash13(b->digest_key, bytes, len));
    row->bytes = copy;
    row->len = (uint16_t)len;
    if (label)
        row->issuer = issuer_of(&r);
    b->bytes_used += len;
    b->live++;
    row->expires = MIN(expires, now + (instant)lease_max_s(row) * SEC);
    wheel_start(&b->wheel, n, row->expires);
    return 0;
}

int bindings_refresh(struct bindings *b, const struct tag *subject, uint8_t kind, uint8_t answer, uint64_t seq,
                     uint32_t lease_s, instant now)
{
    uint32_t n;
    const struct row *r = find(b, subject, kind, answer, &n);

    if (!r || !r->bytes)
        return -ENOENT;
    if (r->seq != seq)
        return -ESTALE;
    start_lease(b, n, MIN(lease_s, lease_max_s(r)), now);
    return 0;
}

bool bindings_set_peer(struct bindings *b, const struct tag *subject, uint8_t kind, uint8_t answer, uint64_t peer)
{
    uint32_t n;
    struct row *r = find(b, subject, kind, answer, &n);

    if (r && !tag_is_label(subject))
        r->peer = peer;
    return r != NULL;
}

int bindings_find(const struct bindings *b, const struct tag *subject, uint8_t kind, uint8_t answer, instant now,
                  struct binding *ret)
{
    for (uint8_t c = answer; c > CLASS_DENY; c--) {
        uint32_t n;
        const struct row *r = find(b, subject, kind, c, &n);

        /* The wheel turns in seconds; a lease ends when it ends. */
        if (r && r->bytes && r->expires > now) {
            view(b, r, now, ret);
            return 0;
        }
    }
    return -ENOENT;
}

uint32_t bindings_foresee(const struct bindings *b, const struct tag *subject, uint8_t kind, uint8_t answer)
{
    return index_foresee(&b->index, &(struct index_key){ *subject, kind, answer });
}

uint32_t bindings_foresee_row(const struct bindings *b, uint32_t hash)
{
    uint32_t n = index_foresee_row(&b->index, hash);

    if (n != INDEX_NONE)
        fetch_ahead(row_at(b, n), sizeof(struct row));
    return n;
}

void bindings_foresee_record(const struct bindings *b, uint32_t row)
{
    const struct row *r = row != INDEX_NONE ? row_at(b, row) : NULL;

    if (r && r->bytes)
        fetch_ahead(r->bytes, r->len);
}

int bindings_get(const struct bindings *b, const struct tag *subject, uint8_t kind, uint8_t answer, instant now,
                 struct binding *ret)
{
    uint32_t n;
    const struct row *r = find(b, subject, kind, answer, &n);

    if (!r)
        return -ENOENT;
    view(b, r, now, ret);
    return 0;
}

bool bindings_next(const struct bindings *b, uint32_t *at, uint32_t *budget, instant now, struct binding *ret)
{
    while (*at<b->rows_made && * budget> 0) {
        const struct row *r = row_at(b, (*at)++);

        --*budget;
        if (r->bytes && r->expires > now) { /* free rows have none */
            view(b, r, now, ret);
            return true;
        }
    }
    return false;
}

bool bindings_next_kept(const struct bindings *b, uint32_t *at, uint32_t *budget, instant now, struct binding *ret)
{
    while (*at<b->rows_made && * budget> 0) {
        const struct row *r = row_at(b, (*at)++);

        --*budget;
        if (r->bytes || r->seq > 0) { /* a free row has neither */
            view(b, r, now, ret);
            return true;
        }
    }
    return false;
}

void bindings_forget(struct bindings *b, const struct tag *subject)
{
    for (unsigned kind = 0; kind < KIND_COUNT; kind++) {
        for (unsigned answer = CLASS_AGENT; answer <= CLASS_FULL; answer++) {
            uint32_t n;
            struct row *r = find(b, subject, (uint8_t)kind, (uint8_t)answer, &n);

            if (!r)
                continue;
            unlist_row(b, n);
            wheel_stop(&b->wheel, n);
            drop_bytes(b, r);
            free_row(b, n);
        }
    }
}

instant bindings_next_expiry(const struct bindings *b)
{
    return wheel_next(&b->wheel);
}

void bindings_on_expiry(struct bindings *b, instant now)
{
    uint32_t budget = BINDINGS_EXPIRY_BATCH, n;

    /* Who was not told of an end by now does not want to know. */
    while (b->lists[LISTED_ENDED].head != WHEEL_NONE)
        tell(b, b->lists[LISTED_ENDED].head);
    while ((n = wheel_pop(&b->wheel, now, &budget)) != WHEEL_NONE) {
        drop_bytes(b, row_at(b, n));
        list_row(b, n, LISTED_ENDED);
    }
}

bool bindings_pop_expired(struct bindings *b, struct binding *ret)
{
    uint32_t n = b->lists[LISTED_ENDED].head;

    if (n == WHEEL_NONE)
        return false;
    tell(b, n);
    view(b, row_at(b, n), row_at(b, n)->expires, ret);
    return true;
}

uint32_t bindings_count(const struct bindings *b)
{
    return b->index.rows_count;
}

uint32_t bindings_live(const struct bindings *b)
{
    return b->live;
}

size_t bindings_memory(const struct bindings *b)
{
    return sizeof(*b) + b->chunks_count * (sizeof(struct row *) + CHUNK_ROWS * sizeof(struct row)) +
           b->index.slots_count * sizeof(*b->index.slots) + b->issuers.capacity * sizeof(struct map64_slot) +
           b->bytes_used;
}
