// SPDX-License-Identifier: Apache-2.0
/* Native histograms to OpenTelemetry's histograms and back. Bucket i of schema s is bucket i - 1 of
 * scale s. Pure functions; thread-safe; results live in the arena. */
#ifndef SONDE_CODEC_NATIVE_CONVERT_H
#define SONDE_CODEC_NATIVE_CONVERT_H

#include "codec/batch.h"
#include "codec/histogram.h"

/* What OpenTelemetry can say of h, with h itself as `native`: counts rounded to whole numbers, a
 * lower scale where the buckets would be too many; with bounds of its own a METRIC_HISTOGRAM. h
 * must outlive the value. False without memory. */
MUST_USE bool native_to_point(arena *a, const histogram *h, metric_type *ret_type,
                              point_value *ret);

/* Gives a classic histogram the native one with the same bounds. False without memory. */
MUST_USE bool native_from_classic(arena *a, histogram_value *h);

/* Whether the value is, for Prometheus, one native histogram: an exponential one that is not too
 * coarse, or what came as one. */
static inline bool native_is_point(metric_type type, const point_value *v)
{
    return type == METRIC_EXP_HISTOGRAM || (type == METRIC_HISTOGRAM && v->histogram->native);
}

/* The histogram of such a point: the one it came as, or what Prometheus makes of OTLP. The reason
 * in *ret_problem when there is none (a scale below -4); NULL there: no memory. */
MUST_USE bool native_of_point(arena *a, metric_type type, const point_value *v,
                              const histogram **ret, const char **ret_problem);

#endif
