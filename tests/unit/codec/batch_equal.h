// SPDX-License-Identifier: Apache-2.0
/* Whether two batches hold the same rows in the same order, field by field; NaN equals NaN. And a
 * batch of each signal in which every field is set. */
#ifndef SONDE_TESTS_UNIT_BATCH_EQUAL_H
#define SONDE_TESTS_UNIT_BATCH_EQUAL_H

#include "codec/batch.h"

static inline bool attrs_equal(const attrs *a, const attrs *b);

static inline bool f64_equal(double a, double b)
{
    return memcmp(&a, &b, sizeof(a)) == 0 || (a != a && b != b);
}

static inline bool value_equal(const value *a, const value *b)
{
    if (a->type != b->type)
        return false;
    switch (a->type) {
    case VALUE_EMPTY:
        return true;
    case VALUE_STR:
    case VALUE_BYTES:
        return str_eq(a->s, b->s);
    case VALUE_BOOL:
        return a->b == b->b;
    case VALUE_I64:
        return a->i64 == b->i64;
    case VALUE_F64:
        return f64_equal(a->f64, b->f64);
    case VALUE_ARRAY:
        for (uint32_t i = 0; i < a->array.count && a->array.count == b->array.count; i++)
            if (!value_equal(&a->array.items[i], &b->array.items[i]))
                return false;
        return a->array.count == b->array.count;
    case VALUE_MAP:
        return attrs_equal(&a->map, &b->map);
    }
    return false;
}

static inline bool attrs_equal(const attrs *a, const attrs *b)
{
    if (a->count != b->count || a->dropped != b->dropped)
        return false;
    for (uint32_t i = 0; i < a->count; i++)
        if (!str_eq(a->items[i].key, b->items[i].key) ||
            !value_equal(&a->items[i].value, &b->items[i].value))
            return false;
    return true;
}

#define SAME(member)     (a->member[i] == b->member[i])
#define SAME_STR(member) str_eq(a->member[i], b->member[i])
#define SAME_ID(member)  (memcmp(&a->member[i], &b->member[i], sizeof(a->member[i])) == 0)

static inline bool logs_equal(const log_rows *a, const log_rows *b, uint32_t i)
{
    return SAME(scope) && SAME(time_ns) && SAME(observed_ns) && SAME(severity) &&
           SAME_STR(severity_text) && value_equal(&a->body[i], &b->body[i]) &&
           attrs_equal(&a->attributes[i], &b->attributes[i]) && SAME_ID(trace) && SAME_ID(span) &&
           SAME(flags) && SAME_STR(event_name);
}

static inline bool events_equal(const span_events *a, const span_events *b)
{
    if (a->count != b->count || a->dropped != b->dropped)
        return false;
    for (uint32_t i = 0; i < a->count; i++)
        if (a->items[i].time_ns != b->items[i].time_ns ||
            !str_eq(a->items[i].name, b->items[i].name) ||
            !attrs_equal(&a->items[i].attributes, &b->items[i].attributes))
            return false;
    return true;
}

static inline bool links_equal(const span_links *a, const span_links *b)
{
    if (a->count != b->count || a->dropped != b->dropped)
        return false;
    for (uint32_t i = 0; i < a->count; i++)
        if (memcmp(&a->items[i].trace, &b->items[i].trace, sizeof(trace_id)) != 0 ||
            memcmp(&a->items[i].span, &b->items[i].span, sizeof(span_id)) != 0 ||
            !str_eq(a->items[i].trace_state, b->items[i].trace_state) ||
            a->items[i].flags != b->items[i].flags ||
            !attrs_equal(&a->items[i].attributes, &b->items[i].attributes))
            return false;
    return true;
}

static inline bool spans_equal(const span_rows *a, const span_rows *b, uint32_t i)
{
    return SAME(scope) && SAME_ID(trace) && SAME_ID(span) && SAME_ID(parent) &&
           SAME_STR(trace_state) && SAME(flags) && SAME_STR(name) && SAME(kind) && SAME(start_ns) &&
           SAME(end_ns) && attrs_equal(&a->attributes[i], &b->attributes[i]) &&
           events_equal(&a->events[i], &b->events[i]) && links_equal(&a->links[i], &b->links[i]) &&
           SAME(status) && SAME_STR(status_message);
}

static inline bool exemplars_equal(const exemplars *a, const exemplars *b)
{
    if (a->count != b->count)
        return false;
    for (uint32_t i = 0; i < a->count; i++)
        if (a->items[i].time_ns != b->items[i].time_ns ||
            a->items[i].is_int != b->items[i].is_int || a->items[i].i64 != b->items[i].i64 ||
            memcmp(&a->items[i].trace, &b->items[i].trace, sizeof(trace_id)) != 0 ||
            memcmp(&a->items[i].span, &b->items[i].span, sizeof(span_id)) != 0 ||
            !attrs_equal(&a->items[i].filtered_attributes, &b->items[i].filtered_attributes))
            return false;
    return true;
}

/* sum, min, max of both kinds of histogram */
#define SAME_SUMMED(a, b) \
    ((a)->count == (b)->count && (a)->has_sum == (b)->has_sum && (a)->has_min == (b)->has_min && \
     (a)->has_max == (b)->has_max && f64_equal((a)->sum, (b)->sum) && \
     f64_equal((a)->min, (b)->min) && f64_equal((a)->max, (b)->max))

static inline bool buckets_equal(const exp_buckets *a, const exp_buckets *b)
{
    return a->offset == b->offset && a->count == b->count &&
           (a->count == 0 || memcmp(a->counts, b->counts, a->count * sizeof(*a->counts)) == 0);
}

static inline bool histograms_equal(const histogram_value *a, const histogram_value *b)
{
    return SAME_SUMMED(a, b) && a->bucket_count == b->bucket_count &&
           a->bound_count == b->bound_count &&
           (a->bucket_count == 0 ||
            (memcmp(a->buckets, b->buckets, a->bucket_count * sizeof(*a->buckets)) == 0 &&
             (a->bound_count == 0 ||
              memcmp(a->bounds, b->bounds, a->bound_count * sizeof(*a->bounds)) == 0)));
}

static inline bool point_values_equal(metric_type type, const point_value *a, const point_value *b)
{
    switch (type) {
    case METRIC_HISTOGRAM:
        return histograms_equal(a->histogram, b->histogram);
    case METRIC_EXP_HISTOGRAM:
        return SAME_SUMMED(a->exp, b->exp) && a->exp->scale == b->exp->scale &&
               a->exp->zero_count == b->exp->zero_count &&
               f64_equal(a->exp->zero_threshold, b->exp->zero_threshold) &&
               buckets_equal(&a->exp->positive, &b->exp->positive) &&
               buckets_equal(&a->exp->negative, &b->exp->negative);
    case METRIC_SUMMARY:
        for (uint32_t i = 0; i < a->summary->quantile_count &&
                             a->summary->quantile_count == b->summary->quantile_count;
             i++)
            if (!f64_equal(a->summary->quantiles[i].quantile, b->summary->quantiles[i].quantile) ||
                !f64_equal(a->summary->quantiles[i].value, b->summary->quantiles[i].value))
                return false;
        return a->summary->count == b->summary->count &&
               f64_equal(a->summary->sum, b->summary->sum) &&
               a->summary->quantile_count == b->summary->quantile_count;
    default:
        return a->is_int == b->is_int && (a->is_int ? a->i64 == b->i64 : f64_equal(a->f64, b->f64));
    }
}

static inline bool points_equal(const batch *x, const batch *y, uint32_t i)
{
    const point_rows *a = &x->points, *b = &y->points;
    return SAME(metric) && SAME(start_ns) && SAME(time_ns) && SAME(flags) &&
           attrs_equal(&a->attributes[i], &b->attributes[i]) &&
           exemplars_equal(&a->exemplars[i], &b->exemplars[i]) &&
           point_values_equal(x->metrics[a->metric[i]].type, &a->value[i], &b->value[i]);
}

static inline bool tables_equal(const batch *a, const batch *b)
{
    if (a->resource_count != b->resource_count || a->scope_count != b->scope_count ||
        a->metric_count != b->metric_count)
        return false;
    for (uint32_t i = 0; i < a->resource_count; i++)
        if (!attrs_equal(&a->resources[i].attributes, &b->resources[i].attributes) ||
            !str_eq(a->resources[i].schema_url, b->resources[i].schema_url))
            return false;
    for (uint32_t i = 0; i < a->scope_count; i++)
        if (a->scopes[i].resource != b->scopes[i].resource ||
            !str_eq(a->scopes[i].name, b->scopes[i].name) ||
            !str_eq(a->scopes[i].version, b->scopes[i].version) ||
            !str_eq(a->scopes[i].schema_url, b->scopes[i].schema_url) ||
            !attrs_equal(&a->scopes[i].attributes, &b->scopes[i].attributes))
            return false;
    for (uint32_t i = 0; i < a->metric_count; i++)
        if (a->metrics[i].scope != b->metrics[i].scope ||
            a->metrics[i].type != b->metrics[i].type ||
            a->metrics[i].temporality != b->metrics[i].temporality ||
            a->metrics[i].monotonic != b->metrics[i].monotonic ||
            !str_eq(a->metrics[i].name, b->metrics[i].name) ||
            !str_eq(a->metrics[i].unit, b->metrics[i].unit) ||
            !str_eq(a->metrics[i].description, b->metrics[i].description))
            return false;
    return true;
}

static inline bool batch_equal(const batch *a, const batch *b)
{
    if (a->signal != b->signal || batch_row_count(a) != batch_row_count(b) || !tables_equal(a, b))
        return false;
    for (uint32_t i = 0; i < batch_row_count(a); i++)
        if (a->signal == SIGNAL_LOGS     ? !logs_equal(&a->logs, &b->logs, i)
            : a->signal == SIGNAL_TRACES ? !spans_equal(&a->spans, &b->spans, i)
                                         : !points_equal(a, b, i))
            return false;
    return true;
}

/* ---- samples ---- */

/* Attributes of every type, told apart by `seed`. */
static inline attrs sample_attrs(arena *a, int64_t seed)
{
    attrs list = { .dropped = (uint32_t)seed };
    uint32_t capacity = 0;
    value *items = ARENA_ARRAY(a, value, 3);
    attr *inner = ARENA_ARRAY(a, attr, 2);
    items[0] = VALUE_S(STR("in an array"));
    items[2] = VALUE_I(seed);
    inner[0] = (attr){ STR("array"), { .type = VALUE_ARRAY, .array = { items, 3 } } };
    inner[1] = (attr){ STR("b"), VALUE_B(true) };
    attrs_append(a, &list, &capacity, STR("text"), VALUE_S(STR("é and \"quotes\"\n")));
    attrs_append(a, &list, &capacity, STR("empty text"), VALUE_S(STR_EMPTY));
    attrs_append(a, &list, &capacity, STR("int"), VALUE_I(-seed));
    attrs_append(a, &list, &capacity, STR("double"), VALUE_D((double)seed / 3));
    attrs_append(a, &list, &capacity, STR("bool"), VALUE_B(false));
    attrs_append(a, &list, &capacity, STR("bytes"),
                 (value){ .type = VALUE_BYTES, .s = STR("\0\xff\x80") });
    attrs_append(a, &list, &capacity, STR("nothing"), (value){ .type = VALUE_EMPTY });
    attrs_append(a, &list, &capacity, STR("map"),
                 (value){ .type = VALUE_MAP, .map = { .items = inner, .count = 2 } });
    return list;
}

static inline trace_id sample_trace(int seed)
{
    trace_id id;
    memset(&id, 0x10 + seed, sizeof(id));
    return id;
}

static inline span_id sample_span(int seed)
{
    span_id id;
    memset(&id, 0xA0 + seed, sizeof(id));
    return id;
}

static inline void sample_log(batch *b, uint32_t row)
{
    log_rows *to = &b->logs;
    int n = (int)row + 1;
    to->time_ns[row] = INT64_C(1544712660000000000) + n;
    to->observed_ns[row] = INT64_MAX - n;
    to->severity[row] = (uint8_t)(n % 25);
    to->severity_text[row] = STR("WARN");
    to->attributes[row] = sample_attrs(&b->arena, n);
    to->body[row] = n % 2 ? VALUE_S(STR("a message"))
                          : (value){ .type = VALUE_MAP, .map = sample_attrs(&b->arena, 0) };
    to->trace[row] = sample_trace(n);
    to->span[row] = sample_span(n);
    to->flags[row] = UINT32_MAX;
    to->event_name[row] = STR("event");
}

static inline void sample_span_row(batch *b, uint32_t row)
{
    span_rows *to = &b->spans;
    int n = (int)row + 1;
    to->trace[row] = sample_trace(n);
    to->span[row] = sample_span(n);
    to->parent[row] = sample_span(n + 1);
    to->trace_state[row] = STR("a=b");
    to->flags[row] = 0x101;
    to->name[row] = STR("GET /x");
    to->kind[row] = (uint8_t)(n % 6);
    to->start_ns[row] = INT64_C(1544712660000000000) + n;
    to->end_ns[row] = INT64_C(1544712661000000000) + n;
    to->attributes[row] = sample_attrs(&b->arena, n);
    to->events[row] = (span_events){ ARENA_ARRAY(&b->arena, span_event, 2), 2, 7 };
    to->events[row].items[1] = (span_event){ n, STR("exception"), sample_attrs(&b->arena, 5) };
    to->links[row] = (span_links){ ARENA_ARRAY(&b->arena, span_link, 1), 1, 9 };
    to->links[row].items[0] = (span_link){ sample_trace(n + 2), sample_span(n + 2), STR("c=d"),
                                           sample_attrs(&b->arena, 6), 3 };
    to->status[row] = (uint8_t)(n % 3);
    to->status_message[row] = STR("it broke");
}

static inline point_value sample_value(arena *a, metric_type type, int n)
{
    static uint64_t counts[] = { 1, 0, UINT64_MAX, 300 };
    static double bounds[] = { -1.5, 0, 1e9 };
    static quantile_value quantiles[] = { { 0, -1 }, { 0.5, 2 }, { 1, 1e300 } };
    point_value v = { .is_int = n % 2 };
    switch (type) {
    case METRIC_HISTOGRAM:
        v.histogram = ARENA_NEW(a, histogram_value);
        *v.histogram = (histogram_value){ .count = 301,
                                          .sum = 0,
                                          .min = -5,
                                          .max = 1e10,
                                          .has_sum = true,
                                          .has_min = n % 2,
                                          .has_max = true,
                                          .bucket_count = 4,
                                          .bound_count = 3,
                                          .buckets = counts,
                                          .bounds = bounds };
        v.histogram->min = n % 2 ? -5 : 0;
        break;
    case METRIC_EXP_HISTOGRAM:
        v.exp = ARENA_NEW(a, exp_histogram_value);
        *v.exp = (exp_histogram_value){ .count = 10,
                                        .sum = 5,
                                        .has_sum = true,
                                        .scale = -3,
                                        .zero_count = 2,
                                        .zero_threshold = 1e-9,
                                        .positive = { -5, 4, counts },
                                        .negative = { n, 2, counts } };
        break;
    case METRIC_SUMMARY:
        v.summary = ARENA_NEW(a, summary_value);
        *v.summary = (summary_value){ 3, 4.5, quantiles, 3 };
        break;
    default:
        if (v.is_int)
            v.i64 = INT64_MIN + n;
        else
            v.f64 = n / 7.0;
        break;
    }
    return v;
}

static inline void sample_point(batch *b, uint32_t row)
{
    point_rows *to = &b->points;
    int n = (int)row + 1;
    to->start_ns[row] = n;
    to->time_ns[row] = INT64_C(1544712660000000000) + n;
    to->flags[row] = (uint32_t)n % 2;
    to->attributes[row] = sample_attrs(&b->arena, n);
    to->attributes[row].dropped = 0; /* points have no such count */
    to->value[row] = sample_value(&b->arena, b->metrics[to->metric[row]].type, n);
    if (b->metrics[to->metric[row]].type == METRIC_SUMMARY)
        return; /* summaries have no exemplars */
    to->exemplars[row] = (exemplars){ ARENA_ARRAY(&b->arena, exemplar, 2), 2 };
    to->exemplars[row].items[0] = (exemplar){ .time_ns = n, .is_int = true, .i64 = -n };
    to->exemplars[row].items[1] = (exemplar){ .f64 = 0.25,
                                              .trace = sample_trace(n),
                                              .span = sample_span(n),
                                              .filtered_attributes = sample_attrs(&b->arena, 0) };
}

static inline uint32_t sample_row(batch *b, uint32_t parent)
{
    uint32_t row = b->signal == SIGNAL_LOGS     ? batch_add_log(b, parent)
                   : b->signal == SIGNAL_TRACES ? batch_add_span(b, parent)
                                                : batch_add_point(b, parent);
    if (b->signal == SIGNAL_LOGS)
        sample_log(b, row);
    else if (b->signal == SIGNAL_TRACES)
        sample_span_row(b, row);
    else
        sample_point(b, row);
    return row;
}

static inline void sample_metric(batch *b, uint32_t scope, metric_type type)
{
    uint32_t i = batch_add_metric(b, scope);
    bool summed = type == METRIC_SUM || type == METRIC_HISTOGRAM || type == METRIC_EXP_HISTOGRAM;
    b->metrics[i].type = type;
    b->metrics[i].temporality = summed ? TEMPORALITY_CUMULATIVE : TEMPORALITY_UNSPECIFIED;
    b->metrics[i].monotonic = type == METRIC_SUM;
    b->metrics[i].name = STR("http.server.request.duration");
    b->metrics[i].unit = STR("s");
    b->metrics[i].description = STR("How long requests take.");
    for (int row = 0; type != METRIC_NONE && row < 3; row++)
        sample_row(b, i);
}

/* Two resources, four scopes, rows in the order that decoding gives. */
static inline void sample_batch(batch *b, signal_kind signal)
{
    batch_init(b, signal, 0);
    for (int r = 0; r < 2; r++) {
        uint32_t resource = batch_add_resource(b);
        b->resources[resource].attributes = sample_attrs(&b->arena, r);
        b->resources[resource].schema_url = STR("https://opentelemetry.io/schemas/1.44.0");
        for (int s = 0; s < 2; s++) {
            uint32_t scope = batch_add_scope(b, resource);
            b->scopes[scope].name = STR("library");
            b->scopes[scope].version = STR("1.2");
            b->scopes[scope].attributes = sample_attrs(&b->arena, s + 5);
            b->scopes[scope].schema_url = STR("https://example.com");
            for (int i = 0; i < 6; i++) {
                if (signal == SIGNAL_METRICS)
                    sample_metric(b, scope, (metric_type)i);
                else
                    sample_row(b, scope);
            }
        }
    }
}

#endif
