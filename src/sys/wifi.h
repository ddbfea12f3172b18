/* sys/wifi.h - the strength of an uplink's radio signal, wherever it comes from.
 *
 * Two sources behind one interface: the kernel (nl80211), and plain files, from which a laboratory feeds values. */
#pragma once

#include "base/base.h"

struct wifi;

/* Asks the kernel. 0; -EOPNOTSUPP (a kernel without nl80211: no WiFi here) or another -errno. */
MUST_CHECK int wifi_open(struct wifi **ret);
/* Reads `path/<interface>` if path is a folder, else path itself for every interface: one decimal number in dBm. The
 * file is read anew each time. 0, -EINVAL (too long) or -ENOMEM. */
MUST_CHECK int wifi_file_open(const char *path, struct wifi **ret);
/* Accepts NULL. */
void wifi_free(struct wifi *w);

/* The signal of the station that the interface is associated with (of several, the strongest), in dBm, -127..0.
 * 0; -ENODEV (no such interface, or it has no radio); -ENOTCONN (not associated); -EPROTO (the answer or file is not
 * understood) or another -errno. Takes microseconds to a millisecond; drivers refresh it about once a second. */
int wifi_signal_dbm(struct wifi *w, const char *interface, int *ret);
