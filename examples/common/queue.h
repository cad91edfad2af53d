// SPDX-License-Identifier: Apache-2.0
/* A queue of text jobs over Redis (REDIS_URL: a list, LPUSH and BRPOP) or, without it, a table in
 * the database. Any thread may push and ask for the length; one thread pops. While the queue is
 * away each call fails within 2 s, and it works again when the queue is back. */
#ifndef EXAMPLES_COMMON_QUEUE_H
#define EXAMPLES_COMMON_QUEUE_H

#include "examples/common/database.h"

typedef struct queue queue;

/* `redis_url` "redis://host:port/db", or NULL or empty: table queue_jobs of `d`. NULL after a
 * message on stderr. */
queue *queue_open(const char *redis_url, database *d, const char *name);
void queue_close(queue *q);
bool queue_push(queue *q, const char *job);
/* The oldest job, to be freed; NULL when none came within timeout_ms or the queue failed. */
char *queue_pop(queue *q, int timeout_ms);
/* Jobs that wait; -1 when the queue failed. */
long queue_length(queue *q);
/* Whether it answers now; one line that says what is wrong otherwise. For health checks. */
bool queue_ping(queue *q, char *detail, size_t size);
/* "redis", or the database's: "postgresql", "sqlite" */
const char *queue_system(const queue *q);

#endif
