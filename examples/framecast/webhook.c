// SPDX-License-Identifier: Apache-2.0
/* Where pods report: that a generation is being worked on, and how it ended. The token in the
 * report was given to that pod with the generation, and says which one it is. */
#include "examples/common/json_field.h"
#include "examples/framecast/app.h"

#include <string.h>

/* Of GPU time in one report: more is not true, and would stay in the sum for ever. */
#define MOST_SECONDS 86400.0

/* To a pod whose generation ended otherwise: it need not go on. */
static void answer_known(web_request *r, bool is_known)
{
    web_answer(r, 200, json_pack("{ss}", "generation", is_known ? "known" : "gone"));
}

static void note_progress(app *a, web_request *r, const generation_key *key)
{
    found beat = generation_beat(a->database, key);
    if (beat == DATABASE_AWAY)
        app_unavailable(r, "DATABASE_UNAVAILABLE", "The database did not answer");
    else
        answer_known(r, beat == FOUND);
}

static void note_end(app *a, web_request *r, const json_t *body, const generation_key *key,
                     const generation_ending *ending)
{
    generation g;
    /* The pod worked, whatever became of it. */
    double seconds = json_number_value(json_object_get(body, "gpu_seconds"));
    found ended = app_end(a, key, ending, &g);
    if (ended == DATABASE_AWAY) {
        app_unavailable(r, "DATABASE_UNAVAILABLE", "The database did not answer");
        return;
    }
    if (seconds > 0 && seconds < MOST_SECONDS)
        sonde_counter_add(a->metrics.gpu_seconds, seconds);
    answer_known(r, ended == FOUND);
}

static void report(app *a, web_request *r, const json_t *body)
{
    const char *status = json_text(body, "status", 15) ?: "";
    const char *failure = json_text(body, "failure_type", 31) ?: "workflow";
    generation_key key = { .webhook_token = json_text(body, "token", 63) };
    if (!key.webhook_token)
        web_fail_with(r, &(sonde_error){ .status = 401,
                                         .code = "UNAUTHENTICATED",
                                         .message = "The report has no token",
                                         .help = "Send the token that came with the generation" });
    else if (strcmp(status, "processing") == 0)
        note_progress(a, r, &key);
    else if (strcmp(status, "completed") == 0)
        note_end(a, r, body, &key,
                 &(generation_ending){ status, NULL, json_text(body, "output_key", 79) });
    else if (strcmp(status, "failed") == 0)
        note_end(a, r, body, &key, &(generation_ending){ status, failure, NULL });
    else
        web_fail_with(r, &(sonde_error){ .status = 400,
                                         .code = "INVALID_REPORT",
                                         .message = "The status of the report is not known",
                                         .help = "Send processing, completed or failed" });
}

void post_webhook(web_request *r, void *context)
{
    json_t *body = web_body(r);
    const char *id = json_text(body, "generation_id", 31);
    const char *user = json_text(body, "user_id", FRAMECAST_MAX_NAME - 1);
    const char *team = json_text(body, "team_id", FRAMECAST_MAX_NAME - 1);
    sonde_http_set(sonde_kv("generation_id", id), sonde_kv("user_id", user),
                   sonde_kv("team_id", team));
    report(context, r, body);
    json_decref(body);
}
