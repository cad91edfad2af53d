// SPDX-License-Identifier: Apache-2.0
/* Creating a generation: a row in the database, which charges its credits, and an event for the
 * function that runs it. When the event cannot be sent, the generation ends at once; when nobody
 * knows whether there is a row (the database did not answer in time), lease.c ends it. */
#include "examples/common/config.h"
#include "examples/common/json_field.h"
#include "examples/common/trace_job.h"
#include "examples/framecast/app.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* The context that a generation was made in, for those who later end it without a request. */
static void keep_trace(char *ret, size_t size)
{
    char members[1200];
    size_t n = sonde_inject_json(members, sizeof(members));
    snprintf(ret, size, "{%s}", n ? members : "");
}

static void fill(generation *g, const char *user, const char *prompt)
{
    char first[32], second[32];
    sonde_str team = sonde_context_get("team_id");
    *g = (generation){ .credits_charged = GENERATION_CREDITS, .status = "queued" };
    config_new_id("gen_", g->id);
    config_new_id("", first);
    config_new_id("", second);
    snprintf(g->webhook_token, sizeof(g->webhook_token), "%s%s", first, second);
    snprintf(g->user_id, sizeof(g->user_id), "%s", user);
    snprintf(g->team_id, sizeof(g->team_id), "%.*s", (int)team.len, team.len ? team.ptr : "");
    snprintf(g->prompt, sizeof(g->prompt), "%s", prompt);
}

/* An event has a name, data, and the trace that it belongs to. */
static bool send_event(app *a, const generation *g)
{
    bool good = false;
    SONDE_SPAN_KIND (SONDE_PRODUCER, "send inngest",
                     sonde_kv("messaging.system", queue_system(a->inngest)),
                     sonde_kv("messaging.operation.name", "send"),
                     sonde_kv("messaging.destination.name", INNGEST_QUEUE)) {
        json_t *event =
            json_pack("{ss s{ss ss ss}}", "name", "generation/requested", "data", "generation_id",
                      g->id, "user_id", g->user_id, "team_id", g->team_id);
        trace_job_inject(event);
        char *text = json_dumps(event, JSON_COMPACT);
        good = text && queue_push(a->inngest, text);
        free(text);
        json_decref(event);
        if (!good)
            sonde_span_error("queue", "the queue did not take the event");
    }
    return good;
}

static void create(app *a, web_request *r, generation *g)
{
    generation ended;
    found stored = generation_create(a->database, g, a->credit_limit);
    if (stored == DATABASE_AWAY) {
        app_unavailable(r, "DATABASE_UNAVAILABLE", "The database did not answer");
        return;
    }
    if (stored == NOT_FOUND) {
        web_fail_with(r, &(sonde_error){ .status = 402,
                                         .code = "INSUFFICIENT_CREDITS",
                                         .message = "The owner has not enough credits left",
                                         .details = SONDE_DETAILS(
                                             sonde_kv("credits_needed", g->credits_charged),
                                             sonde_kv("owner_type", generation_owner_type(g))),
                                         .help = "Buy credits, or let a team pay by X-Team-Id" });
        return;
    }
    sonde_counter_add(a->metrics.created, 1, generation_owner_type(g));
    sonde_counter_add(a->metrics.credits_charged, g->credits_charged);
    sonde_info("Generation created", sonde_kv("owner_type", generation_owner_type(g)),
               sonde_kv("credits_charged", g->credits_charged));
    if (!send_event(a, g)) {
        app_end(a, &(generation_key){ .id = g->id },
                &(generation_ending){ "failed", "queue", NULL }, &ended);
        app_unavailable(r, "QUEUE_UNAVAILABLE", "The queue did not take the generation");
        return;
    }
    generation_sent(a->database, g->id);
    web_answer(r, 202,
               json_pack("{ss ss sI}", "generation_id", g->id, "status", g->status,
                         "credits_charged", (json_int_t)g->credits_charged));
}

void post_generation(web_request *r, void *context)
{
    app *a = context;
    generation g;
    const char *user = app_user(r);
    if (!user)
        return;
    json_t *body = web_body(r);
    const char *prompt = json_text(body, "prompt", FRAMECAST_MAX_PROMPT - 1);
    if (!body) {
        web_problem problem = web_body_problem(r);
        web_fail_with(r, &(sonde_error){ .status = 400,
                                         .code = "INVALID_JSON",
                                         .message = problem.text,
                                         .help = "Send an object: {\"prompt\": \"a red kite\"}" });
    } else if (!prompt) {
        web_fail_with(r, &(sonde_error){ .status = 400,
                                         .code = "INVALID_PROMPT",
                                         .message = "The prompt is missing, empty or too long",
                                         .details = SONDE_DETAILS(
                                             sonde_kv("longest_bytes", FRAMECAST_MAX_PROMPT - 1)),
                                         .help = "Send a text as \"prompt\"" });
    } else {
        fill(&g, user, prompt);
        sonde_http_set(sonde_kv("generation_id", (const char *)g.id));
        SONDE_SPAN ("create_generation", sonde_kv("user_id", user),
                    sonde_kv("generation_id", (const char *)g.id)) {
            keep_trace(g.trace, sizeof(g.trace));
            create(a, r, &g);
        }
    }
    json_decref(body);
}
