/* prog/realmd.h - what the files of hawser-realmd share: one loop, some UDP sockets, one realm. */
#pragma once

#include "base/list.h"
#include "mapping/fetcher.h"
#include "mapping/follower.h"
#include "mapping/holder.h"
#include "mapping/log_follower.h"
#include "mapping/manager.h"
#include "prog/dns_server.h"
#include "prog/http_server.h"
#include "prog/realm.h"
#include "prog/realmd_config.h"
#include "prog/realmd_refused.h"
#include "sys/bindstore.h"
#include "sys/control.h"
#include "sys/exchange_io.h"

#include <jansson.h>
#include <uv.h>

#define WAITING_MAX 65536  /* chosen: answers that wait for the store; who waits longer asks again */
#define LOG_TELLERS_MAX 32 /* chosen: managers that follow one; others ask each minute */
#define GIVEN_MAX 1024     /* chosen: a power of two; batches that the store has: it takes 65,536 changes at most */

struct realmd;

struct listener {
    struct realmd *d;
    uv_poll_t poll;
    uint32_t link; /* of exchange_io, from 1 */
};

/* An answer that is sent when a change is durable. */
struct waiting {
    struct exchange_asked asked;
    uint64_t number;
    struct manager_row row; /* what it speaks of */
    uint8_t *bytes;         /* owned */
    size_t len;
};

/* The head of what a question to the manager that is followed is told by, of all but the follower's own. */
struct upstream {
    struct list link;
    bool passed; /* realmd_pass.c; else realmd_cache.c */
};

/* What is given again to a store that may have lost it. */
struct forward {
    uint64_t behind, walked; /* shards, a bit each: that wait for a walk, and of the one under way */
    uint32_t at;             /* in the table */
    uint64_t rows;           /* of this walk */
    bool under_way;          /* a batch */
    instant next;            /* not before */
};

#define FORWARD_TOKEN (UINT64_MAX - 1)

/* A batch that the store was given. */
struct given {
    uint64_t *numbers; /* owned: of its changes */
    size_t count;
    bool done;
};

/* Who follows the realm's log here. */
struct log_teller {
    uint64_t peer; /* 0: nobody */
    uint64_t upto; /* entries that it has; UINT64_MAX: it asks for what it lacks */
    bool telling;
};

struct realmd {
    struct realmd_config config;
    uv_loop_t loop;
    uv_poll_t control_poll, inotify_poll, store_poll;
    uv_timer_t timer;
    uv_signal_t sigterm, sigint;
    struct listener listeners[REALMD_LISTEN_MAX];
    size_t listeners_count;
    struct control *control;
    int inotify; /* -1: none */
    bool folder_changed;
    instant look_again; /* at the folder, after it could not be read */

    struct identity id; /* the realm's */
    struct exchange *exchange;
    struct exchange_io io; /* has the sockets */
    instant now;           /* of the wake-up, for events */
    struct manager *manager;
    uint8_t *answer; /* MAPPING_BYTES_MAX */
    uint8_t *chain;  /* the realm's own, as it was read; owned */
    size_t chain_len;
    struct realm *realm; /* open for reading; NULL: it could not be read */
    size_t fed;          /* records of the log that the manager has */
    size_t fed_whole;    /* those that were there when it was given the chain: of them, what was in force */
    int published;       /* records in this turn */
    uint64_t entries;
    char folder_error[FILE_ERR]; /* the last; empty: none */

    struct bindstore *store; /* NULL: none */
    struct waiting *waiting; /* a ring of WAITING_MAX */
    size_t waiting_head, waiting_count;
    struct given *given; /* a ring of GIVEN_MAX, the oldest first: a store is done with them in any order */
    uint64_t given_first, given_next; /* numbers of batches, which are their tokens */
    uint64_t given_void;              /* those below it failed, or are not counted since one before them did */
    unsigned not_given;               /* answers that wait for changes that the store was not given yet */
    instant store_next;               /* INSTANT_NEVER but after a failure */
    instant alive_next;
    bool store_failed;
    uint64_t waited_in_vain;
    struct forward forward;

    uint64_t parent; /* peer; 0: none */
    struct holder announced;
    enum holder_state announced_told;

    uint64_t followed; /* peer */
    bool following;    /* another manager of this realm */
    struct follower follower;
    bool follow_told; /* that it is caught up */
    struct log_follower log;
    bool log_told;            /* that all of it is here, and taken in: requests are answered */
    enum log_fault log_fault; /* that was told */
    struct log_teller tellers[LOG_TELLERS_MAX];
    uint8_t *log_items; /* MAPPING_BYTES_MAX */
    struct list passed; /* what is on its way to the one that is followed */
    size_t passed_count;
    struct realmd_cache *cache; /* NULL: this one does not cache */

    struct dns_server *dns;          /* NULL: none */
    uint8_t stranger[IDENT_KEY_LEN]; /* who asks by the DNS: a key that nobody has */

    struct http_server *http;      /* NULL: none */
    uint8_t nobody[IDENT_KEY_LEN]; /* a key that nobody has, either */

    struct refusals refusals; /* that the log was told of */
    instant started;
    int exit_code;
};

/* One line for the log; level as in syslog. */
void realmd_say(int level, const char *fmt, ...) PRINTF_LIKE(2, 3);

/* --- realmd_folder.c: the realm's folder, followed --- */

/* Reads on, a bounded part of it, and what is left in the turns that follow; the first time all of it. 0 or -errno,
 * which was told. */
int folder_read(struct realmd *d, instant now);
/* Watches it. 0 or -errno, which was told. */
int folder_watch(struct realmd *d);
/* A record that somebody signed: into the log, and to the manager. 0; -EAGAIN: not now; or -errno, which was told. */
int folder_publish(struct realmd *d, const uint8_t *bytes, size_t len, instant now);
/* Entries of the log that is followed, into ours: realm_follow. The folder is then to be read. */
int folder_follow(struct realmd *d, const struct slice *entries, size_t count, instant now);
/* Does the manager have all that was read? False, too, when the folder cannot be read. */
bool folder_is_taken_in(const struct realmd *d);
void folder_end(struct realmd *d);

/* --- realmd_store.c: the store behind --- */

/* Opens, and gives the manager what is there. 0 or -errno, which was told. */
int store_start(struct realmd *d, instant now);
void store_end(struct realmd *d);
/* Changes to the store, answers that waited to who asked. */
void store_turn(struct realmd *d, instant now);
void store_on_done(struct realmd *d, instant now);
/* An answer that waits for a change: for the number and row that `reply` has. Changes and answers may go on their way
 * here, as in store_turn. */
void store_wait(struct realmd *d, const struct exchange_asked *asked, const struct manager_reply *reply,
                const uint8_t *bytes, instant now);
/* Who waited has gone: their answers are dropped. */
void store_forget_waiting(struct realmd *d);
instant store_next_expiry(const struct realmd *d);
/* A row of the table as it is to be in the store. The bytes are the table's. */
struct bindstore_change store_put_of(const struct binding *b, instant now);

/* --- realmd_forward.c: a store that lost what it had --- */

void forward_on_behind(struct realmd *d, unsigned shard, instant now);
void forward_turn(struct realmd *d, instant now);
void forward_on_done(struct realmd *d, const struct bindstore_event *e, instant now);
instant forward_next_expiry(const struct realmd *d);

/* --- realmd_follow.c: another manager of this realm --- */

/* Calls it, if there is one in the configuration. 0 or -errno, which was told. */
int follow_call(struct realmd *d, instant now);
/* What came into the manager; what is to be asked. */
void follow_turn(struct realmd *d, instant now);
/* To what was asked with the follower's own address as the context. */
void follow_on_result(struct realmd *d, const struct exchange_event *e, instant now);
/* True: it was a notice for the follower, and was answered. */
bool follow_on_request(struct realmd *d, const struct exchange_event *e, instant now);
void follow_on_up(struct realmd *d, instant now);
instant follow_next_expiry(const struct realmd *d);
/* For the status; null where nobody is followed. NULL when out of memory. */
json_t *follow_json(const struct realmd *d, instant now);

/* --- realmd_log.c: the realm's log, from the manager that is followed and to those that follow --- */

/* 0 or -ENOMEM. */
int log_start(struct realmd *d, instant now);
void log_end(struct realmd *d);
void log_turn(struct realmd *d, instant now);
/* True: it was of the log, and is answered. */
bool log_on_request(struct realmd *d, const struct exchange_event *e, const struct manager_who *who, instant now);
/* To what was asked or told by one of its contexts; false: it was none of them. */
bool log_on_result(struct realmd *d, const struct exchange_event *e, instant now);
void log_on_gone(struct realmd *d, uint64_t peer);
/* All peers have. */
void log_on_all_gone(struct realmd *d, instant now);
instant log_next_expiry(const struct realmd *d);
/* For the status; null where none is followed. NULL when out of memory. */
json_t *log_json(const struct realmd *d);

/* --- realmd_pass.c: what members say, passed on to the one that is followed --- */

void pass_init(struct realmd *d);
/* What is under way will not be answered. */
void pass_lost(struct realmd *d);
/* True: it was passed on, and is answered when that is. */
bool pass_on_request(struct realmd *d, const struct exchange_event *e, const struct manager_who *who, instant now);
/* To what was asked with one of its contexts. */
void pass_on_result(struct realmd *d, const struct exchange_event *e, instant now);

/* --- realmd_cache.c: a manager that caches --- */

/* 0 or -ENOMEM. */
int cache_start(struct realmd *d);
void cache_end(struct realmd *d);
/* The other one is there, or not. */
void cache_on_up(struct realmd *d, bool up);
/* What is under way will not be answered: the exchange is another. */
void cache_lost(struct realmd *d, instant now);
/* True: it is answered later, or was put off. */
bool cache_on_request(struct realmd *d, const struct exchange_event *e, const struct manager_who *who, instant now);
/* To what was asked with one of its contexts. */
void cache_on_result(struct realmd *d, const struct exchange_event *e, instant now);
void cache_get_stats(const struct realmd *d, struct fetcher_stats *ret);
/* For the status. NULL when out of memory. */
json_t *cache_json(const struct realmd *d);

/* --- realmd.c --- */

/* From each socket to each of the endpoints of its family. */
void realmd_ways(const struct realmd *d, const struct endpoint *to, size_t count, struct exchange_call *ret);

/* What each wake-up ends with: expiries, notices, the store, what is to be sent, the timer. */
void realmd_turn(struct realmd *d, instant now);
/* Sends an answer, or lets it go: who asked asks again. */
void realmd_answer(struct realmd *d, const struct exchange_asked *asked, const uint8_t *bytes, size_t len, instant now);
/* An exchange of the realm's key of now. NULL when out of memory. */
struct exchange *realmd_make_exchange(struct realmd *d, instant now);
/* The realm's own chain is another one. With another key it has another exchange, x, where who is there calls anew: all
 * that belongs to peers of the old one ends. Not from inside an event. */
void realmd_on_chain(struct realmd *d, struct exchange *x, instant now);

/* --- realmd_dns.c: the realm's zone in the DNS --- */

/* After the folder was read. 0 or -errno, which was told. */
int dns_start(struct realmd *d);

/* --- realmd_http.c, realmd_metrics.c: for the administrator --- */

/* 0 or -errno, which was told. */
int http_start(struct realmd *d);
void realmd_metrics(struct realmd *d, instant now, struct http_answer *a);

/* --- realmd_status.c --- */

/* An answer for the control socket. NULL when out of memory. */
json_t *realmd_status(struct realmd *d, instant now);
