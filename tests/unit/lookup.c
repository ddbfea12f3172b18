/* Unit tests of src/prog/lookup: a holder whose manager is not there, what is told to one of several managers, that
 * nothing is left when it is closed, and that what a host says of itself goes by its links. */
#include "prog/lookup.h"
#include "ident/suite.h"
#include "sys/clock.h"
#include "sys/exchange_io.h"
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

/* --- several managers, of which one is there --- */

static struct exchange_io manager;
static unsigned heard, answered, failures;

static void on_manager(void *ctx, const struct exchange_event *e)
{
    if (e->type != EXCHANGE_REQUEST)
        return;
    heard++;
    assert_int_equal(exchange_io_answer(&manager, &e->asked, "yes", 3, clock_now()), 0);
}

static void on_told(void *context, const uint8_t *answer, size_t len)
{
    answered += answer != NULL;
    failures += answer == NULL;
}

/* Until all that was told is over; the manager turns beside the loop. */
static void run_until(uv_loop_t *loop, unsigned told)
{
    while (answered + failures < told) {
        if (exchange_next_expiry(manager.x) <= clock_now())
            exchange_on_expiry(manager.x, clock_now());
        exchange_io_turn(&manager, clock_now());
        while (exchange_io_read(&manager, 1, clock_now()) > 0)
            continue;
        uv_run(loop, UV_RUN_NOWAIT);
    }
}

/* So many requests fail at once with the one that is dead: the next is told all the same, and not the dead one again.
 */
static void test_the_next_manager(void **state)
{
    const struct udp_options u = { .family = ADDR_V4, .local = addr_v4(0x7f000001) };
    struct identity id;
    const struct exchange_options x = { .self = &id,
                                        .rng = sys_rng(),
                                        .suites = suite_supported(),
                                        .answers = true,
                                        .answers_hello = true,
                                        .peers_max = 8,
                                        .requests_max = 8,
                                        .joins_max = 8 };
    const struct lookup_options o = { .self = NULL };
    struct endpoint at[2] = { { addr_v4(0x7f000001), 1 }, { .addr = addr_v4(0x7f000001) } };
    const uint8_t request[8] = { 0 };
    char err[LOOKUP_ERR];
    struct exchange *at_manager;
    struct lookup *l;
    uv_loop_t loop;
    uv_timer_t patience;

    assert_int_equal(identity_generate(&id, &x.rng), 0);
    at_manager = exchange_new(&x, clock_now());
    exchange_io_init(&manager, at_manager, on_manager, NULL);
    assert_int_equal(exchange_io_open(&manager, 1, &u), 0);
    at[1].port = udp_local_port(manager.sockets[0]);
    uv_loop_init(&loop);
    uv_timer_init(&loop, &patience);
    uv_timer_start(&patience, on_patience, 3 * PATIENCE / MSEC, 0);
    for (unsigned n = 1; n <= 4; n++) {
        heard = answered = failures = 0;
        assert_int_equal(lookup_new(&loop, &o, &l, err), 0);
        for (unsigned i = 0; i < n; i++)
            assert_int_equal(lookup_tell(l, id.ed25519, at, 2, request, sizeof(request), on_told, NULL), 0);
        run_until(&loop, n);
        assert_true(answered == 0 && failures == n);
        for (unsigned i = 0; i < n; i++)
            assert_int_equal(lookup_tell(l, id.ed25519, at, 2, request, sizeof(request), on_told, NULL), 0);
        run_until(&loop, 2 * n);
        assert_true(answered == n && failures == n && heard == n);
        lookup_close(l);
    }
    uv_close((uv_handle_t *)&patience, NULL);
    uv_run(&loop, UV_RUN_DEFAULT);
    assert_int_equal(uv_loop_close(&loop), 0);
    exchange_io_deinit(&manager);
    exchange_free(at_manager);
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(test_nobody_is_there), cmocka_unit_test(test_links),
                                        cmocka_unit_test(test_the_next_manager) };

    return cmocka_run_group_tests_name("lookup", tests, NULL, NULL);
}
