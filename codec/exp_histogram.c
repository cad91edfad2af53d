// SPDX-License-Identifier: Apache-2.0
/* Buckets of exponential histograms: see exp_histogram.h. */
#include "codec/exp_histogram.h"

int32_t exp_index_fine(int32_t exponent, uint64_t mantissa, int scale)
{
    if (mantissa == 0)
        return (int32_t)((uint32_t)exponent << scale) - 1;
    uint32_t ended = exp_first[mantissa >> 43];
    ended += exp_ends[ended] < mantissa;
    /* v = 2^((ended - 1) / 256) * (1 + x) with x below 0.0028: five terms of the logarithm give
     * its bits to the last. */
    uint64_t one = UINT64_C(1023) << 52, v_bits = one | mantissa,
             end_bits = one | exp_ends[ended - 1];
    double v, end;
    memcpy(&v, &v_bits, sizeof(v));
    memcpy(&end, &end_bits, sizeof(end));
    double x = (v - end) / end;
    double ln = x * (1 - x * (1.0 / 2 - x * (1.0 / 3 - x * (1.0 / 4 - x / 5))));
    double at = ((double)(ended - 1) / 256 + ln * 1.4426950408889634) * (double)(1 << scale);
    int32_t whole = (int32_t)at;
    int32_t index = (double)whole < at ? whole : whole - 1;
    return (int32_t)((uint32_t)exponent << scale) + MAX(index, 0);
}

void exp_sum_downscale(exp_sum *s, int scale)
{
    if (s->count == 0 || s->scale <= scale) {
        if (s->count == 0)
            s->scale = scale;
        return;
    }
    int shift = s->scale - scale;
    int32_t start = s->start >> shift;
    uint32_t count = 0;
    for (uint32_t i = 0; i < s->count; i++) {
        uint32_t to = (uint32_t)(((s->start + (int32_t)i) >> shift) - start);
        uint64_t n = s->counts[i];
        if (to != i)
            s->counts[i] = 0;
        if (to != i)
            s->counts[to] += n;
        count = to + 1;
    }
    s->scale = scale;
    s->start = start;
    s->count = count;
}

/* Moves the counts up so that the sum begins at `start`. */
static void begin_at(exp_sum *s, int32_t start)
{
    uint32_t up = (uint32_t)(s->start - start);
    memmove(s->counts + up, s->counts, s->count * sizeof(s->counts[0]));
    memset(s->counts, 0, up * sizeof(s->counts[0]));
    s->count += up;
    s->start = start;
}

void exp_sum_add(exp_sum *to, uint32_t size, int scale, int32_t start, const uint64_t *counts,
                 uint32_t count)
{
    while (count > 0 && counts[count - 1] == 0)
        count--;
    for (; count > 0 && counts[0] == 0; count--, counts++)
        start++;
    if (count == 0)
        return;
    int common = to->count > 0 ? MIN(to->scale, scale) : scale;
    int64_t low, high;
    for (;; common--) {
        low = start >> (scale - common);
        high = (start + (int64_t)count - 1) >> (scale - common);
        if (to->count > 0) {
            int shift = to->scale - common;
            low = MIN(low, to->start >> shift);
            high = MAX(high, (to->start + (int64_t)to->count - 1) >> shift);
        }
        if (high - low < size)
            break;
    }
    exp_sum_downscale(to, common);
    if (to->count == 0)
        to->start = (int32_t)low;
    else if (low < to->start)
        begin_at(to, (int32_t)low);
    uint32_t needed = (uint32_t)(high - to->start) + 1;
    if (needed > to->count) {
        memset(to->counts + to->count, 0, (needed - to->count) * sizeof(to->counts[0]));
        to->count = needed;
    }
    to->scale = common;
    for (uint32_t i = 0; i < count; i++)
        to->counts[((start + (int32_t)i) >> (scale - common)) - to->start] += counts[i];
}

bool exp_sum_copy(const exp_sum *s, arena *a, exp_buckets *ret)
{
    uint32_t from = 0, end = s->count;
    while (end > 0 && s->counts[end - 1] == 0)
        end--;
    while (from < end && s->counts[from] == 0)
        from++;
    *ret = (exp_buckets){ 0 };
    if (from == end)
        return true;
    uint64_t *counts = ARENA_ARRAY(a, uint64_t, end - from);
    if (!counts)
        return false;
    memcpy(counts, s->counts + from, (end - from) * sizeof(counts[0]));
    *ret = (exp_buckets){ s->start + (int32_t)from, end - from, counts };
    return true;
}

bool exp_sum_of(exp_sum *ret, const exp_buckets *buckets, int scale, int wanted)
{
    ret->count = 0;
    ret->scale = wanted;
    ret->start = 0;
    if (buckets->count == 0)
        return true;
    int shift = MIN(MAX(scale - wanted, 0), 31);
    int64_t low = buckets->offset >> shift;
    int64_t high = ((int64_t)buckets->offset + buckets->count - 1) >> shift;
    if (high - low >= EXP_SIZE_MAX || high > INT32_MAX)
        return false;
    ret->start = (int32_t)low;
    ret->count = (uint32_t)(high - low) + 1;
    memset(ret->counts, 0, ret->count * sizeof(ret->counts[0]));
    for (uint32_t i = 0; i < buckets->count; i++)
        ret->counts[(((int64_t)buckets->offset + i) >> shift) - low] += buckets->counts[i];
    return true;
}
