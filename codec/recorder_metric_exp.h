// SPDX-License-Identifier: Apache-2.0
/* Parts of codec/recorder_metrics.c: exponential histograms and exemplars out of a recorder. */
#ifndef SONDE_CODEC_RECORDER_METRIC_EXP_H
#define SONDE_CODEC_RECORDER_METRIC_EXP_H

#include "codec/recorder.h"
#include "codec/recorder_metric_format.h"

/* Adds up the cells of a series into b's arena. STATUS_CORRUPT when a cell makes no sense,
 * STATUS_LIMIT when b is full. */
MUST_USE status recorder_exp_read(recorder_reader *r, arena *a, const recorder_series_row *row,
                                  uint32_t size, exp_histogram_value **ret);
/* The series' exemplars, oldest first; none when it has none. False when the arena is full. */
MUST_USE bool recorder_exemplars_read(recorder_reader *r, arena *a, const recorder_series_row *row,
                                      uint32_t count, exemplars *ret);

#endif
