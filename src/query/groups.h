// SPDX-License-Identifier: Apache-2.0
/* Numbers for distinct label sets, in order of first appearance: the hash table behind grouping,
 * vector matching and the search for doubles. Lives in an arena; one thread. */
#ifndef SONDE_QUERY_GROUPS_H
#define SONDE_QUERY_GROUPS_H

#include "query/labels.h"

typedef struct {
    arena *arena;
    labels *items; /* the label set of each group */
    uint64_t *hashes;
    uint32_t count, capacity;
    uint32_t *slots; /* group + 1, 0: free */
    uint32_t slot_count;
} label_groups;

void groups_init(label_groups *g, arena *a);
/* The group of these labels, made when it is new; UINT32_MAX when there is no memory. */
uint32_t groups_put(label_groups *g, labels l, bool *ret_new);
/* UINT32_MAX when there is none. */
uint32_t groups_find(const label_groups *g, labels l);

#endif
