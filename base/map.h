// SPDX-License-Identifier: Apache-2.0
/* Hash map from bytes to a uint64_t (an index or a pointer). Open addressing, keys are not copied:
 * the owner keeps them alive (an arena). One writer; readers only while nobody writes. */
#ifndef SONDE_BASE_MAP_H
#define SONDE_BASE_MAP_H

#include "base/error.h"
#include "base/str.h"

typedef struct {
    str key; /* .ptr NULL: the slot is free */
    uint64_t hash;
    uint64_t value;
} map_slot;

typedef struct map {
    map_slot *slots;
    size_t count;
    size_t capacity; /* 0 or a power of two */
} map;

void map_init(map *m);
void map_done(map *m);
void map_clear(map *m); /* forgets all keys, keeps memory */

/* The value's address, or NULL. Valid until the next insertion. */
uint64_t *map_get(const map *m, str key);
/* The value's address; a new key starts with `initial`, and *ret_new (may be NULL) tells.
 * NULL when there is no memory. */
uint64_t *map_put(map *m, str key, uint64_t initial, bool *ret_new);
bool map_remove(map *m, str key);

/* for (map_slot *s = NULL; (s = map_next(m, s));) … in no order. */
map_slot *map_next(const map *m, map_slot *after);

#endif
