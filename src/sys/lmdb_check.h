/* sys/lmdb_check.h - whether a file of LMDB is whole, before LMDB believes it.
 *
 * LMDB follows what stands in its pages without a look: a file that was cut ends the process by SIGBUS, a page that was
 * changed by an assertion or worse. This reads all that the newest commit can reach, and tells the first page that is
 * not as it must be. */
#pragma once

#include "base/base.h"

#define LMDB_CHECK_DBS_MAX 16u /* named tables */
#define LMDB_CHECK_DEPTH_MAX 32u

/* Looks through a file of len bytes, of LMDB's format 1 (0.9, 64-bit, this machine's byte order). 0; -EBADMSG, and err
 * (size bytes, always ended) names the page, what was found and what was expected; -ENOMEM. Values that are rows are
 * not looked into. */
MUST_CHECK int lmdb_check(const uint8_t *file, uint64_t len, char *err, size_t err_size);
