// SPDX-License-Identifier: Apache-2.0
/* Spans and metric points as JSON lines; see span_json.h. Keeps no state. */
#include "codec/span_json.h"

#include "base/clock.h"
#include "codec/json_value.h"

const char *span_kind_name(uint8_t kind)
{
    static const char *const names[] = { "unspecified", "internal", "server",
                                         "client",      "producer", "consumer" };
    return names[kind < ARRAY_LEN(names) ? kind : 0];
}

static void put_time(json_writer *w, str key, int64_t time_ns)
{
    char text[40];
    buf b = { .ptr = text, .cap = sizeof(text), .limit = sizeof(text) };
    if (!time_ns)
        return;
    clock_format_rfc3339(&b, time_ns, 9);
    json_key(w, key);
    json_str(w, buf_view(&b));
}

static void put_id(json_writer *w, str key, const uint8_t *bytes, size_t n, bool set)
{
    if (!set)
        return;
    json_key(w, key);
    json_hex(w, bytes, n);
}

static void put_service(json_writer *w, const batch *b, uint32_t scope)
{
    const attrs *resource = &b->resources[b->scopes[scope].resource].attributes;
    str service = attrs_get_str(resource, STR("service.name"));
    if (service.len)
        JSON_PUT(w, str, "service", service);
}

static void put_attributes(json_writer *w, const attrs *a)
{
    if (a->count == 0)
        return;
    json_key(w, STR("attributes"));
    attrs_to_json(a, w);
}

static void put_events(json_writer *w, const span_events *events)
{
    if (events->count == 0)
        return;
    json_key(w, STR("events"));
    json_begin_array(w);
    for (uint32_t i = 0; i < events->count; i++) {
        const span_event *e = &events->items[i];
        json_begin_object(w);
        JSON_PUT(w, str, "name", e->name);
        put_time(w, STR("timestamp"), e->time_ns);
        put_attributes(w, &e->attributes);
        json_end_object(w);
    }
    json_end_array(w);
}

static void put_links(json_writer *w, const span_links *links)
{
    if (links->count == 0)
        return;
    json_key(w, STR("links"));
    json_begin_array(w);
    for (uint32_t i = 0; i < links->count; i++) {
        const span_link *l = &links->items[i];
        json_begin_object(w);
        put_id(w, STR("trace_id"), l->trace.bytes, 16, true);
        put_id(w, STR("span_id"), l->span.bytes, 8, true);
        put_attributes(w, &l->attributes);
        json_end_object(w);
    }
    json_end_array(w);
}

void span_json_row(const batch *b, uint32_t row, buf *out)
{
    const span_rows *s = &b->spans;
    json_writer w = json_write(out);
    json_begin_object(&w);
    JSON_PUT(&w, str, "type", STR("span"));
    JSON_PUT(&w, str, "name", s->name[row]);
    JSON_PUT(&w, str, "kind", str_c(span_kind_name(s->kind[row])));
    put_service(&w, b, s->scope[row]);
    put_id(&w, STR("trace_id"), s->trace[row].bytes, 16, true);
    put_id(&w, STR("span_id"), s->span[row].bytes, 8, true);
    put_id(&w, STR("parent_span_id"), s->parent[row].bytes, 8, span_id_is_set(s->parent[row]));
    put_time(&w, STR("start"), s->start_ns[row]);
    put_time(&w, STR("end"), s->end_ns[row]);
    JSON_PUT(&w, f64, "duration_ms",
             (double)(s->end_ns[row] - s->start_ns[row]) / (double)NS_PER_MS);
    if (s->status[row] != SPAN_STATUS_UNSET)
        JSON_PUT(&w, str, "status", s->status[row] == SPAN_STATUS_OK ? STR("ok") : STR("error"));
    if (s->status_message[row].len)
        JSON_PUT(&w, str, "status_message", s->status_message[row]);
    put_attributes(&w, &s->attributes[row]);
    put_events(&w, &s->events[row]);
    put_links(&w, &s->links[row]);
    json_end_object(&w);
    buf_char(out, '\n');
}

static const char *metric_kind_name(const batch_metric *m)
{
    switch (m->type) {
    case METRIC_GAUGE:
        return "gauge";
    case METRIC_SUM:
        return m->monotonic ? "counter" : "updown_counter";
    case METRIC_HISTOGRAM:
        return "histogram";
    case METRIC_EXP_HISTOGRAM:
        return "exponential_histogram";
    case METRIC_SUMMARY:
        return "summary";
    default:
        return "none";
    }
}

static void put_histogram(json_writer *w, const histogram_value *h)
{
    JSON_PUT(w, u64, "count", h->count);
    if (h->has_sum)
        JSON_PUT(w, f64, "sum", h->sum);
    json_key(w, STR("bounds"));
    json_begin_array(w);
    for (uint32_t i = 0; i < h->bound_count; i++)
        json_f64(w, h->bounds[i]);
    json_end_array(w);
    json_key(w, STR("buckets"));
    json_begin_array(w);
    for (uint32_t i = 0; i < h->bucket_count; i++)
        json_u64(w, h->buckets[i]);
    json_end_array(w);
}

void point_json_row(const batch *b, uint32_t row, buf *out)
{
    const point_rows *p = &b->points;
    const batch_metric *m = &b->metrics[p->metric[row]];
    const point_value *v = &p->value[row];
    json_writer w = json_write(out);
    json_begin_object(&w);
    JSON_PUT(&w, str, "type", STR("metric"));
    JSON_PUT(&w, str, "name", m->name);
    JSON_PUT(&w, str, "kind", str_c(metric_kind_name(m)));
    put_service(&w, b, m->scope);
    if (m->unit.len)
        JSON_PUT(&w, str, "unit", m->unit);
    put_time(&w, STR("timestamp"), p->time_ns[row]);
    put_attributes(&w, &p->attributes[row]);
    if (m->type == METRIC_HISTOGRAM) {
        put_histogram(&w, v->histogram);
    } else if (m->type == METRIC_EXP_HISTOGRAM) {
        JSON_PUT(&w, u64, "count", v->exp->count);
        JSON_PUT(&w, f64, "sum", v->exp->sum);
    } else if (m->type == METRIC_SUMMARY) {
        JSON_PUT(&w, u64, "count", v->summary->count);
        JSON_PUT(&w, f64, "sum", v->summary->sum);
    } else if (v->is_int) {
        JSON_PUT(&w, i64, "value", v->i64);
    } else {
        JSON_PUT(&w, f64, "value", v->f64);
    }
    json_end_object(&w);
    buf_char(out, '\n');
}
