/* sys/tool.h - a program of the system that reads a text and does what it says: nft, iptables-restore. */
#pragma once

#include "base/base.h"

/* Runs argv, which ends in NULL, and waits for it (milliseconds): found in /usr/sbin, /sbin or by PATH, with `input` as
 * its standard input and its standard output unread. 0; -ENOENT (no such program); -EPERM; -EINVAL (it refused the
 * text) or another -errno. On failure err holds what it said, or why it did not run. */
MUST_CHECK int tool_run(const char *const argv[], const char *input, char *err, size_t err_size);
