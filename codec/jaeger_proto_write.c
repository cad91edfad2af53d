// SPDX-License-Identifier: Apache-2.0
/* jaeger.api_v2.PostSpansRequest out; see jaeger.h. What is an array or a map becomes JSON text. */
#include "base/clock.h"
#include "codec/jaeger_model.h"
#include "codec/json_value.h"
#include "codec/protobuf.h"

/* A list of KeyValue under construction. */
typedef struct {
    buf *out;
    uint32_t number;
} tag_writer;

static void put_text(buf *out, uint32_t number, str text)
{
    if (text.len)
        pb_put_bytes(out, number, text);
}

static void put_json(buf *out, const value *v)
{
    buf text;
    buf_init(&text, out->limit);
    value_to_text(v, &text);
    pb_put_bytes(out, 3, buf_view(&text));
    if (text.failed)
        out->failed = true;
    buf_done(&text);
}

static void put_tag(void *user, str key, const value *v)
{
    enum { STRING, BOOL, INT64, FLOAT64, BINARY };
    const tag_writer *w = user;
    buf *out = w->out;
    pb_mark mark = pb_begin(out, w->number, 64);
    put_text(out, 1, key);
    switch (v->type) {
    case VALUE_BOOL:
        pb_put_varint(out, 2, BOOL);
        pb_put_varint(out, 4, v->b);
        break;
    case VALUE_I64:
        pb_put_varint(out, 2, INT64);
        pb_put_varint(out, 5, (uint64_t)v->i64);
        break;
    case VALUE_F64:
        pb_put_varint(out, 2, FLOAT64);
        pb_put_double(out, 6, v->f64);
        break;
    case VALUE_BYTES:
        pb_put_varint(out, 2, BINARY);
        put_text(out, 7, v->s);
        break;
    case VALUE_STR:
        put_text(out, 3, v->s);
        break;
    default:
        put_json(out, v);
    }
    pb_end(out, mark);
}

static void put_attributes(buf *out, uint32_t number, const attrs *a, const char *without)
{
    tag_writer w = { out, number };
    for (uint32_t i = 0; i < a->count; i++)
        if (!without || !str_is(a->items[i].key, without))
            put_tag(&w, a->items[i].key, &a->items[i].value);
}

/* Timestamp or Duration. */
static void put_time(buf *out, uint32_t number, int64_t ns)
{
    pb_mark mark = pb_begin(out, number, 16);
    pb_put_varint(out, 1, (uint64_t)(ns / NS_PER_S));
    pb_put_varint(out, 2, (uint64_t)(ns % NS_PER_S));
    pb_end(out, mark);
}

static void put_reference(buf *out, trace_id trace, span_id span, uint64_t type)
{
    pb_mark mark = pb_begin(out, 4, 40);
    pb_put_bytes(out, 1, str_n(trace.bytes, sizeof(trace.bytes)));
    pb_put_bytes(out, 2, str_n(span.bytes, sizeof(span.bytes)));
    if (type)
        pb_put_varint(out, 3, type);
    pb_end(out, mark);
}

static void put_references(buf *out, const span_rows *s, uint32_t row)
{
    if (span_id_is_set(s->parent[row]))
        put_reference(out, s->trace[row], s->parent[row], JAEGER_CHILD_OF);
    for (uint32_t i = 0; i < s->links[row].count; i++) {
        const span_link *link = &s->links[row].items[i];
        bool child_of = str_is(attrs_get_str(&link->attributes, STR(JAEGER_REF_TYPE)), "child_of");
        put_reference(out, link->trace, link->span,
                      child_of ? JAEGER_CHILD_OF : JAEGER_FOLLOWS_FROM);
    }
}

static void put_event(buf *out, const span_event *e)
{
    pb_mark mark = pb_begin(out, 9, 128);
    tag_writer w = { out, 2 };
    put_time(out, 1, e->time_ns);
    if (e->name.len && !attrs_get(&e->attributes, STR("event")))
        put_tag(&w, STR("event"), &VALUE_S(e->name));
    put_attributes(out, 2, &e->attributes, NULL);
    pb_end(out, mark);
}

static uint64_t flags_of(const span_rows *s, uint32_t row)
{
    const value *debug = attrs_get(&s->attributes[row], STR("jaeger.debug"));
    bool is_debug = debug && debug->type == VALUE_BOOL && debug->b;
    return (s->flags[row] & JAEGER_SAMPLED) | (is_debug ? JAEGER_DEBUG : 0);
}

static void put_span(buf *out, const batch *b, uint32_t row)
{
    const span_rows *s = &b->spans;
    tag_writer tags = { out, 8 };
    pb_mark mark = pb_begin(out, 1, 512);
    pb_put_bytes(out, 1, str_n(s->trace[row].bytes, sizeof(trace_id)));
    pb_put_bytes(out, 2, str_n(s->span[row].bytes, sizeof(span_id)));
    put_text(out, 3, s->name[row]);
    put_references(out, s, row);
    if (flags_of(s, row))
        pb_put_varint(out, 5, flags_of(s, row));
    put_time(out, 6, s->start_ns[row]);
    put_time(out, 7, MAX(s->end_ns[row] - s->start_ns[row], 0));
    put_attributes(out, 8, &s->attributes[row], "jaeger.debug");
    span_tags_each(b, row, SPAN_TAGS_JAEGER, put_tag, &tags);
    for (uint32_t i = 0; i < s->events[row].count; i++)
        put_event(out, &s->events[row].items[i]);
    pb_end(out, mark);
}

static void put_process(buf *out, const attrs *resource)
{
    str service = attrs_get_str(resource, STR("service.name"));
    pb_mark mark = pb_begin(out, 2, 256);
    pb_put_bytes(out, 1, service.len ? service : STR(JAEGER_NO_SERVICE));
    put_attributes(out, 2, resource, "service.name");
    pb_end(out, mark);
}

/* The first row at or behind the cursor that belongs to its resource; else moves to the next
 * resource. */
static bool find_row(const batch *b, jaeger_cursor *at)
{
    for (; at->resource < b->resource_count; at->resource++, at->row = 0)
        for (; at->row < b->spans.count; at->row++)
            if (b->scopes[b->spans.scope[at->row]].resource == at->resource)
                return true;
    return false;
}

bool jaeger_proto_encode(const batch *b, jaeger_cursor *at, size_t max_bytes, buf *out,
                         uint32_t *ret_spans)
{
    *ret_spans = 0;
    if (!find_row(b, at))
        return false;
    uint32_t resource = at->resource;
    size_t start = out->len;
    pb_mark request = pb_begin(out, 1, KiB(64));
    put_process(out, &b->resources[resource].attributes);
    while (!out->failed && find_row(b, at) && at->resource == resource) {
        size_t before = out->len;
        put_span(out, b, at->row);
        if (*ret_spans && out->len - start > max_bytes) {
            out->len = before;
            break;
        }
        ++*ret_spans;
        at->row++;
    }
    pb_end(out, request);
    return !out->failed;
}
