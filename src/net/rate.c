// SPDX-License-Identifier: Apache-2.0
/* Token buckets; see rate.h. Open addressing: an address is in one of PROBES places after its hash,
 * so that a lookup and a replacement both cost one cache line or two. */
#include "net/rate.h"

#include "base/clock.h"
#include "base/random.h"

#include <stdlib.h>

enum { ENTRIES = 8192, PROBES = 8 };

typedef struct {
    uint8_t key[16];
    double tokens;
    int64_t at_ns; /* when `tokens` was right; 0: free */
} bucket;

struct rate_limiter {
    double per_second, burst;
    uint64_t seed; /* so that nobody can choose addresses that share places */
    bucket buckets[ENTRIES];
};

rate_limiter *rate_limiter_new(double per_second, double burst)
{
    rate_limiter *r = calloc(1, sizeof(*r));
    if (!r)
        return NULL;
    r->per_second = per_second;
    r->burst = burst;
    (void)random_seed(&r->seed, sizeof(r->seed));
    return r;
}

void rate_limiter_free(rate_limiter *r)
{
    free(r);
}

static void key_of(const ip_address *a, uint8_t key[16])
{
    static const uint8_t mapped[12] = { [10] = 0xff, [11] = 0xff };
    memcpy(key, a->bytes, 16);
    if (memcmp(key, mapped, sizeof(mapped)) != 0)
        memset(key + 8, 0, 8);
}

static bucket *bucket_of(rate_limiter *r, const uint8_t key[16], int64_t now_ns)
{
    uint64_t high, low;
    memcpy(&high, key, 8);
    memcpy(&low, key + 8, 8);
    uint64_t at = random_mix(random_mix(high ^ r->seed) ^ low);
    bucket *oldest = NULL;
    for (unsigned i = 0; i < PROBES; i++) {
        bucket *b = &r->buckets[(at + i) % ENTRIES];
        if (b->at_ns && memcmp(b->key, key, 16) == 0)
            return b;
        if (!oldest || b->at_ns < oldest->at_ns)
            oldest = b;
    }
    memcpy(oldest->key, key, 16);
    oldest->tokens = r->burst;
    oldest->at_ns = MAX(now_ns, 1);
    return oldest;
}

int64_t rate_limiter_take(rate_limiter *r, const ip_address *a, int64_t now_ns)
{
    uint8_t key[16];
    key_of(a, key);
    bucket *b = bucket_of(r, key, now_ns);
    double passed = (double)MAX(now_ns - b->at_ns, 0) / (double)NS_PER_S;
    b->tokens = MIN(r->burst, b->tokens + passed * r->per_second);
    b->at_ns = MAX(now_ns, 1);
    if (b->tokens < 1)
        return MAX((int64_t)((1 - b->tokens) / r->per_second * (double)NS_PER_S), 1);
    b->tokens -= 1;
    return 0;
}
