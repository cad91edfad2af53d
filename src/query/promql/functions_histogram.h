// SPDX-License-Identifier: Apache-2.0
/* Classic histograms at one time: cumulative counts by upper bound. Inside functions_histogram*.c.
 */
#ifndef SONDE_QUERY_PROMQL_FUNCTIONS_HISTOGRAM_H
#define SONDE_QUERY_PROMQL_FUNCTIONS_HISTOGRAM_H

#include "query/promql/eval.h"

typedef struct {
    double bound; /* upper, inclusive */
    double count; /* cumulative */
} classic_bucket;

/* Where counts fell from one bucket to the next. */
typedef struct {
    double low, high; /* the bounds between which they did */
    double most;      /* the largest fall */
} classic_fall;

/* Buckets sorted by bound; equal bounds become one. Their number. */
uint32_t classic_join(classic_bucket *b, uint32_t count);
/* Counts never fall afterwards; differences that only rounding makes go unsaid. True when a real
 * fall had to be mended. count is at least 1. */
bool classic_mend(classic_bucket *b, uint32_t count, classic_fall *ret);
/* Of joined and mended buckets. */
double classic_quantile(double q, const classic_bucket *b, uint32_t count);
/* Of joined buckets: the share of observations between two values. */
double classic_fraction(double lower, double upper, const classic_bucket *b, uint32_t count);

#endif
