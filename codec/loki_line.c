// SPDX-License-Identifier: Apache-2.0
/* A log record as the line that the Collector's Loki exporter sends: JSON, logfmt or the body as it
 * is. Attributes that are labels were taken out before. */
#include "codec/loki_push.h"

#include "codec/batch_rows.h"
#include "codec/json_value.h"

#include <ctype.h>

static void put_ids(json_writer *w, const log_rows *l, uint32_t row)
{
    if (trace_id_is_set(l->trace[row])) {
        json_key(w, STR("traceid"));
        json_hex(w, l->trace[row].bytes, 16);
    }
    if (span_id_is_set(l->span[row])) {
        json_key(w, STR("spanid"));
        json_hex(w, l->span[row].bytes, 8);
    }
    if (l->severity_text[row].len)
        JSON_PUT(w, str, "severity", l->severity_text[row]);
    if (l->flags[row])
        JSON_PUT(w, u64, "flags", l->flags[row]);
}

static void put_map(json_writer *w, str key, const attrs *a)
{
    if (!a->count)
        return;
    json_key(w, key);
    attrs_to_json(a, w);
}

void loki_line_json(const loki_record *r, buf *out)
{
    const log_rows *l = &r->rows->logs;
    const batch_scope *scope = batch_row_scope(r->rows, r->row);
    json_writer w = json_write(out);
    json_begin_object(&w);
    if (l->body[r->row].type != VALUE_EMPTY) {
        json_key(&w, STR("body"));
        value_to_json(&l->body[r->row], &w);
    }
    put_ids(&w, l, r->row);
    put_map(&w, STR("attributes"), &r->attributes);
    put_map(&w, STR("resources"), &r->resource);
    if (scope->name.len) {
        json_key(&w, STR("instrumentation_scope"));
        json_begin_object(&w);
        JSON_PUT(&w, str, "name", scope->name);
        if (scope->version.len)
            JSON_PUT(&w, str, "version", scope->version);
        put_map(&w, STR("attributes"), &scope->attributes);
        json_end_object(&w);
    }
    json_end_object(&w);
}

void loki_line_raw(const loki_record *r, buf *out)
{
    value_to_text(&r->rows->logs.body[r->row], out);
}

/* ---- logfmt ---- */

typedef struct {
    buf *out;
    arena *arena;
    size_t start;
} logfmt;

/* Blanks, quotes and '=' are not possible in a key. */
static void put_key(logfmt *f, str prefix, str key)
{
    if (f->out->len > f->start)
        buf_char(f->out, ' ');
    size_t at = f->out->len;
    buf_str(f->out, prefix);
    if (prefix.len && key.len)
        buf_char(f->out, '_');
    buf_str(f->out, key);
    for (size_t i = at; i < f->out->len; i++) {
        char c = f->out->ptr[i];
        if ((unsigned char)c <= ' ' || c == '=' || c == '"' || c == 0x7f)
            f->out->ptr[i] = '_';
    }
    buf_char(f->out, '=');
}

static void put_text(logfmt *f, str prefix, str key, str text)
{
    bool quote = text.len == 0;
    put_key(f, prefix, key);
    for (size_t i = 0; i < text.len && !quote; i++)
        quote = (unsigned char)text.ptr[i] <= ' ' || text.ptr[i] == '=' || text.ptr[i] == '"' ||
                text.ptr[i] == '\\' || (unsigned char)text.ptr[i] >= 0x7f;
    if (quote)
        json_quote(f->out, text);
    else
        buf_str(f->out, text);
}

static str joined(logfmt *f, str prefix, str key)
{
    str s = prefix.len ? arena_fmt(f->arena, "%.*s_%.*s", STR_ARG(prefix), STR_ARG(key)) : key;
    return s.ptr ? s : STR_EMPTY;
}

static void put_value(logfmt *f, str prefix, str key, const value *v)
{
    if (v->type == VALUE_MAP) {
        for (uint32_t i = 0; i < v->map.count; i++)
            put_value(f, joined(f, prefix, key), v->map.items[i].key, &v->map.items[i].value);
    } else if (v->type == VALUE_ARRAY) {
        for (uint32_t i = 0; i < v->array.count; i++) {
            str number = arena_fmt(f->arena, "%u", i);
            put_value(f, joined(f, prefix, key), number.ptr ? number : STR_EMPTY,
                      &v->array.items[i]);
        }
    } else if (v->type != VALUE_EMPTY) {
        str text = value_text(f->arena, v);
        put_text(f, prefix, key, text.ptr ? text : STR_EMPTY);
    }
}

/* Whether a text is key=value pairs already. */
static bool is_logfmt(str s)
{
    bool quoted = false, equals = false, key = false;
    s = str_trim(s);
    for (size_t i = 0; i < s.len; i++) {
        char c = s.ptr[i];
        if (quoted) {
            if (c == '\\')
                i++;
            else if (c == '"')
                quoted = false;
        } else if (c == '"') {
            if (!equals || s.ptr[i - 1] != '=')
                return false;
            quoted = true;
        } else if (c == ' ') {
            if (!equals)
                return false;
            equals = key = false;
        } else if (c == '=' && !equals) {
            if (!key)
                return false;
            equals = true;
        } else {
            key = true;
        }
    }
    return !quoted && equals;
}

static void put_body(logfmt *f, const value *body)
{
    if (body->type == VALUE_STR && is_logfmt(body->s))
        buf_str(f->out, str_trim(body->s));
    else if (body->type == VALUE_MAP)
        put_value(f, STR_EMPTY, STR_EMPTY, body);
    else
        put_value(f, STR_EMPTY, body->type == VALUE_ARRAY ? STR("body") : STR("msg"), body);
}

void loki_line_logfmt(const loki_record *r, arena *a, buf *out)
{
    const log_rows *l = &r->rows->logs;
    const batch_scope *scope = batch_row_scope(r->rows, r->row);
    logfmt f = { out, a, out->len };
    char hex[32];
    put_body(&f, &l->body[r->row]);
    if (trace_id_is_set(l->trace[r->row])) {
        str_to_hex(l->trace[r->row].bytes, 16, hex);
        put_text(&f, STR_EMPTY, STR("traceID"), str_n(hex, 32));
    }
    if (span_id_is_set(l->span[r->row])) {
        str_to_hex(l->span[r->row].bytes, 8, hex);
        put_text(&f, STR_EMPTY, STR("spanID"), str_n(hex, 16));
    }
    if (l->severity_text[r->row].len)
        put_text(&f, STR_EMPTY, STR("severity"), l->severity_text[r->row]);
    for (uint32_t i = 0; i < r->attributes.count; i++)
        put_value(&f, STR("attribute"), r->attributes.items[i].key, &r->attributes.items[i].value);
    for (uint32_t i = 0; i < r->resource.count; i++)
        put_value(&f, STR("resource"), r->resource.items[i].key, &r->resource.items[i].value);
    if (scope->name.len) {
        put_text(&f, STR_EMPTY, STR("instrumentation_scope_name"), scope->name);
        if (scope->version.len)
            put_text(&f, STR_EMPTY, STR("instrumentation_scope_version"), scope->version);
    }
}
