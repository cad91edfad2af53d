// SPDX-License-Identifier: Apache-2.0
/* Prometheus's native histograms on the wire: spans of buckets and the counts' differences. Bucket
 * i of schema s counts up to 2^(i / 2^s): its index is one more than OpenTelemetry's at scale s.
 * Pure functions; thread-safe. */
#ifndef SONDE_CODEC_NATIVE_HISTOGRAM_H
#define SONDE_CODEC_NATIVE_HISTOGRAM_H

#include "base/buf.h"
#include "codec/batch.h"
#include "codec/histogram.h"
#include "codec/protobuf.h"

/* Above 0 it says that a histogram is native, also when it is empty; Prometheus takes this one for
 * OTLP, too. */
#define NATIVE_LEAST_ZERO_THRESHOLD 1e-128
/* Buckets of one sign, empty ones between included, that a point may have; a wider one is joined to
 * a lower scale. */
#define NATIVE_BUCKETS_MAX 8192u

/* ---- writing ---- */

/* Buckets start, start + 1, … by Prometheus's indexes: BucketSpan messages in field `spans`, the
 * differences in field `deltas`, packed or one by one. */
void native_buckets_put(buf *out, int64_t start, const uint64_t *counts, uint32_t count,
                        uint32_t spans, uint32_t deltas, bool packed);

/* ---- reading ---- */

/* One sign. Either deltas (integer histograms) or counts. */
typedef struct {
    native_span *spans;
    int64_t *deltas;
    double *counts;
    uint32_t span_count, delta_count, count_count;
} native_side;

/* Numbers of one sign's fields in the message that they stand in. */
typedef struct {
    uint32_t spans, deltas, counts;
} native_fields;

static inline bool native_is_field(const native_fields *fields, uint32_t number)
{
    return number == fields->spans || number == fields->deltas || number == fields->counts;
}

/* Adds field f, one of `fields`, whose content is next in r. False without memory, or with
 * r->problem. */
MUST_USE bool native_field_read(arena *a, pb_reader *r, pb_field f, const native_fields *fields,
                                native_side *side);
/* Adds a repeated double, packed or not, to a list that only this function has filled. */
MUST_USE bool native_doubles_read(arena *a, pb_reader *r, pb_wire wire, double **list,
                                  uint32_t *count);

/* Both signs as OpenTelemetry's buckets, at *inout_scale or, when they are too wide, a lower one.
 * The reason in *ret_problem when they contradict themselves; NULL there: no memory. */
MUST_USE bool native_buckets_get(arena *a, const native_side *positive, const native_side *negative,
                                 int32_t *inout_scale, exp_buckets *ret_positive,
                                 exp_buckets *ret_negative, const char **ret_problem);
/* Counts of buckets 0 to count - 1, for bounds of one's own. */
MUST_USE bool native_buckets_dense(arena *a, const native_side *side, uint32_t count,
                                   uint64_t **ret, const char **ret_problem);

#endif
