/* sys/exchange_io.h - an exchange (session/exchange.h) over UDP sockets: batches in, events, batches out.
 *
 * The program polls the sockets and keeps the timer (exchange_next_expiry); one thread. A locator pair's `link` is the
 * number of its socket. */
#pragma once

#include "session/exchange.h"
#include "sys/udp.h"

#define EXCHANGE_SOCKETS_MAX 36 /* chosen: the links that a host may have, and some that are no link */

/* A datagram that goes by a link of the program's own, without a socket here; it is to be sent at once. */
typedef void exchange_send_beside(void *ctx, const struct exchange_tx *tx);
/* What the program makes of an event, its bytes valid until it returns. */
typedef void exchange_on_event(void *ctx, const struct exchange_event *ev);
/* Of count requests, 2 to EXCHANGE_WAITING_MAX, the program is told in turn, but for those of peers that have gone: it
 * may have fetched what they need. */
typedef void exchange_on_waiting(void *ctx, const struct exchange_event *ev, size_t count);

struct exchange_io {
    struct exchange *x;                        /* the owner's */
    struct udp *sockets[EXCHANGE_SOCKETS_MAX]; /* owned; by link - 1; NULL: none */
    exchange_on_event *on_event;
    exchange_on_waiting *on_waiting;   /* may be NULL */
    exchange_send_beside *send_beside; /* may be NULL: there are no such links */
    void *ctx;
    uint64_t unsent; /* datagrams that a full socket or a link without a socket lost: who asks asks again */
};

void exchange_io_init(struct exchange_io *io, struct exchange *x, exchange_on_event *on_event, void *ctx);
void exchange_io_deinit(struct exchange_io *io);
/* A socket for a link, 1..EXCHANGE_SOCKETS_MAX, in the place of the one that it has. o->many is set here. 0 or as
 * udp_open; then the former one stays. */
MUST_CHECK int exchange_io_open(struct exchange_io *io, uint32_t link, const struct udp_options *o);
/* Reads one batch of a link's socket, and does what exchange_io_turn does. How many datagrams came; 0: none waits;
 * negative errno: the socket is dead. */
int exchange_io_read(struct exchange_io *io, uint32_t link, instant now);
/* Gives the program its events and the sockets what is to be sent: after each call on the exchange that was not made
 * here, and after exchange_on_expiry. Not from inside on_event. */
void exchange_io_turn(struct exchange_io *io, instant now);
/* Sends what waits; from on_event, too. */
void exchange_io_flush(struct exchange_io *io, instant now);
/* exchange_answer, sending what waits if there is no room; from on_event, too. */
int exchange_io_answer(struct exchange_io *io, const struct exchange_asked *asked, const void *data, size_t len,
                       instant now);
