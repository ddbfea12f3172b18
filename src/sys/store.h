/* sys/store.h - small files that are either old or new, never half-written. */
#pragma once

#include "base/base.h"

#define STORE_BYTES_MAX (16 << 20) /* chosen: state of ours is kilobytes; a larger file is a mistake */

/* Replaces path: a temporary file beside it (mode 0600), fsync, rename, fsync of the directory. When it returns 0 the
 * new content survives a power cut; otherwise the old content is still there. 0 or -errno; on failure err (may be NULL
 * with size 0) says which path and what. */
int store_write(const char *path, const void *data, size_t len, char *err, size_t err_size);
/* The whole file in *ret, with a NUL after it that *ret_len does not count; the caller frees it. 0, -ENOENT, -EFBIG
 * (more than STORE_BYTES_MAX) or another -errno, said in err as above. */
int store_read(const char *path, uint8_t **ret, size_t *ret_len, char *err, size_t err_size);
/* Makes what was made, renamed or removed in the folder of path durable. 0 or -errno. */
int store_sync_folder(const char *path);
