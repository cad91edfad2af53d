// SPDX-License-Identifier: Apache-2.0
/* The research agent: has Yutori look into a question, and asks until the answer is there. */
#define SONDE_LOGGER "app.agents.research"
#include "examples/sixseven/agent.h"

#include <stdio.h>
#include <string.h>

static run_end create_task(run *r, const provider *p)
{
    run_end end = RUN_BROKEN;
    SONDE_JOB_SPAN (r->observed, "create_yutori_task") {
        json_t *answer = NULL;
        json_t *body = json_pack("{ss}", "query", r->job.command);
        run_describe_span(&r->job);
        end = provider_call(r, p, "create_task", "", body, &answer);
        const char *id = json_string_value(json_object_get(answer, "task_id"));
        if (end == RUN_SUCCEEDED && !provider_task(r, p, id)) {
            end = RUN_BROKEN;
        } else if (end == RUN_SUCCEEDED) {
            sonde_span_set(sonde_kv("yutori.task_id", id));
            sonde_info("research_task_created", sonde_kv("task_id", id));
        }
        if (end != RUN_SUCCEEDED)
            sonde_span_fail((const char *)r->job.error);
        json_decref(answer);
        json_decref(body);
    }
    return end;
}

static task_state read_task(const json_t *answer, job *j, json_t **ret_result)
{
    const char *status = json_string_value(json_object_get(answer, "status"));
    const char *error = json_string_value(json_object_get(answer, "error"));
    *ret_result = json_object_get(answer, "result");
    if (!status)
        return TASK_UNREADABLE;
    if (strcmp(status, "failed") == 0) {
        snprintf(j->error, sizeof(j->error), "yutori's task failed: %.200s", error ? error : "");
        return TASK_FAILED;
    }
    if (strcmp(status, "succeeded") == 0)
        return *ret_result ? TASK_DONE : TASK_UNREADABLE;
    return TASK_RUNS;
}

static run_end poll_task(run *r, const provider *p)
{
    static const char *const words[] = { [RUN_SUCCEEDED] = "succeeded",
                                         [RUN_FAILED] = "failed",
                                         [RUN_CANCELLED] = "cancelled",
                                         [RUN_BROKEN] = "error" };
    run_end end = RUN_BROKEN;
    SONDE_JOB_SPAN (r->observed, "poll_yutori_task",
                    sonde_kv("yutori.task_id", (const char *)r->job.task_id)) {
        unsigned polls = 0;
        run_describe_span(&r->job);
        end = provider_await(r, p, read_task, &polls);
        sonde_span_set(sonde_kv("yutori.polls", polls));
        if (end == RUN_FAILED || end == RUN_BROKEN)
            sonde_span_fail((const char *)r->job.error);
        if (end != RUN_INTERRUPTED)
            sonde_info("research_poll_completed", sonde_kv("task_id", (const char *)r->job.task_id),
                       sonde_kv("polls", polls), sonde_kv("status", words[end]));
    }
    return end;
}

static void log_end(const run *r, run_end end)
{
    const char *error = r->job.error;
    switch (end) {
    case RUN_SUCCEEDED:
        sonde_info("research_succeeded", sonde_kv("task_id", (const char *)r->job.task_id));
        break;
    case RUN_FAILED:
        sonde_error("research_failed", sonde_kv("error", error));
        break;
    case RUN_CANCELLED:
        sonde_warn("research_cancelled", sonde_kv("task_id", (const char *)r->job.task_id));
        break;
    case RUN_BROKEN:
        sonde_error("research_error", sonde_kv("error", error),
                    sonde_kv_exception("UnexpectedAnswer", error));
        break;
    case RUN_INTERRUPTED:
        break;
    }
}

run_end research_run(run *r)
{
    const provider yutori = { "yutori", r->settings->yutori_url };
    run_end end = run_asked_to_end(r);
    sonde_info("research_started", sonde_kv("query", (const char *)r->job.command),
               sonde_kv_bool("resumed", *r->job.task_id != 0));
    if (end == RUN_SUCCEEDED && !*r->job.task_id) {
        end = create_task(r, &yutori);
        if (end == RUN_SUCCEEDED)
            run_progress(r, 10, "research task created");
    }
    if (end == RUN_SUCCEEDED)
        end = poll_task(r, &yutori);
    log_end(r, end);
    return end;
}
