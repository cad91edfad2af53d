// SPDX-License-Identifier: Apache-2.0
/* W3C Baggage: key=value;property, in a context as the text of its header, so that handing it on
 * costs nothing. Values are percent-encoded UTF-8. https://www.w3.org/TR/baggage/ */
#include "sonde/baggage.h"

#include "lib/propagate_internal.h"
#include "lib/state_thread.h"

#include <stdio.h>

/* Characters of a token (RFC 9110) beside letters and digits. */
static bool is_token(str s)
{
    for (size_t i = 0; i < s.len; i++) {
        char c = s.ptr[i];
        bool plain = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
        if (!plain && (c == '\0' || !strchr("!#$%&'*+-.^_`|~", c)))
            return false;
    }
    return s.len > 0;
}

static bool is_octet(char c)
{
    return c > 0x20 && c < 0x7f && c != '"' && c != ',' && c != ';' && c != '\\';
}

static bool is_encoded(str s)
{
    for (size_t i = 0; i < s.len; i++)
        if (!is_octet(s.ptr[i]))
            return false;
    return true;
}

/* What may stand in a header without breaking out of it. */
static bool is_visible(str s)
{
    for (size_t i = 0; i < s.len; i++)
        if ((s.ptr[i] < 0x20 && s.ptr[i] != '\t') || s.ptr[i] > 0x7e)
            return false;
    return true;
}

bool baggage_next(str *rest, baggage_member *ret)
{
    while (rest->len) {
        str properties, value, member = str_trim(str_cut(*rest, ',', rest));
        str pair = str_cut(member, ';', &properties);
        str key = str_trim(str_cut(pair, '=', &value));
        bool has_equals = str_find_char(pair, '=') != SIZE_MAX;
        *ret = (baggage_member){ key, str_trim(value), str_trim(properties) };
        if (has_equals && is_token(key) && is_encoded(ret->value) && is_visible(properties))
            return true;
    }
    return false;
}

str baggage_of(const sonde_context *c)
{
    context_hidden kind;
    str key, text;
    for (size_t n = 0; context_hidden_at(c, n, &kind, &key, &text); n++)
        if (kind == CONTEXT_BAGGAGE && key.len == 0)
            return text;
    return STR_EMPTY;
}

typedef struct {
    char text[SONDE_CONTEXT_BYTES];
    size_t len;
    uint32_t members, lost;
} builder;

static bool put(builder *b, str s, size_t limit)
{
    if (s.len > limit - b->len)
        return false;
    memcpy(b->text + b->len, s.ptr, s.len);
    b->len += s.len;
    return true;
}

/* A member that does not fit whole is left out. `limit` is at most what `text` holds. */
static void put_member(builder *b, const baggage_member *m, size_t limit)
{
    size_t before = b->len;
    bool good = b->members < BAGGAGE_MEMBERS_MAX && (before == 0 || put(b, STR(","), limit)) &&
                put(b, m->key, limit) && put(b, STR("="), limit) && put(b, m->value, limit);
    if (good && m->properties.len)
        good = put(b, STR(";"), limit) && put(b, m->properties, limit);
    if (good) {
        b->members++;
    } else {
        b->len = before;
        b->lost++;
    }
}

/* Bytes that a context has for baggage, once the baggage it has is away. */
static size_t room_in(const sonde_context *c)
{
    size_t had = baggage_of(c).len, used = (size_t)c->used + c->hidden - (had ? had + 4 : 0);
    return used + 4 < SONDE_CONTEXT_BYTES ? SONDE_CONTEXT_BYTES - used - 4 : 0;
}

static void store(sonde_context *c, const builder *b)
{
    context_remove_hidden(c, CONTEXT_BAGGAGE);
    if (b->len)
        (void)context_put_hidden(c, CONTEXT_BAGGAGE, STR_EMPTY, str_n(b->text, b->len));
}

uint32_t baggage_put(sonde_context *c, str header)
{
    builder b = { .len = 0 };
    baggage_member m;
    size_t limit = room_in(c);
    while (baggage_next(&header, &m))
        put_member(&b, &m, limit);
    store(c, &b);
    return b.lost;
}

/* ---- encoding ---- */

static size_t encode(str value, char *ret, size_t size)
{
    static const char digits[] = "0123456789ABCDEF";
    size_t n = 0;
    for (size_t i = 0; i < value.len; i++) {
        char c = value.ptr[i];
        bool plain = is_octet(c) && c != '%';
        if (n + (plain ? 1 : 3) > size)
            return SIZE_MAX;
        if (plain) {
            ret[n++] = c;
        } else {
            ret[n++] = '%';
            ret[n++] = digits[(unsigned char)c >> 4];
            ret[n++] = digits[(unsigned char)c & 15];
        }
    }
    return n;
}

/* In place is fine. A percent sign that begins no number stays. */
static size_t decode(str value, char *ret, size_t size)
{
    size_t n = 0;
    for (size_t i = 0; i < value.len && n < size; i++) {
        uint8_t byte;
        if (value.ptr[i] == '%' && str_from_hex(str_slice(value, i + 1, i + 3), &byte, 1)) {
            ret[n++] = (char)byte;
            i += 2;
        } else {
            ret[n++] = value.ptr[i];
        }
    }
    return n;
}

/* ---- for programs ---- */

/* The member named `key` gets `encoded`, or goes when that is NULL. */
static bool replace(sonde_context *c, str key, const str *encoded, str properties)
{
    builder b = { .len = 0 };
    baggage_member m;
    size_t limit = room_in(c);
    str rest = baggage_of(c);
    while (baggage_next(&rest, &m))
        if (!str_eq(m.key, key))
            put_member(&b, &m, limit);
    if (encoded)
        put_member(&b, &(baggage_member){ key, *encoded, properties }, limit);
    if (b.lost)
        return false;
    store(c, &b);
    return true;
}

bool sonde_baggage_set(sonde_context *c, const char *key, sonde_str value, const char *properties)
{
    char text[SONDE_CONTEXT_BYTES];
    str name = str_c(key), more = str_c(properties);
    size_t n = encode(str_n(value.ptr, value.len), text, sizeof(text));
    bool safe = is_visible(more) && str_find_char(more, ',') == SIZE_MAX;
    if (!c || !is_token(name) || n == SIZE_MAX || !safe)
        return false;
    return replace(c, name, &(str){ text, n }, more);
}

bool sonde_baggage_remove(sonde_context *c, const char *key)
{
    return c && replace(c, str_c(key), NULL, STR_EMPTY);
}

static str current_baggage(void)
{
    const sonde_current_ *now = context_current();
    return now->bag ? baggage_of(now->bag) : STR_EMPTY;
}

bool sonde_baggage_get(const char *key, char *ret, size_t size)
{
    baggage_member m;
    str rest = current_baggage(), name = str_c(key);
    size = ret ? size : 0;
    while (baggage_next(&rest, &m)) {
        if (!str_eq(m.key, name))
            continue;
        if (size)
            ret[decode(m.value, ret, size - 1)] = '\0';
        return true;
    }
    if (size)
        *ret = '\0';
    return false;
}

void sonde_baggage_each(sonde_baggage_visit *visit, void *user)
{
    char text[SONDE_CONTEXT_BYTES];
    baggage_member m;
    str rest = current_baggage();
    while (visit && baggage_next(&rest, &m)) {
        sonde_str value = { text, decode(m.value, text, sizeof(text)) };
        if (!visit(user, (sonde_str){ m.key.ptr, m.key.len }, value,
                   (sonde_str){ m.properties.ptr, m.properties.len }))
            return;
    }
}

/* What an attribute is as text; NULL for null. */
static bool attr_text(const sonde_attr *a, char *number, size_t size, sonde_str *ret)
{
    int n = 0;
    switch (a->type) {
    case SONDE_TYPE_STR:
    case SONDE_TYPE_BYTES:
        *ret = (sonde_str){ a->value.ptr, a->len };
        return true;
    case SONDE_TYPE_I64:
        n = snprintf(number, size, "%lld", (long long)a->value.i64);
        break;
    case SONDE_TYPE_U64:
        n = snprintf(number, size, "%llu", (unsigned long long)a->value.u64);
        break;
    case SONDE_TYPE_F64:
        n = snprintf(number, size, "%.17g", a->value.f64);
        break;
    case SONDE_TYPE_BOOL:
        n = snprintf(number, size, "%s", a->value.u64 ? "true" : "false");
        break;
    default:
        return false;
    }
    *ret = (sonde_str){ number, (size_t)n };
    return true;
}

sonde_context_scope *sonde_baggage_enter_(sonde_context_scope *scope, const sonde_attr *kvs,
                                          size_t count)
{
    char key[256], number[40];
    sonde_context_enter_(scope, NULL, 0);
    uint64_t lost = 0;
    for (size_t i = 0; i < count; i++) {
        sonde_str value;
        str_copy_c(key, sizeof(key), str_n(kvs[i].key, kvs[i].key_len));
        if (attr_text(&kvs[i], number, sizeof(number), &value))
            lost += !sonde_baggage_set(&scope->bag, key, value, NULL);
        else
            sonde_baggage_remove(&scope->bag, key);
    }
    context_count_lost(lost);
    return scope;
}
