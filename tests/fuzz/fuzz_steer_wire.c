/* Fuzz target: a steering table from the wire (tunnel/steer.h). There is one spelling of each table: what is accepted
 * must encode to the bytes that were read. */
#include "tunnel/steer.h"

#include <assert.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct steer_table t;
    static uint8_t again[STEER_WIRE_MAX];
    struct reader r = reader_init(data, size);
    struct writer w = writer_init(again, sizeof(again));
    size_t used;

    steer_table_init(&t);
    if (steer_table_decode(&r, &t) < 0) {
        assert(t.count == 0 && t.version == 0);
        return 0;
    }
    used = size - reader_left(&r);
    steer_table_encode(&t, &w);
    assert(!w.failed && writer_len(&w) == used && memcmp(again, data, used) == 0);
    for (size_t i = 0; i < t.count; i++) {
        const struct steer_rule *rule = &t.rules[i];
        struct packet_info p = { .proto = rule->proto, .dscp = rule->dscp & 63, .sport = rule->ports[0].first };
        int got;

        /* A packet that the rule matches finds it or a better one, never a shorter prefix. */
        p.src = rule->dst.addr;
        if (p.src.family == ADDR_NONE)
            p.src.family = ADDR_V6;
        p.family = p.src.family;
        got = steer_lookup(&t, &p, 0, true);
        assert(got >= 0 && t.rules[got].dst.len >= rule->dst.len);
        steer_classify(steer_action_of(&t, got), &p);
    }
    return 0;
}
