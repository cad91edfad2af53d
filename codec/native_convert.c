// SPDX-License-Identifier: Apache-2.0
/* See native_convert.h. */
#include "codec/native_convert.h"

#include "codec/native_histogram.h"

#include <math.h>

/* ---- to OpenTelemetry ---- */

/* No double is in a bucket that is farther out at schema 0. */
enum { EXPONENTS = 1100 };

static uint64_t rounded(double v)
{
    if (!(v > 0))
        return 0;
    return v < 9e18 ? (uint64_t)(v + 0.5) : UINT64_C(9000000000000000000);
}

/* One bucket after the other. */
typedef struct {
    const histogram_side *side;
    int64_t limit; /* indexes beyond are those of the outermost bucket */
    uint32_t span, in_span, at;
    int64_t next;
} walk;

static walk walk_begin(const histogram_side *s, int32_t schema)
{
    int64_t limit = (int64_t)EXPONENTS << (schema > 0 ? schema : 0);
    return (walk){ .side = s, .limit = limit, .next = s->span_count ? s->spans[0].offset : 0 };
}

static bool walk_next(walk *w, int64_t *ret_index, uint64_t *ret_count)
{
    const histogram_side *s = w->side;
    while (w->span < s->span_count && w->in_span == s->spans[w->span].length) {
        w->in_span = 0;
        if (++w->span < s->span_count)
            w->next += s->spans[w->span].offset;
    }
    if (w->span == s->span_count)
        return false;
    *ret_index = MAX(MIN(w->next, w->limit), -w->limit);
    *ret_count = rounded(s->counts[w->at++]);
    w->in_span++;
    w->next++;
    return true;
}

/* OpenTelemetry's indexes of buckets that count something. */
typedef struct {
    int64_t low, high;
    bool any;
} range;

static range range_of(const histogram_side *s, int32_t schema)
{
    range r = { 0 };
    int64_t index;
    uint64_t count;
    for (walk w = walk_begin(s, schema); walk_next(&w, &index, &count);) {
        if (count == 0)
            continue;
        if (!r.any)
            r.low = index - 1;
        r.high = index - 1;
        r.any = true;
    }
    return r;
}

static bool fill(arena *a, const histogram_side *s, int32_t schema, const range *r, int shift,
                 exp_buckets *ret)
{
    *ret = (exp_buckets){ 0 };
    if (!r->any)
        return true;
    int64_t low = r->low >> shift, index;
    uint32_t width = (uint32_t)((r->high >> shift) - low) + 1;
    uint64_t *counts = ARENA_ARRAY(a, uint64_t, width), count;
    if (!counts)
        return false;
    for (walk w = walk_begin(s, schema); walk_next(&w, &index, &count);)
        if (count > 0)
            counts[((index - 1) >> shift) - low] += count;
    *ret = (exp_buckets){ (int32_t)low, width, counts };
    return true;
}

static bool to_exponential(arena *a, const histogram *h, exp_histogram_value *ret)
{
    range up = range_of(&h->positive, h->schema), down = range_of(&h->negative, h->schema);
    int shift = 0;
    while ((up.high >> shift) - (up.low >> shift) >= NATIVE_BUCKETS_MAX ||
           (down.high >> shift) - (down.low >> shift) >= NATIVE_BUCKETS_MAX)
        shift++;
    bool has_sum = !isnan(h->sum);
    *ret = (exp_histogram_value){ .count = rounded(h->count),
                                  .has_sum = has_sum,
                                  .sum = has_sum ? h->sum : 0,
                                  .scale = h->schema - shift,
                                  .zero_count = rounded(h->zero_count),
                                  .zero_threshold = h->zero_threshold,
                                  .native = h };
    return fill(a, &h->positive, h->schema, &up, shift, &ret->positive) &&
           fill(a, &h->negative, h->schema, &down, shift, &ret->negative);
}

static bool to_explicit(arena *a, const histogram *h, histogram_value *ret)
{
    bool has_sum = !isnan(h->sum);
    *ret = (histogram_value){ .count = rounded(h->count),
                              .has_sum = has_sum,
                              .sum = has_sum ? h->sum : 0,
                              .bound_count = h->custom_count,
                              .bucket_count = h->custom_count + 1,
                              .native = h };
    int64_t index;
    uint64_t count;
    ret->bounds = ARENA_ARRAY(a, double, MAX(h->custom_count, 1u));
    ret->buckets = ARENA_ARRAY(a, uint64_t, ret->bucket_count);
    if (!ret->bounds || !ret->buckets)
        return false;
    if (h->custom_count)
        memcpy(ret->bounds, h->custom, h->custom_count * sizeof(double));
    /* histogram_check holds: every index has a bucket. */
    walk w = walk_begin(&h->positive, 0);
    for (w.limit = INT32_MAX; walk_next(&w, &index, &count);)
        ret->buckets[index] += count;
    return true;
}

bool native_to_point(arena *a, const histogram *h, metric_type *ret_type, point_value *ret)
{
    *ret = (point_value){ 0 };
    *ret_type = histogram_is_custom(h) ? METRIC_HISTOGRAM : METRIC_EXP_HISTOGRAM;
    if (histogram_is_custom(h)) {
        ret->histogram = ARENA_NEW(a, histogram_value);
        return ret->histogram && to_explicit(a, h, ret->histogram);
    }
    ret->exp = ARENA_NEW(a, exp_histogram_value);
    return ret->exp && to_exponential(a, h, ret->exp);
}

/* ---- from OpenTelemetry ---- */

static bool side_of(arena *a, const exp_buckets *from, int shift, histogram_side *ret)
{
    native_builder b;
    size_t spans = (size_t)from->count / (NATIVE_GAP_MAX + 2) + 1; /* the gap and a bucket */
    if (!native_builder_init(&b, a, spans, from->count, NATIVE_GAP_MAX))
        return false;
    for (uint32_t i = 0; i < from->count; i++)
        if (from->counts[i])
            native_builder_put(&b, (((int64_t)from->offset + i) >> shift) + 1,
                               (double)from->counts[i]);
    *ret = native_builder_side(&b);
    return true;
}

bool native_from_classic(arena *a, histogram_value *h)
{
    native_builder b;
    histogram *n = ARENA_NEW(a, histogram);
    size_t spans = (size_t)h->bucket_count / (NATIVE_GAP_MAX + 2) + 1;
    if (!n || !native_builder_init(&b, a, spans, h->bucket_count, NATIVE_GAP_MAX))
        return false;
    for (uint32_t i = 0; i < h->bucket_count; i++)
        if (h->buckets[i])
            native_builder_put(&b, i, (double)h->buckets[i]);
    *n = (histogram){ .schema = NATIVE_SCHEMA_CUSTOM,
                      .count = (double)h->count,
                      .sum = h->has_sum ? h->sum : 0,
                      .positive = native_builder_side(&b),
                      .custom = h->bounds,
                      .custom_count = h->bound_count };
    h->native = n;
    return true;
}

bool native_of_point(arena *a, metric_type type, const point_value *v, const histogram **ret,
                     const char **ret_problem)
{
    *ret_problem = NULL;
    if (type == METRIC_HISTOGRAM || v->exp->native) {
        *ret = type == METRIC_HISTOGRAM ? v->histogram->native : v->exp->native;
        return true;
    }
    const exp_histogram_value *e = v->exp;
    int shift = e->scale > NATIVE_SCHEMA_MAX ? e->scale - NATIVE_SCHEMA_MAX : 0;
    histogram *h = ARENA_NEW(a, histogram);
    if (!h)
        return false;
    h->schema = e->scale - shift;
    h->count = (double)e->count;
    h->sum = e->has_sum ? e->sum : 0;
    h->zero_count = (double)e->zero_count;
    h->zero_threshold = e->zero_threshold > 0 ? e->zero_threshold : NATIVE_LEAST_ZERO_THRESHOLD;
    *ret = h;
    return side_of(a, &e->positive, shift, &h->positive) &&
           side_of(a, &e->negative, shift, &h->negative) && histogram_check(h, ret_problem);
}
