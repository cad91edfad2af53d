// SPDX-License-Identifier: Apache-2.0
/* Recording into the cell of an exponential histogram (codec/recorder_metric_format.h). A thread
 * with a shard of its own updates it by plain instructions and is alone in changing its scale; a
 * shared or private cell is updated under its lock. */
#ifndef SONDE_LIB_METRIC_EXP_H
#define SONDE_LIB_METRIC_EXP_H

#include "lib/metric_cell.h"

#include "codec/exp_histogram.h"

/* Records under the cell's lock: cells that others write, values that are not above 0 or not
 * finite, a first value, one that needs another scale. */
void metric_exp_record_locked(metric_series *s, recorder_exp_cell *c, double v);
/* Moves what is in a cell of private memory to one that readers see. Registry locked. */
void metric_exp_move(recorder_exp_cell *to, recorder_exp_cell *from, const metric *m);
/* Whether anything was recorded. */
static inline bool metric_exp_is_used(const recorder_exp_cell *c)
{
    return c->min || c->max;
}
/* Makes a cell's count zero. */
void metric_exp_clear(recorder_exp_cell *c, uint32_t size);

/* Where a bank has the count of `index`, which lies within `size` of the anchor. */
static inline uint64_t *exp_count_at(recorder_exp_cell *c, uint64_t state, uint32_t size,
                                     int32_t index)
{
    int64_t *bank = (int64_t *)((char *)c + recorder_exp_bank(state, size));
    int32_t at = index - (int32_t)bank[0];
    at += (at >> 31) & (int32_t)size;
    return (uint64_t *)bank + 1 + at;
}

static inline void exp_set_extremes(recorder_exp_cell *c, double v)
{
    if (UNLIKELY(v < as_f64(c->min ^ RECORDER_EXP_LEAST_BITS)))
        __atomic_store_n(&c->min, as_bits(v) ^ RECORDER_EXP_LEAST_BITS, __ATOMIC_RELAXED);
    if (UNLIKELY(v > as_f64(c->max ^ RECORDER_EXP_MOST_BITS)))
        __atomic_store_n(&c->max, as_bits(v) ^ RECORDER_EXP_MOST_BITS, __ATOMIC_RELAXED);
}

/* For v above 0, whose bits are ordered like it, and are above those of all values below 0. */
static inline void exp_set_extremes_above(recorder_exp_cell *c, uint64_t bits)
{
    if (UNLIKELY((int64_t)bits < (int64_t)(c->min ^ RECORDER_EXP_LEAST_BITS)))
        __atomic_store_n(&c->min, bits ^ RECORDER_EXP_LEAST_BITS, __ATOMIC_RELAXED);
    if (UNLIKELY((int64_t)bits > (int64_t)(c->max ^ RECORDER_EXP_MOST_BITS)))
        __atomic_store_n(&c->max, bits ^ RECORDER_EXP_MOST_BITS, __ATOMIC_RELAXED);
}

/* Records into a cell that only this thread writes. False, and nothing done, when that takes more
 * than the common case. */
static inline bool exp_record(metric_series *s, uint64_t *cell, double v)
{
    recorder_exp_cell *c = (recorder_exp_cell *)cell;
    uint32_t size = s->bounds_padded;
    uint64_t state = c->state, bits = as_bits(v);
    bool is_plain = bits - 1 < RECORDER_EXP_LEAST_BITS - 1; /* finite and above 0 */
    if (UNLIKELY(!is_plain || c->is_shared || !state))
        return false;
    int32_t index = exp_index(v, RECORDER_EXP_SCALE(state));
    if (UNLIKELY((uint32_t)(index - RECORDER_EXP_START(state)) >= size))
        return false;
    add_u64(exp_count_at(c, state, size, index), 1, true);
    add_f64(&c->sum, v, true);
    exp_set_extremes_above(c, bits);
    return true;
}

#endif
