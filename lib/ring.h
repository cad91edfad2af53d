// SPDX-License-Identifier: Apache-2.0
/* Rings: where one writer at a time puts its records. A thread keeps one as long as it lives; a
 * signal handler that interrupts a writer borrows another for one record. Hence a ring never has a
 * hole: what is not committed is at its end. */
#ifndef SONDE_LIB_RING_H
#define SONDE_LIB_RING_H

#include "lib/recorder.h"

#include <string.h>

typedef struct ring {
    char *at;   /* where the next record goes; NULL: no extent */
    char *end;  /* records end here at the latest; 8 bytes more belong to the extent */
    char *base; /* of the extent */
    uint32_t id;
    uint32_t index; /* of the extent */
    uint32_t check_seed;
    uint32_t block, blocks;
    uint32_t next_index; /* of the next extent */
    _Atomic uint32_t owned;
    uint64_t taken_ticks;
    uint64_t retry_ticks;        /* the recorder was full: not before this */
    _Atomic uint64_t written[2]; /* records so far: logs, spans */
} ring;

/* A free ring, or NULL and a counted drop. */
ring *ring_acquire(recorder *r);
/* (S) The calling thread never waits for room: it is the one that makes it. */
void ring_never_wait(void);
void ring_release(ring *g);
/* Goes on to a new extent in which `need` bytes fit; false when the recorder is full. */
bool ring_extend(recorder *r, ring *g, size_t need);

/* Room for a record of up to `need` bytes (at most RECORDER_RECORD_MAX), or NULL. */
static inline char *ring_reserve(recorder *r, ring *g, size_t need)
{
    if (UNLIKELY((size_t)(g->end - g->at) < need || !g->at) && !ring_extend(r, g, need))
        return NULL;
    return g->at;
}

static inline uint64_t ring_sequence(const ring *g)
{
    return RECORDER_SEQ(g->index, g->at - g->base);
}

/* Publishes the record at g->at, `size` bytes without padding: this store is the commit. */
static inline void ring_commit(ring *g, size_t size, recorder_record_kind kind)
{
    size = (size + 7) & ~(size_t)7;
    char *record = g->at;
    uint32_t check = recorder_check_at(g->check_seed, (uint32_t)(record - g->base));
    atomic_store_explicit((_Atomic uint64_t *)(record + size), 0, memory_order_relaxed);
    atomic_store_explicit((_Atomic uint64_t *)record,
                          recorder_record_word((uint32_t)size, kind, check), memory_order_release);
    g->at = record + size;
    _Atomic uint64_t *written = &g->written[kind == RECORDER_SPAN];
    atomic_store_explicit(written, atomic_load_explicit(written, memory_order_relaxed) + 1,
                          memory_order_relaxed);
}

/* Notes in the ring's row how many records stand before its next extent. */
void ring_note_written(recorder *r, const ring *g);

#endif
