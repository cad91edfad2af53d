// SPDX-License-Identifier: Apache-2.0
/* The rate limit of new traces; see span_sampler.h. */
#include "lib/span_sampler.h"

#include <time.h>

bool sampler_take(_Atomic uint64_t *taken_until_ns, uint64_t now_ns, uint64_t interval_ns,
                  uint64_t burst_ns)
{
    uint64_t until = atomic_load_explicit(taken_until_ns, memory_order_relaxed), next;
    do {
        next = MAX(until, now_ns) + interval_ns;
        if (next - now_ns > burst_ns)
            return false;
    } while (!atomic_compare_exchange_weak_explicit(taken_until_ns, &until, next,
                                                    memory_order_relaxed, memory_order_relaxed));
    return true;
}

bool sampler_rate_allows(void)
{
    static _Atomic uint64_t taken_until_ns;
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC_COARSE, &now);
    return sampler_take(&taken_until_ns, (uint64_t)(now.tv_sec * NS_PER_S + now.tv_nsec),
                        state_one.sampler.interval_ns, state_one.sampler.burst_ns);
}
