// SPDX-License-Identifier: Apache-2.0
/* Metrics out of a recorder file, of a living or a dead process (docs/format/recorder-metrics.md):
 * the one source of /metrics, of OTLP export and of what is recovered after a crash. No offset in
 * the file is trusted; a damaged file is read as far as it is good. */
#ifndef SONDE_CODEC_RECORDER_METRICS_H
#define SONDE_CODEC_RECORDER_METRICS_H

#include "codec/batch.h"
#include "codec/recorder.h"

/* Appends one point per series to `b` (SIGNAL_METRICS), under the process's resource: names and
 * units as the program gave them, cumulative, in the order in which they were made; all in b's own
 * arena. Their time is now for a living process, its last sign of life for a dead one. Last comes
 * sonde_dropped_total{signal,reason}. A gauge that was never set and a metric that was freed give
 * nothing. STATUS_LIMIT when b is full: what was appended until then is whole. */
MUST_USE status recorder_metrics_read(recorder_reader *r, batch *b, error *err);

#endif
