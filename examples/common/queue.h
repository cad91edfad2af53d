// SPDX-License-Identifier: Apache-2.0
/* A queue of text jobs over Redis (REDIS_URL; 6.2 or later) or, without it, a table in the
 * database. Any thread may push, ping and ask for the length; one thread pops.
 *
 * Each job is handed out at least once: a popped job is kept, as being worked on, until queue_done,
 * the next queue_pop or queue_close of the same handle. If the program dies before, the job goes
 * back to the front of the queue after QUEUE_LEASE_S (15) seconds, as soon as any program pops from
 * it. So handlers must bear to see a job twice.
 *
 * While the queue is away each call fails within 2 s (queue_pop: its timeout and 2 s); one line is
 * logged when the first handle of a name finds it away and one when the last finds it back. It
 * works again by itself. Nothing is sent twice. */
#ifndef EXAMPLES_COMMON_QUEUE_H
#define EXAMPLES_COMMON_QUEUE_H

#include "examples/common/database.h"

typedef struct queue queue;

/* `redis_url` "redis://[[user]:password@]host[:port][/number]", or NULL or empty: table queue_jobs
 * of `d`. Waits for it as startup.h says; NULL after it was logged that the service cannot start.
 */
queue *queue_open(const char *redis_url, database *d, const char *name);
/* No other thread may use it. */
void queue_close(queue *q);
bool queue_push(queue *q, const char *job);
/* The oldest job, to be freed; NULL when none came within timeout_ms, the queue failed (it has
 * waited all the same), or the program ends. */
char *queue_pop(queue *q, int timeout_ms);
/* The popped job is finished, whatever became of it. False when the queue failed: it is told
 * later. */
bool queue_done(queue *q);
/* The popped job goes back to those that wait. False when the queue failed: then it goes back in
 * time, as that of a program that died. */
bool queue_return(queue *q);
/* Jobs that wait; -1 when the queue failed. */
long queue_length(queue *q);
/* Whether it answers now; one line that says what is wrong otherwise. For health checks. */
bool queue_ping(queue *q, char *detail, size_t size);
/* "redis", or the database's: "postgresql", "sqlite" */
const char *queue_system(const queue *q);

#endif
