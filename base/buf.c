// SPDX-License-Identifier: Apache-2.0
/* Growing byte buffer; see buf.h. */
#include "base/buf.h"

#include "base/shortest.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

void buf_init(buf *b, size_t limit)
{
    *b = (buf){ .limit = limit };
}

void buf_done(buf *b)
{
    free(b->ptr);
    *b = (buf){ .limit = b->limit };
}

void buf_clear(buf *b)
{
    b->len = 0;
    b->failed = false;
}

bool buf_reserve_slow(buf *b, size_t n)
{
    size_t need;
    if (b->failed)
        return false;
    if (__builtin_add_overflow(b->len, n, &need) || (b->limit && need > b->limit)) {
        b->failed = true;
        return false;
    }
    if (need <= b->cap)
        return true;
    size_t cap = MAX(need, MAX(b->cap + b->cap / 2, (size_t)256));
    if (b->limit)
        cap = MIN(cap, b->limit);
    char *p = realloc(b->ptr, cap);
    if (!p) {
        b->failed = true;
        return false;
    }
    b->ptr = p;
    b->cap = cap;
    return true;
}

void buf_fmt(buf *b, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    size_t room = b->failed ? 0 : b->cap - b->len;
    int n = vsnprintf(room ? b->ptr + b->len : NULL, room, format, args);
    va_end(args);
    if (n < 0) {
        b->failed = true;
        return;
    }
    if ((size_t)n >= room) {
        /* vsnprintf also wants room for its terminator. */
        if (!buf_reserve(b, (size_t)n + 1))
            return;
        va_start(args, format);
        vsnprintf(b->ptr + b->len, (size_t)n + 1, format, args);
        va_end(args);
    }
    b->len += (size_t)n;
}

void buf_u64(buf *b, uint64_t v)
{
    char digits[20];
    size_t at = sizeof(digits);
    do {
        digits[--at] = (char)('0' + v % 10);
        v /= 10;
    } while (v);
    buf_add(b, digits + at, sizeof(digits) - at);
}

void buf_i64(buf *b, int64_t v)
{
    if (v < 0) {
        buf_char(b, '-');
        buf_u64(b, 0 - (uint64_t)v);
    } else {
        buf_u64(b, (uint64_t)v);
    }
}

/* What printf made of a double; whatever the program's locale has for a point becomes '.'. */
static void buf_number(buf *b, const char *text, size_t n)
{
    bool in_point = false;
    for (size_t i = 0; i < n; i++) {
        char c = text[i];
        bool plain = (c >= '0' && c <= '9') || c == '-' || c == '+' || c == 'e';
        if (plain || !in_point)
            buf_char(b, plain ? c : '.');
        in_point = !plain;
    }
}

/* The 16 digits above those that printf rounds to. Below a power of two doubles lie closer than
 * above it, so that only these may read back. */
static bool round_up(char text[40], double v)
{
    snprintf(text, 40, "%.15e", v);
    for (char *at = strchr(text, 'e'); at-- > text;) {
        if (*at < '0' || *at > '9')
            continue;
        if (*at != '9') {
            ++*at;
            break;
        }
        *at = '0';
    }
    return strtod(text, NULL) == v;
}

void f64_shortest(char text[40], double v, int digits)
{
    for (; digits <= 16; digits++) {
        snprintf(text, 40, "%.*e", digits - 1, v);
        if (strtod(text, NULL) == v)
            return;
    }
    if (!round_up(text, v))
        snprintf(text, 40, "%.16e", v);
}

/* As printf's %g does with enough digits: with an exponent when it is far from 1. */
static void put_decimal(buf *b, bool negative, uint64_t digits, int exponent)
{
    char text[20], out[48];
    int count = 0, n = 0;
    for (; digits; digits /= 10)
        text[sizeof(text) - 1 - count++] = (char)('0' + digits % 10);
    const char *first = text + sizeof(text) - count;
    int point = count + exponent; /* digits before the point */
    if (negative)
        out[n++] = '-';
    if (point < -3 || point > MAX(count, 15)) {
        out[n++] = first[0];
        if (count > 1)
            out[n++] = '.';
        for (int i = 1; i < count; i++)
            out[n++] = first[i];
        buf_add(b, out, (size_t)n);
        buf_fmt(b, "e%+03d", point - 1);
        return;
    }
    if (point <= 0) { /* 0.000123 */
        out[n++] = '0';
        out[n++] = '.';
        for (int zeros = point; zeros < 0; zeros++)
            out[n++] = '0';
    }
    for (int i = 0; i < MAX(count, point); i++) {
        if (i == point && point > 0)
            out[n++] = '.';
        out[n++] = i < count ? first[i] : '0';
    }
    buf_add(b, out, (size_t)n);
}

void buf_f64(buf *b, double v)
{
    char text[40];
    if (isnan(v)) {
        buf_lit(b, "NaN");
        return;
    }
    if (isinf(v)) {
        buf_str(b, v > 0 ? STR("+Inf") : STR("-Inf"));
        return;
    }
    /* Whole numbers that a double holds exactly need no search for the shortest text. */
    if (v >= -1e15 && v <= 1e15 && v == (double)(int64_t)v && !(v == 0 && signbit(v))) {
        buf_i64(b, (int64_t)v);
        return;
    }
    uint64_t digits;
    int exponent;
    if (shortest_digits(v, &digits, &exponent)) {
        put_decimal(b, v < 0, digits, exponent);
        return;
    }
    int n = 0;
    for (int precision = 15; precision <= 17; precision++) {
        if (precision == 17 && round_up(text, v)) { /* a number far from 1 */
            n = (int)strlen(text);
            break;
        }
        n = snprintf(text, sizeof(text), "%.*g", precision, v);
        if (strtod(text, NULL) == v)
            break;
    }
    buf_number(b, text, (size_t)n);
}

void buf_hex(buf *b, const uint8_t *bytes, size_t n)
{
    if (n <= SIZE_MAX / 2 && buf_reserve(b, 2 * n)) {
        str_to_hex(bytes, n, b->ptr + b->len);
        b->len += 2 * n;
    }
}

status buf_check(const buf *b, error *err, const char *what)
{
    if (!b->failed)
        return STATUS_OK;
    if (b->limit)
        return fail(err, STATUS_LIMIT, "%s would exceed %zu bytes", what, b->limit);
    return fail(err, STATUS_NO_MEMORY, "no memory for %s", what);
}
