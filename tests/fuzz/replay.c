/* Replays a corpus through a fuzz target, with any compiler: what was found once is never found again.
 *
 * Usage: replay-NAME CORPUS. Each file is one test point: the file itself, every cut of its first CUT_ALL bytes and
 * cuts at CUT_STEPS places of the rest, and the file with each of a few bytes changed. An assertion or a sanitiser ends
 * the program, which is the failure; the file is named before it is tried. */
#include "base/base.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>

#define FILE_MAX (1u << 20) /* bytes; libFuzzer's own default is 4096 */
#define CUT_ALL 64
#define CUT_STEPS 32

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* A copy of its own size each time, so that a sanitiser sees the first byte read beyond it. */
static void feed(const uint8_t *data, size_t size)
{
    uint8_t *copy = malloc(size > 0 ? size : 1);

    if (!copy)
        abort();
    if (size > 0)
        memcpy(copy, data, size);
    LLVMFuzzerTestOneInput(copy, size);
    free(copy);
}

static void replay(uint8_t *data, size_t size)
{
    feed(data, size);
    for (size_t cut = 0; cut < MIN(size, CUT_ALL); cut++)
        feed(data, cut);
    for (size_t i = 0; size > CUT_ALL && i < CUT_STEPS; i++)
        feed(data, CUT_ALL + (size - CUT_ALL) * i / CUT_STEPS);
    for (size_t i = 0; i < MIN(size, CUT_ALL); i++) {
        data[i] ^= 0x81;
        feed(data, size);
        data[i] ^= 0x81;
    }
}

static int is_file(const struct dirent *e)
{
    return e->d_name[0] != '.';
}

int main(int argc, char **argv)
{
    static uint8_t data[FILE_MAX];
    struct dirent **entries;
    char path[4096];
    int n = argc == 2 ? scandir(argv[1], &entries, is_file, alphasort) : -1;

    if (n <= 0) {
        printf("Bail out! %s: no corpus: %s\n", argc > 1 ? argv[1] : "usage: replay CORPUS", strerror(errno));
        return 1;
    }
    setvbuf(stdout, NULL, _IOLBF, 0);
    printf("1..%d\n", n);
    for (int i = 0; i < n; i++) {
        FILE *f;
        size_t size;

        snprintf(path, sizeof(path), "%s/%s", argv[1], entries[i]->d_name);
        printf("# %s\n", entries[i]->d_name);
        f = fopen(path, "re");
        size = f ? fread(data, 1, sizeof(data), f) : 0;
        if (!f || ferror(f) || !feof(f)) {
            printf("not ok %d - %s: not read\n", i + 1, entries[i]->d_name);
        } else {
            replay(data, size);
            printf("ok %d - %s\n", i + 1, entries[i]->d_name);
        }
        if (f)
            fclose(f);
        free(entries[i]);
    }
    free(entries);
    return 0;
}
