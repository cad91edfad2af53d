// SPDX-License-Identifier: Apache-2.0
/* What the library says about itself, as metrics: sonde_records_written_total,
 * sonde_exported_total, sonde_export_failures_total, sonde_recorder_used_bytes,
 * sonde_recorder_size_bytes. What was dropped is counted in the recorder itself
 * (sonde_dropped_total). */
#ifndef SONDE_LIB_LIBRARY_METRICS_H
#define SONDE_LIB_LIBRARY_METRICS_H

#include "codec/batch.h"

/* At each start, before the recorder is there. */
void library_metrics_register(void);
/* How a request ended: `taken` rows are the receiver's, or it failed for good. Any thread. */
void library_metrics_exported(signal_kind signal, uint64_t taken_rows, bool failed);

#endif
