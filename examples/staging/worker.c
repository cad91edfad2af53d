// SPDX-License-Identifier: Apache-2.0
/* The staging worker: takes jobs from the queue, has the picture staged by the image model, and
 * stores the result. Each job continues the trace of the request that ordered it. A job that
 * cannot be done now, as the database is away or the worker stops, goes back into the queue.
 *
 * DATABASE_URL, REDIS_URL, SQLITE_PATH, S3_ENDPOINT, REPLICATE_URL, WORKER_THREADS (2),
 * HTTP_TIMEOUT_MS (5000), INFERENCE_TIMEOUT_MS (60000), MODEL_TRIES (3); metrics, health and
 * profiles are on 127.0.0.1:6061 (SONDE_ADMIN_ADDR). */
#include "examples/common/config.h"
#include "examples/common/s3.h"
#include "examples/common/trace_job.h"
#include "examples/common/web_client.h"
#include "examples/common/work.h"
#include "examples/staging/images.h"
#include "examples/staging/service.h"

#include <curl/curl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    MAX_THREADS = 16,
    DOWNLOAD_TRIES = 40,
    DOWNLOAD_PAUSE_MS = 50, /* the client uploads after its order was taken */
    MODEL_POLL_MS = 20,
    MODEL_PAUSE_MS = 200, /* before the second try, then twice as long each time */
    URL_SECONDS = 300,
};

typedef struct {
    service service;
    s3_account s3;
    const char *model_url;
    long http_ms, inference_ms, model_tries;
    sonde_jobs *jobs;
    sonde_counter *s3_operations, *errors;
} worker;

/* One job; the texts belong to its JSON object. */
typedef struct {
    worker *w;
    web_client *client;
    sonde_job *job;
    const char *image, *user, *original, *staged, *style;
} task;

#define JOB_TYPE "staging"
#define PROVIDER "replicate"

/* How a job ended; the words are the label `status` of jobs_processed_total. */
typedef enum { COMPLETED, FAILED, PUT_BACK } outcome;
static const char *const outcomes[] = { "completed", "failed", "requeued" };

static void nap(long ms)
{
    nanosleep(&(struct timespec){ ms / 1000, ms % 1000 * 1000000 }, NULL);
}

static bool set_status(task *t, const char *from, const char *status, const char *staged)
{
    const char *parameters[] = { status, staged, t->image };
    sonde_debug("Image status changes", sonde_kv("from", from), sonde_kv("to", status));
    bool good = false;
    SONDE_CONTEXT (sonde_kv("image_status", status)) {
        good = database_run(t->w->service.database,
                            (statement_name){ "Database Update", "UPDATE", "images" },
                            "UPDATE images SET status = $1, staged_key = $2 WHERE id = $3", 3,
                            parameters, NULL, NULL, NULL);
    }
    if (!good)
        sonde_counter_add(t->w->errors, 1, "database");
    return good;
}

/* GET or PUT of one object; *response is the caller's to release. */
static bool s3_request(task *t, const char *method, const char *key, const void *body, size_t size,
                       web_response *response)
{
    char url[1024];
    *response = (web_response){ 0 };
    if (!s3_presign(&t->w->s3, method, key, URL_SECONDS, time(NULL), url, sizeof(url)))
        return false;
    *response = web_send(t->client, method, url, "image/jpeg", body, size, t->w->http_ms);
    return response->status == 200;
}

static void note_s3(task *t, const char *operation, bool good, const web_response *response)
{
    sonde_counter_add(t->w->s3_operations, 1, operation, good ? "success" : "error");
    if (good) {
        sonde_span_set(sonde_kv("file.size", response->size));
        return;
    }
    sonde_counter_add(t->w->errors, 1, operation);
    sonde_span_fail(response->error[0] ? response->error : "unexpected status",
                    sonde_kv("http.response.status_code", response->status));
    sonde_error("S3 request failed", sonde_kv("code", "S3_ERROR"), sonde_kv("operation", operation),
                sonde_kv("status", response->status),
                sonde_kv("error", (const char *)response->error));
}

static bool download(task *t, web_response *response)
{
    bool good = false;
    SONDE_SPAN ("S3 Download", sonde_kv("aws.s3.bucket", t->w->s3.bucket),
                sonde_kv("aws.s3.key", t->original)) {
        for (int i = 0; i < DOWNLOAD_TRIES; i++) {
            good = s3_request(t, "GET", t->original, NULL, 0, response);
            if (response->status != 404 || config_stopping())
                break;
            if (i == 0)
                sonde_warn("Original is not uploaded yet, trying again",
                           sonde_kv("key", t->original));
            if (i + 1 < DOWNLOAD_TRIES)
                web_response_done(response);
            nap(DOWNLOAD_PAUSE_MS);
        }
        note_s3(t, "download", good, response);
    }
    return good;
}

static bool upload(task *t, const void *bytes, size_t size)
{
    web_response response;
    bool good = false;
    SONDE_SPAN ("S3 Upload", sonde_kv("aws.s3.bucket", t->w->s3.bucket),
                sonde_kv("aws.s3.key", t->staged)) {
        good = s3_request(t, "PUT", t->staged, bytes, size, &response);
        note_s3(t, "upload", good, &response);
        web_response_done(&response);
    }
    return good;
}

/* Waits for the prediction; whether it succeeded, else what went wrong is in `why`. */
static bool await_prediction(task *t, const char *id, char *why, size_t size)
{
    char url[512], status[32] = "";
    struct timespec begun;
    snprintf(url, sizeof(url), "%s/v1/predictions/%s", t->w->model_url, id);
    clock_gettime(CLOCK_MONOTONIC, &begun);
    SONDE_SPAN ("AI Model Inference", sonde_kv("replicate.prediction.id", id)) {
        do {
            nap(MODEL_POLL_MS);
            web_response response =
                web_send_quietly(t->client, "GET", url, NULL, NULL, 0, t->w->http_ms);
            json_t *body = response.bytes ? json_loads(response.bytes, 0, NULL) : NULL;
            const char *now = json_string_value(json_object_get(body, "status"));
            const char *error = json_string_value(json_object_get(body, "error"));
            snprintf(status, sizeof(status), "%s", now ? now : "unreachable");
            snprintf(why, size, "%s", error ? error : status);
            json_decref(body);
            web_response_done(&response);
        } while ((strcmp(status, "processing") == 0 || strcmp(status, "starting") == 0) &&
                 images_ms_since(&begun) < t->w->inference_ms && !config_stopping());
        if (strcmp(status, "succeeded") == 0)
            sonde_info("Model inference finished", sonde_kv("prediction_id", id),
                       sonde_kv("duration_ms", images_ms_since(&begun)));
        else
            sonde_span_fail(why, sonde_kv("error.type", "prediction_failed"));
    }
    return strcmp(status, "succeeded") == 0;
}

/* One call of the model, from its order to its result. */
static bool call_model(task *t, char *why, size_t size)
{
    char url[512], body[512];
    bool good = false;
    struct timespec begun;
    clock_gettime(CLOCK_MONOTONIC, &begun);
    snprintf(url, sizeof(url), "%s/v1/predictions", t->w->model_url);
    snprintf(body, sizeof(body),
             "{\"version\":\"stage-1\",\"input\":{\"image\":\"%s\",\"style\":\"%s\"}}", t->original,
             t->style);
    SONDE_SPAN ("Replicate API Call", sonde_kv("peer.service", "replicate"),
                sonde_kv("style", t->style)) {
        web_response response =
            web_send(t->client, "POST", url, "application/json", body, strlen(body), t->w->http_ms);
        json_t *prediction = response.bytes ? json_loads(response.bytes, 0, NULL) : NULL;
        const char *id = json_string_value(json_object_get(prediction, "id"));
        if (response.status == 201 && id)
            good = await_prediction(t, id, why, size);
        else if (response.status)
            snprintf(why, size, "the model answered %ld", response.status);
        else
            snprintf(why, size, "%s", response.error);
        if (!good)
            sonde_span_fail(why);
        json_decref(prediction);
        web_response_done(&response);
    }
    sonde_job_external_call(t->job, PROVIDER, "predict", (double)images_ms_since(&begun) / 1e3,
                            good);
    return good;
}

static bool stage(task *t)
{
    char why[256] = "";
    long pause_ms = MODEL_PAUSE_MS;
    for (int tried = 1; !call_model(t, why, sizeof(why)); tried++) {
        if (tried >= t->w->model_tries || config_stopping()) {
            sonde_counter_add(t->w->errors, 1, "model");
            sonde_error("Staging failed", sonde_kv("code", "MODEL_ERROR"),
                        sonde_kv("error", (const char *)why), sonde_kv("attempts", tried));
            return false;
        }
        sonde_warn("Model call failed, trying again", sonde_kv("attempt", tried),
                   sonde_kv("error", (const char *)why), sonde_kv("pause_ms", pause_ms));
        sonde_job_retried(t->job, tried, why);
        SONDE_SPAN ("Retry Pause", sonde_kv("peer.service", "replicate"))
            nap(pause_ms);
        pause_ms *= 2;
    }
    return true;
}

static outcome process(task *t)
{
    web_response original = { 0 };
    outcome result = FAILED;
    if (!set_status(t, "queued", "processing", NULL))
        return PUT_BACK;
    if (download(t, &original) && stage(t) && upload(t, original.bytes, original.size))
        result = set_status(t, "processing", "ready", t->staged) ? COMPLETED : PUT_BACK;
    else if (config_stopping())
        result = PUT_BACK; /* another worker does it, or this one after its restart */
    else if (!set_status(t, "processing", "error", NULL))
        result = PUT_BACK;
    web_response_done(&original);
    if (result != COMPLETED)
        sonde_span_fail(result == FAILED ? "the image could not be staged"
                                         : "it cannot be done now, the job goes back");
    return result;
}

static void run_task(task *t)
{
    outcome result = FAILED;
    queue *q = t->w->service.queue;
    SONDE_JOB (t->job) {
        SONDE_CONTEXT (sonde_kv("user.id", t->user), sonde_kv("image_id", t->image)) {
            SONDE_SPAN_KIND (SONDE_CONSUMER, "Job Dequeue",
                             sonde_kv("messaging.system", queue_system(q)),
                             sonde_kv("messaging.operation.name", "process"),
                             sonde_kv("messaging.destination.name", IMAGES_QUEUE)) {
                struct timespec begun;
                clock_gettime(CLOCK_MONOTONIC, &begun);
                service_note_trace();
                sonde_info("Job started", sonde_kv("style", t->style));
                result = process(t);
                long ms = images_ms_since(&begun);
                if (result == COMPLETED)
                    sonde_info("Job completed", sonde_kv("duration_ms", ms));
                else if (result == FAILED)
                    sonde_error("Job failed", sonde_kv("code", "JOB_ERROR"),
                                sonde_kv("duration_ms", ms));
                else
                    sonde_warn("Job goes back into the queue", sonde_kv("duration_ms", ms));
            }
        }
    }
    sonde_job_completed(t->job, outcomes[result]);
    if (result == PUT_BACK)
        work_put_back();
}

static void run_job(const char *text, const json_t *job, web_client *client, void *user)
{
    (void)text;
    worker *w = user;
    task t = {
        .w = w,
        .client = client,
        .image = json_string_value(json_object_get(job, "image_id")),
        .user = json_string_value(json_object_get(job, "user_id")),
        .original = json_string_value(json_object_get(job, "original_key")),
        .staged = json_string_value(json_object_get(job, "staged_key")),
        .style = json_string_value(json_object_get(job, "style")),
    };
    if (!t.image || !t.user || !t.original || !t.staged || !t.style) {
        sonde_error("Job is not a staging order", sonde_kv("code", "JOB_ERROR"));
        sonde_counter_add(w->errors, 1, "malformed_job");
        return;
    }
    sonde_context from = trace_job_extract(job);
    t.job = sonde_job_taken(w->jobs,
                            &(sonde_job_info){ .id = t.image, .type = JOB_TYPE, .context = &from });
    sonde_job_started(t.job);
    run_task(&t);
}

/* The metrics of the job observer, too: a rate sees the first failure. */
static void count_jobs_from_zero(void)
{
    sonde_counter *processed = sonde_counter_new("jobs_processed_total", "Jobs processed.",
                                                 SONDE_LABELS("type", "status"));
    sonde_counter *calls =
        sonde_counter_new("replicate_api_calls_total", "Total number of external API calls",
                          SONDE_LABELS("provider", "status"));
    for (size_t i = 0; i < sizeof(outcomes) / sizeof(outcomes[0]); i++)
        (void)sonde_counter_bind(processed, JOB_TYPE, outcomes[i]);
    (void)sonde_counter_bind(calls, PROVIDER, "success");
    (void)sonde_counter_bind(calls, PROVIDER, "error");
    (void)sonde_counter_bind(
        sonde_counter_new("job_retries_total", "Jobs tried again.", SONDE_LABELS("type")),
        JOB_TYPE);
}

static void make_metrics(worker *w)
{
    w->jobs = sonde_jobs_new(&(sonde_jobs_options){
        .worker = true,
        .worker_duration_metric = "job_processing_duration_seconds",
        .trace_metric = "none",
        .external_calls_metric = "replicate_api_calls_total",
        .external_latency_metric = "replicate_api_duration_seconds",
        .duration_bounds = SONDE_BOUNDS(0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 15, 20, 30, 60),
        .no_log = true });
    w->s3_operations = sonde_counter_new("s3_operations_total", "Objects read and written.",
                                         SONDE_LABELS("operation", "status"));
    w->errors = sonde_counter_new("image_processing_errors_total", "What went wrong, by type.",
                                  SONDE_LABELS("type"));
    /* From 0 on, so that a rate sees the first of each. */
    static const char *const types[] = { "database", "download", "upload", "model",
                                         "malformed_job" };
    for (size_t i = 0; i < sizeof(types) / sizeof(types[0]); i++)
        (void)sonde_counter_bind(w->errors, types[i]);
    static const char *const operations[][2] = { { "download", "success" },
                                                 { "download", "error" },
                                                 { "upload", "success" },
                                                 { "upload", "error" } };
    for (size_t i = 0; i < sizeof(operations) / sizeof(operations[0]); i++)
        (void)sonde_counter_bind(w->s3_operations, operations[i][0], operations[i][1]);
    count_jobs_from_zero();
}

int main(void)
{
    config_catch_signals();
    curl_global_init(CURL_GLOBAL_DEFAULT);
    worker w = { .s3 = s3_account_from_environment(IMAGES_BUCKET),
                 .model_url = config_text("REPLICATE_URL", "http://127.0.0.1:9000"),
                 .http_ms = config_number("HTTP_TIMEOUT_MS", 5000, 10, 600000),
                 .inference_ms = config_number("INFERENCE_TIMEOUT_MS", 60000, 10, 3600000),
                 .model_tries = config_number("MODEL_TRIES", 3, 1, 10) };
    if (!service_start(&w.service, "worker", "127.0.0.1:6061"))
        return 1;
    make_metrics(&w);
    long threads = config_number("WORKER_THREADS", 2, 1, MAX_THREADS);
    work *pool = work_start(&(work_options){ .database = w.service.database,
                                             .queue = IMAGES_QUEUE,
                                             .threads = (unsigned)threads,
                                             .handler = run_job,
                                             .user = &w });
    if (!pool)
        return 1;
    sonde_info("Service started", sonde_kv("threads", threads));
    while (!config_wait(1000))
        continue;
    sonde_info("Service stopping");
    work_stop(pool);
    service_stop(&w.service);
    sonde_jobs_free(w.jobs);
    return 0;
}
