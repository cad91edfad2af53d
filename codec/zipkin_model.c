// SPDX-License-Identifier: Apache-2.0
/* OpenTelemetry's rows in Zipkin's terms; see zipkin_model.h. Keeps no state. */
#include "codec/zipkin_model.h"

#include "base/clock.h"
#include "codec/batch_rows.h"
#include "codec/json_value.h"

int64_t zipkin_duration_us(const batch *b, uint32_t row)
{
    int64_t ns = b->spans.end_ns[row] - b->spans.start_ns[row];
    return ns <= 0 ? 0 : MAX(ns / NS_PER_US, 1);
}

str zipkin_service(const batch *b, uint32_t row, str fallback)
{
    str service = attrs_get_str(&batch_row_resource(b, row)->attributes, STR("service.name"));
    return service.len ? service : fallback;
}

bool zipkin_remote(const batch *b, uint32_t row, str *ret_name, uint16_t *ret_port)
{
    /* Best first. */
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
    const attrs *a = &b->spans.attributes[row];
    uint8_t kind = b->spans.kind[row];
    if (kind != SPAN_KIND_CLIENT && kind != SPAN_KIND_PRODUCER)
        return false;
    for (size_t i = 0; i < ARRAY_LEN(ranking); i++) {
        str name = attrs_get_str(a, ranking[i].name);
        if (name.len == 0)
            continue;
        const value *port = ranking[i].port.len ? attrs_get(a, ranking[i].port) : NULL;
        bool fits = port && port->type == VALUE_I64 && port->i64 > 0 && port->i64 <= UINT16_MAX;
        *ret_name = name;
        *ret_port = fits ? (uint16_t)port->i64 : 0;
        return true;
    }
    return false;
}

str zipkin_annotation(const span_event *e, buf *scratch)
{
    if (e->attributes.count == 0)
        return e->name;
    buf_clear(scratch);
    json_writer inner = json_write(scratch);
    json_str(&inner, e->name);
    buf_char(scratch, ':');
    inner.comma = false;
    attrs_to_json(&e->attributes, &inner);
    return buf_view(scratch);
}

/* ---- tags ---- */

typedef struct {
    buf *scratch;
    zipkin_tag_sink *sink;
    void *user;
} tag_writer;

static void put_tag(void *user, str key, const value *v)
{
    tag_writer *w = user;
    buf_clear(w->scratch);
    value_to_text(v, w->scratch);
    w->sink(w->user, key, buf_view(w->scratch));
}

/* "error" marks a failed span in Zipkin, so that an attribute of that name must not slip in. */
static void put_attributes(tag_writer *w, const attrs *a)
{
    for (uint32_t i = 0; i < a->count; i++)
        if (!str_is(a->items[i].key, "error"))
            put_tag(w, a->items[i].key, &a->items[i].value);
}

/* Those that the span does not have itself; the service's name has a place of its own. */
static void put_resource(tag_writer *w, const attrs *resource, const attrs *own)
{
    for (uint32_t i = 0; i < resource->count; i++) {
        str key = resource->items[i].key;
        if (!str_is(key, "service.name") && !str_is(key, "error") && !attrs_get(own, key))
            put_tag(w, key, &resource->items[i].value);
    }
}

void zipkin_tags_each(const batch *b, uint32_t row, buf *scratch, zipkin_tag_sink *sink, void *user)
{
    tag_writer w = { scratch, sink, user };
    put_attributes(&w, &b->spans.attributes[row]);
    put_resource(&w, &batch_row_resource(b, row)->attributes, &b->spans.attributes[row]);
    span_tags_each(b, row, SPAN_TAGS_ZIPKIN, put_tag, &w);
}
