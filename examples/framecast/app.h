// SPDX-License-Identifier: Apache-2.0
/* The API's parts: what they share, and what each of them does. A generation is created, waits in
 * the queue "inngest", is processed by a pod, and ends as completed, failed or canceled. */
#ifndef EXAMPLES_FRAMECAST_APP_H
#define EXAMPLES_FRAMECAST_APP_H

#include "examples/common/queue.h"
#include "examples/common/s3.h"
#include "examples/common/web_server.h"
#include "examples/common/work.h"
#include "examples/framecast/framecast.h"
#include "examples/framecast/generations.h"

#define INNGEST_QUEUE "inngest"
#define BUCKET        "framecast"

enum { GENERATION_CREDITS = 10, OUTPUT_SECONDS = 900 };

typedef struct {
    sonde_counter *created, *completed, *credits_charged, *credits_refunded;
    sonde_counter *anthropic_requests, *anthropic_tokens, *runpod_requests, *gpu_seconds;
    sonde_histogram *duration;
} app_metrics;

/* Made by main before any thread; nothing of it changes afterwards. */
typedef struct {
    database *database;
    queue *inngest; /* for pushing and for its length */
    s3_account s3;
    const char *anthropic_url, *anthropic_key, *pod_url, *public_url;
    long anthropic_timeout_ms, lease_seconds, queue_seconds, credit_limit;
    app_metrics metrics;
} app;

/* create.c: POST /v1/generations */
web_handler post_generation;
/* cancel.c: POST /v1/generations/{id}/cancel */
web_handler post_cancel;
/* webhook.c: POST /v1/webhooks/runpod, where pods tell how far they are */
web_handler post_webhook;
/* runner.c: a work_handler that runs the function of an event */
work_handler run_function;

/* Whoever asks; NULL when the request was answered with 401. Valid during the request. */
const char *app_user(web_request *r);
/* The generation that the route names, of this user or his team; false when the request was
 * answered with what is wrong. */
bool app_find(app *a, web_request *r, const char *user, generation *ret);
/* Answers that the database, the queue, … is away: 503. */
void app_unavailable(web_request *r, const char *code, const char *what);

/* events.c: one place for what every change of a generation leaves behind. */
void app_status_changed(const generation *g, const char *old_status);
/* Ends a generation that is queued or processing, and counts it; see generation_end. */
found app_end(app *a, const generation_key *key, const generation_ending *ending, generation *ret);
void app_make_metrics(app *a);

/* lease.c: a thread that fails generations of which nobody has heard for too long. */
typedef struct lease lease;
lease *lease_start(app *a);
void lease_stop(lease *l);

#endif
