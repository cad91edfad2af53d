// SPDX-License-Identifier: Apache-2.0
/* Integer columns: constant, plain, delta or delta of delta, bit-packed in groups of 128 over their
 * minimum; see column.h. */
#include "store/column.h"

enum { GROUP = 128, CONSTANT = 0, PLAIN = 1, DELTA = 2, DELTA2 = 3 };

static unsigned width_of(uint64_t v)
{
    return v ? 64 - (unsigned)__builtin_clzll(v) : 0;
}

static size_t varint_size(uint64_t v)
{
    return v ? (width_of(v) + 6) / 7 : 1;
}

/* The numbers of each order are streamed: order k of index i is the k-th difference. */
static inline int64_t nth(const int64_t *v, uint32_t i, int order)
{
    uint64_t a = (uint64_t)v[i];
    if (order == PLAIN)
        return (int64_t)a;
    uint64_t b = (uint64_t)v[i - 1];
    if (order == DELTA)
        return (int64_t)(a - b);
    return (int64_t)(a - 2 * b + (uint64_t)v[i - 2]);
}

static void group_range(const int64_t *v, uint32_t from, uint32_t to, int order, int64_t *ret_min,
                        unsigned *ret_width)
{
    int64_t min = nth(v, from, order), max = min;
    for (uint32_t i = from + 1; i < to; i++) {
        int64_t x = nth(v, i, order);
        min = MIN(min, x);
        max = MAX(max, x);
    }
    *ret_min = min;
    *ret_width = width_of((uint64_t)max - (uint64_t)min);
}

static size_t size_of(const int64_t *v, uint32_t n, int order)
{
    uint32_t skip = (uint32_t)(order - PLAIN);
    size_t size = 0;
    for (uint32_t i = 0; i < skip && i < n; i++)
        size += varint_size(zigzag(i == 0 ? v[0] : nth(v, i, DELTA)));
    for (uint32_t from = MIN(skip, n); from < n; from += GROUP) {
        uint32_t to = MIN(from + GROUP, n);
        int64_t min;
        unsigned width;
        group_range(v, from, to, order, &min, &width);
        size += varint_size(zigzag(min)) + 1 + ((size_t)width * (to - from) + 7) / 8;
    }
    return size;
}

typedef struct {
    char *at;
    uint64_t bits;
    unsigned count;
} bit_writer;

static inline void put_bits(bit_writer *w, uint64_t v, unsigned width)
{
    w->bits |= v << w->count;
    unsigned taken = 64 - w->count;
    if (width < taken) {
        w->count += width;
        return;
    }
    memcpy(w->at, &w->bits, 8);
    w->at += 8;
    w->bits = taken < 64 ? v >> taken : 0;
    w->count = width - taken;
}

static void put_group(buf *out, const int64_t *v, uint32_t from, uint32_t to, int order)
{
    int64_t min;
    unsigned width;
    group_range(v, from, to, order, &min, &width);
    put_zigzag(out, min);
    buf_char(out, (char)width);
    size_t bytes = ((size_t)width * (to - from) + 7) / 8;
    if (width == 0 || !buf_reserve(out, bytes + 16))
        return;
    bit_writer w = { .at = out->ptr + out->len };
    for (uint32_t i = from; i < to; i++)
        put_bits(&w, (uint64_t)nth(v, i, order) - (uint64_t)min, width);
    memcpy(w.at, &w.bits, 8);
    out->len += bytes;
}

void column_put_ints(buf *out, const int64_t *v, uint32_t n)
{
    bool constant = true;
    for (uint32_t i = 1; i < n && constant; i++)
        constant = v[i] == v[0];
    if (constant) {
        buf_char(out, CONSTANT);
        put_zigzag(out, n ? v[0] : 0);
        return;
    }
    int best = PLAIN;
    size_t best_size = size_of(v, n, PLAIN);
    for (int order = DELTA; order <= DELTA2; order++) {
        size_t size = size_of(v, n, order);
        if (size < best_size) {
            best = order;
            best_size = size;
        }
    }
    buf_char(out, (char)best);
    uint32_t skip = (uint32_t)(best - PLAIN);
    for (uint32_t i = 0; i < skip && i < n; i++)
        put_zigzag(out, i == 0 ? v[0] : nth(v, i, DELTA));
    for (uint32_t from = skip; from < n; from += GROUP)
        put_group(out, v, from, MIN(from + GROUP, n), best);
}

static inline uint64_t load_bits(const char *p, const char *end, size_t bit, unsigned width)
{
    const char *at = p + bit / 8;
    unsigned shift = bit % 8;
    uint64_t lo = 0, hi = 0;
    size_t left = (size_t)(end - at);
    memcpy(&lo, at, MIN(left, (size_t)8));
    if (shift + width > 64 && left > 8)
        hi = (uint8_t)at[8];
    uint64_t v = lo >> shift;
    if (shift + width > 64)
        v |= hi << (64 - shift);
    return width == 64 ? v : v & ((UINT64_C(1) << width) - 1);
}

static bool get_group(bytes_reader *r, int64_t *ret, uint32_t n)
{
    uint64_t min = (uint64_t)get_zigzag(r);
    unsigned width = get_u8(r);
    if (r->failed || width > 64)
        return false;
    str packed = get_bytes(r, ((uint64_t)width * n + 7) / 8);
    if (r->failed)
        return false;
    const char *end = packed.ptr + packed.len;
    for (uint32_t i = 0; i < n; i++)
        ret[i] =
            (int64_t)(min + (width ? load_bits(packed.ptr, end, (size_t)i * width, width) : 0));
    return true;
}

static void sum_up(int64_t *v, uint32_t n, int order)
{
    if (order == DELTA2) {
        for (uint32_t i = 2; i < n; i++)
            v[i] = (int64_t)((uint64_t)v[i] + (uint64_t)v[i - 1]);
    }
    for (uint32_t i = 1; i < n && order >= DELTA; i++)
        v[i] = (int64_t)((uint64_t)v[i] + (uint64_t)v[i - 1]);
}

bool column_get_ints(bytes_reader *r, int64_t *ret, uint32_t n)
{
    uint8_t encoding = get_u8(r);
    if (encoding > DELTA2 || r->failed)
        return false;
    if (encoding == CONSTANT) {
        int64_t v = get_zigzag(r);
        for (uint32_t i = 0; i < n; i++)
            ret[i] = v;
        return !r->failed;
    }
    uint32_t skip = (uint32_t)(encoding - PLAIN);
    for (uint32_t i = 0; i < skip && i < n; i++)
        ret[i] = get_zigzag(r);
    for (uint32_t from = skip; from < n; from += GROUP) {
        if (!get_group(r, ret + from, MIN((uint32_t)GROUP, n - from)))
            return false;
    }
    sum_up(ret, n, encoding);
    return !r->failed;
}
