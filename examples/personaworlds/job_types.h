// SPDX-License-Identifier: Apache-2.0
/* What the worker does for each type of job. Each may be done twice (a worker can die between the
 * work and the queue's notice of it), so each leaves the same behind the second time. */
#ifndef EXAMPLES_PERSONAWORLDS_JOB_TYPES_H
#define EXAMPLES_PERSONAWORLDS_JOB_TYPES_H

#include "examples/personaworlds/job_queue.h"
#include "examples/personaworlds/model.h"

typedef enum {
    JOB_DONE,
    JOB_REFUSED, /* trying again would not help */
    JOB_RETRY,   /* may work the next time, within the limit of attempts */
    JOB_WAITS,   /* what it stands on is away: no fault of the job, tried until that is back */
} job_outcome;

typedef struct {
    database *database;
    job_queue *jobs;
    web_client *client;
    const char *subject;          /* the post's id, or the digest's period */
    char error[MODEL_TEXT_BYTES]; /* what went wrong */
} job_run;

typedef job_outcome job_function(job_run *run);

extern job_function *const job_functions[JOB_TYPES];

#endif
