// SPDX-License-Identifier: Apache-2.0
/* Arithmetic of native histograms: what operators, aggregations and functions of PromQL compute
 * with them. Inputs are immutable and may share memory with results; results live in the arena
 * given. All rely on histogram_check having passed once. STATUS_LIMIT is an arena that is full,
 * STATUS_INVALID two histograms of which one has exponential and the other custom buckets. Any
 * thread. */
#ifndef SONDE_QUERY_PROMQL_HISTOGRAM_H
#define SONDE_QUERY_PROMQL_HISTOGRAM_H

#include "codec/histogram.h"
#include "query/promql/eval.h"

/* ---- two histograms ---- */

/* What adding and subtracting found, besides the result. Flags are only ever set, so that one value
 * can watch many operations. */
typedef struct {
    bool collision;  /* one side says that a counter restarted, the other that it did not */
    bool reconciled; /* custom bounds differed: the result has those that both have */
} histogram_findings;

/* x + y and x - y without empty buckets. The lower resolution and the wider zero bucket count;
 * custom bounds become those in both. The hint is what both agree on (a gauge wins), else unknown.
 * `found` may be NULL. */
MUST_USE status histogram_add(arena *a, const histogram *x, const histogram *y,
                              histogram_findings *found, const histogram **ret);
MUST_USE status histogram_subtract(arena *a, const histogram *x, const histogram *y,
                                   histogram_findings *found, const histogram **ret);

/* Equal to the bit, also in the layout of their buckets; hints do not count. Two NULLs are equal.
 */
bool histogram_equal(const histogram *x, const histogram *y);

/* Whether a counter restarted between two samples: by the hint, or because a count fell, a bucket
 * went or the resolution rose. */
bool histogram_detect_reset(const histogram *now, const histogram *before);

/* ---- one histogram; NULL without memory ---- */

/* Counts and sum times the factor; below 0 it becomes a gauge. Buckets stay as they are. */
const histogram *histogram_multiply(arena *a, const histogram *h, double factor);
/* The same for a quotient; divided by 0 it has no buckets. */
const histogram *histogram_divide(arena *a, const histogram *h, double divisor);
/* Without empty buckets. The same one when there are none. */
const histogram *histogram_compact(arena *a, const histogram *h);
/* In place, of one that nobody else has seen yet. */
void histogram_scale_own(histogram *h, double factor);
/* In a lower (or its own) resolution; exponential buckets only. */
const histogram *histogram_reduce(arena *a, const histogram *h, int32_t schema);
/* With another hint; shares everything. */
const histogram *histogram_with_hint(arena *a, const histogram *h, histogram_hint hint);
/* Count, sum, schema and hint alone. */
const histogram *histogram_without_buckets(arena *a, const histogram *h);
/* What is below (upper) or above a bound, the bucket around it divided by interpolation; count and
 * sum are estimated anew when anything goes. The operators </ and >/. */
const histogram *histogram_trim(arena *a, const histogram *h, double bound, bool upper);

/* ---- sums and means of many, with compensation for rounding ---- */

typedef struct {
    int32_t *index;
    double *count, *lost;
    uint32_t n, capacity;
} histogram_list;

/* Its buffers are on the heap and stay for the next use; histogram_total_done frees them. */
typedef struct {
    uint64_t added;
    bool mean, incremental; /* incremental: the sum would have overflowed */
    bool restarted, not_restarted;
    histogram_findings found; /* of all since histogram_total_clear; collision is told at the end */
    /* private */
    int32_t schema;
    histogram_hint hint;
    double zero_threshold;
    kahan zero, count, sum;
    histogram_list positive, negative, spare_positive, spare_negative;
    double *custom, *spare_custom;
    uint32_t custom_count, custom_capacity, spare_custom_count, spare_custom_capacity;
} histogram_total;

void histogram_total_init(histogram_total *t, bool mean);
void histogram_total_done(histogram_total *t);
/* Empty again, for the next step or group. */
void histogram_total_clear(histogram_total *t);
/* STATUS_INVALID: exponential and custom buckets cannot be added; STATUS_NO_MEMORY. The total stays
 * as it was. */
MUST_USE status histogram_total_add(histogram_total *t, const histogram *h);
/* NULL without memory; `added` is at least 1. compact: without empty buckets, as aggregations
 * have it and the functions over time do not. */
const histogram *histogram_total_result(histogram_total *t, arena *a, bool compact);

/* ---- buckets ---- */

typedef struct {
    double lower, upper, count;
    bool lower_inclusive, upper_inclusive;
} histogram_bucket;

typedef struct {
    const histogram *h;
    uint8_t part; /* 0: the first side, 1: the zero bucket, 2: the other side, 3: the end */
    bool falling; /* bounds */
    bool started; /* the side */
    uint32_t span, in_span, left;
    int64_t index;
} histogram_buckets;

/* All of them, empty ones too, by rising (or falling) bounds: negative, zero, positive. A bucket
 * that overlaps the zero bucket is cut at its threshold. */
void histogram_buckets_start(histogram_buckets *it, const histogram *h, bool falling);
bool histogram_buckets_next(histogram_buckets *it, histogram_bucket *ret);

/* The bucket of an index on the positive or negative side. */
histogram_bucket histogram_bucket_at(const histogram *h, int32_t index, bool positive,
                                     double count);
/* How much of the bucket's width is below v, which is inside: on a logarithmic scale or linearly.
 */
double histogram_fraction_below(const histogram_bucket *b, double v, bool linear);

/* A bucket as the HTTP API writes it (empty ones are left out there): 0 (lower, upper], 1 [lower,
 * upper), 2 (lower, upper), 3 [lower, upper]. */
int histogram_boundary_rule(const histogram_bucket *b);

/* Upper bound of an exponential bucket (of a positive one; negative ones mirror it). */
double histogram_bound(int32_t index, int32_t schema);

/* "{count:2, sum:3.5, [-0.001,0.001]:1, (1,2]:1}", as label values of count_values and template
 * functions show it. */
void histogram_print(buf *out, const histogram *h);
/* A number as Go's %g writes it: with an exponent below 1e-4 and from 1e+06 on; +Inf, NaN. */
void histogram_print_number(buf *out, double v);
/* The same, terminated, in `text`, which is returned. */
const char *histogram_number_text(char text[48], double v);

/* ---- statistics ---- */

/* What the buckets could not tell; noted by the functions as infos. */
typedef enum {
    HISTOGRAM_FINE,
    HISTOGRAM_NAN_RESULT, /* the quantile lies among NaN observations */
    HISTOGRAM_NAN_SKEW    /* there are NaN observations */
} histogram_doubt;

double histogram_quantile(const histogram *h, double q, histogram_doubt *ret_doubt);
/* Share of the observations between two values. */
double histogram_fraction(const histogram *h, double lower, double upper,
                          histogram_doubt *ret_doubt);
/* Estimated population variance. */
double histogram_variance(const histogram *h);

/* ---- for the evaluator's files: results with their annotations ---- */

/* An arithmetic, comparing or trimming operator of which at least one side is a histogram, with its
 * annotations; `at` is the binary expression. keep is false where there is no value (types that do
 * not fit are an info) or where a comparison does not hold; the cell of one that holds is the left
 * side. STATUS_LIMIT with the engine's error set without memory. */
typedef struct {
    promql_cell cell;
    bool keep;
} histogram_binary_result;
MUST_USE status promql_histogram_binary(promql_engine *e, const promql_node *at, promql_op op,
                                        promql_cell left, promql_cell right,
                                        histogram_binary_result *ret);

/* Notes the warnings and infos that a total of an aggregation or a function over time has found. */
void promql_note_total(promql_engine *e, const promql_node *at, const histogram_total *t);
/* Between two samples at t_ms, t1_ms <= t_ms <= t2_ms, linearly; a restarted counter begins at 0.
 * STATUS_INVALID: exponential and custom buckets mixed. */
MUST_USE status histogram_interpolate(arena *a, const histogram *h1, int64_t t1_ms,
                                      const histogram *h2, int64_t t2_ms, int64_t t_ms,
                                      bool counter, histogram_findings *found_subtracting,
                                      histogram_findings *found_adding, const histogram **ret);

promql_general promql_fn_histogram_count, promql_fn_histogram_sum, promql_fn_histogram_avg,
    promql_fn_histogram_stddev, promql_fn_histogram_stdvar, promql_fn_histogram_fraction,
    promql_fn_histogram_quantiles;

/* ---- functions of windows with histograms in them (promql_function.native) ---- */

/* Results are in the engine's arena and share nothing with the window. */
typedef bool promql_native(const promql_window *w, promql_cell *ret);
promql_native promql_rate_native, promql_increase_native, promql_delta_native, promql_irate_native,
    promql_idelta_native, promql_changes_native, promql_resets_native, promql_sum_over_time_native,
    promql_avg_over_time_native, promql_last_over_time_native, promql_first_over_time_native;
/* For functions that look at times and numbers of samples alone: calls the one for floats. */
promql_native promql_any_native;

/* Warnings of a window: floats and histograms; exponential and custom buckets. */
void promql_note_mixed(const promql_window *w);
void promql_note_schemas(const promql_window *w);

/* Texts of annotations that several files note; each takes the metric's name. */
#define NOTE_NAME_MAX                120 /* bytes of a metric's name in a note */
#define NOTE_MIXED_FLOATS_HISTOGRAMS "encountered a mix of histograms and floats for metric name "
#define NOTE_MIXED_AGGREGATION       "encountered a mix of histograms and floats for aggregation"
#define NOTE_MIXED_SCHEMAS \
    "vector contains a mix of histograms with exponential and custom buckets schemas for metric " \
    "name "
#define NOTE_RECONCILED "mismatched custom buckets were reconciled during "
#define NOTE_COLLISION  "conflicting counter resets during histogram "

#endif
