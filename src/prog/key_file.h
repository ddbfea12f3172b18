/* prog/key_file.h - files that hold a secret key: one line, mode 0600. */
#pragma once

#include "ident/keys.h"
#include "prog/secret_file.h"

/* Makes the file, durable when 0 comes back; never writes over one. 0, -EEXIST or another -errno, said in err. Nothing
 * is left behind on failure.
 */
MUST_CHECK int key_file_write(const char *path, const struct identity *id, char err[FILE_ERR]);
/* 0 or -errno, said in err: also of a file that others may read. */
MUST_CHECK int key_file_read(const char *path, struct identity *ret, char err[FILE_ERR]);
