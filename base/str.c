// SPDX-License-Identifier: Apache-2.0
/* Text as (pointer, length); see str.h. */
#include "base/str.h"

#include <ctype.h>
#include <langinfo.h>
#include <stdlib.h>

int str_cmp(str a, str b)
{
    size_t n = MIN(a.len, b.len);
    int order = n ? memcmp(a.ptr, b.ptr, n) : 0;
    if (order)
        return order;
    return (a.len > b.len) - (a.len < b.len);
}

static char lower(char c)
{
    return c >= 'A' && c <= 'Z' ? (char)(c + ('a' - 'A')) : c;
}

bool str_eq_nocase(str a, str b)
{
    if (a.len != b.len)
        return false;
    for (size_t i = 0; i < a.len; i++)
        if (lower(a.ptr[i]) != lower(b.ptr[i]))
            return false;
    return true;
}

bool str_starts(str s, str prefix)
{
    return s.len >= prefix.len && str_eq(str_slice(s, 0, prefix.len), prefix);
}

bool str_ends(str s, str suffix)
{
    return s.len >= suffix.len && str_eq(str_slice(s, s.len - suffix.len, s.len), suffix);
}

bool str_contains(str s, str part)
{
    return str_find(s, part) != SIZE_MAX;
}

size_t str_find(str s, str part)
{
    if (part.len == 0)
        return 0;
    const char *at = s.len ? memmem(s.ptr, s.len, part.ptr, part.len) : NULL;
    return at ? (size_t)(at - s.ptr) : SIZE_MAX;
}

size_t str_find_char(str s, char c)
{
    const char *at = s.len ? memchr(s.ptr, c, s.len) : NULL;
    return at ? (size_t)(at - s.ptr) : SIZE_MAX;
}

static bool is_space(char c)
{
    return c == ' ' || (c >= '\t' && c <= '\r');
}

str str_trim(str s)
{
    while (s.len && is_space(s.ptr[0]))
        s = str_slice(s, 1, s.len);
    while (s.len && is_space(s.ptr[s.len - 1]))
        s.len--;
    return s;
}

str str_cut(str s, char sep, str *rest)
{
    size_t at = str_find_char(s, sep);
    if (at == SIZE_MAX) {
        *rest = STR_EMPTY;
        return s;
    }
    *rest = str_slice(s, at + 1, s.len);
    return str_slice(s, 0, at);
}

bool str_to_u64(str s, uint64_t *ret)
{
    uint64_t v = 0;
    if (s.len == 0)
        return false;
    for (size_t i = 0; i < s.len; i++) {
        if (s.ptr[i] < '0' || s.ptr[i] > '9')
            return false;
        if (__builtin_mul_overflow(v, 10, &v) ||
            __builtin_add_overflow(v, (uint64_t)(s.ptr[i] - '0'), &v))
            return false;
    }
    *ret = v;
    return true;
}

bool str_to_i64(str s, int64_t *ret)
{
    bool negative = s.len && s.ptr[0] == '-';
    uint64_t v;
    if (s.len && (s.ptr[0] == '-' || s.ptr[0] == '+'))
        s = str_slice(s, 1, s.len);
    if (!str_to_u64(s, &v) || v > (uint64_t)INT64_MAX + negative)
        return false;
    *ret = negative ? (int64_t)(0 - v) : (int64_t)v;
    return true;
}

bool str_to_f64(str s, double *ret)
{
    char text[128 + 8];
    size_t n = 0;
    if (s.len == 0 || s.len >= 128)
        return false;
    /* The program around libsonde may have set a locale in which strtod wants another point. */
    const char *point = nl_langinfo(RADIXCHAR);
    size_t point_size = strnlen(point, 8);
    bool pointed = false;
    for (size_t i = 0; i < s.len; i++) {
        char c = s.ptr[i];
        if (c == '.' && !pointed) {
            memcpy(text + n, point, point_size);
            n += point_size;
            pointed = true;
        } else if ((c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
                   c == '+' || c == '-') {
            text[n++] = c;
        } else {
            return false;
        }
    }
    text[n] = 0;
    char *end;
    double v = strtod(text, &end);
    if (end != text + n)
        return false;
    *ret = v;
    return true;
}

static int hex_digit(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    c = lower(c);
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

bool str_from_hex(str s, uint8_t *ret, size_t n)
{
    if (s.len != 2 * n)
        return false;
    for (size_t i = 0; i < s.len; i++)
        if (hex_digit(s.ptr[i]) < 0)
            return false;
    for (size_t i = 0; i < n; i++)
        ret[i] = (uint8_t)(hex_digit(s.ptr[2 * i]) * 16 + hex_digit(s.ptr[2 * i + 1]));
    return true;
}

void str_to_hex(const uint8_t *bytes, size_t n, char *ret)
{
    static const char digits[] = "0123456789abcdef";
    for (size_t i = 0; i < n; i++) {
        ret[2 * i] = digits[bytes[i] >> 4];
        ret[2 * i + 1] = digits[bytes[i] & 15];
    }
}

void str_copy_c(char *dst, size_t size, str s)
{
    if (size == 0)
        return;
    size_t n = MIN(s.len, size - 1);
    if (n)
        memcpy(dst, s.ptr, n);
    dst[n] = 0;
}

uint64_t hash_mix(uint64_t a, uint64_t b)
{
    __uint128_t product = (__uint128_t)a * b;
    return (uint64_t)product ^ (uint64_t)(product >> 64);
}

static uint64_t load(const char *p, size_t n)
{
    uint64_t v = 0;
    memcpy(&v, p, n);
    return v;
}

uint64_t str_hash(str s)
{
    const uint64_t k0 = UINT64_C(0xa0761d6478bd642f), k1 = UINT64_C(0xe7037ed1a0b428db);
    const char *p = s.ptr;
    size_t left = s.len;
    uint64_t h = k0 ^ s.len;
    while (left >= 16) {
        h = hash_mix(load(p, 8) ^ k1, load(p + 8, 8) ^ h);
        p += 16;
        left -= 16;
    }
    uint64_t a = 0, b = 0;
    if (left >= 8) {
        a = load(p, 8);
        b = left > 8 ? load(p + 8, left - 8) : 0;
    } else if (left) {
        a = load(p, left);
    }
    return hash_mix(k1 ^ s.len, hash_mix(a ^ k1, b ^ h));
}

/* Length of the sequence that starts at p, 0 when it is not valid UTF-8 (RFC 3629, section 4). */
static size_t utf8_sequence(const uint8_t *p, size_t left)
{
    uint8_t low = 0x80, high = 0xBF;
    size_t n;
    if (p[0] < 0x80)
        return 1;
    if (p[0] >= 0xC2 && p[0] <= 0xDF) {
        n = 2;
    } else if (p[0] >= 0xE0 && p[0] <= 0xEF) {
        n = 3;
        low = p[0] == 0xE0 ? 0xA0 : low;
        high = p[0] == 0xED ? 0x9F : high;
    } else if (p[0] >= 0xF0 && p[0] <= 0xF4) {
        n = 4;
        low = p[0] == 0xF0 ? 0x90 : low;
        high = p[0] == 0xF4 ? 0x8F : high;
    } else {
        return 0;
    }
    if (left < n || p[1] < low || p[1] > high)
        return 0;
    for (size_t i = 2; i < n; i++)
        if ((p[i] & 0xC0) != 0x80)
            return 0;
    return n;
}

/* Whether `left` bytes, at most 7, are ASCII; `before` bytes in front of them belong to the text.
 */
static bool short_is_ascii(const uint8_t *p, size_t left, size_t before)
{
    uint64_t word = 0;
    uint32_t first, last;
    if (before + left >= 8) {
        memcpy(&word, p + left - 8, 8);
    } else if (left >= 4) {
        memcpy(&first, p, 4);
        memcpy(&last, p + left - 4, 4);
        word = first | last;
    } else if (left) {
        word = p[0] | p[left / 2] | p[left - 1];
    }
    return (word & UINT64_C(0x8080808080808080)) == 0;
}

size_t utf8_valid_prefix(str s)
{
    const uint8_t *p = (const uint8_t *)s.ptr;
    size_t i = 0;
    while (i < s.len) {
        if (s.len - i >= 8) {
            uint64_t word;
            memcpy(&word, p + i, 8);
            if ((word & UINT64_C(0x8080808080808080)) == 0) {
                i += 8;
                continue;
            }
        } else if (short_is_ascii(p + i, s.len - i, i)) {
            return s.len;
        }
        size_t n = utf8_sequence(p + i, s.len - i);
        if (n == 0)
            break;
        i += n;
    }
    return i;
}

size_t utf8_put(char *ret, uint32_t code)
{
    if (code > 0x10FFFF || (code >= 0xD800 && code <= 0xDFFF))
        code = 0xFFFD;
    size_t more = code < 0x80 ? 0 : code < 0x800 ? 1 : code < 0x10000 ? 2 : 3;
    static const uint8_t first[] = { 0, 0xC0, 0xE0, 0xF0 };
    ret[0] = (char)(first[more] | code >> (6 * more));
    for (size_t i = 1; i <= more; i++)
        ret[i] = (char)(0x80 | (code >> (6 * (more - i)) & 0x3F));
    return more + 1;
}
