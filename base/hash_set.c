// SPDX-License-Identifier: Apache-2.0
/* Sets of hashes; see hash_set.h. At most half of the places are taken. */
#include "base/hash_set.h"

#include <stdlib.h>
#include <string.h>

enum { FIRST = 16 };

/* 0 marks a free place. */
static inline uint64_t stored(uint64_t hash)
{
    return hash ? hash : 1;
}

static size_t place(const hash_set *s, uint64_t hash)
{
    size_t i = (size_t)hash & (s->capacity - 1);
    while (s->slots[i] && s->slots[i] != hash)
        i = (i + 1) & (s->capacity - 1);
    return i;
}

static bool grow(hash_set *s)
{
    hash_set more = { .capacity = s->capacity ? s->capacity * 2 : FIRST };
    more.slots = calloc(more.capacity, sizeof(uint64_t));
    if (!more.slots)
        return false;
    for (size_t i = 0; i < s->capacity; i++)
        if (s->slots[i])
            more.slots[place(&more, s->slots[i])] = s->slots[i];
    more.count = s->count;
    free(s->slots);
    *s = more;
    return true;
}

void hash_set_done(hash_set *s)
{
    free(s->slots);
    *s = (hash_set){ 0 };
}

void hash_set_clear(hash_set *s)
{
    if (s->slots)
        memset(s->slots, 0, s->capacity * sizeof(uint64_t));
    s->count = 0;
}

bool hash_set_has(const hash_set *s, uint64_t hash)
{
    return s->count > 0 && s->slots[place(s, stored(hash))] != 0;
}

bool hash_set_add(hash_set *s, uint64_t hash, bool *ret_new)
{
    if (s->count * 2 >= s->capacity && !grow(s))
        return false;
    size_t i = place(s, stored(hash));
    bool added = s->slots[i] == 0;
    s->slots[i] = stored(hash);
    s->count += added;
    if (ret_new)
        *ret_new = added;
    return true;
}
