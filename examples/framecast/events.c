// SPDX-License-Identifier: Apache-2.0
/* What every change of a generation leaves behind: one log line, and its numbers. */
#include "examples/framecast/app.h"

#include <string.h>

void app_status_changed(const generation *g, const char *old_status)
{
    sonde_info("Generation status changed", sonde_kv("old_status", old_status),
               sonde_kv("new_status", (const char *)g->status));
}

found app_end(app *a, const generation_key *key, const generation_ending *ending, generation *ret)
{
    found result = generation_end(a->database, key, ending, ret);
    if (result != FOUND)
        return result;
    app_status_changed(ret, ret->started_ms ? "processing" : "queued");
    sonde_counter_add(a->metrics.completed, 1, ret->status);
    sonde_histogram_record(a->metrics.duration, (double)(ret->finished_ms - ret->created_ms) / 1000,
                           ret->status);
    if (ret->credits_refunded)
        sonde_counter_add(a->metrics.credits_refunded, ret->credits_refunded, ret->failure_type);
    if (strcmp(ret->status, "failed") == 0)
        sonde_error("Generation failed", sonde_kv("failure_type", (const char *)ret->failure_type),
                    sonde_kv("credits_refunded", ret->credits_refunded));
    return FOUND;
}

static void read_count(sonde_gauge *gauge, app *a, const char *status)
{
    long n = generation_count(a->database, status);
    if (n >= 0)
        sonde_gauge_set(gauge, (double)n);
}

static void read_queued(sonde_gauge *gauge, void *user)
{
    read_count(gauge, user, "queued");
}

static void read_processing(sonde_gauge *gauge, void *user)
{
    read_count(gauge, user, "processing");
}

void app_make_metrics(app *a)
{
    static const char *const ends[] = { "completed", "failed", "canceled", NULL };
    app_metrics *m = &a->metrics;
    m->created = sonde_counter_new("generations_created_total", "Generations asked for.",
                                   SONDE_LABELS("owner_type"));
    m->completed = sonde_counter_new("generations_completed_total",
                                     "Generations that ended, by how.", SONDE_LABELS("status"));
    m->duration = sonde_histogram_new(
        "generation_duration_seconds", "From the request to the end.", SONDE_LABELS("status"),
        .bounds = SONDE_BOUNDS(0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300, 600));
    m->credits_charged =
        sonde_counter_new("generation_credits_charged_total", "Credits charged.", SONDE_LABELS());
    m->credits_refunded =
        sonde_counter_new("generation_credits_refunded_total", "Credits given back, by why.",
                          SONDE_LABELS("failure_type"));
    m->anthropic_requests = sonde_counter_new(
        "anthropic_requests_total", "Requests to the language model.", SONDE_LABELS("status"));
    m->anthropic_tokens =
        sonde_counter_new("anthropic_tokens_used_total",
                          "Tokens read and written by the language model.", SONDE_LABELS("type"));
    m->runpod_requests =
        sonde_counter_new("runpod_requests_total", "Requests to pods.", SONDE_LABELS("status"));
    m->gpu_seconds = sonde_counter_new("runpod_gpu_seconds_total",
                                       "Time that pods worked on generations.", SONDE_LABELS());
    /* "None has ended" is only known of a count that begins at 0. */
    for (const char *const *status = ends; *status; status++)
        sonde_counter_add(m->completed, 0, *status);
    sonde_counter_add(m->credits_charged, 0);
    sonde_counter_add(m->gpu_seconds, 0.0);
    sonde_gauge_callback("generations_queued_current", "Generations that wait.", read_queued, a,
                         SONDE_LABELS());
    sonde_gauge_callback("generations_processing_current", "Generations that are worked on.",
                         read_processing, a, SONDE_LABELS());
}
