// SPDX-License-Identifier: Apache-2.0
/* Which rows with a record id ("<recorder>:<ring>:<sequence>") are stored: per ring the ranges of
 * sequences seen. Bounded: beyond the limits the oldest knowledge goes, and a second copy from
 * then is kept rather than a first one dropped. The caller locks. */
#ifndef SONDE_STORE_DEDUP_H
#define SONDE_STORE_DEDUP_H

#include "base/map.h"
#include "store/bytes.h"

enum { DEDUP_RINGS = 16384, DEDUP_RANGES = 4096 };

typedef struct {
    uint64_t first, last;
} dedup_range;

typedef struct {
    char *name;
    size_t name_len;
    dedup_range *ranges; /* rising, apart from each other */
    uint32_t count, capacity;
    uint64_t used; /* of the table's clock */
} dedup_ring;

typedef struct {
    map by_name; /* to a dedup_ring */
    uint64_t clock;
} dedup;

void dedup_init(dedup *d);
void dedup_done(dedup *d);
/* True when the id was seen before; else it is noted. Without memory: false. */
bool dedup_seen(dedup *d, str ring, uint64_t sequence);
/* The state as bytes (docs/format/part.md), and back. */
void dedup_save(const dedup *d, buf *out);
MUST_USE bool dedup_load(dedup *d, str bytes);

#endif
