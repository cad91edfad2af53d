// SPDX-License-Identifier: Apache-2.0
/* Jobs: their metrics, events and context; see sonde/job.h. */
#include "sonde/job.h"

#include "lib/context.h"
#include "lib/state_thread.h"
#include "sonde/log.h"

#include "base/clock.h"

#include <stdio.h>
#include <stdlib.h>

enum { NAME_SIZE = 128, TYPE_SIZE = 64 };

struct sonde_jobs {
    sonde_counter *commands, *external_calls, *processed, *retries, *trace;
    sonde_histogram *duration, *external_latency, *worker_duration;
    sonde_gauge *active;
    bool no_log;
    char logger[TYPE_SIZE]; /* "": none */
};

struct sonde_job {
    sonde_jobs *jobs;
    sonde_context context;
    int64_t start_ns; /* monotonic */
    bool traced;      /* it came with a trace or a request id */
    char id[NAME_SIZE];
    char type[TYPE_SIZE];
    char intent[TYPE_SIZE];
};

/* ---- metrics ---- */

/* The option's name, else prefix_name; NULL: the metric is not wanted. */
static const char *metric_name(const char *prefix, const char *name, const char *given,
                               char ret[NAME_SIZE])
{
    if (given && strcmp(given, "none") == 0)
        return NULL;
    if (given)
        return given;
    if (!prefix)
        return NULL;
    snprintf(ret, NAME_SIZE, "%s%s%s", prefix, *prefix ? "_" : "", name);
    return ret;
}

static sonde_counter *make_counter(const char *name, const char *help, sonde_labels labels)
{
    return name ? sonde_counter_create(
                      &(sonde_metric_options){ .name = name, .help = help, .labels = labels })
                : NULL;
}

static sonde_histogram *make_histogram(const char *name, const char *help, sonde_labels labels,
                                       sonde_bounds bounds)
{
    return name ? sonde_histogram_create(&(sonde_metric_options){
                      .name = name, .help = help, .labels = labels, .unit = "s", .bounds = bounds })
                : NULL;
}

static void make_prefixed(sonde_jobs *j, const sonde_jobs_options *o, sonde_bounds bounds)
{
    char name[NAME_SIZE];
    const char *p = o->prefix;
    j->commands =
        make_counter(metric_name(p, "commands_total", o->commands_metric, name),
                     "Total number of commands received", SONDE_LABELS("intent", "status"));
    j->duration =
        make_histogram(metric_name(p, "job_duration_seconds", o->duration_metric, name),
                       "Job execution duration", SONDE_LABELS("job_type", "status"), bounds);
    const char *active = metric_name(p, "active_jobs", o->active_metric, name);
    if (active)
        j->active =
            sonde_gauge_new(active, "Number of currently active jobs", SONDE_LABELS("job_type"));
    j->external_calls =
        make_counter(metric_name(p, "external_api_calls_total", o->external_calls_metric, name),
                     "Total number of external API calls", SONDE_LABELS("provider", "status"));
    j->external_latency = make_histogram(
        metric_name(p, "external_api_latency_seconds", o->external_latency_metric, name),
        "External API latency", SONDE_LABELS("provider"), (sonde_bounds){ 0 });
}

static void make_worker(sonde_jobs *j, const sonde_jobs_options *o, sonde_bounds bounds)
{
    char name[NAME_SIZE];
    const char *p = o->worker ? "" : NULL;
    j->processed = make_counter(metric_name(p, "jobs_processed_total", o->processed_metric, name),
                                "Jobs processed.", SONDE_LABELS("type", "status"));
    j->worker_duration =
        make_histogram(metric_name(p, "job_duration_seconds", o->worker_duration_metric, name),
                       "Time to process a job, in seconds.", SONDE_LABELS("type"), bounds);
    j->retries = make_counter(metric_name(p, "job_retries_total", o->retries_metric, name),
                              "Jobs tried again.", SONDE_LABELS("type"));
    j->trace = make_counter(metric_name(p, "jobs_trace_total", o->trace_metric, name),
                            "Jobs processed, by whether they brought a trace along.",
                            SONDE_LABELS("type", "status", "trace"));
}

sonde_jobs *sonde_jobs_new(const sonde_jobs_options *options)
{
    static const sonde_jobs_options none;
    const sonde_jobs_options *o = options ? options : &none;
    sonde_bounds usual = SONDE_BOUNDS(0.1, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300, 600);
    sonde_bounds bounds = o->duration_bounds.count ? o->duration_bounds : usual;
    sonde_jobs *j = calloc(1, sizeof(*j));
    if (!j)
        return NULL;
    j->no_log = o->no_log;
    str_copy_c(j->logger, sizeof(j->logger), str_c(o->logger));
    make_prefixed(j, o, bounds);
    make_worker(j, o, bounds);
    return j;
}

void sonde_jobs_free(sonde_jobs *j)
{
    if (!j)
        return;
    sonde_counter *counters[] = { j->commands, j->external_calls, j->processed, j->retries,
                                  j->trace };
    sonde_histogram *histograms[] = { j->duration, j->external_latency, j->worker_duration };
    for (size_t i = 0; i < ARRAY_LEN(counters); i++)
        sonde_counter_free(counters[i]);
    for (size_t i = 0; i < ARRAY_LEN(histograms); i++)
        sonde_histogram_free(histograms[i]);
    sonde_gauge_free(j->active);
    free(j);
}

/* ---- a job's life ---- */

static bool context_traced(const sonde_context *c)
{
    str id;
    sonde_current_ ids = { .generation = 0 };
    memcpy(ids.trace_id, c->trace_id, sizeof(ids.trace_id));
    return context_has_trace(&ids) || context_text(c, STR("request_id"), &id);
}

static sonde_job *new_job(sonde_jobs *jobs, const sonde_job_info *info)
{
    static const sonde_job_info none;
    if (!info)
        info = &none;
    sonde_job *job = calloc(1, sizeof(*job));
    if (!jobs || !job) {
        free(job);
        return NULL;
    }
    job->jobs = jobs;
    job->start_ns = clock_mono_ns();
    str_copy_c(job->id, sizeof(job->id), str_c(info->id));
    str_copy_c(job->type, sizeof(job->type), str_c(info->type ? info->type : "job"));
    str_copy_c(job->intent, sizeof(job->intent), str_c(info->intent ? info->intent : job->type));
    job->context = info->context ? *info->context : sonde_context_capture();
    job->traced = context_traced(&job->context);
    if (job->id[0]) {
        sonde_attr id = sonde_kv_str("job_id", job->id);
        (void)context_put(&job->context, &id);
    }
    sonde_gauge_add(jobs->active, 1, job->type);
    return job;
}

/* Nothing when the options say so. */
static void log_event(const sonde_jobs *j, sonde_level level, const char *event,
                      const sonde_attr *attributes, size_t count)
{
    if (!j->no_log)
        sonde_log_as((sonde_str){ j->logger, strlen(j->logger) }, level,
                     (sonde_str){ event, strlen(event) }, attributes, count);
}

#define JOB_LOG(job, level, event, ...) \
    do { \
        SONDE_JOB (job) { \
            log_event((job)->jobs, level, event, SONDE_ATTRS_(__VA_ARGS__)); \
        } \
    } while (0)

sonde_job *sonde_job_created(sonde_jobs *jobs, const sonde_job_info *info)
{
    sonde_job *job = new_job(jobs, info);
    if (!job)
        return NULL;
    sonde_counter_add(jobs->commands, 1, job->intent, "created");
    JOB_LOG(job, SONDE_INFO, "job_created", sonde_kv("job_type", (const char *)job->type),
            sonde_kv("intent", (const char *)job->intent));
    return job;
}

sonde_job *sonde_job_taken(sonde_jobs *jobs, const sonde_job_info *info)
{
    return new_job(jobs, info);
}

void sonde_job_started(sonde_job *job)
{
    if (!job)
        return;
    job->start_ns = clock_mono_ns();
    JOB_LOG(job, SONDE_INFO, "job_started", sonde_kv("job_type", (const char *)job->type));
}

void sonde_job_progress(sonde_job *job, double percent, const char *message)
{
    if (job)
        JOB_LOG(job, SONDE_INFO, "job_progress", sonde_kv("job_type", (const char *)job->type),
                sonde_kv("progress", percent),
                sonde_kv("progress_message", message ? message : ""));
}

void sonde_job_retried(sonde_job *job, int attempt, const char *error)
{
    if (!job)
        return;
    sonde_counter_add(job->jobs->retries, 1, job->type);
    JOB_LOG(job, SONDE_WARN, "job_retried", sonde_kv("job_type", (const char *)job->type),
            sonde_kv("attempt", attempt), sonde_kv("error", error ? error : ""));
}

static void log_end(const sonde_job *job, const char *status, const char *error, double seconds)
{
    bool failed = strcmp(status, "failed") == 0 || strcmp(status, "error") == 0;
    sonde_attr attributes[4];
    size_t n = 0;
    attributes[n++] = sonde_kv_str("job_type", job->type);
    attributes[n++] = sonde_kv_str("status", status);
    attributes[n++] = sonde_kv_f64("duration_seconds", (double)(int64_t)(seconds * 1e6) / 1e6);
    if (error)
        attributes[n++] = sonde_kv_str("error", error);
    sonde_level level = failed                             ? SONDE_ERROR
                        : strcmp(status, "cancelled") == 0 ? SONDE_WARN
                                                           : SONDE_INFO;
    SONDE_JOB (job) {
        log_event(job->jobs, level, "job_completed", attributes, n);
    }
}

void sonde_job_ended(sonde_job *job, const char *status, const char *error)
{
    if (!job)
        return;
    sonde_jobs *j = job->jobs;
    double seconds = (double)(clock_mono_ns() - job->start_ns) / (double)NS_PER_S;
    if (!status)
        status = "succeeded";
    sonde_gauge_add(j->active, -1, job->type);
    sonde_counter_add(j->commands, 1, job->intent, status);
    sonde_histogram_record(j->duration, seconds, job->type, status);
    sonde_counter_add(j->processed, 1, job->type, status);
    sonde_histogram_record(j->worker_duration, seconds, job->type);
    sonde_counter_add(j->trace, 1, job->type, status, job->traced ? "present" : "missing");
    log_end(job, status, error, seconds);
    free(job);
}

void sonde_job_completed(sonde_job *job, const char *status)
{
    sonde_job_ended(job, status, NULL);
}

void sonde_job_released(sonde_job *job)
{
    if (!job)
        return;
    sonde_gauge_add(job->jobs->active, -1, job->type);
    JOB_LOG(job, SONDE_INFO, "job_released", sonde_kv("job_type", (const char *)job->type));
    free(job);
}

/* ---- calls of other services ---- */

void sonde_jobs_external_call(sonde_jobs *j, const char *provider, const char *operation,
                              double seconds, bool success)
{
    if (!j)
        return;
    sonde_counter_add(j->external_calls, 1, provider, success ? "success" : "error");
    sonde_histogram_record(j->external_latency, seconds, provider);
    sonde_attr attributes[] = { sonde_kv("provider", provider), sonde_kv("operation", operation),
                                sonde_kv("duration_seconds", seconds),
                                sonde_kv_bool("success", success) };
    log_event(j, success ? SONDE_INFO : SONDE_WARN, "external_api_call", attributes,
              ARRAY_LEN(attributes));
}

void sonde_job_external_call(sonde_job *job, const char *provider, const char *operation,
                             double seconds, bool success)
{
    if (!job)
        return;
    SONDE_JOB (job) {
        sonde_jobs_external_call(job->jobs, provider, operation, seconds, success);
    }
}

/* ---- context ---- */

const sonde_context *sonde_job_context(const sonde_job *job)
{
    static const sonde_context empty;
    return job ? &job->context : &empty;
}

/* What is current stays inside of the job itself, so that its spans nest. */
sonde_with_scope *sonde_job_enter_(sonde_with_scope *scope, const sonde_job *job)
{
    thread_self *t = thread_context();
    const sonde_context *bag = t->current.bag;
    str id;
    bool inside = job && bag && context_text(bag, STR("job_id"), &id) && str_is(id, job->id);
    if (job && !inside)
        return sonde_with_enter_(scope, &job->context);
    scope->saved = t->current;
    scope->saved.generation = t->fork_id;
    return scope;
}

const char *sonde_job_id_(const sonde_job *job)
{
    return job ? job->id : "";
}

const char *sonde_job_type_(const sonde_job *job)
{
    return job ? job->type : "";
}
