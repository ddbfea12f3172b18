/* prog/dmuxd_links.h - what a gateway's log says of its links to others: when there is none any more, or one again, and
 * that strangers come. Each once, until it has changed. */
#pragma once

#include "base/instant.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define LINKS_NONE_AFTER (10 * SEC)  /* chosen: twice what borders wait before they ask again; a restart is shorter */
#define LINKS_QUIET_AFTER (60 * SEC) /* chosen: a line a minute of whoever knocks again and again */

/* Of one mesh, or one realm that is federated with. All zero to begin with. */
struct links_watch {
    uint64_t strangers;
    bool strange, none; /* what was told last */
    instant quiet_at;
    instant none_since; /* 0: there is a link, or nobody to have one with */
};

enum links_news {
    LINKS_NOTHING,
    LINKS_STRANGERS, /* more of them, after a time without any */
    LINKS_NONE,      /* for LINKS_NONE_AFTER */
    LINKS_AGAIN,     /* after that */
};

/* What is to be told, of how things stand now; to be called until LINKS_NOTHING. expected: there is somebody to have a
 * link with; up: how many links there are; strangers: how many were refused since the start. */
enum links_news links_look(struct links_watch *w, bool expected, size_t up, uint64_t strangers, instant now);
