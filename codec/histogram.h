// SPDX-License-Identifier: Apache-2.0
/* A native histogram of Prometheus as a value: what remote write and exposition bring, the store
 * keeps and PromQL computes with. Counts are always absolute floats; integer histograms are those
 * whose counts are whole. Immutable once built: values share spans and arrays freely; all of it
 * lives in one arena. Bucket i of schema s counts values in (2^((i-1)/2^s), 2^(i/2^s)]; schema -53
 * has bounds of its own: bucket i counts (custom[i-1], custom[i]], the last is open. */
#ifndef SONDE_CODEC_HISTOGRAM_H
#define SONDE_CODEC_HISTOGRAM_H

#include "base/arena.h"
#include "base/buf.h"

#define NATIVE_SCHEMA_MAX    8
#define NATIVE_SCHEMA_MIN    (-4)
#define NATIVE_SCHEMA_CUSTOM (-53) /* bounds of its own */
#define NATIVE_COUNTS_MAX    65536 /* buckets of one sign, and bounds, that one may have */

typedef struct {
    int32_t offset; /* from the end of the one before; of the first: the index */
    uint32_t length;
} native_span;

/* What is known of the counter's restarts between the sample before and this one; the numbers are
 * those of remote write's ResetHint. */
typedef enum {
    HISTOGRAM_RESET_UNKNOWN,
    HISTOGRAM_RESET,
    HISTOGRAM_NO_RESET,
    HISTOGRAM_GAUGE
} histogram_hint;

typedef struct {
    const native_span *spans; /* none but the first has an offset below 0; those of length 0 only
                               * move the next: decoders give none */
    const double *counts;     /* of the buckets that the spans name, in their order */
    uint32_t span_count, count;
} histogram_side;

typedef struct histogram {
    int32_t schema; /* NATIVE_SCHEMA_MIN to NATIVE_SCHEMA_MAX, or NATIVE_SCHEMA_CUSTOM */
    histogram_hint hint;
    double zero_threshold, zero_count;
    double count, sum;
    histogram_side positive, negative;
    const double *custom; /* upper bounds, rising, without +Inf; schema NATIVE_SCHEMA_CUSTOM only */
    uint32_t custom_count;
} histogram;

static inline bool histogram_is_custom(const histogram *h)
{
    return h->schema == NATIVE_SCHEMA_CUSTOM;
}

/* ---- binary form: of the store's blocks, and inside intake records (docs/format/histogram.md)
 * ---- */

void histogram_encode(buf *out, const histogram *h);
/* All of it in `a`. False: not such bytes, or no memory. Never reads beyond `in`, checks what
 * histogram_check does. */
MUST_USE bool histogram_decode(arena *a, str in, histogram *ret);

/* Whether spans, counts, bounds and schema agree; the reason otherwise. What comes from outside
 * passes here once; everything behind relies on it. */
MUST_USE bool histogram_check(const histogram *h, const char **ret_problem);

/* Whether all counts are whole numbers that a double holds exactly: such a one may have been
 * counted in integers. */
bool histogram_is_whole(const histogram *h);

/* A complete copy in one piece of memory, aligned for doubles, of histogram_size(h) bytes. */
size_t histogram_size(const histogram *h);
histogram *histogram_copy_to(void *memory, const histogram *h);
/* The same in `a`; NULL without memory. */
histogram *histogram_copy(arena *a, const histogram *h);

/* The hint to keep with a sample that follows another of its series: a gauge stays one; a counter
 * has not restarted when nothing fell and the buckets are laid out alike; else nothing is known,
 * for a sample may come between later, and readers compare for themselves (also where the sender
 * says reset: as in Prometheus, the counts decide). before: NULL when there is none (a float, a
 * stale marker, the first). */
histogram_hint histogram_hint_after(const histogram *before, const histogram *h);

#endif
