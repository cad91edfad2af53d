// SPDX-License-Identifier: Apache-2.0
/* jaeger.thrift's Batch in; see jaeger.h. Times are microseconds, ids pairs of 64-bit numbers. Text
 * that is not UTF-8 is repaired, fields that it does not know are passed over. */
#include "base/clock.h"
#include "codec/jaeger_model.h"

typedef struct {
    span_builder build;
    uint32_t resource, index;
} decoder;

/* Reads one field of a structure, or passes over it; false on a failure. */
typedef bool field_reader(decoder *d, thrift_reader *r, thrift_field field, void *to);

/* Takes over the reader's problem; always false. */
static bool malformed(decoder *d, const thrift_reader *r)
{
    if (!r->problem)
        return false;
    return span_builder_fail(&d->build, STATUS_INVALID, "%s, at byte %zu", r->problem,
                             (size_t)(r->at - r->base));
}

static bool read_struct(decoder *d, thrift_reader *r, field_reader *read, void *to)
{
    thrift_field field;
    int16_t last = 0;
    while (thrift_next(r, &last, &field))
        if (!read(d, r, field, to))
            return malformed(d, r);
    return !r->problem || malformed(d, r);
}

static bool is_struct(thrift_reader *r, thrift_field field)
{
    return field.type == THRIFT_STRUCT ||
           thrift_fail(r, "a field that must be a structure is none");
}

static bool repaired(decoder *d, str text, str *ret)
{
    *ret = arena_utf8(&d->build.b->arena, text);
    return ret->ptr || span_builder_full(&d->build);
}

static bool read_text(decoder *d, thrift_reader *r, thrift_field field, str *ret)
{
    str text;
    return thrift_bytes(r, field, &text) && repaired(d, text, ret);
}

/* ---- tags ---- */

typedef struct {
    str key;
    int64_t type; /* STRING, DOUBLE, BOOL, LONG, BINARY */
    str text, bytes;
    double f64;
    bool truth;
    int64_t i64;
} tag;

static bool read_tag_field(decoder *d, thrift_reader *r, thrift_field field, void *to)
{
    tag *t = to;
    switch (field.id) {
    case 1:
        return read_text(d, r, field, &t->key);
    case 2:
        return thrift_integer(r, field, &t->type);
    case 3:
        return read_text(d, r, field, &t->text);
    case 4:
        return thrift_double(r, field, &t->f64);
    case 5:
        return thrift_bool(r, field, &t->truth);
    case 6:
        return thrift_integer(r, field, &t->i64);
    case 7:
        return thrift_bytes(r, field, &t->bytes);
    default:
        return thrift_skip(r, field);
    }
}

static bool value_of(decoder *d, const tag *t, value *ret)
{
    const value by_type[] = { VALUE_S(t->text),
                              VALUE_D(t->f64),
                              VALUE_B(t->truth),
                              VALUE_I(t->i64),
                              { .type = VALUE_BYTES, .s = t->bytes } };
    if (t->type < 0 || t->type >= (int64_t)ARRAY_LEN(by_type))
        return span_builder_fail(&d->build, STATUS_INVALID,
                                 "a tag has the unknown type %lld; 0 to 4 are known",
                                 (long long)t->type);
    *ret = by_type[t->type];
    return true;
}

static bool read_tags(decoder *d, thrift_reader *r, thrift_field field, jaeger_tags *to)
{
    uint32_t count;
    value v;
    if (!thrift_structs(r, field, &count))
        return false;
    for (uint32_t i = 0; i < count; i++) {
        tag t = { .key = STR_EMPTY, .text = STR_EMPTY, .bytes = STR_EMPTY };
        if (!read_struct(d, r, read_tag_field, &t) || !value_of(d, &t, &v) ||
            !span_builder_tag(&d->build, &to->list, &to->capacity, t.key, v))
            return false;
    }
    return true;
}

/* ---- spans ---- */

static void put_big_endian(uint8_t *to, int64_t v)
{
    for (unsigned i = 0; i < 8; i++)
        to[i] = (uint8_t)((uint64_t)v >> (56 - 8 * i));
}

static bool read_number(thrift_reader *r, thrift_field field, uint8_t *to)
{
    int64_t v;
    if (!thrift_integer(r, field, &v))
        return false;
    put_big_endian(to, v);
    return true;
}

static bool read_us(decoder *d, thrift_reader *r, thrift_field field, int64_t *ret)
{
    int64_t us;
    if (!thrift_integer(r, field, &us))
        return false;
    return jaeger_time(&d->build, us / (NS_PER_S / NS_PER_US),
                       us % (NS_PER_S / NS_PER_US) * NS_PER_US, ret);
}

static bool read_reference_field(decoder *d UNUSED, thrift_reader *r, thrift_field field, void *to)
{
    jaeger_reference *ref = to;
    switch (field.id) {
    case 1:
        return thrift_integer(r, field, &ref->type);
    case 2:
        return read_number(r, field, ref->trace.bytes + 8);
    case 3:
        return read_number(r, field, ref->trace.bytes);
    case 4:
        return read_number(r, field, ref->span.bytes);
    default:
        return thrift_skip(r, field);
    }
}

static bool read_references(decoder *d, thrift_reader *r, thrift_field field, jaeger_span *span)
{
    uint32_t count;
    if (!thrift_structs(r, field, &count))
        return false;
    for (uint32_t i = 0; i < count; i++) {
        jaeger_reference ref = { .type = JAEGER_CHILD_OF };
        if (!read_struct(d, r, read_reference_field, &ref) ||
            !jaeger_add_reference(&d->build, span, &ref))
            return false;
    }
    return true;
}

typedef struct {
    int64_t time_ns;
    jaeger_tags fields;
} log_entry;

static bool read_log_field(decoder *d, thrift_reader *r, thrift_field field, void *to)
{
    log_entry *e = to;
    if (field.id == 1)
        return read_us(d, r, field, &e->time_ns);
    return field.id == 2 ? read_tags(d, r, field, &e->fields) : thrift_skip(r, field);
}

static bool read_logs(decoder *d, thrift_reader *r, thrift_field field, jaeger_span *span)
{
    uint32_t count;
    if (!thrift_structs(r, field, &count))
        return false;
    for (uint32_t i = 0; i < count; i++) {
        log_entry e = { 0 };
        if (!read_struct(d, r, read_log_field, &e) ||
            !jaeger_event(&d->build, span, e.time_ns, &e.fields.list))
            return false;
    }
    return true;
}

static bool read_span_field(decoder *d, thrift_reader *r, thrift_field field, void *to)
{
    jaeger_span *s = to;
    int64_t flags;
    switch (field.id) {
    case 1:
        return read_number(r, field, s->trace.bytes + 8);
    case 2:
        return read_number(r, field, s->trace.bytes);
    case 3:
        return read_number(r, field, s->span.bytes);
    case 4:
        return read_number(r, field, s->parent.bytes);
    case 5:
        return read_text(d, r, field, &s->name);
    case 6:
        return read_references(d, r, field, s);
    case 7:
        if (!thrift_integer(r, field, &flags))
            return false;
        s->flags = (uint64_t)flags;
        return true;
    case 8:
        return read_us(d, r, field, &s->start_ns);
    case 9:
        return read_us(d, r, field, &s->duration_ns);
    case 10:
        return read_tags(d, r, field, &s->tags);
    case 11:
        return read_logs(d, r, field, s);
    default:
        return thrift_skip(r, field);
    }
}

static bool read_spans(decoder *d, thrift_reader *r, thrift_field field)
{
    uint32_t count;
    if (!thrift_structs(r, field, &count))
        return false;
    for (uint32_t i = 0; i < count; i++, d->index++) {
        jaeger_span s = { .name = STR_EMPTY };
        if (!read_struct(d, r, read_span_field, &s) || !jaeger_row(&d->build, d->resource, &s))
            return false;
    }
    return true;
}

/* ---- the batch ---- */

typedef struct {
    str service;
    jaeger_tags tags;
} process;

static bool read_process_field(decoder *d, thrift_reader *r, thrift_field field, void *to)
{
    process *p = to;
    if (field.id == 1)
        return read_text(d, r, field, &p->service);
    return field.id == 2 ? read_tags(d, r, field, &p->tags) : thrift_skip(r, field);
}

static bool read_batch_field(decoder *d, thrift_reader *r, thrift_field field, void *to UNUSED)
{
    process p = { .service = STR_EMPTY };
    switch (field.id) {
    case 1:
        return is_struct(r, field) && read_struct(d, r, read_process_field, &p) &&
               jaeger_process(&d->build, d->resource, p.service, &p.tags.list);
    case 2:
        return read_spans(d, r, field);
    default:
        return thrift_skip(r, field);
    }
}

static bool read_arguments_field(decoder *d, thrift_reader *r, thrift_field field, void *to)
{
    return field.id == 1 ? is_struct(r, field) && read_struct(d, r, read_batch_field, to)
                         : thrift_skip(r, field);
}

static status decode(batch *b, thrift_reader *r, field_reader *read, error *err)
{
    decoder d = { .index = 0 };
    span_builder_init(&d.build, b);
    d.resource = batch_add_resource(b);
    if (d.resource == BATCH_FULL)
        span_builder_full(&d.build);
    else
        read_struct(&d, r, read, NULL);
    span_builder_done(&d.build);
    return d.build.code == STATUS_OK
               ? STATUS_OK
               : fail(err, d.build.code, "span %u: %s", d.index, d.build.problem);
}

status jaeger_thrift_decode(batch *b, str bytes, thrift_protocol protocol, error *err)
{
    thrift_reader r = thrift_read(bytes, protocol);
    return decode(b, &r, read_batch_field, err);
}

status jaeger_agent_decode(batch *b, str bytes, thrift_protocol protocol, error *err)
{
    thrift_reader r = thrift_read(bytes, protocol);
    str name;
    if (!thrift_message(&r, &name))
        return fail(err, STATUS_INVALID, "%s", r.problem);
    if (!str_is(name, "emitBatch"))
        return fail(err, STATUS_UNSUPPORTED, "a call of \"%.*s\"; emitBatch is known",
                    (int)MIN(name.len, (size_t)64), name.ptr);
    return decode(b, &r, read_arguments_field, err);
}
