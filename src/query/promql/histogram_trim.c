// SPDX-License-Identifier: Apache-2.0
/* The operators </ and >/: keeps what a histogram has counted below or above a bound. Buckets
 * around the bound are divided by interpolation; the sum is estimated from the middles of what is
 * left. */
#include "query/promql/histogram.h"

#include <math.h>

#include "query/promql/histogram_walk.h"

/* What stays of a bucket, and the value that stands for each of its observations. */
typedef struct {
    double count, middle;
} kept;

typedef struct {
    double bound;
    bool upper;  /* keep what is below the bound */
    bool linear; /* custom buckets */
} trim_rule;

static double middle_of(double lower, double upper, bool positive, bool linear)
{
    if (isinf(lower)) {
        if (isinf(upper))
            return 0;
        return upper > 0 ? upper / 2 : upper;
    }
    if (isinf(upper))
        return lower;
    if (linear)
        return (lower + upper) / 2;
    double middle = sqrt(fabs(lower * upper));
    return positive ? middle : -middle;
}

static double finite_or_zero(double v)
{
    return isinf(v) ? 0 : v;
}

/* The first custom bucket, from minus infinity; 0 stands for that when it ends above 0. */
static kept trim_from_infinity(const histogram_bucket *b, const trim_rule *r)
{
    double v = r->bound;
    if (r->upper) {
        if (v >= b->upper)
            return (kept){ b->count, 0 };
        if (v > 0 && b->upper > 0 && !isinf(b->upper))
            return (kept){ b->count * v / b->upper, v / 2 };
        if (b->upper <= 0)
            return (kept){ b->count, v };
        return (kept){ 0, finite_or_zero(b->upper) };
    }
    if (v <= b->lower)
        return (kept){ b->count, 0 };
    if (v >= 0 && b->upper > v && !isinf(b->upper))
        return (kept){ b->count * (1 - v / b->upper), (v + b->upper) / 2 };
    return (kept){ 0, finite_or_zero(b->upper) };
}

/* How the last bucket is divided is not known: it goes with what may be beyond the bound. */
static kept trim_to_infinity(const histogram_bucket *b, const trim_rule *r)
{
    if (!r->upper && r->bound >= b->lower)
        return (kept){ b->count, r->bound };
    return (kept){ 0, finite_or_zero(b->lower) };
}

static kept divide_bucket(const histogram_bucket *b, const trim_rule *r, bool positive)
{
    double v = r->bound, below;
    if (b->lower == -INFINITY)
        return trim_from_infinity(b, r);
    if (b->upper == INFINITY)
        return trim_to_infinity(b, r);
    if (v <= b->lower)
        below = 0;
    else if (v >= b->upper)
        below = b->count;
    else
        below = b->count * histogram_fraction_below(b, v, r->linear);
    if (r->upper)
        return (kept){ below, middle_of(b->lower, v, positive, r->linear) };
    return (kept){ b->count - below, middle_of(v, b->upper, positive, r->linear) };
}

static kept trim_bucket(const histogram_bucket *b, const trim_rule *r, bool positive)
{
    if (r->upper ? b->upper <= r->bound : b->lower >= r->bound)
        return (kept){ b->count, middle_of(b->lower, b->upper, positive, r->linear) };
    if (r->upper ? b->lower < r->bound : b->upper > r->bound)
        return divide_bucket(b, r, positive);
    return (kept){ 0, 0 };
}

/* Linear; one end is 0 when only the other side has observations. */
static kept trim_zero(const histogram *h, const trim_rule *r, bool negative, bool positive)
{
    double lower = positive && !negative ? 0 : -h->zero_threshold,
           upper = negative && !positive ? 0 : h->zero_threshold, v = r->bound;
    if (r->upper ? v >= upper && !(v <= lower) : v <= lower)
        return (kept){ h->zero_count, (lower + upper) / 2 };
    if (r->upper ? v <= lower : v >= upper)
        return (kept){ 0, 0 };
    if (r->upper)
        return (kept){ h->zero_count * ((v - lower) / (upper - lower)), (lower + v) / 2 };
    return (kept){ h->zero_count * ((upper - v) / (upper - lower)), (v + upper) / 2 };
}

typedef struct {
    double count, sum;
    bool changed;
} estimate;

/* False without memory. */
static bool trim_side(arena *a, const histogram *h, histogram_side *side, const trim_rule *r,
                      bool positive, estimate *e, bool *ret_populated)
{
    histogram_walk w = histogram_walk_side(side);
    double *counts = arena_alloc_aligned(a, side->count * sizeof(double), sizeof(double));
    if (!counts)
        return false;
    for (uint32_t i = 0; histogram_walk_next(&w); i++) {
        counts[i] = w.value;
        if (w.value == 0)
            continue;
        histogram_bucket b = histogram_bucket_at(h, w.index, positive, w.value);
        kept k = trim_bucket(&b, r, positive);
        *ret_populated = true;
        counts[i] = k.count;
        e->count += k.count;
        e->sum += k.middle * k.count;
        e->changed = e->changed || k.count != w.value;
    }
    side->counts = counts;
    return true;
}

const histogram *histogram_trim(arena *a, const histogram *h, double bound, bool upper)
{
    trim_rule r = { bound, upper, histogram_is_custom(h) };
    histogram cut = *h;
    estimate e = { 0, 0, false };
    bool positive = false, negative = false;
    if (!trim_side(a, h, &cut.positive, &r, true, &e, &positive) ||
        !trim_side(a, h, &cut.negative, &r, false, &e, &negative))
        return NULL;
    if (h->zero_count > 0) {
        kept k = trim_zero(h, &r, negative, positive);
        e.changed = e.changed || k.count != h->zero_count;
        cut.zero_count = k.count;
        e.sum += k.middle * k.count;
        e.count += k.count;
    }
    if (!e.changed)
        return h;
    cut.count = e.count;
    cut.sum = e.sum;
    histogram *result = arena_alloc_aligned(a, sizeof(*result), _Alignof(histogram));
    if (!result)
        return NULL;
    *result = cut;
    return histogram_compact(a, result);
}
