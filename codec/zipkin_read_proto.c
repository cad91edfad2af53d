// SPDX-License-Identifier: Apache-2.0
/* Zipkin's protobuf, zipkin.proto3.ListOfSpans, in; see zipkin_read.h. Text that is not UTF-8 is
 * repaired, fields that it does not know are passed over. */
#include "codec/span_proto.h"
#include "codec/zipkin_model.h"

#include <arpa/inet.h>

/* Its first member is the builder. */
static zipkin_sink *sink_of(span_builder *d)
{
    return (zipkin_sink *)d;
}

static bool read_address(span_builder *d, pb_reader *r, pb_field field, int family, str *ret)
{
    char text[INET6_ADDRSTRLEN];
    size_t size = family == AF_INET ? 4 : 16;
    str bytes;
    if (field.wire != PB_LEN || !pb_bytes(r, &bytes))
        return false;
    if (bytes.len != size || !inet_ntop(family, bytes.ptr, text, sizeof(text)))
        return bytes.len == 0 ||
               span_builder_fail(d, STATUS_INVALID, "an IP address of %zu bytes; it must have %zu",
                                 bytes.len, size);
    *ret = arena_str(&d->b->arena, str_c(text));
    return ret->ptr || span_builder_full(d);
}

static bool read_endpoint(span_builder *d, pb_reader *r, pb_field field, void *to)
{
    zipkin_endpoint *e = to;
    uint64_t port;
    switch (field.number) {
    case 1:
        return span_proto_text(d, r, field, &e->service);
    case 2:
        return read_address(d, r, field, AF_INET, &e->address);
    case 3:
        return read_address(d, r, field, AF_INET6, &e->address);
    case 4:
        if (!span_proto_varint(r, field, &port))
            return false;
        e->port = port <= UINT16_MAX ? (int64_t)port : 0;
        return true;
    default:
        return pb_skip(r, field);
    }
}

typedef struct {
    uint64_t us;
    str value;
} annotation;

static bool read_annotation(span_builder *d, pb_reader *r, pb_field field, void *to)
{
    annotation *a = to;
    if (field.number == 1)
        return span_proto_fixed64(r, field, &a->us);
    return field.number == 2 ? span_proto_text(d, r, field, &a->value) : pb_skip(r, field);
}

typedef struct {
    str key, value;
} tag;

static bool read_tag(span_builder *d, pb_reader *r, pb_field field, void *to)
{
    tag *t = to;
    if (field.number == 1)
        return span_proto_text(d, r, field, &t->key);
    return field.number == 2 ? span_proto_text(d, r, field, &t->value) : pb_skip(r, field);
}

static bool read_kind(pb_reader *r, pb_field field, uint8_t *ret)
{
    static const uint8_t kinds[] = { 0, SPAN_KIND_CLIENT, SPAN_KIND_SERVER, SPAN_KIND_PRODUCER,
                                     SPAN_KIND_CONSUMER };
    uint64_t kind;
    if (!span_proto_varint(r, field, &kind))
        return false;
    *ret = kind < ARRAY_LEN(kinds) ? kinds[kind] : 0;
    return true;
}

static bool read_flag(pb_reader *r, pb_field field, bool *ret)
{
    uint64_t v;
    if (!span_proto_varint(r, field, &v))
        return false;
    *ret = v != 0;
    return true;
}

static bool read_span(span_builder *d, pb_reader *r, pb_field field, void *to)
{
    zipkin_span *s = to;
    annotation a = { 0, STR_EMPTY };
    tag t = { STR_EMPTY, STR_EMPTY };
    switch (field.number) {
    case 1:
        return span_proto_id(d, r, field, s->trace.bytes, sizeof(s->trace));
    case 2:
        return span_proto_id(d, r, field, s->parent.bytes, sizeof(s->parent));
    case 3:
        return span_proto_id(d, r, field, s->span.bytes, sizeof(s->span));
    case 4:
        return read_kind(r, field, &s->kind);
    case 5:
        return span_proto_text(d, r, field, &s->name);
    case 6:
        return span_proto_fixed64(r, field, &s->start_us);
    case 7:
        return span_proto_varint(r, field, &s->duration_us);
    case 8:
        return span_proto_message(d, r, field, read_endpoint, &s->local);
    case 9:
        return span_proto_message(d, r, field, read_endpoint, &s->remote);
    case 10:
        return span_proto_message(d, r, field, read_annotation, &a) &&
               zipkin_sink_annotation(sink_of(d), s, a.us, a.value);
    case 11:
        return span_proto_message(d, r, field, read_tag, &t) &&
               zipkin_sink_tag(sink_of(d), s, t.key, t.value);
    case 12:
        return read_flag(r, field, &s->debug);
    case 13:
        return read_flag(r, field, &s->shared);
    default:
        return pb_skip(r, field);
    }
}

static bool read_list(span_builder *d, pb_reader *r, pb_field field, void *to)
{
    uint32_t *index = to;
    zipkin_span s = { .name = STR_EMPTY };
    if (field.number != 1)
        return pb_skip(r, field);
    if (!span_proto_message(d, r, field, read_span, &s) || !zipkin_sink_span(sink_of(d), &s))
        return false;
    ++*index;
    return true;
}

status zipkin_proto_decode(batch *b, str bytes, const zipkin_options *options, error *err)
{
    zipkin_sink sink;
    uint32_t index = 0;
    pb_reader r = pb_read(bytes);
    zipkin_sink_init(&sink, b, options);
    span_proto_fields(&sink.build, &r, read_list, &index);
    return zipkin_sink_done(&sink, index, err);
}
