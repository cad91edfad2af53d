// SPDX-License-Identifier: Apache-2.0
/* The API of framecast: videos made from a prompt.
 *
 *   POST /v1/generations {"prompt"}        202, {"generation_id", "status", "credits_charged"}
 *   GET  /v1/generations/{id}              what became of it
 *   POST /v1/generations/{id}/cancel       while it is queued or processing
 *   POST /v1/webhooks/runpod               what pods report
 *   /health, /ready, /metrics, /debug      by libsonde
 *
 * Who asks stands in the headers X-User-Id and X-Team-Id: a gateway in front checks tokens, sets
 * them, and takes away what clients sent by these names. The settings are in main. */
#include "examples/framecast/app.h"

#include "examples/common/config.h"
#include "examples/common/health.h"

#include <sonde/sonde.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

enum { THREADS = 8 };

const char *app_user(web_request *r)
{
    const char *user = web_header(r, "X-User-Id");
    if (user && sonde_context_get("user_id").len && strlen(user) < FRAMECAST_MAX_NAME)
        return user;
    web_fail_with(r,
                  &(sonde_error){ .status = 401,
                                  .code = "UNAUTHENTICATED",
                                  .message = "It is not known who asks",
                                  .help = "Send the request through the gateway, with a token" });
    return NULL;
}

void app_unavailable(web_request *r, const char *code, const char *what)
{
    web_fail_with(r, &(sonde_error){ .status = 503,
                                     .code = code,
                                     .message = what,
                                     .help = "Try again in a moment; /ready tells what is away",
                                     .log = true });
}

static bool may_see(const generation *g, const char *user)
{
    sonde_str team = sonde_context_get("team_id");
    return strcmp(g->user_id, user) == 0 || (*g->team_id && team.len == strlen(g->team_id) &&
                                             memcmp(team.ptr, g->team_id, team.len) == 0);
}

bool app_find(app *a, web_request *r, const char *user, generation *ret)
{
    const char *id = web_segment(r);
    sonde_http_set(sonde_kv("generation_id", id));
    found result = generation_find(a->database, id, ret);
    if (result == DATABASE_AWAY)
        app_unavailable(r, "DATABASE_UNAVAILABLE", "The database did not answer");
    else if (result == NOT_FOUND || !may_see(ret, user))
        web_fail_with(r, &(sonde_error){ .status = 404,
                                         .code = "GENERATION_NOT_FOUND",
                                         .message = "There is no such generation",
                                         .details = SONDE_DETAILS(sonde_kv("generation_id", id)),
                                         .help = "Use the id that POST /v1/generations gave" });
    else if (!generation_is_known_status(ret->status))
        web_fail_with(r, &(sonde_error){ .status = 500,
                                         .code = "INTERNAL",
                                         .message = "The generation's record is damaged",
                                         .details = SONDE_DETAILS(sonde_kv("generation_id", id)),
                                         .help = "Tell the support the request_id",
                                         .log = true });
    else
        return true;
    return false;
}

static json_t *text_or_null(const char *text)
{
    return *text ? json_string(text) : json_null();
}

static void get_generation(web_request *r, void *context)
{
    app *a = context;
    generation g;
    char url[FRAMECAST_MAX_URL] = "";
    const char *user = app_user(r);
    if (!user || !app_find(a, r, user, &g))
        return;
    if (*g.output_key)
        s3_presign(&a->s3, "GET", g.output_key, OUTPUT_SECONDS, time(NULL), url, sizeof(url));
    web_answer(r, 200,
               json_pack("{ss ss ss so so so sI sI}", "generation_id", g.id, "status", g.status,
                         "prompt", g.prompt, "team_id", text_or_null(g.team_id), "failure_type",
                         text_or_null(g.failure_type), "output_url", text_or_null(url),
                         "credits_charged", (json_int_t)g.credits_charged, "credits_refunded",
                         (json_int_t)g.credits_refunded));
}

static const web_route routes[] = {
    { "POST", "/v1/generations", post_generation },
    { "GET", "/v1/generations/{id}", get_generation },
    { "POST", "/v1/generations/{id}/cancel", post_cancel },
    { "POST", "/v1/webhooks/runpod", post_webhook },
};

/* ---- what the API says about itself ---- */

static void show_queue(void *user, sonde_queue_state *ret)
{
    app *a = user;
    ret->depth = queue_length(a->inngest);
    ret->processing = generation_count(a->database, "processing");
}

static void show_connections(void *user, sonde_pool_state *ret, sonde_json *connections)
{
    app *a = user;
    database_pool pool = database_pool_state(a->database);
    *ret = (sonde_pool_state){
        .max = pool.max, .idle = pool.idle, .in_use = pool.used, .waiting = pool.waiting
    };
    for (int i = 0; i < pool.idle + pool.used; i++) {
        sonde_json_begin(connections, NULL);
        sonde_json_put(connections, sonde_kv("system", database_system(a->database)),
                       sonde_kv("state", i < pool.used ? "active" : "idle"));
        sonde_json_end(connections);
    }
}

static void show(app *a)
{
    static char bucket_url[FRAMECAST_MAX_URL];
    snprintf(bucket_url, sizeof(bucket_url), "%s/%s", a->s3.endpoint, a->s3.bucket);
    sonde_health_check_new("database", check_database, a->database, 2500);
    sonde_health_check_new("inngest", check_queue, a->inngest, 2500);
    sonde_health_check_new("s3", framecast_head_bucket, bucket_url, 1000);
    sonde_debug_queue(INNGEST_QUEUE, show_queue, a);
    sonde_debug_pool("database", show_connections, a);
}

static bool open_all(app *a)
{
    a->database = database_open(framecast_setting("DATABASE_URL", NULL),
                                framecast_setting("SQLITE_PATH", "framecast.sqlite"));
    if (!a->database || !generations_migrate(a->database))
        return false;
    a->inngest = queue_open(framecast_setting("REDIS_URL", NULL), a->database, INNGEST_QUEUE);
    return a->inngest != NULL;
}

int main(void)
{
    config_catch_signals();
    framecast_start("framecast-api");
    long port = framecast_number("PORT", 8080, 1, 65535);
    app a = { .s3 = s3_account_from_environment(BUCKET),
              .anthropic_url = framecast_setting("ANTHROPIC_URL", "http://127.0.0.1:9000"),
              .anthropic_key = framecast_setting("ANTHROPIC_API_KEY", "example-key"),
              .pod_url = framecast_setting("POD_URL", "http://127.0.0.1:8090"),
              .public_url = framecast_setting("PUBLIC_URL", "http://127.0.0.1:8080"),
              .anthropic_timeout_ms = framecast_number("ANTHROPIC_TIMEOUT_MS", 3000, 100, 60000),
              .lease_seconds = framecast_number("GENERATION_LEASE_SECONDS", 15, 1, 3600),
              .queue_seconds = framecast_number("GENERATION_QUEUE_SECONDS", 600, 1, 86400),
              .credit_limit = framecast_number("CREDIT_LIMIT", 1000000, 0, 1000000000) };
    sonde_debug_config("S3_ENDPOINT", a.s3.endpoint);
    sonde_debug_config("AWS_SECRET_ACCESS_KEY", a.s3.secret_key);
    if (!open_all(&a)) {
        sonde_stop();
        database_close(a.database);
        return 1;
    }
    app_make_metrics(&a);
    show(&a);
    web_server *server =
        web_server_start((uint16_t)port, THREADS, routes, sizeof(routes) / sizeof(routes[0]), &a);
    work *runner = NULL;
    if (server)
        runner = work_start(
            &(work_options){ .database = a.database,
                             .queue = INNGEST_QUEUE,
                             .threads = (unsigned)framecast_number("RUNNER_THREADS", 4, 1, 16),
                             .handler = run_function,
                             .user = &a });
    lease *leases = runner ? lease_start(&a) : NULL;
    bool good = leases != NULL;
    if (good) {
        sonde_info("Service started", sonde_kv("port", port),
                   sonde_kv("database", database_system(a.database)),
                   sonde_kv("queue", queue_system(a.inngest)));
        while (!config_wait(1000))
            continue;
        sonde_info("Service stopping");
    }
    web_server_stop(server);
    work_stop(runner);
    lease_stop(leases);
    sonde_stop();
    queue_close(a.inngest);
    database_close(a.database);
    return good ? 0 : 1;
}
