// SPDX-License-Identifier: Apache-2.0
/* Work of one query spread over the cores: the calling thread does it, and threads of a pool that
 * are idle help. The pool is made at first use, one thread less than there are cores, and lives as
 * long as the process. Any thread may call; a helping thread waits for nothing but its work. */
#ifndef SONDE_QUERY_WORKERS_H
#define SONDE_QUERY_WORKERS_H

#include "base/error.h"

enum { WORKERS_MAX = 16 };

/* Items first to end - 1. `slot` (below WORKERS_MAX) is this thread's alone until workers_run
 * returns; 0 is the caller's. Anything but STATUS_OK ends the whole. */
typedef status workers_job(void *user, uint32_t slot, uint32_t first, uint32_t end);

/* Gives out items 0 to count - 1 in runs of `grain`. Returns when all are done, or with the status
 * of a job that failed. */
MUST_USE status workers_run(uint32_t count, uint32_t grain, workers_job *job, void *user);

#endif
