/* prog/dmuxd_device.c - packets between the device and the role, with the device's offloads.
 *
 * Theory of operation. What the device gives may be a super-packet, or have a partial checksum: it is cut and completed
 * here, so that the core sees packets as they are on a wire, and what it makes of them are datagrams of one length to
 * one place: a train (dmuxd.c). What goes to the device is merged, flow by flow, as far as one batch of the socket
 * goes; merging verifies checksums, since nobody has vouched for them. Without the virtio header packets go one by one.
 *
 * DSCP and ECN of a packet go out with its datagram, and congestion that the network met a datagram with goes on with
 * the packet (RFC 6040, RFC 2983). A gateway passes ECN alone: a stranger's DSCP is no order in its network.
 *
 * A merged packet's payload stays in the socket's buffers: dmuxd_device_flush comes before they are read into again. */
#include "prog/dmuxd.h"
#include "prog/offload.h"
#include "tunnel/ecn.h"

#include <errno.h>
#include <syslog.h>

int dmuxd_device_open(struct dmuxd *d, const struct tun_addr *addrs, size_t count)
{
    struct tun_options o = {
        .name = d->config->device, .mtu_bytes = PROTOCOL_PACKET_MAX, .addrs = addrs, .addrs_count = count
    };
    int r = tun_open(&o, &d->tun);

    if (r < 0)
        dmuxd_say(LOG_ERR, "device=%s error=%s", d->config->device, strerror(-r));
    else
        merge_init(d->merge, offload_merge_options(d->tun));
    return r;
}

static void write_ready(struct dmuxd *d)
{
    struct merged m;

    while (merge_pop(d->merge, &m)) {
        if (offload_write(d->tun, &m) < 0)
            d->tun_refused++;
    }
}

static void write_plain(struct dmuxd *d, const uint8_t *packet, size_t len)
{
    struct iovec iov = { .iov_base = (void *)(uintptr_t)packet, .iov_len = len };

    if (tun_write(d->tun, &iov, 1, NULL) < 0)
        d->tun_refused++;
}

uint8_t dmuxd_outer_tos(const uint8_t *packet, size_t len)
{
    struct packet_info info;

    return packet_parse(packet, len, &info) == 0 ? ecn_tos(packet) : 0;
}

/* What the network said of congestion goes on to the receiver (RFC 6040 section 4.2). False: drop the packet. */
static bool hear_ecn(uint8_t *packet, struct packet_info *info, uint8_t outer_tos)
{
    int ecn = ecn_combine(info->ecn, outer_tos & TOS_ECN_MASK);

    if (ecn < 0)
        return false;
    if (ecn != info->ecn)
        ecn_set(packet, (enum ecn)ecn);
    info->ecn = (uint8_t)ecn;
    return true;
}

void dmuxd_to_device(struct dmuxd *d, uint8_t *packet, size_t len, uint8_t outer_tos)
{
    struct packet_info info;
    struct merge_packet p = { .data = packet, .info = &info };

    bool whole = packet_parse(packet, len, &info) == 0 && info.total_len == len;

    if (whole && !hear_ecn(packet, &info, outer_tos)) {
        d->congested++;
        return;
    }
    if (!whole || !tun_features_get(d->tun).vnet_hdr) {
        dmuxd_device_flush(d); /* order */
        write_plain(d, packet, len);
        return;
    }
    while (merge_push(d->merge, &p) == -EAGAIN)
        write_ready(d);
}

void dmuxd_device_flush(struct dmuxd *d)
{
    merge_flush(d->merge);
    write_ready(d);
}

void dmuxd_from_device(struct dmuxd *d, const uint8_t *packet, size_t len, const struct tun_meta *meta, instant now)
{
    uint8_t piece[TRAIN_ROOM];
    struct offload o = offload_of_meta(meta);
    struct segment s;
    int n;

    if (meta->gso == TUN_GSO_NONE && !meta->needs_csum) {
        d->role->on_packet(d, packet, len, now);
        return;
    }
    if (segment_init(&s, packet, len, &o) < 0) {
        d->tun_refused++;
        return;
    }
    while ((n = segment_next(&s, piece, sizeof(piece))) > 0)
        d->role->on_packet(d, piece, (size_t)n, now);
}
