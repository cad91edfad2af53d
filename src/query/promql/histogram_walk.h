// SPDX-License-Identifier: Apache-2.0
/* A walk over the buckets of one side of a histogram by rising index, on the way translated into a
 * lower resolution or into fewer custom bounds. Inside histogram*.c only. */
#ifndef SONDE_QUERY_PROMQL_HISTOGRAM_WALK_H
#define SONDE_QUERY_PROMQL_HISTOGRAM_WALK_H

#include "query/promql/histogram.h"

typedef struct {
    const native_span *spans; /* or indexes, of a list */
    const int32_t *indexes;
    const double *counts, *lost; /* lost may be NULL */
    uint32_t count, at, span, in_span;
    int64_t next;            /* index of the next bucket, as the source numbers them */
    uint8_t shift;           /* steps of resolution to give up */
    bool join;               /* buckets that fall together become one */
    const double *from, *to; /* custom bounds to translate; `to` is a part of `from` */
    uint32_t from_count, to_count, to_at;
    /* The bucket after histogram_walk_next: its index, its count, and what rounding took from it.
     */
    int32_t index;
    double value, rest;
} histogram_walk;

histogram_walk histogram_walk_side(const histogram_side *side);
histogram_walk histogram_walk_list(const histogram_list *list);
/* Before the first step. */
void histogram_walk_coarser(histogram_walk *w, int32_t from_schema, int32_t to_schema);
void histogram_walk_bounds(histogram_walk *w, const double *from, uint32_t from_count,
                           const double *to, uint32_t to_count);
bool histogram_walk_next(histogram_walk *w);

/* What is left of the walk, each count divided, as a side in `a`; compact: without empty buckets.
 * False without memory. */
bool histogram_write_side(arena *a, histogram_walk w, double divisor, bool compact,
                          histogram_side *ret);

/* Zero count and threshold at a wider threshold (at least the histogram's own): it is raised
 * further when it would cut a populated bucket. zero->lost collects what rounding takes. */
double histogram_widen_zero(histogram_walk positive, histogram_walk negative, int32_t schema,
                            double threshold, kahan *zero);

/* Whether no bucket is inside the zero bucket; it would be skipped where two histograms meet. */
bool histogram_above_zero(const histogram *h);
bool histogram_same_spans(const histogram_side *x, const histogram_side *y);
bool histogram_same_bounds(const double *x, uint32_t x_count, const double *y, uint32_t y_count);
/* Those in both, into ret (place for the smaller count); their number. */
uint32_t histogram_common_bounds(const double *x, uint32_t x_count, const double *y,
                                 uint32_t y_count, double *ret);

#endif
