/* SPDX-License-Identifier: Apache-2.0 */
/* Jobs: pieces of work with a life of their own, from their creation to their end, with metrics,
 * log events and context.
 *
 *     sonde_jobs *jobs = sonde_jobs_new(&(sonde_jobs_options){ .prefix = "shop" });
 *
 *     sonde_job *job = sonde_job_created(jobs, &(sonde_job_info){ .id = id, .type = "research" });
 *     sonde_job_started(job);
 *     SONDE_JOB(job) {                                   // job_id is in every log and span here
 *         SONDE_JOB_SPAN(job, "create_task") { … }
 *         sonde_job_progress(job, 50, "halfway");
 *         sonde_job_external_call(job, "yutori", "create_task", 1.5, true);
 *     }
 *     sonde_job_completed(job, "succeeded");
 *
 * Metrics, by options.prefix: PREFIX_commands_total{intent,status}, PREFIX_job_duration_seconds
 * {job_type,status}, PREFIX_active_jobs{job_type},
 * PREFIX_external_api_calls_total{provider,status}, PREFIX_external_api_latency_seconds{provider}.
 * For workers, by options.worker: jobs_processed_total{type,status}, job_duration_seconds{type},
 * job_retries_total{type}, jobs_trace_total{type,status,trace}. Log events: job_created,
 * job_started, job_progress, job_completed, job_retried, job_released, external_api_call.
 *
 * A job belongs to whoever holds it: its functions may be called from any thread, one at a time;
 * external calls and spans from several at once. A sonde_jobs is shared by all threads. Every
 * function takes NULL and does nothing then. Not for signal handlers. A child of fork forgets its
 * parent's jobs: ending one there counts in the child. */
#ifndef SONDE_JOB_H
#define SONDE_JOB_H

#include <sonde/metric.h>
#include <sonde/span.h>

#ifdef __cplusplus
extern "C" {
#endif
#pragma GCC visibility push(default)

typedef struct sonde_jobs sonde_jobs;
typedef struct sonde_job sonde_job;

/* All of it may be zero. NULL names are the defaults above. */
typedef struct {
    const char *prefix; /* NULL: none of the metrics that are named by it */
    bool worker;        /* the metrics of a worker, too */
    /* Names of single metrics, instead of PREFIX_…; "none": without. */
    const char *commands_metric, *duration_metric, *active_metric;
    const char *external_calls_metric, *external_latency_metric;
    /* Likewise of the worker's. */
    const char *processed_metric, *worker_duration_metric, *retries_metric, *trace_metric;
    /* Of the durations of jobs, in seconds; none: 0.1 to 600. */
    sonde_bounds duration_bounds;
    bool no_log;        /* metrics only */
    const char *logger; /* of the events; NULL: none. At most 63 bytes */
} sonde_jobs_options;

/* All of it may be zero; nothing is kept but copies. */
typedef struct {
    const char *id;     /* at most 127 bytes; NULL: none */
    const char *type;   /* "research"; at most 63 bytes; NULL: "job" */
    const char *intent; /* of the command that it came by; NULL: the type */
    /* Where the job was made (sonde_extract_json of its payload): its trace is continued and its
     * request_id is in every log. NULL: the current context. */
    const sonde_context *context;
} sonde_job_info;

/* NULL without memory. A name that exists gives the same metrics once more. */
sonde_jobs *sonde_jobs_new(const sonde_jobs_options *options);
/* Its jobs must have ended. */
void sonde_jobs_free(sonde_jobs *jobs);

/* A new job: counts the command with status "created", counts it as active, logs job_created. NULL
 * without memory. Ends with sonde_job_completed, sonde_job_ended or sonde_job_released. */
sonde_job *sonde_job_created(sonde_jobs *jobs, const sonde_job_info *info);
/* A job that was created elsewhere and is taken up here: counted as active, not as a command. Its
 * time runs from here. */
sonde_job *sonde_job_taken(sonde_jobs *jobs, const sonde_job_info *info);
/* Logs job_started; its duration counts from here. */
void sonde_job_started(sonde_job *job);
/* Logs job_progress {progress, progress_message}; percent 0 to 100. `message` may be NULL. */
void sonde_job_progress(sonde_job *job, double percent, const char *message);
/* Counts and logs job_retried {attempt, error}; `error` may be NULL. */
void sonde_job_retried(sonde_job *job, int attempt, const char *error);
/* Records the duration, counts the command with its final status, logs job_completed {status,
 * duration_seconds} and frees the job. Status is "succeeded", "failed", "cancelled", or another
 * word; "failed" and "error" are logged as errors, "cancelled" as a warning. */
void sonde_job_completed(sonde_job *job, const char *status);
/* As sonde_job_completed, with what went wrong (NULL: nothing). */
void sonde_job_ended(sonde_job *job, const char *status, const char *error);

/* The job goes on elsewhere or another time (the program ends): it is active here no longer, logs
 * job_released, and is freed. Neither an outcome nor a duration is counted. */
void sonde_job_released(sonde_job *job);

/* Counts and logs a call of another service: external_api_call {provider, operation,
 * duration_seconds, success}. */
void sonde_job_external_call(sonde_job *job, const char *provider, const char *operation,
                             double seconds, bool success);
/* The same outside of a job. */
void sonde_jobs_external_call(sonde_jobs *jobs, const char *provider, const char *operation,
                              double seconds, bool success);

/* What SONDE_JOB makes current: the context it was made in, with job_id. Valid until the job ends;
 * the empty context for NULL. */
const sonde_context *sonde_job_context(const sonde_job *job);

/* SONDE_JOB(job) { … }: everything recorded inside belongs to the job. */
#define SONDE_JOB(job) SONDE_JOB_AT_(__COUNTER__, job)
/* SONDE_JOB_SPAN(job, name, kv…) { … }: a span of the job with job.id and job.type; inside of
 * another of the job's spans it is that one's child. `break` leaves it. */
#define SONDE_JOB_SPAN(job, ...) SONDE_JOB_SPAN_AT_(__COUNTER__, job, __VA_ARGS__)

/* ---- what the macros use ---- */

/* The job's context; inside of the job already, what is current. */
sonde_with_scope *sonde_job_enter_(sonde_with_scope *scope, const sonde_job *job);
const char *sonde_job_id_(const sonde_job *job);
const char *sonde_job_type_(const sonde_job *job);

#define SONDE_JOB_AT_(n, job) \
    SONDE_SCOPE_(sonde_with_scope, sonde_with_leave_, n, sonde_job_enter_, (job))
#define SONDE_JOB_SPAN_AT_(n, job, name, ...) \
    SONDE_JOB_AT_(n, job) \
    SONDE_SPAN (name, sonde_kv_str("job.id", sonde_job_id_(job)), \
                sonde_kv_str("job.type", sonde_job_type_(job)), ##__VA_ARGS__)

#pragma GCC visibility pop
#ifdef __cplusplus
}
#endif
#endif
