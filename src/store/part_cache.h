// SPDX-License-Identifier: Apache-2.0
/* Parts of metrics kept open between queries: their symbols, directories and label index, read and
 * checked once. Bounded in bytes; what nobody uses goes, the longest unused first. Any thread. */
#ifndef SONDE_STORE_PART_CACHE_H
#define SONDE_STORE_PART_CACHE_H

#include "store/label_index.h"
#include "store/part_series.h"

#include <pthread.h>

typedef struct part_cache part_cache;

typedef struct open_part {
    part_series series;
    label_table table;
    uint64_t *hashes; /* of each series' label bytes */
    uint32_t *places; /* of hashes: the series' number plus 1, 0 where it is free */
    uint32_t place_count;
    /* the cache's */
    arena memory;
    part_cache *cache;
    struct open_part *older, *newer;
    uint32_t users;
    size_t bytes;
} open_part;

struct part_cache {
    pthread_mutex_t lock;
    open_part *newest, *oldest;
    size_t bytes, limit;
    uint32_t count;
};

void part_cache_init(part_cache *c, size_t limit);
/* After the last part was given up. */
void part_cache_done(part_cache *c);
/* The caller holds a reference to the part until part_cache_give. */
MUST_USE status part_cache_take(part_cache *c, part *p, open_part **ret, error *err);
void part_cache_give(open_part *o); /* NULL is fine */
/* The series with these label bytes; false: the part has none. */
bool part_cache_find(const open_part *o, str key, uint32_t *ret_series);

#endif
