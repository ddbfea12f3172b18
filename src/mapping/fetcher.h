/* mapping/fetcher.h - a manager that caches: what it knows of a subject, it has asked another manager of the realm for
 * when it was asked itself.
 *
 * A machine without IO, which keeps what it was told in a table of bindings, with the subject's rows of all classes
 * together: who may know which is the manager's to say. Of each subject it remembers until when what it was told may be
 * used (mapping/manager.h says how long that is of whom), that there is nothing too. So it is behind by that at most,
 * while the other answers; when nobody does, what is known serves on for FETCHER_STALE_MAX after it was asked for.
 *
 * Nothing older than what was known is taken, whatever a manager says that has forgotten. */
#pragma once

#include "mapping/bindings.h"
#include "mapping/message.h"

#define FETCHER_REQUEST_MAX 64        /* bytes */
#define FETCHER_STALE_MAX (300 * SEC) /* chosen: the common lease, as MANAGER_BEHIND_MAX */
#define FETCHER_DOUBT (1 * SEC)       /* chosen: the other one knows of a move by then */
#define FETCHER_AGAIN (1 * SEC)       /* chosen: after a failure */

struct fetcher;

enum fetched {
    FETCHED_FRESH,   /* what the table has is the answer */
    FETCHED_STALE,   /* it is one if nobody answers */
    FETCHED_NOTHING, /* it is none */
};

struct fetcher_stats {
    uint64_t asked, failed, taken, older;
    uint32_t subjects;
};

/* max subjects, at least 1; those that were asked for longest ago give way. NULL when out of memory. */
struct fetcher *fetcher_new(struct bindings *b, uint32_t max, const struct rng *rng);
/* Accepts NULL. */
void fetcher_free(struct fetcher *f);
/* Somebody who may know where it is has found that what he was told is wrong: what was asked for more than
 * FETCHER_DOUBT ago is stale from now on. So who makes that up costs a question now and then. */
void fetcher_on_doubt(struct fetcher *f, const struct tag *subject, instant now);
enum fetched fetcher_look(struct fetcher *f, const struct tag *subject, instant now);
/* What to ask about it, into out of FETCHER_REQUEST_MAX bytes; its length. 0: it is being asked, or has just failed, or
 * there is no memory. */
size_t fetcher_ask(struct fetcher *f, const struct tag *subject, instant now, uint8_t *out);
/* True while a question about it is under way. */
bool fetcher_is_asking(const struct fetcher *f, const struct tag *subject);
/* The answer; NULL: there was none. */
void fetcher_on_answer(struct fetcher *f, const struct tag *subject, const uint8_t *bytes, size_t len, instant now);
void fetcher_get_stats(const struct fetcher *f, struct fetcher_stats *ret);
