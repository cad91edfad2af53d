// SPDX-License-Identifier: Apache-2.0
/* Zipkin's protobuf, zipkin.proto3.ListOfSpans, in; see zipkin_read.h. Text that is not UTF-8 is
 * repaired, fields that it does not know are passed over. */
#include "codec/protobuf.h"
#include "codec/zipkin_model.h"

#include <arpa/inet.h>

typedef struct {
    zipkin_sink sink;
    arena *memory;
} decoder;

/* Takes over the reader's problem; always false. */
static bool malformed(decoder *d, const pb_reader *r)
{
    return span_builder_fail(&d->sink.build, STATUS_INVALID, "%s, at byte %zu",
                             r->problem ? r->problem : "a field has the wrong wire type",
                             (size_t)(r->at - r->base));
}

/* One field of a message, by its number; false on a failure. */
typedef bool field_reader(decoder *d, pb_reader *r, pb_field field, void *to);

static bool read_fields(decoder *d, pb_reader *r, field_reader *read, void *to)
{
    pb_field field;
    while (pb_next(r, &field))
        if (!read(d, r, field, to))
            return malformed(d, r);
    return !r->problem || malformed(d, r);
}

static bool read_message(decoder *d, pb_reader *r, pb_field field, field_reader *read, void *to)
{
    pb_reader inner;
    return field.wire == PB_LEN && pb_message(r, &inner) && read_fields(d, &inner, read, to);
}

static bool read_text(decoder *d, pb_reader *r, pb_field field, str *ret)
{
    str s;
    if (field.wire != PB_LEN || !pb_bytes(r, &s))
        return false;
    *ret = arena_utf8(d->memory, s);
    return ret->ptr || span_builder_full(&d->sink.build);
}

static bool read_varint(pb_reader *r, pb_field field, uint64_t *ret)
{
    return field.wire == PB_VARINT && pb_varint(r, ret);
}

static bool read_fixed(pb_reader *r, pb_field field, uint64_t *ret)
{
    return field.wire == PB_FIXED64 && pb_fixed64(r, ret);
}

/* Ids that are shorter than usual have zeros in front. */
static bool read_id(decoder *d, pb_reader *r, pb_field field, uint8_t *to, size_t size)
{
    str bytes;
    if (field.wire != PB_LEN || !pb_bytes(r, &bytes))
        return false;
    if (bytes.len > size)
        return span_builder_fail(&d->sink.build, STATUS_INVALID,
                                 "an id of %zu bytes; it must have at most %zu", bytes.len, size);
    memset(to, 0, size);
    if (bytes.len)
        memcpy(to + size - bytes.len, bytes.ptr, bytes.len);
    return true;
}

static bool read_address(decoder *d, pb_reader *r, pb_field field, int family, str *ret)
{
    char text[INET6_ADDRSTRLEN];
    size_t size = family == AF_INET ? 4 : 16;
    str bytes;
    if (field.wire != PB_LEN || !pb_bytes(r, &bytes))
        return false;
    if (bytes.len != size || !inet_ntop(family, bytes.ptr, text, sizeof(text)))
        return bytes.len == 0 ||
               span_builder_fail(&d->sink.build, STATUS_INVALID,
                                 "an IP address of %zu bytes; it must have %zu", bytes.len, size);
    *ret = arena_str(d->memory, str_c(text));
    return ret->ptr || span_builder_full(&d->sink.build);
}

static bool read_endpoint(decoder *d, pb_reader *r, pb_field field, void *to)
{
    zipkin_endpoint *e = to;
    uint64_t port;
    switch (field.number) {
    case 1:
        return read_text(d, r, field, &e->service);
    case 2:
        return read_address(d, r, field, AF_INET, &e->address);
    case 3:
        return read_address(d, r, field, AF_INET6, &e->address);
    case 4:
        if (!read_varint(r, field, &port))
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

static bool read_annotation(decoder *d, pb_reader *r, pb_field field, void *to)
{
    annotation *a = to;
    if (field.number == 1)
        return read_fixed(r, field, &a->us);
    return field.number == 2 ? read_text(d, r, field, &a->value) : pb_skip(r, field);
}

typedef struct {
    str key, value;
} tag;

static bool read_tag(decoder *d, pb_reader *r, pb_field field, void *to)
{
    tag *t = to;
    if (field.number == 1)
        return read_text(d, r, field, &t->key);
    return field.number == 2 ? read_text(d, r, field, &t->value) : pb_skip(r, field);
}

static bool read_kind(pb_reader *r, pb_field field, uint8_t *ret)
{
    static const uint8_t kinds[] = { 0, SPAN_KIND_CLIENT, SPAN_KIND_SERVER, SPAN_KIND_PRODUCER,
                                     SPAN_KIND_CONSUMER };
    uint64_t kind;
    if (!read_varint(r, field, &kind))
        return false;
    *ret = kind < ARRAY_LEN(kinds) ? kinds[kind] : 0;
    return true;
}

static bool read_flag(pb_reader *r, pb_field field, bool *ret)
{
    uint64_t v;
    if (!read_varint(r, field, &v))
        return false;
    *ret = v != 0;
    return true;
}

static bool read_span(decoder *d, pb_reader *r, pb_field field, void *to)
{
    zipkin_span *s = to;
    annotation a = { 0, STR_EMPTY };
    tag t = { STR_EMPTY, STR_EMPTY };
    switch (field.number) {
    case 1:
        return read_id(d, r, field, s->trace.bytes, sizeof(s->trace));
    case 2:
        return read_id(d, r, field, s->parent.bytes, sizeof(s->parent));
    case 3:
        return read_id(d, r, field, s->span.bytes, sizeof(s->span));
    case 4:
        return read_kind(r, field, &s->kind);
    case 5:
        return read_text(d, r, field, &s->name);
    case 6:
        return read_fixed(r, field, &s->start_us);
    case 7:
        return read_varint(r, field, &s->duration_us);
    case 8:
        return read_message(d, r, field, read_endpoint, &s->local);
    case 9:
        return read_message(d, r, field, read_endpoint, &s->remote);
    case 10:
        return read_message(d, r, field, read_annotation, &a) &&
               zipkin_sink_annotation(&d->sink, s, a.us, a.value);
    case 11:
        return read_message(d, r, field, read_tag, &t) &&
               zipkin_sink_tag(&d->sink, s, t.key, t.value);
    case 12:
        return read_flag(r, field, &s->debug);
    case 13:
        return read_flag(r, field, &s->shared);
    default:
        return pb_skip(r, field);
    }
}

static bool read_list(decoder *d, pb_reader *r, pb_field field, void *to)
{
    uint32_t *index = to;
    zipkin_span s = { .name = STR_EMPTY };
    if (field.number != 1)
        return pb_skip(r, field);
    if (!read_message(d, r, field, read_span, &s) || !zipkin_sink_span(&d->sink, &s))
        return false;
    ++*index;
    return true;
}

status zipkin_proto_decode(batch *b, str bytes, const zipkin_options *options, error *err)
{
    decoder d = { .memory = &b->arena };
    uint32_t index = 0;
    pb_reader r = pb_read(bytes);
    zipkin_sink_init(&d.sink, b, options);
    read_fields(&d, &r, read_list, &index);
    return zipkin_sink_done(&d.sink, index, err);
}
