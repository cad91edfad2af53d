// SPDX-License-Identifier: Apache-2.0
/* Which traces are sampled: the decision that the first span of a trace makes for all of it. No
 * locks; safe in signal handlers. */
#ifndef SONDE_LIB_SPAN_SAMPLER_H
#define SONDE_LIB_SPAN_SAMPLER_H

#include "lib/state_internal.h"

struct settings;
state_sampler sampler_from(const struct settings *s);

/* A bucket of tokens that holds burst_ns / interval_ns of them and gets one each interval_ns (the
 * generic cell rate algorithm: one number, the time up to which tokens were taken). */
bool sampler_take(_Atomic uint64_t *taken_until_ns, uint64_t now_ns, uint64_t interval_ns,
                  uint64_t burst_ns);

/* The answer of the configured rate limit. */
bool sampler_rate_allows(void);

/* `trace`: the id as it lies in memory. By its last 7 bytes, as OpenTelemetry's consistent sampling
 * has it, so that services with one ratio choose the same traces; then by the rate limit. */
static inline bool sampler_keeps(const uint64_t trace[2])
{
    const state_sampler *s = &state_one.sampler;
    if (UNLIKELY(s->reject_below != 0) &&
        (__builtin_bswap64(trace[1]) & (STATE_REJECT_ALL - 1)) < s->reject_below)
        return false;
    return LIKELY(s->interval_ns == 0) || sampler_rate_allows();
}

#endif
