// SPDX-License-Identifier: Apache-2.0
/* OTLP requests as JSON, from the tables of otlp_tables.c: lowerCamelCase names, 64-bit integers in
 * quotes, ids in hexadecimal, enums as numbers; defaults left out as in otlp_encode.c. */
#include "codec/json.h"
#include "codec/otlp_model.h"

typedef struct {
    json_writer w;
    otlp_source source;
} encoder;

static void encode_fields(encoder *e, const otlp_message *m, const void *row, uint32_t index);

static void begin_field(encoder *e, const otlp_field *field)
{
    json_key(&e->w, str_c(field->json));
}

/* ---- values and attributes ---- */

static void encode_value(json_writer *w, const value *v);

static void encode_attrs(json_writer *w, const attrs *list)
{
    json_begin_array(w);
    for (uint32_t i = 0; i < list->count; i++) {
        json_begin_object(w);
        JSON_PUT(w, str, "key", list->items[i].key);
        json_key(w, STR("value"));
        encode_value(w, &list->items[i].value);
        json_end_object(w);
    }
    json_end_array(w);
}

static void encode_list(json_writer *w, const value *v)
{
    json_begin_object(w);
    json_key(w, STR("values"));
    if (v->type == VALUE_MAP) {
        encode_attrs(w, &v->map);
    } else {
        json_begin_array(w);
        for (uint32_t i = 0; i < v->array.count; i++)
            encode_value(w, &v->array.items[i]);
        json_end_array(w);
    }
    json_end_object(w);
}

static void encode_value(json_writer *w, const value *v)
{
    json_begin_object(w);
    switch (v->type) {
    case VALUE_EMPTY:
        break;
    case VALUE_STR:
        JSON_PUT(w, str, "stringValue", v->s);
        break;
    case VALUE_BOOL:
        JSON_PUT(w, bool, "boolValue", v->b);
        break;
    case VALUE_I64:
        JSON_PUT(w, i64_quoted, "intValue", v->i64);
        break;
    case VALUE_F64:
        JSON_PUT(w, f64, "doubleValue", v->f64);
        break;
    case VALUE_BYTES:
        JSON_PUT(w, base64, "bytesValue", v->s);
        break;
    case VALUE_ARRAY:
        json_key(w, STR("arrayValue"));
        encode_list(w, v);
        break;
    case VALUE_MAP:
        json_key(w, STR("kvlistValue"));
        encode_list(w, v);
        break;
    }
    json_end_object(w);
}

/* ---- fields by table ---- */

static void encode_packed(encoder *e, const otlp_field *field, const void *row)
{
    const uint64_t *items = *(uint64_t **)otlp_at(row, field->offset);
    uint32_t count = *(uint32_t *)otlp_at(row, field->aux);
    if (!count)
        return;
    begin_field(e, field);
    json_begin_array(&e->w);
    for (uint32_t i = 0; i < count; i++) {
        if (field->kind == OTLP_DOUBLES)
            json_f64(&e->w, ((const double *)items)[i]);
        else
            json_u64_quoted(&e->w, items[i]);
    }
    json_end_array(&e->w);
}

static void encode_children(encoder *e, const otlp_field *field, uint32_t parent)
{
    uint32_t count = otlp_child_count(&e->source, field, parent);
    bool list = field->message->level != LEVEL_DATA;
    if (count == 0)
        return;
    begin_field(e, field);
    if (list)
        json_begin_array(&e->w);
    for (uint32_t i = 0; i < count && !e->w.out->failed; i++) {
        otlp_row row;
        uint32_t index = otlp_load(&e->source, field, parent, i, &row);
        json_begin_object(&e->w);
        encode_fields(e, field->message, &row, index);
        json_end_object(&e->w);
    }
    if (list)
        json_end_array(&e->w);
}

/* A part that would be empty is left out. */
static void encode_part(encoder *e, const otlp_field *field, const void *part)
{
    buf *out = e->w.out;
    size_t before = out->len;
    bool comma = e->w.comma;
    begin_field(e, field);
    json_begin_object(&e->w);
    size_t empty = out->len;
    encode_fields(e, field->message, part, 0);
    if (out->len == empty) {
        out->len = before;
        e->w.comma = comma;
    } else {
        json_end_object(&e->w);
    }
}

static void encode_parts(encoder *e, const otlp_field *field, const void *row)
{
    const char *items = *(char **)otlp_at(row, field->offset);
    uint32_t count = *(uint32_t *)otlp_at(row, field->aux);
    if (!count)
        return;
    begin_field(e, field);
    json_begin_array(&e->w);
    for (uint32_t i = 0; i < count; i++) {
        json_begin_object(&e->w);
        encode_fields(e, field->message, items + (size_t)i * field->message->size, 0);
        json_end_object(&e->w);
    }
    json_end_array(&e->w);
}

static void encode_double(encoder *e, const otlp_field *field, const void *row)
{
    uint64_t bits = *(uint64_t *)otlp_at(row, field->offset);
    bool put = bits != 0;
    if (field->kind == OTLP_OPTIONAL)
        put = *(bool *)otlp_at(row, field->aux);
    else if (field->kind == OTLP_AS_DOUBLE)
        put = *(uint8_t *)otlp_at(row, field->aux) == 0;
    if (!put)
        return;
    begin_field(e, field);
    json_f64(&e->w, *(double *)otlp_at(row, field->offset));
}

static void encode_id(encoder *e, const otlp_field *field, const void *at)
{
    bool trace = field->kind == OTLP_TRACE_ID;
    if (trace ? !trace_id_is_set(*(const trace_id *)at) : !span_id_is_set(*(const span_id *)at))
        return;
    begin_field(e, field);
    json_hex(&e->w, at, trace ? sizeof(trace_id) : sizeof(span_id));
}

static void encode_integer(encoder *e, const otlp_field *field, const void *row)
{
    const void *at = otlp_at(row, field->offset);
    int64_t v;
    switch (field->kind) {
    case OTLP_FIXED32:
    case OTLP_UINT32:
        v = *(const uint32_t *)at;
        break;
    case OTLP_SINT32:
        v = *(const int32_t *)at;
        break;
    case OTLP_ENUM:
        v = *(const uint8_t *)at;
        break;
    default: /* OTLP_TIME, OTLP_FIXED64, OTLP_AS_INT */
        v = *(const int64_t *)at;
        break;
    }
    bool oneof = field->kind == OTLP_AS_INT;
    if (oneof ? *(uint8_t *)otlp_at(row, field->aux) != 1 : v == 0)
        return;
    begin_field(e, field);
    if (field->kind == OTLP_FIXED64)
        json_u64_quoted(&e->w, (uint64_t)v);
    else if (field->kind == OTLP_TIME || oneof)
        json_i64_quoted(&e->w, v);
    else
        json_i64(&e->w, v);
}

static void encode_attributes(encoder *e, const otlp_field *field, const attrs *list)
{
    if (!list->count)
        return;
    begin_field(e, field);
    encode_attrs(&e->w, list);
}

static void encode_field(encoder *e, const otlp_field *field, const void *row, uint32_t index)
{
    const void *at = otlp_at(row, field->offset);
    switch ((otlp_kind)field->kind) {
    case OTLP_STRING:
        if (((const str *)at)->len) {
            begin_field(e, field);
            json_str(&e->w, *(const str *)at);
        }
        break;
    case OTLP_TRACE_ID:
    case OTLP_SPAN_ID:
        encode_id(e, field, at);
        break;
    case OTLP_BOOL:
        if (*(const bool *)at) {
            begin_field(e, field);
            json_bool(&e->w, true);
        }
        break;
    case OTLP_DOUBLE:
    case OTLP_OPTIONAL:
    case OTLP_AS_DOUBLE:
        encode_double(e, field, row);
        break;
    case OTLP_ATTRIBUTES:
        encode_attributes(e, field, at);
        break;
    case OTLP_VALUE:
        if (((const value *)at)->type != VALUE_EMPTY) {
            begin_field(e, field);
            encode_value(&e->w, at);
        }
        break;
    case OTLP_FIXED64S:
    case OTLP_VARINTS:
    case OTLP_DOUBLES:
        encode_packed(e, field, row);
        break;
    case OTLP_NATIVE:
        break;
    case OTLP_MESSAGE:
        encode_part(e, field, at);
        break;
    case OTLP_MESSAGES:
        encode_parts(e, field, row);
        break;
    case OTLP_CHILD:
        encode_children(e, field, index);
        break;
    default:
        encode_integer(e, field, row);
        break;
    }
}

/* index: of the row in its table, for its children. */
static void encode_fields(encoder *e, const otlp_message *m, const void *row, uint32_t index)
{
    for (uint32_t i = 1; i <= OTLP_FIELD_MAX; i++)
        if (m->fields[i].kind != OTLP_NONE)
            encode_field(e, &m->fields[i], row, index);
}

status otlp_encode_json(const batch *b, buf *out, error *err)
{
    encoder e = { .w = json_write(out) };
    if (!otlp_source_init(&e.source, b))
        return fail(err, STATUS_NO_MEMORY, "no memory to encode %u rows", batch_row_count(b));
    json_begin_object(&e.w);
    encode_fields(&e, &otlp_requests[b->signal], b, 0);
    json_end_object(&e.w);
    otlp_source_done(&e.source);
    return buf_check(out, err, "an encoded OTLP request");
}
