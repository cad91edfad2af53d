// SPDX-License-Identifier: Apache-2.0
/* OTTL's paths: a row says in which context a name stands, where its value is (a column of the
 * batch's rows, or a member of a structure), and how it is read. */
#include "pipeline/ottl_internal.h"
#include "pipeline/trace_state.h"

#include "codec/batch_rows.h"

typedef enum {
    READ_STR,
    READ_I64,
    READ_TIME,
    READ_U8,
    READ_U32,
    READ_ENUM,
    READ_BOOL,
    READ_ATTRS,
    READ_VALUE,
    READ_VALUE_TEXT,
    READ_TRACE_ID,
    READ_TRACE_ID_TEXT,
    READ_SPAN_ID,
    READ_SPAN_ID_TEXT,
    READ_TRACE_STATE,
    READ_KIND_TEXT,
    READ_KIND_NAME,
    READ_EVENT_INDEX,
    READ_POINT_DOUBLE,
    READ_POINT_INT,
    READ_POINT_COUNT,
    READ_POINT_SUM,
    READ_POINT_MIN,
    READ_POINT_MAX,
    READ_POINT_SCALE,
    READ_POINT_ZERO_COUNT,
    READ_POINT_BUCKETS,
    READ_POINT_BOUNDS
} read_kind;

struct ottl_path {
    ottl_context context;
    const char *name;
    read_kind read;
    bool column; /* offset is that of a column's pointer, else of a member */
    size_t offset;
    size_t size;  /* of a column's element */
    size_t inner; /* within the element */
};

#define COLUMN(rows, member) true, offsetof(rows, member), sizeof(*((rows *)0)->member), 0
#define INNER(rows, member, type, field) \
    true, offsetof(rows, member), sizeof(*((rows *)0)->member), offsetof(type, field)
#define MEMBER(type, member) false, offsetof(type, member), 0, 0
#define NOWHERE              false, 0, 0, 0

#define IDS(context, rows, member, read, name) \
    { context, name, read, COLUMN(rows, member) }, \
    { \
        context, name ".string", read##_TEXT, COLUMN(rows, member) \
    }
#define TIMES(context, rows, member, name) \
    { context, name, READ_TIME, COLUMN(rows, member) }, \
    { \
        context, name "_unix_nano", READ_I64, COLUMN(rows, member) \
    }
#define ATTRIBUTES(context, rows) \
    { context, "attributes", READ_ATTRS, COLUMN(rows, attributes) }, \
    { \
        context, "dropped_attributes_count", READ_U32, INNER(rows, attributes, attrs, dropped) \
    }
#define POINT(name, read) \
    { \
        OTTL_DATAPOINT, name, read, COLUMN(point_rows, value) \
    }

static const ottl_path paths[] = {
    { OTTL_RESOURCE, "attributes", READ_ATTRS, MEMBER(batch_resource, attributes) },
    { OTTL_RESOURCE, "dropped_attributes_count", READ_U32,
      MEMBER(batch_resource, attributes.dropped) },
    { OTTL_RESOURCE, "schema_url", READ_STR, MEMBER(batch_resource, schema_url) },
    { OTTL_SCOPE, "name", READ_STR, MEMBER(batch_scope, name) },
    { OTTL_SCOPE, "version", READ_STR, MEMBER(batch_scope, version) },
    { OTTL_SCOPE, "attributes", READ_ATTRS, MEMBER(batch_scope, attributes) },
    { OTTL_SCOPE, "dropped_attributes_count", READ_U32, MEMBER(batch_scope, attributes.dropped) },
    { OTTL_SCOPE, "schema_url", READ_STR, MEMBER(batch_scope, schema_url) },
    IDS(OTTL_SPAN, span_rows, trace, READ_TRACE_ID, "trace_id"),
    IDS(OTTL_SPAN, span_rows, span, READ_SPAN_ID, "span_id"),
    IDS(OTTL_SPAN, span_rows, parent, READ_SPAN_ID, "parent_span_id"),
    { OTTL_SPAN, "trace_state", READ_TRACE_STATE, COLUMN(span_rows, trace_state) },
    { OTTL_SPAN, "flags", READ_U32, COLUMN(span_rows, flags) },
    { OTTL_SPAN, "name", READ_STR, COLUMN(span_rows, name) },
    { OTTL_SPAN, "kind", READ_U8, COLUMN(span_rows, kind) },
    { OTTL_SPAN, "kind.string", READ_KIND_TEXT, COLUMN(span_rows, kind) },
    { OTTL_SPAN, "kind.deprecated_string", READ_KIND_NAME, COLUMN(span_rows, kind) },
    TIMES(OTTL_SPAN, span_rows, start_ns, "start_time"),
    TIMES(OTTL_SPAN, span_rows, end_ns, "end_time"),
    ATTRIBUTES(OTTL_SPAN, span_rows),
    { OTTL_SPAN, "dropped_events_count", READ_U32, INNER(span_rows, events, span_events, dropped) },
    { OTTL_SPAN, "dropped_links_count", READ_U32, INNER(span_rows, links, span_links, dropped) },
    { OTTL_SPAN, "status.code", READ_U8, COLUMN(span_rows, status) },
    { OTTL_SPAN, "status.message", READ_STR, COLUMN(span_rows, status_message) },
    { OTTL_SPANEVENT, "name", READ_STR, MEMBER(span_event, name) },
    { OTTL_SPANEVENT, "time", READ_TIME, MEMBER(span_event, time_ns) },
    { OTTL_SPANEVENT, "time_unix_nano", READ_I64, MEMBER(span_event, time_ns) },
    { OTTL_SPANEVENT, "attributes", READ_ATTRS, MEMBER(span_event, attributes) },
    { OTTL_SPANEVENT, "dropped_attributes_count", READ_U32,
      MEMBER(span_event, attributes.dropped) },
    { OTTL_SPANEVENT, "event_index", READ_EVENT_INDEX, NOWHERE },
    { OTTL_METRIC, "name", READ_STR, MEMBER(batch_metric, name) },
    { OTTL_METRIC, "description", READ_STR, MEMBER(batch_metric, description) },
    { OTTL_METRIC, "unit", READ_STR, MEMBER(batch_metric, unit) },
    { OTTL_METRIC, "type", READ_ENUM, MEMBER(batch_metric, type) },
    { OTTL_METRIC, "aggregation_temporality", READ_ENUM, MEMBER(batch_metric, temporality) },
    { OTTL_METRIC, "is_monotonic", READ_BOOL, MEMBER(batch_metric, monotonic) },
    ATTRIBUTES(OTTL_DATAPOINT, point_rows),
    TIMES(OTTL_DATAPOINT, point_rows, start_ns, "start_time"),
    TIMES(OTTL_DATAPOINT, point_rows, time_ns, "time"),
    { OTTL_DATAPOINT, "flags", READ_U32, COLUMN(point_rows, flags) },
    POINT("value_double", READ_POINT_DOUBLE),
    POINT("value_int", READ_POINT_INT),
    POINT("count", READ_POINT_COUNT),
    POINT("sum", READ_POINT_SUM),
    POINT("min", READ_POINT_MIN),
    POINT("max", READ_POINT_MAX),
    POINT("scale", READ_POINT_SCALE),
    POINT("zero_count", READ_POINT_ZERO_COUNT),
    POINT("bucket_counts", READ_POINT_BUCKETS),
    POINT("explicit_bounds", READ_POINT_BOUNDS),
    TIMES(OTTL_LOG, log_rows, time_ns, "time"),
    TIMES(OTTL_LOG, log_rows, observed_ns, "observed_time"),
    { OTTL_LOG, "severity_number", READ_U8, COLUMN(log_rows, severity) },
    { OTTL_LOG, "severity_text", READ_STR, COLUMN(log_rows, severity_text) },
    { OTTL_LOG, "body", READ_VALUE, COLUMN(log_rows, body) },
    { OTTL_LOG, "body.string", READ_VALUE_TEXT, COLUMN(log_rows, body) },
    ATTRIBUTES(OTTL_LOG, log_rows),
    { OTTL_LOG, "flags", READ_U32, COLUMN(log_rows, flags) },
    { OTTL_LOG, "event_name", READ_STR, COLUMN(log_rows, event_name) },
    IDS(OTTL_LOG, log_rows, trace, READ_TRACE_ID, "trace_id"),
    IDS(OTTL_LOG, log_rows, span, READ_SPAN_ID, "span_id"),
};

/* ---- finding ---- */

static const struct {
    const char *prefix;
    ottl_context context;
} prefixes[] = {
    { "resource", OTTL_RESOURCE },   { "instrumentation_scope", OTTL_SCOPE },
    { "scope", OTTL_SCOPE },         { "span", OTTL_SPAN },
    { "spanevent", OTTL_SPANEVENT }, { "metric", OTTL_METRIC },
    { "datapoint", OTTL_DATAPOINT }, { "log", OTTL_LOG },
};

#define SEES(context) (1u << (context))
static const unsigned visible[OTTL_CONTEXTS] = {
    [OTTL_RESOURCE] = SEES(OTTL_RESOURCE),
    [OTTL_SCOPE] = SEES(OTTL_SCOPE) | SEES(OTTL_RESOURCE),
    [OTTL_SPAN] = SEES(OTTL_SPAN) | SEES(OTTL_SCOPE) | SEES(OTTL_RESOURCE),
    [OTTL_SPANEVENT] =
        SEES(OTTL_SPANEVENT) | SEES(OTTL_SPAN) | SEES(OTTL_SCOPE) | SEES(OTTL_RESOURCE),
    [OTTL_METRIC] = SEES(OTTL_METRIC) | SEES(OTTL_SCOPE) | SEES(OTTL_RESOURCE),
    [OTTL_DATAPOINT] =
        SEES(OTTL_DATAPOINT) | SEES(OTTL_METRIC) | SEES(OTTL_SCOPE) | SEES(OTTL_RESOURCE),
    [OTTL_LOG] = SEES(OTTL_LOG) | SEES(OTTL_SCOPE) | SEES(OTTL_RESOURCE),
};

static const ottl_path *find_in(ottl_context c, str name)
{
    for (size_t i = 0; i < ARRAY_LEN(paths); i++)
        if (paths[i].context == c && str_is(name, paths[i].name))
            return &paths[i];
    return NULL;
}

const ottl_path *ottl_path_find(ottl_context c, str names)
{
    str rest, first = str_cut(names, '.', &rest);
    const ottl_path *found = find_in(c, names);
    for (size_t i = 0; i < ARRAY_LEN(prefixes) && !found; i++)
        if (str_is(first, prefixes[i].prefix) && (visible[c] & SEES(prefixes[i].context)))
            found = find_in(prefixes[i].context, rest);
    return found;
}

const char *ottl_path_nearest(ottl_context c, str names)
{
    str rest, first = str_cut(names, '.', &rest);
    ottl_context in = c;
    const char *best = "";
    unsigned distance = 4;
    for (size_t i = 0; i < ARRAY_LEN(prefixes) && rest.len; i++)
        if (str_is(first, prefixes[i].prefix) && (visible[c] & SEES(prefixes[i].context))) {
            in = prefixes[i].context;
            names = rest;
            break;
        }
    for (size_t i = 0; i < ARRAY_LEN(paths); i++) {
        unsigned d = paths[i].context == in ? ottl_distance(names, str_c(paths[i].name)) : 99;
        if (d < distance) {
            distance = d;
            best = paths[i].name;
        }
    }
    return best;
}

bool ottl_path_is_trace_state(const ottl_path *p)
{
    return p->read == READ_TRACE_STATE;
}

bool ottl_path_indexable(const ottl_path *p)
{
    return p->read == READ_ATTRS || p->read == READ_VALUE || p->read == READ_TRACE_STATE ||
           p->read == READ_POINT_BUCKETS || p->read == READ_POINT_BOUNDS;
}

/* ---- reading ---- */

static const void *address(const ottl_row *row, const ottl_path *p)
{
    const batch *b = row->b;
    const char *base = NULL;
    const batch_scope *scope = b->signal == SIGNAL_METRICS
                                   ? &b->scopes[b->metrics[row->metric].scope]
                                   : batch_row_scope(b, row->row);
    switch (p->context) {
    case OTTL_RESOURCE:
        base = (const char *)&b->resources[scope->resource];
        break;
    case OTTL_SCOPE:
        base = (const char *)scope;
        break;
    case OTTL_SPANEVENT:
        base = (const char *)row->event;
        break;
    case OTTL_METRIC:
        base = (const char *)&b->metrics[row->metric];
        break;
    case OTTL_SPAN:
        base = (const char *)&b->spans;
        break;
    case OTTL_DATAPOINT:
        base = (const char *)&b->points;
        break;
    default:
        base = (const char *)&b->logs;
        break;
    }
    if (!p->column)
        return base + p->offset;
    const char *column = *(const char *const *)(base + p->offset);
    return column + row->row * p->size + p->inner;
}

static status hex_text(const ottl_run *run, const uint8_t *bytes, size_t n, value *ret)
{
    char *text = arena_alloc(run->memory, 2 * n);
    if (!text)
        return fail(run->err, STATUS_NO_MEMORY, "no memory for a condition");
    str_to_hex(bytes, n, text);
    *ret = VALUE_S(str_n(text, 2 * n));
    return STATUS_OK;
}

static value kind_value(uint8_t kind, bool deprecated)
{
    static const char *const names[] = { "Unspecified", "Internal", "Server",
                                         "Client",      "Producer", "Consumer" };
    static const char *const old[] = { "SPAN_KIND_UNSPECIFIED", "SPAN_KIND_INTERNAL",
                                       "SPAN_KIND_SERVER",      "SPAN_KIND_CLIENT",
                                       "SPAN_KIND_PRODUCER",    "SPAN_KIND_CONSUMER" };
    kind = kind < ARRAY_LEN(names) ? kind : 0;
    return VALUE_S(str_c(deprecated ? old[kind] : names[kind]));
}

static status numbers(const ottl_run *run, uint32_t count, const uint64_t *u, const double *d,
                      value *ret)
{
    value *items = ARENA_ARRAY(run->memory, value, MAX(count, 1u));
    if (!items)
        return fail(run->err, STATUS_NO_MEMORY, "no memory for a condition");
    for (uint32_t i = 0; i < count; i++)
        items[i] = u ? VALUE_I((int64_t)u[i]) : VALUE_D(d[i]);
    *ret = (value){ .type = VALUE_ARRAY, .array = { items, count } };
    return STATUS_OK;
}

/* Histograms and summaries; what a point of another type is asked for is nil. */
static status read_distribution(const ottl_run *run, read_kind read, metric_type type,
                                const point_value *v, value *ret)
{
    const histogram_value *h = type == METRIC_HISTOGRAM ? v->histogram : NULL;
    const exp_histogram_value *e = type == METRIC_EXP_HISTOGRAM ? v->exp : NULL;
    const summary_value *s = type == METRIC_SUMMARY ? v->summary : NULL;
    if (read == READ_POINT_COUNT && (h || e || s))
        *ret = VALUE_I((int64_t)(h ? h->count : e ? e->count : s->count));
    else if (read == READ_POINT_SUM && (h || e || s))
        *ret = VALUE_D(h ? h->sum : e ? e->sum : s->sum);
    else if (read == READ_POINT_MIN && ((h && h->has_min) || (e && e->has_min)))
        *ret = VALUE_D(h ? h->min : e->min);
    else if (read == READ_POINT_MAX && ((h && h->has_max) || (e && e->has_max)))
        *ret = VALUE_D(h ? h->max : e->max);
    else if (read == READ_POINT_SCALE && e)
        *ret = VALUE_I(e->scale);
    else if (read == READ_POINT_ZERO_COUNT && e)
        *ret = VALUE_I((int64_t)e->zero_count);
    else if (read == READ_POINT_BUCKETS && h)
        return numbers(run, h->bucket_count, h->buckets, NULL, ret);
    else if (read == READ_POINT_BOUNDS && h)
        return numbers(run, h->bound_count, NULL, h->bounds, ret);
    return STATUS_OK;
}

static status read_point(const ottl_run *run, read_kind read, const point_value *v, value *ret)
{
    metric_type type = run->row->b->metrics[run->row->metric].type;
    if (type != METRIC_GAUGE && type != METRIC_SUM)
        return read_distribution(run, read, type, v, ret);
    if (read == READ_POINT_DOUBLE)
        *ret = VALUE_D(v->is_int ? 0 : v->f64);
    else if (read == READ_POINT_INT)
        *ret = VALUE_I(v->is_int ? v->i64 : 0);
    return STATUS_OK;
}

static status read_text(const ottl_run *run, const value *v, value *ret)
{
    str text = value_text(run->memory, v);
    if (!text.ptr)
        return fail(run->err, STATUS_NO_MEMORY, "no memory for a condition");
    *ret = VALUE_S(text);
    return STATUS_OK;
}

status ottl_path_get(const ottl_run *run, const ottl_path *p, ottl_value *ret)
{
    const void *at = address(run->row, p);
    *ret = (ottl_value){ 0 };
    switch (p->read) {
    case READ_STR:
    case READ_TRACE_STATE:
        ret->v = VALUE_S(*(const str *)at);
        break;
    case READ_TIME:
        ret->unit = UNIT_TIME;
        ret->v = VALUE_I(*(const int64_t *)at);
        break;
    case READ_I64:
        ret->v = VALUE_I(*(const int64_t *)at);
        break;
    case READ_U8:
        ret->v = VALUE_I(*(const uint8_t *)at);
        break;
    case READ_U32:
        ret->v = VALUE_I(*(const uint32_t *)at);
        break;
    case READ_ENUM:
        ret->v = VALUE_I(*(const int *)at);
        break;
    case READ_BOOL:
        ret->v = VALUE_B(*(const bool *)at);
        break;
    case READ_ATTRS:
        ret->v = (value){ .type = VALUE_MAP, .map = *(const attrs *)at };
        break;
    case READ_VALUE:
        ret->v = *(const value *)at;
        break;
    case READ_VALUE_TEXT:
        return read_text(run, at, &ret->v);
    case READ_TRACE_ID:
    case READ_SPAN_ID:
        ret->v = (value){ .type = VALUE_BYTES, .s = { at, p->size } };
        break;
    case READ_TRACE_ID_TEXT:
    case READ_SPAN_ID_TEXT:
        return hex_text(run, at, p->size, &ret->v);
    case READ_KIND_TEXT:
    case READ_KIND_NAME:
        ret->v = kind_value(*(const uint8_t *)at, p->read == READ_KIND_NAME);
        break;
    case READ_EVENT_INDEX:
        ret->v = VALUE_I(run->row->event_index);
        break;
    default:
        return read_point(run, p->read, at, &ret->v);
    }
    return STATUS_OK;
}
