// SPDX-License-Identifier: Apache-2.0
/* The clock of records: the time stamp counter where it runs at one rate on all CPUs, else
 * CLOCK_REALTIME in nanoseconds. tsc_init is called once, before the first recorder. */
#ifndef SONDE_LIB_TSC_H
#define SONDE_LIB_TSC_H

#include "base/base.h"

#include <time.h>
#if defined(__x86_64__)
#include <x86intrin.h>
#endif

extern bool tsc_usable; /* written by tsc_init only */
void tsc_init(void);

static inline uint64_t tsc_now(void)
{
#if defined(__x86_64__)
    if (LIKELY(tsc_usable))
        return __rdtsc();
#endif
    struct timespec t;
    clock_gettime(CLOCK_REALTIME, &t);
    return (uint64_t)t.tv_sec * NS_PER_S + (uint64_t)t.tv_nsec;
}

#endif
