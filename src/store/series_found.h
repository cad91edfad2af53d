// SPDX-License-Identifier: Apache-2.0
/* What store_find leaves for the readers of samples: series_find.c fills it, series_scan.c reads.
 * Immutable once it was given out. */
#ifndef SONDE_STORE_SERIES_FOUND_H
#define SONDE_STORE_SERIES_FOUND_H

#include "store/part_cache.h"
#include "store/store_internal.h"

/* Where samples of one series are; in the order in which they came in. */
typedef struct piece {
    struct piece *next;
    const sample_chunk *chunk; /* in memory, or NULL: a block of a part */
    uint32_t count;            /* of samples; a chunk may have more by now */
    uint32_t part, block;
    bool histograms; /* some, of a block all, of its samples are */
} piece;

typedef struct {
    piece *first, *last;
    uint32_t most; /* samples of all pieces */
} found_series;

struct series_found {
    store *s;
    series_query q; /* without its matchers */
    snapshot sn;
    open_part **parts; /* of sn.parts; NULL: it could not be opened */
    arena memory;      /* pieces; ends with the query's arena, as all of this does */
    found_series *series;
    series_head *heads;
    uint32_t count, capacity;
};

#endif
