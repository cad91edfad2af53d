// SPDX-License-Identifier: Apache-2.0
/* A part in memory: the rows of a contiguous range of intake records that are not sealed yet. It
 * receives until it is frozen, which waits for every committed record to be applied, so that the
 * range is exact. Counted references: readers keep it while it is sealed and dropped. */
#ifndef SONDE_STORE_MEM_H
#define SONDE_STORE_MEM_H

#include "store/row.h"
#include "store/series.h"

typedef struct mem_part {
    atomic_uint refs;
    uint64_t first_sequence, last_sequence; /* 0: nothing yet */
    uint32_t pending;                       /* records committed and not yet applied */
    int64_t began_mono_ns;                  /* when the first record came */
    uint64_t log_bytes;                     /* of these records in the intake log */
    row_chunk *first[SIGNAL_COUNT], *last[SIGNAL_COUNT];
    uint32_t chunk_count[SIGNAL_COUNT];
    uint64_t rows[SIGNAL_COUNT];
    size_t chunk_bytes;
    mem_metrics metrics;
    buf dedup_state; /* as of last_sequence; written when it is frozen */
} mem_part;

mem_part *mem_part_new(uint64_t generation);
void mem_part_unref(mem_part *m);
static inline void mem_part_ref(mem_part *m)
{
    atomic_fetch_add_explicit(&m->refs, 1, memory_order_relaxed);
}
/* The caller holds the store's lock; takes c over. */
void mem_part_add_chunk(mem_part *m, signal_kind signal, row_chunk *c);
/* Memory taken; the caller holds the locks of rows and samples. */
size_t mem_part_bytes(const mem_part *m);

#endif
