// SPDX-License-Identifier: Apache-2.0
/* Memory that is freed in one call: one capped arena per request, batch or query.
 * One thread at a time. Blocks grow geometrically; `limit` bounds their sum. */
#ifndef SONDE_BASE_ARENA_H
#define SONDE_BASE_ARENA_H

#include "base/error.h"
#include "base/str.h"

typedef struct arena_block arena_block;
typedef struct arena_keeper arena_keeper;

typedef struct arena {
    char *cursor;
    char *end;
    arena_block *blocks; /* newest first */
    arena_keeper *keepers;
    size_t used; /* bytes taken from the system */
    size_t limit;
} arena;

/* No memory is taken yet. limit 0 means no limit (only where the input is bounded already). */
void arena_init(arena *a, size_t limit);
/* Frees everything; the arena can be used again. */
void arena_done(arena *a);
/* Keeps the largest block for reuse and forgets all allocations. */
void arena_clear(arena *a);

/* Calls `end` when all that was allocated is forgotten; what is kept outside for the arena's
 * content goes with it. False without memory. */
MUST_USE bool arena_at_end(arena *a, void (*end)(void *user), void *user);

/* Gives all of `from` to `to`, which frees it with its own; `from` is as after arena_done. The sum
 * may be above the limit of `to`. */
void arena_adopt(arena *to, arena *from);

void *arena_alloc_slow(arena *a, size_t size, size_t align);

/* Uninitialised memory, or NULL at the limit or when the system has none. align: power of two. */
static inline void *arena_alloc_aligned(arena *a, size_t size, size_t align)
{
    uintptr_t at = ((uintptr_t)a->cursor + align - 1) & ~(uintptr_t)(align - 1);
    if (LIKELY(a->cursor && at <= (uintptr_t)a->end && size <= (uintptr_t)a->end - at)) {
        a->cursor = (char *)at + size;
        return (void *)at;
    }
    return arena_alloc_slow(a, size, align);
}

static inline void *arena_alloc(arena *a, size_t size)
{
    return arena_alloc_aligned(a, size, _Alignof(max_align_t));
}

/* Zeroed; NULL also when count * size does not fit. */
void *arena_calloc(arena *a, size_t count, size_t size);
#define ARENA_NEW(a, type)          ((type *)arena_calloc((a), 1, sizeof(type)))
#define ARENA_ARRAY(a, type, count) ((type *)arena_calloc((a), (count), sizeof(type)))

/* A larger copy of an array; the old one stays until the arena ends. NULL at the limit. */
void *arena_grow(arena *a, const void *old, size_t old_size, size_t new_size);

/* Copies; .ptr is NULL when there is no memory. The copy is terminated. */
str arena_str(arena *a, str s);
str arena_fmt(arena *a, const char *format, ...) PRINTF_LIKE(2, 3);
/* s itself when it is valid UTF-8; else a copy in which each wrong byte has become U+FFFD. */
str arena_utf8(arena *a, str s);

#endif
