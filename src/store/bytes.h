// SPDX-License-Identifier: Apache-2.0
/* Little-endian numbers, varints and texts, written to a buf and read back with bounds.
 * A reader that ran past its end keeps `failed` and gives zeros: read everything, check once. */
#ifndef SONDE_STORE_BYTES_H
#define SONDE_STORE_BYTES_H

#include "base/buf.h"

static inline uint64_t zigzag(int64_t v)
{
    return ((uint64_t)v << 1) ^ (uint64_t)(v >> 63);
}

static inline int64_t unzigzag(uint64_t v)
{
    return (int64_t)(v >> 1) ^ -(int64_t)(v & 1);
}

static inline void put_varint(buf *b, uint64_t v)
{
    if (!buf_reserve(b, 10))
        return;
    while (v >= 128) {
        b->ptr[b->len++] = (char)(v | 128);
        v >>= 7;
    }
    b->ptr[b->len++] = (char)v;
}

static inline void put_zigzag(buf *b, int64_t v)
{
    put_varint(b, zigzag(v));
}

static inline void put_text(buf *b, str s)
{
    put_varint(b, s.len);
    buf_str(b, s);
}

static inline void put_u32(buf *b, uint32_t v)
{
    buf_add(b, &v, sizeof(v));
}

static inline void put_u64(buf *b, uint64_t v)
{
    buf_add(b, &v, sizeof(v));
}

typedef struct {
    const char *at;
    const char *end;
    bool failed;
} bytes_reader;

static inline bytes_reader bytes_read(str s)
{
    return (bytes_reader){ .at = s.ptr, .end = s.ptr + s.len };
}

static inline size_t bytes_left(const bytes_reader *r)
{
    return (size_t)(r->end - r->at);
}

static inline str get_bytes(bytes_reader *r, uint64_t n)
{
    if (UNLIKELY(n > bytes_left(r))) {
        r->failed = true;
        r->at = r->end;
        return STR_EMPTY;
    }
    str s = { r->at, (size_t)n };
    r->at += n;
    return s;
}

static inline uint8_t get_u8(bytes_reader *r)
{
    if (UNLIKELY(r->at == r->end)) {
        r->failed = true;
        return 0;
    }
    return (uint8_t)*r->at++;
}

static inline uint64_t get_varint(bytes_reader *r)
{
    uint64_t v = 0;
    for (unsigned shift = 0; shift < 70 && r->at < r->end; shift += 7) {
        uint8_t b = (uint8_t)*r->at++;
        v |= shift < 64 ? (uint64_t)(b & 127) << shift : 0;
        if (b < 128)
            return v;
    }
    r->failed = true;
    r->at = r->end;
    return 0;
}

static inline int64_t get_zigzag(bytes_reader *r)
{
    return unzigzag(get_varint(r));
}

/* A varint that must not exceed max. */
static inline uint32_t get_count(bytes_reader *r, uint32_t max)
{
    uint64_t v = get_varint(r);
    if (UNLIKELY(v > max)) {
        r->failed = true;
        r->at = r->end;
        return 0;
    }
    return (uint32_t)v;
}

static inline str get_text(bytes_reader *r)
{
    return get_bytes(r, get_varint(r));
}

static inline uint32_t get_u32(bytes_reader *r)
{
    str s = get_bytes(r, 4);
    uint32_t v = 0;
    if (s.len == 4)
        memcpy(&v, s.ptr, 4);
    return v;
}

static inline uint64_t get_u64(bytes_reader *r)
{
    str s = get_bytes(r, 8);
    uint64_t v = 0;
    if (s.len == 8)
        memcpy(&v, s.ptr, 8);
    return v;
}

#endif
