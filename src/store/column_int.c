// SPDX-License-Identifier: Apache-2.0
/* Integer columns: constant, plain, delta or delta of delta, bit-packed in groups of 128 over their
 * minimum; or delta whose groups begin anew, so that a part of a column is read without what stands
 * before it; see column.h. */
#include "store/column.h"

enum { GROUP = 128, CONSTANT = 0, PLAIN = 1, DELTA = 2, DELTA2 = 3, RESTARTS = 4 };

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

static void put_packed(buf *out, const int64_t *v, uint32_t from, uint32_t to, int order)
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

/* The first number of each group, then the differences within it. */
static void put_restarts(buf *out, const int64_t *v, uint32_t n)
{
    buf_char(out, RESTARTS);
    for (uint32_t from = 0; from < n; from += GROUP) {
        uint32_t to = MIN(from + GROUP, n);
        put_zigzag(out, v[from]);
        if (to - from > 1)
            put_packed(out, v, from + 1, to, DELTA);
    }
}

static size_t size_of_restarts(const int64_t *v, uint32_t n)
{
    size_t size = 0;
    for (uint32_t from = 0; from < n; from += GROUP) {
        uint32_t to = MIN(from + GROUP, n);
        int64_t min = 0;
        unsigned width = 0;
        size += varint_size(zigzag(v[from]));
        if (to - from == 1)
            continue;
        group_range(v, from + 1, to, DELTA, &min, &width);
        size += varint_size(zigzag(min)) + 1 + ((size_t)width * (to - from - 1) + 7) / 8;
    }
    return size;
}

static bool is_constant(const int64_t *v, uint32_t n)
{
    for (uint32_t i = 1; i < n; i++) {
        if (v[i] != v[0])
            return false;
    }
    return true;
}

static int best_order(const int64_t *v, uint32_t n)
{
    int best = PLAIN;
    size_t best_size = size_of(v, n, PLAIN);
    for (int order = DELTA; order <= DELTA2; order++) {
        size_t size = size_of(v, n, order);
        if (size < best_size) {
            best = order;
            best_size = size;
        }
    }
    return best;
}

static void put_constant(buf *out, int64_t v)
{
    buf_char(out, CONSTANT);
    put_zigzag(out, v);
}

static void put_order(buf *out, const int64_t *v, uint32_t n, int order)
{
    buf_char(out, (char)order);
    uint32_t skip = (uint32_t)(order - PLAIN);
    for (uint32_t i = 0; i < skip && i < n; i++)
        put_zigzag(out, i == 0 ? v[0] : nth(v, i, DELTA));
    for (uint32_t from = skip; from < n; from += GROUP)
        put_packed(out, v, from, MIN(from + GROUP, n), order);
}

void column_put_ints(buf *out, const int64_t *v, uint32_t n)
{
    if (is_constant(v, n))
        put_constant(out, n ? v[0] : 0);
    else
        put_order(out, v, n, best_order(v, n));
}

void column_put_ints_in_groups(buf *out, const int64_t *v, uint32_t n)
{
    if (is_constant(v, n))
        put_constant(out, n ? v[0] : 0);
    else if (size_of(v, n, PLAIN) <= size_of_restarts(v, n))
        put_order(out, v, n, PLAIN);
    else
        put_restarts(out, v, n);
}

/* ---- reading ---- */

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

/* Eight numbers take `width` bytes, so that within them every shift is a constant. */
static inline __attribute__((always_inline)) void unpack_eights(const char *p, uint64_t min,
                                                                unsigned width, uint32_t eights,
                                                                int64_t *ret)
{
    const uint64_t mask = (UINT64_C(1) << width) - 1;
    for (uint32_t i = 0; i < eights; i++, p += width, ret += 8) {
        for (unsigned k = 0; k < 8; k++) {
            uint64_t bits;
            memcpy(&bits, p + (size_t)k * width / 8, 8);
            ret[k] = (int64_t)(min + ((bits >> (k * width % 8)) & mask));
        }
    }
}

enum { FAST_WIDTH = 57 }; /* with a shift of up to 7 bits it fits 64 */

/* Never inlined into a caller that knows the width: the compiler makes one loop for each. */
static void unpack_fast(const char *p, uint64_t min, unsigned width, uint32_t eights, int64_t *ret)
{
#define WIDTH(w) \
    case w: \
        unpack_eights(p, min, w, eights, ret); \
        break;
#define WIDTHS(w) WIDTH(w) WIDTH(w + 1) WIDTH(w + 2) WIDTH(w + 3)
    switch (width) {
        WIDTHS(1)
        WIDTHS(5)
        WIDTHS(9)
        WIDTHS(13)
        WIDTHS(17) WIDTHS(21) WIDTHS(25) default : unpack_eights(p, min, width, eights, ret);
        break;
    }
#undef WIDTHS
#undef WIDTH
}

/* `bytes` holds n numbers; `end` is how far may be read behind them. */
static void unpack(str bytes, const char *end, uint64_t min, unsigned width, uint32_t n,
                   int64_t *ret)
{
    uint32_t i = 0;
    if (width == 0) {
        for (; i < n; i++)
            ret[i] = (int64_t)min;
        return;
    }
    if (width <= FAST_WIDTH) {
        size_t reach = (size_t)7 * width / 8 + 8, left = (size_t)(end - bytes.ptr);
        uint32_t eights = left < reach ? 0 : (uint32_t)((left - reach) / width + 1);
        eights = MIN(eights, n / 8);
        unpack_fast(bytes.ptr, min, width, eights, ret);
        i = eights * 8;
    }
    for (; i < n; i++)
        ret[i] =
            (int64_t)(min + load_bits(bytes.ptr, bytes.ptr + bytes.len, (size_t)i * width, width));
}

typedef struct {
    uint64_t min;
    unsigned width;
    str packed;
} group;

static inline bool get_group(bytes_reader *r, uint32_t n, group *ret)
{
    ret->min = (uint64_t)get_zigzag(r);
    ret->width = get_u8(r);
    if (r->failed || ret->width > 64)
        return false;
    ret->packed = get_bytes(r, ((uint64_t)ret->width * n + 7) / 8);
    return !r->failed;
}

bool column_open_ints(bytes_reader *r, uint32_t n, int_column *ret)
{
    *ret = (int_column){ .encoding = get_u8(r), .count = n, .end = r->end };
    if (ret->encoding > RESTARTS || r->failed)
        return false;
    if (ret->encoding == CONSTANT) {
        ret->first = get_zigzag(r);
        ret->groups = ret->behind = r->at;
        ret->linear = true;
        return !r->failed;
    }
    uint32_t skip = ret->encoding == RESTARTS ? 0 : (uint32_t)(ret->encoding - PLAIN);
    ret->first = skip > 0 && n > 0 ? get_zigzag(r) : 0;
    ret->step = skip > 1 && n > 1 ? get_zigzag(r) : 0;
    ret->groups = r->at;
    bool flat = ret->encoding == DELTA2;
    for (uint32_t from = skip; from < n; from += GROUP) {
        uint32_t in_group = MIN((uint32_t)GROUP, n - from);
        group g = { 0 };
        if (ret->encoding == RESTARTS)
            get_varint(r);
        if ((ret->encoding != RESTARTS || in_group > 1) &&
            !get_group(r, in_group - (ret->encoding == RESTARTS), &g))
            return false;
        flat = flat && g.min == 0 && g.width == 0;
    }
    ret->linear = flat;
    ret->behind = r->at;
    return !r->failed;
}

/* The numbers of groups, some of which are wanted. */
typedef struct {
    uint32_t from, to;
    int64_t *ret;
} wanted;

static void keep(const wanted *w, uint32_t at, const int64_t *v, uint32_t n)
{
    uint32_t from = MAX(at, w->from), to = MIN(at + n, w->to);
    if (from < to)
        memcpy(w->ret + (from - w->from), v + (from - at), (to - from) * sizeof(int64_t));
}

static void read_plain(const int_column *c, bytes_reader *r, const wanted *w)
{
    int64_t v[GROUP];
    for (uint32_t at = 0; at < w->to; at += GROUP) {
        uint32_t n = MIN((uint32_t)GROUP, c->count - at);
        group g = { 0 };
        if (!get_group(r, n, &g))
            return;
        if (at + n <= w->from)
            continue;
        bool whole = at >= w->from && at + n <= w->to;
        int64_t *to = whole ? w->ret + (at - w->from) : v;
        unpack(g.packed, c->end, g.min, g.width, n, to);
        if (!whole)
            keep(w, at, v, n);
    }
}

static void read_restarts(const int_column *c, bytes_reader *r, const wanted *w)
{
    int64_t v[GROUP];
    for (uint32_t at = 0; at < w->to; at += GROUP) {
        uint32_t n = MIN((uint32_t)GROUP, c->count - at);
        group g = { 0 };
        uint64_t sum = (uint64_t)get_zigzag(r);
        if (n > 1 && !get_group(r, n - 1, &g))
            return;
        if (at + n <= w->from)
            continue;
        unpack(g.packed, c->end, g.min, g.width, n - 1, v + 1);
        v[0] = (int64_t)sum;
        for (uint32_t i = 1; i < n; i++)
            v[i] = (int64_t)(sum += (uint64_t)v[i]);
        keep(w, at, v, n);
    }
}

/* Each number needs all before it. */
static void read_sums(const int_column *c, bytes_reader *r, const wanted *w)
{
    bool twice = c->encoding == DELTA2;
    int64_t v[GROUP] = { c->first, (int64_t)((uint64_t)c->first + (uint64_t)c->step) };
    uint32_t at = twice ? 2 : 1;
    uint64_t sum = (uint64_t)v[at - 1], step = (uint64_t)c->step;
    keep(w, 0, v, MIN(at, c->count));
    for (; at < w->to; at += GROUP) {
        uint32_t n = MIN((uint32_t)GROUP, c->count - at);
        group g = { 0 };
        if (!get_group(r, n, &g))
            return;
        unpack(g.packed, c->end, g.min, g.width, n, v);
        for (uint32_t i = 0; i < n; i++) {
            step = twice ? step + (uint64_t)v[i] : (uint64_t)v[i];
            v[i] = (int64_t)(sum += step);
        }
        keep(w, at, v, n);
    }
}

void column_ints_part(const int_column *c, uint32_t from, uint32_t to, int64_t *ret)
{
    if (c->linear) {
        uint64_t at = (uint64_t)c->first + from * (uint64_t)c->step;
        for (uint32_t i = 0; i < to - from; i++, at += (uint64_t)c->step)
            ret[i] = (int64_t)at;
        return;
    }
    bytes_reader r = { .at = c->groups, .end = c->end };
    wanted w = { from, to, ret };
    if (c->encoding == PLAIN)
        read_plain(c, &r, &w);
    else if (c->encoding == RESTARTS)
        read_restarts(c, &r, &w);
    else
        read_sums(c, &r, &w);
}

bool column_get_ints(bytes_reader *r, int64_t *ret, uint32_t n)
{
    int_column c;
    if (!column_open_ints(r, n, &c))
        return false;
    column_ints_part(&c, 0, n, ret);
    return true;
}
