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
/* A gap of more empty buckets than that begins another span. */
#define NATIVE_GAP_MAX 2u

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

/* A histogram as a message has it. */
typedef struct {
    int32_t schema;
    histogram_hint hint;
    bool floats; /* its counts are the doubles, else the integers and differences */
    uint64_t count, zero_count;
    double count_float, zero_count_float;
    double sum, zero_threshold;
    native_side positive, negative;
    double *custom;
    uint32_t custom_count;
} native_wire;

/* One sign while it is put together, bucket by bucket. */
typedef struct {
    native_span *spans;
    double *counts;
    uint32_t span_count, count;
    int64_t end;      /* index behind the last bucket */
    uint32_t gap_max; /* gaps of so many buckets are filled with empty ones */
} native_builder;

/* For at most so many spans and counts. False without memory. */
MUST_USE bool native_builder_init(native_builder *b, arena *a, size_t spans, size_t counts,
                                  uint32_t gap_max);
/* Indexes rise; the last one may come again, then the counts are added. */
void native_builder_put(native_builder *b, int64_t index, double count);
histogram_side native_builder_side(const native_builder *b);

/* The histogram that the message means, without empty spans; schemas 9 to 52 are reduced to 8. The
 * reason in *ret_problem when it contradicts itself; NULL there: no memory. */
MUST_USE bool native_histogram_of(arena *a, const native_wire *w, histogram *ret,
                                  const char **ret_problem);

/* ---- writing ---- */

/* Numbers of the fields that remote write and exposition number differently; 0: it has none. */
typedef struct {
    uint32_t count, count_float, sum, schema, zero_threshold, zero_count, zero_count_float, hint,
        custom;
    native_fields negative, positive;
    bool packed; /* lists */
} native_message;

/* All fields of h, which are appended to a message; integers where the counts are whole and agree,
 * else doubles. */
void native_histogram_put(buf *out, const histogram *h, const native_message *m);

#endif
