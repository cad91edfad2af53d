// SPDX-License-Identifier: Apache-2.0
/* Text columns: one constant, a dictionary when few are distinct, else the bytes one after another
 * under zstd; see column.h. */
#include "store/column.h"

#include <zstd.h>

enum { CONSTANT = 0, DICTIONARY = 1, PLAIN = 2, FRAME_MIN = 64, ZSTD_LEVEL = 1 };

void column_put_frame(buf *out, str bytes)
{
    put_varint(out, bytes.len);
    if (bytes.len >= FRAME_MIN) {
        size_t bound = ZSTD_compressBound(bytes.len);
        /* The length is written after the content is known; ten bytes are its most. */
        if (!buf_reserve(out, bound + 10))
            return;
        size_t n = ZSTD_compress(out->ptr + out->len + 10, bound, bytes.ptr, bytes.len, ZSTD_LEVEL);
        if (!ZSTD_isError(n) && n < bytes.len) {
            char *from = out->ptr + out->len + 10;
            put_varint(out, n);
            memmove(out->ptr + out->len, from, n);
            out->len += n;
            return;
        }
    }
    put_varint(out, 0);
    buf_str(out, bytes);
}

bool column_get_frame(bytes_reader *r, uint64_t max, arena *a, str *ret)
{
    uint64_t length = get_varint(r), stored = get_varint(r);
    if (r->failed || length > max)
        return false;
    str bytes = get_bytes(r, stored ? stored : length);
    if (r->failed)
        return false;
    *ret = bytes;
    if (!stored)
        return true;
    char *to = arena_alloc_aligned(a, MAX(length, (uint64_t)1), 1);
    if (!to || ZSTD_decompress(to, length, bytes.ptr, bytes.len) != length)
        return false;
    *ret = str_n(to, length);
    return true;
}

/* Lengths as integers, then all bytes as a frame. */
static void put_lengths_and_bytes(buf *out, const str *v, uint32_t n, arena *scratch)
{
    size_t total = 0;
    for (uint32_t i = 0; i < n; i++)
        total += v[i].len;
    int64_t *lengths = ARENA_ARRAY(scratch, int64_t, MAX(n, 1u));
    char *bytes = arena_alloc_aligned(scratch, MAX(total, (size_t)1), 1);
    if (!lengths || !bytes) {
        out->failed = true;
        return;
    }
    char *at = bytes;
    for (uint32_t i = 0; i < n; i++) {
        lengths[i] = (int64_t)v[i].len;
        if (v[i].len)
            memcpy(at, v[i].ptr, v[i].len);
        at += v[i].len;
    }
    column_put_ints(out, lengths, n);
    column_put_frame(out, str_n(bytes, total));
}

typedef struct {
    str *entries;
    int64_t *indices;
    uint32_t *slots; /* entry + 1 */
    uint32_t count, most, mask;
} dictionary;

static bool build_dictionary(dictionary *d, const str *v, uint32_t n, arena *scratch)
{
    uint32_t slots = 64;
    d->most = n < 64 ? n / 2 : n / 4;
    while (slots < d->most * 2)
        slots *= 2;
    d->mask = slots - 1;
    d->entries = ARENA_ARRAY(scratch, str, d->most + 1);
    d->indices = arena_alloc(scratch, (n + 1) * sizeof(int64_t));
    d->slots = ARENA_ARRAY(scratch, uint32_t, slots);
    if (!d->entries || !d->indices || !d->slots)
        return false;
    for (uint32_t i = 0; i < n; i++) {
        uint64_t at = str_hash(v[i]) & d->mask;
        while (d->slots[at] && !str_eq(d->entries[d->slots[at] - 1], v[i]))
            at = (at + 1) & d->mask;
        if (!d->slots[at]) {
            if (d->count == d->most)
                return false;
            d->entries[d->count++] = v[i];
            d->slots[at] = d->count;
        }
        d->indices[i] = d->slots[at] - 1;
    }
    return true;
}

void column_put_texts(buf *out, const str *v, uint32_t n, arena *scratch)
{
    bool constant = true;
    for (uint32_t i = 1; i < n && constant; i++)
        constant = str_eq(v[i], v[0]);
    if (constant) {
        buf_char(out, CONSTANT);
        put_text(out, n ? v[0] : STR_EMPTY);
        return;
    }
    dictionary d = { 0 };
    if (build_dictionary(&d, v, n, scratch)) {
        buf_char(out, DICTIONARY);
        put_varint(out, d.count);
        put_lengths_and_bytes(out, d.entries, d.count, scratch);
        column_put_ints(out, d.indices, n);
        return;
    }
    buf_char(out, PLAIN);
    put_lengths_and_bytes(out, v, n, scratch);
}

static bool get_lengths_and_bytes(bytes_reader *r, str *ret, uint32_t n, arena *a)
{
    int64_t *lengths = arena_alloc(a, MAX(n, 1u) * sizeof(int64_t));
    str bytes;
    if (!lengths || !column_get_ints(r, lengths, n) || !column_get_frame(r, GiB(1), a, &bytes))
        return false;
    size_t at = 0;
    for (uint32_t i = 0; i < n; i++) {
        if (lengths[i] < 0 || (uint64_t)lengths[i] > bytes.len - at)
            return false;
        ret[i] = str_n(bytes.ptr + at, (size_t)lengths[i]);
        at += (size_t)lengths[i];
    }
    return true;
}

static bool get_dictionary(bytes_reader *r, str *ret, uint32_t n, arena *a)
{
    uint32_t count = get_count(r, n);
    str *entries = ARENA_ARRAY(a, str, MAX(count, 1u));
    int64_t *indices = arena_alloc(a, MAX(n, 1u) * sizeof(int64_t));
    if (!entries || !indices || r->failed || !get_lengths_and_bytes(r, entries, count, a) ||
        !column_get_ints(r, indices, n))
        return false;
    for (uint32_t i = 0; i < n; i++) {
        if (indices[i] < 0 || indices[i] >= count)
            return false;
        ret[i] = entries[indices[i]];
    }
    return true;
}

bool column_get_texts(bytes_reader *r, str *ret, uint32_t n, arena *a)
{
    switch (get_u8(r)) {
    case CONSTANT: {
        str s = get_text(r);
        for (uint32_t i = 0; i < n; i++)
            ret[i] = s;
        return !r->failed;
    }
    case DICTIONARY:
        return get_dictionary(r, ret, n, a);
    case PLAIN:
        return get_lengths_and_bytes(r, ret, n, a);
    default:
        return false;
    }
}
