// SPDX-License-Identifier: Apache-2.0
/* The JobObserver of sixseven is libsonde's (sonde/job.h); here are its options. Beside
 * job_created, job_started, job_progress, job_completed and external_api_call, which it logs, it
 * counts:
 *
 *   sixseven_commands_total{intent,status}     sixseven_external_api_calls_total{provider,status}
 *   sixseven_job_duration_seconds{job_type,status}
 *   sixseven_active_jobs{job_type}             sixseven_external_api_latency_seconds{provider} */
#ifndef EXAMPLES_SIXSEVEN_OBSERVER_H
#define EXAMPLES_SIXSEVEN_OBSERVER_H

#include <sonde/sonde.h>

#define OBSERVER_OPTIONS \
    .prefix = "sixseven", .logger = "app.observability", \
    .duration_bounds = SONDE_BOUNDS(0.1, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300, 600)

/* The observer, with its gauge at 0 from the start: after a restart nothing is active before a job
 * is taken up. */
static inline sonde_jobs *observer_new(void)
{
    sonde_jobs *jobs = sonde_jobs_new(&(sonde_jobs_options){ OBSERVER_OPTIONS });
    sonde_gauge *active = sonde_gauge_new("sixseven_active_jobs", "Number of currently active jobs",
                                          SONDE_LABELS("job_type"));
    sonde_gauge_set(active, 0, "research");
    sonde_gauge_set(active, 0, "creative");
    return jobs;
}

#endif
