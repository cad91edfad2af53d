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
    RECORDER_HISTOGRAM = 4,
    RECORDER_EXPONENTIAL = 5
} recorder_metric_kind;

#define RECORDER_METRIC_FREED    1u /* no longer exported */
#define RECORDER_METRIC_FLOATING 2u /* a counter that was once given a fraction */

/* bound_count of an exponential histogram is the number of its buckets for one sign; it has no
 * bounds. Then bounds (f64 each), then name, unit, help, and the label names: u16 length, bytes. */
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
#define RECORDER_SERIES_EXPIRED  2u /* not updated for long: not exported until it is again */

/* Then the label values in the order of the names: u16 length, bytes. */
typedef struct {
    uint32_t magic;
    uint32_t flags;   /* atomic */
    uint64_t next;    /* the series of the same metric made before it */
    int64_t start_ns; /* atomic; wall clock; since when it counts */
    uint32_t text_bytes;
    uint32_t exemplars; /* atomic; offset / RECORDER_CELL_UNIT of its exemplars, 0 none */
    uint32_t cells[RECORDER_METRIC_SHARDS]; /* atomic; offset / RECORDER_CELL_UNIT, 0 none */
} recorder_series_row;

/* An example of what was counted, with the span that was current. `sequence` is odd while one is
 * written and 0 before the first; a reader takes what it finds between two equal even ones. */
typedef struct {
    uint64_t sequence; /* atomic */
    uint64_t ticks;
    uint64_t value; /* bits of an i64 or f64 */
    uint8_t trace_id[16];
    uint8_t span_id[8];
    uint32_t is_int;
    uint32_t reserved[3];
} recorder_exemplar;

/* How many a series has room for. */
static inline uint32_t recorder_exemplar_count(uint32_t kind, uint32_t bound_count)
{
    static const uint32_t most = 8;
    switch (kind) {
    case RECORDER_COUNTER:
        return 1;
    case RECORDER_HISTOGRAM:
        return bound_count + 1 < most ? bound_count + 1 : most;
    case RECORDER_EXPONENTIAL:
        return most;
    default:
        return 0;
    }
}

/* The cell of an exponential histogram, for values above 0; values below 0 are in a cell of their
 * own, by their magnitude. Then two banks of [i64 anchor, bound_count times u64 count], of which
 * `state` names the one that holds. Bucket i of the bank stands at i - anchor, modulo bound_count.
 * A change of scale fills the other bank and then stores `state`: nobody sees half of it. */
typedef struct {
    uint64_t state;     /* atomic; 0: nothing was counted */
    uint64_t sum;       /* f64 */
    uint64_t min, max;  /* f64, each XOR the infinity that it starts from */
    uint64_t zeroes;    /* count of values that are 0 */
    int64_t negative;   /* atomic; bytes from this cell to that of negative values, 0 none */
    uint32_t lock;      /* writers' own */
    uint32_t is_shared; /* writers' own: only to be updated under the lock */
    uint64_t reserved;
} recorder_exp_cell;

#define RECORDER_EXP_USED       (UINT64_C(1) << 63)
#define RECORDER_EXP_BANK       (UINT64_C(1) << 40)
#define RECORDER_EXP_START(s)   ((int32_t)(uint32_t)(s)) /* the lowest index that was counted */
#define RECORDER_EXP_SCALE(s)   ((int)(int8_t)(uint8_t)((s) >> 32))
#define RECORDER_EXP_LEAST_BITS UINT64_C(0x7ff0000000000000) /* +Inf: where min starts */
#define RECORDER_EXP_MOST_BITS  UINT64_C(0xfff0000000000000) /* -Inf: where max starts */

static inline uint64_t recorder_exp_state(uint64_t bank, int scale, int32_t start)
{
    return RECORDER_EXP_USED | bank | (uint64_t)(uint8_t)scale << 32 | (uint32_t)start;
}

/* Offset of the bank that `state` names, from the start of the cell. */
static inline size_t recorder_exp_bank(uint64_t state, uint32_t size)
{
    return sizeof(recorder_exp_cell) + (state & RECORDER_EXP_BANK ? 8 * (1 + (size_t)size) : 0);
}

/* The other cells hold 8-byte words, each atomic by itself; the value of a series is the sum of its
 * cells.
 *   counter, up-down counter: i64, f64 (their sum)
 *   gauge, cells[0] only: f64, u64 1 once set
 *   histogram: f64 sum, then a u64 count for each bucket: bound_count + 1 */
static inline size_t recorder_cell_bytes(uint32_t kind, uint32_t bound_count)
{
    if (kind == RECORDER_EXPONENTIAL)
        return sizeof(recorder_exp_cell) + 2 * 8 * (1 + (size_t)bound_count);
    return kind == RECORDER_HISTOGRAM ? 8 * (2 + (size_t)bound_count) : 16;
}

static inline size_t recorder_bounds_bytes(uint32_t kind, uint32_t bound_count)
{
    return kind == RECORDER_HISTOGRAM ? 8 * (size_t)bound_count : 0;
}

_Static_assert(sizeof(recorder_exp_cell) == 64, "exponential cell");
_Static_assert(sizeof(recorder_exemplar) == 64, "exemplar");
_Static_assert(sizeof(recorder_metric_row) == 32, "metric row");
_Static_assert(sizeof(recorder_series_row) == 96, "series row");

#endif
