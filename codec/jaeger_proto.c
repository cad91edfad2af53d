// SPDX-License-Identifier: Apache-2.0
/* jaeger.api_v2.PostSpansRequest in; see jaeger.h. A batch's process may come after its spans, and
 * a span may have a process of its own. Text that is not UTF-8 is repaired. */
#include "codec/jaeger_model.h"
#include "codec/protobuf.h"

typedef struct {
    span_builder build;
    arena *memory;
    map processes;     /* a span's own process, as its bytes, to resource index */
    uint32_t resource; /* of the batch */
    uint32_t index;
} decoder;

/* Reads one field of a message, or passes over it; false on a failure. */
typedef bool field_reader(decoder *d, pb_reader *r, pb_field field, void *to);

/* Takes over the reader's problem; always false. */
static bool malformed(decoder *d, const pb_reader *r)
{
    return span_builder_fail(&d->build, STATUS_INVALID, "%s, at byte %zu",
                             r->problem ? r->problem : "a field has the wrong wire type",
                             (size_t)(r->at - r->base));
}

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

static bool read_bytes(pb_reader *r, pb_field field, str *ret)
{
    return field.wire == PB_LEN && pb_bytes(r, ret);
}

static bool read_text(decoder *d, pb_reader *r, pb_field field, str *ret)
{
    str s;
    if (!read_bytes(r, field, &s))
        return false;
    *ret = arena_utf8(d->memory, s);
    return ret->ptr || span_builder_full(&d->build);
}

static bool read_varint(pb_reader *r, pb_field field, uint64_t *ret)
{
    return field.wire == PB_VARINT && pb_varint(r, ret);
}

/* Ids that are shorter than usual have zeros in front. */
static bool read_id(decoder *d, pb_reader *r, pb_field field, uint8_t *to, size_t size)
{
    str bytes;
    if (!read_bytes(r, field, &bytes))
        return false;
    if (bytes.len > size)
        return span_builder_fail(&d->build, STATUS_INVALID,
                                 "an id of %zu bytes; it must have at most %zu", bytes.len, size);
    memset(to, 0, size);
    if (bytes.len)
        memcpy(to + size - bytes.len, bytes.ptr, bytes.len);
    return true;
}

/* ---- times: google.protobuf.Timestamp and Duration ---- */

static bool read_time_field(decoder *d UNUSED, pb_reader *r, pb_field field, void *to)
{
    uint64_t *parts = to;
    if (field.number == 1 || field.number == 2)
        return read_varint(r, field, &parts[field.number - 1]);
    return pb_skip(r, field);
}

static bool read_time(decoder *d, pb_reader *r, pb_field field, int64_t *ret)
{
    uint64_t parts[2] = { 0, 0 };
    return read_message(d, r, field, read_time_field, parts) &&
           jaeger_time(&d->build, (int64_t)parts[0], (int64_t)parts[1], ret);
}

/* ---- tags ---- */

typedef struct {
    str key;
    uint64_t type; /* STRING, BOOL, INT64, FLOAT64, BINARY */
    str text, bytes;
    uint64_t truth, i64;
    double f64;
} tag;

static bool read_tag_field(decoder *d, pb_reader *r, pb_field field, void *to)
{
    tag *t = to;
    switch (field.number) {
    case 1:
        return read_text(d, r, field, &t->key);
    case 2:
        return read_varint(r, field, &t->type);
    case 3:
        return read_text(d, r, field, &t->text);
    case 4:
        return read_varint(r, field, &t->truth);
    case 5:
        return read_varint(r, field, &t->i64);
    case 6:
        return field.wire == PB_FIXED64 && pb_double(r, &t->f64);
    case 7:
        return read_bytes(r, field, &t->bytes);
    default:
        return pb_skip(r, field);
    }
}

static bool read_tag(decoder *d, pb_reader *r, pb_field field, jaeger_tags *to)
{
    tag t = { .key = STR_EMPTY, .text = STR_EMPTY, .bytes = STR_EMPTY };
    if (!read_message(d, r, field, read_tag_field, &t))
        return false;
    const value by_type[] = { VALUE_S(t.text),
                              VALUE_B(t.truth != 0),
                              VALUE_I((int64_t)t.i64),
                              VALUE_D(t.f64),
                              { .type = VALUE_BYTES, .s = t.bytes } };
    if (t.type >= ARRAY_LEN(by_type))
        return span_builder_fail(&d->build, STATUS_INVALID,
                                 "a tag has the unknown type %llu; 0 to 4 are known",
                                 (unsigned long long)t.type);
    return span_builder_tag(&d->build, &to->list, &to->capacity, t.key, by_type[t.type]);
}

/* ---- processes ---- */

typedef struct {
    str service;
    jaeger_tags tags;
} process;

static bool read_process_field(decoder *d, pb_reader *r, pb_field field, void *to)
{
    process *p = to;
    if (field.number == 1)
        return read_text(d, r, field, &p->service);
    return field.number == 2 ? read_tag(d, r, field, &p->tags) : pb_skip(r, field);
}

static bool read_process(decoder *d, pb_reader *r, pb_field field, uint32_t resource)
{
    process p = { .service = STR_EMPTY };
    return read_message(d, r, field, read_process_field, &p) &&
           jaeger_process(&d->build, resource, p.service, &p.tags.list);
}

/* Equal bytes are one resource. */
static bool own_process(decoder *d, pb_reader *r, pb_field field, uint32_t *ret)
{
    pb_reader ahead = *r;
    str bytes;
    if (!read_bytes(&ahead, field, &bytes))
        return read_bytes(r, field, &bytes);
    uint64_t *at = map_put(&d->processes, bytes, BATCH_FULL, NULL);
    if (at && *at != BATCH_FULL) {
        *ret = (uint32_t)*at;
        *r = ahead;
        return true;
    }
    *ret = at ? batch_add_resource(d->build.b) : BATCH_FULL;
    if (*ret == BATCH_FULL)
        return span_builder_full(&d->build);
    *at = *ret;
    return read_process(d, r, field, *ret);
}

/* ---- spans ---- */

typedef struct {
    int64_t time_ns;
    jaeger_tags fields;
} log_entry;

static bool read_log_field(decoder *d, pb_reader *r, pb_field field, void *to)
{
    log_entry *e = to;
    if (field.number == 1)
        return read_time(d, r, field, &e->time_ns);
    return field.number == 2 ? read_tag(d, r, field, &e->fields) : pb_skip(r, field);
}

static bool read_reference_field(decoder *d, pb_reader *r, pb_field field, void *to)
{
    jaeger_reference *ref = to;
    uint64_t type;
    switch (field.number) {
    case 1:
        return read_id(d, r, field, ref->trace.bytes, sizeof(ref->trace));
    case 2:
        return read_id(d, r, field, ref->span.bytes, sizeof(ref->span));
    case 3:
        if (!read_varint(r, field, &type))
            return false;
        ref->type = (int64_t)type;
        return true;
    default:
        return pb_skip(r, field);
    }
}

static bool read_warning(decoder *d, pb_reader *r, pb_field field, jaeger_span *s)
{
    str text;
    value *items = span_builder_more(&d->build, s->warnings.items, s->warnings.count,
                                     &s->warning_capacity, sizeof(*items));
    if (!items || !read_text(d, r, field, &text))
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
static bool read_span_part(decoder *d, pb_reader *r, pb_field field, span_state *state)
{
    jaeger_span *s = &state->span;
    jaeger_reference ref = { .type = JAEGER_CHILD_OF };
    log_entry e = { 0 };
    switch (field.number) {
    case 4:
        return read_message(d, r, field, read_reference_field, &ref) &&
               jaeger_add_reference(&d->build, s, &ref);
    case 8:
        return read_tag(d, r, field, &s->tags);
    case 9:
        return read_message(d, r, field, read_log_field, &e) &&
               jaeger_event(&d->build, s, e.time_ns, &e.fields.list);
    case 10:
        return own_process(d, r, field, &state->resource);
    case 12:
        return read_warning(d, r, field, s);
    default:
        return pb_skip(r, field);
    }
}

static bool read_span_field(decoder *d, pb_reader *r, pb_field field, void *to)
{
    span_state *state = to;
    jaeger_span *s = &state->span;
    switch (field.number) {
    case 1:
        return read_id(d, r, field, s->trace.bytes, sizeof(s->trace));
    case 2:
        return read_id(d, r, field, s->span.bytes, sizeof(s->span));
    case 3:
        return read_text(d, r, field, &s->name);
    case 5:
        return read_varint(r, field, &s->flags);
    case 6:
        return read_time(d, r, field, &s->start_ns);
    case 7:
        return read_time(d, r, field, &s->duration_ns);
    default:
        return read_span_part(d, r, field, state);
    }
}

static bool read_batch_field(decoder *d, pb_reader *r, pb_field field, void *to UNUSED)
{
    if (field.number == 2)
        return read_process(d, r, field, d->resource);
    if (field.number != 1)
        return pb_skip(r, field);
    span_state state = { .span = { .name = STR_EMPTY }, .resource = d->resource };
    if (!read_message(d, r, field, read_span_field, &state) ||
        !jaeger_row(&d->build, state.resource, &state.span))
        return false;
    d->index++;
    return true;
}

static bool read_request_field(decoder *d, pb_reader *r, pb_field field, void *to)
{
    return field.number == 1 ? read_message(d, r, field, read_batch_field, to) : pb_skip(r, field);
}

status jaeger_proto_decode(batch *b, str bytes, error *err)
{
    decoder d = { .memory = &b->arena };
    pb_reader r = pb_read(bytes);
    span_builder_init(&d.build, b);
    map_init(&d.processes);
    d.resource = batch_add_resource(b);
    if (d.resource == BATCH_FULL)
        span_builder_full(&d.build);
    else
        read_fields(&d, &r, read_request_field, NULL);
    map_done(&d.processes);
    span_builder_done(&d.build);
    return d.build.code == STATUS_OK
               ? STATUS_OK
               : fail(err, d.build.code, "span %u: %s", d.index, d.build.problem);
}
