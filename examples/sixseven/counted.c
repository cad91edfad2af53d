// SPDX-License-Identifier: Apache-2.0
/* Drives the observer of sixseven to known values and writes the metrics page to stdout: what a
 * Prometheus reads of it can be compared, sample by sample. */
#include "examples/sixseven/observer.h"

#include <stdio.h>

enum { CREATED = 42, SUCCEEDED = 38, WITHIN_5 = 10, WITHIN_10 = 25, ACTIVE = 4 };

/* 10 of 4 s, 15 of 6.5 s, 12 of 11 s and one of 16 s: together 285.5 s. */
static void record_durations(void)
{
    sonde_histogram *h =
        sonde_histogram_new("sixseven_job_duration_seconds", "Job execution duration",
                            SONDE_LABELS("job_type", "status"), .bounds = SONDE_BOUNDS(5, 10));
    for (int i = 0; i < SUCCEEDED; i++)
        sonde_histogram_record(h,
                               i < WITHIN_5    ? 4.0
                               : i < WITHIN_10 ? 6.5
                               : i == 37       ? 16
                                               : 11,
                               "research", "succeeded");
}

/* Commands that ended, without their time, and jobs of others that are at work: three and one. */
static void count_jobs(sonde_jobs *jobs, sonde_job *active[ACTIVE])
{
    for (int i = 0; i < CREATED; i++)
        sonde_job_completed(sonde_job_created(jobs, &(sonde_job_info){ .type = "research" }),
                            i < SUCCEEDED ? "succeeded" : "failed");
    for (int i = 0; i < ACTIVE; i++)
        active[i] =
            sonde_job_taken(jobs, &(sonde_job_info){ .type = i < 3 ? "research" : "creative" });
}

int main(void)
{
    sonde_http_response page;
    sonde_job *active[ACTIVE];
    sonde_start(&(sonde_options){ .service = "sixseven", .log_output = "none" });
    sonde_jobs *jobs = sonde_jobs_new(
        &(sonde_jobs_options){ OBSERVER_OPTIONS, .duration_metric = "none", .no_log = true });
    record_durations();
    count_jobs(jobs, active);
    if (!sonde_http_handle(&(sonde_http_request){ .method = "GET", .path = "/metrics" }, &page))
        return 1;
    fwrite(page.body, 1, page.body_len, stdout);
    sonde_http_response_free(&page);
    for (int i = 0; i < ACTIVE; i++)
        sonde_job_released(active[i]);
    sonde_jobs_free(jobs);
    sonde_stop();
    return 0;
}
