// SPDX-License-Identifier: Apache-2.0
/* The function that an event of the queue runs: it takes the generation, lets the language model
 * write the prompt out, and hands it to a pod. The pod reports the rest by the webhook, so that no
 * thread waits for it. Whatever goes wrong ends the generation and gives its credits back. */
#include "examples/common/config.h"
#include "examples/common/json_field.h"
#include "examples/common/trace_job.h"
#include "examples/framecast/app.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum {
    AWAY_MS = 500,       /* between two tries while the database is away */
    POD_MS = 2000,       /* for one request to the pod */
    POD_TRIES = 4,       /* when it does not answer, 250 ms and twice as long each time between */
    POD_BUSY_TRIES = 120 /* when it has no room, AWAY_MS between */
};

/* What is wrong, for the generation's failure_type; NULL: nothing. */
typedef const char *failure;

static json_t *message_body(const generation *g)
{
    char asked[FRAMECAST_MAX_PROMPT + 64];
    snprintf(asked, sizeof(asked), "Describe this video in detail: %s", g->prompt);
    return json_pack("{ss si s[{ss ss}]}", "model", "claude", "max_tokens", 512, "messages", "role",
                     "user", "content", asked);
}

static void count_tokens(app *a, const json_t *answer)
{
    static const char *const types[][2] = { { "input", "input_tokens" },
                                            { "output", "output_tokens" } };
    const json_t *usage = json_object_get(answer, "usage");
    for (size_t i = 0; i < 2; i++) {
        long n = (long)json_integer_value(json_object_get(usage, types[i][1]));
        sonde_counter_add(a->metrics.anthropic_tokens, n, types[i][0]);
        sonde_span_set(sonde_kv(i ? "gen_ai.usage.output_tokens" : "gen_ai.usage.input_tokens", n));
    }
}

static failure expand_prompt(app *a, web_client *client, const generation *g, char *ret,
                             size_t size)
{
    char url[FRAMECAST_MAX_URL];
    failure wrong = "language_model";
    SONDE_SPAN ("expand_prompt", sonde_kv("gen_ai.operation.name", "chat"),
                sonde_kv("gen_ai.provider.name", "anthropic")) {
        json_t *body = message_body(g);
        char *text = json_dumps(body, JSON_COMPACT);
        snprintf(url, sizeof(url), "%s/v1/messages", a->anthropic_url);
        web_client_header(client, "x-api-key", a->anthropic_key);
        web_client_header(client, "anthropic-version", "2023-06-01");
        web_response answer = web_send(client, "POST", url, "application/json", text, strlen(text),
                                       a->anthropic_timeout_ms);
        const char *outcome = framecast_outcome(&answer);
        sonde_counter_add(a->metrics.anthropic_requests, 1, outcome);
        json_t *said = answer.status == 200 ? json_loadb(answer.bytes, answer.size, 0, NULL) : NULL;
        const json_t *block = json_array_get(json_object_get(said, "content"), 0);
        const char *written = json_text(block, "text", size - 1);
        if (written) {
            count_tokens(a, said);
            snprintf(ret, size, "%s", written);
            wrong = NULL;
        } else {
            sonde_warn("Language model gave no text", sonde_kv("outcome", outcome),
                       sonde_kv("status", answer.status),
                       sonde_kv("error", (const char *)answer.error));
            sonde_span_error(outcome, "the language model gave no text");
        }
        json_decref(said);
        web_response_done(&answer);
        free(text);
        json_decref(body);
    }
    return wrong;
}

static char *run_body(app *a, const generation *g, const char *prompt)
{
    char key[80], upload[FRAMECAST_MAX_URL], webhook[FRAMECAST_MAX_URL];
    snprintf(key, sizeof(key), "outputs/%s.mp4", g->id);
    if (!s3_presign(&a->s3, "PUT", key, OUTPUT_SECONDS, time(NULL), upload, sizeof(upload)))
        return NULL;
    snprintf(webhook, sizeof(webhook), "%s/v1/webhooks/runpod", a->public_url);
    json_t *body =
        json_pack("{ss ss ss ss ss ss s{ss ss}}", "generation_id", g->id, "user_id", g->user_id,
                  "team_id", g->team_id, "prompt", prompt, "output_key", key, "upload_url", upload,
                  "webhook", "url", webhook, "token", g->webhook_token);
    char *text = json_dumps(body, JSON_COMPACT);
    json_decref(body);
    return text;
}

/* 202: the pod took it; else what the last answer was, 0 without one. *ret_gone: the generation
 * ended meanwhile. */
static long offer(app *a, web_client *client, const generation *g, const char *body, bool *ret_gone)
{
    char url[FRAMECAST_MAX_URL];
    long status = 0, wait_ms = AWAY_MS / 2;
    int refused = 0, busy = 0;
    snprintf(url, sizeof(url), "%s/run", a->pod_url);
    while (!*ret_gone && refused < POD_TRIES && busy < POD_BUSY_TRIES) {
        web_response answer =
            web_send(client, "POST", url, "application/json", body, strlen(body), POD_MS);
        status = answer.status;
        sonde_counter_add(a->metrics.runpod_requests, 1, framecast_outcome(&answer));
        if (status != 202)
            sonde_warn("Pod did not take the generation", sonde_kv("status", status),
                       sonde_kv("error", (const char *)answer.error));
        web_response_done(&answer);
        if (status && status < 500 && status != 429)
            break;
        if (status == 429)
            busy++;
        else if (++refused < POD_TRIES)
            wait_ms *= 2;
        if (refused < POD_TRIES)
            config_wait((int)(status == 429 ? AWAY_MS : wait_ms / 2));
        *ret_gone = generation_beat(a->database, &(generation_key){ .id = g->id }) == NOT_FOUND;
    }
    return status;
}

static failure submit_to_pod(app *a, web_client *client, const generation *g, const char *prompt)
{
    bool gone = false;
    failure wrong = NULL;
    SONDE_SPAN ("submit_to_pod") {
        char *body = run_body(a, g, prompt);
        long status = body ? offer(a, client, g, body, &gone) : 0;
        free(body);
        if (status != 202 && !gone) {
            wrong = "pod_unavailable";
            sonde_span_error(wrong, "no pod took the generation");
        }
    }
    return wrong;
}

static void process(app *a, web_client *client, generation *g)
{
    char prompt[2 * FRAMECAST_MAX_PROMPT];
    app_status_changed(g, "queued");
    failure wrong = expand_prompt(a, client, g, prompt, sizeof(prompt));
    if (!wrong && generation_beat(a->database, &(generation_key){ .id = g->id }) == NOT_FOUND)
        return; /* canceled meanwhile */
    if (!wrong)
        wrong = submit_to_pod(a, client, g, prompt);
    if (!wrong)
        return;
    sonde_span_error(wrong, "the generation failed");
    app_end(a, &(generation_key){ .id = g->id }, &(generation_ending){ "failed", wrong, NULL }, g);
}

static void run_event(app *a, web_client *client, const char *id)
{
    generation g;
    switch (generation_claim(a->database, id, &g)) {
    case FOUND:
        process(a, client, &g);
        break;
    case NOT_FOUND:
        sonde_info("Generation is not queued any more");
        break;
    case DATABASE_AWAY:
        sonde_span_error("database", "the database did not answer");
        work_put_back();
        break;
    }
}

void run_function(const char *text, const json_t *job, web_client *client, void *user)
{
    (void)text;
    app *a = user;
    const json_t *data = json_object_get(job, "data");
    const char *id = json_text(data, "generation_id", sizeof(((generation *)NULL)->id) - 1);
    const char *name = json_text(job, "name", 63) ?: "";
    if (!id || strcmp(name, "generation/requested") != 0) {
        sonde_error("Event is not known", sonde_kv("event_name", name));
        return;
    }
    sonde_context from = trace_job_extract(job);
    SONDE_WITH (from)
        SONDE_CONTEXT (sonde_kv("user_id", json_text(data, "user_id", FRAMECAST_MAX_NAME - 1)),
                       sonde_kv("team_id", json_text(data, "team_id", FRAMECAST_MAX_NAME - 1)),
                       sonde_kv("generation_id", id))
            SONDE_SPAN_KIND (SONDE_CONSUMER, "process inngest",
                             sonde_kv("messaging.system", queue_system(a->inngest)),
                             sonde_kv("messaging.operation.name", "process"),
                             sonde_kv("messaging.destination.name", INNGEST_QUEUE))
                run_event(a, client, id);
}
