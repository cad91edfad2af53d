// SPDX-License-Identifier: Apache-2.0
/* OTLP requests from JSON (opentelemetry-proto, "JSON Protobuf Encoding"): the tables of
 * otlp_tables.c again, found by lowerCamelCase names. Failures unwind as in otlp_decode.c. */
#include "codec/json.h"
#include "codec/otlp_model.h"

/* Levels of JSON around an attribute's value, and for each level of values in it. */
enum { DEPTH_AROUND = 24, DEPTH_PER_VALUE = 4 };

typedef struct {
    otlp_sink sink;
    json_reader r;
    arena *memory;
} decoder;

static bool decode_object(decoder *d, const otlp_message *m, void *target);
static bool decode_value(decoder *d, value *ret, uint32_t depth);

/* Takes over the reader's problem; always false. */
static bool malformed(decoder *d)
{
    size_t line, column;
    if (!d->r.problem || d->sink.code != STATUS_OK)
        return false;
    json_position(&d->r, &line, &column);
    return otlp_fail(&d->sink, d->r.code, "%s, at line %zu, column %zu", d->r.problem, line,
                     column);
}

static bool refuse(decoder *d, const char *problem)
{
    json_refuse(&d->r, problem);
    return malformed(d);
}

/* Room for one more element behind `count`; capacity is what this list grew to so far. */
static void *one_more(decoder *d, void *items, uint32_t count, uint32_t *capacity, size_t size)
{
    if (count < *capacity)
        return items;
    if (count >= UINT32_MAX / 2)
        return NULL;
    uint32_t wanted = MAX(count * 2, 4u);
    void *grown = otlp_extend(d->memory, items, count, wanted - count, size);
    if (grown)
        *capacity = wanted;
    return grown;
}

/* ---- values and attributes ---- */

static bool decode_attr(decoder *d, attr *ret, uint32_t depth)
{
    str key;
    *ret = (attr){ .key = STR_EMPTY };
    if (d->r.type != JSON_OBJECT)
        return refuse(d, "an attribute must be an object with key and value");
    while (json_next_key(&d->r, &key)) {
        json_type type = str_is(key, "key") || str_is(key, "value") ? json_next(&d->r) : JSON_END;
        if (type == JSON_END) {
            json_skip_next(&d->r);
        } else if (type == JSON_NULL) {
            continue;
        } else if (str_is(key, "value")) {
            if (!decode_value(d, &ret->value, depth))
                return false;
        } else if (type == JSON_STRING) {
            ret->key = d->r.text;
        } else {
            return refuse(d, "an attribute's key must be a string");
        }
    }
    return d->r.type == JSON_OBJECT_END || malformed(d);
}

/* A JSON array of KeyValue; max 0: only memory limits. */
static bool decode_attrs(decoder *d, attrs *list, uint32_t max, uint32_t depth,
                         const otlp_field *field)
{
    uint32_t capacity = list->count;
    if (d->r.type != JSON_ARRAY)
        return refuse(d, "attributes must be an array");
    while (json_next_item(&d->r)) {
        if (max && list->count == max)
            return otlp_fail(&d->sink, STATUS_LIMIT, "more attributes than the limit of %u", max) ||
                   otlp_within(&d->sink, field, max);
        attr *items = one_more(d, list->items, list->count, &capacity, sizeof(*items));
        if (!items)
            return otlp_no_memory(&d->sink);
        list->items = items;
        if (!decode_attr(d, &items[list->count], depth))
            return field ? otlp_within(&d->sink, field, list->count) : false;
        list->count++;
    }
    return d->r.type == JSON_ARRAY_END || malformed(d);
}

static bool decode_values(decoder *d, values *list, uint32_t depth)
{
    uint32_t capacity = list->count;
    if (d->r.type != JSON_ARRAY)
        return refuse(d, "values must be an array");
    while (json_next_item(&d->r)) {
        value *items = one_more(d, list->items, list->count, &capacity, sizeof(*items));
        if (!items)
            return otlp_no_memory(&d->sink);
        list->items = items;
        items[list->count] = (value){ .type = VALUE_EMPTY };
        if (d->r.type != JSON_NULL && !decode_value(d, &items[list->count], depth))
            return false;
        list->count++;
    }
    return d->r.type == JSON_ARRAY_END || malformed(d);
}

/* {"values":[…]} of an arrayValue or kvlistValue. */
static bool decode_list(decoder *d, value *ret, value_type type, uint32_t depth)
{
    str key;
    *ret = (value){ .type = type };
    if (d->r.type != JSON_OBJECT)
        return refuse(d, "an array or map must be an object with values");
    while (json_next_key(&d->r, &key)) {
        if (!str_is(key, "values")) {
            json_skip_next(&d->r);
            continue;
        }
        if (json_next(&d->r) == JSON_NULL)
            continue;
        if (type == VALUE_ARRAY ? !decode_values(d, &ret->array, depth + 1)
                                : !decode_attrs(d, &ret->map, 0, depth + 1, NULL))
            return false;
    }
    return d->r.type == JSON_OBJECT_END || malformed(d);
}

static bool decode_member(decoder *d, value_type type, value *ret, uint32_t depth)
{
    value v = { .type = type };
    bool ok = true;
    switch (type) {
    case VALUE_STR:
        ok = d->r.type == JSON_STRING;
        v.s = d->r.text;
        break;
    case VALUE_BOOL:
        ok = d->r.type == JSON_BOOL;
        v.b = d->r.boolean;
        break;
    case VALUE_I64:
        ok = json_get_i64(&d->r, &v.i64);
        break;
    case VALUE_F64:
        ok = json_get_f64(&d->r, &v.f64);
        break;
    case VALUE_BYTES:
        ok = d->r.type == JSON_STRING && base64_decode(d->memory, d->r.text, &v.s);
        break;
    default:
        return decode_list(d, ret, type, depth);
    }
    if (!ok)
        return refuse(d, "the value does not have the type that its name says");
    *ret = v;
    return true;
}

/* The AnyValue whose first token was read. */
static bool decode_value(decoder *d, value *ret, uint32_t depth)
{
    static const char *const names[] = {
        [VALUE_STR] = "stringValue", [VALUE_BOOL] = "boolValue",   [VALUE_I64] = "intValue",
        [VALUE_F64] = "doubleValue", [VALUE_BYTES] = "bytesValue", [VALUE_ARRAY] = "arrayValue",
        [VALUE_MAP] = "kvlistValue",
    };
    str key;
    if (d->r.type != JSON_OBJECT)
        return refuse(d, "a value must be an object like {\"stringValue\":\"…\"}");
    if (depth > d->sink.limits.max_depth)
        return otlp_fail(&d->sink, STATUS_LIMIT, "a value is nested deeper than the limit of %u",
                         d->sink.limits.max_depth);
    while (json_next_key(&d->r, &key)) {
        size_t type = VALUE_STR;
        while (type < ARRAY_LEN(names) && !str_is(key, names[type]))
            type++;
        if (json_next(&d->r) == JSON_NULL)
            continue;
        if (type == ARRAY_LEN(names) ? !json_skip(&d->r) && !malformed(d)
                                     : !decode_member(d, (value_type)type, ret, depth))
            return false;
    }
    return d->r.type == JSON_OBJECT_END || malformed(d);
}

/* ---- fields by table ---- */

static bool decode_id(decoder *d, uint8_t *to, size_t size)
{
    if (d->r.type == JSON_STRING && d->r.text.len == 0) {
        memset(to, 0, size);
        return true;
    }
    if (d->r.type != JSON_STRING || !str_from_hex(d->r.text, to, size))
        return refuse(d, size == sizeof(trace_id)
                             ? "a trace id must be 32 hexadecimal digits in quotes, or \"\""
                             : "a span id must be 16 hexadecimal digits in quotes, or \"\"");
    return true;
}

static bool decode_enum(decoder *d, const otlp_field *field, uint8_t *to)
{
    uint32_t known = 0;
    int64_t v;
    if (json_get_i64(&d->r, &v)) {
        while (known < v && field->values[known])
            known++;
        *to = known == v && field->values[known] ? (uint8_t)v : 0;
        return true;
    }
    while (d->r.type == JSON_STRING && field->values[known]) {
        if (str_is(d->r.text, field->values[known])) {
            *to = (uint8_t)known;
            return true;
        }
        known++;
    }
    return refuse(d, "an enum must be a number or one of its names");
}

static bool decode_integer(decoder *d, const otlp_field *field, void *to)
{
    uint64_t u64;
    int64_t i64;
    if (field->kind == OTLP_SINT32) {
        if (!json_get_i64(&d->r, &i64) || i64 < INT32_MIN || i64 > INT32_MAX)
            return refuse(d, "expected a 32-bit integer");
        *(int32_t *)to = (int32_t)i64;
        return true;
    }
    if (!json_get_u64(&d->r, &u64))
        return refuse(d, "expected an integer from 0 to 18446744073709551615");
    if (field->kind == OTLP_FIXED64) {
        *(uint64_t *)to = u64;
        return true;
    }
    if (field->kind == OTLP_TIME) {
        if (u64 > INT64_MAX) {
            d->sink.row_problem = "a time is past the year 2262";
            u64 = 0;
        }
        *(int64_t *)to = (int64_t)u64;
        return true;
    }
    if (u64 > UINT32_MAX)
        return refuse(d, "expected an integer from 0 to 4294967295");
    *(uint32_t *)to = (uint32_t)u64;
    return true;
}

static bool decode_number(decoder *d, const otlp_field *field, void *target)
{
    void *to = otlp_at(target, field->offset);
    if (field->kind == OTLP_AS_INT) {
        if (!json_get_i64(&d->r, to))
            return refuse(d, "expected a 64-bit integer");
        *(uint8_t *)otlp_at(target, field->aux) = 1;
        return true;
    }
    if (!json_get_f64(&d->r, to))
        return refuse(d, "expected a number, \"NaN\", \"Infinity\" or \"-Infinity\"");
    if (field->kind == OTLP_OPTIONAL)
        *(bool *)otlp_at(target, field->aux) = true;
    else if (field->kind == OTLP_AS_DOUBLE)
        *(uint8_t *)otlp_at(target, field->aux) = 0;
    return true;
}

/* A list of 8-byte numbers. */
static bool decode_packed(decoder *d, const otlp_field *field, void *target)
{
    uint64_t **items = otlp_at(target, field->offset);
    uint32_t *count = otlp_at(target, field->aux);
    uint32_t capacity = *count;
    if (d->r.type != JSON_ARRAY)
        return refuse(d, "expected an array of numbers");
    while (json_next_item(&d->r)) {
        uint64_t *to = one_more(d, *items, *count, &capacity, sizeof(*to));
        if (!to)
            return otlp_no_memory(&d->sink);
        *items = to;
        if (field->kind == OTLP_DOUBLES ? !json_get_f64(&d->r, (double *)(to + *count))
                                        : !json_get_u64(&d->r, to + *count))
            return refuse(d, "a number in a list is malformed or out of range");
        ++*count;
    }
    return d->r.type == JSON_ARRAY_END || malformed(d);
}

static bool decode_messages(decoder *d, const otlp_field *field, void *target)
{
    char **items = otlp_at(target, field->offset);
    uint32_t *count = otlp_at(target, field->aux);
    uint32_t capacity = *count;
    size_t size = field->message->size;
    if (d->r.type != JSON_ARRAY)
        return refuse(d, "expected an array of objects");
    while (json_next_item(&d->r)) {
        char *to = one_more(d, *items, *count, &capacity, size);
        if (!to)
            return otlp_no_memory(&d->sink);
        *items = to;
        memset(to + *count * size, 0, size);
        if (!decode_object(d, field->message, to + *count * size))
            return otlp_within(&d->sink, field, *count);
        ++*count;
    }
    return d->r.type == JSON_ARRAY_END || malformed(d);
}

static bool decode_child(decoder *d, const otlp_field *field)
{
    otlp_row row;
    return otlp_open(&d->sink, field, &row) && decode_object(d, field->message, &row) &&
           otlp_close(&d->sink, field, &row);
}

static bool decode_children(decoder *d, const otlp_field *field)
{
    if (field->message->level == LEVEL_DATA)
        return decode_child(d, field);
    if (d->r.type != JSON_ARRAY)
        return refuse(d, "expected an array of objects");
    while (json_next_item(&d->r))
        if (!decode_child(d, field))
            return false;
    return d->r.type == JSON_ARRAY_END || malformed(d);
}

/* The field whose value's first token was read; it is not null. */
static bool decode_field(decoder *d, const otlp_field *field, void *target)
{
    void *to = otlp_at(target, field->offset);
    switch ((otlp_kind)field->kind) {
    case OTLP_STRING:
        if (d->r.type != JSON_STRING)
            return refuse(d, "expected a string");
        *(str *)to = d->r.text;
        return true;
    case OTLP_TRACE_ID:
        return decode_id(d, to, sizeof(trace_id));
    case OTLP_SPAN_ID:
        return decode_id(d, to, sizeof(span_id));
    case OTLP_ENUM:
        return decode_enum(d, field, to);
    case OTLP_BOOL:
        if (d->r.type != JSON_BOOL)
            return refuse(d, "expected true or false");
        *(bool *)to = d->r.boolean;
        return true;
    case OTLP_DOUBLE:
    case OTLP_OPTIONAL:
    case OTLP_AS_DOUBLE:
    case OTLP_AS_INT:
        return decode_number(d, field, target);
    case OTLP_ATTRIBUTES:
        return decode_attrs(d, to, d->sink.limits.max_attributes, 0, field);
    case OTLP_VALUE:
        return decode_value(d, to, 0) || otlp_within(&d->sink, field, UINT32_MAX);
    case OTLP_FIXED64S:
    case OTLP_VARINTS:
    case OTLP_DOUBLES:
        return decode_packed(d, field, target) || otlp_within(&d->sink, field, UINT32_MAX);
    case OTLP_MESSAGE:
        return decode_object(d, field->message, to) || otlp_within(&d->sink, field, UINT32_MAX);
    case OTLP_MESSAGES:
        return decode_messages(d, field, target);
    case OTLP_CHILD:
        return decode_children(d, field);
    default:
        return decode_integer(d, field, to);
    }
}

static const otlp_field *find_field(const otlp_message *m, str key)
{
    for (uint32_t i = 1; i <= OTLP_FIELD_MAX; i++)
        if (m->fields[i].kind != OTLP_NONE && m->fields[i].kind != OTLP_NATIVE &&
            str_is(key, m->fields[i].json))
            return &m->fields[i];
    return NULL;
}

/* Whether a failure at this field still lacks the field's name in its path. */
static bool is_leaf(const otlp_field *field)
{
    return field->kind != OTLP_ATTRIBUTES && field->kind < OTLP_VALUE;
}

static bool decode_object(decoder *d, const otlp_message *m, void *target)
{
    str key;
    if (d->r.type != JSON_OBJECT)
        return refuse(d, "expected an object");
    while (json_next_key(&d->r, &key)) {
        const otlp_field *field = find_field(m, key);
        if (!field) {
            json_skip_next(&d->r);
            continue;
        }
        if (json_next(&d->r) == JSON_NULL)
            continue;
        if (!decode_field(d, field, target))
            return is_leaf(field) ? otlp_within(&d->sink, field, UINT32_MAX) : false;
    }
    return d->r.type == JSON_OBJECT_END || malformed(d);
}

status otlp_decode_json(batch *b, str bytes, const otlp_limits *limits, otlp_partial *partial,
                        error *err)
{
    otlp_partial unused;
    decoder d = { .memory = &b->arena };
    otlp_sink_init(&d.sink, b, limits, partial ? partial : &unused, true);
    json_read(&d.r, bytes, d.memory, DEPTH_AROUND + DEPTH_PER_VALUE * d.sink.limits.max_depth);
    json_next(&d.r);
    otlp_row nothing; /* requests have children only */
    if (!decode_object(&d, &otlp_requests[b->signal], &nothing) ||
        (json_next(&d.r) != JSON_END && !malformed(&d)))
        return otlp_sink_status(&d.sink, err);
    return STATUS_OK;
}
