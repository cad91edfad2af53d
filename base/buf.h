// SPDX-License-Identifier: Apache-2.0
/* A growing byte buffer with a limit. Appending past the limit, or without memory, sets `failed`
 * and changes nothing more: write everything, then check once. One thread at a time. */
#ifndef SONDE_BASE_BUF_H
#define SONDE_BASE_BUF_H

#include "base/error.h"
#include "base/str.h"

typedef struct buf {
    char *ptr;
    size_t len;
    size_t cap;
    size_t limit;
    bool failed;
} buf;

/* limit 0 means no limit (only where the input is bounded already). */
void buf_init(buf *b, size_t limit);
void buf_done(buf *b);  /* frees; the buffer can be initialised again */
void buf_clear(buf *b); /* empties, keeps memory, forgets a failure */

/* Makes room for n more bytes; false when failed. */
bool buf_reserve_slow(buf *b, size_t n);
static inline bool buf_reserve(buf *b, size_t n)
{
    return LIKELY(!b->failed && b->cap - b->len >= n) || buf_reserve_slow(b, n);
}

static inline void buf_add(buf *b, const void *bytes, size_t n)
{
    if (n && buf_reserve(b, n)) {
        memcpy(b->ptr + b->len, bytes, n);
        b->len += n;
    }
}

static inline void buf_char(buf *b, char c)
{
    if (buf_reserve(b, 1))
        b->ptr[b->len++] = c;
}

static inline void buf_str(buf *b, str s)
{
    buf_add(b, s.ptr, s.len);
}

#define buf_lit(b, literal) buf_add((b), "" literal, sizeof(literal) - 1)

void buf_fmt(buf *b, const char *format, ...) PRINTF_LIKE(2, 3);
void buf_u64(buf *b, uint64_t v);
void buf_i64(buf *b, int64_t v);
/* The shortest decimal text that reads back as the same double; NaN, +Inf, -Inf as Prometheus
 * writes them. JSON writers must treat those three themselves. */
void buf_f64(buf *b, double v);
void buf_hex(buf *b, const uint8_t *bytes, size_t n);

static inline str buf_view(const buf *b)
{
    return (str){ b->ptr ? b->ptr : "", b->len };
}

/* STATUS_LIMIT with the buffer's limit in the message when `failed`, else STATUS_OK. */
status buf_check(const buf *b, error *err, const char *what);

#endif
