// SPDX-License-Identifier: Apache-2.0
/* Typed values as compact bytes; see enc.h. */
#include "store/enc.h"

#include "codec/json_value.h"

/* Writes a placeholder length of fixed width, so that nested content needs no second pass. */
static size_t begin_sized(buf *out)
{
    size_t at = out->len;
    buf_add(out, "\x80\x80\x80\x80", 5); /* a varint of five bytes */
    return at;
}

static void end_sized(buf *out, size_t at)
{
    if (out->failed)
        return;
    uint64_t n = out->len - at - 5;
    for (int i = 0; i < 4; i++, n >>= 7)
        out->ptr[at + (size_t)i] = (char)(n | 128);
    out->ptr[at + 4] = (char)n;
}

void enc_value(buf *out, const value *v)
{
    buf_char(out, (char)v->type);
    switch (v->type) {
    case VALUE_EMPTY:
        break;
    case VALUE_STR:
    case VALUE_BYTES:
        put_text(out, v->s);
        break;
    case VALUE_BOOL:
        buf_char(out, v->b ? 1 : 0);
        break;
    case VALUE_I64:
        put_zigzag(out, v->i64);
        break;
    case VALUE_F64:
        buf_add(out, &v->f64, 8);
        break;
    case VALUE_ARRAY: {
        size_t at = begin_sized(out);
        put_varint(out, v->array.count);
        for (uint32_t i = 0; i < v->array.count; i++)
            enc_value(out, &v->array.items[i]);
        end_sized(out, at);
        break;
    }
    case VALUE_MAP: {
        size_t at = begin_sized(out);
        enc_attrs(out, &v->map);
        end_sized(out, at);
        break;
    }
    }
}

void enc_attrs(buf *out, const attrs *a)
{
    put_varint(out, a->count);
    put_varint(out, a->dropped);
    for (uint32_t i = 0; i < a->count; i++) {
        put_text(out, a->items[i].key);
        enc_value(out, &a->items[i].value);
    }
}

void enc_resource(buf *out, const batch_resource *r)
{
    put_text(out, r->schema_url);
    enc_attrs(out, &r->attributes);
}

void enc_scope(buf *out, const batch_scope *s)
{
    put_text(out, s->name);
    put_text(out, s->version);
    put_text(out, s->schema_url);
    enc_attrs(out, &s->attributes);
}

static void enc_sized_attrs(buf *out, const attrs *a)
{
    size_t at = begin_sized(out);
    enc_attrs(out, a);
    end_sized(out, at);
}

void enc_events(buf *out, const span_events *e)
{
    if (e->count == 0 && e->dropped == 0)
        return;
    put_varint(out, e->count);
    put_varint(out, e->dropped);
    for (uint32_t i = 0; i < e->count; i++) {
        put_zigzag(out, e->items[i].time_ns);
        put_text(out, e->items[i].name);
        enc_sized_attrs(out, &e->items[i].attributes);
    }
}

void enc_links(buf *out, const span_links *l)
{
    if (l->count == 0 && l->dropped == 0)
        return;
    put_varint(out, l->count);
    put_varint(out, l->dropped);
    for (uint32_t i = 0; i < l->count; i++) {
        const span_link *k = &l->items[i];
        buf_add(out, k->trace.bytes, 16);
        buf_add(out, k->span.bytes, 8);
        put_varint(out, k->flags);
        put_text(out, k->trace_state);
        enc_sized_attrs(out, &k->attributes);
    }
}

/* ---- reading without building ---- */

bool enc_next_value(bytes_reader *r, enc_view *ret)
{
    uint8_t type = get_u8(r);
    const char *start = r->at;
    switch (type) {
    case VALUE_EMPTY:
        ret->bytes = STR_EMPTY;
        break;
    case VALUE_STR:
    case VALUE_BYTES:
    case VALUE_ARRAY:
    case VALUE_MAP:
        ret->bytes = get_text(r);
        break;
    case VALUE_BOOL:
        ret->bytes = get_bytes(r, 1);
        break;
    case VALUE_I64:
        get_varint(r);
        ret->bytes = str_n(start, (size_t)(r->at - start));
        break;
    case VALUE_F64:
        ret->bytes = get_bytes(r, 8);
        break;
    default:
        r->failed = true;
    }
    ret->type = (value_type)type;
    return !r->failed;
}

bytes_reader enc_attrs_begin(str bytes, uint32_t *ret_count)
{
    bytes_reader r = bytes_read(bytes);
    uint64_t count = bytes.len ? get_varint(&r) : 0;
    if (bytes.len)
        get_varint(&r);
    if (ret_count)
        *ret_count = (uint32_t)MIN(count, (uint64_t)bytes_left(&r));
    return r;
}

bool enc_attrs_next(bytes_reader *r, str *ret_key, enc_view *ret)
{
    if (r->at == r->end)
        return false;
    *ret_key = get_text(r);
    return enc_next_value(r, ret);
}

str enc_resource_attrs(str bytes)
{
    bytes_reader r = bytes_read(bytes);
    get_text(&r);
    return str_n(r.at, bytes_left(&r));
}

bool enc_key_matches(str stored, str wanted)
{
    if (stored.len != wanted.len)
        return false;
    for (size_t i = 0; i < stored.len; i++) {
        if (stored.ptr[i] != wanted.ptr[i] && !(wanted.ptr[i] == '_' && stored.ptr[i] == '.'))
            return false;
    }
    return true;
}

bool enc_find(str bytes, str key, enc_view *ret)
{
    bytes_reader r = enc_attrs_begin(bytes, NULL);
    str k;
    enc_view v;
    while (enc_attrs_next(&r, &k, &v)) {
        if (enc_key_matches(k, key)) {
            *ret = v;
            return true;
        }
    }
    return false;
}

/* ---- decoding ---- */

static bool dec_attrs_deep(str bytes, arena *a, attrs *ret, unsigned depth);

static bool dec_f64(str bytes, double *ret)
{
    memcpy(ret, bytes.ptr, 8);
    return true;
}

static bool dec_array(str bytes, arena *a, values *ret, unsigned depth);

static bool dec_view(enc_view v, arena *a, value *ret, unsigned depth)
{
    *ret = (value){ .type = v.type };
    switch (v.type) {
    case VALUE_EMPTY:
        return true;
    case VALUE_STR:
    case VALUE_BYTES:
        ret->s = v.bytes;
        return true;
    case VALUE_BOOL:
        ret->b = v.bytes.ptr[0] != 0;
        return true;
    case VALUE_I64: {
        bytes_reader r = bytes_read(v.bytes);
        ret->i64 = get_zigzag(&r);
        return true;
    }
    case VALUE_F64:
        return dec_f64(v.bytes, &ret->f64);
    case VALUE_ARRAY:
        ret->array = (values){ 0 };
        return depth >= ENC_DEPTH || dec_array(v.bytes, a, &ret->array, depth + 1);
    case VALUE_MAP:
        ret->map = (attrs){ 0 };
        return depth >= ENC_DEPTH || dec_attrs_deep(v.bytes, a, &ret->map, depth + 1);
    }
    return false;
}

static bool dec_array(str bytes, arena *a, values *ret, unsigned depth)
{
    bytes_reader r = bytes_read(bytes);
    uint64_t count = get_varint(&r);
    if (r.failed || count > bytes_left(&r))
        return false;
    ret->items = ARENA_ARRAY(a, value, count);
    if (count && !ret->items)
        return false;
    for (uint64_t i = 0; i < count; i++) {
        enc_view v;
        if (!enc_next_value(&r, &v) || !dec_view(v, a, &ret->items[i], depth))
            return false;
    }
    ret->count = (uint32_t)count;
    return true;
}

static bool dec_attrs_deep(str bytes, arena *a, attrs *ret, unsigned depth)
{
    *ret = (attrs){ 0 };
    if (bytes.len == 0)
        return true;
    bytes_reader r = bytes_read(bytes);
    uint64_t count = get_varint(&r);
    ret->dropped = (uint32_t)get_varint(&r);
    if (r.failed || count > bytes_left(&r))
        return false;
    if (count == 0)
        return true;
    ret->items = arena_alloc(a, count * sizeof(attr));
    if (!ret->items)
        return false;
    for (uint64_t i = 0; i < count; i++) {
        enc_view v;
        if (!enc_attrs_next(&r, &ret->items[i].key, &v) ||
            !dec_view(v, a, &ret->items[i].value, depth))
            return false;
    }
    ret->count = (uint32_t)count;
    return true;
}

bool dec_value(str bytes, arena *a, value *ret)
{
    *ret = (value){ 0 };
    if (bytes.len == 0)
        return true;
    bytes_reader r = bytes_read(bytes);
    enc_view v;
    return enc_next_value(&r, &v) && dec_view(v, a, ret, 0);
}

bool dec_attrs(str bytes, arena *a, attrs *ret)
{
    return dec_attrs_deep(bytes, a, ret, 0);
}

bool dec_resource(str bytes, arena *a, batch_resource *ret)
{
    bytes_reader r = bytes_read(bytes);
    ret->schema_url = get_text(&r);
    return !r.failed && dec_attrs(str_n(r.at, bytes_left(&r)), a, &ret->attributes);
}

bool dec_scope(str bytes, arena *a, batch_scope *ret)
{
    bytes_reader r = bytes_read(bytes);
    ret->name = get_text(&r);
    ret->version = get_text(&r);
    ret->schema_url = get_text(&r);
    return !r.failed && dec_attrs(str_n(r.at, bytes_left(&r)), a, &ret->attributes);
}

bool dec_events(str bytes, arena *a, span_events *ret)
{
    *ret = (span_events){ 0 };
    if (bytes.len == 0)
        return true;
    bytes_reader r = bytes_read(bytes);
    uint64_t count = get_varint(&r);
    ret->dropped = (uint32_t)get_varint(&r);
    if (r.failed || count > bytes_left(&r))
        return false;
    ret->items = ARENA_ARRAY(a, span_event, count);
    if (count && !ret->items)
        return false;
    for (uint64_t i = 0; i < count; i++) {
        span_event *e = &ret->items[i];
        e->time_ns = get_zigzag(&r);
        e->name = get_text(&r);
        str inner = get_text(&r);
        if (r.failed || !dec_attrs(inner, a, &e->attributes))
            return false;
    }
    ret->count = (uint32_t)count;
    return true;
}

bool dec_links(str bytes, arena *a, span_links *ret)
{
    *ret = (span_links){ 0 };
    if (bytes.len == 0)
        return true;
    bytes_reader r = bytes_read(bytes);
    uint64_t count = get_varint(&r);
    ret->dropped = (uint32_t)get_varint(&r);
    if (r.failed || count > bytes_left(&r))
        return false;
    ret->items = ARENA_ARRAY(a, span_link, count);
    if (count && !ret->items)
        return false;
    for (uint64_t i = 0; i < count; i++) {
        span_link *l = &ret->items[i];
        str trace = get_bytes(&r, 16), span = get_bytes(&r, 8);
        l->flags = (uint32_t)get_varint(&r);
        l->trace_state = get_text(&r);
        str inner = get_text(&r);
        if (r.failed || !dec_attrs(inner, a, &l->attributes))
            return false;
        memcpy(l->trace.bytes, trace.ptr, 16);
        memcpy(l->span.bytes, span.ptr, 8);
    }
    ret->count = (uint32_t)count;
    return true;
}

str enc_text(enc_view v, buf *scratch, arena *a)
{
    if (v.type == VALUE_STR)
        return v.bytes;
    buf_clear(scratch);
    value decoded;
    if (dec_view(v, a, &decoded, 0))
        value_to_text(&decoded, scratch);
    return buf_view(scratch);
}
