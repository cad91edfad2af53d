// SPDX-License-Identifier: Apache-2.0
/* The jobs of PersonaWorlds between the API and the worker: one queue for each type, so that each
 * has a depth of its own. A job is a JSON object:
 *
 *   {"trace_id":"5f0c…", "job_id":"job_71c2…", "type":"generate_post", "subject":"post_9e1d…",
 *    "user_id":"ada"}
 *
 * trace_id is the request id of the HTTP request that the job comes from, absent where none was. */
#ifndef EXAMPLES_PERSONAWORLDS_JOB_QUEUE_H
#define EXAMPLES_PERSONAWORLDS_JOB_QUEUE_H

#include "examples/common/queue.h"

#include <sonde/sonde.h>

typedef enum { JOB_GENERATE_POST, JOB_MODERATE, JOB_SEND_DIGEST, JOB_TYPES } job_type;

/* "generate_post"; also the last part of its queue's name */
extern const char *const job_type_names[JOB_TYPES];
extern const char *const job_queue_names[JOB_TYPES];

/* The preset's fields, where trace_id is the id that a job brought along. The ids of spans have
 * other names beside it. */
#define PERSONAWORLDS_LOG_FORMAT "personaworlds,trace=span_trace_id,span=span_id"

/* How the request id travels: as trace_id, and nothing else of a trace. */
extern const sonde_json_options job_trace;

typedef struct {
    queue *queues[JOB_TYPES];
} job_queue;

/* False after a message on stderr. */
bool job_queue_open(job_queue *q, database *d);
void job_queue_close(job_queue *q);

/* Puts a job about `subject` (a post or a period) into its queue, with the current request id, and
 * writes its id. False when the queue did not take it. */
bool job_queue_push(job_queue *q, job_type type, const char *subject, char ret_id[32]);

/* queue_depth{type}; while a queue is away its depth stays what it was. */
void job_queue_metrics(job_queue *q);

#endif
