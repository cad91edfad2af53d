// SPDX-License-Identifier: Apache-2.0
/* A batch: the columnar rows of one signal, in OpenTelemetry's data model, in one arena.
 * Decoders fill it, pipelines pass it, the store appends it, exporters encode it: there is no
 * second model. Texts may point into the bytes that were decoded: keep those alive as long as the
 * batch. One thread at a time; read-only batches may be shared. */
#ifndef SONDE_CODEC_BATCH_H
#define SONDE_CODEC_BATCH_H

#include "base/arena.h"

typedef enum { SIGNAL_LOGS, SIGNAL_METRICS, SIGNAL_TRACES, SIGNAL_COUNT } signal_kind;
const char *signal_name(signal_kind s); /* "logs", "metrics", "traces" */

/* ---- typed values (opentelemetry-proto common/v1 AnyValue) ---- */

typedef enum {
    VALUE_EMPTY,
    VALUE_STR,
    VALUE_BOOL,
    VALUE_I64,
    VALUE_F64,
    VALUE_BYTES,
    VALUE_ARRAY,
    VALUE_MAP
} value_type;

typedef struct value value;
typedef struct attr attr;

typedef struct {
    attr *items;
    uint32_t count;
    uint32_t dropped; /* attributes that the sender had to drop */
} attrs;

typedef struct {
    value *items;
    uint32_t count;
} values;

struct value {
    value_type type;
    union {
        str s; /* VALUE_STR (UTF-8) and VALUE_BYTES */
        bool b;
        int64_t i64;
        double f64;
        values array;
        attrs map;
    };
};

struct attr {
    str key;
    value value;
};

#define VALUE_S(text) ((value){ .type = VALUE_STR, .s = (text) })
#define VALUE_I(n)    ((value){ .type = VALUE_I64, .i64 = (n) })
#define VALUE_D(d)    ((value){ .type = VALUE_F64, .f64 = (d) })
#define VALUE_B(x)    ((value){ .type = VALUE_BOOL, .b = (x) })

/* The first attribute of that name, or NULL. */
const value *attrs_get(const attrs *a, str key);
/* The text of a VALUE_STR attribute, else the empty string. */
str attrs_get_str(const attrs *a, str key);

/* ---- what all rows share ---- */

typedef struct {
    attrs attributes;
    str schema_url;
} batch_resource;

typedef struct {
    uint32_t resource; /* index into batch.resources */
    str name;
    str version;
    attrs attributes;
    str schema_url;
} batch_scope;

typedef struct {
    uint8_t bytes[16]; /* all zero: absent */
} trace_id;

typedef struct {
    uint8_t bytes[8]; /* all zero: absent */
} span_id;

static inline bool trace_id_is_set(trace_id id)
{
    static const trace_id none;
    return memcmp(&id, &none, sizeof(id)) != 0;
}

static inline bool span_id_is_set(span_id id)
{
    static const span_id none;
    return memcmp(&id, &none, sizeof(id)) != 0;
}

/* ---- logs (logs/v1 LogRecord) ---- */

/* Which of a row's attributes come from the context it was made in: those before are the call's
 * own. {0, 0}: none, or not known. */
typedef struct {
    uint32_t from, count;
} attr_range;

typedef struct {
    uint32_t count;
    uint32_t capacity;
    uint32_t *scope;
    int64_t *time_ns;     /* 0: unknown */
    int64_t *observed_ns; /* 0: unknown */
    uint8_t *severity;    /* SeverityNumber 1..24, 0 unset */
    str *severity_text;
    value *body;
    attrs *attributes;
    trace_id *trace;
    span_id *span;
    uint32_t *flags;
    str *event_name;
    attr_range *context;
} log_rows;

/* ---- spans (trace/v1 Span) ---- */

typedef enum {
    SPAN_KIND_UNSPECIFIED,
    SPAN_KIND_INTERNAL,
    SPAN_KIND_SERVER,
    SPAN_KIND_CLIENT,
    SPAN_KIND_PRODUCER,
    SPAN_KIND_CONSUMER
} span_kind;

typedef enum { SPAN_STATUS_UNSET, SPAN_STATUS_OK, SPAN_STATUS_ERROR } span_status;

typedef struct {
    int64_t time_ns;
    str name;
    attrs attributes;
} span_event;

typedef struct {
    trace_id trace;
    span_id span;
    str trace_state;
    attrs attributes;
    uint32_t flags;
} span_link;

typedef struct {
    span_event *items;
    uint32_t count;
    uint32_t dropped;
} span_events;

typedef struct {
    span_link *items;
    uint32_t count;
    uint32_t dropped;
} span_links;

typedef struct {
    uint32_t count;
    uint32_t capacity;
    uint32_t *scope;
    trace_id *trace;
    span_id *span;
    span_id *parent;
    str *trace_state;
    uint32_t *flags;
    str *name;
    uint8_t *kind; /* span_kind */
    int64_t *start_ns;
    int64_t *end_ns;
    attrs *attributes;
    span_events *events;
    span_links *links;
    uint8_t *status; /* span_status */
    str *status_message;
} span_rows;

/* ---- metrics (metrics/v1) ---- */

typedef enum {
    METRIC_NONE,
    METRIC_GAUGE,
    METRIC_SUM,
    METRIC_HISTOGRAM,
    METRIC_EXP_HISTOGRAM,
    METRIC_SUMMARY
} metric_type;

typedef enum { TEMPORALITY_UNSPECIFIED, TEMPORALITY_DELTA, TEMPORALITY_CUMULATIVE } temporality;

typedef struct {
    uint32_t scope;
    metric_type type;
    temporality temporality;
    bool monotonic;
    str name;
    str unit;
    str description;
} batch_metric;

typedef struct {
    int64_t time_ns;
    bool is_int;
    union {
        double f64;
        int64_t i64;
    };
    trace_id trace;
    span_id span;
    attrs filtered_attributes;
} exemplar;

typedef struct {
    exemplar *items;
    uint32_t count;
} exemplars;

typedef struct {
    uint64_t count;
    double sum, min, max;
    bool has_sum, has_min, has_max;
    uint32_t bucket_count; /* 0, or bound_count + 1 */
    uint32_t bound_count;
    uint64_t *buckets; /* per bucket, not cumulative */
    double *bounds;    /* rising; the last bucket is up to +Inf */
    /* What Prometheus sent as a native histogram with bounds of its own, exactly; see
     * exp_histogram_value. NULL: it is a classic one. */
    const struct histogram *native;
} histogram_value;

typedef struct {
    int32_t offset;
    uint32_t count;
    uint64_t *counts;
} exp_buckets;

typedef struct {
    uint64_t count;
    double sum, min, max;
    bool has_sum, has_min, has_max;
    int32_t scale;
    uint64_t zero_count;
    double zero_threshold;
    exp_buckets positive, negative;
    /* What Prometheus sent, exactly (codec/histogram.h); the fields above are then as near to it as
     * OpenTelemetry comes. NULL: they are all. */
    const struct histogram *native;
} exp_histogram_value;

typedef struct {
    double quantile;
    double value;
} quantile_value;

typedef struct {
    uint64_t count;
    double sum;
    quantile_value *quantiles;
    uint32_t quantile_count;
} summary_value;

typedef struct {
    bool is_int; /* gauge and sum */
    union {
        double f64;
        int64_t i64;
        histogram_value *histogram;
        exp_histogram_value *exp;
        summary_value *summary;
    };
} point_value;

#define POINT_FLAG_NO_RECORDED_VALUE 1u

typedef struct {
    uint32_t count;
    uint32_t capacity;
    uint32_t *metric; /* index into batch.metrics */
    int64_t *start_ns;
    int64_t *time_ns;
    uint32_t *flags;
    attrs *attributes;
    point_value *value;
    exemplars *exemplars;
} point_rows;

/* ---- the batch ---- */

typedef struct batch {
    signal_kind signal;
    arena arena;
    batch_resource *resources;
    uint32_t resource_count, resource_capacity;
    batch_scope *scopes;
    uint32_t scope_count, scope_capacity;
    batch_metric *metrics; /* signal metrics only */
    uint32_t metric_count, metric_capacity;
    union {
        log_rows logs;
        span_rows spans;
        point_rows points;
    };
} batch;

/* limit: bytes that the arena may take. */
void batch_init(batch *b, signal_kind signal, size_t limit);
void batch_done(batch *b);
/* Empty again, memory kept. */
void batch_clear(batch *b);
uint32_t batch_row_count(const batch *b);

/* Each adds one zeroed element and returns its index, or BATCH_FULL at the arena's limit. */
#define BATCH_FULL UINT32_MAX
uint32_t batch_add_resource(batch *b);
uint32_t batch_add_scope(batch *b, uint32_t resource);
uint32_t batch_add_metric(batch *b, uint32_t scope);
uint32_t batch_add_log(batch *b, uint32_t scope);
uint32_t batch_add_span(batch *b, uint32_t scope);
uint32_t batch_add_point(batch *b, uint32_t metric);

/* Makes room for that many more rows at once (a decoder that counted them first), so that adding
 * them neither fails nor copies. False at the arena's limit. */
MUST_USE bool batch_reserve(batch *b, uint32_t rows);

/* Appends an attribute to a list that lives in b's arena and is the newest thing built in it or
 * not: `capacity` is kept by the caller, 0 at first. False at the limit. */
bool attrs_append(arena *a, attrs *list, uint32_t *capacity, str key, value v);
/* Deep copies into another arena (texts too). False at the limit. */
bool value_copy(arena *a, value *dst, const value *src);
bool attrs_copy(arena *a, attrs *dst, const attrs *src);

#endif
