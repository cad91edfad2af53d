// SPDX-License-Identifier: Apache-2.0
/* Trace and span ids from the thread's random states. Trace ids meet those of all processes, so
 * they have 128 random bits of a state of 256; span ids meet those of one trace, and a state that
 * counts gives each of them once. */
#ifndef SONDE_LIB_IDS_H
#define SONDE_LIB_IDS_H

#include "base/random.h"

static inline void ids_next_trace(random_state *random, uint64_t ret[2])
{
    do {
        ret[0] = random_next(random);
        ret[1] = random_next(random);
    } while (UNLIKELY(ret[0] == 0 || ret[1] == 0));
}

/* One instruction, so that a signal handler comes before it or after it. */
static inline uint64_t ids_step(uint64_t *state)
{
#if defined(__x86_64__)
    uint64_t step = RANDOM_SPLIT_STEP;
    __asm__("xaddq %0, %1" : "+r"(step), "+m"(*state) : : "cc");
    return step;
#else
    return __atomic_fetch_add(state, RANDOM_SPLIT_STEP, __ATOMIC_RELAXED);
#endif
}

static inline uint64_t ids_next_span(uint64_t *state)
{
    uint64_t id = random_mix(ids_step(state));
    return LIKELY(id != 0) ? id : 1;
}

/* The same for a span that nobody will record: it only has to differ. */
static inline uint64_t ids_next_quiet(uint64_t *state)
{
    uint64_t id = ids_step(state) * UINT64_C(0xd6e8feb86659fd93);
    return LIKELY(id != 0) ? id : 1;
}

#endif
