// SPDX-License-Identifier: Apache-2.0
/* Double columns: decimals as scaled integers with exceptions (after ALP), else byte planes under
 * zstd; see column.h. Stale markers and other NaNs are exceptions and come back bit by bit. */
#include "store/column.h"

#include <math.h>

enum {
    CONSTANT = 0,
    DECIMALS = 1,
    PLANES = 2,
    RAW = 3,
    EXPONENT_MAX = 18,
    SAMPLE = 32,
    STACK_VALUES = 8192
};

static const double powers[EXPONENT_MAX + 1] = { 1e0,  1e1,  1e2,  1e3,  1e4,  1e5,  1e6,
                                                 1e7,  1e8,  1e9,  1e10, 1e11, 1e12, 1e13,
                                                 1e14, 1e15, 1e16, 1e17, 1e18 };
static inline uint64_t bits_of(double d)
{
    uint64_t u;
    memcpy(&u, &d, 8);
    return u;
}

/* Division by an exact power is rounded correctly, so that a decimal of up to 15 digits always
 * comes back; multiplying by 10^-e, as ALP does, needs a second exponent for that. */
static inline double unscale(int64_t d, int e)
{
    return (double)d / powers[e];
}

/* False: an exception. */
static inline bool scale(double v, int e, int64_t *ret)
{
    double x = v * powers[e];
    if (!(fabs(x) < 9.0e15))
        return false;
    int64_t d = (int64_t)(x + (x < 0 ? -0.5 : 0.5));
    *ret = d;
    return bits_of(unscale(d, e)) == bits_of(v);
}

static uint32_t exceptions(const double *v, uint32_t n, uint32_t step, int e, uint32_t stop)
{
    uint32_t count = 0;
    int64_t d;
    for (uint32_t i = 0; i < n && count < stop; i += step)
        count += !scale(v[i], e, &d);
    return count;
}

/* The smallest exponent with the fewest exceptions in a sample; returns how many to expect. */
static uint32_t find_exponent(const double *v, uint32_t n, int *ret_e)
{
    uint32_t step = MAX(n / SAMPLE, 1u), best = UINT32_MAX;
    for (int e = 0; e <= EXPONENT_MAX && best; e++) {
        uint32_t x = exceptions(v, n, step, e, best);
        if (x < best) {
            best = x;
            *ret_e = e;
        }
    }
    return best * step;
}

static bool put_decimals(buf *out, const double *v, uint32_t n, int e)
{
    int64_t scaled[STACK_VALUES];
    uint32_t except = 0, last = 0;
    int64_t fill = 0;
    for (uint32_t i = 0; i < n; i++) {
        if (scale(v[i], e, &scaled[i])) {
            fill = scaled[i];
        } else {
            scaled[i] = fill;
            except++;
        }
    }
    if (except > n / 4 + 1)
        return false;
    buf_char(out, DECIMALS);
    buf_char(out, (char)e);
    column_put_ints_in_groups(out, scaled, n);
    put_varint(out, except);
    for (uint32_t i = 0; i < n && except; i++) {
        int64_t d;
        if (scale(v[i], e, &d))
            continue;
        put_varint(out, i - last);
        buf_add(out, &v[i], 8);
        last = i;
    }
    return true;
}

static void put_planes(buf *out, const double *v, uint32_t n)
{
    char planes[STACK_VALUES * 8];
    for (uint32_t i = 0; i < n; i++) {
        uint64_t u = bits_of(v[i]);
        for (uint32_t b = 0; b < 8; b++)
            planes[b * n + i] = (char)(u >> (8 * b));
    }
    buf_char(out, PLANES);
    column_put_frame(out, str_n(planes, (size_t)n * 8));
}

void column_put_doubles(buf *out, const double *v, uint32_t n)
{
    bool constant = true;
    for (uint32_t i = 1; i < n && constant; i++)
        constant = bits_of(v[i]) == bits_of(v[0]);
    int e = 0;
    if (constant) {
        double first = n ? v[0] : 0;
        buf_char(out, CONSTANT);
        buf_add(out, &first, 8);
    } else if (n <= STACK_VALUES && find_exponent(v, n, &e) <= n / 4 + 1 &&
               put_decimals(out, v, n, e)) {
        return;
    } else if (n >= SAMPLE && n <= STACK_VALUES) {
        put_planes(out, v, n);
    } else {
        buf_char(out, RAW);
        buf_add(out, v, (size_t)n * 8);
    }
}

/* Whole numbers, whose bits are in v, over a power of ten. What is below 2^51 becomes the fraction
 * of 1.5 * 2^52, which is as exact as a conversion and done for several at once. */
static void unscale_all(double *v, uint32_t n, int e)
{
    const uint64_t half = UINT64_C(1) << 51;
    const double shift = 6755399441055744.0, power = powers[e];
    uint64_t over = 0, d;
    for (uint32_t i = 0; i < n; i++) {
        memcpy(&d, &v[i], 8);
        over |= (d + half) >> 52;
    }
    for (uint32_t i = 0; over && i < n; i++) {
        memcpy(&d, &v[i], 8);
        v[i] = (double)(int64_t)d;
    }
    for (uint32_t i = 0; !over && i < n; i++) {
        double sum;
        memcpy(&d, &v[i], 8);
        d += UINT64_C(0x4338000000000000); /* the bits of shift */
        memcpy(&sum, &d, 8);
        v[i] = sum - shift;
    }
    for (uint32_t i = 0; e && i < n; i++)
        v[i] /= power;
}

static bool get_decimals(bytes_reader *r, double *ret, uint32_t n, uint32_t from, uint32_t to)
{
    int e = get_u8(r);
    int_column c;
    if (e > EXPONENT_MAX || !column_open_ints(r, n, &c))
        return false;
    column_ints_part(&c, from, to, (int64_t *)(void *)ret);
    unscale_all(ret, to - from, e);
    uint32_t count = get_count(r, n);
    uint64_t at = 0;
    for (uint32_t i = 0; i < count; i++) {
        at += get_varint(r);
        str bytes = get_bytes(r, 8);
        if (r->failed || at >= n)
            return false;
        if (at >= from && at < to)
            memcpy(&ret[at - from], bytes.ptr, 8);
    }
    return !r->failed;
}

static bool get_planes(bytes_reader *r, double *ret, uint32_t n, uint32_t from, uint32_t to)
{
    arena a;
    arena_init(&a, MiB(64));
    str planes;
    bool ok = column_get_frame(r, (uint64_t)n * 8, &a, &planes) && planes.len == (size_t)n * 8;
    for (uint32_t i = from; ok && i < to; i++) {
        uint64_t u = 0;
        for (uint32_t b = 0; b < 8; b++)
            u |= (uint64_t)(uint8_t)planes.ptr[(size_t)b * n + i] << (8 * b);
        memcpy(&ret[i - from], &u, 8);
    }
    arena_done(&a);
    return ok;
}

bool column_get_doubles_part(bytes_reader *r, double *ret, uint32_t n, uint32_t from, uint32_t to)
{
    switch (get_u8(r)) {
    case CONSTANT: {
        str bytes = get_bytes(r, 8);
        for (uint32_t i = from; i < to && !r->failed; i++)
            memcpy(&ret[i - from], bytes.ptr, 8);
        return !r->failed;
    }
    case DECIMALS:
        return get_decimals(r, ret, n, from, to);
    case PLANES:
        return get_planes(r, ret, n, from, to);
    case RAW: {
        str bytes = get_bytes(r, (uint64_t)n * 8);
        if (!r->failed)
            memcpy(ret, bytes.ptr + (size_t)from * 8, (size_t)(to - from) * 8);
        return !r->failed;
    }
    default:
        return false;
    }
}

bool column_get_doubles(bytes_reader *r, double *ret, uint32_t n)
{
    return column_get_doubles_part(r, ret, n, 0, n);
}
