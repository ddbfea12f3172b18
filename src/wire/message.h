/* wire/message.h - messages in the control stream of a session: reliable, in order, each u8 type | body.
 * Types from 0x40 on are skipped when unknown; unknown lower ones end the session (a peer that must be understood). */
#pragma once

#include "wire/frame.h"

enum message_type {
    MESSAGE_CONFIG = 1,          /* agent -> node: struct config_message */
    MESSAGE_STEER_TABLE = 2,     /* node -> agent: u8 1 more parts follow | a part of tunnel/steer.h's codec */
    MESSAGE_STEER_DONE = 3,      /* agent -> node: u32 version | u8 0 applied, else refused */
    MESSAGE_PATH_STATUS = 4,     /* either: u32 path id | struct path_open */
    MESSAGE_PATH_GONE = 5,       /* either: u32 path id: abandoned, never used again */
    MESSAGE_LIMIT = 6,           /* either: u64, what of its stream the peer may send (session/delivery.h) */
    MESSAGE_UNIT_LIMIT = 7,      /* either: u64 bytes, u64 number, of its units likewise (session/adu.h) */
    MESSAGE_UNIT_GONE = 8,       /* either: once or more: u64 number, u32 count, u32 bytes: units that will not come */
    MESSAGE_CHANNEL_OPEN = 9,    /* opener -> acceptor: struct channel_open */
    MESSAGE_CHANNEL_ANSWER = 10, /* acceptor -> opener: u16 channel | u8 0: it is open; else enum channel_refusal */
    MESSAGE_CHANNEL_RESET = 11,  /* either: u16 channel: broken off, nothing more of it counts */
    MESSAGE_CHANNEL_LIMIT = 12,  /* either: once or more: u16 channel, u64 what the peer may send (MESSAGE_LIMIT) */
    MESSAGE_CHANNELS_NAMED = 13, /* either, after a restart: all channels that it has kept were named by their limit */
    MESSAGE_SKIPPABLE = 0x40,
    MESSAGE_ADDRESSES = 0x40, /* acceptor -> opener, of applications: struct addresses_message */
    MESSAGE_INTRODUCE = 0x42, /* opener -> acceptor, of hosts: its tag | records in a row (doc/records.md) */
    MESSAGE_FEEDBACK = 0x41,  /* either: u8 enum feedback (session/session.h), of what its application receives */
};

#define CONFIG_ADDRESSES_MAX 8
#define CONFIG_ENDPOINTS_MAX 8

/* What an agent tells a node about its attachment. */
struct config_message {
    uint16_t mtu;    /* largest inner packet, bytes */
    uint32_t wait_s; /* how long the agent keeps a session without a path */
    uint8_t addresses_count;
    struct prefix addresses[CONFIG_ADDRESSES_MAX]; /* the node's own, usually /32 and /128 */
    uint8_t endpoints_count;
    struct endpoint endpoints[CONFIG_ENDPOINTS_MAX]; /* other locators of the agent */
};

/* Writes the type byte too. */
void config_message_write(struct writer *w, const struct config_message *m);
/* Reads the body after the type byte. Later fields that a newer agent adds are skipped. */
void config_message_read(struct reader *r, struct config_message *ret);

/* Where else the acceptor may be reached: the whole list, in place of what it said before. */
struct addresses_message {
    uint8_t count;
    struct endpoint endpoints[CONFIG_ENDPOINTS_MAX];
};

/* Writes the type byte too. */
void addresses_message_write(struct writer *w, const struct addresses_message *m);
/* Reads the body after the type byte; what is behind it is an error. */
void addresses_message_read(struct reader *r, struct addresses_message *ret);

/* A stream of bytes beside packets: on behalf of whose connection, and where to (session/channel.h). */
struct channel_open {
    uint16_t channel;         /* not 0 */
    struct endpoint from, to; /* of one family */
};

/* Why a channel was not opened: what the opener is to tell who asked. */
enum channel_refusal {
    CHANNEL_ACCEPTED = 0,
    CHANNEL_REFUSED, /* there is nobody */
    CHANNEL_REFUSED_NET,
    CHANNEL_REFUSED_HOST,
    CHANNEL_REFUSED_PROHIBITED,
    CHANNEL_REFUSED_BUSY, /* no room: by packets it may go */
    CHANNEL_REFUSAL_COUNT
};

/* Writes the type byte too. */
void channel_open_write(struct writer *w, const struct channel_open *m);
/* Reads the body after the type byte; what is behind it is an error. */
void channel_open_read(struct reader *r, struct channel_open *ret);
