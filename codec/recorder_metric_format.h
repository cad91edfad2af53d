// SPDX-License-Identifier: Apache-2.0
/* The bytes of metrics in a recorder file, shared by the writer (lib/metric*.c) and the reader
 * (codec/recorder_metrics.c); docs/format/recorder-metrics.md explains them. recorder_header.
 * metric_root is the file offset of the newest metric row. Rows are linked from new to old and are
 * complete before they are linked. Offsets are from the start of the file; 0 is none. */
#ifndef SONDE_CODEC_RECORDER_METRIC_FORMAT_H
#define SONDE_CODEC_RECORDER_METRIC_FORMAT_H

#include "base/base.h"

#define RECORDER_METRIC_MAGIC  0x5254454du /* "METR" */
#define RECORDER_SERIES_MAGIC  0x49524553u /* "SERI" */
#define RECORDER_METRIC_SHARDS 16u
#define RECORDER_CELL_UNIT     16u /* cells lie on multiples of it */

#define RECORDER_METRIC_LABELS_MAX 12u
#define RECORDER_METRIC_BOUNDS_MAX 128u
#define RECORDER_METRIC_NAME_MAX   255u
#define RECORDER_METRIC_UNIT_MAX   63u
#define RECORDER_METRIC_HELP_MAX   1023u
#define RECORDER_METRIC_VALUE_MAX  1024u /* bytes of one label's value */

typedef enum {
    RECORDER_COUNTER = 1,
    RECORDER_UPDOWN = 2,
    RECORDER_GAUGE = 3,
    RECORDER_HISTOGRAM = 4
} recorder_metric_kind;

#define RECORDER_METRIC_FREED    1u /* no longer exported */
#define RECORDER_METRIC_FLOATING 2u /* a counter that was once given a fraction */

/* Then bounds (f64 each), then name, unit, help, and the label names: u16 length, bytes. */
typedef struct {
    uint32_t magic;
    uint32_t flags;  /* atomic */
    uint64_t next;   /* the metric made before it */
    uint64_t series; /* atomic; its newest series */
    uint8_t kind;
    uint8_t label_count;
    uint16_t bound_count;
    uint32_t text_bytes; /* of everything after the bounds */
} recorder_metric_row;

#define RECORDER_SERIES_OVERFLOW 1u /* stands for label sets beyond the limit; no label values */

/* Then the label values in the order of the names: u16 length, bytes. */
typedef struct {
    uint32_t magic;
    uint32_t flags;
    uint64_t next;    /* the series of the same metric made before it */
    int64_t start_ns; /* wall clock; since when it counts */
    uint32_t text_bytes;
    uint32_t reserved;
    uint32_t cells[RECORDER_METRIC_SHARDS]; /* atomic; offset / RECORDER_CELL_UNIT, 0 none */
} recorder_series_row;

/* A cell holds 8-byte words, each atomic by itself; the value of a series is the sum of its cells.
 *   counter, up-down counter: i64, f64 (their sum)
 *   gauge, cells[0] only: f64, u64 1 once set
 *   histogram: f64 sum, then a u64 count for each bucket: bound_count + 1 */
static inline size_t recorder_cell_bytes(uint32_t kind, uint32_t bound_count)
{
    return kind == RECORDER_HISTOGRAM ? 8 * (2 + (size_t)bound_count) : 16;
}

_Static_assert(sizeof(recorder_metric_row) == 32, "metric row");
_Static_assert(sizeof(recorder_series_row) == 96, "series row");

#endif
