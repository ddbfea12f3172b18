/* session/exchange_keys.c - see exchange_internal.h: keys of an association.
 *
 * Theory of operation. A handshake gives a master, from which ident/schedule.h derives a key and a connection id for
 * each direction; an association has one path in it, so counters begin at 0 and each is used once. The ciphers made of
 * the keys are the largest part of an association and are made when they are first wanted. The replay window stays.
 *
 * Sources: RFC 9001 section 6.6 (limits), RFC 6479 (window). */
#include <errno.h>

#include "ident/hash.h"
#include "ident/schedule.h"
#include "session/exchange_internal.h"

#define AEAD_HOT 768 /* chosen: bytes, by measuring records of 100 and 350 bytes */

_Static_assert(offsetof(struct replay_message, words) == sizeof(struct replay), "the words follow the head");

static uint8_t rx_direction(const struct keys *k)
{
    return k->initiator ? SCHEDULE_TO_INITIATOR : SCHEDULE_TO_RESPONDER;
}

static uint8_t tx_direction(const struct keys *k)
{
    return k->initiator ? SCHEDULE_TO_RESPONDER : SCHEDULE_TO_INITIATOR;
}

struct keys *keys_new(struct assoc *a, const uint8_t master[32], enum suite suite, bool initiator, instant now)
{
    struct keys *k = ex_alloc(a->x, sizeof(*k));

    if (!k)
        return NULL;
    k->assoc = a;
    k->suite = (uint8_t)suite;
    k->initiator = initiator;
    k->born = now;
    k->cookie_time = -1;
    memcpy(k->master, master, sizeof(k->master));
    k->rx_cid = schedule_cid(master, EXCHANGE_PATH_ID, rx_direction(k));
    k->tx_cid = schedule_cid(master, EXCHANGE_PATH_ID, tx_direction(k));
    replay_init(&k->replay.window, REPLAY_MESSAGE_BITS);
    /* Two of 2^56 ids alike: this handshake came to nothing, and the next one will not. */
    if (map64_get(&a->x->cids, k->rx_cid) || map64_put(&a->x->cids, k->rx_cid, k) < 0) {
        ex_free(a->x, k, sizeof(*k));
        return NULL;
    }
    return k;
}

void keys_cool(struct keys *k)
{
    if (!k)
        return;
    aead_free(k->rx);
    aead_free(k->tx);
    k->rx = k->tx = NULL;
}

void keys_free(struct keys *k)
{
    if (!k)
        return;
    map64_remove(&k->assoc->x->cids, k->rx_cid);
    keys_cool(k);
    ex_free(k->assoc->x, k, sizeof(*k));
}

static struct aead *warm(const struct keys *k, uint8_t direction)
{
    uint8_t key[AEAD_KEY_LEN];
    struct aead *a;

    schedule_path_key(k->master, EXCHANGE_PATH_ID, direction, key);
    a = aead_new(k->suite, key);
    ident_wipe(key, sizeof(key));
    return a;
}

bool keys_are_dead(const struct keys *k, instant now)
{
    return now - k->born >= EXCHANGE_REJECT_AFTER || k->forged >= suite_forgery_limit(k->suite);
}

bool keys_are_worn(const struct keys *k, instant now)
{
    uint64_t limit = suite_seal_limit(k->suite) / 2;

    return now - k->born >= EXCHANGE_REKEY_AFTER || k->tx_next >= limit || k->replay.window.next >= limit;
}

int keys_seal(struct keys *k, uint8_t *out, size_t len, instant now)
{
    if (keys_are_dead(k, now) || k->tx_next >= suite_seal_limit(k->suite))
        return -ENOTCONN;
    if (!k->tx && !(k->tx = warm(k, tx_direction(k))))
        return -ENOTCONN;
    sealed_header_put(out, k->tx_cid, k->tx_next);
    if (aead_seal(k->tx, k->tx_next++, out, SEALED_HEADER_LEN, out + SEALED_HEADER_LEN, len, out + SEALED_HEADER_LEN) <
        0)
        return -ENOTCONN;
    return (int)(SEALED_HEADER_LEN + len + SEALED_TAG_LEN);
}

/* A cipher is opaque: its beginning, round keys and the first powers of the hash, is what a short record wants. */
static void aead_foresee(const struct aead *a)
{
    if (a)
        fetch_ahead(a, AEAD_HOT);
}

void keys_foresee(const struct keys *k)
{
    fetch_ahead(k->assoc, offsetof(struct assoc, srtt));
    aead_foresee(k->rx);
    aead_foresee(k->tx);
}

int keys_open(struct keys *k, uint8_t *pkt, size_t len, instant now)
{
    uint64_t counter = get_be64(pkt + 8);
    uint8_t *text = pkt + SEALED_HEADER_LEN;

    if (!replay_check(&k->replay.window, counter))
        return -EALREADY;
    if (keys_are_dead(k, now))
        return -EBADMSG;
    if (!k->rx && !(k->rx = warm(k, rx_direction(k))))
        return -ENOMEM;
    if (aead_open(k->rx, counter, pkt, SEALED_HEADER_LEN, text, len - SEALED_HEADER_LEN, text) < 0) {
        k->forged++;
        return -EBADMSG;
    }
    if (!replay_check_and_set(&k->replay.window, counter))
        return -EALREADY;
    return (int)(len - SEALED_HEADER_LEN - SEALED_TAG_LEN);
}

void assoc_install(struct assoc *a, struct keys *k)
{
    keys_free(a->prev);
    a->prev = a->cur;
    a->prev_since = k->born;
    if (a->prev) { /* it sends no more */
        aead_free(a->prev->tx);
        a->prev->tx = NULL;
    }
    a->cur = k;
}
