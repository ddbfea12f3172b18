/* The published Noise vectors (cacophony's), read from $HAWSER_DATA/noise/cacophony-25519.json; a SKIP without it. */
#include "ident/aead.h"
#include "ident/keys.h"
#include "ident/noise.h"
#include "tests/unit/hex.h"
#include "tests/unit/test.h"

#include <jansson.h>
#include <stdio.h>

static const uint8_t *field(json_t *v, const char *name, uint8_t out[32])
{
    const char *hex = json_string_value(json_object_get(v, name));

    if (!hex)
        return NULL;
    assert_int_equal(unhex(hex, out, 32), 32);
    return out;
}

static void fixed_fill(void *ctx, void *buf, size_t len)
{
    memcpy(buf, ctx, len);
}

static bool which(const char *name, enum noise_pattern *pattern, enum suite *suite)
{
    char ours[NOISE_NAME_SIZE];

    for (*pattern = 0; *pattern < NOISE_PATTERN_COUNT; (*pattern)++) {
        for (*suite = SUITE_CHACHA20_POLY1305; *suite <= SUITE_AES256_GCM; (*suite)++) {
            assert_int_equal(noise_name(*pattern, *suite, ours), 0);
            if (strcmp(ours, name) == 0)
                return true;
        }
    }
    return false;
}

static void side_init(struct noise *n, json_t *v, enum noise_pattern pattern, enum suite suite, bool initiator)
{
    uint8_t prologue[64], s[32], s_pub[32], rs[32], psk[32];
    json_t *psks = json_object_get(v, initiator ? "init_psks" : "resp_psks");
    const char *hex = json_string_value(json_object_get(v, initiator ? "init_prologue" : "resp_prologue"));
    size_t prologue_len = unhex(hex, prologue, sizeof(prologue));
    const uint8_t *s_priv = field(v, initiator ? "init_static" : "resp_static", s);

    if (s_priv)
        assert_int_equal(x25519_public(s_priv, s_pub), 0);
    if (json_array_size(psks) > 0)
        assert_int_equal(unhex(json_string_value(json_array_get(psks, 0)), psk, 32), 32);
    assert_int_equal(noise_init(n, pattern, suite, initiator, prologue, prologue_len, s_priv, s_priv ? s_pub : NULL,
                                initiator ? field(v, "init_remote_static", rs) : NULL,
                                json_array_size(psks) > 0 ? psk : NULL),
                     0);
}

static void run_vector(json_t *v, enum noise_pattern pattern, enum suite suite)
{
    struct noise side[2];
    struct aead *tx[2] = { NULL, NULL }; /* by sender */
    uint8_t e[2][32], keys[2][2][32], hash[32];
    uint64_t counter[2] = { 0, 0 };
    size_t i;
    json_t *m;

    side_init(&side[0], v, pattern, suite, true);
    side_init(&side[1], v, pattern, suite, false);
    assert_non_null(field(v, "init_ephemeral", e[0]));
    field(v, "resp_ephemeral", e[1]);
    json_array_foreach(json_object_get(v, "messages"), i, m)
    {
        uint8_t payload[128], want[256], got[256], back[256];
        size_t len = unhex(json_string_value(json_object_get(m, "payload")), payload, sizeof(payload));
        size_t want_len = unhex(json_string_value(json_object_get(m, "ciphertext")), want, sizeof(want));
        unsigned from = i % 2;

        if (!noise_complete(&side[0])) {
            struct rng r = { fixed_fill, e[from] };

            assert_int_equal(noise_write(&side[from], &r, payload, len, got, sizeof(got)), want_len);
            assert_memory_equal(got, want, want_len);
            assert_int_equal(noise_read(&side[!from], want, want_len, back, sizeof(back)), len);
            assert_memory_equal(back, payload, len);
            continue;
        }
        if (!tx[0]) {
            for (unsigned k = 0; k < 2; k++) {
                assert_int_equal(noise_split(&side[k], keys[k][0], keys[k][1]), 0);
                tx[k] = aead_new(suite, keys[k][0]);
            }
            assert_memory_equal(keys[0][0], keys[1][1], 32);
            assert_memory_equal(keys[0][1], keys[1][0], 32);
        }
        assert_int_equal(aead_seal(tx[from], counter[from], NULL, 0, payload, len, got), 0);
        assert_int_equal(want_len, len + AEAD_TAG_LEN);
        assert_memory_equal(got, want, want_len);
        counter[from]++;
    }
    assert_non_null(tx[0]);
    assert_non_null(field(v, "handshake_hash", hash));
    assert_memory_equal(noise_handshake_hash(&side[0]), hash, 32);
    assert_memory_equal(noise_handshake_hash(&side[1]), hash, 32);
    aead_free(tx[0]);
    aead_free(tx[1]);
}

static void test_vectors(void **state)
{
    const char *data = getenv("HAWSER_DATA");
    unsigned passed = 0, seen[NOISE_PATTERN_COUNT] = { 0 };
    json_error_t err;
    json_t *root, *v;
    char path[4096];
    size_t i;

    snprintf(path, sizeof(path), "%s/noise/cacophony-25519.json", data);
    root = json_load_file(path, 0, &err);
    if (!root)
        fail_msg("%s: %s", path, err.text);
    json_array_foreach(json_object_get(root, "vectors"), i, v)
    {
        enum noise_pattern pattern;
        enum suite suite;

        if (!which(json_string_value(json_object_get(v, "protocol_name")), &pattern, &suite))
            continue;
        run_vector(v, pattern, suite);
        seen[pattern]++;
        passed++;
    }
    json_decref(root);
    print_message("# %u vectors passed\n", passed);
    for (unsigned p = 0; p < NOISE_PATTERN_COUNT; p++)
        assert_true(seen[p] >= 2); /* each pattern of ours, under both ciphers */
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(test_vectors) };

    if (!getenv("HAWSER_DATA")) {
        printf("1..0 # SKIP HAWSER_DATA is not set: the folder that holds noise/cacophony-25519.json\n");
        return 0;
    }
    return cmocka_run_group_tests_name("noise_vectors", tests, NULL, NULL);
}
