/* dmux/mesh_link.c - links of the mesh: link.c with the secret that all have, for gateways of one realm. What is wrong
 * is counted here. */
#include "dmux/mesh_internal.h"

#include <errno.h>

static struct link_realm realm_of(const struct mesh *m)
{
    return (struct link_realm){ .trust = m->trust, .name = m->o.realm };
}

static struct link_end end_of(const struct mesh *m)
{
    return (struct link_end){ .init_type = DMUX_MESH_INIT,
                              .prologue = "hawser dmux mesh 3",
                              .psk = m->psk,
                              .id = m->o.id,
                              .unicast = m->o.unicast,
                              .identity = m->o.identity,
                              .chain = m->o.chain,
                              .rng = m->rng };
}

size_t mesh_shake_output(struct mesh *m, struct peer *p, uint8_t *out, instant now)
{
    const struct link_end e = end_of(m);

    return link_shake_output(&e, &p->shake, p->x25519, out, now);
}

static int refused(struct mesh *m, int r)
{
    mesh_drop(m, r == -EBADMSG ? MESH_DROP_MALFORMED : MESH_DROP_STRANGER);
    return -EACCES;
}

int mesh_init_read(struct mesh *m, const uint8_t *data, size_t len, const struct endpoint *from, struct noise *ret,
                   struct link_sender *ret_sender)
{
    const struct link_realm realm = realm_of(m);
    const struct link_end e = end_of(m);
    int r = link_init_read(&e, &realm, 1, data, len, from, m->wall_s, ret, ret_sender);

    if (r == 0 && ret_sender->gateway == m->o.id) {
        noise_wipe(ret);
        r = -EACCES;
    }
    return r < 0 ? refused(m, r) : 0;
}

size_t mesh_answer_write(struct mesh *m, struct noise *n, const struct link_sender *to, uint32_t local, uint8_t *out,
                         struct link_keys *ret)
{
    const struct link_end e = end_of(m);

    return link_answer_write(&e, n, to, local, out, ret);
}

int mesh_answer_read(struct mesh *m, struct peer *p, const uint8_t *data, size_t len, const struct endpoint *from,
                     struct link_keys *ret, uint32_t *ret_gateway)
{
    const struct link_realm realm = realm_of(m);
    const struct link_end e = end_of(m);
    int r = link_answer_read(&e, &realm, &p->shake.noise, p->shake.index, data, len, from, m->wall_s, ret, ret_gateway);

    if (r == 0 && (*ret_gateway == m->o.id || (p->gateway != 0 && p->gateway != *ret_gateway))) {
        link_keys_free(ret);
        r = -EACCES;
    }
    return r < 0 ? refused(m, r) : 0;
}

size_t mesh_seal(struct mesh *m, struct link_keys *k, const struct mesh_message *msg, uint8_t *out)
{
    const struct link_end e = end_of(m);

    return link_seal(&e, k, mesh_write(msg, out + LINK_TEXT_AT, MESH_TEXT_MAX), out);
}
