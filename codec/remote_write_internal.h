// SPDX-License-Identifier: Apache-2.0
/* What the files of remote write share; see remote_write.h. */
#ifndef SONDE_CODEC_REMOTE_WRITE_INTERNAL_H
#define SONDE_CODEC_REMOTE_WRITE_INTERNAL_H

#include "base/map.h"
#include "codec/native_histogram.h"
#include "codec/protobuf.h"
#include "codec/remote_write.h"

/* MetricMetadata.MetricType, the same in both versions. */
typedef enum {
    WRITE_UNKNOWN,
    WRITE_COUNTER,
    WRITE_GAUGE,
    WRITE_HISTOGRAM,
    WRITE_GAUGE_HISTOGRAM,
    WRITE_SUMMARY,
    WRITE_INFO,
    WRITE_STATESET,
    WRITE_TYPES
} write_type;

typedef struct {
    write_type type;
    str help, unit;
} write_family;

void write_types_put(remote_write_types *t, str name, const write_family *f);
/* The family of that name, copied to `a`. */
bool write_types_get(remote_write_types *t, str name, arena *a, write_family *ret);
/* The family of a series: by its full name, or without a suffix that the family's type has. */
bool write_types_of_series(remote_write_types *t, str name, arena *a, write_family *ret);
/* Whether a series of that name only rises in a family of that type. */
bool write_type_counts(write_type type, str name);

/* Fields, by message. Where the versions differ, the number says which. */
enum {
    REQUEST1_SERIES = 1,
    REQUEST1_METADATA = 3,
    METADATA1_TYPE = 1,
    METADATA1_NAME = 2,
    METADATA1_HELP = 4,
    METADATA1_UNIT = 5,
    SERIES1_LABELS = 1,
    SERIES1_SAMPLES = 2,
    SERIES1_EXEMPLARS = 3,
    SERIES1_HISTOGRAMS = 4,
    REQUEST2_SYMBOLS = 4,
    REQUEST2_SERIES = 5,
    SERIES2_LABELS = 1,
    SERIES2_SAMPLES = 2,
    SERIES2_HISTOGRAMS = 3,
    SERIES2_EXEMPLARS = 4,
    SERIES2_METADATA = 5,
    SERIES2_CREATED = 6,
    METADATA2_TYPE = 1,
    METADATA2_HELP = 3,
    METADATA2_UNIT = 4,
    SAMPLE_VALUE = 1,
    SAMPLE_TIME = 2,
    SAMPLE_START = 3,
    EXEMPLAR_LABELS = 1,
    EXEMPLAR_VALUE = 2,
    EXEMPLAR_TIME = 3,
    HISTOGRAM_COUNT_INT = 1,
    HISTOGRAM_COUNT_FLOAT = 2,
    HISTOGRAM_SUM = 3,
    HISTOGRAM_SCHEMA = 4,
    HISTOGRAM_ZERO_THRESHOLD = 5,
    HISTOGRAM_ZERO_INT = 6,
    HISTOGRAM_ZERO_FLOAT = 7,
    HISTOGRAM_NEGATIVE_SPANS = 8,
    HISTOGRAM_NEGATIVE_DELTAS = 9,
    HISTOGRAM_NEGATIVE_COUNTS = 10,
    HISTOGRAM_POSITIVE_SPANS = 11,
    HISTOGRAM_POSITIVE_DELTAS = 12,
    HISTOGRAM_POSITIVE_COUNTS = 13,
    HISTOGRAM_RESET_HINT = 14,
    HISTOGRAM_TIME = 15,
    HISTOGRAM_CUSTOM = 16,
    HISTOGRAM_START = 17,
};

/* A Histogram message as it is on the wire. */
typedef struct {
    native_wire value;
    int64_t time_ms, start_ms;
} write_histogram;

/* Lists go to `a`. False without memory, or with r->problem. */
MUST_USE bool write_histogram_read(arena *a, pb_reader *r, write_histogram *ret);
/* A point's value: of METRIC_EXP_HISTOGRAM, or with custom bounds of METRIC_HISTOGRAM; `native` in
 * it is what was sent. *ret_flags gets POINT_FLAG_NO_RECORDED_VALUE for a stale marker. The reason
 * in *ret_problem when it contradicts itself; NULL there: no memory. */
MUST_USE bool write_histogram_point(arena *a, const write_histogram *h, metric_type *ret_type,
                                    point_value *ret, uint32_t *ret_flags,
                                    const char **ret_problem);

#endif
