// SPDX-License-Identifier: Apache-2.0
/* Random bytes; see random.h. */
#include "base/random.h"

#include "base/clock.h"
#include "base/str.h"

#include <errno.h>
#include <sys/random.h>
#include <unistd.h>

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
        p[done] = (char)random_split(&state);
    return false;
}

void random_init(random_state *r, uint64_t seed)
{
    for (size_t i = 0; i < 4; i++)
        r->s[i] = random_split(&seed);
}

bool constant_time_eq(const void *a, const void *b, size_t n)
{
    const volatile uint8_t *x = a, *y = b;
    uint8_t difference = 0;
    for (size_t i = 0; i < n; i++)
        difference |= x[i] ^ y[i];
    return difference == 0;
}
