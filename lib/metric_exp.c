// SPDX-License-Identifier: Apache-2.0
/* The rarer paths of exponential histograms: a scale that falls, cells that several threads share,
 * values that are 0 or below, and what was recorded before there was a recorder. */
#include "lib/metric_exp.h"

#include <sched.h>
#include <stdlib.h>

/* How long a lock is waited for: its holder updates one cell, and yet may be the very thread that
 * waits, when a signal handler records. */
enum { LOCK_TRIES = 20000, LOCK_YIELDS_FROM = 64 };

static bool lock_cell(recorder_exp_cell *c)
{
    for (int i = 0; i < LOCK_TRIES; i++) {
        if (!__atomic_exchange_n(&c->lock, 1, __ATOMIC_ACQUIRE))
            return true;
        if (i >= LOCK_YIELDS_FROM)
            sched_yield();
    }
    metric_count_dropped(METRIC_DROP_FULL);
    return false;
}

static void unlock_cell(recorder_exp_cell *c)
{
    __atomic_store_n(&c->lock, 0, __ATOMIC_RELEASE);
}

/* ---- scale ---- */

static int64_t *bank_of(recorder_exp_cell *c, uint64_t state, uint32_t size)
{
    return (int64_t *)((char *)c + recorder_exp_bank(state, size));
}

static int32_t highest_index(recorder_exp_cell *c, uint64_t state, uint32_t size)
{
    int32_t start = RECORDER_EXP_START(state), anchor = (int32_t)bank_of(c, state, size)[0];
    for (int32_t i = start + (int32_t)size - 1; i > anchor; i--)
        if (*exp_count_at(c, state, size, i) > 0)
            return i;
    return anchor;
}

static uint64_t set_state(recorder_exp_cell *c, uint64_t bank, int scale, int32_t start)
{
    uint64_t state = recorder_exp_state(bank, scale, start);
    __atomic_store_n(&c->state, state, __ATOMIC_RELEASE);
    return state;
}

/* Copies the counts to the other bank at a lower scale, and makes that the one that holds. */
static uint64_t change_scale(recorder_exp_cell *c, uint64_t state, uint32_t size, int shift,
                             int32_t start)
{
    uint64_t other = ~state & RECORDER_EXP_BANK;
    int64_t *to = bank_of(c, other, size);
    int32_t first = RECORDER_EXP_START(state);
    memset(to + 1, 0, size * sizeof(to[0]));
    to[0] = start;
    for (int32_t i = first; i < first + (int32_t)size; i++) {
        uint64_t n = *exp_count_at(c, state, size, i);
        if (n > 0)
            to[1 + (i >> shift) - start] += (int64_t)n;
    }
    return set_state(c, other, RECORDER_EXP_SCALE(state) - shift, start);
}

static uint64_t room_locked(recorder_exp_cell *c, uint32_t size, int scale, int32_t index)
{
    uint64_t state = c->state;
    if (!state) {
        bank_of(c, 0, size)[0] = index;
        return set_state(c, 0, scale, index);
    }
    int now = RECORDER_EXP_SCALE(state), common = MIN(now, scale);
    int32_t start = RECORDER_EXP_START(state), high = highest_index(c, state, size);
    int32_t low_then, high_then;
    for (;; common--) {
        low_then = MIN(start >> (now - common), index >> (scale - common));
        high_then = MAX(high >> (now - common), index >> (scale - common));
        if ((int64_t)high_then - low_then < size || common == EXP_SCALE_MIN)
            break;
    }
    if (common == now)
        return low_then == start ? state : set_state(c, state & RECORDER_EXP_BANK, now, low_then);
    return change_scale(c, state, size, now - common, low_then);
}

/* ---- records that take longer ---- */

/* Adds n to a bucket; the lock is held, or the thread is the cell's only writer. */
static void add_at(recorder_exp_cell *c, uint32_t size, int scale, int32_t index, uint64_t n)
{
    uint64_t state = room_locked(c, size, scale, index);
    int shift = scale - RECORDER_EXP_SCALE(state);
    add_u64(exp_count_at(c, state, size, index >> shift), n, false);
}

static void add_value(recorder_exp_cell *c, uint32_t size, int scale_max, double v)
{
    int scale = c->state ? RECORDER_EXP_SCALE(c->state) : scale_max;
    add_at(c, size, scale, exp_index(v, scale), 1);
}

/* The cell of negative values that belongs to `c`; made when there is none. A private cell has one
 * from the start. Registry locked. */
static recorder_exp_cell *make_negative(recorder_exp_cell *c, const metric *m)
{
    uint64_t offset;
    if (c->negative == 0) {
        char *made = metric_area_alloc(m->cell_bytes, &offset);
        if (!made)
            return NULL;
        __atomic_store_n(&c->negative, made - (char *)c, __ATOMIC_RELEASE);
    }
    return (recorder_exp_cell *)((char *)c + c->negative);
}

static recorder_exp_cell *negative_cell(metric_series *s, recorder_exp_cell *c)
{
    int64_t distance = __atomic_load_n(&c->negative, __ATOMIC_ACQUIRE);
    if (distance)
        return (recorder_exp_cell *)((char *)c + distance);
    if (!metric_lock())
        return NULL;
    recorder_exp_cell *made = make_negative(c, s->metric);
    metric_unlock();
    return made;
}

void metric_exp_record_locked(metric_series *s, recorder_exp_cell *c, double v)
{
    uint32_t size = s->bounds_padded;
    recorder_exp_cell *to = c;
    if (v < 0 && !(to = negative_cell(s, c))) {
        metric_count_dropped(METRIC_DROP_FULL);
        return;
    }
    if (!lock_cell(c))
        return;
    if (v == 0)
        add_u64(&c->zeroes, 1, false);
    else
        add_value(to, size, s->metric->exp_scale, v < 0 ? -v : v);
    add_f64(&c->sum, v, false);
    exp_set_extremes(c, v);
    unlock_cell(c);
}

/* ---- from one cell to another ---- */

void metric_exp_clear(recorder_exp_cell *c, uint32_t size)
{
    size_t bytes = recorder_cell_bytes(RECORDER_EXPONENTIAL, size);
    size_t keep = offsetof(recorder_exp_cell, negative);
    memset((char *)c + sizeof(*c), 0, bytes - sizeof(*c));
    memset(c, 0, keep);
    if (c->negative)
        metric_exp_clear((recorder_exp_cell *)((char *)c + c->negative), size);
}

static void move_buckets(recorder_exp_cell *to, recorder_exp_cell *from, uint32_t size)
{
    uint64_t state = from->state;
    int32_t start = RECORDER_EXP_START(state);
    for (int32_t i = start; state && i < start + (int32_t)size; i++) {
        uint64_t n = *exp_count_at(from, state, size, i);
        if (n > 0)
            add_at(to, size, RECORDER_EXP_SCALE(state), i, n);
    }
}

void metric_exp_move(recorder_exp_cell *to, recorder_exp_cell *from, const metric *m)
{
    uint32_t size = m->bound_count;
    if (!lock_cell(from))
        return;
    if (lock_cell(to)) {
        move_buckets(to, from, size);
        recorder_exp_cell *below = (recorder_exp_cell *)((char *)from + from->negative), *to_below;
        if (from->negative && below->state && (to_below = make_negative(to, m)))
            move_buckets(to_below, below, size);
        add_u64(&to->zeroes, from->zeroes, false);
        add_f64(&to->sum, as_f64(from->sum), false);
        if (metric_exp_is_used(from)) { /* something was counted */
            exp_set_extremes(to, as_f64(from->min ^ RECORDER_EXP_LEAST_BITS));
            exp_set_extremes(to, as_f64(from->max ^ RECORDER_EXP_MOST_BITS));
        }
        metric_exp_clear(from, size);
        unlock_cell(to);
    }
    unlock_cell(from);
}
