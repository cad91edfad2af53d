// SPDX-License-Identifier: Apache-2.0
/* A pod's reports; see report.h. */
#include "examples/framecast/report.h"

#include "examples/common/config.h"
#include "examples/common/json_field.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { REPORT_MS = 3000, TRIES = 120, BETWEEN_MS = 500 };

bool pod_job_read(pod_job *ret, const json_t *body)
{
    const json_t *webhook = json_object_get(body, "webhook");
    const struct {
        const json_t *from;
        const char *name;
        char *to;
        size_t size;
    } fields[] = {
        { body, "generation_id", ret->generation_id, sizeof(ret->generation_id) },
        { body, "user_id", ret->user_id, sizeof(ret->user_id) },
        { body, "prompt", ret->prompt, sizeof(ret->prompt) },
        { body, "output_key", ret->output_key, sizeof(ret->output_key) },
        { body, "upload_url", ret->upload_url, sizeof(ret->upload_url) },
        { webhook, "url", ret->webhook_url, sizeof(ret->webhook_url) },
        { webhook, "token", ret->webhook_token, sizeof(ret->webhook_token) },
    };
    *ret = (pod_job){ 0 };
    for (size_t i = 0; i < sizeof(fields) / sizeof(fields[0]); i++) {
        const char *text = json_text(fields[i].from, fields[i].name, fields[i].size - 1);
        if (!text)
            return false;
        snprintf(fields[i].to, fields[i].size, "%s", text);
    }
    snprintf(ret->team_id, sizeof(ret->team_id), "%s",
             json_text(body, "team_id", sizeof(ret->team_id) - 1) ?: "");
    return true;
}

/* Takes the report; the answer's status, 0 without one. *ret_gone: it need not go on. */
static long deliver(web_client *client, const pod_job *job, json_t *report, bool *ret_gone)
{
    char *text = json_dumps(report, JSON_COMPACT);
    json_decref(report);
    if (!text)
        return 0;
    web_response answer = web_send(client, "POST", job->webhook_url, "application/json", text,
                                   strlen(text), REPORT_MS);
    json_t *said = answer.status == 200 ? json_loadb(answer.bytes, answer.size, 0, NULL) : NULL;
    *ret_gone = strcmp(json_text(said, "generation", 15) ?: "", "gone") == 0;
    long status = answer.status;
    json_decref(said);
    web_response_done(&answer);
    free(text);
    return status;
}

static json_t *new_report(const pod_job *job, const char *status)
{
    return json_pack("{ss ss ss ss ss}", "generation_id", job->generation_id, "user_id",
                     job->user_id, "team_id", job->team_id, "token", job->webhook_token, "status",
                     status);
}

/* The job's trace, marked as not recorded, with its request id. */
static sonde_context unrecorded(const pod_job *job)
{
    char trace[33] = "", span[17] = "", request_id[132] = "";
    sonde_context inside = job->context;
    SONDE_WITH (inside) {
        sonde_str id = sonde_request_id();
        sonde_trace_id(trace);
        sonde_span_id(span);
        snprintf(request_id, sizeof(request_id), "%.*s", (int)id.len, id.len ? id.ptr : "");
    }
    sonde_context c = sonde_context_of_ids(trace, span, false);
    sonde_attr id = sonde_kv("request_id", (const char *)request_id);
    sonde_context_set(&c, &id);
    return c;
}

bool report_progress(web_client *client, const pod_job *job, int percent)
{
    bool gone = false;
    json_t *report = new_report(job, "processing");
    json_object_set_new(report, "progress_percent", json_integer(percent));
    sonde_context quiet = unrecorded(job);
    SONDE_WITH (quiet)
        deliver(client, job, report, &gone);
    return !gone;
}

void report_end(web_client *client, const pod_job *job, const pod_ending *ending)
{
    bool gone = false;
    for (int i = 0; i < TRIES; i++) {
        json_t *report = new_report(job, ending->status);
        json_object_set_new(report, "gpu_seconds", json_real(ending->gpu_seconds));
        json_object_set_new(report, "output_key", json_string(job->output_key));
        if (ending->failure_type)
            json_object_set_new(report, "failure_type", json_string(ending->failure_type));
        long status = deliver(client, job, report, &gone);
        if (status && status < 500)
            return;
        sonde_warn_limited(1, "Report was not taken", sonde_kv("status", status));
        if (config_wait(BETWEEN_MS))
            break;
    }
    sonde_error("Report was lost", sonde_kv("generation_status", ending->status));
}
