/* Fuzz target: the text forms of keys (ident/keys.h). What is accepted must encode to the same text again. */
#include "ident/keys.h"

#include <assert.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char text[256], again[KEY_TEXT_SIZE];
    struct peer_key k;
    struct identity id;

    if (size >= sizeof(text))
        return 0;
    if (size > 0)
        memcpy(text, data, size);
    text[size] = '\0';
    if (peer_key_decode(text, &k) == 0) {
        peer_key_encode(&k, again);
        assert(strcmp(text, again) == 0);
    }
    if (identity_secret_decode(text, &id) == 0) {
        identity_secret_encode(&id, again);
        assert(strcmp(text, again) == 0);
        identity_wipe(&id);
    }
    return 0;
}
