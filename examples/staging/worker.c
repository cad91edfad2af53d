// SPDX-License-Identifier: Apache-2.0
/* The staging worker: takes jobs from the queue, has the picture staged by the image model, and
 * stores the result. Each job continues the trace of the request that ordered it.
 *
 * DATABASE_URL, REDIS_URL, SQLITE_PATH, S3_ENDPOINT, REPLICATE_URL, WORKER_THREADS (2),
 * SONDE_ADMIN_ADDR. */
#include "examples/common/config.h"
#include "examples/common/queue.h"
#include "examples/common/s3.h"
#include "examples/common/trace_job.h"
#include "examples/common/web_client.h"
#include "examples/staging/images.h"

#include <curl/curl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum {
    MAX_THREADS = 16,
    POP_MS = 1000,
    HTTP_MS = 10000,
    DOWNLOAD_TRIES = 40,
    DOWNLOAD_PAUSE_MS = 50, /* the client uploads after its order was taken */
    MODEL_POLL_MS = 20,
    MODEL_POLLS = 1500,
    URL_SECONDS = 300,
};

typedef struct {
    database *database;
    s3_account s3;
    const char *model_url;
    sonde_counter *jobs, *model_calls, *s3_operations, *errors;
    sonde_histogram *duration;
} worker;

/* One thread's own things. */
typedef struct {
    worker *w;
    queue *queue;
    web_client *client;
} lane;

/* A job's fields; the texts belong to the JSON object. */
typedef struct {
    const char *image, *user, *original, *staged, *style;
} order;

static bool set_status(lane *l, const order *o, const char *status, const char *staged)
{
    const char *parameters[] = { status, staged, o->image };
    bool good = false;
    SONDE_CONTEXT (sonde_kv("image_status", status)) {
        good =
            database_run(l->w->database, (statement_name){ "Database Update", "UPDATE", "images" },
                         "UPDATE images SET status = $1, staged_key = $2 WHERE id = $3", 3,
                         parameters, NULL, NULL, NULL);
    }
    if (!good)
        sonde_counter_add(l->w->errors, 1, "database");
    return good;
}

/* GET or PUT of one object; *response is the caller's to release. */
static bool s3_request(lane *l, const char *method, const char *key, const void *body, size_t size,
                       web_response *response)
{
    char url[1024];
    *response = (web_response){ 0 };
    if (!s3_presign(&l->w->s3, method, key, URL_SECONDS, time(NULL), url, sizeof(url)))
        return false;
    *response = web_send(l->client, method, url, "image/jpeg", body, size, HTTP_MS);
    return response->status == 200;
}

static void note_s3(lane *l, const char *operation, bool good, const web_response *response)
{
    sonde_counter_add(l->w->s3_operations, 1, operation, good ? "success" : "error");
    if (good) {
        sonde_span_set(sonde_kv("file.size", response->size));
        return;
    }
    sonde_counter_add(l->w->errors, 1, operation);
    sonde_span_fail(response->error[0] ? response->error : "unexpected status",
                    sonde_kv("http.response.status_code", response->status));
    sonde_error("S3 request failed", sonde_kv("operation", operation),
                sonde_kv("status", response->status),
                sonde_kv("error", (const char *)response->error));
}

static bool download(lane *l, const order *o, web_response *response)
{
    bool good = false;
    SONDE_SPAN ("S3 Download", sonde_kv("aws.s3.bucket", l->w->s3.bucket),
                sonde_kv("aws.s3.key", o->original)) {
        for (int i = 0; i < DOWNLOAD_TRIES; i++) {
            good = s3_request(l, "GET", o->original, NULL, 0, response);
            if (response->status != 404 || config_wait(DOWNLOAD_PAUSE_MS))
                break;
            if (i == 0)
                sonde_warn("Original is not uploaded yet, trying again",
                           sonde_kv("key", o->original));
            if (i + 1 < DOWNLOAD_TRIES)
                web_response_done(response);
        }
        note_s3(l, "download", good, response);
    }
    return good;
}

static bool upload(lane *l, const order *o, const void *bytes, size_t size)
{
    web_response response;
    bool good = false;
    SONDE_SPAN ("S3 Upload", sonde_kv("aws.s3.bucket", l->w->s3.bucket),
                sonde_kv("aws.s3.key", o->staged)) {
        good = s3_request(l, "PUT", o->staged, bytes, size, &response);
        note_s3(l, "upload", good, &response);
        web_response_done(&response);
    }
    return good;
}

/* Waits for the prediction; NULL on success, else what went wrong (at most `size` bytes). */
static const char *await_prediction(lane *l, const char *id, char *why, size_t size)
{
    char url[512], status[32] = "";
    snprintf(url, sizeof(url), "%s/v1/predictions/%s", l->w->model_url, id);
    SONDE_SPAN ("AI Model Inference", sonde_kv("replicate.prediction.id", id)) {
        for (int i = 0; i < MODEL_POLLS && !config_wait(MODEL_POLL_MS); i++) {
            web_response response = web_send_quietly(l->client, "GET", url, NULL, NULL, 0, HTTP_MS);
            json_t *body = response.bytes ? json_loads(response.bytes, 0, NULL) : NULL;
            const char *now = json_string_value(json_object_get(body, "status"));
            const char *error = json_string_value(json_object_get(body, "error"));
            snprintf(status, sizeof(status), "%s", now ? now : "unreachable");
            snprintf(why, size, "%s", error ? error : status);
            json_decref(body);
            web_response_done(&response);
            if (strcmp(status, "processing") != 0 && strcmp(status, "starting") != 0)
                break;
        }
        if (strcmp(status, "succeeded") == 0)
            sonde_info("Model inference finished", sonde_kv("prediction_id", id));
        else
            sonde_span_fail(why, sonde_kv("error.type", "prediction_failed"));
    }
    return strcmp(status, "succeeded") == 0 ? NULL : why;
}

static bool stage(lane *l, const order *o)
{
    char url[512], body[512], why[128] = "";
    const char *failure = "the model did not take the prediction";
    snprintf(url, sizeof(url), "%s/v1/predictions", l->w->model_url);
    snprintf(body, sizeof(body),
             "{\"version\":\"stage-1\",\"input\":{\"image\":\"%s\",\"style\":\"%s\"}}", o->original,
             o->style);
    SONDE_SPAN ("Replicate API Call", sonde_kv("style", o->style)) {
        web_response response =
            web_send(l->client, "POST", url, "application/json", body, strlen(body), HTTP_MS);
        json_t *prediction = response.bytes ? json_loads(response.bytes, 0, NULL) : NULL;
        const char *id = json_string_value(json_object_get(prediction, "id"));
        if (response.status == 201 && id)
            failure = await_prediction(l, id, why, sizeof(why));
        if (failure)
            sonde_span_fail(failure);
        json_decref(prediction);
        web_response_done(&response);
    }
    sonde_counter_add(l->w->model_calls, 1, failure ? "error" : "success");
    if (failure) {
        sonde_counter_add(l->w->errors, 1, "model");
        sonde_error("Staging failed", sonde_kv("error", failure));
    }
    return !failure;
}

static bool process(lane *l, const order *o)
{
    web_response original = { 0 };
    bool good = set_status(l, o, "processing", NULL) && download(l, o, &original) && stage(l, o) &&
                upload(l, o, original.bytes, original.size) && set_status(l, o, "ready", o->staged);
    if (!good) {
        set_status(l, o, "error", NULL);
        sonde_span_fail("the image could not be staged");
    }
    web_response_done(&original);
    return good;
}

static void run_job(lane *l, const json_t *job)
{
    order o = {
        .image = json_string_value(json_object_get(job, "image_id")),
        .user = json_string_value(json_object_get(job, "user_id")),
        .original = json_string_value(json_object_get(job, "original_key")),
        .staged = json_string_value(json_object_get(job, "staged_key")),
        .style = json_string_value(json_object_get(job, "style")),
    };
    if (!o.image || !o.user || !o.original || !o.staged || !o.style) {
        sonde_error("Job is not a staging order");
        sonde_counter_add(l->w->errors, 1, "malformed_job");
        return;
    }
    sonde_context from = trace_job_extract(job);
    struct timespec start, end;
    bool good = false;
    clock_gettime(CLOCK_MONOTONIC, &start);
    SONDE_WITH (from) {
        SONDE_CONTEXT (sonde_kv("user_id", o.user), sonde_kv("image_id", o.image)) {
            SONDE_SPAN_KIND(SONDE_CONSUMER, "Job Dequeue",
                            sonde_kv("messaging.system", queue_system(l->queue)),
                            sonde_kv("messaging.operation.name", "process"),
                            sonde_kv("messaging.destination.name", IMAGES_QUEUE))
            {
                sonde_info("Job started", sonde_kv("style", o.style));
                good = process(l, &o);
                clock_gettime(CLOCK_MONOTONIC, &end);
                double seconds = (double)(end.tv_sec - start.tv_sec) +
                                 (double)(end.tv_nsec - start.tv_nsec) / 1e9;
                sonde_histogram_record(l->w->duration, seconds, good ? "completed" : "failed");
                if (good)
                    sonde_info("Job completed", sonde_kv("duration_ms", (long)(seconds * 1e3)));
                else
                    sonde_error("Job failed", sonde_kv("duration_ms", (long)(seconds * 1e3)));
            }
        }
    }
    sonde_counter_add(l->w->jobs, 1, good ? "completed" : "failed");
}

static void *run_lane(void *user)
{
    lane *l = user;
    while (!config_stopping()) {
        char *text = queue_pop(l->queue, POP_MS);
        json_t *job = text ? json_loads(text, 0, NULL) : NULL;
        if (text)
            run_job(l, job);
        json_decref(job);
        free(text);
    }
    return NULL;
}

static void make_metrics(worker *w)
{
    w->jobs = sonde_counter_new("jobs_processed_total", "Jobs finished.", SONDE_LABELS("status"));
    w->duration = sonde_histogram_new(
        "job_processing_duration_seconds", "Time of a job.", SONDE_LABELS("status"),
        .bounds = SONDE_BOUNDS(0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 15, 30, 60));
    w->model_calls = sonde_counter_new("replicate_api_calls_total", "Predictions asked for.",
                                       SONDE_LABELS("status"));
    w->s3_operations = sonde_counter_new("s3_operations_total", "Objects read and written.",
                                         SONDE_LABELS("operation", "status"));
    w->errors = sonde_counter_new("image_processing_errors_total", "What went wrong, by type.",
                                  SONDE_LABELS("type"));
}

static bool start_lane(lane *l, worker *w, pthread_t *thread)
{
    *l = (lane){ .w = w, .client = web_client_new() };
    l->queue = queue_open(config_text("REDIS_URL", NULL), w->database, IMAGES_QUEUE);
    return l->client && l->queue && pthread_create(thread, NULL, run_lane, l) == 0;
}

int main(void)
{
    config_catch_signals();
    curl_global_init(CURL_GLOBAL_DEFAULT);
    static const char *const resource[] = { "service.namespace", "real-staging", NULL };
    sonde_start(&(sonde_options){ .service = "worker", .version = "1.0.0", .resource = resource });
    worker w = { .s3 = s3_account_from_environment(IMAGES_BUCKET),
                 .model_url = config_text("REPLICATE_URL", "http://127.0.0.1:9000") };
    w.database = database_open(config_text("DATABASE_URL", NULL),
                               config_text("SQLITE_PATH", "staging.sqlite"));
    if (!w.database || !images_migrate(w.database))
        return 1;
    make_metrics(&w);
    long count = config_number("WORKER_THREADS", 2, 1, MAX_THREADS);
    lane lanes[MAX_THREADS];
    pthread_t threads[MAX_THREADS];
    for (long i = 0; i < count; i++)
        if (!start_lane(&lanes[i], &w, &threads[i]))
            return 1;
    sonde_info("Service started", sonde_kv("threads", count));
    while (!config_wait(1000))
        continue;
    sonde_info("Service stopping");
    for (long i = 0; i < count; i++) {
        pthread_join(threads[i], NULL);
        queue_close(lanes[i].queue);
        web_client_free(lanes[i].client);
    }
    sonde_stop();
    database_close(w.database);
    return 0;
}
