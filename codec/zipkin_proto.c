// SPDX-License-Identifier: Apache-2.0
/* Zipkin's protobuf, zipkin.proto3.ListOfSpans, out; see zipkin_json.h. Keeps no state; one scratch
 * buffer a request. */
#include "base/clock.h"
#include "codec/protobuf.h"
#include "codec/zipkin_json.h"
#include "codec/zipkin_model.h"

typedef struct {
    buf *out;
    buf scratch; /* one value as text */
} writer;

static void put_text(buf *out, uint32_t number, str text)
{
    if (text.len)
        pb_put_bytes(out, number, text);
}

/* An entry of map<string, string> tags. */
static void put_tag(void *user, str key, str text)
{
    writer *z = user;
    pb_mark entry = pb_begin(z->out, 11, key.len + text.len + 8);
    pb_put_bytes(z->out, 1, key);
    pb_put_bytes(z->out, 2, text);
    pb_end(z->out, entry);
}

static void put_endpoint(buf *out, uint32_t number, str service, uint16_t port)
{
    pb_mark endpoint = pb_begin(out, number, service.len + 8);
    put_text(out, 1, service);
    if (port)
        pb_put_varint(out, 4, port);
    pb_end(out, endpoint);
}

static void put_span(writer *z, const batch *b, uint32_t row, str fallback)
{
    static const uint8_t kinds[] = { 0, 0, 2, 1, 3, 4 };
    const span_rows *s = &b->spans;
    uint8_t kind = s->kind[row] < ARRAY_LEN(kinds) ? kinds[s->kind[row]] : 0;
    buf *out = z->out;
    str remote;
    uint16_t port;
    pb_mark span = pb_begin(out, 1, 512);
    pb_put_bytes(out, 1, str_n(s->trace[row].bytes, 16));
    if (span_id_is_set(s->parent[row]))
        pb_put_bytes(out, 2, str_n(s->parent[row].bytes, 8));
    pb_put_bytes(out, 3, str_n(s->span[row].bytes, 8));
    if (kind)
        pb_put_varint(out, 4, kind);
    put_text(out, 5, s->name[row]);
    pb_put_fixed64(out, 6, (uint64_t)(s->start_ns[row] / NS_PER_US));
    if (zipkin_duration_us(b, row))
        pb_put_varint(out, 7, (uint64_t)zipkin_duration_us(b, row));
    put_endpoint(out, 8, zipkin_service(b, row, fallback), 0);
    if (zipkin_remote(b, row, &remote, &port))
        put_endpoint(out, 9, remote, port);
    for (uint32_t i = 0; i < s->events[row].count; i++) {
        const span_event *e = &s->events[row].items[i];
        pb_mark annotation = pb_begin(out, 10, 64);
        pb_put_fixed64(out, 1, (uint64_t)(e->time_ns / NS_PER_US));
        put_text(out, 2, zipkin_annotation(e, &z->scratch));
        pb_end(out, annotation);
    }
    zipkin_tags_each(b, row, &z->scratch, put_tag, z);
    pb_end(out, span);
}

status zipkin_proto_encode(const batch *b, str fallback_service, buf *out, error *err)
{
    writer z = { .out = out };
    buf_init(&z.scratch, out->limit);
    for (uint32_t i = 0; i < b->spans.count; i++)
        put_span(&z, b, i, fallback_service);
    status st = buf_check(out, err, "a request with spans");
    if (st == STATUS_OK)
        st = buf_check(&z.scratch, err, "a span's attribute");
    buf_done(&z.scratch);
    return st;
}
