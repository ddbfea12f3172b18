/* tests/unit/no_memory.h - memory that runs out, in a program that is linked with -Wl,--wrap=calloc. */
#pragma once

#include <stddef.h>

static unsigned no_memory; /* calls that are to fail */

/* The linker gives these the calls of calloc. */
void *__wrap_calloc(size_t n, size_t size);
void *__real_calloc(size_t n, size_t size);

void *__wrap_calloc(size_t n, size_t size)
{
    if (no_memory == 0)
        return __real_calloc(n, size);
    no_memory--;
    return NULL;
}
