// SPDX-License-Identifier: Apache-2.0
/* How a thread reaches and updates its cell of a series. A shard of the thread's own is updated by
 * plain instructions (an integer by a single one, so that a signal handler may add, too); a shared
 * one atomically. */
#ifndef SONDE_LIB_METRIC_CELL_H
#define SONDE_LIB_METRIC_CELL_H

#include "lib/metric.h"
#include "lib/metric_shard.h"

static inline bool is_owned(uint32_t shard)
{
    return shard <= METRIC_OWNED_SHARDS;
}

/* The thread's cell and, in *ret_owned, whether no other thread writes it. */
static inline uint64_t *cell_of(metric_series *s, bool *ret_owned)
{
    uint32_t shard = metric_shard();
    uint64_t *cell = atomic_load_explicit(&s->cell[shard], memory_order_acquire);
    if (UNLIKELY(!cell)) {
        cell = metric_cell_slow(s);
        shard = metric_shard();
    }
    *ret_owned = is_owned(shard);
    return cell;
}

/* One instruction where the machine has one that adds to memory. */
static inline void add_u64(uint64_t *at, uint64_t n, bool owned)
{
#if defined(__x86_64__)
    if (LIKELY(owned)) {
        __asm__ volatile("addq %1, %0" : "+m"(*at) : "er"(n) : "cc");
        return;
    }
#endif
    (void)owned;
    __atomic_fetch_add(at, n, __ATOMIC_RELAXED);
}

static inline double as_f64(uint64_t bits)
{
    double v;
    memcpy(&v, &bits, sizeof(v));
    return v;
}

static inline uint64_t as_bits(double v)
{
    uint64_t bits;
    memcpy(&bits, &v, sizeof(bits));
    return bits;
}

static inline void add_f64(uint64_t *at, double n, bool owned)
{
    uint64_t old = __atomic_load_n(at, __ATOMIC_RELAXED);
    if (LIKELY(owned)) {
        __atomic_store_n(at, as_bits(as_f64(old) + n), __ATOMIC_RELAXED);
        return;
    }
    while (!__atomic_compare_exchange_n(at, &old, as_bits(as_f64(old) + n), true, __ATOMIC_RELAXED,
                                        __ATOMIC_RELAXED))
        ;
}

#endif
