/* api/known.h - what this process knows of the peers that it called by address alone.
 *
 * The one thing of libhawser that sessions share, behind a lock: KNOWN_MAX endpoints, of which the one that was heard
 * of least lately makes room. */
#pragma once

#include "base/addr.h"
#include "base/instant.h"
#include "ident/keys.h"

#define KNOWN_MAX 256                /* chosen: 45 KB; who calls more places asks some again */
#define KNOWN_PLAIN_LIFE (600 * SEC) /* chosen: a server that begins to speak Hawser is found within ten minutes */
#define KNOWN_SESSION_LIFE (24 * 3600 * SEC) /* chosen: an old key costs nothing but an INIT beside the HELLO */

enum known { KNOWN_NOTHING, KNOWN_PLAIN, KNOWN_SESSION };

/* ret: the key, with KNOWN_SESSION. */
enum known known_get(const struct endpoint *at, instant now, struct peer_key *ret);
/* key: with KNOWN_SESSION, else NULL. KNOWN_NOTHING forgets. */
void known_put(const struct endpoint *at, enum known what, const struct peer_key *key, instant now);
