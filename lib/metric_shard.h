// SPDX-License-Identifier: Apache-2.0
/* Which shard a thread updates, and whether the process has forked since: read together on every
 * update. A thread without a shard, and every thread of a forked child, has number 0, for which no
 * series has a cell, and so comes to the slow path without a branch of its own. */
#ifndef SONDE_LIB_METRIC_SHARD_H
#define SONDE_LIB_METRIC_SHARD_H

#include "base/base.h"

/* 0 until the thread's first update. */
extern _Thread_local uint32_t metric_thread_shard __attribute__((tls_model("initial-exec")));
/* All bits set; zero in the child of a fork (the page is wiped by the kernel). */
extern const volatile uint32_t *metric_mark;

static inline uint32_t metric_shard(void)
{
    return metric_thread_shard & *metric_mark;
}

/* Gives the calling thread a shard if it has none, until it ends. */
void metric_shard_take(void);
/* Allocates the page behind metric_mark. */
void metric_mark_init(void);
/* In the child of a fork: true once, if it forked since the last call; then only the calling thread
 * has a shard. */
bool metric_shard_forked(void);

#endif
