// SPDX-License-Identifier: Apache-2.0
/* sonde_json: what callbacks write through; it keeps the text well-formed whatever they do. */
#include "lib/debug_internal.h"

#include "codec/redact.h"
#include "lib/site.h"

void debug_json_init(sonde_json *json, buf *out, bool in_array)
{
    *json = (sonde_json){ .w = json_write(out) };
    json->in_array[0] = in_array;
}

void debug_json_finish(sonde_json *json)
{
    json->too_deep = 0;
    while (json->depth)
        sonde_json_end(json);
}

static void open_level(sonde_json *json, const char *key, bool array)
{
    if (!json)
        return;
    if (json->too_deep || json->depth == DEBUG_JSON_DEPTH) {
        json->too_deep++;
        return;
    }
    if (!json->in_array[json->depth])
        json_key(&json->w, str_c(key));
    if (array)
        json_begin_array(&json->w);
    else
        json_begin_object(&json->w);
    json->in_array[++json->depth] = array;
}

void sonde_json_begin(sonde_json *json, const char *key)
{
    open_level(json, key, false);
}

void sonde_json_begin_array(sonde_json *json, const char *key)
{
    open_level(json, key, true);
}

void sonde_json_end(sonde_json *json)
{
    if (!json)
        return;
    if (json->too_deep) {
        json->too_deep--;
        return;
    }
    if (json->depth == 0)
        return;
    if (json->in_array[json->depth--])
        json_end_array(&json->w);
    else
        json_end_object(&json->w);
}

void debug_json_text(json_writer *w, str text)
{
    arena memory;
    str clean;
    arena_init(&memory, 2 * DEBUG_ANSWER_MAX);
    redact_text(redact_rules_all(), &memory, text, &clean);
    json_str(w, clean.ptr ? clean : STR(REDACTED));
    arena_done(&memory);
}

static void put_value(json_writer *w, const sonde_attr *a)
{
    switch (a->type) {
    case SONDE_TYPE_BOOL:
        json_bool(w, a->value.u64 != 0);
        return;
    case SONDE_TYPE_I64:
        json_i64(w, a->value.i64);
        return;
    case SONDE_TYPE_U64:
        json_u64(w, a->value.u64);
        return;
    case SONDE_TYPE_F64:
        json_f64(w, a->value.f64);
        return;
    case SONDE_TYPE_STR:
        debug_json_text(w, str_n(a->value.ptr, a->len));
        return;
    case SONDE_TYPE_BYTES:
        json_base64(w, str_n(a->value.ptr, a->len));
        return;
    default:
        json_null(w);
    }
}

void sonde_json_put_(sonde_json *json, const sonde_attr *attrs, size_t count)
{
    if (!json || json->too_deep)
        return;
    bool in_array = json->in_array[json->depth];
    for (size_t i = 0; i < count; i++) {
        str key = str_n(attrs[i].key, attrs[i].key_len);
        if (!in_array)
            json_key(&json->w, key);
        if (site_key_is_secret(key) && attrs[i].type != SONDE_TYPE_NULL)
            json_str(&json->w, STR(REDACTED));
        else
            put_value(&json->w, &attrs[i]);
    }
}

static void put_list(json_writer *w, const value *v)
{
    bool array = v->type == VALUE_ARRAY;
    if (array) {
        json_begin_array(w);
        for (uint32_t i = 0; i < v->array.count; i++)
            debug_json_value(w, STR_EMPTY, &v->array.items[i]);
        json_end_array(w);
        return;
    }
    json_begin_object(w);
    for (uint32_t i = 0; i < v->map.count; i++) {
        json_key(w, v->map.items[i].key);
        debug_json_value(w, v->map.items[i].key, &v->map.items[i].value);
    }
    json_end_object(w);
}

void debug_json_value(json_writer *w, str key, const value *v)
{
    if (v->type != VALUE_EMPTY && site_key_is_secret(key)) {
        json_str(w, STR(REDACTED));
        return;
    }
    switch (v->type) {
    case VALUE_EMPTY:
        json_null(w);
        return;
    case VALUE_STR:
        debug_json_text(w, v->s);
        return;
    case VALUE_BOOL:
        json_bool(w, v->b);
        return;
    case VALUE_I64:
        json_i64(w, v->i64);
        return;
    case VALUE_F64:
        json_f64(w, v->f64);
        return;
    case VALUE_BYTES:
        json_base64(w, v->s);
        return;
    case VALUE_ARRAY:
    case VALUE_MAP:
        put_list(w, v);
    }
}

json_writer debug_begin_json(page *p)
{
    json_writer w = json_write(p->out);
    p->content_type = "application/json";
    json_begin_object(&w);
    return w;
}

int debug_end_json(page *p, json_writer *w)
{
    json_end_object(w);
    buf_char(p->out, '\n');
    return 200;
}
