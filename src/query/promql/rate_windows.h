// SPDX-License-Identifier: Apache-2.0
/* rate and increase of a whole series of floats. Series of one scrape have their samples at the
 * same times, so that where each window begins and ends, and by what its difference is multiplied,
 * is worked out once and used for all of them. */
#ifndef SONDE_QUERY_PROMQL_RATE_WINDOWS_H
#define SONDE_QUERY_PROMQL_RATE_WINDOWS_H

#include "query/promql/eval.h"

/* Windows of steps that follow each other, each `stride` samples behind the one before. */
typedef struct {
    uint32_t step, count;         /* the first one's; how many steps */
    uint32_t first, last, stride; /* samples of the first window, at least two */
    double factor;                /* 0: these windows need a closer look */
    double sampled;               /* ms from the first to the last sample */
    double to_start;              /* ms from the window's start to the first sample */
} rate_run;

/* Of one thread and one call; zeroed before its first series. */
typedef struct {
    int64_t *times; /* of the samples that the windows are made for */
    uint32_t count, capacity;
    rate_run *runs; /* room for one a step */
    uint32_t run_count;
} rate_windows;

/* The values at all steps; cells without one stay as they are. w has engine, call and labels. */
MUST_USE status rate_windows_row(rate_windows *p, promql_window *w, const promql_samples *s,
                                 const promql_steps *steps, int64_t range_ms, double *cells);

#endif
