/* sys/lmdb_check.c - see lmdb_check.h.
 *
 * Theory of operation. Pages 0 and 1 are meta pages, of which the one with the higher transaction counts; the other is
 * of the one before. It has the roots of two trees, the free list and the tables, and the number of the last page. In
 * the tree of tables each value is the root of a tree. Every page of every tree is visited once: its number, kind and
 * bounds, that its nodes are inside it and fill just what it says is used, that keys rise from the first to the last
 * and fit what the branches say of them, that overflow pages are there; and at the end that depth and counts are those
 * that the root tells. A bit for each page of the file finds one that is used twice, the free list's included, which
 * LMDB would write over.
 *
 *   page   u64 number | u16 - | u16 flags | u16 lower | u16 upper   (overflow: u32 pages in the place of the last two)
 *   node   u16 | u16 | u16 flags | u16 length of key | key | data; the first three: the page of a branch, the length of
 *          data and flags of a leaf
 *   table  u32 - | u16 flags | u16 depth | u64 branches | u64 leaves | u64 overflow pages | u64 entries | u64 root
 *   meta   page | u32 magic | u32 version | u64 - | u64 - | 2 tables | u64 last page | u64 transaction
 *
 * Limits: duplicate keys (DUPSORT) are not known and are told as damage. Sources: the format as LMDB 0.9.24 writes it.
 */
#include "sys/lmdb_check.h"

#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>

#define MAGIC 0xbeefc0deu
#define FORMAT 1u
#define PAGE_MIN 512u
#define PAGE_MAX 65536u
#define PAGE_HEAD 16u
#define META_HEAD (PAGE_HEAD + 24u)
#define META_LEN (META_HEAD + 2 * TABLE_LEN + 16u)
#define TABLE_LEN 48u
#define NODE_HEAD 8u
#define NO_PAGE UINT64_MAX
#define UNWRITTEN_MAX (1u << 17) /* pages that LMDB takes in one transaction: some of the last may be free again */
#define IS_BRANCH 0x01u
#define IS_LEAF 0x02u
#define IS_OVERFLOW 0x04u
#define IS_META 0x08u
#define NODE_BIG 0x01u   /* its data are overflow pages */
#define NODE_TABLE 0x02u /* its data are a table */
#define INTEGER_KEYS 0x08u
#define DB_FLAGS 0xffu /* above them LMDB keeps flags of the whole file */

enum tree { TREE_FREE, TREE_TABLES, TREE_NAMED };

struct table {
    uint16_t flags, depth;
    uint64_t branches, leaves, overflows, entries, root;
};

struct check {
    const uint8_t *file;
    uint64_t pages; /* that are whole in the file */
    uint32_t page_size;
    uint64_t last_page;
    uint8_t *used; /* a bit a page */
    char *err;
    size_t err_size;
    /* Of the tree that is walked. */
    enum tree tree;
    struct table found;
    const uint8_t *key; /* the last one; NULL: none yet */
    size_t key_len;
    bool key_is_bound; /* of a branch: the next one may be equal */
    struct table named[LMDB_CHECK_DBS_MAX];
    unsigned named_count;
};

static uint16_t get16(const uint8_t *p)
{
    uint16_t v;

    memcpy(&v, p, sizeof(v));
    return v;
}

static uint32_t get32(const uint8_t *p)
{
    uint32_t v;

    memcpy(&v, p, sizeof(v));
    return v;
}

static int bad(struct check *c, uint64_t page, const char *fmt, ...) PRINTF_LIKE(3, 4);
static int bad(struct check *c, uint64_t page, const char *fmt, ...)
{
    va_list args;
    int n = snprintf(c->err, c->err_size, "page %" PRIu64 ": ", page);

    if (n >= 0 && (size_t)n < c->err_size) {
        va_start(args, fmt);
        vsnprintf(c->err + n, c->err_size - (size_t)n, fmt, args);
        va_end(args);
    }
    return -EBADMSG;
}

static struct table table_at(const uint8_t *p)
{
    return (struct table){ .flags = get16(p + 4),
                           .depth = get16(p + 6),
                           .branches = get_le64(p + 8),
                           .leaves = get_le64(p + 16),
                           .overflows = get_le64(p + 24),
                           .entries = get_le64(p + 32),
                           .root = get_le64(p + 40) };
}

/* Marks count pages as used. 0, or they are not there or used already. */
static int use(struct check *c, uint64_t page, uint64_t count, uint64_t from)
{
    if (page < 2 || count > c->pages || page > c->pages - count || page + count - 1 > c->last_page)
        return bad(c, from, "refers to page %" PRIu64 " of %" PRIu64 ", expected one that is there", page,
                   MIN(c->pages, c->last_page + 1));
    for (uint64_t i = page; i < page + count; i++) {
        if (c->used[i / 8] >> i % 8 & 1)
            return bad(c, from, "refers to page %" PRIu64 ", which is used already", i);
        c->used[i / 8] |= (uint8_t)(1u << i % 8);
    }
    return 0;
}

static int compare(const struct check *c, const uint8_t *a, size_t a_len, const uint8_t *b, size_t b_len)
{
    int r;

    if (c->tree == TREE_FREE) {
        uint64_t x = get_le64(a), y = get_le64(b);

        return x < y ? -1 : x > y;
    }
    r = memcmp(a, b, MIN(a_len, b_len));
    return r != 0 ? r : a_len < b_len ? -1 : a_len > b_len;
}

/* The next key in the tree's order, of a leaf or what a branch says of those behind it. */
static int next_key(struct check *c, uint64_t page, const uint8_t *key, size_t len, bool is_bound)
{
    if (c->tree == TREE_FREE && len != 8)
        return bad(c, page, "a key of the free list is of %zu bytes, expected 8", len);
    if (c->key) {
        int r = compare(c, c->key, c->key_len, key, len);

        if (r > 0 || (r == 0 && !c->key_is_bound))
            return bad(c, page, "keys are not in order");
    }
    c->key = key;
    c->key_len = len;
    c->key_is_bound = is_bound;
    return 0;
}

/* An entry of the free list: a count, and pages. */
static int check_free(struct check *c, uint64_t page, const uint8_t *data, uint64_t len)
{
    uint64_t count;

    if (len < 8 || (count = get_le64(data)) > len / 8 - 1)
        return bad(c, page, "an entry of the free list is shorter than it says");
    for (uint64_t i = 1; i <= count; i++) {
        uint64_t free_page = get_le64(data + 8 * i);
        int r = 0;

        if (free_page < 2 || free_page > c->last_page)
            return bad(c, page, "page %" PRIu64 " is free, expected one of 2 to %" PRIu64, free_page, c->last_page);
        if (free_page < c->pages) /* one at the end may never have been written */
            r = use(c, free_page, 1, page);
        if (r < 0)
            return r;
    }
    return 0;
}

static int check_value(struct check *c, uint64_t page, const uint8_t *data, uint64_t len, uint16_t flags)
{
    if (c->tree == TREE_FREE)
        return check_free(c, page, data, len);
    if ((flags & NODE_TABLE) != (c->tree == TREE_TABLES ? NODE_TABLE : 0))
        return bad(c, page, "a value is a table where none is expected, or none where one is");
    if (c->tree != TREE_TABLES)
        return 0;
    if (len != TABLE_LEN)
        return bad(c, page, "a table is of %" PRIu64 " bytes, expected %u", len, TABLE_LEN);
    if (c->named_count == LMDB_CHECK_DBS_MAX)
        return bad(c, page, "more than %u tables", LMDB_CHECK_DBS_MAX);
    c->named[c->named_count] = table_at(data);
    if (c->named[c->named_count].flags != 0)
        return bad(c, page, "a table has flags %#x, expected none", c->named[c->named_count].flags);
    c->named_count++;
    return 0;
}

/* A value in pages of its own. */
static int check_big(struct check *c, uint64_t page, const uint8_t *data, uint64_t len, uint16_t flags)
{
    uint64_t first = get_le64(data), count = (PAGE_HEAD - 1 + len) / c->page_size + 1;
    const uint8_t *p;
    int r = use(c, first, count, page);

    if (r < 0)
        return r;
    p = c->file + first * c->page_size;
    if (get_le64(p) != first || get16(p + 10) != IS_OVERFLOW || get32(p + 12) != count)
        return bad(c, first, "expected the first of %" PRIu64 " overflow pages", count);
    c->found.overflows += count;
    return check_value(c, page, p + PAGE_HEAD, len, flags);
}

static int walk(struct check *c, uint64_t page, uint64_t from, unsigned depth);

/* Node i of a page, at offset `at`. *ret_size is what it takes. */
static int check_node(struct check *c, uint64_t page, unsigned i, size_t at, bool is_leaf, unsigned depth,
                      size_t *ret_size)
{
    const uint8_t *node = c->file + page * c->page_size + at;
    size_t room = c->page_size - at, key_len, held;
    uint64_t data_len, child;
    uint16_t flags;
    int r = 0;

    key_len = get16(node + 6);
    if (key_len > room - NODE_HEAD)
        return bad(c, page, "node %u: its key ends outside the page", i);
    *ret_size = NODE_HEAD + key_len;
    if (!is_leaf) {
        child = get16(node) | (uint64_t)get16(node + 2) << 16 | (uint64_t)get16(node + 4) << 32;
        if (i > 0) /* the first one's key is not used */
            r = next_key(c, page, node + NODE_HEAD, key_len, true);
        return r < 0 ? r : walk(c, child, page, depth + 1);
    }
    flags = get16(node + 4);
    data_len = get16(node) | (uint64_t)get16(node + 2) << 16;
    held = flags & NODE_BIG ? 8 : (size_t)data_len;
    if (flags & (uint16_t) ~(NODE_BIG | NODE_TABLE) || held > room - NODE_HEAD - key_len)
        return bad(c, page, "node %u: flags %#x and %" PRIu64 " bytes, expected what fits the page", i, flags,
                   data_len);
    *ret_size += held;
    r = next_key(c, page, node + NODE_HEAD, key_len, false);
    if (r < 0)
        return r;
    c->found.entries++;
    return flags & NODE_BIG ? check_big(c, page, node + NODE_HEAD + key_len, data_len, flags)
                            : check_value(c, page, node + NODE_HEAD + key_len, data_len, flags);
}

/* A page of a tree, and all below it. */
static int walk(struct check *c, uint64_t page, uint64_t from, unsigned depth)
{
    const uint8_t *p;
    unsigned lower, upper, nodes;
    size_t sum = 0;
    bool is_leaf;
    int r = use(c, page, 1, from);

    if (r < 0)
        return r;
    p = c->file + page * c->page_size;
    if (get_le64(p) != page)
        return bad(c, page, "its number is %" PRIu64, get_le64(p));
    is_leaf = get16(p + 10) == IS_LEAF;
    if (!is_leaf && get16(p + 10) != IS_BRANCH)
        return bad(c, page, "flags %#x, expected a branch or a leaf", get16(p + 10));
    if (depth > LMDB_CHECK_DEPTH_MAX)
        return bad(c, page, "deeper than %u", LMDB_CHECK_DEPTH_MAX);
    if (is_leaf) {
        c->found.leaves++;
        if (c->found.depth == 0)
            c->found.depth = (uint16_t)depth;
        if (c->found.depth != depth)
            return bad(c, page, "a leaf at depth %u, the first is at %u", depth, c->found.depth);
    } else {
        c->found.branches++;
    }
    lower = get16(p + 12);
    upper = get16(p + 14);
    if (lower < PAGE_HEAD || lower % 2 || lower > upper || upper > c->page_size)
        return bad(c, page, "used to %u and from %u, expected inside %u", lower, upper, c->page_size);
    nodes = (lower - PAGE_HEAD) / 2;
    if (nodes < (is_leaf || c->tree == TREE_FREE ? 1u : 2u))
        return bad(c, page, "%u nodes, expected more", nodes);
    for (unsigned i = 0; i < nodes; i++) {
        size_t at = get16(p + PAGE_HEAD + (size_t)2 * i), size = 0;

        if (at % 2 || at < upper || at + NODE_HEAD > c->page_size)
            return bad(c, page, "node %u is at %zu, expected from %u on", i, at, upper);
        r = check_node(c, page, i, at, is_leaf, depth, &size);
        if (r < 0)
            return r;
        sum += (size + 1) & ~(size_t)1;
    }
    if (sum != c->page_size - upper)
        return bad(c, page, "nodes of %zu bytes, expected %u", sum, c->page_size - upper);
    return 0;
}

static int check_tree(struct check *c, enum tree tree, const struct table *t, uint64_t from)
{
    int r = 0;

    c->tree = tree;
    c->found = (struct table){ .flags = t->flags, .root = t->root };
    c->key = NULL;
    c->key_is_bound = false;
    if (t->root != NO_PAGE)
        r = walk(c, t->root, from, 1);
    if (r < 0)
        return r;
    if (c->found.depth != t->depth || c->found.branches != t->branches || c->found.leaves != t->leaves ||
        c->found.overflows != t->overflows || c->found.entries != t->entries)
        return bad(c, from,
                   "says depth %u, %" PRIu64 " branches, %" PRIu64 " leaves, %" PRIu64 " overflow pages, %" PRIu64
                   " entries; found %u, %" PRIu64 ", %" PRIu64 ", %" PRIu64 ", %" PRIu64,
                   t->depth, t->branches, t->leaves, t->overflows, t->entries, c->found.depth, c->found.branches,
                   c->found.leaves, c->found.overflows, c->found.entries);
    return 0;
}

/* Both meta pages; the one that counts. */
static int check_meta(struct check *c, uint64_t len, unsigned *ret)
{
    uint64_t txn[2];

    if (len < META_LEN)
        return bad(c, 0, "the file is of %" PRIu64 " bytes, expected a meta page", len);
    c->page_size = get32(c->file + META_HEAD);
    if (c->page_size < PAGE_MIN || c->page_size > PAGE_MAX || (c->page_size & (c->page_size - 1)) != 0)
        return bad(c, 0, "pages of %u bytes, expected a power of two of %u to %u", c->page_size, PAGE_MIN, PAGE_MAX);
    c->pages = len / c->page_size;
    if (c->pages < 2)
        return bad(c, 1, "the file is of %" PRIu64 " bytes, expected a second meta page", len);
    for (unsigned i = 0; i < 2; i++) {
        const uint8_t *p = c->file + (size_t)i * c->page_size;

        if (get_le64(p) != i || get16(p + 10) != IS_META)
            return bad(c, i, "number %" PRIu64 ", flags %#x, expected a meta page", get_le64(p), get16(p + 10));
        if (get32(p + PAGE_HEAD) != MAGIC || get32(p + PAGE_HEAD + 4) != FORMAT)
            return bad(c, i, "magic %#x, format %u, expected %#x, %u", get32(p + PAGE_HEAD), get32(p + PAGE_HEAD + 4),
                       MAGIC, FORMAT);
        if (get32(p + META_HEAD) != c->page_size)
            return bad(c, i, "pages of %u bytes, expected %u", get32(p + META_HEAD), c->page_size);
        txn[i] = get_le64(p + META_LEN - 8);
    }
    /* Transactions take turns, the even ones in page 0; a new file has none. */
    if ((txn[0] | txn[1]) != 0 && (txn[0] % 2 != 0 || (txn[0] + 1 != txn[1] && txn[0] != txn[1] + 1)))
        return bad(c, 0, "transactions %" PRIu64 " and %" PRIu64 ", expected an even one and its neighbour", txn[0],
                   txn[1]);
    *ret = txn[1] > txn[0];
    return 0;
}

int lmdb_check(const uint8_t *file, uint64_t len, char *err, size_t err_size)
{
    struct check c = { .file = file, .err = err, .err_size = err_size };
    const uint8_t *meta;
    struct table t[2];
    unsigned newest = 0;
    int r = check_meta(&c, len, &newest);

    if (r < 0)
        return r;
    meta = file + (size_t)newest * c.page_size;
    for (int i = 0; i < 2; i++)
        t[i] = table_at(meta + META_HEAD + (size_t)i * TABLE_LEN);
    c.last_page = get_le64(meta + META_LEN - 16);
    if (c.last_page < 1 || c.last_page > c.pages + UNWRITTEN_MAX)
        return bad(&c, newest, "the last page is %" PRIu64 ", the file has %" PRIu64, c.last_page, c.pages);
    if ((t[0].flags & DB_FLAGS) != INTEGER_KEYS || t[1].flags != 0)
        return bad(&c, newest, "flags %#x and %#x, expected %#x and 0", t[0].flags, t[1].flags, INTEGER_KEYS);
    c.used = calloc(1, c.pages / 8 + 1);
    if (!c.used)
        return -ENOMEM;
    r = check_tree(&c, TREE_FREE, &t[0], newest);
    if (r == 0)
        r = check_tree(&c, TREE_TABLES, &t[1], newest);
    for (unsigned i = 0; r == 0 && i < c.named_count; i++)
        r = check_tree(&c, TREE_NAMED, &c.named[i], t[1].root);
    free(c.used);
    return r;
}
