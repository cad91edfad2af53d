// SPDX-License-Identifier: Apache-2.0
/* Walks over buckets, and what needs nothing but them: wider zero buckets, common custom bounds,
 * detection of counter resets. */
#include "query/promql/histogram_walk.h"

#include <math.h>

histogram_walk histogram_walk_side(const histogram_side *side)
{
    return (histogram_walk){ .spans = side->spans,
                             .counts = side->counts,
                             .count = side->count,
                             .next = side->span_count ? side->spans[0].offset : 0 };
}

histogram_walk histogram_walk_list(const histogram_list *list)
{
    return (histogram_walk){
        .indexes = list->index, .counts = list->count, .lost = list->lost, .count = list->n
    };
}

void histogram_walk_coarser(histogram_walk *w, int32_t from_schema, int32_t to_schema)
{
    w->shift = (uint8_t)(from_schema - to_schema);
    w->join = w->shift != 0;
}

void histogram_walk_bounds(histogram_walk *w, const double *from, uint32_t from_count,
                           const double *to, uint32_t to_count)
{
    w->from = from;
    w->from_count = from_count;
    w->to = to;
    w->to_count = to_count;
}

/* The index of the common bucket that holds bucket `own`; `own` rises from call to call. */
static int32_t translate_bounds(histogram_walk *w, int64_t own)
{
    if (own >= (int64_t)w->from_count)
        return (int32_t)w->to_count;
    while (w->to_at < w->to_count && !(w->to[w->to_at] >= w->from[own]))
        w->to_at++;
    return (int32_t)w->to_at;
}

static bool read_bucket(histogram_walk *w, int32_t *index, double *value, double *rest)
{
    int64_t own;
    if (w->at == w->count)
        return false;
    if (w->indexes) {
        own = w->indexes[w->at];
    } else {
        while (w->in_span == w->spans[w->span].length) {
            w->in_span = 0;
            w->next += w->spans[++w->span].offset;
        }
        own = w->next++;
        w->in_span++;
    }
    if (w->from)
        *index = translate_bounds(w, own);
    else
        *index = w->shift ? (int32_t)(((own - 1) >> w->shift) + 1) : (int32_t)own;
    *value = w->counts[w->at];
    *rest = w->lost ? w->lost[w->at] : 0;
    w->at++;
    return true;
}

static void step_back(histogram_walk *w)
{
    w->at--;
    w->in_span--;
    w->next--;
}

bool histogram_walk_next(histogram_walk *w)
{
    int32_t index;
    double value, rest;
    if (!read_bucket(w, &w->index, &w->value, &w->rest))
        return false;
    while (w->join && read_bucket(w, &index, &value, &rest)) {
        if (index != w->index) {
            step_back(w);
            break;
        }
        kahan sum = { w->value, w->rest };
        kahan_add(&sum, value);
        kahan_add(&sum, rest);
        w->value = sum.sum;
        w->rest = sum.lost;
    }
    return true;
}

/* ---- writing ---- */

static bool write_next(histogram_walk *w, double divisor, bool compact, double *ret)
{
    while (histogram_walk_next(w)) {
        *ret = w->value / divisor + w->rest / divisor;
        if (!compact || *ret != 0)
            return true;
    }
    return false;
}

bool histogram_write_side(arena *a, histogram_walk w, double divisor, bool compact,
                          histogram_side *ret)
{
    histogram_walk first = w;
    uint32_t count = 0, spans = 0;
    int64_t end = INT64_MIN;
    double value;
    for (; write_next(&w, divisor, compact, &value); count++) {
        spans += w.index != end;
        end = (int64_t)w.index + 1;
    }
    *ret = (histogram_side){ .span_count = spans, .count = count };
    if (!count)
        return true;
    double *counts = arena_alloc_aligned(a, count * sizeof(double), sizeof(double));
    native_span *to = arena_alloc_aligned(a, spans * sizeof(native_span), _Alignof(native_span));
    if (!counts || !to)
        return false;
    ret->counts = counts;
    ret->spans = to;
    end = 0;
    for (uint32_t n = 0, s = 0; write_next(&first, divisor, compact, &value); n++) {
        if (n == 0 || first.index != end)
            to[s++] = (native_span){ (int32_t)(first.index - end), 0 };
        to[s - 1].length++;
        end = (int64_t)first.index + 1;
        counts[n] = value;
    }
    return true;
}

/* ---- zero buckets and bounds ---- */

/* True when a populated bucket lies across the threshold, which then is raised to its bound. */
static bool widen_side(histogram_walk w, int32_t schema, double *threshold, kahan *zero)
{
    while (histogram_walk_next(&w)) {
        double far = histogram_bound(w.index, schema);
        if (histogram_bound(w.index - 1, schema) >= *threshold)
            return false;
        kahan_add(zero, w.value);
        if (w.lost)
            kahan_add(zero, w.rest);
        if (far > *threshold) {
            if (w.value == 0)
                return false;
            *threshold = far;
            return true;
        }
    }
    return false;
}

double histogram_widen_zero(histogram_walk positive, histogram_walk negative, int32_t schema,
                            double threshold, kahan *zero)
{
    double start = zero->sum;
    for (;;) {
        zero->sum = start;
        widen_side(positive, schema, &threshold, zero);
        if (!widen_side(negative, schema, &threshold, zero))
            return threshold;
    }
}

static bool side_above_zero(const histogram *h, const histogram_side *s)
{
    return s->count == 0 || histogram_bound(s->spans[0].offset, h->schema) > h->zero_threshold;
}

bool histogram_above_zero(const histogram *h)
{
    return histogram_is_custom(h) || (h->zero_threshold == 0) ||
           (side_above_zero(h, &h->positive) && side_above_zero(h, &h->negative));
}

bool histogram_same_spans(const histogram_side *x, const histogram_side *y)
{
    return x->span_count == y->span_count && x->count == y->count &&
           (x->spans == y->spans || x->span_count == 0 ||
            memcmp(x->spans, y->spans, x->span_count * sizeof(native_span)) == 0);
}

bool histogram_same_bounds(const double *x, uint32_t x_count, const double *y, uint32_t y_count)
{
    if (x_count != y_count)
        return false;
    for (uint32_t i = 0; x != y && i < x_count; i++)
        if (x[i] != y[i])
            return false;
    return true;
}

uint32_t histogram_common_bounds(const double *x, uint32_t x_count, const double *y,
                                 uint32_t y_count, double *ret)
{
    uint32_t n = 0;
    for (uint32_t i = 0, j = 0; i < x_count && j < y_count;) {
        if (x[i] == y[j]) {
            ret[n++] = x[i++];
            j++;
        } else if (x[i] < y[j]) {
            i++;
        } else {
            j++;
        }
    }
    return n;
}

/* ---- resets ---- */

/* The next bucket with everything of its index and above the threshold; false at the end. */
static bool next_above(histogram_walk *w, int32_t schema, double threshold)
{
    while (histogram_walk_next(w))
        if (threshold == 0 || histogram_bound(w->index, schema) > threshold)
            return true;
    return false;
}

/* Whether a bucket of `before` has fallen or gone. */
static bool side_fell(histogram_walk now, histogram_walk before, int32_t schema, double threshold)
{
    bool more = next_above(&now, schema, threshold);
    while (next_above(&before, schema, threshold)) {
        while (more && now.index < before.index)
            more = next_above(&now, schema, threshold);
        if (!more || now.index != before.index) {
            if (before.value != 0)
                return true;
        } else if (now.value < before.value) {
            return true;
        }
    }
    return false;
}

/* The sums of both between the bounds that both have. Bounds that differ are compared piece by
 * piece, so that no memory is needed. */
static bool custom_fell(const histogram *now, const histogram *before)
{
    histogram_walk n = histogram_walk_side(&now->positive),
                   b = histogram_walk_side(&before->positive);
    bool more_now = histogram_walk_next(&n), more_before = histogram_walk_next(&b);
    uint32_t i = 0, j = 0;
    for (;;) {
        while (i < now->custom_count && j < before->custom_count &&
               now->custom[i] != before->custom[j]) {
            if (now->custom[i] < before->custom[j])
                i++;
            else
                j++;
        }
        bool last = i >= now->custom_count || j >= before->custom_count;
        double now_sum = 0, before_sum = 0;
        for (; more_now && (last || (uint32_t)n.index <= i); more_now = histogram_walk_next(&n))
            now_sum += n.value;
        for (; more_before && (last || (uint32_t)b.index <= j);
             more_before = histogram_walk_next(&b))
            before_sum += b.value;
        if (now_sum < before_sum)
            return true;
        if (last)
            return false;
        i++;
        j++;
    }
}

/* Counts of equal layout need no walk. */
static bool counts_fell(const histogram_side *now, const histogram_side *before)
{
    for (uint32_t i = 0; i < now->count; i++)
        if (now->counts[i] < before->counts[i])
            return true;
    return false;
}

static bool side_reset(const histogram *now, const histogram *before, bool positive)
{
    const histogram_side *n = positive ? &now->positive : &now->negative,
                         *b = positive ? &before->positive : &before->negative;
    if (now->zero_threshold == before->zero_threshold && now->schema == before->schema &&
        histogram_same_spans(n, b) && histogram_above_zero(now))
        return counts_fell(n, b);
    histogram_walk walk = histogram_walk_side(b);
    histogram_walk_coarser(&walk, before->schema, now->schema);
    return side_fell(histogram_walk_side(n), walk, now->schema,
                     histogram_is_custom(now) ? 0 : now->zero_threshold);
}

bool histogram_detect_reset(const histogram *now, const histogram *before)
{
    if (now->hint == HISTOGRAM_RESET || now->hint == HISTOGRAM_NO_RESET)
        return now->hint == HISTOGRAM_RESET;
    if (now->count < before->count)
        return true;
    if (histogram_is_custom(now)) {
        if (!histogram_is_custom(before))
            return true;
        if (!histogram_same_bounds(now->custom, now->custom_count, before->custom,
                                   before->custom_count))
            return custom_fell(now, before);
    }
    if (now->schema > before->schema || now->zero_threshold < before->zero_threshold)
        return true;
    kahan zero = { before->zero_count, 0 };
    if (now->zero_threshold != before->zero_threshold &&
        histogram_widen_zero(histogram_walk_side(&before->positive),
                             histogram_walk_side(&before->negative), before->schema,
                             now->zero_threshold, &zero) != now->zero_threshold)
        return true;
    return now->zero_count < zero.sum || side_reset(now, before, true) ||
           side_reset(now, before, false);
}
