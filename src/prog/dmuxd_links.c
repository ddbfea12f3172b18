/* prog/dmuxd_links.c - see dmuxd_links.h.
 *
 * Theory of operation. Whoever is refused by another gateway hears nothing, so that this end can tell no more than that
 * nobody answers; the other end counts a stranger. Both are told by their log, each when it begins: a stranger that
 * knocks again and again is one line until it has been quiet for LINKS_QUIET_AFTER. */
#include "prog/dmuxd_links.h"

static bool strangers_came(struct links_watch *w, uint64_t strangers, instant now)
{
    bool more = strangers != w->strangers, begins = more && !(w->strange && now < w->quiet_at);

    w->strangers = strangers;
    if (more) {
        w->strange = true;
        w->quiet_at = now + LINKS_QUIET_AFTER;
    }
    return begins;
}

enum links_news links_look(struct links_watch *w, bool expected, size_t up, uint64_t strangers, instant now)
{
    if (strangers_came(w, strangers, now))
        return LINKS_STRANGERS;
    if (up > 0 || !expected)
        w->none_since = 0;
    else if (w->none_since == 0)
        w->none_since = now;
    if (up > 0 && w->none) {
        w->none = false;
        return LINKS_AGAIN;
    }
    if (w->none || w->none_since == 0 || now < w->none_since + LINKS_NONE_AFTER)
        return LINKS_NOTHING;
    w->none = true;
    return LINKS_NONE;
}
