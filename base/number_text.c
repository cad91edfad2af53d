// SPDX-License-Identifier: Apache-2.0
/* Numbers as decimal text; see number_text.h. Eight digits are made at once, in the bytes of one
 * word. Copies have constant sizes, which compile to a few moves, and so write behind the text's
 * end: NUMBER_ROOM has the room for that. */
#include "base/number_text.h"

#include "base/base.h"
#include "base/shortest.h"

#include <endian.h>
#include <float.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define EIGHT_DIGITS UINT64_C(100000000)
#define ASCII_ZEROS  UINT64_C(0x3030303030303030)

/* The digits of v, below 10^8, a byte each, the first one in the lowest. Quotients of the lanes are
 * products: exact for what the lanes can hold. */
static uint64_t digits_of(uint64_t v)
{
    uint64_t lanes = v / 10000 | (v % 10000) << 32;
    uint64_t q = (lanes * 10486) >> 20 & UINT64_C(0x0000007f0000007f);
    lanes = q | (lanes - 100 * q) << 16;
    q = (lanes * 103) >> 10 & UINT64_C(0x000f000f000f000f);
    return q | (lanes - 10 * q) << 8;
}

static void put_word(char *to, uint64_t digits)
{
    digits = htole64(digits | ASCII_ZEROS);
    memcpy(to, &digits, 8);
}

/* Without zeros in front. */
static size_t put_first_word(char *to, uint64_t digits)
{
    unsigned zeros = (unsigned)__builtin_ctzll(digits | UINT64_C(1) << 63) / 8;
    digits = htole64((digits | ASCII_ZEROS) >> (8 * zeros));
    memcpy(to, &digits, 8);
    return 8 - zeros;
}

size_t u64_text(char *to, uint64_t v)
{
    if (v < EIGHT_DIGITS)
        return put_first_word(to, digits_of(v));
    uint64_t rest = v / EIGHT_DIGITS;
    size_t n;
    if (rest < EIGHT_DIGITS) {
        n = put_first_word(to, digits_of(rest));
    } else {
        n = put_first_word(to, digits_of(rest / EIGHT_DIGITS));
        put_word(to + n, digits_of(rest % EIGHT_DIGITS));
        n += 8;
    }
    put_word(to + n, digits_of(v % EIGHT_DIGITS));
    return n + 8;
}

/* ---- doubles ---- */

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

/* By trying, for numbers that are far from 1. Whatever the program's locale has for a point becomes
 * '.'. */
static size_t searched_text(char *to, double v)
{
    char text[40];
    /* Subnormal numbers have fewer digits than others. */
    for (int precision = fabs(v) < DBL_MIN ? 1 : 15; precision <= 17; precision++) {
        if (precision == 17 && round_up(text, v))
            break;
        snprintf(text, sizeof(text), "%.*g", precision, v);
        if (strtod(text, NULL) == v)
            break;
    }
    size_t n = 0;
    bool in_point = false;
    for (const char *at = text; *at; at++) {
        bool plain = (*at >= '0' && *at <= '9') || *at == '-' || *at == '+' || *at == 'e';
        if (plain || !in_point)
            to[n++] = plain ? *at : '.';
        in_point = !plain;
    }
    return n;
}

/* first: `count` digits; 1.25e-07. */
static size_t exponent_text(char *to, const char *first, int count, int exponent)
{
    size_t n = 0;
    to[n++] = first[0];
    if (count > 1) {
        to[n++] = '.';
        memcpy(to + n, first + 1, 16);
        n += (size_t)count - 1;
    }
    to[n++] = 'e';
    to[n++] = exponent < 0 ? '-' : '+';
    if (abs(exponent) < 10)
        to[n++] = '0';
    return n + u64_text(to + n, (uint64_t)abs(exponent));
}

/* `digits`, below 10^17 and not 0, times ten to the power of `exponent`; with an exponent when
 * there would be more than `zeros` zeros behind the point, or more digits before it than `longest`
 * and than the number has. */
static inline size_t decimal_text(char *to, uint64_t digits, int exponent, int zeros, int longest)
{
    char text[48]; /* 17 digits, then zeros */
    uint64_t rest = digits % (EIGHT_DIGITS * EIGHT_DIGITS),
             top = digits / (EIGHT_DIGITS * EIGHT_DIGITS);
    uint64_t high = digits_of(rest / EIGHT_DIGITS), low = digits_of(rest % EIGHT_DIGITS);
    text[0] = (char)('0' + top);
    put_word(text + 1, high);
    put_word(text + 9, low);
    memset(text + 17, '0', sizeof(text) - 17);
    int begin = top    ? 0
                : high ? 1 + __builtin_ctzll(high) / 8
                       : 9 + __builtin_ctzll(low | UINT64_C(1) << 63) / 8;
    int end = low ? 17 - __builtin_clzll(low) / 8 : high ? 9 - __builtin_clzll(high) / 8 : 1;
    int count = end - begin, point = 17 - begin + exponent; /* digits before the point */
    const char *first = text + begin;
    if (point < -zeros || point > MAX(count, longest))
        return exponent_text(to, first, count, point - 1);
    if (point <= 0) {
        memset(to, '0', 7);
        to[1] = '.';
        memcpy(to + 2 - point, first, 24);
        int length = 2 - point + count;
        return (size_t)length;
    }
    memcpy(to, first, 24);
    if (point >= count)
        return (size_t)point;
    to[point] = '.';
    memcpy(to + point + 1, first + point, 16);
    return (size_t)count + 1;
}

static size_t literal(char *to, const char text[4], size_t n)
{
    memcpy(to, text, 4);
    return n;
}

static inline size_t any_text(char *to, double v, int zeros, int longest)
{
    /* Whole numbers that a double holds exactly need no search for the shortest text. */
    if (v >= -1e15 && v <= 1e15 && v == (double)(int64_t)v && !(v == 0 && signbit(v))) {
        int64_t whole = (int64_t)v;
        to[0] = '-';
        return whole < 0 ? 1 + u64_text(to + 1, 0 - (uint64_t)whole)
                         : u64_text(to, (uint64_t)whole);
    }
    uint64_t digits;
    int exponent;
    if (LIKELY(shortest_digits(v, &digits, &exponent))) {
        to[0] = '-';
        return v < 0 ? 1 + decimal_text(to + 1, digits, exponent, zeros, longest)
                     : decimal_text(to, digits, exponent, zeros, longest);
    }
    if (isnan(v))
        return literal(to, "NaN", 3);
    if (isinf(v))
        return literal(to, v > 0 ? "+Inf" : "-Inf", 4);
    return searched_text(to, v);
}

size_t f64_text(char *to, double v)
{
    return any_text(to, v, 3, 15);
}

size_t f64_sample_text(char *to, double v)
{
    return any_text(to, v, 5, 21);
}
