// SPDX-License-Identifier: Apache-2.0
/* Hash map with linear probing, at most 3/4 full; see map.h. Removal shifts back, no tombstones. */
#include "base/map.h"

#include <stdlib.h>

void map_init(map *m)
{
    *m = (map){ 0 };
}

void map_done(map *m)
{
    free(m->slots);
    *m = (map){ 0 };
}

void map_clear(map *m)
{
    if (m->slots)
        memset(m->slots, 0, m->capacity * sizeof(map_slot));
    m->count = 0;
}

/* The slot that holds the key, or the free one where it belongs. */
static map_slot *find(const map *m, str key, uint64_t hash)
{
    size_t mask = m->capacity - 1;
    for (size_t i = hash & mask;; i = (i + 1) & mask) {
        map_slot *slot = &m->slots[i];
        if (!slot->key.ptr || (slot->hash == hash && str_eq(slot->key, key)))
            return slot;
    }
}

uint64_t *map_get(const map *m, str key)
{
    if (m->count == 0)
        return NULL;
    map_slot *slot = find(m, key, str_hash(key));
    return slot->key.ptr ? &slot->value : NULL;
}

static bool grow(map *m)
{
    size_t capacity = m->capacity ? m->capacity * 2 : 16;
    map bigger = { .slots = calloc(capacity, sizeof(map_slot)), .capacity = capacity };
    if (!bigger.slots)
        return false;
    for (map_slot *s = NULL; (s = map_next(m, s));)
        *find(&bigger, s->key, s->hash) = *s;
    bigger.count = m->count;
    free(m->slots);
    *m = bigger;
    return true;
}

uint64_t *map_put(map *m, str key, uint64_t initial, bool *ret_new)
{
    if ((m->count + 1) * 4 > m->capacity * 3 && !grow(m))
        return NULL;
    if (!key.ptr)
        key = STR_EMPTY;
    uint64_t hash = str_hash(key);
    map_slot *slot = find(m, key, hash);
    bool is_new = !slot->key.ptr;
    if (is_new) {
        *slot = (map_slot){ .key = key, .hash = hash, .value = initial };
        m->count++;
    }
    if (ret_new)
        *ret_new = is_new;
    return &slot->value;
}

bool map_remove(map *m, str key)
{
    if (m->count == 0)
        return false;
    map_slot *slot = find(m, key, str_hash(key));
    if (!slot->key.ptr)
        return false;
    size_t mask = m->capacity - 1;
    size_t hole = (size_t)(slot - m->slots);
    for (size_t i = (hole + 1) & mask; m->slots[i].key.ptr; i = (i + 1) & mask) {
        size_t home = m->slots[i].hash & mask;
        if (((i - home) & mask) >= ((i - hole) & mask)) {
            m->slots[hole] = m->slots[i];
            hole = i;
        }
    }
    m->slots[hole] = (map_slot){ 0 };
    m->count--;
    return true;
}

map_slot *map_next(const map *m, map_slot *after)
{
    size_t i = after ? (size_t)(after - m->slots) + 1 : 0;
    for (; i < m->capacity; i++)
        if (m->slots[i].key.ptr)
            return &m->slots[i];
    return NULL;
}
