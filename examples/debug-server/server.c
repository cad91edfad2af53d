// SPDX-License-Identifier: Apache-2.0
/* The API of the debug service.
 *
 *   POST   /sessions {"repository", "command", …}   orders a session; 202
 *   GET    /sessions, /sessions/{id}                 what became of them
 *   DELETE /sessions/{id}                            ends one
 *   GET    /sessions/{id}/stream                     WebSocket: output, events, debugger commands
 *   GET    /runner/sessions/{id}                     WebSocket of the runner that has it
 *   /metrics, /healthz, /readyz, /debug              by libsonde
 *
 * PORT (8000), DEBUG_API_TOKEN, DEBUG_RUNNER_TOKEN, DATABASE_URL, SQLITE_PATH, REDIS_URL,
 * DEBUG_REPOSITORIES, DEBUG_SESSION_SECONDS_MAX; observability/observability.h has the rest. */
#include "examples/common/config.h"
#include "examples/common/health.h"
#include "examples/common/json_field.h"
#include "examples/common/queue.h"
#include "examples/common/trace_job.h"
#include "examples/debug-server/protocol.h"
#include "examples/debug-server/relay.h"

#include <openssl/crypto.h>
#include <openssl/sha.h>
#include <stdio.h>
#include <string.h>

enum { THREADS = 8, MAX_WORD = 256, MAX_VARIABLES = 32, MAX_BREAKPOINTS = 64 };

typedef struct {
    database *database;
    queue *queue;
    relay *relay;
    const server_metrics *metrics;
    const char *api_token, *runner_token; /* NULL: everybody on this machine may */
    long seconds_max;
} server;

/* ---- who asks ---- */

/* Compares digests, so that the time tells neither place nor length of a difference. */
static bool same_token(const char *a, const char *b)
{
    unsigned char x[SHA256_DIGEST_LENGTH], y[SHA256_DIGEST_LENGTH];
    SHA256((const unsigned char *)a, strlen(a), x);
    SHA256((const unsigned char *)b, strlen(b), y);
    return CRYPTO_memcmp(x, y, sizeof(x)) == 0;
}

/* False when the request was answered with 401. */
static bool allowed(server *s, web_request *r, const char *token)
{
    const char *header = web_header(r, "Authorization"), *why = NULL;
    if (!token)
        return true;
    if (!header || strncmp(header, "Bearer ", 7) != 0)
        why = "missing";
    else if (!same_token(header + 7, token))
        why = "wrong";
    if (!why)
        return true;
    sonde_counter_add(s->metrics->auth_failures, 1, why);
    sonde_warn("caller_refused", sonde_kv("reason", why));
    web_fail(r, 401, "UNAUTHENTICATED", "a bearer token of this service is needed");
    return false;
}

/* ---- ordering a session ---- */

#define LETTERS_AND_DIGITS "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_"

/* The last part of a path or URL, without ".git": the name of a checkout. False when it is none. */
static bool repository_name(const char *text, char *ret, size_t size)
{
    size_t len = strlen(text);
    if (len > 4 && strcmp(text + len - 4, ".git") == 0)
        len -= 4;
    size_t begin = len;
    while (begin && text[begin - 1] != '/')
        begin--;
    snprintf(ret, size, "%.*s", (int)(len - begin), text + begin);
    return len > begin && len - begin < size && !ret[strspn(ret, LETTERS_AND_DIGITS "-")];
}

/* {"command": "sum.dbg 20"} or ["sum.dbg", "20"]; NULL when it is neither, or too much. */
static json_t *arguments_of(const json_t *body)
{
    json_t *command = json_object_get(body, "command"), *words = json_array(), *word;
    const char *text = json_string_value(command);
    size_t i;
    for (; text && *text; text += strspn(text, " ")) {
        size_t n = strcspn(text, " ");
        json_array_append_new(words, json_stringn(text, n));
        text += n;
    }
    json_array_foreach(command, i, word) json_array_append(words, word);
    bool good = json_array_size(words) >= 1 && json_array_size(words) <= ARGUMENTS_MAX;
    json_array_foreach(words, i, word) good =
        good && json_is_string(word) && json_string_length(word) <= MAX_WORD;
    if (good)
        return words;
    json_decref(words);
    return NULL;
}

/* An object of texts, or absent. What tells the dynamic linker of a worker to load something is no
 * business of a session. */
static bool is_environment(json_t *object)
{
    const char *name;
    json_t *value;
    bool good = !object || (json_is_object(object) && json_object_size(object) <= MAX_VARIABLES);
    json_object_foreach(object, name, value) good = good && json_is_string(value) && *name &&
                                                    !name[strspn(name, LETTERS_AND_DIGITS)] &&
                                                    strncmp(name, "LD_", 3) != 0;
    return good;
}

/* A list of lines, or absent. */
static bool are_breakpoints(json_t *list)
{
    size_t i;
    json_t *line;
    bool good = !list || (json_is_array(list) && json_array_size(list) <= MAX_BREAKPOINTS);
    json_array_foreach(list, i, line) good =
        good && json_is_integer(line) && json_integer_value(line) > 0;
    return good;
}

/* Whether the runner's stream takes it as one message, with what is put around it. */
static bool fits_message(const json_t *start)
{
    return json_dumpb(start, NULL, 0, JSON_COMPACT) < MESSAGE_BYTES - 1024;
}

/* What is wrong with an order, or NULL; fills the row, and *ret_start for the runner. */
static const char *read_order(server *s, const json_t *body, session_row *row, json_t **ret_start)
{
    const char *repository = json_text(body, "repository", 1024);
    json_t *environment = json_object_get(body, "environment");
    json_t *breakpoints = json_object_get(body, "breakpoints"),
           *timeout = json_object_get(body, "timeout_seconds");
    json_int_t seconds = timeout ? json_integer_value(timeout) : SESSION_SECONDS;
    char name[64];
    if (!repository || !repository_name(repository, name, sizeof(name)))
        return "repository must name one: letters, digits, '_' and '-', also as the end of a URL";
    if (!is_environment(environment))
        return "environment must be an object of at most 32 texts, their names of letters, digits "
               "and '_', none of them LD_…";
    if (!are_breakpoints(breakpoints))
        return "breakpoints must be a list of at most 64 line numbers";
    if (seconds < 1 || seconds > s->seconds_max)
        return "timeout_seconds must be a whole number within the service's limit";
    json_t *words = arguments_of(body);
    if (!words)
        return "command must be a text, or a list of up to 16 texts of 256 bytes";
    *row = (session_row){ .exit_code = -1, .created_ms = now_ms(), .status = "queued" };
    config_new_id("ses_", row->id);
    memcpy(row->repository, name, sizeof(name));
    scrub_command(words, row->command, sizeof(row->command));
    sonde_str request = sonde_request_id();
    snprintf(row->request_id, sizeof(row->request_id), "%.*s", (int)request.len, request.ptr);
    *ret_start =
        json_pack("{ss so sI sb}", "repository", name, "command", words, "timeout_seconds", seconds,
                  "stop_on_entry", json_is_true(json_object_get(body, "stop_on_entry")));
    json_object_set(*ret_start, "environment", environment);
    json_object_set(*ret_start, "breakpoints", breakpoints);
    if (fits_message(*ret_start))
        return NULL;
    json_decref(*ret_start);
    *ret_start = NULL;
    return "the order is too large: environment and command have at most 63 KiB together";
}

/* Into the queue goes the id alone: no command, no secret. */
static bool enqueue(server *s, const session_row *row, const sonde_context *context)
{
    bool good = false;
    json_t *job =
        json_pack("{ss sI}", "session_id", row->id, "created_ms", (json_int_t)row->created_ms);
    SONDE_WITH (*context) {
        SONDE_SPAN_KIND (SONDE_PRODUCER, "enqueue session",
                         sonde_kv("messaging.system", queue_system(s->queue)),
                         sonde_kv("messaging.operation.name", "send"),
                         sonde_kv("messaging.destination.name", SESSIONS_QUEUE)) {
            trace_job_inject(job);
            char *text = json_dumps(job, JSON_COMPACT);
            good = text && queue_push(s->queue, text);
            free(text);
            if (!good)
                sonde_span_fail("the queue did not take the session");
        }
    }
    json_decref(job);
    return good;
}

static void take_order(server *s, web_request *r, const session_row *row, json_t *start)
{
    sonde_context context;
    char stream[64];
    sonde_http_set(sonde_kv("session_id", (const char *)row->id));
    if (!sessions_insert(s->database, row)) {
        json_decref(start);
        web_fail(r, 503, "DATABASE_UNAVAILABLE", "the session could not be stored; try again");
    } else if (!relay_add(s->relay, &(relay_order){ row, start }, &context)) {
        web_fail(r, 429, "RATE_LIMITED", "too many sessions are open; try again later");
    } else if (!enqueue(s, row, &context)) {
        relay_fail(s->relay, row->id, "queue_unavailable");
        web_fail(r, 503, "QUEUE_UNAVAILABLE", "the session could not be queued; try again");
    } else {
        sonde_counter_add(s->metrics->sessions_created, 1, (const char *)row->repository);
        sonde_info("session_created", sonde_kv("repository", (const char *)row->repository),
                   sonde_kv("command", (const char *)row->command));
        snprintf(stream, sizeof(stream), "/sessions/%s/stream", row->id);
        json_t *answer = session_json(row);
        json_object_set_new(answer, "stream", json_string(stream));
        web_answer(r, 202, answer);
    }
}

static void post_session(web_request *r, void *user)
{
    server *s = user;
    session_row row;
    json_t *start = NULL;
    if (!allowed(s, r, s->api_token))
        return;
    json_t *body = web_body(r);
    const char *why = read_order(s, body, &row, &start);
    web_problem problem;
    if (!body) {
        problem = web_body_problem(r);
        why = problem.text;
    }
    if (why)
        web_fail(r, 400, "INVALID_SESSION", why);
    else
        take_order(s, r, &row, start);
    json_decref(body);
}

/* ---- looking at sessions ---- */

static void get_sessions(web_request *r, void *user)
{
    server *s = user;
    json_t *list = NULL;
    if (!allowed(s, r, s->api_token))
        return;
    if (sessions_list(s->database, &list)) {
        web_answer(r, 200, json_pack("{so}", "sessions", list));
        return;
    }
    json_decref(list);
    web_fail(r, 503, "DATABASE_UNAVAILABLE", "the database did not answer; try again");
}

static void get_session(web_request *r, void *user)
{
    server *s = user;
    session_row row;
    bool found, good = true;
    if (!allowed(s, r, s->api_token))
        return;
    found = relay_find(s->relay, web_segment(r), &row);
    if (!found)
        good = sessions_find(s->database, web_segment(r), &row, &found);
    if (!good)
        web_fail(r, 503, "DATABASE_UNAVAILABLE", "the database did not answer; try again");
    else if (!found)
        web_fail(r, 404, "SESSION_NOT_FOUND", "there is no session of that id");
    else
        web_answer(r, 200, session_json(&row));
}

static void delete_session(web_request *r, void *user)
{
    server *s = user;
    if (!allowed(s, r, s->api_token))
        return;
    sonde_http_set(sonde_kv("session_id", web_segment(r)));
    if (relay_cancel(s->relay, web_segment(r))) {
        sonde_info("session_cancelled");
        web_answer(r, 202, json_pack("{ss}", "session_id", web_segment(r)));
    } else {
        web_fail(r, 404, "SESSION_NOT_FOUND", "there is no open session of that id");
    }
}

static void get_stream(web_request *r, void *user)
{
    server *s = user;
    sonde_http_set(sonde_kv("session_id", web_segment(r)));
    if (allowed(s, r, s->api_token))
        relay_accept_client(s->relay, r, web_segment(r));
}

static void get_runner(web_request *r, void *user)
{
    server *s = user;
    sonde_http_set(sonde_kv("session_id", web_segment(r)));
    if (allowed(s, r, s->runner_token))
        relay_accept_runner(s->relay, r, web_segment(r));
}

static const web_route routes[] = {
    { "POST", "/sessions", post_session },          { "GET", "/sessions", get_sessions },
    { "GET", "/sessions/{id}", get_session },       { "DELETE", "/sessions/{id}", delete_session },
    { "GET", "/sessions/{id}/stream", get_stream }, { "GET", "/runner/sessions/{id}", get_runner },
};

/* ---- start ---- */

static void read_queue_length(sonde_gauge *gauge, void *user)
{
    long n = queue_length(((server *)user)->queue);
    if (n >= 0)
        sonde_gauge_set(gauge, (double)n);
}

static void show_queue(void *user, sonde_queue_state *ret)
{
    ret->depth = queue_length(((server *)user)->queue);
}

static bool tokens_are_fine(server *s)
{
    s->api_token = config_text("DEBUG_API_TOKEN", NULL);
    s->runner_token = config_text("DEBUG_RUNNER_TOKEN", NULL);
    bool loopback = strncmp(config_text("BIND_ADDRESS", "127.0.0.1"), "127.", 4) == 0;
    if (s->api_token && s->runner_token)
        return true;
    if (!loopback)
        fprintf(stderr, "BIND_ADDRESS is not of this machine alone: DEBUG_API_TOKEN and "
                        "DEBUG_RUNNER_TOKEN must be set\n");
    return loopback;
}

static bool open_all(server *s)
{
    s->seconds_max = config_number("DEBUG_SESSION_SECONDS_MAX", SESSION_SECONDS_MAX, 1, 86400);
    s->database = database_open(config_text("DATABASE_URL", NULL),
                                config_text("SQLITE_PATH", "debug-server.sqlite"));
    if (!s->database || !sessions_migrate(s->database))
        return false;
    s->queue = queue_open(config_text("REDIS_URL", NULL), s->database, SESSIONS_QUEUE);
    s->metrics = metrics_of_server();
    s->relay = s->queue ? relay_start(s->database, s->metrics) : NULL;
    return s->relay != NULL;
}

int main(int argc, char **argv)
{
    observability_arguments(&argc, argv,
                            "usage: server [FLAG]…   PORT (8000) and DEBUG_* are variables");
    if (argc > 1) {
        fprintf(stderr, "%s is no flag of the server; --help shows all\n", argv[1]);
        return 2;
    }
    config_catch_signals();
    observability_start("server");
    server s = { 0 };
    if (!tokens_are_fine(&s) || !open_all(&s))
        return 1;
    sonde_gauge_callback("debug_server_queue_length", "Sessions that wait for a runner.",
                         read_queue_length, &s, SONDE_LABELS());
    sonde_debug_queue(SESSIONS_QUEUE, show_queue, &s);
    sonde_health_check_new("database", check_database, s.database, 2500);
    sonde_health_check_new("queue", check_queue, s.queue, 2500);
    uint16_t port = (uint16_t)config_number("PORT", SERVER_PORT, 1, 65535);
    web_server *web =
        web_server_start(port, THREADS, routes, sizeof(routes) / sizeof(routes[0]), &s);
    if (!web)
        return 1;
    sonde_info("server_started", sonde_kv("port", port),
               sonde_kv("database", database_system(s.database)),
               sonde_kv("queue", queue_system(s.queue)),
               sonde_kv("needs_auth", (bool)(s.api_token != NULL)));
    if (!s.api_token)
        sonde_warn("no_authentication",
                   sonde_kv("help", "set DEBUG_API_TOKEN and DEBUG_RUNNER_TOKEN"));
    while (!config_wait(1000))
        continue;
    sonde_info("server_stopping");
    relay_stop(s.relay);
    web_server_stop(web);
    relay_free(s.relay);
    sonde_stop();
    queue_close(s.queue);
    database_close(s.database);
    return 0;
}
