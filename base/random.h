// SPDX-License-Identifier: Apache-2.0
/* Random bytes. */
#ifndef SONDE_BASE_RANDOM_H
#define SONDE_BASE_RANDOM_H

#include "base/base.h"

/* From the kernel (getrandom); falls back to clock and address bits only where the call is
 * forbidden, and then returns false. */
bool random_seed(void *ret, size_t n);

/* xoshiro256** (Blackman, Vigna 2018): fast, not for secrets. One thread per state. */
typedef struct {
    uint64_t s[4];
} random_state;
void random_init(random_state *r, uint64_t seed);
uint64_t random_next(random_state *r);

/* Same time for every content of the same length. */
bool constant_time_eq(const void *a, const void *b, size_t n);

#endif
