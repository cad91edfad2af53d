// SPDX-License-Identifier: Apache-2.0
/* What is read while it may change: a cell is taken when its state, and an exemplar when its
 * sequence, is the same before and after; see docs/format/recorder-metrics.md. */
#include "codec/recorder_metric_exp.h"

#include "codec/exp_histogram.h"

#include <math.h>
#include <stdlib.h>

/* A thread may change the scale while a cell is read; it does so a few dozen times in all. */
enum { TRIES = 16 };

typedef struct {
    double sum, min, max;
    uint64_t zeroes;
    exp_sum positive, negative;
} exp_total;

typedef struct {
    recorder_exp_cell head;
    uint64_t bank[1 + EXP_SIZE_MAX];
} exp_copy;

static bool read_bytes(recorder_reader *r, uint64_t offset, void *ret, size_t n)
{
    return recorder_read(r, offset, ret, n, NULL) == STATUS_OK;
}

static double f64_of(uint64_t bits)
{
    double v;
    memcpy(&v, &bits, sizeof(v));
    return v;
}

/* Head and current bank of a cell, as they were together. */
static bool read_cell(recorder_reader *r, uint64_t at, uint32_t size, exp_copy *ret)
{
    for (int i = 0; i < TRIES; i++) {
        uint64_t after;
        if (!read_bytes(r, at, &ret->head, sizeof(ret->head)))
            return false;
        __atomic_thread_fence(__ATOMIC_ACQUIRE);
        uint64_t bank = at + recorder_exp_bank(ret->head.state, size);
        if (!read_bytes(r, bank, ret->bank, 8 * (1 + (size_t)size)))
            return false;
        __atomic_thread_fence(__ATOMIC_ACQUIRE);
        if (!read_bytes(r, at, &after, sizeof(after)))
            return false;
        if (after == ret->head.state)
            return true;
    }
    return false;
}

static bool add_buckets(exp_sum *to, const exp_copy *c, uint32_t size)
{
    uint64_t counts[EXP_SIZE_MAX], state = c->head.state;
    if (!state)
        return true;
    int32_t start = RECORDER_EXP_START(state);
    int scale = RECORDER_EXP_SCALE(state);
    int64_t anchor = (int64_t)c->bank[0];
    if (!(state & RECORDER_EXP_USED) || scale < EXP_SCALE_MIN || scale > EXP_SCALE_MAX ||
        anchor < start || anchor - start >= size || start > (1 << 30) || start < -(1 << 30) - 1)
        return false;
    for (uint32_t i = 0; i < size; i++) {
        int64_t at = start + (int64_t)i - anchor;
        counts[i] = c->bank[1 + (at < 0 ? at + size : at)];
    }
    exp_sum_add(to, size, scale, start, counts, size);
    return true;
}

static bool add_cell(recorder_reader *r, uint64_t at, uint32_t size, exp_total *to)
{
    exp_copy c;
    if (!read_cell(r, at, size, &c) || !add_buckets(&to->positive, &c, size))
        return false;
    to->sum += f64_of(c.head.sum);
    to->zeroes += c.head.zeroes;
    to->min = fmin(to->min, f64_of(c.head.min ^ RECORDER_EXP_LEAST_BITS));
    to->max = fmax(to->max, f64_of(c.head.max ^ RECORDER_EXP_MOST_BITS));
    if (c.head.negative == 0)
        return true;
    uint64_t below = at + (uint64_t)c.head.negative;
    return read_cell(r, below, size, &c) && add_buckets(&to->negative, &c, size);
}

static uint64_t count_of(const exp_sum *s)
{
    uint64_t n = 0;
    for (uint32_t i = 0; i < s->count; i++)
        n += s->counts[i];
    return n;
}

static exp_histogram_value *value_of(arena *a, exp_total *t)
{
    exp_histogram_value *v = ARENA_NEW(a, exp_histogram_value);
    if (!v)
        return NULL;
    int scale = EXP_SCALE_MAX;
    if (t->positive.count > 0)
        scale = t->positive.scale;
    if (t->negative.count > 0)
        scale = MIN(scale, t->negative.scale);
    exp_sum_downscale(&t->positive, scale);
    exp_sum_downscale(&t->negative, scale);
    v->scale = t->positive.count + t->negative.count > 0 ? scale : 0;
    v->zero_count = t->zeroes;
    v->count = t->zeroes + count_of(&t->positive) + count_of(&t->negative);
    v->sum = t->sum;
    v->has_sum = true;
    v->has_min = v->has_max = v->count > 0 && t->min <= t->max;
    v->min = v->has_min ? t->min : 0;
    v->max = v->has_max ? t->max : 0;
    return exp_sum_copy(&t->positive, a, &v->positive) &&
                   exp_sum_copy(&t->negative, a, &v->negative)
               ? v
               : NULL;
}

status recorder_exp_read(recorder_reader *r, arena *a, const recorder_series_row *row,
                         uint32_t size, exp_histogram_value **ret)
{
    exp_total t = { .min = INFINITY, .max = -INFINITY };
    for (uint32_t shard = 0; shard < RECORDER_METRIC_SHARDS; shard++) {
        uint64_t at = (uint64_t)row->cells[shard] * RECORDER_CELL_UNIT;
        if (at != 0 && !add_cell(r, at, size, &t))
            return STATUS_CORRUPT;
    }
    *ret = value_of(a, &t);
    return *ret ? STATUS_OK : STATUS_LIMIT;
}

/* ---- exemplars ---- */

static bool read_exemplar(recorder_reader *r, uint64_t at, exemplar *ret)
{
    recorder_exemplar e;
    uint64_t before, after;
    if (!read_bytes(r, at, &before, sizeof(before)) || before == 0 || (before & 1))
        return false;
    __atomic_thread_fence(__ATOMIC_ACQUIRE);
    if (!read_bytes(r, at, &e, sizeof(e)))
        return false;
    __atomic_thread_fence(__ATOMIC_ACQUIRE);
    if (!read_bytes(r, at, &after, sizeof(after)) || after != before)
        return false;
    *ret = (exemplar){ .time_ns = recorder_ticks_to_ns(r, e.ticks), .is_int = e.is_int != 0 };
    if (ret->is_int)
        ret->i64 = (int64_t)e.value;
    else
        ret->f64 = f64_of(e.value);
    memcpy(ret->trace.bytes, e.trace_id, sizeof(ret->trace.bytes));
    memcpy(ret->span.bytes, e.span_id, sizeof(ret->span.bytes));
    return true;
}

static int by_time(const void *a, const void *b)
{
    int64_t x = ((const exemplar *)a)->time_ns, y = ((const exemplar *)b)->time_ns;
    return (x > y) - (x < y);
}

bool recorder_exemplars_read(recorder_reader *r, arena *a, const recorder_series_row *row,
                             uint32_t count, exemplars *ret)
{
    exemplar found[8];
    uint32_t n = 0;
    uint64_t at = (uint64_t)row->exemplars * RECORDER_CELL_UNIT;
    *ret = (exemplars){ 0 };
    for (uint32_t i = 0; at != 0 && i < count && i < ARRAY_LEN(found); i++)
        if (read_exemplar(r, at + i * sizeof(recorder_exemplar), &found[n]))
            n++;
    if (n == 0)
        return true;
    qsort(found, n, sizeof(found[0]), by_time);
    ret->items = ARENA_ARRAY(a, exemplar, n);
    if (!ret->items)
        return false;
    memcpy(ret->items, found, n * sizeof(found[0]));
    ret->count = n;
    return true;
}
