// SPDX-License-Identifier: Apache-2.0
/* Orders sessions and follows them.
 *
 *   client run REPOSITORY PROGRAM [ARGUMENT…]       shows the output; exit status as the program's
 *   client debug REPOSITORY PROGRAM [ARGUMENT…]     stops at the entry; commands from standard
 * input: "step", "set_breakpoint 9", "evaluate sum + 1", … client load --sessions N --parallel P
 * [--rounds R]   N sessions, P at a time, as fast as it goes
 *
 * DEBUG_SERVER_URL (http://127.0.0.1:8000), DEBUG_API_TOKEN. The program's output goes to standard
 * output, the client's logs to standard error. */
#include "examples/common/config.h"
#include "examples/common/web_client.h"
#include "examples/common/web_socket.h"
#include "examples/debug-server/observability/observability.h"
#include "examples/debug-server/protocol.h"

#include <curl/curl.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { HTTP_MS = 10000, MAX_PARALLEL = 64, WRONG = 2, FAILED = 1 };

typedef struct {
    const char *url, *token;
    char ws[256], bearer[300];
} service;

typedef struct {
    const service *service;
    web_client *http;
    char id[64];
    web_socket *stream;
    bool quiet, ended;
    int exit_code;
    char status[16];
    unsigned commands;
    bool waits_reply, waits_stop; /* the next command is read when neither */
} session;

/* ---- ordering ---- */

static bool order(session *s, json_t *body)
{
    char url[300];
    char *text = json_dumps(body, JSON_COMPACT);
    snprintf(url, sizeof(url), "%s/sessions", s->service->url);
    if (s->service->token)
        web_client_header(s->http, "Authorization", s->service->bearer);
    web_response r =
        web_send(s->http, "POST", url, "application/json", text, strlen(text), HTTP_MS);
    json_t *answer = r.bytes ? json_loads(r.bytes, 0, NULL) : NULL;
    const char *id = json_string_value(json_object_get(answer, "session_id"));
    snprintf(s->id, sizeof(s->id), "%s", id ? id : "");
    if (!id)
        sonde_error("session_refused", sonde_kv("status", r.status),
                    sonde_kv("error", r.error[0] ? (const char *)r.error : (const char *)r.bytes));
    json_decref(answer);
    web_response_done(&r);
    free(text);
    return id != NULL;
}

static json_t *body_of(const char *const *words, bool stop_on_entry)
{
    json_t *command = json_array();
    for (int i = 1; words[i]; i++)
        json_array_append_new(command, json_string(words[i]));
    return json_pack("{ss so sb}", "repository", words[0], "command", command, "stop_on_entry",
                     stop_on_entry);
}

/* ---- the stream ---- */

static void show_output(session *s, const json_t *message)
{
    const char *line = json_string_value(json_object_get(message, "line"));
    if (!s->quiet && line)
        printf("%s\n", line);
}

static void show_event(session *s, const json_t *message)
{
    const char *why = json_string_value(json_object_get(message, "reason")),
               *source = json_string_value(json_object_get(message, "source"));
    s->waits_stop = false;
    if (!s->quiet)
        printf("stopped at line %d (%s): %s\n",
               (int)json_integer_value(json_object_get(message, "line")), why ? why : "",
               source ? source : "");
}

/* A reply as it came, without what only the protocol needs. */
static void show_reply(session *s, const json_t *message)
{
    json_t *copy = json_copy((json_t *)message);
    s->waits_reply = false;
    s->waits_stop = s->waits_stop && json_is_true(json_object_get(message, "ok"));
    json_object_del(copy, "type");
    char *text = json_dumps(copy, JSON_COMPACT);
    if (!s->quiet && text)
        printf("%s\n", text);
    free(text);
    json_decref(copy);
}

static void show_dropped(session *s, const json_t *message)
{
    fprintf(stderr, "(%d messages were left out: this reader is too slow)\n",
            (int)json_integer_value(json_object_get(message, "count")));
    (void)s;
}

static void take_end(session *s, const json_t *message)
{
    const char *status = json_string_value(json_object_get(message, "status")),
               *reason = json_string_value(json_object_get(message, "reason"));
    json_t *code = json_object_get(message, "exit_code");
    s->ended = true;
    snprintf(s->status, sizeof(s->status), "%s", status ? status : "");
    s->exit_code = json_is_integer(code)                 ? (int)json_integer_value(code)
                   : strcmp(s->status, "succeeded") == 0 ? 0
                                                         : 125;
    if (!s->quiet && reason && *reason)
        fprintf(stderr, "session %s: %s (%s)\n", s->id, s->status, reason);
}

/* The state that a stream begins with: an end, when the session has ended already. */
static void take_state(session *s, const json_t *message)
{
    if (json_object_get(message, "ended_ms"))
        take_end(s, message);
}

static const struct {
    const char *type;
    void (*take)(session *s, const json_t *message);
} messages[] = {
    { "output", show_output },   { "event", show_event }, { "reply", show_reply },
    { "dropped", show_dropped }, { "ended", take_end },   { "session", take_state },
};

static void on_message(web_socket *stream, const char *text, size_t len, void *user)
{
    json_t *message = json_loadb(text, len, 0, NULL);
    const char *type = json_string_value(json_object_get(message, "type"));
    (void)stream;
    for (size_t i = 0; type && i < sizeof(messages) / sizeof(messages[0]); i++)
        if (strcmp(messages[i].type, type) == 0)
            messages[i].take(user, message);
    fflush(stdout);
    json_decref(message);
}

static void on_closed(web_socket *stream, int code, const char *reason, void *user)
{
    const session *s = user;
    (void)stream;
    if (code != WEB_SOCKET_NORMAL)
        sonde_warn("stream_closed", sonde_kv("close_code", code), sonde_kv("reason", reason),
                   sonde_kv("session_ended", s->ended));
}

static bool follow(session *s)
{
    static const web_socket_handlers handlers = { .message = on_message, .closed = on_closed };
    char url[400], error[256];
    const char *headers[3] = { "Authorization", s->service->bearer, NULL };
    int status;
    snprintf(url, sizeof(url), "%s/sessions/%s/stream", s->service->ws, s->id);
    s->stream = web_socket_connect(url, s->service->token ? headers : NULL, HTTP_MS, NULL,
                                   &handlers, s, &status, error, sizeof(error));
    if (!s->stream)
        sonde_error("stream_refused", sonde_kv("status", status),
                    sonde_kv("error", (const char *)error));
    return s->stream != NULL;
}

/* ---- commands from standard input ---- */

/* "set_breakpoint 9" → {"command":"set_breakpoint","line":9,"id":"1"} with the trace. */
static void send_command(session *s, char *line)
{
    line[strcspn(line, "\r\n")] = 0;
    char *rest = line + strcspn(line, " ");
    if (*rest)
        *rest++ = 0;
    if (!*line)
        return;
    s->waits_reply = true;
    s->waits_stop = strcmp(line, "step") == 0 || strcmp(line, "continue") == 0;
    char id[16];
    snprintf(id, sizeof(id), "%u", ++s->commands);
    SONDE_SPAN_KIND (SONDE_CLIENT, "debugger command",
                     sonde_kv("debugger.command", known_command(line))) {
        json_t *message = json_pack("{ss ss}", "command", line, "id", id);
        sonde_context context = sonde_context_capture();
        if (strstr(line, "breakpoint"))
            json_object_set_new(message, "line", json_integer(strtol(rest, NULL, 10)));
        if (strcmp(line, "evaluate") == 0)
            json_object_set_new(message, "expression", json_string(rest));
        context_into_message(message, &context);
        char *text = json_dumps(message, JSON_COMPACT);
        if (text)
            web_socket_send(s->stream, text, strlen(text), true);
        free(text);
        json_decref(message);
    }
}

/* Follows the stream to its end. */
static void attend(session *s, bool commands)
{
    char line[512];
    s->waits_stop = commands; /* at the entry */
    while (!config_stopping()) {
        if (!web_socket_work(s->stream)) /* before poll: the handshake may have brought more */
            break;
        bool ready = commands && !s->waits_reply && !s->waits_stop;
        struct pollfd p[2] = { { web_socket_fd(s->stream), web_socket_events(s->stream), 0 },
                               { ready ? STDIN_FILENO : -1, POLLIN, 0 } };
        poll(p, 2, 500);
        if (p[1].revents && fgets(line, sizeof(line), stdin))
            send_command(s, line);
        else if (p[1].revents)
            commands = false;
    }
    web_socket_free(s->stream);
    s->stream = NULL;
}

static bool run_session(session *s, const char *const *words, bool debug)
{
    bool good = false;
    SONDE_SPAN ("client session", sonde_kv("debug.repository", words[0])) {
        json_t *body = body_of(words, debug);
        good = order(s, body) && follow(s);
        json_decref(body);
        if (good)
            attend(s, debug);
        sonde_span_set(sonde_kv("session_id", (const char *)s->id),
                       sonde_kv("debug.status", (const char *)s->status));
        char trace[33];
        if (!s->quiet && sonde_trace_id(trace))
            fprintf(stderr, "session %s, trace %s\n", s->id, trace);
    }
    return good && s->ended;
}

/* ---- load ---- */

typedef struct {
    const service *service;
    const char *const *words;
    long sessions;
    _Atomic long next, succeeded;
} load;

static void *run_lane(void *user)
{
    load *l = user;
    web_client *http = web_client_new();
    while (l->next++ < l->sessions && !config_stopping()) {
        session s = { .service = l->service, .http = http, .quiet = true };
        if (run_session(&s, l->words, false) && strcmp(s.status, "succeeded") == 0)
            l->succeeded++;
    }
    web_client_free(http);
    return NULL;
}

static int run_load(const service *where, long sessions, long parallel, const char *rounds)
{
    const char *const words[] = { "samples", "spin.dbg", rounds, NULL };
    load l = { .service = where, .words = words, .sessions = sessions };
    pthread_t threads[MAX_PARALLEL];
    long started = 0;
    int64_t start = monotonic_ns();
    while (started < parallel && pthread_create(&threads[started], NULL, run_lane, &l) == 0)
        started++;
    for (long i = 0; i < started; i++)
        pthread_join(threads[i], NULL);
    double seconds = (double)(monotonic_ns() - start) / 1e9;
    printf("{\"sessions\":%ld,\"succeeded\":%ld,\"seconds\":%.3f,\"per_second\":%.1f}\n", sessions,
           (long)l.succeeded, seconds, (double)sessions / seconds);
    return l.succeeded == sessions ? 0 : FAILED;
}

static long flag(char **arguments, const char *name, long fallback, long max)
{
    for (; arguments[0] && arguments[1]; arguments++)
        if (strcmp(arguments[0], name) == 0) {
            long n = strtol(arguments[1], NULL, 10);
            return n < 1 ? 1 : n > max ? max : n;
        }
    return fallback;
}

/* ---- start ---- */

static const char usage[] =
    "usage: client run REPOSITORY PROGRAM [ARGUMENT]…\n"
    "       client debug REPOSITORY PROGRAM [ARGUMENT]…   commands from standard input\n"
    "       client load --sessions N --parallel P [--rounds R]";

static int run_one(const service *where, const char *const *words, bool debug)
{
    session s = { .service = where, .http = web_client_new() };
    setvbuf(stdin, NULL, _IONBF, 0); /* so that poll sees each line */
    bool good = run_session(&s, words, debug);
    web_client_free(s.http);
    return good ? s.exit_code : FAILED;
}

int main(int argc, char **argv)
{
    char rounds[24];
    int code = WRONG;
    observability_arguments(&argc, argv, usage);
    setenv("SONDE_LOG_OUTPUT", "stderr", 0);
    config_catch_signals();
    curl_global_init(CURL_GLOBAL_DEFAULT);
    service where = { .url = config_text("DEBUG_SERVER_URL", "http://127.0.0.1:8000"),
                      .token = config_text("DEBUG_API_TOKEN", NULL) };
    snprintf(where.bearer, sizeof(where.bearer), "Bearer %s", where.token ? where.token : "");
    snprintf(where.ws, sizeof(where.ws), "ws%s",
             strncmp(where.url, "http", 4) == 0 ? where.url + 4 : where.url);
    observability_start("client");
    snprintf(rounds, sizeof(rounds), "%ld", flag(argv, "--rounds", 20000, 100000000));
    if (argc >= 2 && strcmp(argv[1], "load") == 0)
        code = run_load(&where, flag(argv, "--sessions", 100, 1000000),
                        flag(argv, "--parallel", 4, MAX_PARALLEL), rounds);
    else if (argc >= 4 && (strcmp(argv[1], "run") == 0 || strcmp(argv[1], "debug") == 0))
        code = run_one(&where, (const char *const *)argv + 2, argv[1][0] == 'd');
    else
        fprintf(stderr, "%s\n", usage);
    sonde_stop();
    return code;
}
