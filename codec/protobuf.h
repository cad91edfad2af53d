// SPDX-License-Identifier: Apache-2.0
/* The protobuf wire format (https://protobuf.dev/programming-guides/encoding): a reader over bytes
 * and a writer onto a buf. Neither knows any schema. Readers copy nothing: a str that they return
 * points into the input. All functions are pure apart from the reader and buf that they are given;
 * one thread per reader and per buf. */
#ifndef SONDE_CODEC_PROTOBUF_H
#define SONDE_CODEC_PROTOBUF_H

#include "base/buf.h"

#include <endian.h>

typedef enum {
    PB_VARINT = 0,
    PB_FIXED64 = 1,
    PB_LEN = 2,
    PB_GROUP = 3,
    PB_GROUP_END = 4,
    PB_FIXED32 = 5
} pb_wire;

/* Groups within groups that pb_skip follows. Messages are the caller's recursion and limit. */
#define PB_GROUP_DEPTH 32

/* ---- reader ---- */

/* One message. After a failure `problem` is set, `at` stands where it was seen, and every further
 * call fails, so that a loop over pb_next ends by itself. */
typedef struct {
    const uint8_t *at;
    const uint8_t *end;
    const uint8_t *base; /* offset 0 in error messages: the start of the outermost message */
    const char *problem; /* static text, NULL while all is well */
} pb_reader;

typedef struct {
    uint32_t number; /* 1 to 2^29 - 1 */
    pb_wire wire;
} pb_field;

static inline pb_reader pb_read(str bytes)
{
    const uint8_t *at = (const uint8_t *)(bytes.ptr ? bytes.ptr : "");
    return (pb_reader){ at, at + bytes.len, at, NULL };
}

/* Sets the problem unless there is one already; always false. */
static inline bool pb_fail(pb_reader *r, const char *problem)
{
    if (!r->problem)
        r->problem = problem;
    return false;
}

bool pb_varint_slow(pb_reader *r, uint64_t *ret);

/* Each value reader returns false, with *ret unwritten, when the bytes end or are wrong. */
static inline bool pb_varint(pb_reader *r, uint64_t *ret)
{
    if (LIKELY(r->at < r->end && *r->at < 0x80)) {
        *ret = *r->at++;
        return true;
    }
    return pb_varint_slow(r, ret);
}

static inline bool pb_fixed32(pb_reader *r, uint32_t *ret)
{
    if (UNLIKELY(r->end - r->at < 4))
        return pb_fail(r, "a 4-byte value is cut short");
    memcpy(ret, r->at, 4);
    *ret = le32toh(*ret);
    r->at += 4;
    return true;
}

static inline bool pb_fixed64(pb_reader *r, uint64_t *ret)
{
    if (UNLIKELY(r->end - r->at < 8))
        return pb_fail(r, "an 8-byte value is cut short");
    memcpy(ret, r->at, 8);
    *ret = le64toh(*ret);
    r->at += 8;
    return true;
}

static inline bool pb_double(pb_reader *r, double *ret)
{
    uint64_t bits;
    if (!pb_fixed64(r, &bits))
        return false;
    memcpy(ret, &bits, 8);
    return true;
}

/* A length and that many bytes. */
static inline bool pb_bytes(pb_reader *r, str *ret)
{
    const uint8_t *start = r->at;
    uint64_t length;
    if (UNLIKELY(!pb_varint(r, &length)))
        return false;
    if (UNLIKELY(length > (uint64_t)(r->end - r->at))) {
        r->at = start;
        return pb_fail(r, "a length goes past the end of its message");
    }
    *ret = (str){ (const char *)r->at, (size_t)length };
    r->at += length;
    return true;
}

/* A nested message, to be read by *ret; r moves past it. */
static inline bool pb_message(pb_reader *r, pb_reader *ret)
{
    str bytes;
    if (UNLIKELY(!pb_bytes(r, &bytes)))
        return false;
    const uint8_t *at = (const uint8_t *)bytes.ptr;
    *ret = (pb_reader){ at, at + bytes.len, r->base, NULL };
    return true;
}

/* The tag of the next field. False at the end of the message and on a problem: the two are told
 * apart by r->problem. */
static inline bool pb_next(pb_reader *r, pb_field *ret)
{
    const uint8_t *start = r->at;
    uint64_t tag;
    if (UNLIKELY(r->problem != NULL) || r->at == r->end || UNLIKELY(!pb_varint(r, &tag)))
        return false;
    *ret = (pb_field){ (uint32_t)(tag >> 3), (pb_wire)(tag & 7) };
    if (UNLIKELY(tag > UINT32_MAX || tag < 8 || (tag & 7) > PB_FIXED32)) {
        r->at = start;
        return pb_fail(r, "a field tag has the number 0, is too large or has an unknown wire type");
    }
    return true;
}

/* Passes over the value of a field whose tag was just read; groups with all that they hold. */
bool pb_skip(pb_reader *r, pb_field field);

/* sint32 and sint64. */
static inline int64_t pb_zigzag(uint64_t v)
{
    return (int64_t)(v >> 1) ^ -(int64_t)(v & 1);
}

/* Number of the fields that follow one another from here on with the same tag and wire type
 * PB_LEN; `r` stands behind the first one's tag and does not move. At least 1; stops counting, and
 * reports nothing, where the bytes are wrong. */
uint32_t pb_count_run(const pb_reader *r, uint32_t number);

/* ---- writer ---- */

static inline size_t pb_varint_size(uint64_t v)
{
    return (size_t)(70 - __builtin_clzll(v | 1)) / 7;
}

/* Writes to memory that has room (at most 10 bytes) and returns the byte behind. */
static inline uint8_t *pb_write_varint(uint8_t *at, uint64_t v)
{
    while (v >= 0x80) {
        *at++ = (uint8_t)(v | 0x80);
        v >>= 7;
    }
    *at++ = (uint8_t)v;
    return at;
}

/* Each of these writes tag and value, zero values too: leaving defaults out is the caller's part.
 */
void pb_put_varint(buf *out, uint32_t number, uint64_t v);
void pb_put_fixed64(buf *out, uint32_t number, uint64_t v);
void pb_put_fixed32(buf *out, uint32_t number, uint32_t v);
void pb_put_double(buf *out, uint32_t number, double v);
void pb_put_bytes(buf *out, uint32_t number, str bytes);

static inline void pb_put_sint(buf *out, uint32_t number, int64_t v)
{
    pb_put_varint(out, number, ((uint64_t)v << 1) ^ (uint64_t)(v >> 63));
}

/* A nested message: begin, write its fields, end with the mark that begin returned. The length is
 * written in its shortest form; `expected` is a guess of it, and a good guess saves one memmove. */
typedef struct {
    size_t at;
    size_t width;
} pb_mark;
pb_mark pb_begin(buf *out, uint32_t number, size_t expected);
void pb_end(buf *out, pb_mark mark);

#endif
