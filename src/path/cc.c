/* path/cc.c - the table of congestion controls. See cc.h. */
#include "path/cc.h"

#include <assert.h>

#define CC_EXTERN(NAME, name) extern const struct cc_ops cc_##name;
CC_TABLE(CC_EXTERN)
extern const struct cc_ops cc_kernel;

#define CC_ROW(NAME, name) [CC_##NAME] = &cc_##name,
static const struct cc_ops *const controls[CC_COUNT + 1] = { CC_TABLE(CC_ROW)[CC_KERNEL] = &cc_kernel };

const struct cc_ops *cc_get(enum cc kind)
{
    assert(kind <= CC_KERNEL);
    return controls[kind];
}

size_t cc_state_bytes(void)
{
    size_t most = 0;

    for (size_t i = 0; i < ARRAY_LEN(controls); i++)
        most = MAX(most, controls[i]->state_bytes);
    return most;
}
