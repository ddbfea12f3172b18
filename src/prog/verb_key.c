/* prog/verb_key.c - keygen, pubkey and check. */
#include "ident/suite.h"
#include "prog/config.h"
#include "prog/dmux_config.h"
#include "prog/ini_file.h"
#include "prog/json_client.h"
#include "prog/key_file.h"
#include "prog/realmd_config.h"
#include "prog/verb.h"
#include "sys/clock.h"

#include <errno.h>
#include <stdio.h>
#include <strings.h>

static void public_text(const struct identity *id, char out[KEY_TEXT_SIZE])
{
    struct peer_key k;

    identity_peer_key(id, suite_supported(), &k);
    peer_key_encode(&k, out);
}

int verb_keygen(const struct verb *v, int argc, char **argv)
{
    static const struct verb_option options[] = { { NULL, NULL, NULL } };
    const struct rng kernel = sys_rng();
    char secret[KEY_TEXT_SIZE] = "", public[KEY_TEXT_SIZE], err[FILE_ERR];
    struct identity id;
    int n = verb_options(v, argc, argv, options), r;

    if (n < 0)
        return EXIT_USAGE;
    if (n > 1)
        return verb_misused(v, "found %d arguments, expected one at most", n);
    if (identity_generate(&id, &kernel) < 0)
        return verb_fail(v, "out of memory");
    public_text(&id, public);
    if (n == 1) {
        r = key_file_write(argv[1], &id, err) < 0 ? verb_fail(v, "%s", err) : EXIT_DONE;
        if (r == EXIT_DONE)
            printf("%s\n", public);
    } else {
        r = EXIT_DONE;
        identity_secret_encode(&id, secret);
        printf("PrivateKey = %s\nPublicKey = %s\n", secret, public);
    }
    explicit_bzero(secret, sizeof(secret));
    identity_wipe(&id);
    return r;
}

int verb_pubkey(const struct verb *v, int argc, char **argv)
{
    char text[256] = "", public[KEY_TEXT_SIZE];
    struct identity id;
    size_t n;
    int r;

    if (argc > 1)
        return verb_misused(v, "found an argument, expected the secret key on standard input");
    n = fread(text, 1, sizeof(text) - 1, stdin);
    while (n > 0 && strchr(" \t\r\n", text[n - 1]))
        n--;
    text[n] = '\0';
    r = identity_secret_decode(text, &id);
    explicit_bzero(text, sizeof(text));
    if (r < 0)
        return verb_fail(v, "found %zu characters on standard input, expected a secret key of %d", n, KEY_TEXT_LEN);
    public_text(&id, public);
    identity_wipe(&id);
    printf("%s\n", public);
    return EXIT_DONE;
}

/* The lines as an array. */
static json_t *lines_to_json(char *lines)
{
    json_t *array = json_array();
    char *save = NULL;

    for (char *line = strtok_r(lines, "\n", &save); line; line = strtok_r(NULL, "\n", &save))
        json_array_append_new(array, json_string(line));
    return array;
}

/* The daemon whose file begins with this section; NULL: hawserd's, or nobody's. */
static const char *owner_of(const char *section)
{
    static const struct {
        const struct ini_schema *schema;
        const char *daemon;
    } others[] = { { &dmux_config_schema, "hawser-dmuxd" }, { &realmd_config_schema, "hawser-realmd" } };
    struct config_key k;

    for (size_t i = 0; config_schema_at(i, &k); i++) {
        if (strncasecmp(k.section, section, strcspn(k.section, " ")) == 0)
            return NULL;
    }
    for (size_t i = 0; i < ARRAY_LEN(others); i++) {
        for (unsigned s = 1; s < INI_SECTIONS_MAX && others[i].schema->sections[s]; s++) {
            if (strcasecmp(others[i].schema->sections[s], section) == 0)
                return others[i].daemon;
        }
    }
    return NULL;
}

/* A file that is not right may be another daemon's: its first section tells. NULL: it is not. */
static const char *other_daemon(const char *path)
{
    char line[INI_LINE_MAX], section[INI_WORD_SIZE];
    FILE *f = fopen(path, "re");
    bool found = false;

    while (f && !found && fgets(line, sizeof(line), f))
        found = sscanf(line, " [ %255[^] \t]", section) == 1;
    if (f)
        fclose(f);
    return found ? owner_of(section) : NULL;
}

int verb_check(const struct verb *v, int argc, char **argv)
{
    static char lines[65536];
    bool as_json = false;
    const struct verb_option options[] = { { "json", NULL, &as_json }, { NULL, NULL, NULL } };
    struct config *c = NULL;
    struct text errors;
    const char *other;
    int n = verb_options(v, argc, argv, options), r;

    if (n < 0)
        return EXIT_USAGE;
    if (n != 1)
        return verb_misused(v, "found %d arguments, expected a file", n);
    text_init(&errors, lines, sizeof(lines));
    r = config_load(argv[1], &errors, &c);
    other = r < 0 ? other_daemon(argv[1]) : NULL;
    if (other)
        text_add(&errors, "%s: this looks like a file of %s: %s check %s\n", argv[1], other, other, argv[1]);
    if (as_json) {
        CLEANUP(cleanup_json) json_t *doc = json_pack("{s:b, s:o}", "ok", r == 0, "lines", lines_to_json(lines));

        json_print(doc);
    } else {
        fputs(lines, stderr);
        if (r == -ENOMEM)
            verb_fail(v, "out of memory");
        else if (r == 0)
            printf("%s: ok: %s %s, %zu %s, %zu %s, %zu %s\n", argv[1], config_role_name((enum config_role)c->role),
                   c->name, c->peers_count, c->peers_count == 1 ? "peer" : "peers", c->links_count,
                   c->links_count == 1 ? "link" : "links", c->steer.count, c->steer.count == 1 ? "rule" : "rules");
    }
    config_free(c);
    return r < 0 ? EXIT_FAILED : EXIT_DONE;
}
