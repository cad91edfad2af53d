// SPDX-License-Identifier: Apache-2.0
/* Spans as Jaeger's JSON. Kind, status, scope and trace state become tags; the resource becomes the
 * process; events become logs; links become FOLLOWS_FROM references. */
#include "api/jaeger.h"

#include "codec/json_value.h"
#include "codec/span_tags.h"

static void put_tag_head(json_writer *w, str key, const char *type)
{
    json_begin_object(w);
    JSON_PUT(w, str, "key", key);
    JSON_PUT(w, str, "type", str_c(type));
    json_key(w, STR("value"));
}

static void put_text_tag(json_writer *w, const char *key, str text)
{
    if (!text.len)
        return;
    put_tag_head(w, str_c(key), "string");
    json_str(w, text);
    json_end_object(w);
}

static void put_composite(json_writer *w, const value *v)
{
    buf text;
    buf_init(&text, MiB(1));
    value_to_text(v, &text);
    json_str(w, buf_view(&text));
    buf_done(&text);
}

static void put_tag(json_writer *w, str key, const value *v)
{
    switch (v->type) {
    case VALUE_BOOL:
        put_tag_head(w, key, "bool");
        json_bool(w, v->b);
        break;
    case VALUE_I64:
        put_tag_head(w, key, "int64");
        json_i64(w, v->i64);
        break;
    case VALUE_F64:
        put_tag_head(w, key, "float64");
        json_f64(w, v->f64);
        break;
    case VALUE_BYTES:
        put_tag_head(w, key, "binary");
        json_base64(w, v->s);
        break;
    case VALUE_STR:
        put_tag_head(w, key, "string");
        json_str(w, v->s);
        break;
    default:
        put_tag_head(w, key, "string");
        put_composite(w, v);
    }
    json_end_object(w);
}

static void put_attributes(json_writer *w, const attrs *a)
{
    for (uint32_t i = 0; i < a->count; i++)
        put_tag(w, a->items[i].key, &a->items[i].value);
}

static void put_reference(json_writer *w, const char *type, trace_id trace, span_id span)
{
    json_begin_object(w);
    JSON_PUT(w, str, "refType", str_c(type));
    json_key(w, STR("traceID"));
    json_hex(w, trace.bytes, sizeof(trace.bytes));
    json_key(w, STR("spanID"));
    json_hex(w, span.bytes, sizeof(span.bytes));
    json_end_object(w);
}

static void put_references(json_writer *w, const span_rows *s, uint32_t row)
{
    json_key(w, STR("references"));
    json_begin_array(w);
    if (span_id_is_set(s->parent[row]))
        put_reference(w, "CHILD_OF", s->trace[row], s->parent[row]);
    for (uint32_t i = 0; i < s->links[row].count; i++)
        put_reference(w, "FOLLOWS_FROM", s->links[row].items[i].trace, s->links[row].items[i].span);
    json_end_array(w);
}

static void put_span_tag(void *user, str key, const value *v)
{
    put_tag(user, key, v);
}

static void put_tags(json_writer *w, const batch *b, uint32_t row)
{
    const span_rows *s = &b->spans;
    json_key(w, STR("tags"));
    json_begin_array(w);
    put_attributes(w, &s->attributes[row]);
    span_tags_each(b, row, SPAN_TAGS_JAEGER, put_span_tag, w);
    json_end_array(w);
}

static void put_logs(json_writer *w, const span_events *events)
{
    json_key(w, STR("logs"));
    json_begin_array(w);
    for (uint32_t i = 0; i < events->count; i++) {
        const span_event *e = &events->items[i];
        json_begin_object(w);
        JSON_PUT(w, i64, "timestamp", e->time_ns / NS_PER_US);
        json_key(w, STR("fields"));
        json_begin_array(w);
        if (!attrs_get(&e->attributes, STR("event")))
            put_text_tag(w, "event", e->name);
        put_attributes(w, &e->attributes);
        json_end_array(w);
        json_end_object(w);
    }
    json_end_array(w);
}

static void put_process_id(json_writer *w, uint32_t process)
{
    char id[16];
    buf text = { .ptr = id, .cap = sizeof(id), .limit = sizeof(id) };
    buf_fmt(&text, "p%u", process + 1);
    json_str(w, buf_view(&text));
}

static void put_span(json_writer *w, const batch *b, uint32_t row, uint32_t process)
{
    const span_rows *s = &b->spans;
    int64_t duration = MAX(s->end_ns[row] - s->start_ns[row], 0);
    json_begin_object(w);
    json_key(w, STR("traceID"));
    json_hex(w, s->trace[row].bytes, sizeof(s->trace[row].bytes));
    json_key(w, STR("spanID"));
    json_hex(w, s->span[row].bytes, sizeof(s->span[row].bytes));
    JSON_PUT(w, u64, "flags", s->flags[row] & 0xFF);
    JSON_PUT(w, str, "operationName", s->name[row]);
    put_references(w, s, row);
    JSON_PUT(w, i64, "startTime", s->start_ns[row] / NS_PER_US);
    JSON_PUT(w, i64, "duration", duration / NS_PER_US);
    put_tags(w, b, row);
    put_logs(w, &s->events[row]);
    json_key(w, STR("processID"));
    put_process_id(w, process);
    json_key(w, STR("warnings"));
    json_null(w);
    json_end_object(w);
}

static bool same_value(const value *a, const value *b)
{
    if (a->type != b->type)
        return false;
    switch (a->type) {
    case VALUE_STR:
    case VALUE_BYTES:
        return str_eq(a->s, b->s);
    case VALUE_BOOL:
        return a->b == b->b;
    case VALUE_I64:
        return a->i64 == b->i64;
    case VALUE_F64:
        return memcmp(&a->f64, &b->f64, sizeof(a->f64)) == 0;
    default:
        return a->type == VALUE_EMPTY;
    }
}

static bool same_attributes(const attrs *a, const attrs *b)
{
    if (a->count != b->count)
        return false;
    for (uint32_t i = 0; i < a->count; i++)
        if (!str_eq(a->items[i].key, b->items[i].key) ||
            !same_value(&a->items[i].value, &b->items[i].value))
            return false;
    return true;
}

/* Equal resources are one process; the numbers are dense. */
static uint32_t *number_processes(api_request *r, const batch *b, uint32_t *ret_count)
{
    uint32_t *process = ARENA_ARRAY(r->arena, uint32_t, MAX(b->resource_count, 1));
    uint32_t *owner = ARENA_ARRAY(r->arena, uint32_t, MAX(b->resource_count, 1));
    uint32_t n = 0;
    if (!process || !owner)
        return NULL;
    for (uint32_t i = 0; i < b->resource_count; i++) {
        uint32_t k = 0;
        while (k < n &&
               !same_attributes(&b->resources[owner[k]].attributes, &b->resources[i].attributes))
            k++;
        if (k == n)
            owner[n++] = i;
        process[i] = k;
    }
    *ret_count = n;
    return process;
}

static void put_process(json_writer *w, const batch_resource *resource)
{
    str service = attrs_get_str(&resource->attributes, STR("service.name"));
    json_begin_object(w);
    JSON_PUT(w, str, "serviceName", service.len ? service : STR("OTLPResourceNoServiceName"));
    json_key(w, STR("tags"));
    json_begin_array(w);
    for (uint32_t i = 0; i < resource->attributes.count; i++) {
        const attr *a = &resource->attributes.items[i];
        if (!str_is(a->key, "service.name"))
            put_tag(w, a->key, &a->value);
    }
    json_end_array(w);
    json_end_object(w);
}

void jaeger_write_trace(api_request *r, const batch *b)
{
    json_writer *w = &r->json;
    uint32_t count = 0, written = 0;
    uint32_t *process = number_processes(r, b, &count);
    if (!process)
        return;
    json_begin_object(w);
    json_key(w, STR("traceID"));
    json_hex(w, b->spans.trace[0].bytes, sizeof(b->spans.trace[0].bytes));
    json_key(w, STR("spans"));
    json_begin_array(w);
    for (uint32_t i = 0; i < b->spans.count && request_flush(r); i++)
        put_span(w, b, i, process[b->scopes[b->spans.scope[i]].resource]);
    json_end_array(w);
    json_key(w, STR("processes"));
    json_begin_object(w);
    for (uint32_t i = 0; i < b->resource_count; i++) {
        if (process[i] != written)
            continue;
        char id[16];
        buf text = { .ptr = id, .cap = sizeof(id), .limit = sizeof(id) };
        buf_fmt(&text, "p%u", ++written);
        json_key(w, buf_view(&text));
        put_process(w, &b->resources[i]);
    }
    json_end_object(w);
    json_key(w, STR("warnings"));
    json_null(w);
    json_end_object(w);
}
