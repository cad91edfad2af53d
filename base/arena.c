// SPDX-License-Identifier: Apache-2.0
/* Arena: a list of blocks, each at least as large as the one before; see arena.h. */
#include "base/arena.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

struct arena_block {
    arena_block *older;
    size_t size; /* with this header */
    max_align_t bytes[];
};

/* Lives in the arena itself. */
struct arena_keeper {
    arena_keeper *next;
    void (*end)(void *user);
    void *user;
};

enum { FIRST_BLOCK = 4096, LARGEST_STEP = 4 << 20 };

void arena_init(arena *a, size_t limit)
{
    *a = (arena){ .limit = limit };
}

static void end_keepers(arena *a)
{
    while (a->keepers) {
        arena_keeper *k = a->keepers;
        a->keepers = k->next;
        k->end(k->user);
    }
}

void arena_done(arena *a)
{
    end_keepers(a);
    while (a->blocks) {
        arena_block *older = a->blocks->older;
        free(a->blocks);
        a->blocks = older;
    }
    *a = (arena){ .limit = a->limit };
}

void arena_clear(arena *a)
{
    arena_block *largest = NULL;
    end_keepers(a);
    while (a->blocks) {
        arena_block *block = a->blocks;
        a->blocks = block->older;
        if (!largest || block->size > largest->size) {
            free(largest);
            largest = block;
        } else {
            free(block);
        }
    }
    size_t limit = a->limit;
    *a = (arena){ .limit = limit };
    if (largest) {
        largest->older = NULL;
        a->blocks = largest;
        a->used = largest->size;
        a->cursor = (char *)largest->bytes;
        a->end = (char *)largest + largest->size;
    }
}

bool arena_at_end(arena *a, void (*end)(void *user), void *user)
{
    arena_keeper *k = arena_alloc(a, sizeof(*k));
    if (!k)
        return false;
    *k = (arena_keeper){ a->keepers, end, user };
    a->keepers = k;
    return true;
}

void arena_adopt(arena *to, arena *from)
{
    arena_block *oldest = from->blocks;
    if (!oldest)
        return;
    while (oldest->older)
        oldest = oldest->older;
    if (to->blocks) { /* behind the newest, in which `to` goes on allocating */
        oldest->older = to->blocks->older;
        to->blocks->older = from->blocks;
    } else {
        to->blocks = from->blocks; /* full, as far as `to` knows */
    }
    for (arena_keeper *k = from->keepers, *next; k; k = next) {
        next = k->next;
        k->next = to->keepers;
        to->keepers = k;
    }
    to->used += from->used;
    *from = (arena){ .limit = from->limit };
}

void *arena_alloc_slow(arena *a, size_t size, size_t align)
{
    if (size > PTRDIFF_MAX - sizeof(arena_block) - align)
        return NULL;
    size_t need = size + sizeof(arena_block) + align;
    size_t block_size = a->blocks ? MIN(a->blocks->size * 2, (size_t)LARGEST_STEP) : FIRST_BLOCK;
    block_size = MAX(block_size, need);
    if (a->limit) {
        size_t left = a->limit > a->used ? a->limit - a->used : 0;
        if (need > left)
            return NULL;
        block_size = MIN(block_size, left);
    }
    arena_block *block = malloc(block_size);
    if (!block)
        return NULL;
    block->older = a->blocks;
    block->size = block_size;
    a->blocks = block;
    a->used += block_size;
    a->cursor = (char *)block->bytes;
    a->end = (char *)block + block_size;
    uintptr_t at = ((uintptr_t)a->cursor + align - 1) & ~(uintptr_t)(align - 1);
    a->cursor = (char *)at + size;
    return (void *)at;
}

void *arena_calloc(arena *a, size_t count, size_t size)
{
    size_t total;
    if (mul_overflows(&total, count, size))
        return NULL;
    void *p = arena_alloc(a, total);
    if (p)
        memset(p, 0, total);
    return p;
}

void *arena_grow(arena *a, const void *old, size_t old_size, size_t new_size)
{
    void *p = arena_alloc(a, new_size);
    if (p && old_size)
        memcpy(p, old, old_size);
    return p;
}

str arena_str(arena *a, str s)
{
    char *p = s.len == SIZE_MAX ? NULL : arena_alloc_aligned(a, s.len + 1, 1);
    if (!p)
        return (str){ NULL, 0 };
    if (s.len)
        memcpy(p, s.ptr, s.len);
    p[s.len] = 0;
    return (str){ p, s.len };
}

str arena_utf8(arena *a, str s)
{
    static const char replacement[3] = { '\xEF', '\xBF', '\xBD' }; /* U+FFFD */
    size_t bad = 0, n = 0, good;
    for (size_t at = 0; at < s.len; at++, bad++) {
        at += utf8_valid_prefix(str_slice(s, at, s.len));
        if (at == s.len)
            break;
    }
    if (bad == 0)
        return s;
    char *p = arena_alloc_aligned(a, s.len + 2 * bad, 1);
    if (!p)
        return (str){ NULL, 0 };
    for (size_t at = 0; at < s.len; at += good + 1) {
        good = utf8_valid_prefix(str_slice(s, at, s.len));
        memcpy(p + n, s.ptr + at, good);
        n += good;
        if (at + good == s.len)
            break;
        memcpy(p + n, replacement, sizeof(replacement));
        n += sizeof(replacement);
    }
    return (str){ p, n };
}

str arena_fmt(arena *a, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    int n = vsnprintf(NULL, 0, format, args);
    va_end(args);
    char *p = n < 0 ? NULL : arena_alloc_aligned(a, (size_t)n + 1, 1);
    if (!p)
        return (str){ NULL, 0 };
    va_start(args, format);
    vsnprintf(p, (size_t)n + 1, format, args);
    va_end(args);
    return (str){ p, (size_t)n };
}
