// SPDX-License-Identifier: Apache-2.0
/* Random bytes; see random.h. */
#include "base/random.h"

#include "base/clock.h"
#include "base/str.h"

#include <errno.h>
#include <sys/random.h>
#include <unistd.h>

/* splitmix64 (Steele, Lea, Flood 2014), to spread a seed over a state. */
static uint64_t splitmix(uint64_t *state)
{
    uint64_t z = (*state += UINT64_C(0x9e3779b97f4a7c15));
    z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
    return z ^ (z >> 31);
}

bool random_seed(void *ret, size_t n)
{
    char *p = ret;
    size_t done = 0;
    while (done < n) {
        ssize_t got = getrandom(p + done, n - done, GRND_NONBLOCK);
        if (got > 0)
            done += (size_t)got;
        else if (got < 0 && errno != EINTR)
            break;
    }
    if (done == n)
        return true;
    uint64_t state = (uint64_t)clock_now_ns() ^ (uint64_t)clock_mono_ns() << 20 ^
                     (uintptr_t)&state ^ (uint64_t)getpid() << 40;
    for (; done < n; done++)
        p[done] = (char)splitmix(&state);
    return false;
}

void random_init(random_state *r, uint64_t seed)
{
    for (size_t i = 0; i < 4; i++)
        r->s[i] = splitmix(&seed);
}

static uint64_t rotate(uint64_t x, int k)
{
    return x << k | x >> (64 - k);
}

uint64_t random_next(random_state *r)
{
    uint64_t *s = r->s;
    uint64_t result = rotate(s[1] * 5, 7) * 9, t = s[1] << 17;
    s[2] ^= s[0];
    s[3] ^= s[1];
    s[1] ^= s[2];
    s[0] ^= s[3];
    s[2] ^= t;
    s[3] = rotate(s[3], 45);
    return result;
}

bool constant_time_eq(const void *a, const void *b, size_t n)
{
    const volatile uint8_t *x = a, *y = b;
    uint8_t difference = 0;
    for (size_t i = 0; i < n; i++)
        difference |= x[i] ^ y[i];
    return difference == 0;
}
