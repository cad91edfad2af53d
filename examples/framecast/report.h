// SPDX-License-Identifier: Apache-2.0
/* What a pod got to do, and how it reports on it to the webhook that came with it. */
#ifndef EXAMPLES_FRAMECAST_REPORT_H
#define EXAMPLES_FRAMECAST_REPORT_H

#include "examples/framecast/framecast.h"

#include <sonde/sonde.h>

typedef struct {
    char generation_id[32];
    char user_id[FRAMECAST_MAX_NAME], team_id[FRAMECAST_MAX_NAME];
    char prompt[2 * FRAMECAST_MAX_PROMPT];
    char output_key[80], upload_url[FRAMECAST_MAX_URL];
    char webhook_url[FRAMECAST_MAX_URL], webhook_token[64];
    sonde_context context; /* of the request that brought it */
    int64_t taken_ms;      /* of config_now_ms */
    bool gone;             /* nobody wants it any more */
} pod_job;

/* From the body of POST /run; false when something is missing or too long. */
bool pod_job_read(pod_job *ret, const json_t *body);

/* Says that it is being worked on, or waits; false when it need not go on. No span: a report a
 * second says nothing about the work. */
bool report_progress(web_client *client, const pod_job *job, int percent);

typedef struct {
    const char *status;       /* completed, failed */
    const char *failure_type; /* NULL when completed */
    double gpu_seconds;
} pod_ending;
/* Tries for a minute while the API is away. */
void report_end(web_client *client, const pod_job *job, const pod_ending *ending);

#endif
