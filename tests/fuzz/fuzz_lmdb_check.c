/* Fuzz target of sys/lmdb_check: no file leads it astray, and what it refuses it tells. Corpus: pages of 512 bytes. */
#include "sys/lmdb_check.h"

#include <assert.h>
#include <errno.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char err[160] = "";
    int r = lmdb_check(data, size, err, sizeof(err));

    assert(r == 0 || r == -EBADMSG || r == -ENOMEM);
    assert((r == -EBADMSG) == (strncmp(err, "page ", 5) == 0));
    return 0;
}
