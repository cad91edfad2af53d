// SPDX-License-Identifier: Apache-2.0
/* Histograms one by one: scaling, compacting, other resolutions, equality, trimming, and what lies
 * between two samples. */
#include "query/promql/histogram.h"

#include <float.h>
#include <math.h>

#include "query/promql/histogram_walk.h"

static histogram *shallow_copy(arena *a, const histogram *h)
{
    histogram *copy = arena_alloc_aligned(a, sizeof(*copy), _Alignof(histogram));
    if (copy)
        *copy = *h;
    return copy;
}

const histogram *histogram_with_hint(arena *a, const histogram *h, histogram_hint hint)
{
    if (h->hint == hint)
        return h;
    histogram *copy = shallow_copy(a, h);
    if (copy)
        copy->hint = hint;
    return copy;
}

const histogram *histogram_without_buckets(arena *a, const histogram *h)
{
    histogram *copy = arena_alloc_aligned(a, sizeof(*copy), _Alignof(histogram));
    if (copy)
        *copy =
            (histogram){ .schema = h->schema, .hint = h->hint, .count = h->count, .sum = h->sum };
    return copy;
}

static double product(double x, double factor)
{
    return x * factor;
}

static double quotient(double x, double divisor)
{
    return x / divisor;
}

static bool map_side(arena *a, histogram_side *side, double (*fn)(double, double), double by)
{
    if (!side->count)
        return true;
    double *counts = arena_alloc_aligned(a, side->count * sizeof(double), sizeof(double));
    if (!counts)
        return false;
    for (uint32_t i = 0; i < side->count; i++)
        counts[i] = fn(side->counts[i], by);
    side->counts = counts;
    return true;
}

static const histogram *map_counts(arena *a, const histogram *h, double (*fn)(double, double),
                                   double by)
{
    histogram *copy = shallow_copy(a, h);
    if (!copy)
        return NULL;
    copy->zero_count = fn(h->zero_count, by);
    copy->count = fn(h->count, by);
    copy->sum = fn(h->sum, by);
    if (by < 0)
        copy->hint = HISTOGRAM_GAUGE;
    bool done = map_side(a, &copy->positive, fn, by) && map_side(a, &copy->negative, fn, by);
    return done ? copy : NULL;
}

void histogram_scale_own(histogram *h, double factor)
{
    histogram_side *sides[] = { &h->positive, &h->negative };
    h->zero_count *= factor;
    h->count *= factor;
    h->sum *= factor;
    for (size_t i = 0; i < ARRAY_LEN(sides); i++) {
        double *counts = (double *)(uintptr_t)sides[i]->counts;
        for (uint32_t k = 0; k < sides[i]->count; k++)
            counts[k] *= factor;
    }
}

const histogram *histogram_multiply(arena *a, const histogram *h, double factor)
{
    return map_counts(a, h, product, factor);
}

const histogram *histogram_divide(arena *a, const histogram *h, double divisor)
{
    if (divisor != 0)
        return map_counts(a, h, quotient, divisor);
    histogram bare = *h;
    bare.positive = bare.negative = (histogram_side){ 0 };
    return map_counts(a, &bare, quotient, divisor);
}

static bool is_compact(const histogram_side *s)
{
    for (uint32_t i = 0; i < s->count; i++)
        if (s->counts[i] == 0)
            return false;
    for (uint32_t i = 0; i < s->span_count; i++)
        if (s->spans[i].length == 0 || (i > 0 && s->spans[i].offset == 0))
            return false;
    return true;
}

const histogram *histogram_compact(arena *a, const histogram *h)
{
    bool positive = is_compact(&h->positive), negative = is_compact(&h->negative);
    if (positive && negative)
        return h;
    histogram *copy = shallow_copy(a, h);
    if (!copy ||
        (!positive &&
         !histogram_write_side(a, histogram_walk_side(&h->positive), 1, true, &copy->positive)) ||
        (!negative &&
         !histogram_write_side(a, histogram_walk_side(&h->negative), 1, true, &copy->negative)))
        return NULL;
    return copy;
}

const histogram *histogram_reduce(arena *a, const histogram *h, int32_t schema)
{
    if (schema >= h->schema || histogram_is_custom(h))
        return h;
    histogram *copy = shallow_copy(a, h);
    histogram_walk positive = histogram_walk_side(&h->positive),
                   negative = histogram_walk_side(&h->negative);
    histogram_walk_coarser(&positive, h->schema, schema);
    histogram_walk_coarser(&negative, h->schema, schema);
    if (!copy || !histogram_write_side(a, positive, 1, false, &copy->positive) ||
        !histogram_write_side(a, negative, 1, false, &copy->negative))
        return NULL;
    copy->schema = schema;
    return copy;
}

/* ---- equality ---- */

/* The next span with buckets; what comes before it of empty spans moves it. */
static native_span next_span(const histogram_side *s, uint32_t *at)
{
    native_span span = { 0, 0 };
    while (*at < s->span_count && span.length == 0) {
        span.offset += s->spans[*at].offset;
        span.length = s->spans[(*at)++].length;
    }
    return span;
}

static bool sides_equal(const histogram_side *x, const histogram_side *y)
{
    if (x->count != y->count)
        return false;
    for (uint32_t i = 0, j = 0;;) {
        native_span a = next_span(x, &i), b = next_span(y, &j);
        if (a.length == 0 && b.length == 0)
            break;
        if (a.offset != b.offset || a.length != b.length)
            return false;
    }
    return x->count == 0 || memcmp(x->counts, y->counts, x->count * sizeof(double)) == 0;
}

bool histogram_equal(const histogram *x, const histogram *y)
{
    if (!x || !y)
        return x == y;
    return x->schema == y->schema && bits_of(x->count) == bits_of(y->count) &&
           bits_of(x->sum) == bits_of(y->sum) && x->zero_threshold == y->zero_threshold &&
           bits_of(x->zero_count) == bits_of(y->zero_count) &&
           (!histogram_is_custom(x) ||
            histogram_same_bounds(x->custom, x->custom_count, y->custom, y->custom_count)) &&
           sides_equal(&x->negative, &y->negative) && sides_equal(&x->positive, &y->positive);
}

/* ---- interpolation in time ---- */

status histogram_interpolate(arena *a, const histogram *h1, int64_t t1_ms, const histogram *h2,
                             int64_t t2_ms, int64_t t_ms, bool counter,
                             histogram_findings *found_subtracting,
                             histogram_findings *found_adding, const histogram **ret)
{
    const histogram *h = t_ms == t1_ms ? h1 : h2;
    if (t_ms != t1_ms && t_ms != t2_ms) {
        double fraction = (double)(t_ms - t1_ms) / (double)(t2_ms - t1_ms);
        bool restarted = counter && histogram_detect_reset(h2, h1);
        if (!restarted)
            TRY(histogram_subtract(a, h2, h1, found_subtracting, &h));
        if (!(h = histogram_multiply(a, h, fraction)))
            return STATUS_LIMIT;
        if (!restarted)
            TRY(histogram_add(a, h, h1, found_adding, &h));
    }
    *ret = h;
    return STATUS_OK;
}
