/* Fuzz target of dmux/directory_record: what a binding says of gateways. The first byte is how many targets there are,
 * the rest its details; what is accepted is written again as the same bytes. */
#include "dmux/directory.h"

#include <assert.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct record r;
    struct directory_entry entries[DIRECTORY_ENTRIES_MAX];
    struct record_target targets[RECORD_TARGETS_MAX];
    uint8_t details[RECORD_DETAILS_MAX];
    struct tag tag;
    int count;

    if (size == 0 || size - 1 > RECORD_DETAILS_MAX)
        return 0;
    r = (struct record){ .type = RECORD_BINDING, .kind = KIND_SERVICE_ROUTER };
    r.targets_count = data[0] % (RECORD_TARGETS_MAX + 1);
    for (uint8_t i = 0; i < r.targets_count; i++)
        r.targets[i] = (struct record_target){ .is_locator = true,
                                               .weight = 1,
                                               .locator = { .addr = addr_v4(0x0a000000u + i), .port = 51821 } };
    r.details_len = (uint16_t)(size - 1);
    memcpy(r.details, data + 1, size - 1);
    count = directory_entries_read(&r, entries);
    if (count < 0)
        return 0;
    assert(count == r.targets_count);
    assert(directory_entries_write(entries, (size_t)count, targets, details) == r.details_len);
    assert(memcmp(details, r.details, r.details_len) == 0);
    for (int i = 0; i < count; i++) {
        for (unsigned level = 0; level < DIRECTORY_LEVELS; level++) {
            const struct directory_cell c = directory_cell_of(&entries[i].place, level);

            assert(directory_cell_has(&c, &entries[i].place));
            assert(directory_cell_distance_us(&c, &entries[i].place) == 0);
            assert(directory_tag(&r.issuer, 6, 2, &c, &tag) == 0);
        }
    }
    return 0;
}
