// SPDX-License-Identifier: Apache-2.0
/* Zipkin's v2 JSON; see zipkin_json.h. Keeps no state; one scratch buffer a request. */
#include "codec/zipkin_json.h"

#include "base/clock.h"
#include "codec/json.h"
#include "codec/zipkin_model.h"

typedef struct {
    json_writer w;
    buf scratch; /* one value as text */
} writer;

static void put_text(writer *z, str key, str text)
{
    json_key(&z->w, key);
    json_str(&z->w, text);
}

static void put_tag(void *user, str key, str text)
{
    put_text(user, key, text);
}

static void put_annotations(writer *z, const span_events *events)
{
    if (events->count == 0)
        return;
    json_key(&z->w, STR("annotations"));
    json_begin_array(&z->w);
    for (uint32_t i = 0; i < events->count; i++) {
        const span_event *e = &events->items[i];
        json_begin_object(&z->w);
        json_key(&z->w, STR("timestamp"));
        json_i64(&z->w, e->time_ns / NS_PER_US);
        put_text(z, STR("value"), zipkin_annotation(e, &z->scratch));
        json_end_object(&z->w);
    }
    json_end_array(&z->w);
}

static void put_endpoint(writer *z, str key, str service, uint16_t port)
{
    json_key(&z->w, key);
    json_begin_object(&z->w);
    put_text(z, STR("serviceName"), service);
    if (port) {
        json_key(&z->w, STR("port"));
        json_i64(&z->w, port);
    }
    json_end_object(&z->w);
}

static void put_id(writer *z, str key, const uint8_t *bytes, size_t n)
{
    json_key(&z->w, key);
    json_hex(&z->w, bytes, n);
}

static void put_span(writer *z, const batch *b, uint32_t row, str fallback)
{
    static const str kinds[] = { STR_INIT(""),       STR_INIT(""),         STR_INIT("SERVER"),
                                 STR_INIT("CLIENT"), STR_INIT("PRODUCER"), STR_INIT("CONSUMER") };
    const span_rows *s = &b->spans;
    uint8_t kind = s->kind[row] < ARRAY_LEN(kinds) ? s->kind[row] : 0;
    str remote;
    uint16_t port;
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
    if (zipkin_duration_us(b, row)) {
        json_key(&z->w, STR("duration"));
        json_i64(&z->w, zipkin_duration_us(b, row));
    }
    put_endpoint(z, STR("localEndpoint"), zipkin_service(b, row, fallback), 0);
    if (zipkin_remote(b, row, &remote, &port))
        put_endpoint(z, STR("remoteEndpoint"), remote, port);
    put_annotations(z, &s->events[row]);
    json_key(&z->w, STR("tags"));
    json_begin_object(&z->w);
    zipkin_tags_each(b, row, &z->scratch, put_tag, z);
    json_end_object(&z->w);
    json_end_object(&z->w);
}

status zipkin_json_encode(const batch *b, str fallback_service, buf *out, error *err)
{
    writer z = { .w = json_write(out) };
    buf_init(&z.scratch, out->limit);
    json_begin_array(&z.w);
    for (uint32_t i = 0; i < b->spans.count; i++)
        put_span(&z, b, i, fallback_service);
    json_end_array(&z.w);
    status st = buf_check(out, err, "a request with spans");
    if (st == STATUS_OK)
        st = buf_check(&z.scratch, err, "a span's attribute");
    buf_done(&z.scratch);
    return st;
}
