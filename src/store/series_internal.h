// SPDX-License-Identifier: Apache-2.0
/* Between series.c and series_otlp.c. */
#ifndef SONDE_STORE_SERIES_INTERNAL_H
#define SONDE_STORE_SERIES_INTERNAL_H

#include "store/series.h"

/* NULL without memory or at SERIES_MAX. */
series_key *series_key_intern(series_table *t, str bytes);
bool series_sample_add(mem_metrics *m, series_key *k, int64_t time_ms, double value);
/* Copies h. */
bool series_histogram_add(mem_metrics *m, series_key *k, int64_t time_ms, const histogram *h);
/* Its labels are copied; an exemplar that is there already changes nothing. False without memory or
 * a sample in this part. */
bool series_exemplar_add(mem_metrics *m, series_key *k, int64_t time_ms, double value,
                         const label *labels, uint32_t count, buf *scratch);

#endif
