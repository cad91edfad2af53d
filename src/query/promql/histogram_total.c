// SPDX-License-Identifier: Apache-2.0
/* Sums and means of histograms. A total holds its buckets as lists of indexes and counts with what
 * rounding took from each; every histogram added is merged with them into spare lists, which then
 * change places. Addition and subtraction of two go the same way, without compensation. */
#include "query/promql/histogram_walk.h"

#include <math.h>
#include <stdlib.h>

void histogram_total_init(histogram_total *t, bool mean)
{
    *t = (histogram_total){ .mean = mean };
}

static void free_list(histogram_list *l)
{
    free(l->index);
    free(l->count);
    free(l->lost);
}

void histogram_total_done(histogram_total *t)
{
    free_list(&t->positive);
    free_list(&t->negative);
    free_list(&t->spare_positive);
    free_list(&t->spare_negative);
    free(t->custom);
    free(t->spare_custom);
}

void histogram_total_clear(histogram_total *t)
{
    t->added = 0;
    t->incremental = t->restarted = t->not_restarted = false;
    t->found = (histogram_findings){ 0 };
    t->positive.n = t->negative.n = 0;
}

static bool reserve_list(histogram_list *l, size_t n)
{
    if (n <= l->capacity)
        return true;
    size_t capacity = MAX(n, (size_t)l->capacity * 2);
    if (capacity > UINT32_MAX / 2)
        return false;
    int32_t *index = realloc(l->index, capacity * sizeof(*index));
    if (index)
        l->index = index;
    double *count = realloc(l->count, capacity * sizeof(*count));
    if (count)
        l->count = count;
    double *lost = realloc(l->lost, capacity * sizeof(*lost));
    if (lost)
        l->lost = lost;
    if (!index || !count || !lost)
        return false;
    l->capacity = (uint32_t)capacity;
    return true;
}

static bool reserve_bounds(double **bounds, uint32_t *capacity, uint32_t n)
{
    if (n <= *capacity)
        return true;
    double *more = realloc(*bounds, n * sizeof(double));
    if (!more)
        return false;
    *bounds = more;
    *capacity = n;
    return true;
}

static bool copy_side(histogram_list *to, const histogram_side *from)
{
    histogram_walk w = histogram_walk_side(from);
    if (!reserve_list(to, from->count))
        return false;
    for (to->n = 0; histogram_walk_next(&w); to->n++) {
        to->index[to->n] = w.index;
        to->count[to->n] = w.value;
        to->lost[to->n] = 0;
    }
    return true;
}

static status begin(histogram_total *t, const histogram *h)
{
    if (!copy_side(&t->positive, &h->positive) || !copy_side(&t->negative, &h->negative) ||
        !reserve_bounds(&t->custom, &t->custom_capacity, h->custom_count))
        return STATUS_NO_MEMORY;
    if (h->custom_count)
        memcpy(t->custom, h->custom, h->custom_count * sizeof(double));
    t->custom_count = h->custom_count;
    t->schema = h->schema;
    t->hint = h->hint;
    t->zero_threshold = h->zero_threshold;
    t->zero = (kahan){ h->zero_count, 0 };
    t->count = (kahan){ h->count, 0 };
    t->sum = (kahan){ h->sum, 0 };
    return STATUS_OK;
}

/* ---- the zero bucket ---- */

/* Without the buckets that the zero bucket has taken, and without empty ones. */
static void trim_list(histogram_list *l, int32_t schema, double threshold)
{
    uint32_t n = 0;
    for (uint32_t i = 0; i < l->n; i++) {
        if (l->count[i] == 0 && l->lost[i] == 0)
            continue;
        if (histogram_bound(l->index[i] - 1, schema) < threshold)
            continue;
        l->index[n] = l->index[i];
        l->count[n] = l->count[i];
        l->lost[n++] = l->lost[i];
    }
    l->n = n;
}

/* One zero threshold for both, which cuts no populated bucket of either; the total's zero bucket
 * becomes that wide. Returns what h counts there then. */
static kahan meet_zero(histogram_total *t, const histogram *h, double divisor)
{
    kahan other = { h->zero_count / divisor, 0 };
    double threshold = h->zero_threshold;
    while (threshold < t->zero_threshold || threshold > t->zero_threshold) {
        if (t->zero_threshold > threshold) {
            other = (kahan){ h->zero_count, 0 };
            threshold = histogram_widen_zero(histogram_walk_side(&h->positive),
                                             histogram_walk_side(&h->negative), h->schema,
                                             t->zero_threshold, &other);
            other.sum /= divisor;
            other.lost /= divisor;
        }
        if (threshold > t->zero_threshold) {
            t->zero_threshold = histogram_widen_zero(histogram_walk_list(&t->positive),
                                                     histogram_walk_list(&t->negative), t->schema,
                                                     threshold, &t->zero);
            trim_list(&t->positive, t->schema, t->zero_threshold);
            trim_list(&t->negative, t->schema, t->zero_threshold);
        }
    }
    return other;
}

/* ---- merging ---- */

/* How a histogram is merged into a total. */
typedef struct {
    int32_t schema;        /* of the result */
    double zero_threshold; /* buckets of the second below it are in its zero bucket already */
    double factor;         /* of the second: -1 subtracts */
    double divisor;        /* of the second */
    bool plain;            /* without compensation */
} merge_rule;

static void push(histogram_list *l, int32_t index, double value, double rest, bool plain)
{
    if (l->n == 0 || l->index[l->n - 1] != index) {
        l->index[l->n] = index;
        l->count[l->n] = value;
        l->lost[l->n++] = rest;
        return;
    }
    uint32_t at = l->n - 1;
    if (plain) {
        l->count[at] += value;
        return;
    }
    kahan sum = { l->count[at], l->lost[at] };
    kahan_add(&sum, value);
    if (rest != 0)
        kahan_add(&sum, rest);
    l->count[at] = sum.sum;
    l->lost[at] = sum.lost;
}

static bool next_of_second(histogram_walk *w, const merge_rule *r)
{
    while (histogram_walk_next(w))
        if (r->schema == NATIVE_SCHEMA_CUSTOM ||
            histogram_bound(w->index, r->schema) > r->zero_threshold)
            return true;
    return false;
}

static bool merge_side(histogram_list *to, histogram_walk x, histogram_walk y, const merge_rule *r)
{
    if (!reserve_list(to, (size_t)x.count + y.count))
        return false;
    to->n = 0;
    bool more_x = histogram_walk_next(&x), more_y = next_of_second(&y, r);
    while (more_x || more_y) {
        if (more_x && (!more_y || x.index <= y.index)) {
            push(to, x.index, x.value, x.rest, r->plain);
            more_x = histogram_walk_next(&x);
        } else {
            push(to, y.index, y.value / r->divisor * r->factor, y.rest / r->divisor * r->factor,
                 r->plain);
            more_y = next_of_second(&y, r);
        }
    }
    return true;
}

static void drop_empty(histogram_list *l)
{
    trim_list(l, 0, -INFINITY);
}

/* Into the spare lists; the total itself stays. */
static bool merge_custom(histogram_total *t, const histogram *h, const merge_rule *r)
{
    histogram_walk x = histogram_walk_list(&t->positive), y = histogram_walk_side(&h->positive);
    if (histogram_same_bounds(t->custom, t->custom_count, h->custom, h->custom_count)) {
        t->spare_custom_count = UINT32_MAX; /* unchanged */
        return merge_side(&t->spare_positive, x, y, r);
    }
    if (!reserve_bounds(&t->spare_custom, &t->spare_custom_capacity,
                        MIN(t->custom_count, h->custom_count)))
        return false;
    t->spare_custom_count = histogram_common_bounds(t->custom, t->custom_count, h->custom,
                                                    h->custom_count, t->spare_custom);
    histogram_walk_bounds(&x, t->custom, t->custom_count, t->spare_custom, t->spare_custom_count);
    histogram_walk_bounds(&y, h->custom, h->custom_count, t->spare_custom, t->spare_custom_count);
    if (!merge_side(&t->spare_positive, x, y, r))
        return false;
    drop_empty(&t->spare_positive);
    return true;
}

static bool merge_exponential(histogram_total *t, const histogram *h, const merge_rule *r)
{
    histogram_walk x[2] = { histogram_walk_list(&t->positive), histogram_walk_list(&t->negative) };
    histogram_walk y[2] = { histogram_walk_side(&h->positive), histogram_walk_side(&h->negative) };
    for (int i = 0; i < 2; i++) {
        histogram_walk_coarser(&x[i], t->schema, r->schema);
        histogram_walk_coarser(&y[i], h->schema, r->schema);
    }
    return merge_side(&t->spare_positive, x[0], y[0], r) &&
           merge_side(&t->spare_negative, x[1], y[1], r);
}

static void swap_lists(histogram_list *a, histogram_list *b)
{
    histogram_list c = *a;
    *a = *b;
    *b = c;
}

/* The merged lists become the total's. */
static void commit(histogram_total *t, const merge_rule *r)
{
    swap_lists(&t->positive, &t->spare_positive);
    if (r->schema == NATIVE_SCHEMA_CUSTOM) {
        if (t->spare_custom_count == UINT32_MAX)
            return;
        double *bounds = t->custom;
        uint32_t capacity = t->custom_capacity;
        t->custom = t->spare_custom;
        t->custom_capacity = t->spare_custom_capacity;
        t->custom_count = t->spare_custom_count;
        t->spare_custom = bounds;
        t->spare_custom_capacity = capacity;
        t->found.reconciled = true;
        return;
    }
    swap_lists(&t->negative, &t->spare_negative);
    t->schema = r->schema;
}

/* True when the hints contradict each other. */
static bool meet_hints(histogram_hint *x, histogram_hint y)
{
    if (*x == y || *x == HISTOGRAM_GAUGE)
        return false;
    if (y == HISTOGRAM_GAUGE) {
        *x = y;
        return false;
    }
    bool collision = *x != HISTOGRAM_RESET_UNKNOWN && y != HISTOGRAM_RESET_UNKNOWN;
    *x = HISTOGRAM_RESET_UNKNOWN;
    return collision;
}

/* ---- means ---- */

static bool list_overflows(const histogram_list *l)
{
    for (uint32_t i = 0; i < l->n; i++)
        if (isinf(l->count[i]))
            return true;
    return false;
}

static void scale_list(histogram_list *l, double factor, double divisor)
{
    for (uint32_t i = 0; i < l->n; i++) {
        l->count[i] = l->count[i] / divisor * factor;
        l->lost[i] = l->lost[i] / divisor * factor;
    }
}

static void scale_total(histogram_total *t, double factor, double divisor)
{
    kahan *numbers[] = { &t->zero, &t->count, &t->sum };
    for (size_t i = 0; i < ARRAY_LEN(numbers); i++) {
        numbers[i]->sum = numbers[i]->sum / divisor * factor;
        numbers[i]->lost = numbers[i]->lost / divisor * factor;
    }
    scale_list(&t->positive, factor, divisor);
    scale_list(&t->negative, factor, divisor);
}

static status merge(histogram_total *t, const histogram *h, const merge_rule *given,
                    bool may_overflow)
{
    merge_rule r = *given;
    kahan zero = t->zero, count = t->count, sum = t->sum;
    r.schema = MIN(t->schema, h->schema);
    if (r.schema == NATIVE_SCHEMA_CUSTOM) {
        if (!merge_custom(t, h, &r))
            return STATUS_NO_MEMORY;
    } else {
        kahan other = meet_zero(t, h, r.divisor);
        r.zero_threshold = t->zero_threshold;
        zero = t->zero;
        kahan_add(&zero, other.sum * r.factor);
        kahan_add(&zero, other.lost * r.factor);
        if (r.plain)
            zero = (kahan){ t->zero.sum + other.sum * r.factor, 0 };
        if (!merge_exponential(t, h, &r))
            return STATUS_NO_MEMORY;
    }
    kahan_add(&count, h->count / r.divisor * r.factor);
    kahan_add(&sum, h->sum / r.divisor * r.factor);
    if (!may_overflow && (isinf(zero.sum) || isinf(count.sum) || isinf(sum.sum) ||
                          list_overflows(&t->spare_positive) ||
                          (r.schema != NATIVE_SCHEMA_CUSTOM && list_overflows(&t->spare_negative))))
        return STATUS_LIMIT;
    t->zero = zero;
    t->count = count;
    t->sum = sum;
    commit(t, &r);
    return STATUS_OK;
}

static void watch_hint(histogram_total *t, histogram_hint hint)
{
    t->restarted = t->restarted || hint == HISTOGRAM_RESET;
    t->not_restarted = t->not_restarted || hint == HISTOGRAM_NO_RESET;
}

status histogram_total_add(histogram_total *t, const histogram *h)
{
    static const merge_rule add = { .factor = 1, .divisor = 1 };
    watch_hint(t, h->hint);
    if (t->added == 0) {
        TRY(begin(t, h));
        t->added = 1;
        return STATUS_OK;
    }
    if ((t->schema == NATIVE_SCHEMA_CUSTOM) != histogram_is_custom(h))
        return STATUS_INVALID;
    double n = (double)t->added + 1;
    if (!t->incremental) {
        status st = merge(t, h, &add, !t->mean);
        if (st == STATUS_NO_MEMORY)
            return st;
        if (st == STATUS_OK) {
            meet_hints(&t->hint, h->hint);
            t->added++;
            return STATUS_OK;
        }
        t->incremental = true;
        scale_total(t, 1, n - 1);
    }
    scale_total(t, (n - 1) / n, 1);
    TRY(merge(t, h, &(merge_rule){ .factor = 1, .divisor = n }, true));
    meet_hints(&t->hint, h->hint);
    t->added++;
    return STATUS_OK;
}

/* ---- results ---- */

const histogram *histogram_total_result(histogram_total *t, arena *a, bool compact)
{
    double divisor = t->mean && !t->incremental ? (double)t->added : 1;
    histogram *h = arena_alloc_aligned(a, sizeof(*h), _Alignof(histogram));
    if (!h)
        return NULL;
    t->found.collision = t->found.collision || (t->restarted && t->not_restarted);
    *h = (histogram){ .schema = t->schema,
                      .hint = t->hint,
                      .zero_threshold = t->zero_threshold,
                      .zero_count = t->zero.sum / divisor + t->zero.lost / divisor,
                      .count = t->count.sum / divisor + t->count.lost / divisor,
                      .sum = t->sum.sum / divisor + t->sum.lost / divisor };
    if (!histogram_write_side(a, histogram_walk_list(&t->positive), divisor, compact,
                              &h->positive) ||
        !histogram_write_side(a, histogram_walk_list(&t->negative), divisor, compact, &h->negative))
        return NULL;
    if (t->schema == NATIVE_SCHEMA_CUSTOM && t->custom_count) {
        double *custom = arena_alloc_aligned(a, t->custom_count * sizeof(double), sizeof(double));
        if (!custom)
            return NULL;
        memcpy(custom, t->custom, t->custom_count * sizeof(double));
        h->custom = custom;
        h->custom_count = t->custom_count;
    }
    return h;
}

/* ---- two histograms ---- */

/* Both have the same buckets: their counts are added one by one. */
static status combine_alike(arena *a, const histogram *x, const histogram *y, double factor,
                            const histogram **ret)
{
    const histogram_side *sides[2][2] = { { &x->positive, &y->positive },
                                          { &x->negative, &y->negative } };
    histogram *h = arena_alloc_aligned(a, sizeof(*h), _Alignof(histogram));
    if (!h)
        return STATUS_LIMIT;
    *h = *x;
    h->zero_count += y->zero_count * factor;
    h->count += y->count * factor;
    h->sum += y->sum * factor;
    meet_hints(&h->hint, y->hint);
    for (int i = 0; i < 2; i++) {
        uint32_t n = sides[i][0]->count;
        double *counts = arena_alloc_aligned(a, n * sizeof(double), sizeof(double));
        if (!counts)
            return STATUS_LIMIT;
        for (uint32_t k = 0; k < n; k++)
            counts[k] = sides[i][0]->counts[k] + sides[i][1]->counts[k] * factor;
        (i ? &h->negative : &h->positive)->counts = counts;
    }
    return (*ret = histogram_compact(a, h)) ? STATUS_OK : STATUS_LIMIT;
}

static bool alike(const histogram *x, const histogram *y)
{
    return histogram_above_zero(y) && x->schema == y->schema &&
           x->zero_threshold == y->zero_threshold &&
           histogram_same_spans(&x->positive, &y->positive) &&
           histogram_same_spans(&x->negative, &y->negative) &&
           histogram_same_bounds(x->custom, x->custom_count, y->custom, y->custom_count);
}

static void forget_rests(histogram_total *t)
{
    t->zero.lost = t->count.lost = t->sum.lost = 0;
    for (uint32_t i = 0; i < t->positive.n; i++)
        t->positive.lost[i] = 0;
    for (uint32_t i = 0; i < t->negative.n; i++)
        t->negative.lost[i] = 0;
}

static status combine(arena *a, const histogram *x, const histogram *y, double factor,
                      histogram_findings *found, const histogram **ret)
{
    histogram_total t;
    histogram_hint hint = x->hint;
    if (histogram_is_custom(x) != histogram_is_custom(y))
        return STATUS_INVALID;
    if (found && meet_hints(&hint, y->hint))
        found->collision = true;
    if (alike(x, y))
        return combine_alike(a, x, y, factor, ret);
    histogram_total_init(&t, false);
    status st = begin(&t, x);
    if (st == STATUS_OK)
        st = merge(&t, y, &(merge_rule){ .factor = factor, .divisor = 1, .plain = true }, true);
    if (st == STATUS_OK) {
        t.added = 2;
        meet_hints(&t.hint, y->hint);
        forget_rests(&t);
        *ret = histogram_total_result(&t, a, true);
        st = *ret ? STATUS_OK : STATUS_LIMIT;
        if (found && t.found.reconciled)
            found->reconciled = true;
    }
    histogram_total_done(&t);
    return st == STATUS_NO_MEMORY ? STATUS_LIMIT : st;
}

status histogram_add(arena *a, const histogram *x, const histogram *y, histogram_findings *found,
                     const histogram **ret)
{
    return combine(a, x, y, 1, found, ret);
}

status histogram_subtract(arena *a, const histogram *x, const histogram *y,
                          histogram_findings *found, const histogram **ret)
{
    return combine(a, x, y, -1, found, ret);
}
