/* prog/secret_file.h - files that hold a secret: one line, which only the owner may read. */
#pragma once

#include "base/base.h"

#define FILE_ERR 512 /* bytes of a message that names a file */

/* The first line, without the space behind it; one that is too long is cut. The caller wipes it. 0; -errno, -EINVAL (no
 * regular file) or -EPERM (others may read it), said in err. */
MUST_CHECK int secret_file_line(const char *path, char *line, size_t size, char err[FILE_ERR]);
