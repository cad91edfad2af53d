// SPDX-License-Identifier: Apache-2.0
/* Delta temporality: what is sent is the change since the last batch that the receiver took. A
 * batch that was refused, given up or replaced by a newer one loses nothing: the next one counts
 * from the same point again. One thread (the drainer's). */
#ifndef SONDE_LIB_METRIC_DELTA_H
#define SONDE_LIB_METRIC_DELTA_H

#include "lib/env.h"

#include "codec/batch.h"

typedef struct metric_delta metric_delta;

/* NULL for PREFER_CUMULATIVE, and without memory; all functions take NULL and then do nothing. */
metric_delta *metric_delta_new(temporality_preference preference);
void metric_delta_free(metric_delta *d);
/* Turns the counters and histograms of a cumulative batch into deltas, in place; sums that may fall
 * and gauges stay. Without memory for a series, its whole value is sent as the change. */
void metric_delta_apply(metric_delta *d, batch *b);
/* The receiver took the batch of the last metric_delta_apply. */
void metric_delta_commit(metric_delta *d);

#endif
