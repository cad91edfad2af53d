// SPDX-License-Identifier: Apache-2.0
/* The verbs: what a program calls on its hot paths. A bound counter that rises is one load of the
 * thread's shard number, one of the cell's address and one add, and one look at whether a sampled
 * span is current. */
#include "lib/metric_exemplar.h"
#include "lib/metric_exp.h"

#include "base/clock.h"

#include <math.h>

/* A metric without labels has its one series at hand. */
static inline metric_series *series_of(metric *m, const char *const *labels, size_t count)
{
    if (LIKELY(count == 0 && m && m->label_count == 0))
        return atomic_load_explicit(&m->only, memory_order_acquire);
    return metric_lookup(m, labels, count);
}

/* ---- counters ---- */

/* What the common case leaves out: a first update, shards of several threads, exemplars. Apart from
 * it, so that the common case needs no frame of its own. */
static __attribute__((noinline)) void counter_add_slow(metric_series *s, int64_t n)
{
    bool owned;
    if (!s)
        return;
    if (n < 0 && !s->falls) {
        metric_count_dropped(METRIC_DROP_INVALID);
        return;
    }
    uint64_t *cell = cell_of(s, &owned);
    if (!cell)
        return;
    add_u64(&cell[0], (uint64_t)n, owned);
    if (exemplar_wanted())
        metric_exemplar_put(s, 0, (uint64_t)n, true);
}

/* The cell, when it is the thread's own and nothing more is to be done with the update. */
static inline uint64_t *cell_at_hand(metric_series *s)
{
    uint32_t shard = metric_shard();
    uint64_t *cell = atomic_load_explicit(&s->cell[shard], memory_order_acquire);
    return LIKELY(is_owned(shard) && !exemplar_wanted()) ? cell : NULL;
}

static inline void counter_add_i64(metric_series *s, int64_t n)
{
    uint64_t *cell;
    if (LIKELY(s && n >= 0 && (cell = cell_at_hand(s))))
        add_u64(&cell[0], (uint64_t)n, true);
    else
        counter_add_slow(s, n);
}

static void mark_floating(metric *m)
{
    if (!(atomic_fetch_or(&m->flags, RECORDER_METRIC_FLOATING) & RECORDER_METRIC_FLOATING) &&
        metric_lock()) {
        if (m->row)
            __atomic_or_fetch(&m->row->flags, RECORDER_METRIC_FLOATING, __ATOMIC_RELAXED);
        metric_unlock();
    }
}

static inline void counter_add_f64(metric_series *s, double n)
{
    bool owned;
    if (UNLIKELY(!isfinite(n) || (n < 0 && !s->falls))) {
        metric_count_dropped(METRIC_DROP_INVALID);
        return;
    }
    uint32_t flags = atomic_load_explicit(&s->metric->flags, memory_order_relaxed);
    if (UNLIKELY(!(flags & RECORDER_METRIC_FLOATING)))
        mark_floating(s->metric);
    uint64_t *cell = cell_of(s, &owned);
    if (UNLIKELY(!cell))
        return;
    add_f64(&cell[1], n, owned);
    if (UNLIKELY(exemplar_wanted()))
        metric_exemplar_put(s, 0, as_bits(n), false);
}

void sonde_bound_counter_add_i64(sonde_bound_counter *c, int64_t n)
{
    counter_add_i64((metric_series *)c, n);
}

void sonde_bound_counter_add_f64(sonde_bound_counter *c, double n)
{
    if (LIKELY(c))
        counter_add_f64((metric_series *)c, n);
}

void sonde_counter_add_i64(sonde_counter *c, int64_t n, const char *const *labels, size_t count)
{
    metric_series *s = series_of((metric *)c, labels, count);
    if (LIKELY(s))
        counter_add_i64(s, n);
}

void sonde_counter_add_f64(sonde_counter *c, double n, const char *const *labels, size_t count)
{
    metric_series *s = series_of((metric *)c, labels, count);
    if (LIKELY(s))
        counter_add_f64(s, n);
}

void metric_set_total(sonde_counter *c, double total)
{
    metric_series *s = c ? atomic_load(&((metric *)c)->only) : NULL;
    if (!s)
        return;
    /* Nobody adds to such a counter, so its whole value can stand in the shared cell. */
    mark_floating(s->metric);
    uint64_t *cell = metric_cell_shared(s);
    if (cell)
        __atomic_store_n(&cell[1], as_bits(total), __ATOMIC_RELAXED);
}

void metric_set_whole(sonde_counter *c, const char *label, uint64_t total)
{
    metric_series *s = metric_lookup((metric *)c, &label, 1);
    uint64_t *cell = s ? metric_cell_shared(s) : NULL;
    if (cell)
        __atomic_store_n(&cell[0], total, __ATOMIC_RELAXED);
}

/* ---- gauges ---- */

static inline uint64_t *gauge_cell(metric_series *s)
{
    /* One cell for all threads, but none of its own for a forked child: index 0 then. */
    uint64_t *cell = atomic_load_explicit(&s->cell[1 & *metric_mark], memory_order_acquire);
    return LIKELY(cell) ? cell : metric_cell_slow(s);
}

static inline void gauge_set(metric_series *s, double v)
{
    uint64_t *cell = gauge_cell(s);
    if (UNLIKELY(!cell))
        return;
    __atomic_store_n(&cell[0], as_bits(v), __ATOMIC_RELAXED);
    __atomic_store_n(&cell[1], 1 | METRIC_GAUGE_TOUCHED, __ATOMIC_RELAXED);
}

static inline void gauge_add(metric_series *s, double v)
{
    uint64_t *cell = gauge_cell(s);
    if (UNLIKELY(!cell))
        return;
    add_f64(&cell[0], v, false);
    __atomic_store_n(&cell[1], 1 | METRIC_GAUGE_TOUCHED, __ATOMIC_RELAXED);
}

void sonde_bound_gauge_set_f64(sonde_bound_gauge *g, double v)
{
    if (LIKELY(g))
        gauge_set((metric_series *)g, v);
}

void sonde_bound_gauge_add_f64(sonde_bound_gauge *g, double v)
{
    if (LIKELY(g))
        gauge_add((metric_series *)g, v);
}

void sonde_gauge_set_f64(sonde_gauge *g, double v, const char *const *labels, size_t count)
{
    metric_series *s = series_of((metric *)g, labels, count);
    if (LIKELY(s))
        gauge_set(s, v);
}

void sonde_gauge_add_f64(sonde_gauge *g, double v, const char *const *labels, size_t count)
{
    metric_series *s = series_of((metric *)g, labels, count);
    if (LIKELY(s))
        gauge_add(s, v);
}

/* ---- histograms ---- */

/* How many bounds lie below v. Long lists are halved until 16 are left, which are all compared:
 * that has no branch to mispredict. */
static inline uint32_t bucket_of(const double *bounds, uint32_t count, double v)
{
    typedef double pair __attribute__((vector_size(16), aligned(8)));
    typedef int64_t pair_count __attribute__((vector_size(16)));
    uint32_t below = 0;
    while (count > 16) {
        uint32_t half = (count / 2 + 7) & ~7u;
        if (v > bounds[half - 1]) {
            bounds += half;
            below += half;
            count -= half;
        } else {
            count = half;
        }
    }
    pair value = { v, v };
    pair_count n = { 0, 0 };
    for (uint32_t i = 0; i < count; i += 8)
        for (uint32_t k = 0; k < 8; k += 2)
            n -= (pair_count)(value > *(const pair *)(bounds + i + k));
    return below + (uint32_t)(n[0] + n[1]);
}

/* The place of a value's exemplar: neighbouring buckets share one when there are many. */
static inline uint32_t exemplar_place(const metric_series *s, uint32_t bucket)
{
    const metric *m = s->metric;
    return bucket * m->exemplar_count / (m->bound_count + 1);
}

static void histogram_exemplar(metric_series *s, double v)
{
    uint32_t place = 0;
    if (s->bounds)
        place = exemplar_place(s, bucket_of(s->bounds, s->bounds_padded, v));
    else if (v > 0)
        place = (uint32_t)exp_index(v, 1) % s->metric->exemplar_count;
    metric_exemplar_put(s, place, as_bits(v), false);
}

static __attribute__((noinline)) void histogram_record_slow(metric_series *s, double v)
{
    bool owned;
    if (!s)
        return;
    if (s->bounds ? v != v : !isfinite(v)) {
        metric_count_dropped(METRIC_DROP_INVALID);
        return;
    }
    uint64_t *cell = cell_of(s, &owned);
    if (!cell)
        return;
    if (s->bounds) {
        add_u64(&cell[1 + bucket_of(s->bounds, s->bounds_padded, v)], 1, owned);
        add_f64(&cell[0], v, owned);
    } else if (!owned || !exp_record(s, cell, v)) {
        metric_exp_record_locked(s, (recorder_exp_cell *)cell, v);
    }
    if (exemplar_wanted())
        histogram_exemplar(s, v);
}

static inline void histogram_record(metric_series *s, double v)
{
    uint64_t *cell;
    if (LIKELY(s && v == v && (cell = cell_at_hand(s)))) {
        const double *bounds = s->bounds;
        if (bounds) {
            add_u64(&cell[1 + bucket_of(bounds, s->bounds_padded, v)], 1, true);
            add_f64(&cell[0], v, true);
            return;
        }
        if (LIKELY(exp_record(s, cell, v)))
            return;
    }
    histogram_record_slow(s, v);
}

void sonde_bound_histogram_record_f64(sonde_bound_histogram *h, double v)
{
    histogram_record((metric_series *)h, v);
}

void sonde_histogram_record_f64(sonde_histogram *h, double v, const char *const *labels,
                                size_t count)
{
    metric_series *s = series_of((metric *)h, labels, count);
    if (LIKELY(s))
        histogram_record(s, v);
}

/* ---- binding and timers ---- */

sonde_bound_counter *sonde_counter_bind_labels(sonde_counter *c, const char *const *labels,
                                               size_t count)
{
    return (sonde_bound_counter *)metric_lookup((metric *)c, labels, count);
}

sonde_bound_gauge *sonde_gauge_bind_labels(sonde_gauge *g, const char *const *labels, size_t count)
{
    return (sonde_bound_gauge *)metric_lookup((metric *)g, labels, count);
}

sonde_bound_histogram *sonde_histogram_bind_labels(sonde_histogram *h, const char *const *labels,
                                                   size_t count)
{
    return (sonde_bound_histogram *)metric_lookup((metric *)h, labels, count);
}

sonde_timer sonde_timer_start(sonde_bound_histogram *h)
{
    return (sonde_timer){ h, h ? clock_mono_ns() : 0 };
}

void sonde_timer_stop(sonde_timer *t)
{
    if (!t || !t->histogram)
        return;
    sonde_bound_histogram_record_f64(t->histogram,
                                     (double)(clock_mono_ns() - t->start_ns) / (double)NS_PER_S);
    t->histogram = NULL;
}
