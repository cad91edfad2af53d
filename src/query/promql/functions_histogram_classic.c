// SPDX-License-Identifier: Apache-2.0
/* Estimates from classic histograms: the bucket that holds the rank or the value is found and
 * interpolated in linearly. The first bucket begins at 0 when its bound is above. */
#include "query/promql/functions_histogram.h"

#include <float.h>
#include <math.h>

#define SMALL_DELTA 1e-12 /* relative difference of counts that only rounding makes */

uint32_t classic_join(classic_bucket *b, uint32_t count)
{
    uint32_t n = 0;
    if (!count)
        return 0;
    for (uint32_t i = 1; i < count; i++) {
        if (b[i].bound == b[n].bound)
            b[n].count += b[i].count;
        else
            b[++n] = b[i];
    }
    return n + 1;
}

static bool almost_equal(double a, double b)
{
    if (a == b || (isnan(a) && isnan(b)))
        return true;
    double sum = fabs(a) + fabs(b), difference = fabs(a - b);
    if (a == 0 || b == 0 || sum < DBL_MIN)
        return difference < SMALL_DELTA * DBL_MIN;
    return difference / MIN(sum, DBL_MAX) < SMALL_DELTA;
}

bool classic_mend(classic_bucket *b, uint32_t count, classic_fall *ret)
{
    bool fell = false;
    double previous = b[0].count;
    *ret = (classic_fall){ INFINITY, -INFINITY, 0 };
    for (uint32_t i = 1; i < count; i++) {
        double now = b[i].count;
        if (now == previous)
            continue;
        if (almost_equal(previous, now)) {
            b[i].count = previous;
        } else if (now < previous) {
            b[i].count = previous;
            ret->low = MIN(ret->low, b[i].bound);
            ret->high = MAX(ret->high, b[i].bound);
            ret->most = MAX(ret->most, previous - now);
            fell = true;
        } else {
            previous = now;
        }
    }
    return fell;
}

double classic_quantile(double q, const classic_bucket *b, uint32_t count)
{
    if (isnan(q))
        return NAN;
    if (q < 0)
        return -INFINITY;
    if (q > 1)
        return INFINITY;
    if (count < 2 || b[count - 1].bound != INFINITY || b[count - 1].count == 0)
        return NAN;
    double rank = q * b[count - 1].count;
    uint32_t low = 0, high = count - 1; /* the first whose count reaches the rank, or the last */
    while (low < high) {
        uint32_t middle = (low + high) / 2;
        if (b[middle].count >= rank)
            high = middle;
        else
            low = middle + 1;
    }
    if (low == count - 1)
        return b[count - 2].bound;
    if (low == 0 && b[0].bound <= 0)
        return b[0].bound;
    double from = low ? b[low - 1].bound : 0, below = low ? b[low - 1].count : 0;
    return from + (b[low].bound - from) * ((rank - below) / (b[low].count - below));
}

/* ---- fraction ---- */

/* Observations at or below a value; all of them when no bucket ends above. */
static double rank_of(double v, const classic_bucket *b, uint32_t count)
{
    double lower = b[0].bound <= 0 ? -INFINITY : 0, below = 0, all = b[count - 1].count;
    for (uint32_t i = 0; i < count; i++) {
        double rank = below;
        if (lower < v && b[i].bound > v)
            rank = lower == -INFINITY
                       ? b[i].count
                       : below + (b[i].count - below) * (v - lower) / (b[i].bound - lower);
        else if (lower < v) {
            below = b[i].count;
            lower = b[i].bound;
            continue;
        }
        return rank > all ? all : rank;
    }
    return all;
}

double classic_fraction(double lower, double upper, const classic_bucket *b, uint32_t count)
{
    if (!count || b[count - 1].bound != INFINITY || b[count - 1].count == 0 || isnan(lower) ||
        isnan(upper))
        return NAN;
    if (lower >= upper)
        return 0;
    return (rank_of(upper, b, count) - rank_of(lower, b, count)) / b[count - 1].count;
}
