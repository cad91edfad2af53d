// SPDX-License-Identifier: Apache-2.0
/* The JSON writer and base64; see json.h. */
#include "codec/json.h"

#include <endian.h>
#include <math.h>

/* ---- strings ---- */

static void quote_control(buf *out, uint8_t c)
{
    static const char digits[] = "0123456789abcdef";
    switch (c) {
    case '\n':
        buf_lit(out, "\\n");
        break;
    case '\t':
        buf_lit(out, "\\t");
        break;
    case '\r':
        buf_lit(out, "\\r");
        break;
    case '\b':
        buf_lit(out, "\\b");
        break;
    case '\f':
        buf_lit(out, "\\f");
        break;
    case '"':
        buf_lit(out, "\\\"");
        break;
    case '\\':
        buf_lit(out, "\\\\");
        break;
    default:
        buf_lit(out, "\\u00");
        buf_char(out, digits[c >> 4]);
        buf_char(out, digits[c & 15]);
        break;
    }
}

static inline uint64_t load_word(const char *p)
{
    uint64_t w;
    memcpy(&w, p, 8);
    return w;
}

/* The high bit of each byte that is not plain, up to the first one; what is above may be wrong. */
static inline uint64_t not_plain(uint64_t w)
{
    const uint64_t ones = UINT64_C(0x0101010101010101), high = ones << 7;
    w = le64toh(w);
    uint64_t quote = w ^ (ones * '"'), slash = w ^ (ones * '\\');
    uint64_t found = ((quote - ones) & ~quote) | ((slash - ones) & ~slash);
    return (found | ((w - ones * 0x20) & ~w) | w) & high;
}

/* Length of the prefix of plain ASCII: neither quote, backslash, control nor above 0x7e. */
static size_t plain_prefix(const char *p, size_t n)
{
    size_t i = 0;
    for (; i + 8 <= n; i += 8) {
        uint64_t found = not_plain(load_word(p + i));
        if (found)
            return i + (size_t)(__builtin_ctzll(found) >> 3);
    }
    if (i && i < n) {
        /* The last 8 bytes, of which the first ones are known to be plain. */
        uint64_t found = not_plain(load_word(p + n - 8));
        return found ? n - 8 + (size_t)(__builtin_ctzll(found) >> 3) : n;
    }
    while (i < n && p[i] != '"' && p[i] != '\\' && (uint8_t)p[i] >= 0x20 && (uint8_t)p[i] < 0x80)
        i++;
    return i;
}

/* The length of the non-ASCII part at the start of s that is valid UTF-8. */
static size_t wide_prefix(str s)
{
    size_t n = 0;
    while (n < s.len && (uint8_t)s.ptr[n] >= 0x80)
        n++;
    return utf8_valid_prefix(str_slice(s, 0, n));
}

/* Copies text that is plain throughout; false at what is not, with part of it written. */
static inline bool copy_plain(char *to, const char *p, size_t n)
{
    uint32_t first, last;
    uint64_t w;
    if (n >= 8) {
        for (size_t i = 0; i + 8 < n; i += 8) {
            w = load_word(p + i);
            if (not_plain(w))
                return false;
            memcpy(to + i, &w, 8);
        }
        w = load_word(p + n - 8);
        memcpy(to + n - 8, &w, 8);
        return !not_plain(w);
    }
    if (n >= 4) {
        memcpy(&first, p, 4);
        memcpy(&last, p + n - 4, 4);
        memcpy(to, &first, 4);
        memcpy(to + n - 4, &last, 4);
        return !not_plain(first | (uint64_t)last << 32);
    }
    for (size_t i = 0; i < n; i++) {
        to[i] = p[i];
        if (p[i] == '"' || p[i] == '\\' || (uint8_t)p[i] < 0x20 || (uint8_t)p[i] >= 0x80)
            return false;
    }
    return true;
}

void json_quote(buf *out, str s)
{
    /* Room for the usual case at once: nothing to escape. */
    if (s.len > SIZE_MAX - 2 || !buf_reserve(out, s.len + 2)) {
        out->failed = true;
        return;
    }
    out->ptr[out->len++] = '"';
    if (LIKELY(copy_plain(out->ptr + out->len, s.ptr, s.len))) {
        out->len += s.len;
        out->ptr[out->len++] = '"';
        return;
    }
    size_t at = 0;
    while (at < s.len) {
        size_t plain = plain_prefix(s.ptr + at, s.len - at);
        buf_add(out, s.ptr + at, plain);
        at += plain;
        if (at == s.len)
            break;
        uint8_t c = (uint8_t)s.ptr[at];
        if (c < 0x80) {
            quote_control(out, c);
            at++;
            continue;
        }
        size_t wide = wide_prefix(str_slice(s, at, s.len));
        buf_add(out, s.ptr + at, wide);
        at += wide;
        if (wide == 0) {
            buf_lit(out, "\xEF\xBF\xBD");
            at++;
        }
    }
    buf_char(out, '"');
}

/* ---- structure ---- */

static inline void before_value(json_writer *w)
{
    if (w->comma)
        buf_char(w->out, ',');
    w->comma = true;
}

static void begin(json_writer *w, char c)
{
    before_value(w);
    buf_char(w->out, c);
    w->comma = false;
}

static void end(json_writer *w, char c)
{
    buf_char(w->out, c);
    w->comma = true;
}

void json_begin_object(json_writer *w)
{
    begin(w, '{');
}

void json_end_object(json_writer *w)
{
    end(w, '}');
}

void json_begin_array(json_writer *w)
{
    begin(w, '[');
}

void json_end_array(json_writer *w)
{
    end(w, ']');
}

void json_key(json_writer *w, str key)
{
    before_value(w);
    json_quote(w->out, key);
    buf_char(w->out, ':');
    w->comma = false;
}

/* ---- values ---- */

void json_str(json_writer *w, str s)
{
    before_value(w);
    json_quote(w->out, s);
}

void json_i64(json_writer *w, int64_t v)
{
    before_value(w);
    buf_i64(w->out, v);
}

void json_u64(json_writer *w, uint64_t v)
{
    before_value(w);
    buf_u64(w->out, v);
}

void json_f64(json_writer *w, double v)
{
    before_value(w);
    if (UNLIKELY(v == 0 && signbit(v)))
        buf_lit(w->out, "-0.0"); /* many readers take -0 for an integer and lose the sign */
    else if (LIKELY(isfinite(v)))
        buf_f64(w->out, v);
    else if (w->nonfinite == JSON_NONFINITE_NULL)
        buf_lit(w->out, "null");
    else
        buf_str(w->out, isnan(v) ? STR("\"NaN\"")
                        : v > 0  ? STR("\"Infinity\"")
                                 : STR("\"-Infinity\""));
}

void json_bool(json_writer *w, bool v)
{
    before_value(w);
    buf_str(w->out, v ? STR("true") : STR("false"));
}

void json_null(json_writer *w)
{
    before_value(w);
    buf_lit(w->out, "null");
}

void json_raw(json_writer *w, str json)
{
    before_value(w);
    buf_str(w->out, json);
}

void json_i64_quoted(json_writer *w, int64_t v)
{
    before_value(w);
    buf_char(w->out, '"');
    buf_i64(w->out, v);
    buf_char(w->out, '"');
}

void json_u64_quoted(json_writer *w, uint64_t v)
{
    before_value(w);
    buf_char(w->out, '"');
    buf_u64(w->out, v);
    buf_char(w->out, '"');
}

void json_hex(json_writer *w, const uint8_t *bytes, size_t n)
{
    before_value(w);
    buf_char(w->out, '"');
    buf_hex(w->out, bytes, n);
    buf_char(w->out, '"');
}

/* ---- base64 ---- */

void json_base64(json_writer *w, str bytes)
{
    static const char alphabet[] =
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    before_value(w);
    if (bytes.len > SIZE_MAX / 2 || !buf_reserve(w->out, bytes.len / 3 * 4 + 6)) {
        w->out->failed = true;
        return;
    }
    char *to = w->out->ptr + w->out->len;
    char *start = to;
    *to++ = '"';
    for (size_t i = 0; i < bytes.len; i += 3) {
        size_t left = bytes.len - i;
        uint32_t v = (uint32_t)(uint8_t)bytes.ptr[i] << 16;
        v |= left > 1 ? (uint32_t)(uint8_t)bytes.ptr[i + 1] << 8 : 0;
        v |= left > 2 ? (uint32_t)(uint8_t)bytes.ptr[i + 2] : 0;
        *to++ = alphabet[v >> 18];
        *to++ = alphabet[v >> 12 & 63];
        *to++ = left > 1 ? alphabet[v >> 6 & 63] : '=';
        *to++ = left > 2 ? alphabet[v & 63] : '=';
    }
    *to++ = '"';
    w->out->len += (size_t)(to - start);
}

static int base64_digit(char c)
{
    if (c >= 'A' && c <= 'Z')
        return c - 'A';
    if (c >= 'a' && c <= 'z')
        return c - 'a' + 26;
    if (c >= '0' && c <= '9')
        return c - '0' + 52;
    return c == '+' || c == '-' ? 62 : c == '/' || c == '_' ? 63 : -1;
}

bool base64_decode(arena *memory, str text, str *ret)
{
    bool padded = text.len % 4 == 0;
    for (int i = 0; i < 2 && padded && text.len && text.ptr[text.len - 1] == '='; i++)
        text.len--;
    /* After the padding is off, only lengths 0, 2 and 3 modulo 4 are possible. */
    if (text.len % 4 == 1)
        return false;
    uint8_t *bytes = arena_alloc_aligned(memory, text.len / 4 * 3 + 3, 1);
    if (!bytes)
        return false;
    size_t n = 0;
    uint32_t v = 0;
    for (size_t i = 0; i < text.len; i++) {
        int digit = base64_digit(text.ptr[i]);
        if (digit < 0)
            return false;
        v = v << 6 | (uint32_t)digit;
        if (i % 4 > 0)
            bytes[n++] = (uint8_t)(v >> (6 - 2 * (i % 4)));
    }
    *ret = str_n(bytes, n);
    return true;
}
