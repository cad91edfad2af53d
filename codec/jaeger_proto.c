// SPDX-License-Identifier: Apache-2.0
/* jaeger.api_v2.PostSpansRequest in; see jaeger.h. A batch's process may come after its spans, and
 * a span may have a process of its own. Text that is not UTF-8 is repaired. */
#include "codec/jaeger_model.h"
#include "codec/span_proto.h"

typedef struct {
    span_builder build; /* first: see span_proto.h */
    map processes;      /* a span's own process, as its bytes, to resource index */
    uint32_t resource;  /* of the batch */
    uint32_t index;
} decoder;

static decoder *decoder_of(span_builder *d)
{
    return (decoder *)d;
}

/* ---- times: google.protobuf.Timestamp and Duration ---- */

static bool read_time_field(span_builder *d UNUSED, pb_reader *r, pb_field field, void *to)
{
    uint64_t *parts = to;
    if (field.number == 1 || field.number == 2)
        return span_proto_varint(r, field, &parts[field.number - 1]);
    return pb_skip(r, field);
}

static bool read_time(span_builder *d, pb_reader *r, pb_field field, int64_t *ret)
{
    uint64_t parts[2] = { 0, 0 };
    return span_proto_message(d, r, field, read_time_field, parts) &&
           jaeger_time(d, (int64_t)parts[0], (int64_t)parts[1], ret);
}

/* ---- tags ---- */

typedef struct {
    str key;
    uint64_t type; /* STRING, BOOL, INT64, FLOAT64, BINARY */
    str text, bytes;
    uint64_t truth, i64;
    double f64;
} tag;

static bool read_tag_field(span_builder *d, pb_reader *r, pb_field field, void *to)
{
    tag *t = to;
    switch (field.number) {
    case 1:
        return span_proto_text(d, r, field, &t->key);
    case 2:
        return span_proto_varint(r, field, &t->type);
    case 3:
        return span_proto_text(d, r, field, &t->text);
    case 4:
        return span_proto_varint(r, field, &t->truth);
    case 5:
        return span_proto_varint(r, field, &t->i64);
    case 6:
        return field.wire == PB_FIXED64 && pb_double(r, &t->f64);
    case 7:
        return span_proto_bytes(r, field, &t->bytes);
    default:
        return pb_skip(r, field);
    }
}

static bool read_tag(span_builder *d, pb_reader *r, pb_field field, jaeger_tags *to)
{
    tag t = { .key = STR_EMPTY, .text = STR_EMPTY, .bytes = STR_EMPTY };
    if (!span_proto_message(d, r, field, read_tag_field, &t))
        return false;
    const value by_type[] = { VALUE_S(t.text),
                              VALUE_B(t.truth != 0),
                              VALUE_I((int64_t)t.i64),
                              VALUE_D(t.f64),
                              { .type = VALUE_BYTES, .s = t.bytes } };
    if (t.type >= ARRAY_LEN(by_type))
        return span_builder_fail(d, STATUS_INVALID,
                                 "a tag has the unknown type %llu; 0 to 4 are known",
                                 (unsigned long long)t.type);
    return span_builder_tag(d, &to->list, &to->capacity, t.key, by_type[t.type]);
}

/* ---- processes ---- */

typedef struct {
    str service;
    jaeger_tags tags;
} process;

static bool read_process_field(span_builder *d, pb_reader *r, pb_field field, void *to)
{
    process *p = to;
    if (field.number == 1)
        return span_proto_text(d, r, field, &p->service);
    return field.number == 2 ? read_tag(d, r, field, &p->tags) : pb_skip(r, field);
}

static bool read_process(span_builder *d, pb_reader *r, pb_field field, uint32_t resource)
{
    process p = { .service = STR_EMPTY };
    return span_proto_message(d, r, field, read_process_field, &p) &&
           jaeger_process(d, resource, p.service, &p.tags.list);
}

/* Equal bytes are one resource. */
static bool own_process(span_builder *d, pb_reader *r, pb_field field, uint32_t *ret)
{
    pb_reader ahead = *r;
    str bytes;
    if (!span_proto_bytes(&ahead, field, &bytes))
        return span_proto_bytes(r, field, &bytes);
    uint64_t *at = map_put(&decoder_of(d)->processes, bytes, BATCH_FULL, NULL);
    if (at && *at != BATCH_FULL) {
        *ret = (uint32_t)*at;
        *r = ahead;
        return true;
    }
    *ret = at ? batch_add_resource(d->b) : BATCH_FULL;
    if (*ret == BATCH_FULL)
        return span_builder_full(d);
    *at = *ret;
    return read_process(d, r, field, *ret);
}

/* ---- spans ---- */

typedef struct {
    int64_t time_ns;
    jaeger_tags fields;
} log_entry;

static bool read_log_field(span_builder *d, pb_reader *r, pb_field field, void *to)
{
    log_entry *e = to;
    if (field.number == 1)
        return read_time(d, r, field, &e->time_ns);
    return field.number == 2 ? read_tag(d, r, field, &e->fields) : pb_skip(r, field);
}

static bool read_reference_field(span_builder *d, pb_reader *r, pb_field field, void *to)
{
    jaeger_reference *ref = to;
    uint64_t type;
    switch (field.number) {
    case 1:
        return span_proto_id(d, r, field, ref->trace.bytes, sizeof(ref->trace));
    case 2:
        return span_proto_id(d, r, field, ref->span.bytes, sizeof(ref->span));
    case 3:
        if (!span_proto_varint(r, field, &type))
            return false;
        ref->type = (int64_t)type;
        return true;
    default:
        return pb_skip(r, field);
    }
}

static bool read_warning(span_builder *d, pb_reader *r, pb_field field, jaeger_span *s)
{
    str text;
    value *items = span_builder_more(d, s->warnings.items, s->warnings.count, &s->warning_capacity,
                                     sizeof(*items));
    if (!items || !span_proto_text(d, r, field, &text))
        return false;
    s->warnings.items = items;
    items[s->warnings.count++] = VALUE_S(text);
    return true;
}

typedef struct {
    jaeger_span span;
    uint32_t resource;
} span_state;

/* The fields that repeat or have a structure. */
static bool read_span_part(span_builder *d, pb_reader *r, pb_field field, span_state *state)
{
    jaeger_span *s = &state->span;
    jaeger_reference ref = { .type = JAEGER_CHILD_OF };
    log_entry e = { 0 };
    switch (field.number) {
    case 4:
        return span_proto_message(d, r, field, read_reference_field, &ref) &&
               jaeger_add_reference(d, s, &ref);
    case 8:
        return read_tag(d, r, field, &s->tags);
    case 9:
        return span_proto_message(d, r, field, read_log_field, &e) &&
               jaeger_event(d, s, e.time_ns, &e.fields.list);
    case 10:
        return own_process(d, r, field, &state->resource);
    case 12:
        return read_warning(d, r, field, s);
    default:
        return pb_skip(r, field);
    }
}

static bool read_span_field(span_builder *d, pb_reader *r, pb_field field, void *to)
{
    span_state *state = to;
    jaeger_span *s = &state->span;
    switch (field.number) {
    case 1:
        return span_proto_id(d, r, field, s->trace.bytes, sizeof(s->trace));
    case 2:
        return span_proto_id(d, r, field, s->span.bytes, sizeof(s->span));
    case 3:
        return span_proto_text(d, r, field, &s->name);
    case 5:
        return span_proto_varint(r, field, &s->flags);
    case 6:
        return read_time(d, r, field, &s->start_ns);
    case 7:
        return read_time(d, r, field, &s->duration_ns);
    default:
        return read_span_part(d, r, field, state);
    }
}

static bool read_batch_field(span_builder *d, pb_reader *r, pb_field field, void *to UNUSED)
{
    if (field.number == 2)
        return read_process(d, r, field, decoder_of(d)->resource);
    if (field.number != 1)
        return pb_skip(r, field);
    span_state state = { .span = { .name = STR_EMPTY }, .resource = decoder_of(d)->resource };
    if (!span_proto_message(d, r, field, read_span_field, &state) ||
        !jaeger_row(d, state.resource, &state.span))
        return false;
    decoder_of(d)->index++;
    return true;
}

static bool read_request_field(span_builder *d, pb_reader *r, pb_field field, void *to)
{
    return field.number == 1 ? span_proto_message(d, r, field, read_batch_field, to)
                             : pb_skip(r, field);
}

status jaeger_proto_decode(batch *b, str bytes, error *err)
{
    decoder d = { .index = 0 };
    pb_reader r = pb_read(bytes);
    span_builder_init(&d.build, b);
    map_init(&d.processes);
    d.resource = batch_add_resource(b);
    if (d.resource == BATCH_FULL)
        span_builder_full(&d.build);
    else
        span_proto_fields(&d.build, &r, read_request_field, NULL);
    map_done(&d.processes);
    span_builder_done(&d.build);
    return d.build.code == STATUS_OK
               ? STATUS_OK
               : fail(err, d.build.code, "span %u: %s", d.index, d.build.problem);
}
