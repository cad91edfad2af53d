// SPDX-License-Identifier: Apache-2.0
/* The PersonaWorlds worker: takes jobs of three types from their queues, tries those again that may
 * work the next time, and once in a while sends a digest, which no request asked for.
 *
 * DATABASE_URL, REDIS_URL, SQLITE_PATH, ANTHROPIC_URL, WORKER_OBSERVABILITY_PORT (9091),
 * WORKER_THREADS for each type (2), JOB_ATTEMPTS (3), JOB_BACKOFF_MS (200), DIGEST_SECONDS (60). */
#include "examples/common/config.h"
#include "examples/common/json_field.h"
#include "examples/common/work.h"
#include "examples/personaworlds/job_types.h"
#include "examples/personaworlds/observability.h"
#include "examples/personaworlds/schema.h"

#include <curl/curl.h>
#include <microhttpd.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

enum { MAX_ID = 64, MAX_BACKOFF_MS = 2000 };

typedef struct {
    database *database;
    job_queue jobs;
    sonde_jobs *observer;
    long attempts, backoff_ms;
} worker;

/* What the threads of one type's queue are given. */
typedef struct {
    worker *worker;
    job_type type;
    work *threads;
} lane;

/* Waits longer after each attempt; true when the program should end. */
static bool wait_before_next(const worker *w, long attempt)
{
    long ms = w->backoff_ms;
    while (--attempt > 0 && ms < MAX_BACKOFF_MS)
        ms *= 2;
    return config_wait((int)(ms < MAX_BACKOFF_MS ? ms : MAX_BACKOFF_MS));
}

static job_outcome attempt_until_done(const lane *l, sonde_job *job, job_run *run)
{
    const worker *w = l->worker;
    for (long attempt = 1;; attempt++) {
        job_outcome outcome = job_functions[l->type](run);
        if (outcome == JOB_DONE || outcome == JOB_REFUSED)
            return outcome;
        if (outcome == JOB_RETRY && attempt >= w->attempts)
            return outcome;
        sonde_job_retried(job, (int)attempt, run->error);
        if (wait_before_next(w, attempt))
            return outcome;
    }
}

/* A job that was still to be tried again when the program had to end goes back into its queue. */
static bool give_back(job_outcome outcome)
{
    bool gives = config_stopping() && outcome != JOB_REFUSED;
    if (gives)
        work_put_back();
    return gives;
}

/* The context that the job was made in: its request id, as trace_id too, and its user. */
static sonde_context job_context(const char *text, const json_t *body)
{
    const char *user = json_text(body, "user_id", MAX_ID);
    sonde_context from = sonde_extract_json_as(text, strlen(text), &job_trace);
    if (!user)
        return from;
    SONDE_WITH (from)
        SONDE_CONTEXT (sonde_kv("user_id", user))
            from = sonde_context_capture();
    return from;
}

static void run_job(const char *text, const json_t *body, web_client *client, void *user)
{
    lane *l = user;
    const char *id = json_text(body, "job_id", MAX_ID);
    job_run run = { .database = l->worker->database,
                    .jobs = &l->worker->jobs,
                    .client = client,
                    .subject = json_text(body, "subject", MAX_ID) };
    sonde_context from = job_context(text, body);
    sonde_job *job = sonde_job_taken(
        l->worker->observer,
        &(sonde_job_info){ .id = id, .type = job_type_names[l->type], .context = &from });
    job_outcome outcome = JOB_REFUSED;
    sonde_job_started(job);
    SONDE_JOB (job) {
        SONDE_SPAN_KIND (SONDE_CONSUMER, "process job", sonde_kv("job.id", id ? id : ""),
                         sonde_kv("job.type", job_type_names[l->type]),
                         sonde_kv("messaging.operation.name", "process"),
                         sonde_kv("messaging.destination.name", job_queue_names[l->type])) {
            if (id && run.subject)
                outcome = attempt_until_done(l, job, &run);
            else
                snprintf(run.error, sizeof(run.error), "the payload has no job_id or subject");
            if (outcome != JOB_DONE)
                sonde_span_fail(run.error);
        }
    }
    if (outcome == JOB_DONE)
        sonde_job_ended(job, "completed", NULL);
    else if (give_back(outcome))
        sonde_job_released(job);
    else
        sonde_job_ended(job, "failed", run.error);
}

/* Series that are 0 from the start on: a rate sees the first failure only when there was a value
 * before it. */
static void begin_at_zero(void)
{
    sonde_counter *processed = sonde_counter_new("jobs_processed_total", "Jobs processed.",
                                                 SONDE_LABELS("type", "status"));
    sonde_counter *retries =
        sonde_counter_new("job_retries_total", "Jobs tried again.", SONDE_LABELS("type"));
    for (int type = 0; type < JOB_TYPES; type++) {
        sonde_counter_add(processed, 0, job_type_names[type], "completed");
        sonde_counter_add(processed, 0, job_type_names[type], "failed");
        sonde_counter_add(retries, 0, job_type_names[type]);
    }
}

/* A digest belongs to a period, so that several workers send it once. No request id goes along:
 * nobody asked for it. */
static void send_digests(worker *w, long seconds)
{
    char period[32], job[32];
    long last = time(NULL) / seconds;
    while (!config_wait(200)) {
        long now = time(NULL) / seconds;
        if (now == last)
            continue;
        snprintf(period, sizeof(period), "%lld", (long long)now * seconds);
        if (job_queue_push(&w->jobs, JOB_SEND_DIGEST, period, job))
            last = now;
    }
}

static bool start_all(worker *w, lane lanes[JOB_TYPES])
{
    w->database = database_open(config_text("DATABASE_URL", NULL),
                                config_text("SQLITE_PATH", "personaworlds.sqlite"));
    if (!w->database || !schema_migrate(w->database) || !job_queue_open(&w->jobs, w->database))
        return false;
    w->observer = sonde_jobs_new(&(sonde_jobs_options){ .worker = true });
    begin_at_zero();
    for (int type = 0; type < JOB_TYPES; type++) {
        lanes[type] = (lane){ .worker = w, .type = (job_type)type };
        lanes[type].threads = work_start(
            &(work_options){ .database = w->database,
                             .queue = job_queue_names[type],
                             .threads = (unsigned)config_number("WORKER_THREADS", 2, 1, 16),
                             .handler = run_job,
                             .user = &lanes[type] });
        if (!lanes[type].threads)
            return false;
    }
    return true;
}

int main(void)
{
    config_catch_signals();
    curl_global_init(CURL_GLOBAL_DEFAULT);
    sonde_start(&(sonde_options){
        .service = "worker",
        .version = "1.0.0",
        .resource = (const char *const[]){ "service.namespace", "personaworlds", NULL },
        .log_format = PERSONAWORLDS_LOG_FORMAT,
        .db = { .query_metric = "db_query_duration_seconds" } });
    worker w = { .attempts = config_number("JOB_ATTEMPTS", 3, 1, 100),
                 .backoff_ms = config_number("JOB_BACKOFF_MS", 200, 1, MAX_BACKOFF_MS) };
    lane lanes[JOB_TYPES] = { 0 };
    struct MHD_Daemon *server = observability_start();
    bool good = server && start_all(&w, lanes);
    if (good) {
        sonde_info("service_started", sonde_kv("database", database_system(w.database)),
                   sonde_kv("queue", queue_system(w.jobs.queues[0])));
        send_digests(&w, config_number("DIGEST_SECONDS", 60, 1, 86400));
        sonde_info("service_stopping");
    }
    for (int type = 0; type < JOB_TYPES; type++)
        work_stop(lanes[type].threads);
    observability_stop(server);
    sonde_stop();
    sonde_jobs_free(w.observer);
    job_queue_close(&w.jobs);
    database_close(w.database);
    return good ? 0 : 1;
}
