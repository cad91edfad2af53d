// SPDX-License-Identifier: Apache-2.0
/* The queues of jobs; see job_queue.h. */
#include "examples/personaworlds/job_queue.h"

#include "examples/common/config.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

const char *const job_type_names[JOB_TYPES] = { "generate_post", "moderate", "send_digest" };
const char *const job_queue_names[JOB_TYPES] = { "personaworlds:generate_post",
                                                 "personaworlds:moderate",
                                                 "personaworlds:send_digest" };

const sonde_json_options job_trace = { .request_id_member = "trace_id", .request_id_only = true };

bool job_queue_open(job_queue *q, database *d)
{
    bool good = true;
    for (int type = 0; type < JOB_TYPES; type++) {
        q->queues[type] = queue_open(config_text("REDIS_URL", NULL), d, job_queue_names[type]);
        good = good && q->queues[type];
    }
    return good;
}

void job_queue_close(job_queue *q)
{
    for (int type = 0; type < JOB_TYPES; type++)
        queue_close(q->queues[type]);
}

/* The object as text, with the members that carry the request id first. */
static char *payload(json_t *job)
{
    char trace[256], *text = NULL;
    char *plain = json_dumps(job, JSON_COMPACT);
    size_t length = sonde_inject_json_as(trace, sizeof(trace), &job_trace);
    if (plain && asprintf(&text, "{%s%s%s", trace, length ? "," : "", plain + 1) < 0)
        text = NULL;
    free(plain);
    return text;
}

bool job_queue_push(job_queue *q, job_type type, const char *subject, char ret_id[32])
{
    config_new_id("job_", ret_id);
    sonde_str user = sonde_context_get("user_id");
    json_t *job =
        json_pack("{ss ss ss}", "job_id", ret_id, "type", job_type_names[type], "subject", subject);
    bool good = false;
    if (user.len)
        json_object_set_new(job, "user_id", json_stringn(user.ptr, user.len));
    SONDE_SPAN_KIND (
        SONDE_PRODUCER, "enqueue job", sonde_kv("messaging.system", queue_system(q->queues[type])),
        sonde_kv("messaging.operation.name", "send"),
        sonde_kv("messaging.destination.name", job_queue_names[type]),
        sonde_kv("job.id", (const char *)ret_id), sonde_kv("job.type", job_type_names[type])) {
        char *text = payload(job);
        good = text && queue_push(q->queues[type], text);
        free(text);
        if (!good)
            sonde_span_fail("the queue did not take the job");
    }
    json_decref(job);
    if (good)
        sonde_info("job_enqueued", sonde_kv("job_id", (const char *)ret_id),
                   sonde_kv("job_type", job_type_names[type]));
    return good;
}

static void read_depths(sonde_gauge *gauge, void *user)
{
    job_queue *q = user;
    for (int type = 0; type < JOB_TYPES; type++) {
        long n = queue_length(q->queues[type]);
        if (n >= 0)
            sonde_gauge_set(gauge, (double)n, job_type_names[type]);
    }
}

void job_queue_metrics(job_queue *q)
{
    sonde_gauge_callback("queue_depth", "Jobs that wait, by type.", read_depths, q,
                         SONDE_LABELS("type"));
}
