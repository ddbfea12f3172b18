/* prog/frames.h - the frames of wire/files.h over a session that does not block. */
#pragma once

#include "hawser/session.h"
#include "wire/files.h"

#define FRAME_MAX (FILES_HEADER_LEN + FILES_BODY_MAX)

struct frames {
    struct hws_session *session; /* not ours */
    size_t in_from, in_to, out_from, out_to;
    uint8_t in[2 * FRAME_MAX], out[2 * FRAME_MAX];
};

enum { FRAMES_NONE, FRAMES_MESSAGE, FRAMES_ENDED };

/* The next message, valid until the next call; FRAMES_ENDED: the peer has finished. Negative: of the session, or
 * -EPROTO.
 */
MUST_CHECK int frames_pop(struct frames *f, struct files_message *ret);
/* Everything pushed has been taken by the session: one frame of any size may be pushed, and a few small ones. */
bool frames_room(const struct frames *f);
void frames_push(struct frames *f, const struct files_message *m);
/* Where FILES_BODY_MAX bytes of the next DATA may be put; frames_push_data says how many there are. */
uint8_t *frames_data(struct frames *f);
void frames_push_data(struct frames *f, size_t len);
/* Gives the session what it takes now. 0 or negative, of the session. */
MUST_CHECK int frames_flush(struct frames *f);
