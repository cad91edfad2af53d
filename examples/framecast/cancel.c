// SPDX-License-Identifier: Apache-2.0
/* Canceling a generation: an instrumented function, from its first log line to a field of its span
 * that is known only later. */
#include "examples/framecast/app.h"

#include <stdio.h>
#include <string.h>

enum { POD_CANCEL_MS = 2000 };

typedef enum { CANCELED, ALREADY_TERMINAL, CANCEL_FAILED } cancel_result;

/* *generation is the generation as it was found, afterwards as it is. */
static cancel_result cancel_generation(app *ctx, const char *user_id, generation *generation)
{
    SONDE_SPAN ("cancel_generation", sonde_kv("user_id", user_id),
                sonde_kv("generation_id", (const char *)generation->id)) {
        sonde_info("Attempting to cancel generation");
        sonde_span_set(sonde_kv("generation_status", (const char *)generation->status));
        if (!generation_is_terminal(generation)) {
            found canceled =
                app_end(ctx, &(generation_key){ .id = generation->id },
                        &(generation_ending){ "canceled", "canceled", NULL }, generation);
            if (canceled == FOUND) {
                sonde_info("Generation canceled",
                           sonde_kv("credits_refunded", generation->credits_refunded));
                return CANCELED;
            }
            /* It may have ended between the two statements: then it is looked at again. */
            if (canceled == DATABASE_AWAY ||
                generation_find(ctx->database, generation->id, generation) != FOUND)
                return CANCEL_FAILED;
        }
        sonde_info("Generation already terminal",
                   sonde_kv("current_status", (const char *)generation->status));
        sonde_span_error("AlreadyTerminal", "the generation has ended already");
    }
    return ALREADY_TERMINAL;
}

/* The pod learns it at its next report anyway; this only saves its time. */
static void tell_pod(app *a, const char *id)
{
    char url[FRAMECAST_MAX_URL], body[64];
    web_client *client = web_client_new();
    if (!client)
        return;
    snprintf(url, sizeof(url), "%s/cancel", a->pod_url);
    int n = snprintf(body, sizeof(body), "{\"generation_id\":\"%s\"}", id);
    web_response answer =
        web_send(client, "POST", url, "application/json", body, (size_t)n, POD_CANCEL_MS);
    sonde_counter_add(a->metrics.runpod_requests, 1, framecast_outcome(&answer));
    if (!answer.status)
        sonde_warn("Pod was not told", sonde_kv("error", (const char *)answer.error));
    web_response_done(&answer);
    web_client_free(client);
}

static void refuse(web_request *r, const generation *g)
{
    char message[96];
    snprintf(message, sizeof(message), "Cannot cancel generation that is already %s", g->status);
    web_fail_with(r,
                  &(sonde_error){
                      .code = "GENERATION_ALREADY_TERMINAL",
                      .message = message,
                      .details = SONDE_DETAILS(sonde_kv("generation_id", (const char *)g->id),
                                               sonde_kv("current_status", (const char *)g->status)),
                      .help = "Generations can only be canceled while queued or processing",
                      .log = true });
}

void post_cancel(web_request *r, void *context)
{
    app *a = context;
    generation g;
    const char *user = app_user(r);
    if (!user || !app_find(a, r, user, &g))
        return;
    switch (cancel_generation(a, user, &g)) {
    case CANCELED:
        if (g.started_ms)
            tell_pod(a, g.id);
        web_answer(r, 200,
                   json_pack("{ss ss sI}", "generation_id", g.id, "status", g.status,
                             "credits_refunded", (json_int_t)g.credits_refunded));
        break;
    case ALREADY_TERMINAL:
        refuse(r, &g);
        break;
    case CANCEL_FAILED:
        app_unavailable(r, "DATABASE_UNAVAILABLE", "The database did not answer");
        break;
    }
}
