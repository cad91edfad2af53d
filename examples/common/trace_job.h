// SPDX-License-Identifier: Apache-2.0
/* The trace of a job that travels through a queue: fields of the job's JSON object. */
#ifndef EXAMPLES_COMMON_TRACE_JOB_H
#define EXAMPLES_COMMON_TRACE_JOB_H

#include <jansson.h>
#include <sonde/sonde.h>

/* Adds "traceparent", "tracestate", "baggage" and "request_id" of the current context, as far as
 * there are any. */
void trace_job_inject(json_t *job);
/* The context that the job was made in; the empty one when it has none. */
sonde_context trace_job_extract(const json_t *job);

#endif
