// SPDX-License-Identifier: Apache-2.0
/* The histograms of one series in a block of a part; layout: docs/format/part.md, "Histograms".
 * Pure functions. */
#ifndef SONDE_STORE_PART_HISTOGRAM_H
#define SONDE_STORE_PART_HISTOGRAM_H

#include "codec/histogram.h"
#include "store/bytes.h"

enum { PART_HISTOGRAM_ROWS = 1024, PART_HISTOGRAM_VALUES = 1 << 20 };

/* How many of them one block may hold: 1 to PART_HISTOGRAM_ROWS. */
uint32_t part_histogram_fit(const histogram *const *h, uint32_t count);
void part_histogram_write(buf *out, const histogram *const *h, uint32_t count);
/* STATUS_CORRUPT, without a message: these are not such bytes; STATUS_LIMIT: no memory in `a`. */
MUST_USE status part_histogram_read(bytes_reader *r, uint32_t count, arena *a,
                                    const histogram **ret);

#endif
