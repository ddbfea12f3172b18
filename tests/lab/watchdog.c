/* Lab test of prog/watchdog.h: loopback of a network namespace of its own is the device. Needs root. Without it the
 * program says so and exits with 77. */
#include "prog/watchdog.h"
#include "tests/lab/lab.h"

#include <errno.h>
#include <net/if.h>
#include <signal.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <sys/wait.h>

static bool is_up(void)
{
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    struct ifreq ifr = { .ifr_name = "lo" };

    assert_int_equal(ioctl(fd, SIOCGIFFLAGS, &ifr), 0);
    close(fd);
    return ifr.ifr_flags & IFF_UP;
}

/* Beats or does not until the device is so. */
static void until_up(struct watchdog *w, bool up, bool beats)
{
    for (int ms = 0; ms < WAIT_MS && is_up() != up; ms += 10) {
        if (beats)
            assert_int_equal(watchdog_beat(w), 0);
        poll(NULL, 0, 10);
    }
    assert_int_equal(is_up(), up);
}

static void test_hangs(void **state)
{
    struct watchdog w;

    assert_int_equal(watchdog_start(&w, "lo", false), 0);
    until_up(&w, false, false);
    until_up(&w, true, true);
    watchdog_end(&w);
    watchdog_end(&w);
    assert_int_equal(watchdog_beat(&w), -EPIPE);
    assert_int_equal(waitpid(-1, NULL, WNOHANG), -1); /* nobody is left */
    assert_true(is_up());
}

/* It dies while the device is down: who is watched hears of it, and another brings the device up. */
static void test_dies(void **state)
{
    struct watchdog w;
    siginfo_t info;

    assert_int_equal(watchdog_start(&w, "lo", false), 0);
    until_up(&w, false, false);
    kill(w.pid, SIGKILL);
    assert_int_equal(waitid(P_PID, (id_t)w.pid, &info, WEXITED | WNOWAIT), 0);
    assert_int_equal(watchdog_beat(&w), -EPIPE);
    watchdog_end(&w);
    assert_int_equal(watchdog_start(&w, "lo", true), 0);
    until_up(&w, true, false);
    watchdog_end(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(test_hangs), cmocka_unit_test(test_dies) };

    if (enter_namespace(NULL) < 0) {
        puts("needs root and network namespaces");
        return 77;
    }
    signal(SIGPIPE, SIG_IGN); /* as the daemon */
    return cmocka_run_group_tests_name("watchdog", tests, NULL, NULL);
}
