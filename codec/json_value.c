// SPDX-License-Identifier: Apache-2.0
/* Typed values as text and plain JSON, and back; see json_value.h. Recursion is as deep as the
 * values are, which the decoders limit. */
#include "codec/json_value.h"

#include <math.h>

void attrs_to_json(const attrs *a, json_writer *w)
{
    json_begin_object(w);
    for (uint32_t i = 0; i < a->count; i++) {
        json_key(w, a->items[i].key);
        value_to_json(&a->items[i].value, w);
    }
    json_end_object(w);
}

void value_to_json(const value *v, json_writer *w)
{
    switch (v->type) {
    case VALUE_EMPTY:
        json_null(w);
        break;
    case VALUE_STR:
        json_str(w, v->s);
        break;
    case VALUE_BOOL:
        json_bool(w, v->b);
        break;
    case VALUE_I64:
        json_i64(w, v->i64);
        break;
    case VALUE_F64:
        json_f64(w, v->f64);
        break;
    case VALUE_BYTES:
        json_base64(w, v->s);
        break;
    case VALUE_ARRAY:
        json_begin_array(w);
        for (uint32_t i = 0; i < v->array.count; i++)
            value_to_json(&v->array.items[i], w);
        json_end_array(w);
        break;
    case VALUE_MAP:
        attrs_to_json(&v->map, w);
        break;
    }
}

void value_to_text(const value *v, buf *out)
{
    json_writer w = json_write(out);
    if (v->type == VALUE_STR) {
        buf_str(out, v->s);
    } else if (v->type == VALUE_F64 && !isfinite(v->f64)) {
        buf_str(out, isnan(v->f64) ? STR("NaN") : v->f64 > 0 ? STR("Infinity") : STR("-Infinity"));
    } else if (v->type == VALUE_BYTES) {
        size_t at = out->len;
        json_base64(&w, v->s);
        /* Without the quotes. */
        if (!out->failed) {
            memmove(out->ptr + at, out->ptr + at + 1, out->len - at - 2);
            out->len -= 2;
        }
    } else if (v->type != VALUE_EMPTY) {
        value_to_json(v, &w);
    }
}

/* ---- from JSON ---- */

static bool value_of_token(json_reader *r, arena *memory, value *ret);

static bool no_memory(json_reader *r)
{
    return json_refuse(r, "no memory is left for a value");
}

static bool array_of(json_reader *r, arena *memory, value *ret)
{
    values list = { 0 };
    uint32_t capacity = 0;
    while (json_next_item(r)) {
        if (list.count == capacity) {
            uint32_t wanted = MAX(capacity * 2, 4u);
            value *items = wanted < capacity
                               ? NULL
                               : arena_grow(memory, list.items, list.count * sizeof(value),
                                            wanted * sizeof(value));
            if (!items)
                return no_memory(r);
            list.items = items;
            capacity = wanted;
        }
        if (!value_of_token(r, memory, &list.items[list.count]))
            return false;
        list.count++;
    }
    *ret = (value){ .type = VALUE_ARRAY, .array = list };
    return r->type == JSON_ARRAY_END;
}

static bool map_of(json_reader *r, arena *memory, value *ret)
{
    attrs map = { 0 };
    uint32_t capacity = 0;
    str key;
    while (json_next_key(r, &key)) {
        value v;
        json_next(r);
        if (!value_of_token(r, memory, &v))
            return false;
        if (!attrs_append(memory, &map, &capacity, key, v))
            return no_memory(r);
    }
    *ret = (value){ .type = VALUE_MAP, .map = map };
    return r->type == JSON_OBJECT_END;
}

static bool value_of_token(json_reader *r, arena *memory, value *ret)
{
    int64_t i64;
    double f64;
    switch (r->type) {
    case JSON_NULL:
        *ret = (value){ .type = VALUE_EMPTY };
        return true;
    case JSON_BOOL:
        *ret = VALUE_B(r->boolean);
        return true;
    case JSON_STRING:
        *ret = VALUE_S(r->text);
        return true;
    case JSON_NUMBER:
        if (r->integral && json_get_i64(r, &i64))
            *ret = VALUE_I(i64);
        else if (json_get_f64(r, &f64))
            *ret = VALUE_D(f64);
        else
            return json_refuse(r, "the number is too large or too long for a double");
        return true;
    case JSON_ARRAY:
        return array_of(r, memory, ret);
    case JSON_OBJECT:
        return map_of(r, memory, ret);
    default:
        return false;
    }
}

bool value_from_json(json_reader *r, arena *memory, value *ret)
{
    json_next(r);
    return value_of_token(r, memory, ret);
}
