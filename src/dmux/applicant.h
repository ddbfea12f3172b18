/* dmux/applicant.h - a client's credentials, towards providers that ask for them (doc/dmux.md, Admission).
 *
 * They are shown to a provider that they are configured for, sealed to its key, and to nobody else: a DEMAND of any
 * other is answered by nothing, and told. While it is not known whether packets pass, some are held back. */
#pragma once

#include "base/instant.h"
#include "base/rng.h"
#include "dmux/protocol.h"
#include "ident/keys.h"
#include "wire/word.h"

#define APPLICANT_RETRY (1 * SEC)  /* chosen: RFC 8085 section 3.1.1's start for an unknown round trip */
#define APPLICANT_TRIES 3          /* chosen: words without an answer, before something is wrong */
#define APPLICANT_REST (1 * SEC)   /* chosen: DEMANDs that come so soon after a verdict are of packets before it */
#define APPLICANT_LATER (60 * SEC) /* chosen: whoever was refused, or whose ASK was not answered, tries again */
#define APPLICANT_AGAIN (10 * SEC) /* chosen: at most, at random, beside RETRY when no verdict came: many may ask */
#define APPLICANT_HELD_MAX 16      /* packets; chosen: above what a sender begins with (RFC 6928: 10) */

/* What is shown to one provider. */
struct credential {
    uint32_t provider;
    struct peer_key to;       /* the provider's key, which alone can read it */
    struct identity identity; /* who the client is */
    uint8_t chain[WORD_CHAIN_MAX];
    size_t chain_len; /* 0: none; the provider lists the key */
};

enum applicant_state {
    APPLICANT_UNASKED,  /* as far as is known, everybody may send */
    APPLICANT_ASKING,   /* whether credentials are asked for */
    APPLICANT_APPLYING, /* they are shown, and there is no verdict yet */
    APPLICANT_ADMITTED,
    APPLICANT_REFUSED,
    APPLICANT_WITHOUT, /* asked, and there is nothing to show to that provider */
    APPLICANT_STATE_COUNT,
};

/* Beside enum word_refusal: what no provider has said. */
enum applicant_refusal {
    APPLICANT_UNANSWERED = WORD_REFUSAL_COUNT, /* no verdict came */
    APPLICANT_UNREADABLE,                      /* the provider demands again: it has another key than is configured */
    APPLICANT_REFUSAL_COUNT,
};

struct applicant_info {
    enum applicant_state state;
    uint32_t provider; /* who has asked last; 0: nobody */
    unsigned refusal;  /* REFUSED: enum word_refusal or applicant_refusal */
    instant until;     /* ADMITTED */
    uint64_t demands, shown, admitted, refused;
    uint64_t held, lost; /* packets that were held back; of these, such as were not sent */
    uint64_t ignored;    /* words that mean nothing now, or are none */
};

struct applicant;

/* credentials outlive it. NULL: no memory. */
struct applicant *applicant_new(const struct credential *credentials, size_t count, uint16_t protocol,
                                const struct rng *rng);
/* Accepts NULL. */
void applicant_free(struct applicant *a);
/* The client is seen here from now on, or another router serves it: whether that one asks is to be found out. */
void applicant_begin(struct applicant *a, const struct client_id *self, instant now);
/* A word that came from a router of this provider. */
void applicant_on_word(struct applicant *a, uint32_t provider, const uint8_t *data, size_t len, instant now);
/* A packet came from a router: it serves whoever was refused, or has nothing to show. */
void applicant_on_served(struct applicant *a);
/* A word to say now: its length in out (WORD_ADMIT_MAX); 0: none. */
size_t applicant_output(struct applicant *a, uint8_t *out, instant now);
instant applicant_next_expiry(const struct applicant *a);
/* Are packets to be held back now? */
bool applicant_waits(const struct applicant *a);
/* Keeps a packet of at most PROTOCOL_PACKET_MAX bytes; there is no place for one more than APPLICANT_HELD_MAX, and it
 * is lost. */
void applicant_hold(struct applicant *a, const uint8_t *packet, size_t len);
/* The next one that need not be held any more, in out (PROTOCOL_PACKET_MAX): its length; 0: none. */
size_t applicant_release(struct applicant *a, uint8_t *out);
void applicant_info_get(const struct applicant *a, struct applicant_info *ret);
const char *applicant_state_name(unsigned state);
/* Of either enum. */
const char *applicant_refusal_name(unsigned refusal);
