/* sim/tcp_loss.h - what a simulated TCP sender has in flight, and what of it is lost.
 *
 * For sim/tcp.c only, which says when. */
#pragma once

#include "sim/tcp.h"

static inline struct tcp_segment *tcp_seg_at(struct tcp_sender *s, uint64_t seg)
{
    return &s->segs[seg % TCP_RING];
}

/* Into and out of the list of what is in flight, and the count of it. */
void tcp_flight_add(struct tcp_sender *s, uint64_t seg);
void tcp_flight_remove(struct tcp_sender *s, uint64_t seg);
/* A segment in flight is lost. */
void tcp_take_for_lost(struct tcp_sender *s, uint64_t seg);

void tcp_loss_init(struct tcp_sender *s);
/* A segment is acknowledged for the first time; its record is as it was sent. */
void tcp_loss_on_acked(struct tcp_sender *s, uint64_t seg, const struct tcp_ack *ack, instant now);
/* The whole acknowledgement has been taken. How many segments are found lost. */
uint64_t tcp_loss_on_ack(struct tcp_sender *s, const struct tcp_ack *ack, bool advanced, instant now);
/* The end of a probe; true: it repaired a loss that nothing else shows. Before tcp_loss_on_ack. */
bool tcp_loss_probe_repaired(struct tcp_sender *s, const struct tcp_ack *ack);
void tcp_loss_on_recovered(struct tcp_sender *s);
void tcp_loss_on_timeout(struct tcp_sender *s, instant now);
/* A reordering window has ended: how many segments are found lost. */
uint64_t tcp_loss_on_expiry(struct tcp_sender *s, instant now);
/* Nothing more can be sent, or something fresh was: when to probe. */
void tcp_loss_rearm(struct tcp_sender *s, bool fresh, instant now);
/* It is time to. more: there is something fresh to send, otherwise the last segment goes once more. False: no use. */
bool tcp_loss_probe_due(struct tcp_sender *s, bool more);
