// SPDX-License-Identifier: Apache-2.0
/* The creative agent: has Freepik make or change a picture. The answer holds the picture, or names
 * a task that is asked about until it has one. */
#define SONDE_LOGGER "app.agents.creative"
#include "examples/sixseven/agent.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

/* A command that begins so changes a picture, and needs one. */
static const char *const changes[] = { "edit", "restyle", "upscale", "retouch" };

static bool needs_image(const char *command)
{
    for (size_t i = 0; i < sizeof(changes) / sizeof(changes[0]); i++)
        if (strncasecmp(command, changes[i], strlen(changes[i])) == 0)
            return true;
    return false;
}

static run_end no_image(run *r, const char *where)
{
    snprintf(r->job.error, sizeof(r->job.error), "there is no image in the %s", where);
    sonde_warn("creative_no_image", sonde_kv("where", where));
    return RUN_FAILED;
}

/* Keeps the picture as the job's result. */
static run_end keep_image(run *r, json_t *image)
{
    free(r->job.result);
    r->job.result = json_dumps(image, JSON_COMPACT | JSON_ENCODE_ANY);
    return r->job.result ? RUN_SUCCEEDED : RUN_BROKEN;
}

/* {"data":[{"base64"}]}, or {"data":{"task_id","status"}}. */
static run_end read_answer(run *r, const provider *p, json_t *answer)
{
    json_t *data = json_object_get(answer, "data");
    const char *task = json_string_value(json_object_get(data, "task_id"));
    if (json_is_array(data) && !json_array_size(data))
        return no_image(r, "answer");
    if (json_is_array(data))
        return keep_image(r, json_array_get(data, 0));
    if (!task) {
        snprintf(r->job.error, sizeof(r->job.error), "freepik's answer has neither image nor task");
        return RUN_BROKEN;
    }
    if (!provider_task(r, p, task))
        return RUN_BROKEN;
    sonde_span_set(sonde_kv("freepik.task_id", task));
    sonde_info("creative_async", sonde_kv("task_id", task));
    return RUN_SUCCEEDED;
}

static run_end create_image(run *r, const provider *p)
{
    run_end end = RUN_BROKEN;
    SONDE_JOB_SPAN (r->observed, "create_freepik_image") {
        json_t *answer = NULL;
        json_t *body =
            json_pack("{ss ss*}", "prompt", r->job.command, "reference_image", r->job.image);
        run_describe_span(&r->job);
        end = provider_call(r, p, "create_image", "", body, &answer);
        if (end == RUN_SUCCEEDED)
            end = read_answer(r, p, answer);
        if (end != RUN_SUCCEEDED)
            sonde_span_fail((const char *)r->job.error);
        json_decref(answer);
        json_decref(body);
    }
    return end;
}

static task_state read_task(const json_t *answer, job *j, json_t **ret_result)
{
    json_t *data = json_object_get(answer, "data");
    const char *status = json_string_value(json_object_get(data, "status"));
    *ret_result = json_array_get(json_object_get(data, "generated"), 0);
    if (!status)
        return TASK_UNREADABLE;
    if (strcmp(status, "FAILED") == 0) {
        snprintf(j->error, sizeof(j->error), "freepik's task failed");
        return TASK_FAILED;
    }
    if (strcmp(status, "COMPLETED") == 0)
        return *ret_result ? TASK_DONE : TASK_UNREADABLE;
    return TASK_RUNS;
}

static run_end poll_task(run *r, const provider *p)
{
    run_end end = RUN_BROKEN;
    SONDE_JOB_SPAN (r->observed, "poll_freepik_task",
                    sonde_kv("freepik.task_id", (const char *)r->job.task_id)) {
        unsigned polls = 0;
        run_describe_span(&r->job);
        end = provider_await(r, p, read_task, &polls);
        sonde_span_set(sonde_kv("freepik.polls", polls));
        if (end == RUN_FAILED || end == RUN_BROKEN)
            sonde_span_fail((const char *)r->job.error);
    }
    return end;
}

run_end creative_run(run *r)
{
    const provider freepik = { "freepik", r->settings->freepik_url };
    run_end end = run_asked_to_end(r);
    const char *error = r->job.error;
    sonde_info("creative_started", sonde_kv("prompt", (const char *)r->job.command),
               sonde_kv_bool("has_image", r->job.image != NULL));
    if (end == RUN_SUCCEEDED && needs_image(r->job.command) && !r->job.image)
        end = no_image(r, "command");
    if (end == RUN_SUCCEEDED && !*r->job.task_id)
        end = create_image(r, &freepik);
    if (end == RUN_SUCCEEDED && !r->job.result) {
        run_progress(r, 10, "image task created");
        end = poll_task(r, &freepik);
    }
    if (end == RUN_CANCELLED)
        snprintf(r->job.error, sizeof(r->job.error), "cancelled by request");
    if (end == RUN_SUCCEEDED)
        sonde_info("creative_succeeded", sonde_kv("bytes", strlen(r->job.result)));
    else if (end == RUN_BROKEN)
        sonde_error("creative_error", sonde_kv("error", error),
                    sonde_kv_exception("UnexpectedAnswer", error));
    else if (end == RUN_FAILED)
        sonde_error("creative_failed", sonde_kv("error", error));
    else if (end == RUN_CANCELLED)
        sonde_warn("creative_failed", sonde_kv("error", error));
    return end;
}
