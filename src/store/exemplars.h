// SPDX-License-Identifier: Apache-2.0
/* Exemplars: the newest few of each series, in memory and in parts (docs/format/part.md). Rings
 * belong to the part of memory whose lock their users hold. */
#ifndef SONDE_STORE_EXEMPLARS_H
#define SONDE_STORE_EXEMPLARS_H

#include "store/bytes.h"
#include "store/store.h"

enum { EXEMPLARS_KEPT = 16, EXEMPLAR_LABELS_MAX = 1024 };

typedef struct {
    int64_t time_ms;
    double value;
    str labels; /* label bytes, see series.h */
} kept_exemplar;

typedef struct exemplar_ring {
    uint32_t count, next; /* next: the oldest once it is full */
    kept_exemplar items[EXEMPLARS_KEPT];
} exemplar_ring;

/* Copies the labels to `a`. One that is in the ring already is left out. False without memory. */
bool exemplar_ring_add(exemplar_ring *r, arena *a, const kept_exemplar *e);

/* Appends the entry of a series to the section; `gap`: series since the entry before. */
void exemplar_ring_write(buf *out, uint32_t gap, const exemplar_ring *r);
/* The next entry; texts are views. False at the end, with r->failed when it does not check out. */
bool exemplar_ring_read(bytes_reader *r, uint32_t *ret_gap, exemplar_ring *ret);

#endif
