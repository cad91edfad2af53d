// SPDX-License-Identifier: Apache-2.0
/* A pod: the machine with the GPU. It takes generations, runs their workflow one at a time, and
 * stores what came out.
 *
 *   POST /run                     202; 429 when eight wait already
 *   POST /cancel {"generation_id"}
 *   POST /control?step_ms=N&fail_node=ID   for demonstrations, not in production
 *   /debug/status, workflow, logs, queue, memory, artifacts; /health, /ready, /metrics: by libsonde
 *
 * PORT (8090), POD_ID, HEARTBEAT_MS, S3_ENDPOINT, S3_BUCKET, ENVIRONMENT. */
#include "examples/common/config.h"
#include "examples/common/json_field.h"
#include "examples/common/s3.h"
#include "examples/framecast/framecast.h"
#include "examples/framecast/nvml.h"
#include "examples/framecast/report.h"
#include "examples/framecast/workflow.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { THREADS = 4, MAX_WAITING = 8, UPLOAD_MS = 5000, OUTPUT_BYTES = 32768, PREVIEW_BYTES = 4096 };

typedef struct {
    const char *id;
    long heartbeat_ms;
    workflow *workflow;
    pthread_mutex_t lock; /* for what follows */
    pthread_cond_t changed;
    pod_job *waiting[MAX_WAITING];
    unsigned waiting_count;
    pod_job *current;
    bool stopping;
} pod;

/* ---- what it is given ---- */

static pod_job *find_job(pod *p, const char *id)
{
    if (p->current && strcmp(p->current->generation_id, id) == 0)
        return p->current;
    for (unsigned i = 0; i < p->waiting_count; i++)
        if (strcmp(p->waiting[i]->generation_id, id) == 0)
            return p->waiting[i];
    return NULL;
}

typedef enum { TAKEN, KNOWN, NO_ROOM } taken;

/* Keeps the job when it is TAKEN. One that is KNOWN came once more, after an answer was lost. */
static taken take(pod *p, pod_job *job)
{
    taken result = NO_ROOM;
    pthread_mutex_lock(&p->lock);
    if (find_job(p, job->generation_id)) {
        result = KNOWN;
    } else if (p->waiting_count < MAX_WAITING && !p->stopping) {
        p->waiting[p->waiting_count++] = job;
        result = TAKEN;
    }
    pthread_cond_signal(&p->changed);
    pthread_mutex_unlock(&p->lock);
    return result;
}

static void post_run(web_request *r, void *context)
{
    pod *p = context;
    pod_job *job = malloc(sizeof(*job));
    json_t *body = web_body(r);
    bool is_whole = job && pod_job_read(job, body);
    json_decref(body);
    if (!is_whole) {
        web_fail_with(r, &(sonde_error){ .status = 400,
                                         .code = "INVALID_RUN",
                                         .message = "A member of the generation is missing",
                                         .help = "Send generation_id, user_id, prompt, output_key, "
                                                 "upload_url and webhook{url, token}" });
        free(job);
        return;
    }
    sonde_http_set(sonde_kv("generation_id", (const char *)job->generation_id),
                   sonde_kv("user_id", (const char *)job->user_id),
                   sonde_kv("team_id", *job->team_id ? (const char *)job->team_id : NULL));
    job->context = sonde_context_capture();
    job->taken_ms = config_now_ms();
    json_t *answer = json_pack("{ss ss ss}", "generation_id", job->generation_id, "pod_id", p->id,
                               "status", "queued");
    taken result = take(p, job);
    if (result == TAKEN)
        sonde_info("Generation taken");
    if (result != TAKEN)
        free(job);
    if (result != NO_ROOM) {
        web_answer(r, 202, answer);
        return;
    }
    json_decref(answer);
    web_fail_with(r,
                  &(sonde_error){ .status = 429,
                                  .code = "POD_BUSY",
                                  .message = "The pod has no room for another generation",
                                  .details = SONDE_DETAILS(sonde_kv("most_waiting", MAX_WAITING)),
                                  .help = "Try again later, or another pod" });
}

static bool mark_gone(pod *p, const char *id)
{
    pthread_mutex_lock(&p->lock);
    pod_job *job = find_job(p, id);
    if (job)
        job->gone = true;
    pthread_mutex_unlock(&p->lock);
    return job != NULL;
}

static void post_cancel(web_request *r, void *context)
{
    json_t *body = web_body(r);
    const char *id = json_text(body, "generation_id", 31) ?: "";
    sonde_http_set(sonde_kv("generation_id", *id ? id : NULL));
    if (!*id)
        web_fail_with(r, &(sonde_error){ .status = 400,
                                         .code = "INVALID_CANCEL",
                                         .message = "It is not said which generation",
                                         .help = "Send {\"generation_id\": ID}" });
    else if (mark_gone(context, id))
        web_answer(r, 202, json_pack("{ss ss}", "generation_id", id, "status", "stopping"));
    else
        web_fail_with(r, &(sonde_error){ .status = 404,
                                         .code = "GENERATION_NOT_FOUND",
                                         .message = "The pod does not work on this generation",
                                         .details = SONDE_DETAILS(sonde_kv("generation_id", id)),
                                         .help = "/debug/status tells what it works on" });
    json_decref(body);
}

static void post_control(web_request *r, void *context)
{
    pod *p = context;
    const char *step = web_query(r, "step_ms"), *node = web_query(r, "fail_node");
    if (framecast_in_production()) {
        web_fail_with(r,
                      &(sonde_error){ .status = 404,
                                      .code = "NOT_FOUND",
                                      .message = "There is no such path",
                                      .help = "Pods are controlled outside of production only" });
        return;
    }
    workflow_control(p->workflow, step ? strtol(step, NULL, 10) : 10, node ? node : "");
    web_answer(r, 200, json_object());
}

static const web_route routes[] = {
    { "POST", "/run", post_run },
    { "POST", "/cancel", post_cancel },
    { "POST", "/control", post_control },
};

/* ---- the work ---- */

static bool is_gone(void *user)
{
    pod *p = user;
    pthread_mutex_lock(&p->lock);
    bool gone = p->current->gone;
    pthread_mutex_unlock(&p->lock);
    return gone;
}

/* What stands for a video: bytes that follow from what the nodes computed. */
static bool store_output(const pod_job *job, web_client *client, uint64_t seed)
{
    static char bytes[OUTPUT_BYTES];
    bool good = false;
    for (size_t i = 0; i < sizeof(bytes); i++, seed = seed * 6364136223846793005u + 1)
        bytes[i] = (char)(seed >> 56);
    SONDE_SPAN ("store_output", sonde_kv("aws.s3.key", job->output_key)) {
        web_response answer =
            web_send(client, "PUT", job->upload_url, "video/mp4", bytes, sizeof(bytes), UPLOAD_MS);
        good = answer.status == 200;
        if (!good) {
            sonde_error("Output was not stored", sonde_kv("status", answer.status),
                        sonde_kv("error", (const char *)answer.error));
            sonde_span_error("storage", "the output was not stored");
        }
        web_response_done(&answer);
    }
    if (good) {
        sonde_debug_artifact_add("preview", "memory:VAEDecode_1", PREVIEW_BYTES,
                                 sonde_kv("generation_id", job->generation_id),
                                 sonde_kv("node_id", "VAEDecode_1"));
        sonde_debug_artifact_add("video", job->output_key, sizeof(bytes),
                                 sonde_kv("generation_id", job->generation_id),
                                 sonde_kv("node_id", "SaveVideo_1"));
    }
    return good;
}

/* Why it failed; NULL: it did not. */
static const char *failure_of(pod *p, const pod_job *job, web_client *client,
                              const workflow_result *result)
{
    (void)p;
    if (*result->failed_node)
        return "workflow";
    if (result->stopped)
        return "pod_stopped";
    return store_output(job, client, result->checksum) ? NULL : "storage";
}

static void work_on(pod *p, const pod_job *job, web_client *client)
{
    SONDE_SPAN ("run_workflow", sonde_kv("pod.id", p->id),
                sonde_kv("generation_id", job->generation_id)) {
        sonde_info("Workflow started", sonde_kv("pod_id", p->id));
        workflow_result result =
            workflow_run(p->workflow, job->generation_id, job->prompt, is_gone, p);
        sonde_span_set(sonde_kv("gpu.seconds", result.seconds));
        if (is_gone(p)) {
            sonde_info("Workflow stopped", sonde_kv("gpu_seconds", result.seconds));
            return;
        }
        const char *failure = failure_of(p, job, client, &result);
        if (failure) {
            sonde_span_error(failure, "the workflow failed");
            sonde_error(
                "Workflow failed", sonde_kv("failure_type", failure),
                sonde_kv("node_id", *result.failed_node ? (const char *)result.failed_node : NULL));
        } else {
            sonde_info("Workflow completed", sonde_kv("gpu_seconds", result.seconds));
        }
        report_end(client, job,
                   &(pod_ending){ failure ? "failed" : "completed", failure, result.seconds });
    }
}

/* The next job, which is then the current one; NULL at the end. */
static pod_job *next(pod *p)
{
    pthread_mutex_lock(&p->lock);
    while (!p->waiting_count && !p->stopping)
        pthread_cond_wait(&p->changed, &p->lock);
    pod_job *job = p->waiting_count ? p->waiting[0] : NULL;
    p->waiting_count -= job != NULL;
    for (unsigned i = 0; i < p->waiting_count; i++)
        p->waiting[i] = p->waiting[i + 1];
    p->current = job;
    pthread_mutex_unlock(&p->lock);
    return job;
}

static void *work(void *user)
{
    pod *p = user;
    web_client *client = web_client_new();
    for (pod_job *job; client && (job = next(p)) != NULL;) {
        SONDE_WITH (job->context)
            work_on(p, job, client);
        pthread_mutex_lock(&p->lock);
        p->current = NULL;
        pthread_mutex_unlock(&p->lock);
        free(job);
    }
    web_client_free(client);
    return NULL;
}

/* Copies the n-th job that is not done; false when there are not so many. */
static bool copy_job(pod *p, unsigned n, pod_job *ret, bool *ret_current)
{
    pthread_mutex_lock(&p->lock);
    unsigned first = p->current ? 1 : 0;
    *ret_current = first && n == 0;
    pod_job *job = *ret_current                   ? p->current
                   : n - first < p->waiting_count ? p->waiting[n - first]
                                                  : NULL;
    if (job)
        *ret = *job;
    pthread_mutex_unlock(&p->lock);
    return job != NULL;
}

/* Tells the API now and then that all of them are alive. */
static void *beat(void *user)
{
    pod *p = user;
    web_client *client = web_client_new();
    pod_job *job = malloc(sizeof(*job));
    bool is_current;
    while (client && job && !config_wait((int)p->heartbeat_ms))
        for (unsigned n = 0; copy_job(p, n, job, &is_current); n++)
            if (!job->gone &&
                !report_progress(client, job, is_current ? workflow_percent(p->workflow) : 0))
                mark_gone(p, job->generation_id);
    free(job);
    web_client_free(client);
    return NULL;
}

/* ---- what it says about itself ---- */

static void show_gpu(sonde_json *json)
{
    gpu_state gpu;
    char why[256];
    if (!gpu_read(&gpu, why, sizeof(why))) {
        sonde_json_put(json, sonde_kv("gpu", (const char *)NULL),
                       sonde_kv("gpu_reason", (const char *)why));
        return;
    }
    sonde_json_begin(json, "gpu");
    sonde_json_put(json, sonde_kv("name", (const char *)gpu.name),
                   sonde_kv("memory_used_mb", gpu.memory_used_mb),
                   sonde_kv("memory_total_mb", gpu.memory_total_mb),
                   sonde_kv("utilization_percent", gpu.utilization_percent));
    sonde_json_end(json);
}

static void show_status(void *user, sonde_json *json)
{
    pod *p = user;
    char id[32] = "";
    pthread_mutex_lock(&p->lock);
    const char *status = p->stopping ? "stopping" : p->current ? "processing" : "idle";
    if (p->current)
        snprintf(id, sizeof(id), "%s", p->current->generation_id);
    pthread_mutex_unlock(&p->lock);
    sonde_json_put(json, sonde_kv("pod_id", p->id), sonde_kv("status", status));
    show_gpu(json);
    if (!*id) {
        sonde_json_put(json, sonde_kv("current_generation", (const char *)NULL));
        return;
    }
    sonde_json_begin(json, "current_generation");
    sonde_json_put(json, sonde_kv("generation_id", (const char *)id),
                   sonde_kv("progress_percent", workflow_percent(p->workflow)));
    sonde_json_end(json);
}

static void show_queue(void *user, sonde_queue_state *ret)
{
    pod *p = user;
    int64_t now = config_now_ms();
    pthread_mutex_lock(&p->lock);
    *ret = (sonde_queue_state){ .depth = p->waiting_count,
                                .processing = p->current ? 1 : 0,
                                .capacity = MAX_WAITING,
                                .oldest_age_s = -1 };
    if (p->waiting_count)
        ret->oldest_age_s = (double)(now - p->waiting[0]->taken_ms) / 1000;
    pthread_mutex_unlock(&p->lock);
}

/* ---- begin and end ---- */

static void stop(pod *p, pthread_t worker, pthread_t beater)
{
    pthread_mutex_lock(&p->lock);
    p->stopping = true;
    pthread_cond_signal(&p->changed);
    pthread_mutex_unlock(&p->lock);
    pthread_join(worker, NULL);
    pthread_join(beater, NULL);
}

int main(void)
{
    char own_id[32], bucket_url[FRAMECAST_MAX_URL];
    pthread_t worker, beater;
    config_catch_signals();
    framecast_start("framecast-pod");
    config_new_id("pod_", own_id);
    s3_account s3 = s3_account_from_environment("framecast");
    snprintf(bucket_url, sizeof(bucket_url), "%s/%s", s3.endpoint, s3.bucket);
    pod p = { .id = framecast_setting("POD_ID", own_id),
              .heartbeat_ms = framecast_number("HEARTBEAT_MS", 1000, 50, 60000),
              .workflow = workflow_new(),
              .lock = PTHREAD_MUTEX_INITIALIZER,
              .changed = PTHREAD_COND_INITIALIZER };
    long port = framecast_number("PORT", 8090, 1, 65535);
    sonde_debug_status(NULL, show_status, &p);
    sonde_debug_queue("generations", show_queue, &p);
    sonde_health_check_new("s3", framecast_head_bucket, bucket_url, 1000);
    web_server *server =
        web_server_start((uint16_t)port, THREADS, routes, sizeof(routes) / sizeof(routes[0]), &p);
    if (!server) {
        sonde_stop();
        workflow_free(p.workflow);
        return 1;
    }
    if (!p.workflow || pthread_create(&worker, NULL, work, &p) != 0 ||
        pthread_create(&beater, NULL, beat, &p) != 0)
        return 1;
    sonde_info("Service started", sonde_kv("port", port), sonde_kv("pod_id", p.id));
    while (!config_wait(1000))
        continue;
    sonde_info("Service stopping");
    stop(&p, worker, beater);
    web_server_stop(server);
    sonde_stop();
    for (unsigned i = 0; i < p.waiting_count; i++)
        free(p.waiting[i]);
    workflow_free(p.workflow);
    return 0;
}
