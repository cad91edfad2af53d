// SPDX-License-Identifier: Apache-2.0
/* Token buckets by client address, in a table of fixed size: where it is full, the address that was
 * quiet for longest is forgotten, which is to say trusted again. One thread at a time. */
#ifndef SONDE_NET_RATE_H
#define SONDE_NET_RATE_H

#include "base/base.h"

/* IPv6, or IPv4 mapped into it; all zero: unknown. */
typedef struct {
    uint8_t bytes[16];
} ip_address;

typedef struct rate_limiter rate_limiter;

/* NULL: no memory. per_second > 0; burst >= 1. */
rate_limiter *rate_limiter_new(double per_second, double burst);
void rate_limiter_free(rate_limiter *r);
/* 0: go on. Else the nanoseconds after which one more is allowed. IPv6 addresses of one /64 are one
 * client. */
int64_t rate_limiter_take(rate_limiter *r, const ip_address *a, int64_t now_ns);

#endif
