// SPDX-License-Identifier: Apache-2.0
/* What the agents share; see agent.h. */
#define SONDE_LOGGER "app.agents"
#include "examples/sixseven/agent.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum {
    MAX_POLL_FAILURES = 4, /* in a row: a service that is away for a moment costs no job */
    PROGRESS_POLLING = 50,
};

static double seconds_now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

void run_describe_span(const job *j)
{
    sonde_span_set(sonde_kv("command.text", (const char *)j->command),
                   sonde_kv_bool("command.has_image", j->image != NULL));
    if (*j->type)
        sonde_span_set(sonde_kv("response.intent", (const char *)j->type),
                       sonde_kv("job.type", (const char *)j->type));
    if (*j->id)
        sonde_span_set(sonde_kv("response.job_id", (const char *)j->id),
                       sonde_kv("job.status", (const char *)j->status));
}

run_end run_asked_to_end(run *r)
{
    pthread_mutex_lock(&r->bell->lock);
    run_end end = r->cancelled        ? RUN_CANCELLED
                  : r->bell->stopping ? RUN_INTERRUPTED
                                      : RUN_SUCCEEDED;
    pthread_mutex_unlock(&r->bell->lock);
    return end;
}

bool run_pause(run *r, long ms)
{
    struct timespec until;
    clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_sec += ms / 1000;
    until.tv_nsec += ms % 1000 * 1000000;
    if (until.tv_nsec >= 1000000000) {
        until.tv_sec++;
        until.tv_nsec -= 1000000000;
    }
    pthread_mutex_lock(&r->bell->lock);
    while (!r->cancelled && !r->bell->stopping)
        if (pthread_cond_timedwait(&r->bell->changed, &r->bell->lock, &until) != 0)
            break;
    bool end = r->cancelled || r->bell->stopping;
    pthread_mutex_unlock(&r->bell->lock);
    return end;
}

void run_progress(run *r, int percent, const char *message)
{
    r->job.progress = percent;
    sonde_job_progress(r->observed, percent, message);
    store_save(r->database, &r->job); /* at the latest the job's end is stored */
}

/* ---- services ---- */

/* The body as text with the job's options over it; to be freed. */
static char *request_text(const job *j, json_t *body)
{
    json_t *options = j->options ? json_loads(j->options, 0, NULL) : NULL;
    if (json_is_object(options))
        json_object_update(body, options);
    char *text = json_dumps(body, JSON_COMPACT);
    json_decref(options);
    return text;
}

/* Names what is wrong with an answer; RUN_SUCCEEDED when it is good. */
static run_end judge(run *r, const provider *p, const web_response *answer, json_t *ret)
{
    size_t size = sizeof(r->job.error);
    if (answer->status && answer->status < 400 && json_is_object(ret))
        return RUN_SUCCEEDED;
    if (!answer->status)
        snprintf(r->job.error, size, "%s did not answer: %.160s", p->name, answer->error);
    else
        snprintf(r->job.error, size, "%s answered %ld: %.160s", p->name, answer->status,
                 answer->bytes ? answer->bytes : "");
    /* What it says of our own request will not be another thing the next time. */
    bool ours = answer->status >= 400 && answer->status < 500 && answer->status != 408 &&
                answer->status != 429;
    return ours || (answer->status && answer->status < 400) ? RUN_BROKEN : RUN_FAILED;
}

run_end provider_call(run *r, const provider *p, const char *operation, const char *path,
                      json_t *body, json_t **ret)
{
    char url[512];
    char *text = body ? request_text(&r->job, body) : NULL;
    snprintf(url, sizeof(url), "%s%s", p->url, path);
    double start = seconds_now();
    web_response answer =
        web_send(r->client, text ? "POST" : "GET", url, text ? "application/json" : NULL, text,
                 text ? strlen(text) : 0, r->settings->request_ms);
    json_t *object = answer.bytes ? json_loads(answer.bytes, 0, NULL) : NULL;
    run_end end = judge(r, p, &answer, object);
    sonde_job_external_call(r->observed, p->name, operation, seconds_now() - start,
                            end == RUN_SUCCEEDED);
    if (end == RUN_SUCCEEDED)
        *ret = object;
    else
        json_decref(object);
    web_response_done(&answer);
    free(text);
    return end;
}

bool provider_task(run *r, const provider *p, const char *id)
{
    static const char allowed[] =
        "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-.:";
    size_t length = id ? strlen(id) : 0;
    if (length && length < sizeof(r->job.task_id) && id[0] != '.' &&
        strspn(id, allowed) == length) {
        snprintf(r->job.task_id, sizeof(r->job.task_id), "%s", id);
        return true;
    }
    snprintf(r->job.error, sizeof(r->job.error), "%s's answer %s", p->name,
             id ? "names its task by what is no id" : "names no task");
    return false;
}

/* One question about the task; RUN_SUCCEEDED: an answer was read, *ret_state says which. */
static run_end ask(run *r, const provider *p, task_reader *read, task_state *ret_state)
{
    char path[80];
    json_t *answer = NULL, *result = NULL;
    snprintf(path, sizeof(path), "/%s", r->job.task_id);
    run_end end = provider_call(r, p, "get_task", path, NULL, &answer);
    if (end != RUN_SUCCEEDED)
        return end;
    *ret_state = read(answer, &r->job, &result);
    if (*ret_state == TASK_DONE) {
        free(r->job.result);
        r->job.result = json_dumps(result, JSON_COMPACT | JSON_ENCODE_ANY);
    }
    json_decref(answer);
    return RUN_SUCCEEDED;
}

/* What the end of the task means for the run. */
static run_end settle(run *r, const provider *p, task_state state)
{
    if (state == TASK_DONE)
        return RUN_SUCCEEDED;
    if (state == TASK_UNREADABLE)
        snprintf(r->job.error, sizeof(r->job.error), "%s told nothing of its task %s", p->name,
                 r->job.task_id);
    return state == TASK_FAILED ? RUN_FAILED : RUN_BROKEN;
}

run_end provider_await(run *r, const provider *p, task_reader *read, unsigned *ret_polls)
{
    double limit = seconds_now() + (double)r->settings->task_ms / 1e3;
    unsigned failures = 0;
    for (*ret_polls = 0; seconds_now() < limit;) {
        task_state state = TASK_RUNS;
        if (run_pause(r, r->settings->poll_ms * (1 << failures)))
            return run_asked_to_end(r);
        run_end end = ask(r, p, read, &state);
        if ((*ret_polls)++ == 0)
            run_progress(r, PROGRESS_POLLING, "waiting for the task");
        failures = end == RUN_SUCCEEDED ? 0 : failures + 1;
        if (end == RUN_BROKEN || failures >= MAX_POLL_FAILURES)
            return end;
        if (end == RUN_SUCCEEDED && state != TASK_RUNS)
            return settle(r, p, state);
    }
    snprintf(r->job.error, sizeof(r->job.error), "the task took longer than %ld s",
             r->settings->task_ms / 1000);
    return RUN_FAILED;
}
