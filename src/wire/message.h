/* wire/message.h - messages in the control stream of a session: reliable, in order, each u8 type | body.
 * Types from 0x40 on are skipped when unknown; unknown lower ones end the session (a peer that must be understood). */
#pragma once

#include "wire/frame.h"

enum message_type {
    MESSAGE_CONFIG = 1,      /* agent -> node: struct config_message */
    MESSAGE_STEER_TABLE = 2, /* node -> agent: u8 1 more parts follow | a part of tunnel/steer.h's codec */
    MESSAGE_STEER_DONE = 3,  /* agent -> node: u32 version | u8 0 applied, else refused */
    MESSAGE_PATH_STATUS = 4, /* either: u32 path id | struct path_open */
    MESSAGE_PATH_GONE = 5,   /* either: u32 path id: abandoned, never used again */
    MESSAGE_LIMIT = 6,       /* either: u64, what of its stream the peer may send (session/delivery.h) */
    MESSAGE_UNIT_LIMIT = 7,  /* either: u64 bytes, u64 number, of its units likewise (session/adu.h) */
    MESSAGE_UNIT_GONE = 8,   /* either: once or more: u64 number, u32 count, u32 bytes: units that will not come */
    MESSAGE_SKIPPABLE = 0x40,
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
