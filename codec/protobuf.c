// SPDX-License-Identifier: Apache-2.0
/* The protobuf wire format; see protobuf.h. Nested messages are written once, behind a length of
 * guessed width that is corrected at the end: with the guesses of the encoders here that moves
 * bytes rarely, and needs no second pass over the data. */
#include "codec/protobuf.h"

#include <assert.h>

bool pb_varint_slow(pb_reader *r, uint64_t *ret)
{
    const uint8_t *at = r->at;
    uint64_t v = 0;
    for (unsigned shift = 0; shift < 70; shift += 7) {
        if (at == r->end)
            return pb_fail(r, "a varint is cut short");
        uint8_t byte = *at++;
        if (shift == 63 && byte > 1)
            break;
        v |= (uint64_t)(byte & 0x7f) << shift;
        if (byte < 0x80) {
            r->at = at;
            *ret = v;
            return true;
        }
    }
    return pb_fail(r, "a varint is longer than 64 bits");
}

static bool skip_bytes(pb_reader *r, size_t n)
{
    if ((size_t)(r->end - r->at) < n)
        return pb_fail(r, "a value is cut short");
    r->at += n;
    return true;
}

static bool skip_group(pb_reader *r, uint32_t number)
{
    uint32_t open[PB_GROUP_DEPTH];
    uint32_t depth = 0;
    open[depth++] = number;
    while (depth > 0) {
        pb_field field;
        if (!pb_next(r, &field))
            return pb_fail(r, "a group has no end");
        if (field.wire == PB_GROUP_END) {
            if (field.number != open[--depth])
                return pb_fail(r, "a group ends with another field's number");
        } else if (field.wire == PB_GROUP) {
            if (depth == PB_GROUP_DEPTH)
                return pb_fail(r, "groups are nested deeper than 32");
            open[depth++] = field.number;
        } else if (!pb_skip(r, field)) {
            return false;
        }
    }
    return true;
}

bool pb_skip(pb_reader *r, pb_field field)
{
    uint64_t v;
    str bytes;
    switch (field.wire) {
    case PB_VARINT:
        return pb_varint(r, &v);
    case PB_FIXED64:
        return skip_bytes(r, 8);
    case PB_FIXED32:
        return skip_bytes(r, 4);
    case PB_LEN:
        return pb_bytes(r, &bytes);
    case PB_GROUP:
        return skip_group(r, field.number);
    case PB_GROUP_END:
        break;
    }
    return pb_fail(r, "a group ends that never began");
}

uint32_t pb_count_run(const pb_reader *r, uint32_t number)
{
    pb_reader ahead = *r;
    uint64_t tag = (uint64_t)number << 3 | PB_LEN, next;
    uint32_t count = 0;
    str bytes;
    do {
        count++;
    } while (pb_bytes(&ahead, &bytes) && ahead.at < ahead.end && pb_varint(&ahead, &next) &&
             next == tag);
    return count;
}

/* The longest tag and the longest varint behind it. */
enum { TAG_AND_VALUE = 5 + 10 };

void pb_put_varint(buf *out, uint32_t number, uint64_t v)
{
    if (!buf_reserve(out, TAG_AND_VALUE))
        return;
    uint8_t *start = (uint8_t *)out->ptr + out->len;
    uint8_t *at = pb_write_varint(start, (uint64_t)number << 3 | PB_VARINT);
    out->len += (size_t)(pb_write_varint(at, v) - start);
}

void pb_put_fixed64(buf *out, uint32_t number, uint64_t v)
{
    if (!buf_reserve(out, TAG_AND_VALUE))
        return;
    uint8_t *start = (uint8_t *)out->ptr + out->len;
    uint8_t *at = pb_write_varint(start, (uint64_t)number << 3 | PB_FIXED64);
    v = htole64(v);
    memcpy(at, &v, 8);
    out->len += (size_t)(at - start) + 8;
}

void pb_put_fixed32(buf *out, uint32_t number, uint32_t v)
{
    if (!buf_reserve(out, TAG_AND_VALUE))
        return;
    uint8_t *start = (uint8_t *)out->ptr + out->len;
    uint8_t *at = pb_write_varint(start, (uint64_t)number << 3 | PB_FIXED32);
    v = htole32(v);
    memcpy(at, &v, 4);
    out->len += (size_t)(at - start) + 4;
}

void pb_put_double(buf *out, uint32_t number, double v)
{
    uint64_t bits;
    memcpy(&bits, &v, 8);
    pb_put_fixed64(out, number, bits);
}

void pb_put_bytes(buf *out, uint32_t number, str bytes)
{
    if (bytes.len > SIZE_MAX - TAG_AND_VALUE || !buf_reserve(out, TAG_AND_VALUE + bytes.len)) {
        out->failed = true;
        return;
    }
    uint8_t *start = (uint8_t *)out->ptr + out->len;
    uint8_t *at = pb_write_varint(start, (uint64_t)number << 3 | PB_LEN);
    at = pb_write_varint(at, bytes.len);
    if (bytes.len)
        memcpy(at, bytes.ptr, bytes.len);
    out->len += (size_t)(at - start) + bytes.len;
}

pb_mark pb_begin(buf *out, uint32_t number, size_t expected)
{
    pb_mark mark = { .width = pb_varint_size(expected) };
    if (!buf_reserve(out, TAG_AND_VALUE))
        return mark;
    uint8_t *start = (uint8_t *)out->ptr + out->len;
    uint8_t *at = pb_write_varint(start, (uint64_t)number << 3 | PB_LEN);
    out->len += (size_t)(at - start) + mark.width;
    mark.at = out->len;
    return mark;
}

void pb_end(buf *out, pb_mark mark)
{
    if (out->failed)
        return;
    assert(mark.at >= mark.width && mark.at <= out->len);
    size_t length = out->len - mark.at;
    size_t width = pb_varint_size(length);
    if (width > mark.width && !buf_reserve(out, width - mark.width))
        return;
    uint8_t *body = (uint8_t *)out->ptr + mark.at;
    if (width != mark.width) {
        memmove(body - mark.width + width, body, length);
        out->len = out->len - mark.width + width;
    }
    pb_write_varint(body - mark.width, length);
}
