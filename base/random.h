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

static inline uint64_t random_next(random_state *r)
{
    uint64_t *s = r->s, mixed = s[1] * 5, t = s[1] << 17;
    s[2] ^= s[0];
    s[3] ^= s[1];
    s[1] ^= s[2];
    s[0] ^= s[3];
    s[2] ^= t;
    s[3] = s[3] << 45 | s[3] >> 19;
    return (mixed << 7 | mixed >> 57) * 9;
}

#define RANDOM_SPLIT_STEP UINT64_C(0x9e3779b97f4a7c15)

/* splitmix64 (Steele, Lea, Flood 2014): one addition per number, so that each of 2^64 comes once.
 * One thread per state. */
static inline uint64_t random_mix(uint64_t z)
{
    z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
    return z ^ (z >> 31);
}

static inline uint64_t random_split(uint64_t *state)
{
    return random_mix(*state += RANDOM_SPLIT_STEP);
}

/* Same time for every content of the same length. */
bool constant_time_eq(const void *a, const void *b, size_t n);

#endif
