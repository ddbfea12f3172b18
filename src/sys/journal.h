/* sys/journal.h - a file that only grows: frames that are there as a whole, or not at all.
 *
 *   "hwj1" | frames: u32 length | the frame | u64 check     integers big-endian
 *
 * The check is SipHash-1-3 of length and frame, under the frame's place in the file as key: against accidents, not
 * against people; who writes signs. A frame that journal_append returned 0 for survives a power cut. One that was being
 * written when the power went is a torn tail: the file ends in it, with sectors of 512 bytes missing anywhere. It was
 * never acknowledged, and the next append writes over it. Anything else that is wrong is damage, which is told and
 * never mended. */
#pragma once

#include "base/base.h"

#define JOURNAL_FRAME_MAX (16u << 20)  /* chosen: 4096 records of 4 KB */
#define JOURNAL_BYTES_MAX (1ull << 30) /* chosen: of the whole file, which is read into memory */

struct journal;

/* Opens, or makes it (mode 0600, its folder's entry durable) if `create`; for one process at a time if `writing`. 0;
 * -EBUSY: another process writes it; -EBADMSG: damaged, or no journal; -errno. On failure err (may be NULL with size 0)
 * names the file, and the byte. */
int journal_open(const char *path, bool create, bool writing, struct journal **ret, char *err, size_t err_size);
/* Accepts NULL. */
void journal_close(struct journal *j);
/* Reads what others have appended since. 0, also when there is nothing; -ESTALE: it is another file now, open it anew;
 * otherwise as journal_open. After a failure what was read before is there. */
int journal_read_on(struct journal *j, char *err, size_t err_size);
/* One that is open becomes the one that writes, and reads on; or ceases to be. As journal_open. */
int journal_begin_writing(struct journal *j, char *err, size_t err_size);
void journal_end_writing(struct journal *j);
/* The next frame, from the first on, those that were appended here too: true, and bytes that stay until journal_close.
 */
bool journal_next(struct journal *j, const uint8_t **ret, size_t *ret_len);
/* Where the frame that journal_next gave last begins: for messages. */
uint64_t journal_offset(const struct journal *j);
/* Bytes up to the end of the last whole frame. */
uint64_t journal_size(const struct journal *j);
/* Bytes of a torn tail. */
uint64_t journal_torn(const struct journal *j);
/* Writes a frame of 1..JOURNAL_FRAME_MAX bytes behind the last and waits until it is durable. 0; -EFBIG; -errno, said
 * in err as above. After a failure nothing was written, or a torn tail was, and no further append is taken: open it
 * anew. */
int journal_append(struct journal *j, const void *frame, size_t len, char *err, size_t err_size);
