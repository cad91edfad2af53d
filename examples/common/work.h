// SPDX-License-Identifier: Apache-2.0
/* Threads that take jobs from a queue and hand them to a function, until the end. Each thread has a
 * queue connection and an HTTP client of its own; while the queue is away they wait and try again.
 */
#ifndef EXAMPLES_COMMON_WORK_H
#define EXAMPLES_COMMON_WORK_H

#include "examples/common/database.h"
#include "examples/common/web_client.h"

#include <jansson.h>

typedef struct work work;

/* `text` is the payload as it was pushed, `job` the same as JSON (NULL when it is none); both are
 * released afterwards. Runs on the thread that `client` belongs to. */
typedef void work_handler(const char *text, const json_t *job, web_client *client, void *user);

/* For a handler whose job cannot be done now, such as while the database is away: the job goes back
 * into the queue when the handler returns, and the thread rests for half a second. When the queue
 * is away too, it goes back as that of a program that died (queue.h). */
void work_put_back(void);

typedef struct {
    database *database; /* for a queue that is a table */
    const char *queue;
    unsigned threads; /* at most 16 */
    work_handler *handler;
    void *user;
} work_options;

/* NULL after a message on stderr. */
work *work_start(const work_options *options);
/* Finishes the jobs that run. */
void work_stop(work *w);

#endif
