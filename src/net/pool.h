// SPDX-License-Identifier: Apache-2.0
/* Worker threads with a bounded queue. Threads start when work finds none idle, so that an idle
 * server has none. Any thread may submit. */
#ifndef SONDE_NET_POOL_H
#define SONDE_NET_POOL_H

#include "base/error.h"

typedef struct pool pool;
typedef void pool_job(void *arg);

typedef struct {
    const char *name; /* of its threads, at most 15 bytes */
    unsigned threads;
    unsigned queue; /* jobs waiting, at most */
    size_t stack_bytes;
} pool_options;

MUST_USE status pool_new(pool **ret, const pool_options *options, pool_job *job, error *err);
/* False: the queue is full (or stopped), or no thread could be started; arg stays the caller's. */
bool pool_submit(pool *p, void *arg);
unsigned pool_waiting(const pool *p); /* jobs; about */
/* Runs what is queued, then ends the threads. False: some still ran after limit_ms; they are left
 * to themselves and the pool must not be freed. */
bool pool_stop(pool *p, unsigned limit_ms);
void pool_free(pool *p); /* after pool_stop returned true, or unused; NULL is fine */

#endif
