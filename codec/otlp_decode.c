// SPDX-License-Identifier: Apache-2.0
/* OTLP requests from protobuf. One interpreter walks the tables of otlp_tables.c; attributes and
 * values, which are most of every request, have code of their own. A failure is recorded where it
 * is seen and unwinds; each list on the way adds its index to the message. */
#include "codec/histogram.h"
#include "codec/otlp_model.h"
#include "codec/protobuf.h"

#include <inttypes.h>
#include <stdio.h>

typedef struct {
    otlp_sink sink;
    arena *memory;
} decoder;

static const uint8_t wire_of[] = {
    [OTLP_STRING] = PB_LEN,        [OTLP_TRACE_ID] = PB_LEN,     [OTLP_SPAN_ID] = PB_LEN,
    [OTLP_TIME] = PB_FIXED64,      [OTLP_FIXED64] = PB_FIXED64,  [OTLP_FIXED32] = PB_FIXED32,
    [OTLP_UINT32] = PB_VARINT,     [OTLP_SINT32] = PB_VARINT,    [OTLP_ENUM] = PB_VARINT,
    [OTLP_BOOL] = PB_VARINT,       [OTLP_DOUBLE] = PB_FIXED64,   [OTLP_OPTIONAL] = PB_FIXED64,
    [OTLP_AS_DOUBLE] = PB_FIXED64, [OTLP_AS_INT] = PB_FIXED64,   [OTLP_ATTRIBUTES] = PB_LEN,
    [OTLP_VALUE] = PB_LEN,         [OTLP_FIXED64S] = PB_FIXED64, [OTLP_VARINTS] = PB_VARINT,
    [OTLP_DOUBLES] = PB_FIXED64,   [OTLP_MESSAGE] = PB_LEN,      [OTLP_MESSAGES] = PB_LEN,
    [OTLP_CHILD] = PB_LEN,         [OTLP_NATIVE] = PB_LEN,
};

static bool malformed(decoder *d, const pb_reader *r)
{
    return otlp_fail(&d->sink, STATUS_INVALID, "%s, at byte %zu", r->problem,
                     (size_t)(r->at - r->base));
}

/* A message's loop ended: by its end, by the reader's problem, or by one deeper down. */
static bool finished(decoder *d, const pb_reader *r)
{
    return LIKELY(!r->problem) || malformed(d, r);
}

static bool wrong_wire(decoder *d, const char *name, const pb_reader *r)
{
    return otlp_fail(&d->sink, STATUS_INVALID, "%s has the wrong wire type, at byte %zu", name,
                     (size_t)(r->at - r->base));
}

/* ---- text ---- */

static inline bool is_ascii(str s)
{
    const uint64_t high = UINT64_C(0x8080808080808080);
    uint64_t any = 0, word;
    size_t i = 0;
    if (s.len >= 8) {
        for (; i + 8 <= s.len; i += 8) {
            memcpy(&word, s.ptr + i, 8);
            any |= word;
        }
        memcpy(&word, s.ptr + s.len - 8, 8);
        return ((any | word) & high) == 0;
    }
    for (; i < s.len; i++)
        any |= (uint8_t)s.ptr[i];
    return (any & 0x80) == 0;
}

static bool repair_text(decoder *d, str s, str *ret)
{
    str repaired = arena_utf8(d->memory, s);
    if (!repaired.ptr && s.len)
        return otlp_no_memory(&d->sink);
    d->sink.partial->repaired += repaired.ptr != s.ptr;
    *ret = repaired;
    return true;
}

static inline bool decode_text(decoder *d, pb_reader *r, str *ret)
{
    str s;
    if (UNLIKELY(!pb_bytes(r, &s)))
        return malformed(d, r);
    if (LIKELY(is_ascii(s))) {
        *ret = s;
        return true;
    }
    return repair_text(d, s, ret);
}

/* ---- values and attributes ---- */

enum { ANY_STRING = 1, ANY_BOOL, ANY_INT, ANY_DOUBLE, ANY_ARRAY, ANY_MAP, ANY_BYTES };
enum { KEY_VALUE_KEY = 1, KEY_VALUE_VALUE = 2, LIST_VALUES = 1 };

static bool decode_value(decoder *d, pb_reader *r, value *ret, uint32_t depth);

/* One KeyValue; *ret is written whole. */
static bool decode_attr(decoder *d, pb_reader *outer, attr *ret, uint32_t depth)
{
    pb_reader r;
    pb_field f;
    if (!pb_message(outer, &r))
        return malformed(d, outer);
    *ret = (attr){ .key = STR_EMPTY };
    while (pb_next(&r, &f)) {
        if (f.number != KEY_VALUE_KEY && f.number != KEY_VALUE_VALUE) {
            pb_skip(&r, f);
            continue;
        }
        if (f.wire != PB_LEN)
            return wrong_wire(d, f.number == KEY_VALUE_KEY ? "key" : "value", &r);
        if (f.number == KEY_VALUE_KEY ? !decode_text(d, &r, &ret->key)
                                      : !decode_value(d, &r, &ret->value, depth))
            return false;
    }
    return finished(d, &r);
}

/* The run of KeyValues that starts behind a tag that was just read. max 0: only memory limits. */
static bool decode_attrs(decoder *d, pb_reader *r, uint32_t number, attrs *list, uint32_t max,
                         uint32_t depth, const otlp_field *field)
{
    uint32_t run = pb_count_run(r, number);
    if (max && run > max - MIN(max, list->count))
        return otlp_fail(&d->sink, STATUS_LIMIT, "more attributes than the limit of %u", max) ||
               otlp_within(&d->sink, field, max);
    attr *items = otlp_extend(d->memory, list->items, list->count, run, sizeof(*items));
    if (!items)
        return otlp_no_memory(&d->sink);
    list->items = items;
    for (uint32_t i = 0; i < run; i++) {
        pb_field f;
        if (i > 0 && !pb_next(r, &f))
            return malformed(d, r);
        if (!decode_attr(d, r, &items[list->count], depth))
            return field ? otlp_within(&d->sink, field, list->count) : false;
        list->count++;
    }
    return true;
}

static bool decode_array(decoder *d, pb_reader *outer, value *ret, uint32_t depth)
{
    pb_reader r;
    pb_field f;
    if (!pb_message(outer, &r))
        return malformed(d, outer);
    *ret = (value){ .type = VALUE_ARRAY };
    while (pb_next(&r, &f)) {
        if (f.number != LIST_VALUES) {
            pb_skip(&r, f);
            continue;
        }
        if (f.wire != PB_LEN)
            return wrong_wire(d, "values", &r);
        uint32_t run = pb_count_run(&r, LIST_VALUES);
        values *list = &ret->array;
        value *items = otlp_extend(d->memory, list->items, list->count, run, sizeof(*items));
        if (!items)
            return otlp_no_memory(&d->sink);
        list->items = items;
        for (uint32_t i = 0; i < run; i++) {
            if (i > 0 && !pb_next(&r, &f))
                return malformed(d, &r);
            items[list->count] = (value){ .type = VALUE_EMPTY };
            if (!decode_value(d, &r, &items[list->count], depth + 1))
                return false;
            list->count++;
        }
    }
    return finished(d, &r);
}

static bool decode_map(decoder *d, pb_reader *outer, value *ret, uint32_t depth)
{
    pb_reader r;
    pb_field f;
    if (!pb_message(outer, &r))
        return malformed(d, outer);
    *ret = (value){ .type = VALUE_MAP };
    while (pb_next(&r, &f)) {
        if (f.number != LIST_VALUES) {
            pb_skip(&r, f);
            continue;
        }
        if (f.wire != PB_LEN)
            return wrong_wire(d, "values", &r);
        if (!decode_attrs(d, &r, LIST_VALUES, &ret->map, 0, depth + 1, NULL))
            return false;
    }
    return finished(d, &r);
}

static bool decode_scalar(decoder *d, pb_reader *r, pb_field f, value *ret)
{
    uint64_t v;
    switch (f.number) {
    case ANY_STRING:
        *ret = (value){ .type = VALUE_STR };
        return decode_text(d, r, &ret->s);
    case ANY_BYTES:
        *ret = (value){ .type = VALUE_BYTES };
        return pb_bytes(r, &ret->s) || malformed(d, r);
    case ANY_DOUBLE:
        *ret = (value){ .type = VALUE_F64 };
        return pb_double(r, &ret->f64) || malformed(d, r);
    default:
        if (!pb_varint(r, &v))
            return malformed(d, r);
        *ret = f.number == ANY_BOOL ? VALUE_B(v != 0) : VALUE_I((int64_t)v);
        return true;
    }
}

/* One AnyValue; of several members the last counts. *ret keeps what it had when there is none. */
static bool decode_value(decoder *d, pb_reader *outer, value *ret, uint32_t depth)
{
    static const uint8_t wires[] = {
        [ANY_STRING] = PB_LEN,     [ANY_BOOL] = PB_VARINT, [ANY_INT] = PB_VARINT,
        [ANY_DOUBLE] = PB_FIXED64, [ANY_ARRAY] = PB_LEN,   [ANY_MAP] = PB_LEN,
        [ANY_BYTES] = PB_LEN,
    };
    pb_reader r;
    pb_field f;
    if (!pb_message(outer, &r))
        return malformed(d, outer);
    if (UNLIKELY(depth > d->sink.limits.max_depth))
        return otlp_fail(&d->sink, STATUS_LIMIT, "a value is nested deeper than the limit of %u",
                         d->sink.limits.max_depth);
    while (pb_next(&r, &f)) {
        if (f.number > ANY_BYTES) {
            pb_skip(&r, f);
            continue;
        }
        if (f.wire != wires[f.number])
            return wrong_wire(d, "value", &r);
        if (f.number == ANY_ARRAY ? !decode_array(d, &r, ret, depth)
            : f.number == ANY_MAP ? !decode_map(d, &r, ret, depth)
                                  : !decode_scalar(d, &r, f, ret))
            return false;
    }
    return finished(d, &r);
}

/* ---- fields by table ---- */

static bool decode_fields(decoder *d, pb_reader *r, const otlp_message *m, void *target);

static bool decode_id(decoder *d, pb_reader *r, const otlp_field *field, uint8_t *to, size_t size)
{
    str s;
    if (!pb_bytes(r, &s))
        return malformed(d, r);
    if (UNLIKELY(s.len != size && s.len != 0))
        return otlp_fail(&d->sink, STATUS_INVALID, "%s has %zu bytes, not %zu or 0", field->name,
                         s.len, size);
    if (s.len)
        memcpy(to, s.ptr, size);
    else
        memset(to, 0, size);
    return true;
}

static bool decode_time(decoder *d, pb_reader *r, int64_t *to)
{
    uint64_t v;
    if (!pb_fixed64(r, &v))
        return malformed(d, r);
    if (UNLIKELY(v > INT64_MAX)) {
        d->sink.row_problem = "a time is past the year 2262";
        v = 0;
    }
    *to = (int64_t)v;
    return true;
}

static bool decode_native(decoder *d, pb_reader *r, const histogram **to)
{
    str bytes;
    if (!pb_bytes(r, &bytes))
        return malformed(d, r);
    histogram *h = ARENA_NEW(d->memory, histogram);
    if (!h)
        return otlp_no_memory(&d->sink);
    *to = h;
    if (!histogram_decode(d->memory, bytes, h))
        d->sink.row_problem = "its native histogram is damaged";
    return true;
}

static bool decode_varint(decoder *d, pb_reader *r, const otlp_field *field, void *to)
{
    uint64_t v;
    if (!pb_varint(r, &v))
        return malformed(d, r);
    switch (field->kind) {
    case OTLP_SINT32:
        *(int32_t *)to = (int32_t)pb_zigzag(v);
        break;
    case OTLP_BOOL:
        *(bool *)to = v != 0;
        break;
    case OTLP_ENUM: {
        uint64_t known = 0;
        while (known < v && field->values[known])
            known++;
        *(uint8_t *)to = field->values[known] ? (uint8_t)v : 0;
        break;
    }
    default:
        *(uint32_t *)to = (uint32_t)v;
        break;
    }
    return true;
}

static bool decode_packed(decoder *d, pb_reader *r, pb_wire wire, const otlp_field *field,
                          void *target)
{
    uint64_t **items = otlp_at(target, field->offset);
    uint32_t *count = otlp_at(target, field->aux);
    pb_reader sub = *r;
    if (wire == PB_LEN && !pb_message(r, &sub))
        return malformed(d, r);
    bool varints = field->kind == OTLP_VARINTS;
    uint64_t extra = 1;
    if (wire == PB_LEN) {
        size_t bytes = (size_t)(sub.end - sub.at);
        extra = varints ? 0 : bytes / 8;
        for (size_t i = 0; varints && i < bytes; i++)
            extra += sub.at[i] < 0x80;
        if (!varints && bytes % 8)
            return pb_fail(r, "a packed list of 8-byte values is cut short") || malformed(d, r);
    }
    uint64_t *to = extra > UINT32_MAX
                       ? NULL
                       : otlp_extend(d->memory, *items, *count, (uint32_t)extra, sizeof(*to));
    if (!to)
        return otlp_no_memory(&d->sink);
    *items = to;
    for (uint64_t i = 0; i < extra; i++)
        if (varints ? !pb_varint(&sub, &to[*count + i]) : !pb_fixed64(&sub, &to[*count + i]))
            return malformed(d, &sub);
    if (wire == PB_LEN && sub.at != sub.end)
        return pb_fail(&sub, "a varint is cut short") || malformed(d, &sub);
    *count += (uint32_t)extra;
    if (wire != PB_LEN)
        r->at = sub.at;
    return true;
}

static bool decode_messages(decoder *d, pb_reader *r, uint32_t number, const otlp_field *field,
                            void *target)
{
    char **items = otlp_at(target, field->offset);
    uint32_t *count = otlp_at(target, field->aux);
    size_t size = field->message->size;
    uint32_t run = pb_count_run(r, number);
    char *to = otlp_extend(d->memory, *items, *count, run, size);
    if (!to)
        return otlp_no_memory(&d->sink);
    *items = to;
    for (uint32_t i = 0; i < run; i++) {
        pb_field f;
        pb_reader sub;
        char *element = to + *count * size;
        memset(element, 0, size);
        if ((i > 0 && !pb_next(r, &f)) || !pb_message(r, &sub))
            return malformed(d, r);
        if (!decode_fields(d, &sub, field->message, element))
            return otlp_within(&d->sink, field, *count);
        ++*count;
    }
    return true;
}

static bool decode_child(decoder *d, pb_reader *r, const otlp_field *field)
{
    otlp_row row;
    pb_reader sub;
    if (!pb_message(r, &sub))
        return malformed(d, r);
    return otlp_open(&d->sink, field, &row) && decode_fields(d, &sub, field->message, &row) &&
           otlp_close(&d->sink, field, &row);
}

static bool decode_children(decoder *d, pb_reader *r, uint32_t number, const otlp_field *field)
{
    uint32_t run = 1;
    if (field->message->level == LEVEL_ROW) {
        run = pb_count_run(r, number);
        otlp_expect_rows(&d->sink, field, run);
    }
    for (uint32_t i = 0; i < run; i++) {
        pb_field f;
        if (i > 0 && !pb_next(r, &f))
            return malformed(d, r);
        if (!decode_child(d, r, field))
            return false;
    }
    return true;
}

static bool decode_nested(decoder *d, pb_reader *r, pb_field f, const otlp_field *field,
                          void *target)
{
    pb_reader sub;
    switch (field->kind) {
    case OTLP_ATTRIBUTES:
        return decode_attrs(d, r, f.number, otlp_at(target, field->offset),
                            d->sink.limits.max_attributes, 0, field);
    case OTLP_VALUE:
        return decode_value(d, r, otlp_at(target, field->offset), 0) ||
               otlp_within(&d->sink, field, UINT32_MAX);
    case OTLP_MESSAGES:
        return decode_messages(d, r, f.number, field, target);
    case OTLP_CHILD:
        return decode_children(d, r, f.number, field);
    default:
        if (!pb_message(r, &sub))
            return malformed(d, r);
        return decode_fields(d, &sub, field->message, otlp_at(target, field->offset)) ||
               otlp_within(&d->sink, field, UINT32_MAX);
    }
}

static bool decode_fixed(decoder *d, pb_reader *r, const otlp_field *field, void *target)
{
    uint64_t *to = otlp_at(target, field->offset);
    if (field->kind == OTLP_FIXED32)
        return pb_fixed32(r, otlp_at(target, field->offset)) || malformed(d, r);
    if (!pb_fixed64(r, to))
        return malformed(d, r);
    if (field->kind == OTLP_OPTIONAL)
        *(bool *)otlp_at(target, field->aux) = true;
    else if (field->kind == OTLP_AS_DOUBLE || field->kind == OTLP_AS_INT)
        *(uint8_t *)otlp_at(target, field->aux) = field->kind == OTLP_AS_INT;
    return true;
}

static bool decode_field(decoder *d, pb_reader *r, pb_field f, const otlp_field *field,
                         void *target)
{
    void *to = otlp_at(target, field->offset);
    switch ((otlp_kind)field->kind) {
    case OTLP_STRING:
        return decode_text(d, r, to);
    case OTLP_TRACE_ID:
        return decode_id(d, r, field, to, sizeof(trace_id));
    case OTLP_SPAN_ID:
        return decode_id(d, r, field, to, sizeof(span_id));
    case OTLP_TIME:
        return decode_time(d, r, to);
    case OTLP_UINT32:
    case OTLP_SINT32:
    case OTLP_ENUM:
    case OTLP_BOOL:
        return decode_varint(d, r, field, to);
    case OTLP_FIXED64:
    case OTLP_FIXED32:
    case OTLP_DOUBLE:
    case OTLP_OPTIONAL:
    case OTLP_AS_DOUBLE:
    case OTLP_AS_INT:
        return decode_fixed(d, r, field, target);
    case OTLP_FIXED64S:
    case OTLP_VARINTS:
    case OTLP_DOUBLES:
        return decode_packed(d, r, f.wire, field, target);
    case OTLP_NATIVE:
        return decode_native(d, r, to);
    default:
        return decode_nested(d, r, f, field, target);
    }
}

static bool is_packed(const otlp_field *field)
{
    return field->kind == OTLP_FIXED64S || field->kind == OTLP_VARINTS ||
           field->kind == OTLP_DOUBLES;
}

static bool decode_fields(decoder *d, pb_reader *r, const otlp_message *m, void *target)
{
    pb_field f;
    while (pb_next(r, &f)) {
        const otlp_field *field = otlp_field_of(m, f.number);
        if (UNLIKELY(field->kind == OTLP_NONE)) {
            pb_skip(r, f);
            continue;
        }
        if (UNLIKELY(f.wire != wire_of[field->kind]) && !(f.wire == PB_LEN && is_packed(field)))
            return wrong_wire(d, field->name, r);
        if (UNLIKELY(!decode_field(d, r, f, field, target)))
            return false;
    }
    return finished(d, r);
}

status otlp_decode(batch *b, str bytes, const otlp_limits *limits, otlp_partial *partial,
                   error *err)
{
    otlp_partial unused;
    decoder d = { .memory = &b->arena };
    otlp_sink_init(&d.sink, b, limits, partial ? partial : &unused, false);
    pb_reader r = pb_read(bytes);
    otlp_row nothing; /* requests have children only */
    if (!decode_fields(&d, &r, &otlp_requests[b->signal], &nothing))
        return otlp_sink_status(&d.sink, err);
    otlp_partial *p = d.sink.partial;
    if (p->repaired && !p->rejected)
        snprintf(p->message, sizeof(p->message),
                 "%" PRIu64 " texts were not UTF-8; their wrong bytes were replaced by U+FFFD",
                 p->repaired);
    return STATUS_OK;
}
