// SPDX-License-Identifier: Apache-2.0
/* Parts in memory; see mem.h. */
#include "store/mem.h"

#include <stdlib.h>

mem_part *mem_part_new(uint64_t generation)
{
    mem_part *m = calloc(1, sizeof(*m));
    if (!m)
        return NULL;
    atomic_init(&m->refs, 1);
    mem_metrics_init(&m->metrics, generation);
    buf_init(&m->dedup_state, 0);
    return m;
}

void mem_part_unref(mem_part *m)
{
    if (!m || atomic_fetch_sub_explicit(&m->refs, 1, memory_order_acq_rel) != 1)
        return;
    for (int s = 0; s < SIGNAL_COUNT; s++) {
        uint32_t n = m->chunk_count[s];
        for (row_chunk *c = m->first[s]; n > 0; n--) {
            row_chunk *next = c->next;
            row_chunk_free(c);
            c = next;
        }
    }
    mem_metrics_done(&m->metrics);
    buf_done(&m->dedup_state);
    free(m);
}

void mem_part_add_chunk(mem_part *m, signal_kind signal, row_chunk *c)
{
    c->next = NULL;
    if (m->last[signal])
        m->last[signal]->next = c;
    else
        m->first[signal] = c;
    m->last[signal] = c;
    m->chunk_count[signal]++;
    m->rows[signal] += c->count;
    m->chunk_bytes += c->bytes;
}

size_t mem_part_bytes(const mem_part *m)
{
    return m->chunk_bytes + m->metrics.memory.used;
}
