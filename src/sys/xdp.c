/* sys/xdp.c - see xdp.h.
 *
 * Theory of operation. The program is compiled with the rest (bpf/meson.build) and stands in this file's data; libbpf
 * loads it. Of the configuration there are two elements, and a word says which counts: the other is written, then the
 * word. A link holds the program to the interface and is closed by the kernel with the process. */
#include "sys/xdp.h"

#include <errno.h>

#ifdef HAVE_XDP

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <net/if.h>

#include <dmux_bpf.h>

struct xdp {
    struct bpf_object *object;
    struct bpf_link *link;
    int program, config, now, groups, routers, counts;
    uint32_t which; /* config that counts */
};

static int quiet(enum libbpf_print_level level, const char *fmt, va_list ap)
{
    return 0;
}

static int load(struct xdp *x)
{
    static const char *const names[] = { "config", "now", "groups", "routers", "counts" };
    int *const fds[] = { &x->config, &x->now, &x->groups, &x->routers, &x->counts };
    struct bpf_program *program;
    int r;

    libbpf_set_print(quiet);
    x->object = bpf_object__open_mem(dmux_bpf, sizeof(dmux_bpf), NULL);
    if (!x->object)
        return -errno;
    r = bpf_object__load(x->object);
    if (r < 0)
        return r;
    program = bpf_object__find_program_by_name(x->object, "dmux");
    x->program = program ? bpf_program__fd(program) : -ENOENT;
    for (size_t i = 0; i < ARRAY_LEN(names); i++) {
        *fds[i] = bpf_object__find_map_fd_by_name(x->object, names[i]);
        if (*fds[i] < 0)
            return *fds[i];
    }
    return x->program < 0 ? x->program : 0;
}

int xdp_open(const char *interface, struct xdp **ret)
{
    struct xdp *x = calloc(1, sizeof(*x));
    unsigned index = interface ? if_nametoindex(interface) : 0;
    int r;

    if (!x)
        return -ENOMEM;
    if (interface && index == 0) {
        free(x);
        return -ENODEV;
    }
    r = load(x);
    if (r == 0 && interface) {
        x->link = bpf_program__attach_xdp(bpf_object__find_program_by_name(x->object, "dmux"), (int)index);
        r = x->link ? 0 : -errno;
    }
    if (r < 0) {
        xdp_free(x);
        return r;
    }
    *ret = x;
    return 0;
}

void xdp_free(struct xdp *x)
{
    if (!x)
        return;
    bpf_link__destroy(x->link);
    bpf_object__close(x->object);
    free(x);
}

int xdp_set_config(struct xdp *x, const struct xdp_config *c)
{
    const uint32_t one = 1, other = x->which ^ 1;
    int r = bpf_map_update_elem(x->config, &other, c, BPF_ANY);

    if (r == 0)
        r = bpf_map_update_elem(x->now, &one, &other, BPF_ANY);
    if (r == 0)
        x->which = other;
    return r;
}

int xdp_set_clock(struct xdp *x, uint32_t wall_s)
{
    const uint32_t zero = 0;

    return bpf_map_update_elem(x->now, &zero, &wall_s, BPF_ANY);
}

static int removed(int r)
{
    return r == -ENOENT ? 0 : r;
}

int xdp_set_group(struct xdp *x, const struct xdp_group_key *key, const struct xdp_group *group)
{
    return group ? bpf_map_update_elem(x->groups, key, group, BPF_ANY) : removed(bpf_map_delete_elem(x->groups, key));
}

int xdp_set_router(struct xdp *x, const struct xdp_router_key *key, const struct xdp_router *router)
{
    return router ? bpf_map_update_elem(x->routers, key, router, BPF_ANY)
                  : removed(bpf_map_delete_elem(x->routers, key));
}

int xdp_counts(const struct xdp *x, uint64_t ret[XDP_COUNT_COUNT])
{
    int n = libbpf_num_possible_cpus(), r = 0;
    uint64_t *each = n > 0 ? calloc((size_t)n, sizeof(*each)) : NULL;

    if (!each)
        return n < 0 ? n : -ENOMEM;
    for (uint32_t i = 0; i < XDP_COUNT_COUNT && r == 0; i++) {
        r = bpf_map_lookup_elem(x->counts, &i, each);
        ret[i] = 0;
        for (int cpu = 0; r == 0 && cpu < n; cpu++)
            ret[i] += each[cpu];
    }
    free(each);
    return r;
}

int xdp_try(struct xdp *x, const uint8_t *frame, size_t len, uint8_t *out, size_t size, size_t *ret_len,
            uint32_t repeat, uint32_t *ret_ns)
{
    LIBBPF_OPTS(bpf_test_run_opts, o, .data_in = frame, .data_size_in = (uint32_t)len, .data_out = out,
                .data_size_out = (uint32_t)size, .repeat = (int)repeat);
    int r = bpf_prog_test_run_opts(x->program, &o);

    if (r < 0)
        return r;
    *ret_len = o.data_size_out;
    *ret_ns = o.duration;
    return (int)o.retval;
}

#else

int xdp_open(const char *interface, struct xdp **ret)
{
    return -EOPNOTSUPP;
}

void xdp_free(struct xdp *x)
{
}

int xdp_set_config(struct xdp *x, const struct xdp_config *c)
{
    return -EOPNOTSUPP;
}

int xdp_set_clock(struct xdp *x, uint32_t wall_s)
{
    return -EOPNOTSUPP;
}

int xdp_set_group(struct xdp *x, const struct xdp_group_key *key, const struct xdp_group *group)
{
    return -EOPNOTSUPP;
}

int xdp_set_router(struct xdp *x, const struct xdp_router_key *key, const struct xdp_router *router)
{
    return -EOPNOTSUPP;
}

int xdp_counts(const struct xdp *x, uint64_t ret[XDP_COUNT_COUNT])
{
    return -EOPNOTSUPP;
}

int xdp_try(struct xdp *x, const uint8_t *frame, size_t len, uint8_t *out, size_t size, size_t *ret_len,
            uint32_t repeat, uint32_t *ret_ns)
{
    return -EOPNOTSUPP;
}

#endif
