// SPDX-License-Identifier: Apache-2.0
/* The PersonaWorlds API: people make personas and worlds, and let personas post in worlds.
 *
 *   POST /personas {"name", "bio"}                  201, the persona
 *   GET  /personas/{id}                             200
 *   POST /personas/{id}/preview {"topic"}           200, what it would say, asked of the model at
 * once POST /worlds {"name"}                           201, the world POST /worlds/{id}/posts
 * {"persona_id", "topic"} 202, the post, which the worker writes GET  /posts/{id} 200: queued,
 * review, published, hidden GET  /healthz, /readyz, /metrics                by libsonde
 *
 * What is POSTed needs a bearer token. PORT (8080), JWT_SECRET, DATABASE_URL, REDIS_URL,
 * SQLITE_PATH, ANTHROPIC_URL; MIGRATE=no leaves the migrations to someone else. */
#include "examples/common/config.h"
#include "examples/common/health.h"
#include "examples/common/json_field.h"
#include "examples/common/jwt.h"
#include "examples/common/web_server.h"
#include "examples/personaworlds/job_queue.h"
#include "examples/personaworlds/model.h"
#include "examples/personaworlds/schema.h"

#include <stdio.h>
#include <string.h>

enum { THREADS = 8, MAX_USER = 64, MAX_NAME = 80, MAX_BIO = 600, MAX_TOPIC = 200, CHECK_MS = 2500 };

typedef struct {
    database *database;
    job_queue jobs;
    const char *jwt_secret;
} api;

/* Notes whose token it is for the rest of the request; NULL when that was answered with 401. */
static const char *sign_in(api *a, web_request *r, char user[MAX_USER])
{
    const char *header = web_header(r, "Authorization"), *why = "missing";
    bool bearer = header && strncmp(header, "Bearer ", 7) == 0;
    if (!bearer || !jwt_validate(header + 7, a->jwt_secret, user, MAX_USER, &why)) {
        web_fail_with(r, &(sonde_error){ .code = "UNAUTHENTICATED",
                                         .message = "a valid bearer token is needed",
                                         .details = SONDE_DETAILS(sonde_kv("reason", why)) });
        return NULL;
    }
    sonde_http_set(sonde_kv("user_id", (const char *)user));
    return user;
}

static void fail_database(web_request *r)
{
    web_fail(r, 503, "DATABASE_UNAVAILABLE", "the database did not answer; try again");
}

static void fail_body(web_request *r, const char *what)
{
    web_fail_with(r, &(sonde_error){ .code = "INVALID_REQUEST",
                                     .message = "the body is not what this path takes",
                                     .help = what });
}

static void keep_row(void *user, int columns, const char *const *values)
{
    json_t *row = json_array();
    for (int i = 0; i < columns; i++)
        json_array_append_new(row, values[i] ? json_string(values[i]) : json_null());
    json_decref(*(json_t **)user);
    *(json_t **)user = row;
}

/* The row of that id as an array, to be released; NULL when the request was answered: there is none
 * (404 with `code`), or the database failed. */
static json_t *find(api *a, web_request *r, const char *table, const char *sql, const char *id,
                    const char *code)
{
    json_t *row = NULL;
    if (!database_run(a->database, (statement_name){ NULL, "SELECT", table }, sql, 1, &id, keep_row,
                      &row, NULL)) {
        fail_database(r);
        json_decref(row);
        return NULL;
    }
    if (!row)
        web_fail_with(r, &(sonde_error){ .code = code,
                                         .message = "there is nothing of that id",
                                         .details = SONDE_DETAILS(sonde_kv("id", id)) });
    return row;
}

static json_t *find_persona(api *a, web_request *r, const char *id)
{
    return find(a, r, "personas", "SELECT id, name, bio FROM personas WHERE id = $1", id,
                "PERSONA_NOT_FOUND");
}

static const char *text_at(const json_t *row, size_t column)
{
    return json_string_value(json_array_get(row, column));
}

static void post_persona(web_request *r, void *context)
{
    api *a = context;
    char user[MAX_USER], id[32];
    if (!sign_in(a, r, user))
        return;
    json_t *body = web_body(r);
    const char *name = json_text(body, "name", MAX_NAME), *bio = json_text(body, "bio", MAX_BIO);
    config_new_id("persona_", id);
    const char *const values[] = { id, user, name, bio };
    if (!name || !bio)
        fail_body(r, "{\"name\": 1 to 80 bytes, \"bio\": 1 to 600 bytes}");
    else if (!database_run(a->database, (statement_name){ NULL, "INSERT", "personas" },
                           "INSERT INTO personas (id, owner_id, name, bio) "
                           "VALUES ($1, $2, $3, $4)",
                           4, values, NULL, NULL, NULL))
        fail_database(r);
    else
        web_answer(r, 201, json_pack("{ss ss ss}", "persona_id", id, "name", name, "bio", bio));
    json_decref(body);
}

static void get_persona(web_request *r, void *context)
{
    json_t *row = find_persona(context, r, web_segment(r));
    if (row)
        web_answer(r, 200,
                   json_pack("{ss ss ss}", "persona_id", text_at(row, 0), "name", text_at(row, 1),
                             "bio", text_at(row, 2)));
    json_decref(row);
}

static void answer_preview(web_request *r, const json_t *persona, const char *topic)
{
    char said[MODEL_TEXT_BYTES] = "no HTTP client";
    web_client *client = web_client_new();
    if (client &&
        model_say(client, text_at(persona, 1), text_at(persona, 2), topic, said) == MODEL_SAID)
        web_answer(r, 200, json_pack("{ss}", "text", said));
    else
        web_fail_with(
            r, &(sonde_error){ .code = "MODEL_UNAVAILABLE",
                               .message = "the model did not answer; try again",
                               .details = SONDE_DETAILS(sonde_kv("reason", (const char *)said)),
                               .log = true });
    web_client_free(client);
}

static void post_preview(web_request *r, void *context)
{
    char user[MAX_USER];
    if (!sign_in(context, r, user))
        return;
    json_t *body = web_body(r), *persona = NULL;
    const char *topic = json_text(body, "topic", MAX_TOPIC);
    if (!topic)
        fail_body(r, "{\"topic\": 1 to 200 bytes}");
    else if ((persona = find_persona(context, r, web_segment(r))) != NULL)
        answer_preview(r, persona, topic);
    json_decref(persona);
    json_decref(body);
}

static void post_world(web_request *r, void *context)
{
    api *a = context;
    char user[MAX_USER], id[32];
    if (!sign_in(a, r, user))
        return;
    json_t *body = web_body(r);
    const char *name = json_text(body, "name", MAX_NAME);
    config_new_id("world_", id);
    const char *const values[] = { id, user, name };
    if (!name)
        fail_body(r, "{\"name\": 1 to 80 bytes}");
    else if (!database_run(a->database, (statement_name){ NULL, "INSERT", "worlds" },
                           "INSERT INTO worlds (id, owner_id, name) VALUES ($1, $2, $3)", 3, values,
                           NULL, NULL, NULL))
        fail_database(r);
    else
        web_answer(r, 201, json_pack("{ss ss}", "world_id", id, "name", name));
    json_decref(body);
}

/* The post's row stands before its job is in the queue, so that the worker finds it; without a job
 * it would wait for ever, so it goes again. */
static void add_post(api *a, web_request *r, const char *world, const char *persona,
                     const char *topic)
{
    char post[32], job[32];
    config_new_id("post_", post);
    const char *const values[] = { post, world, persona, topic };
    if (!database_run(a->database, (statement_name){ NULL, "INSERT", "posts" },
                      "INSERT INTO posts (id, world_id, persona_id, topic, status) "
                      "VALUES ($1, $2, $3, $4, 'queued')",
                      4, values, NULL, NULL, NULL)) {
        fail_database(r);
    } else if (!job_queue_push(&a->jobs, JOB_GENERATE_POST, post, job)) {
        web_fail(r, 503, "QUEUE_UNAVAILABLE", "the post could not be queued; try again");
        database_run(a->database, (statement_name){ NULL, "DELETE", "posts" },
                     "DELETE FROM posts WHERE id = $1", 1, values, NULL, NULL, NULL);
    } else {
        web_answer(r, 202,
                   json_pack("{ss ss ss}", "post_id", post, "job_id", job, "status", "queued"));
    }
}

static void post_post(web_request *r, void *context)
{
    api *a = context;
    char user[MAX_USER];
    if (!sign_in(a, r, user))
        return;
    json_t *body = web_body(r), *world = NULL, *persona = NULL;
    const char *persona_id = json_text(body, "persona_id", MAX_NAME);
    const char *topic = json_text(body, "topic", MAX_TOPIC);
    if (!persona_id || !topic)
        fail_body(r, "{\"persona_id\": an id, \"topic\": 1 to 200 bytes}");
    else if ((world = find(a, r, "worlds", "SELECT id FROM worlds WHERE id = $1", web_segment(r),
                           "WORLD_NOT_FOUND")) != NULL &&
             (persona = find_persona(a, r, persona_id)) != NULL)
        add_post(a, r, text_at(world, 0), text_at(persona, 0), topic);
    json_decref(world);
    json_decref(persona);
    json_decref(body);
}

static void get_post(web_request *r, void *context)
{
    json_t *row =
        find(context, r, "posts", "SELECT id, status, topic, text FROM posts WHERE id = $1",
             web_segment(r), "POST_NOT_FOUND");
    if (row)
        web_answer(r, 200,
                   json_pack("{ss ss ss sO}", "post_id", text_at(row, 0), "status", text_at(row, 1),
                             "topic", text_at(row, 2), "text", json_array_get(row, 3)));
    json_decref(row);
}

static const web_route routes[] = {
    { "POST", "/personas", post_persona },
    { "GET", "/personas/{id}", get_persona },
    { "POST", "/personas/{id}/preview", post_preview },
    { "POST", "/worlds", post_world },
    { "POST", "/worlds/{id}/posts", post_post },
    { "GET", "/posts/{id}", get_post },
};

/* Told by /readyz, and no reason to be unready: without the queue posts are refused with 503, and
 * all the rest still works. */
static bool tell_queue(void *user, char *detail, size_t size)
{
    char why[160] = "";
    if (queue_ping(user, why, sizeof(why)))
        snprintf(detail, size, "connected");
    else
        snprintf(detail, size, "new posts are refused: %s", why[0] ? why : "no answer");
    return true;
}

static bool open_all(api *a)
{
    a->jwt_secret = config_text("JWT_SECRET", "personaworlds-example-secret");
    a->database = database_open(config_text("DATABASE_URL", NULL),
                                config_text("SQLITE_PATH", "personaworlds.sqlite"));
    if (!a->database || !job_queue_open(&a->jobs, a->database))
        return false;
    if (strcmp(config_text("MIGRATE", "yes"), "no") != 0 && !schema_migrate(a->database))
        return false;
    sonde_health_check_new("database", check_database, a->database, CHECK_MS);
    sonde_health_check_new("migrations", schema_check, a->database, CHECK_MS);
    sonde_health_check_new("queue", tell_queue, a->jobs.queues[JOB_GENERATE_POST], CHECK_MS);
    job_queue_metrics(&a->jobs);
    return true;
}

int main(void)
{
    config_catch_signals();
    sonde_start(&(sonde_options){
        .service = "api",
        .version = "1.0.0",
        .resource = (const char *const[]){ "service.namespace", "personaworlds", NULL },
        .log_format = PERSONAWORLDS_LOG_FORMAT,
        .http = { .access_fields = "route,method,status,latency_ms" },
        .db = { .query_metric = "db_query_duration_seconds" } });
    api a = { 0 };
    web_server *server = NULL;
    if (open_all(&a))
        server = web_server_start((uint16_t)config_number("PORT", 8080, 1, 65535), THREADS, routes,
                                  sizeof(routes) / sizeof(routes[0]), &a);
    bool good = server != NULL;
    if (good) {
        sonde_info("service_started", sonde_kv("database", database_system(a.database)),
                   sonde_kv("queue", queue_system(a.jobs.queues[0])));
        while (!config_wait(1000))
            continue;
        sonde_info("service_stopping");
    }
    web_server_stop(server);
    sonde_stop();
    job_queue_close(&a.jobs);
    database_close(a.database);
    return good ? 0 : 1;
}
