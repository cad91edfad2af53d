// SPDX-License-Identifier: Apache-2.0
/* Growing byte buffer; see buf.h. */
#include "base/buf.h"

#include "base/number_text.h"

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
    char digits[NUMBER_ROOM];
    buf_add(b, digits, u64_text(digits, v));
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

void buf_f64(buf *b, double v)
{
    char text[NUMBER_ROOM];
    if (!b->failed && b->cap - b->len >= NUMBER_ROOM)
        b->len += f64_text(b->ptr + b->len, v);
    else /* the limit may leave less room than that */
        buf_add(b, text, f64_text(text, v));
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
