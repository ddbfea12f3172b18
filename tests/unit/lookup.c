/* Unit tests of src/prog/lookup: a holder whose manager is not there, that nothing is left when it is closed, and that
 * what a host says of itself goes by its links. */
#include "prog/lookup.h"
#include "sys/clock.h"
#include "tests/unit/test.h"

#include <dirent.h>
#include <errno.h>

#define PATIENCE (20 * SEC) /* what has not come by then will not come */

/* Descriptors of this process. */
static unsigned descriptors(void)
{
    DIR *d = opendir("/proc/self/fd");
    unsigned n = 0;

    assert_non_null(d);
    while (readdir(d))
        n++;
    closedir(d);
    return n;
}

static void on_patience(uv_timer_t *t)
{
    fail_msg("nothing has come");
}

/* It was tried once, in vain, and waits to be tried again. */
static bool failed(const struct holder *h)
{
    return h->state == HOLDER_TRYING && !h->asking && h->retry > HOLDER_RETRY_MIN;
}

static void test_nobody_is_there(void **state)
{
    const struct record_target target = { .is_locator = true,
                                          .locator = { .addr = addr_v4(0xc0000201), .port = 4500 } };
    const struct locator_pair nobody = { .remote = { .addr = addr_v4(0x7f000001), .port = 1 } };
    const struct lookup_options o = { .self = NULL };
    const struct rng rng = sys_rng();
    char err[LOOKUP_ERR];
    struct holder h;
    struct identity id;
    struct tag tag = { 0 };
    struct lookup *l;
    uv_loop_t loop;
    uv_timer_t patience;
    unsigned before;

    assert_int_equal(identity_generate(&id, &rng), 0);
    assert_int_equal(tag_make(id.ed25519, TAG_RAA_DEFAULT, TAG_HDA_DEFAULT, &tag), 0);
    holder_init(&h, id.ed25519_seed, &tag, &tag, KIND_HOST_LOCATOR, CLASS_FULL, HOLDER_LEASE_S, 1, 1);
    uv_loop_init(&loop); /* the first one makes a pipe for signals, which stays */
    assert_int_equal(uv_loop_close(&loop), 0);
    before = descriptors();
    uv_loop_init(&loop);
    uv_timer_init(&loop, &patience);
    uv_timer_start(&patience, on_patience, PATIENCE / MSEC, 0);
    assert_int_equal(lookup_new(&loop, &o, &l, err), 0);
    assert_int_equal(lookup_hold(l, &h, id.ed25519, NULL, 0), -EINVAL);
    assert_int_equal(lookup_hold(l, &h, id.ed25519, &nobody, 1), 0);
    assert_int_equal(holder_set_targets(&h, &target, 1, clock_now()), 0);
    lookup_wake(l);
    while (!failed(&h))
        uv_run(&loop, UV_RUN_ONCE);
    assert_int_equal(holder_set_targets(&h, NULL, 0, clock_now()), 0);
    lookup_wake(l);
    lookup_unhold(l, &h);
    lookup_close(l);
    uv_close((uv_handle_t *)&patience, NULL);
    uv_run(&loop, UV_RUN_DEFAULT);
    assert_int_equal(uv_loop_close(&loop), 0);
    assert_int_equal(descriptors(), before);
    holder_deinit(&h);
}

struct sent {
    unsigned by[8]; /* datagrams, by link */
    struct endpoint to;
};

static void on_sent(void *ctx, const struct locator_pair *at, const uint8_t *data, size_t len)
{
    struct sent *s = ctx;

    assert_in_range(at->link, 1, ARRAY_LEN(s->by) - 1);
    s->by[at->link]++;
    s->to = at->remote;
}

/* Nothing but the links that were named is spoken by, and none any more that is not one of them. */
static void test_links(void **state)
{
    const struct endpoint manager = { .addr = addr_v4(0xc0000201), .port = 51823 };
    const struct locator_pair two[] = { { .link = 3, .remote = manager }, { .link = 4, .remote = manager } };
    const struct locator_pair other = { .link = 5, .remote = manager };
    const struct lookup_options o = { .self = NULL };
    const struct rng rng = sys_rng();
    char err[LOOKUP_ERR];
    struct sent sent = { .by = { 0 } };
    struct holder h, another;
    struct identity id;
    struct tag tag = { 0 };
    struct lookup *l;
    uv_loop_t loop;
    uv_timer_t patience;
    unsigned before;

    assert_int_equal(identity_generate(&id, &rng), 0);
    holder_init(&h, id.ed25519_seed, &tag, &tag, KIND_HOST_LOCATOR, CLASS_FULL, HOLDER_LEASE_S, 1, 1);
    holder_init(&another, id.ed25519_seed, &tag, &tag, KIND_HOST_LOCATOR, CLASS_FULL, HOLDER_LEASE_S, 1, 1);
    uv_loop_init(&loop);
    uv_timer_init(&loop, &patience);
    uv_timer_start(&patience, on_patience, PATIENCE / MSEC, 0);
    assert_int_equal(lookup_new(&loop, &o, &l, err), 0);
    lookup_set_host(l, &(struct lookup_host){ .ctx = &sent, .send = on_sent });
    assert_int_equal(lookup_hold(l, &h, id.ed25519, two, ARRAY_LEN(two)), 0);
    while (sent.by[3] == 0 || sent.by[4] == 0) /* who does not answer by one is asked by the other */
        uv_run(&loop, UV_RUN_ONCE);
    assert_true(endpoint_equal(&sent.to, &manager));
    assert_int_equal(lookup_hold_by(l, &another, &other, 1), -ENOENT);
    assert_int_equal(lookup_hold_by(l, &h, &other, 0), -EINVAL);
    assert_int_equal(sent.by[5], 0);
    before = sent.by[3] + sent.by[4];
    assert_int_equal(lookup_hold_by(l, &h, &other, 1), 0);
    while (sent.by[5] < 2)
        uv_run(&loop, UV_RUN_ONCE);
    assert_int_equal(sent.by[3] + sent.by[4], before);
    lookup_unhold(l, &h);
    lookup_close(l);
    uv_close((uv_handle_t *)&patience, NULL);
    uv_run(&loop, UV_RUN_DEFAULT);
    assert_int_equal(uv_loop_close(&loop), 0);
    holder_deinit(&h);
    holder_deinit(&another);
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(test_nobody_is_there), cmocka_unit_test(test_links) };

    return cmocka_run_group_tests_name("lookup", tests, NULL, NULL);
}
