/* path/scoreboard.c - see scoreboard.h.
 *
 * Theory of operation. Rows are found by a hash of their key and stand in a list, the newest word first, so that the
 * oldest makes room. A row's rate is the sum of what its present users say, the newest word of each: a path that is
 * shared is known by what all of them get. Of round trips the last words count, smoothed over a few; the minimum is
 * that of the last 10 to 20 s. Trouble is forgotten with the first word of a path that has none.
 *
 * Limits: as many rows as its owner said; USERS_MAX users of a row are told apart, of more the oldest is forgotten.
 * Sources: RFC 9040 (sections 5 and 6, appendix C). */
#include "path/scoreboard.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>

#include "base/text.h"

#define USERS_MAX 8            /* chosen: the ninth part of a rate is no more than a first window any more */
#define USER_LIFE (2 * SEC)    /* chosen: users tell each second */
#define SMOOTH_SPAN (10 * SEC) /* chosen: what is older than that is replaced and not smoothed */
#define MIN_SPAN (10 * SEC)    /* as rtt.h */
#define RX_LIFE (60 * SEC)     /* chosen: what arrives is what was asked for: the most of a minute tells more */
#define REPORTS_MAX 1000000u
#define SPAN_MAX (60 * SEC) /* of a round trip in text: nothing that is longer is of use */
#define BPS_MAX 1000000000000u

struct user {
    uint64_t who, tx_bps, rx_bps;
    bool lower_bound;
    instant at; /* 0: none */
};

struct row {
    struct list all;
    struct scoreboard_key key;
    uint64_t hash;
    struct scoreboard_row known; /* ages are in the instants below */
    span min_rtt[2];             /* of this MIN_SPAN and the one before; 0: none */
    instant min_at;
    instant at, rate_at, rx_at, trouble_at; /* 0: never */
    struct user users[USERS_MAX];
    unsigned foreign; /* users that another board knew of */
    instant foreign_at;
};

struct scoreboard {
    struct map64 by_key;
    struct list rows; /* the newest word first */
    size_t rows_max;
};

const char *scoreboard_trouble_name(enum scoreboard_trouble t)
{
    static const char *const names[TROUBLE_COUNT] = {
        "", "no answer", "not answered where another transport is", "too far behind others", "loses too much",
    };

    return (unsigned)t < TROUBLE_COUNT ? names[t] : "?";
}

struct scoreboard *scoreboard_new(size_t rows, uint64_t salt)
{
    struct scoreboard *b = calloc(1, sizeof(*b));

    if (!b)
        return NULL;
    map64_init(&b->by_key, rows, salt);
    list_init(&b->rows);
    b->rows_max = rows;
    return b;
}

static void drop(struct scoreboard *b, struct row *x)
{
    map64_remove(&b->by_key, x->hash);
    list_remove(&x->all);
    free(x);
}

void scoreboard_free(struct scoreboard *b)
{
    if (!b)
        return;
    LIST_FOREACH_SAFE (x, &b->rows, struct row, all)
        drop(b, x);
    map64_deinit(&b->by_key);
    free(b);
}

size_t scoreboard_count(const struct scoreboard *b)
{
    return b->by_key.count;
}

/* --- finding --- */

/* A name that a peer gave may hold anything. */
static struct scoreboard_key tidy(const struct scoreboard_key *k)
{
    struct scoreboard_key t = { .network = k->network, .remote = k->remote, .transport = k->transport };

    for (size_t i = 0; i < LINK_NAME_MAX && k->link[i]; i++)
        t.link[i] = k->link[i] > ' ' && k->link[i] < 0x7f ? k->link[i] : '?';
    return t;
}

static uint64_t hash_of(const struct scoreboard_key *k)
{
    static const uint8_t no_secret[16] = {
        0
    }; /* the map has one; who finds two keys of one hash costs himself a row */
    uint8_t buf[LINK_NAME_MAX + 1 + 4 + 1 + 16 + 1];

    memcpy(buf, k->link, sizeof(k->link));
    put_be32(buf + 16, k->network);
    buf[20] = k->remote.family;
    memcpy(buf + 21, k->remote.bytes, 16);
    buf[37] = k->transport;
    return siphash13(no_secret, buf, sizeof(buf));
}

static bool same_uplink(const struct scoreboard_key *a, const struct scoreboard_key *b)
{
    return strcmp(a->link, b->link) == 0 && a->network == b->network && a->transport == b->transport;
}

static struct row *find(const struct scoreboard *b, const struct scoreboard_key *k)
{
    struct row *x = map64_get(&b->by_key, hash_of(k));

    return x && same_uplink(&x->key, k) && addr_equal(&x->key.remote, &k->remote) ? x : NULL;
}

bool scoreboard_is_near(const struct addr *a, const struct addr *b)
{
    return a->family == b->family && memcmp(a->bytes, b->bytes, a->family == ADDR_V4 ? 3 : 6) == 0;
}

static struct row *find_or_make(struct scoreboard *b, const struct scoreboard_key *k)
{
    struct row *x = find(b, k);

    if (x)
        return x;
    x = map64_get(&b->by_key, hash_of(k));
    if (x)
        drop(b, x); /* another of the same hash */
    if (b->rows_max == 0)
        return NULL;
    while (b->by_key.count >= b->rows_max)
        drop(b, CONTAINER_OF(b->rows.prev, struct row, all));
    x = calloc(1, sizeof(*x));
    if (!x)
        return NULL;
    x->key = *k;
    x->hash = hash_of(k);
    if (map64_put(&b->by_key, x->hash, x) < 0) {
        free(x);
        return NULL;
    }
    list_prepend(&b->rows, &x->all);
    return x;
}

/* --- telling --- */

static void learn_rtt(struct row *x, const struct scoreboard_report *r, instant now)
{
    bool fresh = x->known.srtt > 0 && now - x->at < SMOOTH_SPAN;

    x->known.srtt = fresh ? x->known.srtt + (r->srtt - x->known.srtt) / 4 : r->srtt;
    x->known.rttvar = fresh ? MAX(r->rttvar, x->known.rttvar + (r->rttvar - x->known.rttvar) / 4) : r->rttvar;
    x->known.rx_jitter = fresh ? x->known.rx_jitter + (r->rx_jitter - x->known.rx_jitter) / 4 : r->rx_jitter;
    if (now - x->min_at >= MIN_SPAN) {
        x->min_rtt[1] = now - x->min_at < 2 * MIN_SPAN ? x->min_rtt[0] : 0;
        x->min_rtt[0] = 0;
        x->min_at = now;
    }
    if (x->min_rtt[0] == 0 || r->min_rtt < x->min_rtt[0])
        x->min_rtt[0] = r->min_rtt;
    x->known.min_rtt = x->min_rtt[1] > 0 ? MIN(x->min_rtt[0], x->min_rtt[1]) : x->min_rtt[0];
}

static bool is_present(const struct user *u, instant now)
{
    return u->at > 0 && now - u->at < USER_LIFE;
}

static struct user *user_of(struct row *x, uint64_t who)
{
    struct user *oldest = &x->users[0];

    for (unsigned i = 0; i < USERS_MAX; i++) {
        if (x->users[i].at > 0 && x->users[i].who == who)
            return &x->users[i];
        if (x->users[i].at < oldest->at)
            oldest = &x->users[i];
    }
    return oldest;
}

static void learn_rates(struct row *x, const struct scoreboard_report *r, instant now)
{
    struct user *u = user_of(x, r->who);
    uint64_t tx = 0, rx = 0;
    bool lower = false;

    *u = (struct user){
        .who = r->who, .tx_bps = r->tx_bps, .rx_bps = r->rx_bps, .lower_bound = r->tx_bps_is_lower_bound, .at = now
    };
    for (unsigned i = 0; i < USERS_MAX; i++) {
        if (!is_present(&x->users[i], now))
            continue;
        tx += x->users[i].tx_bps;
        rx += x->users[i].rx_bps;
        lower |= x->users[i].lower_bound;
    }
    if (tx > 0 && (!lower || tx >= x->known.tx_bps || now - x->rate_at > SCOREBOARD_LIFE)) {
        x->known.tx_bps = tx;
        x->known.tx_bps_is_lower_bound = lower;
        x->rate_at = now;
    }
    if (rx > 0 && (rx >= x->known.rx_bps || now - x->rx_at > RX_LIFE)) {
        x->known.rx_bps = rx;
        x->rx_at = now;
    }
    x->known.loss = x->known.reports > 0 ? x->known.loss + (r->loss - x->known.loss) / 4 : r->loss;
    x->known.reports = MIN(x->known.reports + 1, REPORTS_MAX);
}

void scoreboard_tell(struct scoreboard *b, const struct scoreboard_key *k, const struct scoreboard_report *r,
                     instant now)
{
    struct scoreboard_key key = tidy(k);
    bool measured = r->srtt > 0 && r->min_rtt > 0;
    struct row *x = measured || r->trouble != TROUBLE_NONE ? find_or_make(b, &key) : NULL;

    if (!x)
        return;
    if (measured)
        learn_rtt(x, r, now);
    if (measured && r->carrying)
        learn_rates(x, r, now);
    if (r->ended)
        for (unsigned i = 0; i < USERS_MAX; i++)
            x->users[i].at = x->users[i].who == r->who ? 0 : x->users[i].at;
    /* That it is silent is no news where it is known to be blocked. */
    if (r->trouble != TROUBLE_SILENT || x->known.trouble != TROUBLE_BLOCKED) {
        x->known.trouble = r->trouble;
        x->trouble_at = r->trouble != TROUBLE_NONE ? now : 0;
    }
    x->known.told = true;
    x->at = now;
    list_remove(&x->all);
    list_prepend(&b->rows, &x->all);
}

void scoreboard_learn(struct scoreboard *b, const struct scoreboard_key *k, const struct scoreboard_row *row,
                      instant now)
{
    struct scoreboard_key key = tidy(k);
    struct row *x = row->age < SCOREBOARD_LIFE ? find_or_make(b, &key) : NULL;
    struct scoreboard_row was;

    if (!x || (x->at > 0 && now - x->at <= row->age))
        return;
    was = x->known;
    x->known = *row;
    x->known.told = was.told;
    x->at = now - row->age;
    x->rx_at = x->at;
    if (was.tx_bps > row->tx_bps && (row->tx_bps == 0 || row->tx_bps_is_lower_bound) &&
        now - x->rate_at < SCOREBOARD_LIFE) { /* who did not fill it knows less */
        x->known.tx_bps = was.tx_bps;
        x->known.tx_bps_is_lower_bound = was.tx_bps_is_lower_bound;
    } else {
        x->rate_at = now - row->rate_age;
    }
    x->trouble_at = row->trouble != TROUBLE_NONE ? now - row->trouble_age : 0;
    x->min_rtt[0] = row->min_rtt;
    x->min_rtt[1] = 0;
    x->min_at = x->at;
    memset(x->users, 0, sizeof(x->users));
    x->foreign = row->users;
    x->foreign_at = now;
}

/* --- asking --- */

static bool look(const struct row *x, instant now, struct scoreboard_row *ret)
{
    if (now - x->at >= SCOREBOARD_LIFE)
        return false;
    *ret = x->known;
    ret->exact = true;
    ret->age = now - x->at;
    ret->rate_age = x->known.tx_bps > 0 ? now - x->rate_at : 0;
    ret->trouble_age = x->known.trouble != TROUBLE_NONE ? now - x->trouble_at : 0;
    ret->users = now - x->foreign_at < USER_LIFE ? x->foreign : 0;
    for (unsigned i = 0; i < USERS_MAX; i++)
        ret->users += is_present(&x->users[i], now);
    ret->users = MIN(ret->users, USERS_MAX + 1u);
    if (ret->rate_age < SCOREBOARD_LIFE)
        return true;
    ret->tx_bps = 0;
    ret->tx_bps_is_lower_bound = false;
    ret->rate_age = 0;
    return true;
}

bool scoreboard_get(const struct scoreboard *b, const struct scoreboard_key *k, instant now, struct scoreboard_row *ret)
{
    struct scoreboard_key key = tidy(k);
    const struct row *x = find(b, &key);

    if (x && look(x, now, ret))
        return true;
    LIST_FOREACH (y, &b->rows, struct row, all) {
        if (!same_uplink(&y->key, &key) || !scoreboard_is_near(&y->key.remote, &key.remote) || !look(y, now, ret))
            continue;
        ret->exact = false;
        ret->tx_bps /= 2;
        ret->rx_bps /= 2;
        return true;
    }
    return false;
}

uint64_t scoreboard_share_bps(const struct scoreboard_row *row)
{
    return row->tx_bps / (row->users + 1);
}

bool scoreboard_next(const struct scoreboard *b, size_t *at, instant now, struct scoreboard_key *ret_key,
                     struct scoreboard_row *ret)
{
    size_t i = 0;

    LIST_FOREACH (x, &b->rows, struct row, all) {
        if (i++ < *at)
            continue;
        *at = i;
        if (!look(x, now, ret))
            continue;
        *ret_key = x->key;
        return true;
    }
    return false;
}

/* --- text --- */

#define NUMBERS 15

/* What each may be at most, in the order of the text. */
static const int64_t largest[NUMBERS] = {
    UINT8_MAX,       SPAN_MAX, SPAN_MAX,          SPAN_MAX,    SPAN_MAX,      1000000,         BPS_MAX,
    BPS_MAX,         1,        TROUBLE_COUNT - 1, REPORTS_MAX, USERS_MAX + 1, SCOREBOARD_LIFE, SCOREBOARD_LIFE,
    SCOREBOARD_LIFE,
};

char *scoreboard_format(const struct scoreboard_key *k, const struct scoreboard_row *row, char buf[SCOREBOARD_TEXT_MAX])
{
    const struct scoreboard_key key = tidy(k);
    const int64_t numbers[NUMBERS] = {
        key.transport,
        row->srtt,
        row->rttvar,
        row->min_rtt,
        row->rx_jitter,
        (int64_t)(row->loss * 1e6 + .5),
        (int64_t)row->tx_bps,
        (int64_t)row->rx_bps,
        row->tx_bps_is_lower_bound,
        row->trouble,
        row->reports,
        row->users,
        row->age,
        row->rate_age,
        row->trouble_age,
    };
    char remote[ADDR_STRLEN];
    struct text t;

    text_init(&t, buf, SCOREBOARD_TEXT_MAX);
    text_add(&t, "%s %" PRIu32 " %s", *key.link ? key.link : "-", key.network, addr_format(&key.remote, remote));
    for (unsigned i = 0; i < NUMBERS; i++)
        text_add(&t, " %" PRId64, CLAMP(numbers[i], 0, largest[i]));
    return buf;
}

/* The next word into buf, and where the one after it begins; NULL: there is none, or it is too long. */
static const char *word(const char *at, char *buf, size_t size)
{
    size_t len = strcspn(at, " ");

    if (len == 0 || len >= size || (at[len] == ' ' && at[len + 1] == '\0'))
        return NULL;
    memcpy(buf, at, len);
    buf[len] = '\0';
    return at[len] == ' ' ? at + len + 1 : at + len;
}

static const char *number(const char *at, int64_t most, int64_t *ret)
{
    char buf[20];
    int64_t n = 0;

    at = at ? word(at, buf, sizeof(buf)) : NULL;
    for (size_t i = 0; at && buf[i]; i++) {
        if (buf[i] < '0' || buf[i] > '9' || n > most)
            return NULL;
        n = n * 10 + (buf[i] - '0');
    }
    if (!at || n > most)
        return NULL;
    *ret = n;
    return at;
}

int scoreboard_parse(const char *text, struct scoreboard_key *ret_key, struct scoreboard_row *ret)
{
    char link[LINK_NAME_MAX + 1], remote[ADDR_STRLEN];
    struct scoreboard_key key = { 0 };
    int64_t n[NUMBERS], network;
    const char *at = word(text, link, sizeof(link));

    at = number(at, UINT32_MAX, &network);
    at = at ? word(at, remote, sizeof(remote)) : NULL;
    if (!at || addr_parse(remote, &key.remote) < 0)
        return -EBADMSG;
    for (unsigned i = 0; i < NUMBERS; i++)
        at = number(at, largest[i], &n[i]);
    if (!at || *at)
        return -EBADMSG;
    if (strcmp(link, "-") != 0)
        memcpy(key.link, link, sizeof(key.link));
    key.network = (uint32_t)network;
    key.transport = (uint8_t)n[0];
    *ret_key = tidy(&key);
    *ret = (struct scoreboard_row){ .srtt = n[1],
                                    .rttvar = n[2],
                                    .min_rtt = n[3],
                                    .rx_jitter = n[4],
                                    .loss = (double)n[5] / 1e6,
                                    .tx_bps = (uint64_t)n[6],
                                    .rx_bps = (uint64_t)n[7],
                                    .tx_bps_is_lower_bound = n[8],
                                    .trouble = (uint8_t)n[9],
                                    .reports = (uint32_t)n[10],
                                    .users = (unsigned)n[11],
                                    .age = n[12],
                                    .rate_age = n[13],
                                    .trouble_age = n[14],
                                    .exact = true };
    return 0;
}

size_t scoreboard_add_text(const struct scoreboard *b, struct text *t, const struct addr *remotes, size_t count,
                           bool told, instant now)
{
    char one[SCOREBOARD_TEXT_MAX];
    struct scoreboard_key k;
    struct scoreboard_row row;
    size_t at = 0, added = 0;

    while (added < SCOREBOARD_ROWS_MAX && scoreboard_next(b, &at, now, &k, &row)) {
        bool near = count == 0;

        for (size_t i = 0; i < count; i++)
            near |= scoreboard_is_near(&k.remote, &remotes[i]);
        scoreboard_format(&k, &row, one);
        if (!near || (told && !row.told) || t->size - t->len < strlen(one) + 2)
            continue;
        text_add(t, "%s%s", t->len > 0 && t->buf[t->len - 1] != ' ' ? ";" : "", one);
        added++;
    }
    return added;
}

void scoreboard_learn_text(struct scoreboard *b, const char *text, instant now)
{
    char one[SCOREBOARD_TEXT_MAX];

    while (*text) {
        struct scoreboard_key k;
        struct scoreboard_row row;
        size_t len = strcspn(text, ";");

        if (len < sizeof(one)) {
            memcpy(one, text, len);
            one[len] = '\0';
            if (scoreboard_parse(one, &k, &row) == 0)
                scoreboard_learn(b, &k, &row, now);
        }
        text += len + (text[len] == ';');
    }
}
