/* The two ends of a copier (src/prog/receiver, sender), each over a session with a peer that says what the test likes:
 * out of turn, too much, too early, or what crosses the other's word. */
#include "prog/receiver.h"
#include "prog/sender.h"
#include "sys/clock.h"
#include "tests/api/pair.h"
#include "tests/unit/digest.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

static char folder[] = "/tmp/hawser-copy-XXXXXX";
static int dir;
static struct frames peer; /* what the test says */
static struct files_message heard;

static void say(struct files_message m)
{
    frames_push(&peer, &m);
}

static void say_type(enum files_type type)
{
    say((struct files_message){ .type = (uint8_t)type });
}

static void say_at(enum files_type type, uint64_t at)
{
    say((struct files_message){ .type = (uint8_t)type, .at = at });
}

static void say_data(const char *bytes)
{
    say((struct files_message){ .type = FILES_DATA,
                                .data = { .bytes = (const uint8_t *)bytes, .len = strlen(bytes) } });
}

static void say_offer(const char *name, uint64_t size)
{
    say((struct files_message){ .type = FILES_OFFER,
                                .offer = { .size = size, .mode = 0600, .name = name, .name_len = strlen(name) } });
}

static void say_end(const char *all)
{
    struct files_message m = { .type = FILES_END };

    digest(all, strlen(all), m.hash);
    say(m);
}

static unsigned files_there(void)
{
    DIR *d = opendir(folder);
    unsigned n = 0;

    assert_non_null(d);
    while (readdir(d))
        n++;
    closedir(d);
    return n - 2;
}

static void expect_file(const char *name, const char *content)
{
    char buf[100] = "";
    int fd = openat(dir, name, O_RDONLY);

    assert_true(fd >= 0 && read(fd, buf, sizeof(buf) - 1) >= 0);
    close(fd);
    assert_string_equal(buf, content);
}

/* --- a receiver --- */

static struct pair p;
static struct receiver *r;
static struct receiver_event told;
static int told_count;

static void receiver_begin(void)
{
    p = connect_pair();
    r = receiver_new(p.server, dir, true, false, clock_now());
    assert_non_null(r);
    p.server = NULL;
    peer = (struct frames){ .session = p.client };
    told_count = 0;
}

static void receiver_end(void)
{
    receiver_free(r);
    close_pair(&p);
}

/* What the receiver says next: a type, or 0 when it has ended the session. */
static int hear(void)
{
    for (int i = 0; i < 10000; i++) {
        struct receiver_event ev;
        int got = receiver_work(r, clock_now(), &ev);

        if (got == RECEIVER_EVENT) {
            told = ev;
            told_count++;
        }
        if (got == RECEIVER_ENDED)
            return 0;
        assert_int_equal(frames_flush(&peer), 0);
        got = frames_pop(&peer, &heard);
        if (got == FRAMES_MESSAGE && heard.type != FILES_GOT)
            return heard.type;
        assert_true(got >= 0);
        turn(&p);
    }
    fail_msg("nothing is said");
    return -1;
}

static void expect_good_file(const char *name)
{
    say_offer(name, 5);
    assert_int_equal(hear(), FILES_HAVE);
    assert_int_equal(heard.have.what, FILES_NOTHING);
    say_at(FILES_START, 0);
    say_data("hello");
    say_end("hello");
    assert_int_equal(hear(), FILES_DONE);
    expect_file(name, "hello");
    assert_int_equal(unlinkat(dir, name, 0), 0);
}

static void test_out_of_turn(void **state)
{
    static const uint8_t types[] = { FILES_HELLO, FILES_HAVE, FILES_START, FILES_DATA,   FILES_HOLE,
                                     FILES_END,   FILES_GOT,  FILES_DONE,  FILES_CANCEL, FILES_REFUSE };

    for (size_t i = 0; i < ARRAY_LEN(types); i++) {
        struct files_message m = { .type = types[i] };

        if (m.type == FILES_HOLE)
            m.hole = 1;
        else if (m.type == FILES_DATA)
            m.data.bytes = (const uint8_t *)"x", m.data.len = 1;
        receiver_begin();
        say_type(FILES_HELLO);
        assert_int_equal(hear(), FILES_HELLO);
        say(m);
        assert_int_equal(hear(), 0);
        receiver_end();
    }
    receiver_begin();
    say_offer("before-hello", 0);
    while (hear() == FILES_HELLO)
        ;
    assert_true(r->ended);
    receiver_end();
    receiver_begin();
    say_type(FILES_HELLO);
    assert_int_equal(hear(), FILES_HELLO);
    say_offer("twice", 5);
    assert_int_equal(hear(), FILES_HAVE);
    say_offer("twice", 5);
    assert_int_equal(hear(), 0);
    receiver_end();
    assert_int_equal(files_there(), 0);
}

/* A file that is refused in the middle, by whichever way the sender learns of it: the next one is not troubled. */
static void test_refused_in_the_middle(void **state)
{
    receiver_begin();
    say_type(FILES_HELLO);
    assert_int_equal(hear(), FILES_HELLO);
    for (int crossed = 0; crossed < 2; crossed++) {
        say_offer("bad", 5);
        assert_int_equal(hear(), FILES_HAVE);
        say_at(FILES_START, 0);
        say_data("hello");
        say_data("!");
        say_data("!");
        if (crossed) /* END was on its way before REFUSE could be heard */
            say_end("hello!!");
        assert_int_equal(hear(), FILES_REFUSE);
        assert_string_equal(heard.said.text, "more bytes than were offered");
        assert_int_equal(told.type, RECEIVER_FAILED);
        if (!crossed)
            say_type(FILES_CANCEL);
        expect_good_file("good");
        assert_int_equal(unlinkat(dir, "bad.hawser-part", 0), 0);
    }
    say_offer("bad", 5);
    assert_int_equal(hear(), FILES_HAVE);
    say_at(FILES_START, 0);
    say_data("hallo");
    say_end("hello");
    assert_int_equal(hear(), FILES_REFUSE);
    expect_good_file("good");
    say_offer("bad", 5); /* hallo is there */
    assert_int_equal(hear(), FILES_HAVE);
    assert_int_equal(heard.have.what, FILES_SOME);
    say_type(FILES_CANCEL);
    assert_int_equal(hear(), FILES_DONE);
    expect_good_file("good");
    assert_int_equal(r->offered, 8);
    assert_int_equal(r->failed, 4);
    assert_int_equal(unlinkat(dir, "bad.hawser-part", 0), 0);
    receiver_end();
    assert_int_equal(files_there(), 0);
}

static void test_the_sender_goes(void **state)
{
    receiver_begin();
    say_type(FILES_HELLO);
    assert_int_equal(hear(), FILES_HELLO);
    say_offer("cut", 10);
    assert_int_equal(hear(), FILES_HAVE);
    say_at(FILES_START, 0);
    say_data("hello");
    assert_int_equal(frames_flush(&peer), 0);
    hws_session_finish(p.client);
    assert_int_equal(hear(), 0);
    assert_int_equal(told_count, 1);
    assert_int_equal(told.type, RECEIVER_FAILED);
    assert_string_equal(told.text, "interrupted after 5 of 10 bytes: the sender ended");
    expect_file("cut.hawser-part", "hello");
    assert_int_equal(unlinkat(dir, "cut.hawser-part", 0), 0);
    receiver_end();
    assert_int_equal(files_there(), 0);
}

static void test_a_stranger(void **state)
{
    receiver_begin();
    receiver_turn_away(r, "no");
    say_type(FILES_HELLO);
    say_offer("strange", 5);
    assert_int_equal(hear(), FILES_HELLO);
    assert_int_equal(hear(), FILES_REFUSE);
    assert_int_equal(heard.said.cause, FILES_STRANGER);
    assert_int_equal(hear(), 0);
    assert_int_equal(told_count, 0);
    receiver_end();
    assert_int_equal(files_there(), 0);
}

/* --- a sender --- */

static struct frames ours;
static struct sender s;
static struct sender_file files[2];
static int result;

static void sender_begin(void)
{
    char path[100];
    int fd = openat(dir, "source", O_WRONLY | O_CREAT | O_TRUNC, 0600);
    static char stored[100];

    snprintf(path, sizeof(path), "%s/source", folder);
    memcpy(stored, path, sizeof(path));
    assert_true(fd >= 0 && write(fd, "hello", 5) == 5);
    close(fd);
    p = connect_pair();
    ours = (struct frames){ .session = p.client };
    peer = (struct frames){ .session = p.server };
    for (size_t i = 0; i < 2; i++)
        files[i] = (struct sender_file){ .path = stored, .name = "source" };
    sender_init(&s, &ours, files, 2, false);
}

static void sender_end(void)
{
    sender_deinit(&s);
    close_pair(&p);
    assert_int_equal(unlinkat(dir, "source", 0), 0);
}

/* What the sender says next: a type, or 0 when it is at its end: result. */
static int hear_sender(void)
{
    for (int i = 0; i < 10000; i++) {
        int got;

        result = sender_work(&s, clock_now());
        if (result < 0 || result == SENDER_ENDED)
            return 0;
        assert_int_equal(frames_flush(&peer), 0);
        got = frames_pop(&peer, &heard);
        if (got == FRAMES_MESSAGE)
            return heard.type;
        if (got == FRAMES_ENDED)
            hws_session_finish(p.server);
        assert_true(got >= 0);
        turn(&p);
    }
    fail_msg("nothing is said");
    return -1;
}

static void say_have(enum files_there what, uint64_t bytes, const char *content)
{
    struct files_message m = { .type = FILES_HAVE, .have = { .what = (uint8_t)what, .bytes = bytes } };

    if (what != FILES_NOTHING)
        digest(content, strlen(content), m.have.hash);
    say(m);
}

static void test_a_receiver_out_of_turn(void **state)
{
    for (int wrong = 0; wrong < 5; wrong++) {
        sender_begin();
        assert_int_equal(hear_sender(), FILES_HELLO);
        say_type(wrong == 0 ? FILES_DONE : FILES_HELLO);
        if (wrong > 0) {
            assert_int_equal(hear_sender(), FILES_OFFER);
            if (wrong == 1)
                say_type(FILES_DONE);
            else if (wrong == 2)
                say_have(FILES_SOME, 6, "hello!"); /* more than there is */
            else if (wrong == 3)
                say_type(FILES_CANCEL);
            else
                say_have(FILES_NOTHING, 0, ""), say_have(FILES_NOTHING, 0, "");
        }
        while (hear_sender() != 0)
            ;
        assert_int_equal(result, -EPROTO);
        sender_end();
    }
}

static void expect_bytes(uint64_t at, const char *content)
{
    uint8_t hash[FILES_HASH_LEN];

    digest("hello", 5, hash);
    assert_int_equal(hear_sender(), FILES_START);
    assert_int_equal(heard.at, at);
    if (*content) {
        assert_int_equal(hear_sender(), FILES_DATA);
        assert_int_equal(heard.data.len, strlen(content));
        assert_memory_equal(heard.data.bytes, content, strlen(content));
    }
    assert_int_equal(hear_sender(), FILES_END);
    assert_memory_equal(heard.hash, hash, sizeof(hash));
}

static void begin_and_offer(void)
{
    sender_begin();
    assert_int_equal(hear_sender(), FILES_HELLO);
    say_type(FILES_HELLO);
    assert_int_equal(hear_sender(), FILES_OFFER);
    assert_int_equal(heard.offer.size, 5);
    assert_int_equal(heard.offer.name_len, 6);
}

static void test_from_where(void **state)
{
    begin_and_offer();
    say_have(FILES_SOME, 2, "he");
    expect_bytes(2, "llo");
    say_type(FILES_DONE);
    assert_int_equal(hear_sender(), FILES_OFFER);
    assert_int_equal(files[0].outcome, SENDER_SENT);
    assert_int_equal(files[0].had, 2);
    say_have(FILES_SOME, 2, "ha");
    expect_bytes(0, "hello");
    say_type(FILES_DONE);
    assert_int_equal(hear_sender(), 0);
    assert_int_equal(result, SENDER_ENDED);
    assert_int_equal(files[1].outcome, SENDER_SENT);
    assert_int_equal(files[1].had, 0);
    sender_end();

    begin_and_offer();
    say_have(FILES_SOME, 5, "hello"); /* all, but without its name */
    expect_bytes(5, "");
    say_type(FILES_DONE);
    assert_int_equal(hear_sender(), FILES_OFFER);
    say_have(FILES_OLD, 5, "hallo");
    expect_bytes(0, "hello");
    say_type(FILES_DONE);
    assert_int_equal(hear_sender(), 0);
    sender_end();

    begin_and_offer();
    say_have(FILES_OLD, 5, "hello");
    assert_int_equal(hear_sender(), FILES_CANCEL);
    assert_int_equal(heard.said.cause, FILES_SAME);
    assert_int_equal(files[0].outcome, SENDER_PENDING); /* until it was heard */
    say_type(FILES_DONE);
    assert_int_equal(hear_sender(), FILES_OFFER);
    assert_int_equal(files[0].outcome, SENDER_SAME);
    say_have(FILES_WHOLE, 5, "hallo");
    assert_int_equal(hear_sender(), FILES_CANCEL);
    assert_int_equal(heard.said.cause, FILES_EXISTS);
    say_type(FILES_DONE);
    assert_int_equal(hear_sender(), 0);
    assert_int_equal(files[1].outcome, SENDER_FAILED);
    sender_end();
}

static void say_refuse(const char *text)
{
    struct files_message m = { .type = FILES_REFUSE };

    snprintf(m.said.text, sizeof(m.said.text), "%s", text);
    say(m);
}

/* A receiver's last word that crosses ours is of the file that it is about, and not of the next. */
static void test_refused_when(void **state)
{
    begin_and_offer();
    say_refuse("at once");
    assert_int_equal(hear_sender(), FILES_OFFER);
    assert_string_equal(files[0].error, "refused: at once");
    say_have(FILES_NOTHING, 0, "");
    expect_bytes(0, "hello");
    say_refuse("in the end");
    assert_int_equal(hear_sender(), 0);
    assert_string_equal(files[1].error, "refused: in the end");
    sender_end();

    begin_and_offer();
    say_have(FILES_WHOLE, 5, "hello");
    assert_int_equal(hear_sender(), FILES_CANCEL);
    say_refuse("it crossed");
    assert_int_equal(hear_sender(), FILES_OFFER);
    assert_int_equal(files[0].outcome, SENDER_SAME);
    say_have(FILES_NOTHING, 0, "");
    expect_bytes(0, "hello");
    say_type(FILES_DONE);
    assert_int_equal(hear_sender(), 0);
    assert_int_equal(files[1].outcome, SENDER_SENT);
    sender_end();
}

/* More than a session keeps: the sender is in the middle of it when it hears the word. */
static void test_refused_while_sending(void **state)
{
    static char much[65536];
    int fd;

    sender_begin();
    fd = openat(dir, "source", O_WRONLY);
    for (int i = 0; i < 400; i++)
        assert_int_equal(write(fd, much, sizeof(much)), sizeof(much));
    close(fd);
    assert_int_equal(hear_sender(), FILES_HELLO);
    say_type(FILES_HELLO);
    for (int i = 0; i < 2; i++) {
        assert_int_equal(hear_sender(), FILES_OFFER);
        say_have(FILES_NOTHING, 0, "");
        assert_int_equal(hear_sender(), FILES_START);
        assert_int_equal(hear_sender(), FILES_DATA);
        say_refuse("enough");
        while (hear_sender() == FILES_DATA)
            ;
        assert_int_equal(heard.type, FILES_CANCEL);
        assert_string_equal(files[i].error, "refused: enough");
    }
    assert_int_equal(hear_sender(), 0);
    sender_end();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_out_of_turn),
        cmocka_unit_test(test_refused_in_the_middle),
        cmocka_unit_test(test_the_sender_goes),
        cmocka_unit_test(test_a_stranger),
        cmocka_unit_test(test_a_receiver_out_of_turn),
        cmocka_unit_test(test_from_where),
        cmocka_unit_test(test_refused_when),
        cmocka_unit_test(test_refused_while_sending),
    };
    int failed;

    if (!mkdtemp(folder) || (dir = open(folder, O_RDONLY | O_DIRECTORY)) < 0)
        return 1;
    failed = cmocka_run_group_tests(tests, NULL, NULL);
    rmdir(folder);
    return failed;
}
