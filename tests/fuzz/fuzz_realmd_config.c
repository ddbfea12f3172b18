/* Fuzz target of prog/realmd_config: any text is a configuration or has a line that says what is wrong. */
#include "prog/realmd_config.h"

#include <assert.h>
#include <errno.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct realmd_config c;
    static char lines[65536];
    struct text errors;
    int r;

    text_init(&errors, lines, sizeof(lines));
    r = realmd_config_parse("f", (const char *)data, size, &errors, &c);
    assert(r == 0 || r == -EINVAL);
    assert((r == 0) == (lines[0] == '\0'));
    if (r == 0) {
        assert(c.directory[0] == '/' && c.control[0] == '/');
        assert(c.listen_count >= 1 && c.listen_count <= REALMD_LISTEN_MAX);
        assert(c.parents_count <= REALMD_ADDRESSES_MAX && c.announce_count <= REALMD_ADDRESSES_MAX);
        assert(c.followed_count <= REALMD_ADDRESSES_MAX);
        assert(c.followed_count == 0 || (c.follow_interval_s >= 1 && c.follow_interval_s <= REALMD_INTERVAL_MAX_S));
        assert(c.followed_count == 0 || (c.parents_count == 0 && c.store[0] == '\0'));
        assert(c.log >= 2 && (c.log & (c.log - 1)) == 0 && c.bindings > 0 && c.peers > 0);
    }
    return 0;
}
