/* api/known.c - see known.h. A linear search: it happens once a call of a peer. */
#include "api/known.h"

#include <pthread.h>

static struct entry {
    struct endpoint at;
    enum known what; /* KNOWN_NOTHING: free */
    struct peer_key key;
    instant heard;
} entries[KNOWN_MAX];

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

static struct entry *find(const struct endpoint *at, instant now)
{
    for (size_t i = 0; i < KNOWN_MAX; i++) {
        struct entry *e = &entries[i];

        if (e->what == KNOWN_NOTHING || !endpoint_equal(&e->at, at))
            continue;
        if (now - e->heard >= (e->what == KNOWN_PLAIN ? KNOWN_PLAIN_LIFE : KNOWN_SESSION_LIFE))
            e->what = KNOWN_NOTHING;
        return e->what == KNOWN_NOTHING ? NULL : e;
    }
    return NULL;
}

enum known known_get(const struct endpoint *at, instant now, struct peer_key *ret)
{
    enum known what = KNOWN_NOTHING;
    const struct entry *e;

    pthread_mutex_lock(&lock);
    e = find(at, now);
    if (e) {
        what = e->what;
        *ret = e->key;
    }
    pthread_mutex_unlock(&lock);
    return what;
}

void known_put(const struct endpoint *at, enum known what, const struct peer_key *key, instant now)
{
    struct entry *e;

    pthread_mutex_lock(&lock);
    e = find(at, now);
    for (size_t i = 0; i < KNOWN_MAX && !e; i++)
        if (entries[i].what == KNOWN_NOTHING)
            e = &entries[i];
    if (!e) {
        e = &entries[0];
        for (size_t i = 1; i < KNOWN_MAX; i++)
            if (entries[i].heard < e->heard)
                e = &entries[i];
    }
    *e = (struct entry){ .at = *at, .what = what, .heard = now };
    if (what == KNOWN_SESSION)
        e->key = *key;
    pthread_mutex_unlock(&lock);
}
