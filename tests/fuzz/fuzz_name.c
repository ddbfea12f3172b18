/* Fuzz target of ident/name: what is accepted is canonical after one reading, is made of labels that DNS allows, and is
 * told back by its parts; what is refused is refused at a place inside the text. */
#include "ident/name.h"

#include <assert.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(const struct name *n)
{
    struct name again;
    struct name_error why;
    char realm[NAME_SIZE], label[NAME_HASH_CHARS + 2];

    assert(n->len <= NAME_MAX_LEN && strlen(n->text) == n->len && n->realm_at < n->len);
    assert(n->text[n->realm_at - 2] == name_tier_letter(n->tier) && n->text[n->realm_at - 1] == '.');
    assert(n->has_hash || n->leaf_len > 0);
    assert(strspn(n->text, "abcdefghijklmnopqrstuvwxyz0123456789-.") == n->len && !strstr(n->text, ".."));
    assert(name_parse(n->text, n->len, &again, &why) == 0 && memcmp(n, &again, sizeof(again)) == 0);
    assert(name_parse_realm(n->text + n->realm_at, n->len - n->realm_at, realm, &why) == 0);
    assert(strcmp(realm, n->text + n->realm_at) == 0);
    if (n->has_hash) {
        name_hash_label(n->hash, label);
        assert(memcmp(label, n->text, strlen(label)) == 0);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const char *text = (const char *)data;
    struct name_error why = { 0 };
    char realm[NAME_SIZE];
    struct name n;

    if (name_parse(text, size, &n, &why) == 0)
        check(&n);
    else
        assert(why.why && why.at <= size);
    if (name_parse_realm(text, size, realm, &why) == 0)
        assert(strlen(realm) > 0 && strlen(realm) <= NAME_MAX_LEN);
    else
        assert(why.why && why.at <= size);
    return 0;
}
