// SPDX-License-Identifier: Apache-2.0
/* Changing attribute lists; see edit.h. */
#include "pipeline/processors/edit.h"

enum { SPARE = 4 };

bool attr_edit_own(attr_edit *e)
{
    if (e->failed)
        return false;
    if (e->capacity > e->list->count)
        return true;
    uint32_t capacity = e->list->count + MAX((uint32_t)SPARE, e->list->count / 2);
    attr *items = arena_alloc(e->memory, capacity * sizeof(attr));
    if (!items) {
        e->failed = true;
        return false;
    }
    if (e->list->count)
        memcpy(items, e->list->items, e->list->count * sizeof(attr));
    e->list->items = items;
    e->capacity = capacity;
    return true;
}

uint32_t attr_edit_find(const attr_edit *e, str key)
{
    uint32_t i = 0;
    while (i < e->list->count && !str_eq(e->list->items[i].key, key))
        i++;
    return i;
}

void attr_edit_put(attr_edit *e, uint32_t index, value v)
{
    if (attr_edit_own(e))
        e->list->items[index].value = v;
}

void attr_edit_set(attr_edit *e, str key, value v)
{
    uint32_t i = attr_edit_find(e, key);
    if (!attr_edit_own(e))
        return;
    if (i == e->list->count)
        e->list->items[e->list->count++].key = key;
    e->list->items[i].value = v;
}

void attr_edit_remove(attr_edit *e, uint32_t index)
{
    if (!attr_edit_own(e))
        return;
    uint32_t behind = --e->list->count - index;
    if (behind)
        memmove(&e->list->items[index], &e->list->items[index + 1], behind * sizeof(attr));
}
