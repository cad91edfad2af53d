// SPDX-License-Identifier: Apache-2.0
/* Sums, means, variances and quantiles, computed in the order and with the compensation that
 * Prometheus uses, so that results agree to the last digits. */
#include "query/promql/eval.h"

#include <math.h>
#include <stdlib.h>

static int order_numbers(const void *a, const void *b)
{
    double x, y;
    memcpy(&x, a, sizeof(x));
    memcpy(&y, b, sizeof(y));
    if (isnan(x) || isnan(y))
        return (int)!isnan(x) - (int)!isnan(y); /* NaN first */
    return x < y ? -1 : x > y;
}

double promql_quantile(double q, double *cells, uint32_t count)
{
    if (count == 0 || isnan(q))
        return NAN;
    if (q < 0)
        return -INFINITY;
    if (q > 1)
        return INFINITY;
    qsort(cells, count, sizeof(double), order_numbers);
    double rank = q * (double)(count - 1), below = floor(rank);
    uint32_t low = (uint32_t)below, high = MIN(low + 1, count - 1);
    double weight = rank - below;
    if (weight == 0)
        return cells[low];
    return cells[low] * (1 - weight) + cells[high] * weight;
}

/* The plain mean of a compensated sum; where that overflows, a running mean. */
double promql_mean(const double *cells, uint32_t count)
{
    kahan sum = { cells[0], 0 }, mean = { 0, 0 };
    bool incremental = false;
    for (uint32_t i = 1; i < count; i++) {
        double n = (double)(i + 1);
        if (!incremental) {
            kahan next = sum;
            kahan_add(&next, cells[i]);
            if (!isinf(next.sum)) {
                sum = next;
                continue;
            }
            incremental = true;
            mean = (kahan){ sum.sum / (n - 1), sum.lost / (n - 1) };
        }
        double q = (n - 1) / n;
        kahan next = { q * mean.sum, q * mean.lost };
        kahan_add(&next, cells[i] / n);
        mean = next;
    }
    if (incremental)
        return kahan_value(mean);
    return sum.sum / (double)count + sum.lost / (double)count;
}

double promql_variance(const double *cells, uint32_t count)
{
    kahan mean = { 0, 0 }, aux = { 0, 0 };
    for (uint32_t i = 0; i < count; i++) {
        double delta = cells[i] - kahan_value(mean);
        kahan_add(&mean, delta / (double)(i + 1));
        kahan_add(&aux, delta * (cells[i] - kahan_value(mean)));
    }
    return kahan_value(aux) / (double)count;
}
