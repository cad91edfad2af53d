// SPDX-License-Identifier: Apache-2.0
/* The rate limit of new traces; see span_sampler.h. */
#include "lib/span_sampler.h"

#include "lib/env.h"

#include <time.h>

#define RATE_MAX 1e9 /* a second: more is no limit */

state_sampler sampler_from(const settings *s)
{
    double kept = s->sampler == SAMPLER_ALWAYS_OFF ? 0.0
                  : s->sampler == SAMPLER_RATIO    ? s->sampler_ratio
                                                   : 1.0;
    state_sampler sampler = { .parent_based = s->sampler_parent_based,
                              .on_error = s->always_on_error };
    if (s->sampler == SAMPLER_RATE && s->sampler_rate < RATE_MAX) {
        double rate = s->sampler_rate;
        kept = rate > 0 ? 1.0 : 0.0;
        if (rate > 0) {
            /* At most once in 100 years. */
            double interval_ns = MIN((double)NS_PER_S / rate, 3.2e18);
            sampler.interval_ns = (uint64_t)interval_ns;
            sampler.burst_ns = (uint64_t)(interval_ns * MAX(1.0, rate));
        }
    }
    sampler.reject_below = (uint64_t)((1.0 - kept) * (double)STATE_REJECT_ALL);
    return sampler;
}

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
