// SPDX-License-Identifier: Apache-2.0
/* Open addressing over hashes of whole label sets, at most half full. */
#include "query/groups.h"

void groups_init(label_groups *g, arena *a)
{
    *g = (label_groups){ .arena = a };
}

/* The slot that holds these labels, or the free one where they belong. */
static uint32_t *slot_of(const label_groups *g, labels l, uint64_t hash)
{
    uint32_t mask = g->slot_count - 1;
    for (uint32_t i = (uint32_t)hash & mask;; i = (i + 1) & mask) {
        uint32_t group = g->slots[i];
        if (!group || (g->hashes[group - 1] == hash && labels_eq(g->items[group - 1], l)))
            return &g->slots[i];
    }
}

static bool groups_grow(label_groups *g)
{
    uint32_t capacity = g->capacity ? g->capacity * 2 : 16;
    labels *items =
        arena_grow(g->arena, g->items, g->count * sizeof(labels), capacity * sizeof(labels));
    uint64_t *hashes =
        arena_grow(g->arena, g->hashes, g->count * sizeof(uint64_t), capacity * sizeof(uint64_t));
    uint32_t *slots = ARENA_ARRAY(g->arena, uint32_t, (size_t)capacity * 2);
    if (!items || !hashes || !slots)
        return false;
    g->items = items;
    g->hashes = hashes;
    g->slots = slots;
    g->capacity = capacity;
    g->slot_count = capacity * 2;
    for (uint32_t i = 0; i < g->count; i++)
        *slot_of(g, items[i], hashes[i]) = i + 1;
    return true;
}

uint32_t groups_find(const label_groups *g, labels l)
{
    if (!g->count)
        return UINT32_MAX;
    return *slot_of(g, l, labels_hash(l)) - 1;
}

uint32_t groups_put(label_groups *g, labels l, bool *ret_new)
{
    uint64_t hash = labels_hash(l);
    if (ret_new)
        *ret_new = false;
    if (g->count == g->capacity && !groups_grow(g))
        return UINT32_MAX;
    uint32_t *slot = slot_of(g, l, hash);
    if (*slot)
        return *slot - 1;
    g->items[g->count] = l;
    g->hashes[g->count] = hash;
    *slot = ++g->count;
    if (ret_new)
        *ret_new = true;
    return g->count - 1;
}
