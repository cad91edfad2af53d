// SPDX-License-Identifier: Apache-2.0
/* What stands in front of a route table's handlers: who may call, from which pages, how often, and
 * with how large a body. Made with the route set. */
#ifndef SONDE_NET_POLICY_H
#define SONDE_NET_POLICY_H

#include "net/rate.h"
#include "net/server.h"

typedef struct {
    http_authenticate *authenticate; /* NULL: everybody may */
    void *user;
    str *origins; /* NULL: no cross-origin requests */
    size_t origin_count;
    str *headers;
    size_t header_count;
    int64_t max_age_s;
    size_t body_bytes;  /* 0: the server's */
    rate_limiter *rate; /* NULL: none */
} policy;

MUST_USE status policy_init(policy *p, const http_route_table *table, error *err);
void policy_done(policy *p);

/* Adds what a page of another origin needs to read the answer. */
void policy_cors_answer(const policy *p, http_exchange *x);
/* A preflight for `method`: x is answered in full with 204. */
void policy_cors_preflight(const policy *p, http_exchange *x, str method);
/* False: x was answered with 429. Network thread. */
bool policy_rate(policy *p, http_exchange *x);
/* False: x was answered with 401. */
bool policy_authenticate(const policy *p, http_exchange *x);

#endif
