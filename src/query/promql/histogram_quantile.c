// SPDX-License-Identifier: Apache-2.0
/* Estimates from the buckets of one histogram. Observations are taken to lie evenly inside a
 * bucket: on a logarithmic scale in exponential buckets, linearly in custom ones and in the zero
 * bucket. */
#include "query/promql/histogram.h"

#include <math.h>

double histogram_fraction_below(const histogram_bucket *b, double v, bool linear)
{
    if (linear)
        return (v - b->lower) / (b->upper - b->lower);
    double lower = log2(fabs(b->lower)), upper = log2(fabs(b->upper)), at = log2(fabs(v));
    if (v > 0)
        return (at - lower) / (upper - lower);
    return 1 - ((at - upper) / (lower - upper));
}

static bool only_positive(const histogram *h)
{
    return h->negative.count == 0 && h->positive.count > 0;
}

static bool only_negative(const histogram *h)
{
    return h->positive.count == 0 && h->negative.count > 0;
}

/* Whether the observations in all buckets are fewer than the histogram's: some were NaN. */
static bool has_nan(const histogram *h, double counted, histogram_buckets *rest)
{
    histogram_bucket b;
    while (histogram_buckets_next(rest, &b))
        counted += b.count;
    return counted < h->count;
}

static double inside(const histogram *h, const histogram_bucket *b, double fraction)
{
    if (histogram_is_custom(h) || (b->lower <= 0 && b->upper >= 0))
        return b->lower + (b->upper - b->lower) * fraction;
    double lower = log2(fabs(b->lower)), upper = log2(fabs(b->upper));
    if (b->lower > 0)
        return exp2(lower + (upper - lower) * fraction);
    return -exp2(upper + (lower - upper) * (1 - fraction));
}

double histogram_quantile(const histogram *h, double q, histogram_doubt *ret_doubt)
{
    *ret_doubt = HISTOGRAM_FINE;
    if (q < 0)
        return -INFINITY;
    if (q > 1)
        return INFINITY;
    if (h->count == 0 || isnan(q))
        return NAN;
    bool rising = isnan(h->sum) || q < 0.5; /* from the nearer end, but NaN is beyond the upper */
    double rank = (rising ? q : 1 - q) * h->count, count = 0;
    histogram_buckets it;
    histogram_bucket next, b = { 0 };
    histogram_buckets_start(&it, h, !rising);
    while (histogram_buckets_next(&it, &next)) {
        b = next;
        count += b.count;
        if (b.count != 0 && count >= rank)
            break;
    }
    if (histogram_is_custom(h)) {
        if (b.lower == -INFINITY) {
            if (b.upper <= 0)
                return b.upper;
            b.lower = 0;
        } else if (b.upper == INFINITY) {
            return b.lower;
        }
    } else if (b.lower < 0 && b.upper > 0) {
        if (only_positive(h))
            b.lower = 0;
        else if (only_negative(h))
            b.upper = 0;
    }
    count = MIN(count, h->count);
    if (count < rank) {
        *ret_doubt = isnan(h->sum) ? HISTOGRAM_NAN_RESULT : HISTOGRAM_FINE;
        return isnan(h->sum) ? NAN : b.upper;
    }
    rank = rising ? rank - (count - b.count) : count - rank;
    if (isnan(h->sum) && has_nan(h, count, &it))
        *ret_doubt = HISTOGRAM_NAN_SKEW;
    return inside(h, &b, rank / b.count);
}

/* ---- fraction ---- */

typedef struct {
    double value, rank; /* rank: observations at or below the value */
    bool set;
} mark;

static void find_rank(mark *m, const histogram_bucket *b, double below, bool linear)
{
    if (m->set)
        return;
    if (b->lower >= m->value) {
        *m = (mark){ m->value, below, true };
    } else if (b->upper > m->value) {
        /* Nothing is known of how a bucket from minus infinity is divided. */
        double rank = linear && b->lower == -INFINITY
                          ? b->count
                          : below + b->count * histogram_fraction_below(b, m->value, linear);
        *m = (mark){ m->value, rank, true };
    }
}

double histogram_fraction(const histogram *h, double lower, double upper,
                          histogram_doubt *ret_doubt)
{
    *ret_doubt = HISTOGRAM_FINE;
    if (h->count == 0 || isnan(lower) || isnan(upper))
        return NAN;
    if (lower >= upper)
        return 0;
    mark from = { lower, 0, false }, to = { upper, 0, false };
    double count = 0, below = 0;
    histogram_buckets it;
    histogram_bucket b;
    histogram_buckets_start(&it, h, false);
    while (!(from.set && to.set) && histogram_buckets_next(&it, &b)) {
        bool linear = histogram_is_custom(h);
        count += b.count;
        if (linear) {
            if (b.lower == -INFINITY && b.upper > 0)
                b.lower = 0;
        } else if (b.lower <= 0 && b.upper >= 0) {
            linear = true;
            if (only_positive(h))
                b.lower = 0;
            else if (only_negative(h))
                b.upper = 0;
        }
        find_rank(&from, &b, below, linear);
        find_rank(&to, &b, below, linear);
        below += b.count;
    }
    if (!isnan(h->sum)) {
        count = h->count;
    } else {
        for (histogram_bucket rest; histogram_buckets_next(&it, &rest);)
            count += rest.count;
        if (count < h->count)
            *ret_doubt = HISTOGRAM_NAN_SKEW;
    }
    if (!from.set || from.rank > count)
        from.rank = count;
    if (!to.set || to.rank > count)
        to.rank = count;
    return (to.rank - from.rank) / h->count;
}

double histogram_variance(const histogram *h)
{
    double mean = h->sum / h->count;
    kahan variance = { 0, 0 };
    histogram_buckets it;
    histogram_bucket b;
    histogram_buckets_start(&it, h, false);
    while (histogram_buckets_next(&it, &b)) {
        double v = 0;
        if (b.count == 0)
            continue;
        if (histogram_is_custom(h))
            v = (b.upper + b.lower) / 2;
        else if (b.lower > 0 || b.upper < 0)
            v = b.upper < 0 ? -sqrt(b.upper * b.lower) : sqrt(b.upper * b.lower);
        kahan_add(&variance, b.count * (v - mean) * (v - mean));
    }
    return kahan_value(variance) / h->count;
}
