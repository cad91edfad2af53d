// SPDX-License-Identifier: Apache-2.0
/* The messages of opentelemetry-proto 1.x, field by field, by field number. Deprecated and reserved
 * numbers have no row; Metric.metadata (12) and Resource.entity_refs (3) are not carried. */
#include "codec/otlp_model.h"

#define FIELD(kind_, type, member, name_, json_) \
    { \
        .kind = (kind_), .offset = offsetof(type, member), .name = (name_), .json = (json_) \
    }
#define FIELD_AUX(kind_, type, member, aux_, name_, json_) \
    { \
        .kind = (kind_), .offset = offsetof(type, member), .aux = offsetof(type, aux_), \
        .name = (name_), .json = (json_) \
    }
#define FIELD_ENUM(type, member, names, name_, json_) \
    { \
        .kind = OTLP_ENUM, .offset = offsetof(type, member), .name = (name_), .json = (json_), \
        .values = (names) \
    }
#define FIELD_PART(type, member, message_, name_, json_) \
    { \
        .kind = OTLP_MESSAGE, .offset = offsetof(type, member), .name = (name_), .json = (json_), \
        .message = &(message_) \
    }
#define FIELD_PARTS(type, member, aux_, message_, name_, json_) \
    { \
        .kind = OTLP_MESSAGES, .offset = offsetof(type, member), .aux = offsetof(type, aux_), \
        .name = (name_), .json = (json_), .message = &(message_) \
    }
#define CHILD(message_, name_, json_) \
    { \
        .kind = OTLP_CHILD, .name = (name_), .json = (json_), .message = &(message_) \
    }

#define DROPPED(type, list) \
    FIELD(OTLP_UINT32, type, list.dropped, "dropped_attributes_count", "droppedAttributesCount")
#define ATTRIBUTES(type, member) FIELD(OTLP_ATTRIBUTES, type, member, "attributes", "attributes")
#define SCHEMA_URL(type)         FIELD(OTLP_STRING, type, schema_url, "schema_url", "schemaUrl")

static const char *const severity_names[] = {
    "SEVERITY_NUMBER_UNSPECIFIED", "SEVERITY_NUMBER_TRACE",
    "SEVERITY_NUMBER_TRACE2",      "SEVERITY_NUMBER_TRACE3",
    "SEVERITY_NUMBER_TRACE4",      "SEVERITY_NUMBER_DEBUG",
    "SEVERITY_NUMBER_DEBUG2",      "SEVERITY_NUMBER_DEBUG3",
    "SEVERITY_NUMBER_DEBUG4",      "SEVERITY_NUMBER_INFO",
    "SEVERITY_NUMBER_INFO2",       "SEVERITY_NUMBER_INFO3",
    "SEVERITY_NUMBER_INFO4",       "SEVERITY_NUMBER_WARN",
    "SEVERITY_NUMBER_WARN2",       "SEVERITY_NUMBER_WARN3",
    "SEVERITY_NUMBER_WARN4",       "SEVERITY_NUMBER_ERROR",
    "SEVERITY_NUMBER_ERROR2",      "SEVERITY_NUMBER_ERROR3",
    "SEVERITY_NUMBER_ERROR4",      "SEVERITY_NUMBER_FATAL",
    "SEVERITY_NUMBER_FATAL2",      "SEVERITY_NUMBER_FATAL3",
    "SEVERITY_NUMBER_FATAL4",      NULL,
};

static const char *const span_kind_names[] = {
    "SPAN_KIND_UNSPECIFIED",
    "SPAN_KIND_INTERNAL",
    "SPAN_KIND_SERVER",
    "SPAN_KIND_CLIENT",
    "SPAN_KIND_PRODUCER",
    "SPAN_KIND_CONSUMER",
    NULL,
};

static const char *const status_names[] = {
    "STATUS_CODE_UNSET",
    "STATUS_CODE_OK",
    "STATUS_CODE_ERROR",
    NULL,
};

static const char *const temporality_names[] = {
    "AGGREGATION_TEMPORALITY_UNSPECIFIED",
    "AGGREGATION_TEMPORALITY_DELTA",
    "AGGREGATION_TEMPORALITY_CUMULATIVE",
    NULL,
};

/* ---- resource/v1, common/v1 ---- */

static const otlp_message resource_message = {
    .level = LEVEL_PART,
    .size = sizeof(batch_resource),
    .fields = {
        [1] = ATTRIBUTES(batch_resource, attributes),
        [2] = DROPPED(batch_resource, attributes),
    },
};

static const otlp_message scope_message = {
    .level = LEVEL_PART,
    .size = sizeof(batch_scope),
    .fields = {
        [1] = FIELD(OTLP_STRING, batch_scope, name, "name", "name"),
        [2] = FIELD(OTLP_STRING, batch_scope, version, "version", "version"),
        [3] = ATTRIBUTES(batch_scope, attributes),
        [4] = DROPPED(batch_scope, attributes),
    },
};

/* The members are at offset 0 of the structures that the outer message is read into. */
#define RESOURCE \
    { \
        .kind = OTLP_MESSAGE, .name = "resource", .json = "resource", .message = &resource_message \
    }
#define SCOPE \
    { \
        .kind = OTLP_MESSAGE, .name = "scope", .json = "scope", .message = &scope_message \
    }

/* ---- logs/v1 ---- */

static const otlp_message log_message = {
    .level = LEVEL_ROW,
    .size = sizeof(otlp_log),
    .fields = {
        [1] = FIELD(OTLP_TIME, otlp_log, time_ns, "time_unix_nano", "timeUnixNano"),
        [2] = FIELD_ENUM(otlp_log, severity, severity_names, "severity_number", "severityNumber"),
        [3] = FIELD(OTLP_STRING, otlp_log, severity_text, "severity_text", "severityText"),
        [5] = FIELD(OTLP_VALUE, otlp_log, body, "body", "body"),
        [6] = ATTRIBUTES(otlp_log, attributes),
        [7] = DROPPED(otlp_log, attributes),
        [8] = FIELD(OTLP_FIXED32, otlp_log, flags, "flags", "flags"),
        [9] = FIELD(OTLP_TRACE_ID, otlp_log, trace, "trace_id", "traceId"),
        [10] = FIELD(OTLP_SPAN_ID, otlp_log, span, "span_id", "spanId"),
        [11] = FIELD(OTLP_TIME, otlp_log, observed_ns, "observed_time_unix_nano",
                     "observedTimeUnixNano"),
        [12] = FIELD(OTLP_STRING, otlp_log, event_name, "event_name", "eventName"),
    },
};

static const otlp_message scope_logs_message = {
    .level = LEVEL_SCOPE,
    .size = sizeof(batch_scope),
    .fields = {
        [1] = SCOPE,
        [2] = CHILD(log_message, "log_records", "logRecords"),
        [3] = SCHEMA_URL(batch_scope),
    },
};

static const otlp_message resource_logs_message = {
    .level = LEVEL_RESOURCE,
    .size = sizeof(batch_resource),
    .fields = {
        [1] = RESOURCE,
        [2] = CHILD(scope_logs_message, "scope_logs", "scopeLogs"),
        [3] = SCHEMA_URL(batch_resource),
    },
};

/* ---- trace/v1 ---- */

static const otlp_message event_message = {
    .level = LEVEL_PART,
    .size = sizeof(span_event),
    .fields = {
        [1] = FIELD(OTLP_TIME, span_event, time_ns, "time_unix_nano", "timeUnixNano"),
        [2] = FIELD(OTLP_STRING, span_event, name, "name", "name"),
        [3] = ATTRIBUTES(span_event, attributes),
        [4] = DROPPED(span_event, attributes),
    },
};

static const otlp_message link_message = {
    .level = LEVEL_PART,
    .size = sizeof(span_link),
    .fields = {
        [1] = FIELD(OTLP_TRACE_ID, span_link, trace, "trace_id", "traceId"),
        [2] = FIELD(OTLP_SPAN_ID, span_link, span, "span_id", "spanId"),
        [3] = FIELD(OTLP_STRING, span_link, trace_state, "trace_state", "traceState"),
        [4] = ATTRIBUTES(span_link, attributes),
        [5] = DROPPED(span_link, attributes),
        [6] = FIELD(OTLP_FIXED32, span_link, flags, "flags", "flags"),
    },
};

static const otlp_message status_message = {
    .level = LEVEL_PART,
    .size = sizeof(struct otlp_span_status),
    .fields = {
        [2] = FIELD(OTLP_STRING, struct otlp_span_status, message, "message", "message"),
        [3] = FIELD_ENUM(struct otlp_span_status, code, status_names, "code", "code"),
    },
};

static const otlp_message span_message = {
    .level = LEVEL_ROW,
    .size = sizeof(otlp_span),
    .fields = {
        [1] = FIELD(OTLP_TRACE_ID, otlp_span, trace, "trace_id", "traceId"),
        [2] = FIELD(OTLP_SPAN_ID, otlp_span, span, "span_id", "spanId"),
        [3] = FIELD(OTLP_STRING, otlp_span, trace_state, "trace_state", "traceState"),
        [4] = FIELD(OTLP_SPAN_ID, otlp_span, parent, "parent_span_id", "parentSpanId"),
        [5] = FIELD(OTLP_STRING, otlp_span, name, "name", "name"),
        [6] = FIELD_ENUM(otlp_span, kind, span_kind_names, "kind", "kind"),
        [7] = FIELD(OTLP_TIME, otlp_span, start_ns, "start_time_unix_nano", "startTimeUnixNano"),
        [8] = FIELD(OTLP_TIME, otlp_span, end_ns, "end_time_unix_nano", "endTimeUnixNano"),
        [9] = ATTRIBUTES(otlp_span, attributes),
        [10] = DROPPED(otlp_span, attributes),
        [11] = FIELD_PARTS(otlp_span, events.items, events.count, event_message, "events",
                           "events"),
        [12] = FIELD(OTLP_UINT32, otlp_span, events.dropped, "dropped_events_count",
                     "droppedEventsCount"),
        [13] = FIELD_PARTS(otlp_span, links.items, links.count, link_message, "links", "links"),
        [14] = FIELD(OTLP_UINT32, otlp_span, links.dropped, "dropped_links_count",
                     "droppedLinksCount"),
        [15] = FIELD_PART(otlp_span, status, status_message, "status", "status"),
        [16] = FIELD(OTLP_FIXED32, otlp_span, flags, "flags", "flags"),
    },
};

static const otlp_message scope_spans_message = {
    .level = LEVEL_SCOPE,
    .size = sizeof(batch_scope),
    .fields = {
        [1] = SCOPE,
        [2] = CHILD(span_message, "spans", "spans"),
        [3] = SCHEMA_URL(batch_scope),
    },
};

static const otlp_message resource_spans_message = {
    .level = LEVEL_RESOURCE,
    .size = sizeof(batch_resource),
    .fields = {
        [1] = RESOURCE,
        [2] = CHILD(scope_spans_message, "scope_spans", "scopeSpans"),
        [3] = SCHEMA_URL(batch_resource),
    },
};

/* ---- metrics/v1 ---- */

static const otlp_message exemplar_message = {
    .level = LEVEL_PART,
    .size = sizeof(exemplar),
    .fields = {
        [2] = FIELD(OTLP_TIME, exemplar, time_ns, "time_unix_nano", "timeUnixNano"),
        [3] = FIELD_AUX(OTLP_AS_DOUBLE, exemplar, f64, is_int, "as_double", "asDouble"),
        [4] = FIELD(OTLP_SPAN_ID, exemplar, span, "span_id", "spanId"),
        [5] = FIELD(OTLP_TRACE_ID, exemplar, trace, "trace_id", "traceId"),
        [6] = FIELD_AUX(OTLP_AS_INT, exemplar, i64, is_int, "as_int", "asInt"),
        [7] = FIELD(OTLP_ATTRIBUTES, exemplar, filtered_attributes, "filtered_attributes",
                    "filteredAttributes"),
    },
};

#define POINT_START \
    FIELD(OTLP_TIME, otlp_point, start_ns, "start_time_unix_nano", "startTimeUnixNano")
#define POINT_TIME  FIELD(OTLP_TIME, otlp_point, time_ns, "time_unix_nano", "timeUnixNano")
#define POINT_FLAGS FIELD(OTLP_UINT32, otlp_point, flags, "flags", "flags")
#define POINT_EXEMPLARS \
    FIELD_PARTS(otlp_point, exemplars.items, exemplars.count, exemplar_message, "exemplars", \
                "exemplars")

static const otlp_message number_point_message = {
    .level = LEVEL_ROW,
    .size = offsetof(otlp_point, number) + sizeof(otlp_number),
    .fields = {
        [2] = POINT_START,
        [3] = POINT_TIME,
        [4] = FIELD_AUX(OTLP_AS_DOUBLE, otlp_point, number.f64, number.is_int, "as_double",
                        "asDouble"),
        [5] = POINT_EXEMPLARS,
        [6] = FIELD_AUX(OTLP_AS_INT, otlp_point, number.i64, number.is_int, "as_int", "asInt"),
        [7] = ATTRIBUTES(otlp_point, attributes),
        [8] = POINT_FLAGS,
    },
};

static const otlp_message histogram_point_message = {
    .level = LEVEL_ROW,
    .size = sizeof(otlp_point),
    .fields = {
        [2] = POINT_START,
        [3] = POINT_TIME,
        [4] = FIELD(OTLP_FIXED64, otlp_point, histogram.count, "count", "count"),
        [5] = FIELD_AUX(OTLP_OPTIONAL, otlp_point, histogram.sum, histogram.has_sum, "sum", "sum"),
        [6] = FIELD_AUX(OTLP_FIXED64S, otlp_point, histogram.buckets, histogram.bucket_count,
                        "bucket_counts", "bucketCounts"),
        [7] = FIELD_AUX(OTLP_DOUBLES, otlp_point, histogram.bounds, histogram.bound_count,
                        "explicit_bounds", "explicitBounds"),
        [8] = POINT_EXEMPLARS,
        [9] = ATTRIBUTES(otlp_point, attributes),
        [10] = POINT_FLAGS,
        [11] = FIELD_AUX(OTLP_OPTIONAL, otlp_point, histogram.min, histogram.has_min, "min", "min"),
        [12] = FIELD_AUX(OTLP_OPTIONAL, otlp_point, histogram.max, histogram.has_max, "max", "max"),
        [OTLP_FIELD_MAX] = FIELD(OTLP_NATIVE, otlp_point, histogram.native, "sonde_native", ""),
    },
};

static const otlp_message exp_buckets_message = {
    .level = LEVEL_PART,
    .size = sizeof(exp_buckets),
    .fields = {
        [1] = FIELD(OTLP_SINT32, exp_buckets, offset, "offset", "offset"),
        [2] = FIELD_AUX(OTLP_VARINTS, exp_buckets, counts, count, "bucket_counts", "bucketCounts"),
    },
};

static const otlp_message exp_point_message = {
    .level = LEVEL_ROW,
    .size = sizeof(otlp_point),
    .fields = {
        [1] = ATTRIBUTES(otlp_point, attributes),
        [2] = POINT_START,
        [3] = POINT_TIME,
        [4] = FIELD(OTLP_FIXED64, otlp_point, exp.count, "count", "count"),
        [5] = FIELD_AUX(OTLP_OPTIONAL, otlp_point, exp.sum, exp.has_sum, "sum", "sum"),
        [6] = FIELD(OTLP_SINT32, otlp_point, exp.scale, "scale", "scale"),
        [7] = FIELD(OTLP_FIXED64, otlp_point, exp.zero_count, "zero_count", "zeroCount"),
        [8] = FIELD_PART(otlp_point, exp.positive, exp_buckets_message, "positive", "positive"),
        [9] = FIELD_PART(otlp_point, exp.negative, exp_buckets_message, "negative", "negative"),
        [10] = POINT_FLAGS,
        [11] = POINT_EXEMPLARS,
        [12] = FIELD_AUX(OTLP_OPTIONAL, otlp_point, exp.min, exp.has_min, "min", "min"),
        [13] = FIELD_AUX(OTLP_OPTIONAL, otlp_point, exp.max, exp.has_max, "max", "max"),
        [14] = FIELD(OTLP_DOUBLE, otlp_point, exp.zero_threshold, "zero_threshold",
                     "zeroThreshold"),
        [OTLP_FIELD_MAX] = FIELD(OTLP_NATIVE, otlp_point, exp.native, "sonde_native", ""),
    },
};

static const otlp_message quantile_message = {
    .level = LEVEL_PART,
    .size = sizeof(quantile_value),
    .fields = {
        [1] = FIELD(OTLP_DOUBLE, quantile_value, quantile, "quantile", "quantile"),
        [2] = FIELD(OTLP_DOUBLE, quantile_value, value, "value", "value"),
    },
};

static const otlp_message summary_point_message = {
    .level = LEVEL_ROW,
    .size = sizeof(otlp_point),
    .fields = {
        [2] = POINT_START,
        [3] = POINT_TIME,
        [4] = FIELD(OTLP_FIXED64, otlp_point, summary.count, "count", "count"),
        [5] = FIELD(OTLP_DOUBLE, otlp_point, summary.sum, "sum", "sum"),
        [6] = FIELD_PARTS(otlp_point, summary.quantiles, summary.quantile_count, quantile_message,
                          "quantile_values", "quantileValues"),
        [7] = ATTRIBUTES(otlp_point, attributes),
        [8] = POINT_FLAGS,
    },
};

#define TEMPORALITY \
    FIELD_ENUM(otlp_data, temporality, temporality_names, "aggregation_temporality", \
               "aggregationTemporality")
#define DATA(name, type_, point, ...) \
    static const otlp_message name = { \
        .level = LEVEL_DATA, \
        .size = sizeof(otlp_data), \
        .type = (type_), \
        .fields = { [1] = CHILD(point, "data_points", "dataPoints"), __VA_ARGS__ }, \
    }

DATA(gauge_message, METRIC_GAUGE, number_point_message);
DATA(sum_message, METRIC_SUM, number_point_message, [2] = TEMPORALITY,
     [3] = FIELD(OTLP_BOOL, otlp_data, monotonic, "is_monotonic", "isMonotonic"));
DATA(histogram_message, METRIC_HISTOGRAM, histogram_point_message, [2] = TEMPORALITY);
DATA(exp_message, METRIC_EXP_HISTOGRAM, exp_point_message, [2] = TEMPORALITY);
DATA(summary_message, METRIC_SUMMARY, summary_point_message);

static const otlp_message metric_message = {
    .level = LEVEL_METRIC,
    .size = sizeof(batch_metric),
    .fields = {
        [1] = FIELD(OTLP_STRING, batch_metric, name, "name", "name"),
        [2] = FIELD(OTLP_STRING, batch_metric, description, "description", "description"),
        [3] = FIELD(OTLP_STRING, batch_metric, unit, "unit", "unit"),
        [5] = CHILD(gauge_message, "gauge", "gauge"),
        [7] = CHILD(sum_message, "sum", "sum"),
        [9] = CHILD(histogram_message, "histogram", "histogram"),
        [10] = CHILD(exp_message, "exponential_histogram", "exponentialHistogram"),
        [11] = CHILD(summary_message, "summary", "summary"),
    },
};

static const otlp_message scope_metrics_message = {
    .level = LEVEL_SCOPE,
    .size = sizeof(batch_scope),
    .fields = {
        [1] = SCOPE,
        [2] = CHILD(metric_message, "metrics", "metrics"),
        [3] = SCHEMA_URL(batch_scope),
    },
};

static const otlp_message resource_metrics_message = {
    .level = LEVEL_RESOURCE,
    .size = sizeof(batch_resource),
    .fields = {
        [1] = RESOURCE,
        [2] = CHILD(scope_metrics_message, "scope_metrics", "scopeMetrics"),
        [3] = SCHEMA_URL(batch_resource),
    },
};

/* ---- collector/{logs,metrics,trace}/v1 ---- */

const otlp_message otlp_requests[SIGNAL_COUNT] = {
    [SIGNAL_LOGS] = {
        .level = LEVEL_REQUEST,
        .fields = { [1] = CHILD(resource_logs_message, "resource_logs", "resourceLogs") },
    },
    [SIGNAL_METRICS] = {
        .level = LEVEL_REQUEST,
        .fields = { [1] = CHILD(resource_metrics_message, "resource_metrics", "resourceMetrics") },
    },
    [SIGNAL_TRACES] = {
        .level = LEVEL_REQUEST,
        .fields = { [1] = CHILD(resource_spans_message, "resource_spans", "resourceSpans") },
    },
};
