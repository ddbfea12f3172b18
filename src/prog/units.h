/* prog/units.h - spans of time and rates as people write them: 10s, 1.5h, 250ms, 20mbit, 1.5gbit. */
#pragma once

#include "base/base.h"
#include "base/instant.h"

/* A decimal number and a unit: us, ms, s, m, h, d. Case does not matter; the unit may be left out of 0 only.
 * 0, -EINVAL (text) or -ERANGE (does not fit). */
int duration_parse(const char *s, span *ret);
/* A decimal number and a unit: bit, kbit, mbit, gbit, each with or without "/s"; powers of 1000. As above. */
int rate_parse(const char *s, uint64_t *ret_bps);

#define UNIT_STRLEN 24 /* longest text of the functions below and its NUL */

/* "3.2s", "5m", "2h10m", "3d4h": two units at most. Returns buf. */
char *duration_format(span t, char buf[UNIT_STRLEN]);
/* "14.7 Mbit/s" with three digits or so. Returns buf. */
char *rate_format(uint64_t bps, char buf[UNIT_STRLEN]);
/* "1.2 MiB". Returns buf. */
char *bytes_format(uint64_t bytes, char buf[UNIT_STRLEN]);
