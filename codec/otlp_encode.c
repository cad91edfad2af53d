// SPDX-License-Identifier: Apache-2.0
/* OTLP requests as protobuf, written in one pass from the tables of otlp_tables.c. Defaults are
 * left out as proto3 does; a number point always has its number, a value that is not empty its
 * member. */
#include "codec/histogram.h"
#include "codec/otlp_model.h"
#include "codec/protobuf.h"

/* Guesses of encoded lengths; see pb_begin. */
enum { ROW_EXPECTED = 256, PART_EXPECTED = 64, CHILDREN_EXPECTED = 128 };

typedef struct {
    buf *out;
    bool own; /* with sonde's own field */
    otlp_source source;
} encoder;

static void encode_value(buf *out, uint32_t number, const value *v);

/* ---- attributes ---- */

static size_t scalar_size(const value *v)
{
    switch (v->type) {
    case VALUE_STR:
    case VALUE_BYTES:
        return 1 + pb_varint_size(v->s.len) + v->s.len;
    case VALUE_BOOL:
        return 2;
    case VALUE_I64:
        return 1 + pb_varint_size((uint64_t)v->i64);
    case VALUE_F64:
        return 9;
    default:
        return 0;
    }
}

/* Field numbers of AnyValue and their wire types, by value_type. */
static const uint8_t any_tag[] = {
    [VALUE_STR] = 1 << 3 | PB_LEN,    [VALUE_BOOL] = 2 << 3 | PB_VARINT,
    [VALUE_I64] = 3 << 3 | PB_VARINT, [VALUE_F64] = 4 << 3 | PB_FIXED64,
    [VALUE_ARRAY] = 5 << 3 | PB_LEN,  [VALUE_MAP] = 6 << 3 | PB_LEN,
    [VALUE_BYTES] = 7 << 3 | PB_LEN,
};

static uint8_t *write_scalar(uint8_t *at, const value *v)
{
    uint64_t bits;
    switch (v->type) {
    case VALUE_STR:
    case VALUE_BYTES:
        *at++ = any_tag[v->type];
        at = pb_write_varint(at, v->s.len);
        if (v->s.len)
            memcpy(at, v->s.ptr, v->s.len);
        return at + v->s.len;
    case VALUE_BOOL:
        *at++ = any_tag[VALUE_BOOL];
        *at++ = v->b;
        return at;
    case VALUE_I64:
        *at++ = any_tag[VALUE_I64];
        return pb_write_varint(at, (uint64_t)v->i64);
    case VALUE_F64:
        *at++ = any_tag[VALUE_F64];
        memcpy(&bits, &v->f64, 8);
        bits = htole64(bits);
        memcpy(at, &bits, 8);
        return at + 8;
    default:
        return at;
    }
}

/* A KeyValue with a value that holds no others: its lengths are known beforehand. */
static void encode_flat_attr(buf *out, uint32_t number, const attr *a)
{
    size_t value_size = scalar_size(&a->value);
    size_t key_size = a->key.len ? 1 + pb_varint_size(a->key.len) + a->key.len : 0;
    size_t size = key_size + 1 + pb_varint_size(value_size) + value_size;
    if (!buf_reserve(out, size + 1 + 10))
        return;
    uint8_t *start = (uint8_t *)out->ptr + out->len;
    uint8_t *at = start;
    *at++ = (uint8_t)(number << 3 | PB_LEN);
    at = pb_write_varint(at, size);
    if (a->key.len) {
        *at++ = 1 << 3 | PB_LEN;
        at = pb_write_varint(at, a->key.len);
        memcpy(at, a->key.ptr, a->key.len);
        at += a->key.len;
    }
    *at++ = 2 << 3 | PB_LEN;
    at = pb_write_varint(at, value_size);
    at = write_scalar(at, &a->value);
    out->len += (size_t)(at - start);
}

/* Most attributes are texts that are so short that all lengths are of one byte. */
static inline bool encode_short_text(buf *out, uint32_t number, const attr *a)
{
    size_t key = a->key.len, text = a->value.s.len;
    if (a->value.type != VALUE_STR || key == 0 || key + text > 120 ||
        !buf_reserve(out, 8 + key + text))
        return false;
    uint8_t *at = (uint8_t *)out->ptr + out->len;
    at[0] = (uint8_t)(number << 3 | PB_LEN);
    at[1] = (uint8_t)(key + text + 6);
    at[2] = 1 << 3 | PB_LEN;
    at[3] = (uint8_t)key;
    memcpy(at + 4, a->key.ptr, key);
    at += 4 + key;
    at[0] = 2 << 3 | PB_LEN;
    at[1] = (uint8_t)(text + 2);
    at[2] = 1 << 3 | PB_LEN;
    at[3] = (uint8_t)text;
    if (text)
        memcpy(at + 4, a->value.s.ptr, text);
    out->len += 8 + key + text;
    return true;
}

static void encode_attrs(buf *out, uint32_t number, const attrs *list)
{
    for (uint32_t i = 0; i < list->count; i++) {
        const attr *a = &list->items[i];
        if (LIKELY(encode_short_text(out, number, a)))
            continue;
        if (LIKELY(a->value.type != VALUE_ARRAY && a->value.type != VALUE_MAP)) {
            encode_flat_attr(out, number, a);
            continue;
        }
        pb_mark mark = pb_begin(out, number, PART_EXPECTED);
        if (a->key.len)
            pb_put_bytes(out, 1, a->key);
        encode_value(out, 2, &a->value);
        pb_end(out, mark);
    }
}

/* An AnyValue in a field of its own. */
static void encode_value(buf *out, uint32_t number, const value *v)
{
    if (v->type != VALUE_ARRAY && v->type != VALUE_MAP) {
        size_t size = scalar_size(v);
        if (!buf_reserve(out, size + 5 + 10))
            return;
        uint8_t *start = (uint8_t *)out->ptr + out->len;
        uint8_t *at = pb_write_varint(start, (uint64_t)number << 3 | PB_LEN);
        at = write_scalar(pb_write_varint(at, size), v);
        out->len += (size_t)(at - start);
        return;
    }
    pb_mark any = pb_begin(out, number, PART_EXPECTED);
    pb_mark list = pb_begin(out, any_tag[v->type] >> 3, PART_EXPECTED);
    if (v->type == VALUE_MAP)
        encode_attrs(out, 1, &v->map);
    for (uint32_t i = 0; v->type == VALUE_ARRAY && i < v->array.count; i++)
        encode_value(out, 1, &v->array.items[i]);
    pb_end(out, list);
    pb_end(out, any);
}

/* ---- fields by table ---- */

static void encode_fields(encoder *e, const otlp_message *m, const void *row, uint32_t index);

static void encode_packed(buf *out, uint32_t number, const otlp_field *field, const void *row)
{
    const uint64_t *items = *(uint64_t **)otlp_at(row, field->offset);
    uint32_t count = *(uint32_t *)otlp_at(row, field->aux);
    if (!count)
        return;
    bool varints = field->kind == OTLP_VARINTS;
    pb_mark mark = pb_begin(out, number, (size_t)count * (varints ? 2 : 8));
    if (buf_reserve(out, (size_t)count * (varints ? 10 : 8))) {
        uint8_t *start = (uint8_t *)out->ptr + out->len;
        uint8_t *at = start;
        for (uint32_t i = 0; i < count; i++) {
            uint64_t bits = htole64(items[i]);
            if (varints) {
                at = pb_write_varint(at, items[i]);
            } else {
                memcpy(at, &bits, 8);
                at += 8;
            }
        }
        out->len += (size_t)(at - start);
    }
    pb_end(out, mark);
}

static void encode_children(encoder *e, uint32_t number, const otlp_field *field, uint32_t parent)
{
    uint32_t count = otlp_child_count(&e->source, field, parent);
    otlp_level level = field->message->level;
    size_t expected = level == LEVEL_ROW ? ROW_EXPECTED : CHILDREN_EXPECTED;
    if (level == LEVEL_RESOURCE || level == LEVEL_SCOPE)
        expected = (size_t)batch_row_count(e->source.b) * ROW_EXPECTED / MAX(count, 1u);
    for (uint32_t i = 0; i < count && !e->out->failed; i++) {
        otlp_row row;
        uint32_t index = otlp_load(&e->source, field, parent, i, &row);
        pb_mark mark = pb_begin(e->out, number, expected);
        encode_fields(e, field->message, &row, index);
        pb_end(e->out, mark);
    }
}

/* A part that would be empty is left out. */
static void encode_part(encoder *e, uint32_t number, const otlp_field *field, const void *part)
{
    size_t before = e->out->len;
    pb_mark mark = pb_begin(e->out, number, PART_EXPECTED);
    encode_fields(e, field->message, part, 0);
    if (e->out->len == mark.at)
        e->out->len = before;
    else
        pb_end(e->out, mark);
}

static void encode_parts(encoder *e, uint32_t number, const otlp_field *field, const void *row)
{
    const char *items = *(char **)otlp_at(row, field->offset);
    uint32_t count = *(uint32_t *)otlp_at(row, field->aux);
    for (uint32_t i = 0; i < count; i++) {
        pb_mark mark = pb_begin(e->out, number, PART_EXPECTED);
        encode_fields(e, field->message, items + (size_t)i * field->message->size, 0);
        pb_end(e->out, mark);
    }
}

static void encode_number(buf *out, uint32_t number, const otlp_field *field, const void *row)
{
    uint64_t bits = *(uint64_t *)otlp_at(row, field->offset);
    bool put = bits != 0;
    if (field->kind == OTLP_OPTIONAL)
        put = *(bool *)otlp_at(row, field->aux);
    else if (field->kind == OTLP_AS_DOUBLE || field->kind == OTLP_AS_INT)
        put = *(uint8_t *)otlp_at(row, field->aux) == (field->kind == OTLP_AS_INT);
    if (put)
        pb_put_fixed64(out, number, bits);
}

static void encode_small(buf *out, uint32_t number, const otlp_field *field, const void *at)
{
    switch (field->kind) {
    case OTLP_FIXED32:
        if (*(const uint32_t *)at)
            pb_put_fixed32(out, number, *(const uint32_t *)at);
        break;
    case OTLP_UINT32:
        if (*(const uint32_t *)at)
            pb_put_varint(out, number, *(const uint32_t *)at);
        break;
    case OTLP_SINT32:
        if (*(const int32_t *)at)
            pb_put_sint(out, number, *(const int32_t *)at);
        break;
    default: /* OTLP_ENUM, OTLP_BOOL */
        if (*(const uint8_t *)at)
            pb_put_varint(out, number, *(const uint8_t *)at);
        break;
    }
}

static void encode_bytes(buf *out, uint32_t number, const otlp_field *field, const void *at)
{
    if (field->kind == OTLP_STRING) {
        if (((const str *)at)->len)
            pb_put_bytes(out, number, *(const str *)at);
    } else if (field->kind == OTLP_TRACE_ID) {
        if (trace_id_is_set(*(const trace_id *)at))
            pb_put_bytes(out, number, str_n(at, sizeof(trace_id)));
    } else if (span_id_is_set(*(const span_id *)at)) {
        pb_put_bytes(out, number, str_n(at, sizeof(span_id)));
    }
}

static void encode_native(encoder *e, const histogram *h)
{
    if (!h || !e->own)
        return;
    pb_mark mark = pb_begin(e->out, OTLP_NATIVE_NUMBER, PART_EXPECTED);
    histogram_encode(e->out, h);
    pb_end(e->out, mark);
}

static void encode_field(encoder *e, uint32_t number, const otlp_field *field, const void *row,
                         uint32_t index)
{
    const void *at = otlp_at(row, field->offset);
    switch ((otlp_kind)field->kind) {
    case OTLP_STRING:
    case OTLP_TRACE_ID:
    case OTLP_SPAN_ID:
        encode_bytes(e->out, number, field, at);
        break;
    case OTLP_TIME:
    case OTLP_FIXED64:
    case OTLP_DOUBLE:
    case OTLP_OPTIONAL:
    case OTLP_AS_DOUBLE:
    case OTLP_AS_INT:
        encode_number(e->out, number, field, row);
        break;
    case OTLP_ATTRIBUTES:
        encode_attrs(e->out, number, at);
        break;
    case OTLP_VALUE:
        if (((const value *)at)->type != VALUE_EMPTY)
            encode_value(e->out, number, at);
        break;
    case OTLP_FIXED64S:
    case OTLP_VARINTS:
    case OTLP_DOUBLES:
        encode_packed(e->out, number, field, row);
        break;
    case OTLP_NATIVE:
        encode_native(e, *(const histogram *const *)at);
        break;
    case OTLP_MESSAGE:
        encode_part(e, number, field, at);
        break;
    case OTLP_MESSAGES:
        encode_parts(e, number, field, row);
        break;
    case OTLP_CHILD:
        encode_children(e, number, field, index);
        break;
    default:
        encode_small(e->out, number, field, at);
        break;
    }
}

/* index: of the row in its table, for its children. */
static void encode_fields(encoder *e, const otlp_message *m, const void *row, uint32_t index)
{
    for (uint32_t number = 1; number <= OTLP_FIELD_MAX; number++)
        if (m->fields[number].kind != OTLP_NONE)
            encode_field(e, number, &m->fields[number], row, index);
}

static status encode(const batch *b, bool own, buf *out, error *err)
{
    encoder e = { .out = out, .own = own };
    if (!otlp_source_init(&e.source, b))
        return fail(err, STATUS_NO_MEMORY, "no memory to encode %u rows", batch_row_count(b));
    encode_fields(&e, &otlp_requests[b->signal], b, 0);
    otlp_source_done(&e.source);
    return buf_check(out, err, "an encoded OTLP request");
}

status otlp_encode(const batch *b, buf *out, error *err)
{
    return encode(b, false, out, err);
}

status otlp_encode_own(const batch *b, buf *out, error *err)
{
    return encode(b, true, out, err);
}
