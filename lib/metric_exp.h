// SPDX-License-Identifier: Apache-2.0
/* Recording into the cell of an exponential histogram (codec/recorder_metric_format.h). A thread
 * with a shard of its own updates it by plain instructions and is alone in changing its scale; a
 * shared or private cell is updated under its lock. */
#ifndef SONDE_LIB_METRIC_EXP_H
#define SONDE_LIB_METRIC_EXP_H

#include "lib/metric_cell.h"

#include "codec/exp_histogram.h"

/* Everything but the common case: cells under a lock, values that are not above 0, a first value.
 */
void metric_exp_record_slow(metric_series *s, recorder_exp_cell *c, double v, bool owned);
/* Makes room for `index` at `scale` and returns the state that holds then; 0, counted as dropped,
 * when a signal handler of the thread came while it did so. */
uint64_t metric_exp_room(recorder_exp_cell *c, uint32_t size, int scale, int32_t index);
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

/* v is finite. */
static inline void exp_record(metric_series *s, uint64_t *cell, double v, bool owned)
{
    recorder_exp_cell *c = (recorder_exp_cell *)cell;
    uint32_t size = s->bounds_padded;
    uint64_t state = c->state;
    if (UNLIKELY(!owned || c->is_shared || !state || !(v > 0))) {
        metric_exp_record_slow(s, c, v, owned);
        return;
    }
    int32_t index = exp_index(v, RECORDER_EXP_SCALE(state));
    while (UNLIKELY((uint32_t)(index - RECORDER_EXP_START(state)) >= size)) {
        state = metric_exp_room(c, size, RECORDER_EXP_SCALE(state), index);
        if (!state)
            return;
        index = exp_index(v, RECORDER_EXP_SCALE(state));
    }
    add_u64(exp_count_at(c, state, size, index), 1, true);
    add_f64(&c->sum, v, true);
    exp_set_extremes(c, v);
}

#endif
