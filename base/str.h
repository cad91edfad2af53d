// SPDX-License-Identifier: Apache-2.0
/* Text as (pointer, length): never owned, never terminated, may hold any bytes.
 * All functions are pure and thread-safe; print one with "%.*s" and STR_ARG(s). */
#ifndef SONDE_BASE_STR_H
#define SONDE_BASE_STR_H

#include "base/base.h"

#include <string.h>

typedef struct {
    const char *ptr;
    size_t len;
} str;

#define STR(literal) ((str){ "" literal, sizeof(literal) - 1 })
#define STR_INIT(literal) \
    { \
        "" literal, sizeof(literal) - 1 \
    }
#define STR_EMPTY  ((str){ "", 0 })
#define STR_ARG(s) (int)(s).len, (s).ptr

/* A view of a terminated string; NULL gives the empty string. */
static inline str str_c(const char *c)
{
    return c ? (str){ c, strlen(c) } : STR_EMPTY;
}

static inline str str_n(const void *ptr, size_t len)
{
    return (str){ (const char *)ptr, len };
}

static inline bool str_eq(str a, str b)
{
    return a.len == b.len && (a.len == 0 || memcmp(a.ptr, b.ptr, a.len) == 0);
}

static inline bool str_is(str a, const char *c)
{
    return str_eq(a, str_c(c));
}

/* Bytes from `from` up to but not including `to`, both cut to the length. */
static inline str str_slice(str s, size_t from, size_t to)
{
    to = MIN(to, s.len);
    from = MIN(from, to);
    return (str){ from ? s.ptr + from : s.ptr, to - from }; /* nothing is added to NULL */
}

int str_cmp(str a, str b);        /* byte order, like memcmp; shorter first */
bool str_eq_nocase(str a, str b); /* ASCII letters only */
bool str_starts(str s, str prefix);
bool str_ends(str s, str suffix);
bool str_contains(str s, str part);
/* Index of the first occurrence, or SIZE_MAX. */
size_t str_find(str s, str part);
size_t str_find_char(str s, char c);
str str_trim(str s); /* without ASCII white space at both ends */
/* Splits off what stands before the first `sep`; *rest is what follows it (empty when none). */
str str_cut(str s, char sep, str *rest);

/* The whole text must be the number; false (and *ret unwritten) otherwise. Base 10. */
MUST_USE bool str_to_u64(str s, uint64_t *ret);
MUST_USE bool str_to_i64(str s, int64_t *ret);
/* As strtod in the C locale, with "inf", "nan" and hexadecimal; at most 127 bytes. */
MUST_USE bool str_to_f64(str s, double *ret);
/* Exactly 2 * n hexadecimal digits of either case. */
MUST_USE bool str_from_hex(str s, uint8_t *ret, size_t n);
/* Writes 2 * n lower-case digits, no terminator. */
void str_to_hex(const uint8_t *bytes, size_t n, char *ret);

/* Copies to a terminated array of `size` bytes, cut at the end if too long. */
void str_copy_c(char *dst, size_t size, str s);

/* 64-bit hash for tables in memory (wyhash construction); not for files, not secret-keyed. */
uint64_t str_hash(str s);
uint64_t hash_mix(uint64_t a, uint64_t b);

/* Length in bytes of the longest prefix of s that is valid UTF-8 (RFC 3629). */
size_t utf8_valid_prefix(str s);
/* Writes a code point in 1 to 4 bytes and says how many. What is none becomes U+FFFD. */
size_t utf8_put(char *ret, uint32_t code);

#endif
