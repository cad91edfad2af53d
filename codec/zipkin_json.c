// SPDX-License-Identifier: Apache-2.0
/* Zipkin's v2 JSON; see zipkin_json.h. Keeps no state; one scratch buffer a request. */
#include "codec/zipkin_json.h"

#include "base/clock.h"
#include "codec/json_value.h"

typedef struct {
    json_writer w;
    buf scratch; /* one value as text */
} writer;

static void put_text(writer *z, str key, str text)
{
    json_key(&z->w, key);
    json_str(&z->w, text);
}

static void put_tag(writer *z, str key, const value *v)
{
    buf_clear(&z->scratch);
    value_to_text(v, &z->scratch);
    put_text(z, key, buf_view(&z->scratch));
}

static void put_count(writer *z, str key, uint32_t count)
{
    if (count)
        put_tag(z, key, &VALUE_I(count));
}

/* "error" marks a failed span in Zipkin, so that an attribute of that name must not slip in. */
static void put_attributes(writer *z, const attrs *a)
{
    for (uint32_t i = 0; i < a->count; i++)
        if (!str_is(a->items[i].key, "error"))
            put_tag(z, a->items[i].key, &a->items[i].value);
}

/* Those that the span does not have itself; the service's name has a place of its own. */
static void put_resource(writer *z, const attrs *resource, const attrs *own)
{
    for (uint32_t i = 0; i < resource->count; i++) {
        str key = resource->items[i].key;
        if (!str_is(key, "service.name") && !str_is(key, "error") && !attrs_get(own, key))
            put_tag(z, key, &resource->items[i].value);
    }
}

static void put_tags(writer *z, const batch *b, uint32_t row)
{
    const span_rows *s = &b->spans;
    const batch_scope *scope = &b->scopes[s->scope[row]];
    json_key(&z->w, STR("tags"));
    json_begin_object(&z->w);
    put_attributes(z, &s->attributes[row]);
    put_resource(z, &b->resources[scope->resource].attributes, &s->attributes[row]);
    if (scope->name.len)
        put_text(z, STR("otel.scope.name"), scope->name);
    if (scope->version.len)
        put_text(z, STR("otel.scope.version"), scope->version);
    if (s->status[row] != SPAN_STATUS_UNSET)
        put_text(z, STR("otel.status_code"),
                 s->status[row] == SPAN_STATUS_OK ? STR("OK") : STR("ERROR"));
    if (s->status[row] == SPAN_STATUS_ERROR)
        put_text(z, STR("error"), s->status_message[row]);
    put_count(z, STR("otel.dropped_attributes_count"), s->attributes[row].dropped);
    put_count(z, STR("otel.dropped_events_count"), s->events[row].dropped);
    put_count(z, STR("otel.dropped_links_count"), s->links[row].dropped);
    json_end_object(&z->w);
}

/* "name", or "name":{"key":"value"} */
static void put_annotations(writer *z, const span_events *events)
{
    if (events->count == 0)
        return;
    json_key(&z->w, STR("annotations"));
    json_begin_array(&z->w);
    for (uint32_t i = 0; i < events->count; i++) {
        const span_event *e = &events->items[i];
        str text = e->name;
        if (e->attributes.count) {
            buf_clear(&z->scratch);
            json_writer inner = json_write(&z->scratch);
            json_str(&inner, e->name);
            buf_char(&z->scratch, ':');
            inner.comma = false;
            attrs_to_json(&e->attributes, &inner);
            text = buf_view(&z->scratch);
        }
        json_begin_object(&z->w);
        json_key(&z->w, STR("timestamp"));
        json_i64(&z->w, e->time_ns / NS_PER_US);
        put_text(z, STR("value"), text);
        json_end_object(&z->w);
    }
    json_end_array(&z->w);
}

/* What another service is known by, best first. */
static void put_remote(writer *z, const attrs *a)
{
    static const struct {
        str name, port;
    } ranking[] = {
        { STR_INIT("peer.service"), STR_INIT("") },
        { STR_INIT("server.address"), STR_INIT("server.port") },
        { STR_INIT("net.peer.name"), STR_INIT("net.peer.port") },
        { STR_INIT("network.peer.address"), STR_INIT("network.peer.port") },
        { STR_INIT("server.socket.domain"), STR_INIT("") },
        { STR_INIT("server.socket.address"), STR_INIT("server.socket.port") },
        { STR_INIT("net.sock.peer.name"), STR_INIT("") },
        { STR_INIT("net.sock.peer.addr"), STR_INIT("net.sock.peer.port") },
        { STR_INIT("peer.hostname"), STR_INIT("") },
        { STR_INIT("peer.address"), STR_INIT("") },
        { STR_INIT("db.name"), STR_INIT("") },
    };
    for (size_t i = 0; i < ARRAY_LEN(ranking); i++) {
        str name = attrs_get_str(a, ranking[i].name);
        if (name.len == 0)
            continue;
        const value *port = ranking[i].port.len ? attrs_get(a, ranking[i].port) : NULL;
        json_key(&z->w, STR("remoteEndpoint"));
        json_begin_object(&z->w);
        put_text(z, STR("serviceName"), name);
        if (port && port->type == VALUE_I64 && port->i64 > 0 && port->i64 <= UINT16_MAX) {
            json_key(&z->w, STR("port"));
            json_i64(&z->w, port->i64);
        }
        json_end_object(&z->w);
        return;
    }
}

static void put_id(writer *z, str key, const uint8_t *bytes, size_t n)
{
    json_key(&z->w, key);
    json_hex(&z->w, bytes, n);
}

static void put_span(writer *z, const batch *b, uint32_t row)
{
    static const str kinds[] = { STR_INIT(""),       STR_INIT(""),         STR_INIT("SERVER"),
                                 STR_INIT("CLIENT"), STR_INIT("PRODUCER"), STR_INIT("CONSUMER") };
    const span_rows *s = &b->spans;
    const attrs *resource = &b->resources[b->scopes[s->scope[row]].resource].attributes;
    uint8_t kind = s->kind[row] < ARRAY_LEN(kinds) ? s->kind[row] : 0;
    int64_t duration_ns = s->end_ns[row] - s->start_ns[row];
    json_begin_object(&z->w);
    put_id(z, STR("traceId"), s->trace[row].bytes, 16);
    put_id(z, STR("id"), s->span[row].bytes, 8);
    if (span_id_is_set(s->parent[row]))
        put_id(z, STR("parentId"), s->parent[row].bytes, 8);
    put_text(z, STR("name"), s->name[row]);
    if (kinds[kind].len)
        put_text(z, STR("kind"), kinds[kind]);
    json_key(&z->w, STR("timestamp"));
    json_i64(&z->w, s->start_ns[row] / NS_PER_US);
    if (duration_ns > 0) {
        /* Zipkin takes 0 for "unknown". */
        json_key(&z->w, STR("duration"));
        json_i64(&z->w, MAX(duration_ns / NS_PER_US, 1));
    }
    json_key(&z->w, STR("localEndpoint"));
    json_begin_object(&z->w);
    put_text(z, STR("serviceName"), attrs_get_str(resource, STR("service.name")));
    json_end_object(&z->w);
    if (kind == SPAN_KIND_CLIENT || kind == SPAN_KIND_PRODUCER)
        put_remote(z, &s->attributes[row]);
    put_annotations(z, &s->events[row]);
    put_tags(z, b, row);
    json_end_object(&z->w);
}

status zipkin_json_encode(const batch *b, buf *out, error *err)
{
    writer z = { .w = json_write(out) };
    buf_init(&z.scratch, out->limit);
    json_begin_array(&z.w);
    for (uint32_t i = 0; i < b->spans.count; i++)
        put_span(&z, b, i);
    json_end_array(&z.w);
    status st = buf_check(out, err, "a request with spans");
    if (st == STATUS_OK)
        st = buf_check(&z.scratch, err, "a span's attribute");
    buf_done(&z.scratch);
    return st;
}
