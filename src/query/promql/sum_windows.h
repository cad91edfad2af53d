// SPDX-License-Identifier: Apache-2.0
/* sum_over_time and avg_over_time of a whole series of floats. A compensated sum is a chain in
 * which each addition waits for the one before; windows that hold equally many samples are added up
 * beside each other. */
#ifndef SONDE_QUERY_PROMQL_SUM_WINDOWS_H
#define SONDE_QUERY_PROMQL_SUM_WINDOWS_H

#include "query/promql/eval.h"

/* Whether the function is one of the two. */
bool sum_windows_for(promql_range *fn);
/* The values at all steps; cells without one stay as they are. w has engine, call and labels. */
MUST_USE status sum_windows_row(promql_window *w, const promql_samples *s,
                                const promql_steps *steps, int64_t range_ms, double *cells);

#endif
