// SPDX-License-Identifier: Apache-2.0
/* Open sessions and their streams; see relay.h. The loop's lock guards everything; the keeper, a
 * thread of its own, does what takes time: it stores ends, and ends what nobody runs any more. */
#include "examples/debug-server/relay.h"

#include "examples/common/config.h"
#include "examples/debug-server/protocol.h"
#include "examples/debug-server/stream.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    MAX_SESSIONS = 512,
    MAX_SOCKETS = 1024,
    MAX_VIEWERS = 8,
    HISTORY_MESSAGES = 64,
    KEEPER_MS = 250,
    SWEEP_MS = 5000,
    LAST_LINES = 10,
};

typedef struct live live;

typedef struct {
    live *session;
    web_socket *socket;
    stream stream;
} viewer;

typedef struct {
    observed_command command;
    json_t *id; /* as the client calls it; NULL: not at all */
    viewer *viewer;
    unsigned number; /* as the runner knows it; 0: free */
} pending;

struct live {
    relay *relay;
    session_row row;
    json_t *start;
    sonde_span *span;
    sonde_context context;
    int64_t created_ns,
        lost_ns; /* lost_ns: since when it has no runner though it runs; 0: it has */
    web_socket *runner;
    stream runner_stream;
    viewer *viewers[MAX_VIEWERS];
    unsigned viewer_count, next_number;
    pending pending[PENDING_COMMANDS];
    char *history[HISTORY_MESSAGES];
    size_t history_at; /* of the next one */
    char *lines[LAST_LINES];
    size_t lines_at;
    bool ended, stored;
    bool cancelled; /* the runner was told, and is told again when it comes back */
};

struct relay {
    web_sockets *loop;
    database *database;
    const server_metrics *metrics;
    live *sessions[MAX_SESSIONS];
    unsigned count;
    pthread_t keeper;
    bool stopping;
    int64_t grace_ms, queued_ms;
    web_socket_limits client_limits;
};

/* ---- sessions; all of it with the loop's lock held ---- */

static live *find(relay *r, const char *id)
{
    for (unsigned i = 0; i < r->count; i++)
        if (strcmp(r->sessions[i]->row.id, id) == 0)
            return r->sessions[i];
    return NULL;
}

static void forget(relay *r, live *l)
{
    for (unsigned i = 0; i < r->count; i++)
        if (r->sessions[i] == l)
            r->sessions[i] = r->sessions[--r->count];
    for (size_t i = 0; i < HISTORY_MESSAGES; i++)
        free(l->history[i]);
    for (size_t i = 0; i < LAST_LINES; i++)
        free(l->lines[i]);
    for (size_t i = 0; i < PENDING_COMMANDS; i++)
        json_decref(l->pending[i].id);
    json_decref(l->start);
    free(l);
}

static live *enter(relay *r, const session_row *row, json_t *start)
{
    live *l = r->count < MAX_SESSIONS ? calloc(1, sizeof(*l)) : NULL;
    if (!l) {
        json_decref(start);
        return NULL;
    }
    *l = (live){ .relay = r,
                 .row = *row,
                 .start = start,
                 .created_ns = monotonic_ns() - (now_ms() - row->created_ms) * 1000000 };
    const sonde_attr attrs[] = { sonde_kv("session_id", (const char *)l->row.id),
                                 sonde_kv("debug.repository", (const char *)l->row.repository),
                                 sonde_kv("debug.command", (const char *)l->row.command) };
    l->span =
        sonde_span_start("debug session", &(sonde_span_options){ .attrs = attrs, .attr_count = 3 });
    l->context = sonde_span_context(l->span);
    sonde_context_set(&l->context, &attrs[0]);
    sonde_counter_add(r->metrics->sessions_active, 1);
    r->sessions[r->count++] = l;
    return l;
}

static void keep(char **ring, size_t size, size_t *at, const char *text, size_t len)
{
    free(ring[*at]);
    ring[*at] = strndup(text, len);
    *at = (*at + 1) % size;
}

static void send_json(web_socket *s, json_t *message)
{
    char *text = json_dumps(message, JSON_COMPACT);
    json_decref(message);
    if (text)
        web_socket_send(s, text, strlen(text), true);
    free(text);
}

static void broadcast(live *l, const char *text, size_t len, bool urgent)
{
    keep(l->history, HISTORY_MESSAGES, &l->history_at, text, len);
    for (unsigned i = 0; i < l->viewer_count; i++)
        web_socket_send(l->viewers[i]->socket, text, len, urgent);
}

static void join_lines(live *l)
{
    size_t n = 0, size = sizeof(l->row.last_output);
    for (size_t i = 0; i < LAST_LINES; i++) {
        const char *line = l->lines[(l->lines_at + i) % LAST_LINES];
        if (line && n < size)
            n += (size_t)snprintf(l->row.last_output + n, size - n, "%s\n", line);
    }
    end_whole(l->row.last_output);
}

static void answer_command(live *l, pending *p, const char *status, const char *error,
                           json_t *reply)
{
    double seconds = command_end(&p->command, status, error);
    const server_metrics *m = l->relay->metrics;
    sonde_counter_add(m->commands, 1, p->command.command, status);
    sonde_histogram_record(m->command_duration, seconds, p->command.command);
    if (!reply)
        reply = json_pack("{ss sb ss}", "type", "reply", "ok", 0, "error", error);
    json_object_set_new(reply, "id", p->id ? p->id : json_null());
    if (p->viewer)
        send_json(p->viewer->socket, reply);
    else
        json_decref(reply);
    *p = (pending){ 0 };
}

static void drop_commands(live *l, const char *status, const char *why)
{
    for (size_t i = 0; i < PENDING_COMMANDS; i++)
        if (l->pending[i].number)
            answer_command(l, &l->pending[i], status, why, NULL);
}

/* The end of a session, once: counts, span, log line, the last message of its streams. */
static void finish(live *l, const char *status, const char *reason, int exit_code)
{
    const server_metrics *m = l->relay->metrics;
    double seconds = (double)(monotonic_ns() - l->created_ns) / 1e9;
    if (l->ended)
        return;
    l->ended = true;
    snprintf(l->row.status, sizeof(l->row.status), "%s", status);
    snprintf(l->row.reason, sizeof(l->row.reason), "%s", reason);
    l->row.exit_code = exit_code;
    l->row.ended_ms = now_ms();
    join_lines(l);
    drop_commands(l, "lost", "the session has ended");
    sonde_counter_add(m->sessions_active, -1);
    SONDE_WITH (l->context) {
        sonde_counter_add(m->sessions_completed, 1, (const char *)l->row.status);
        sonde_histogram_record(m->session_duration, seconds, (const char *)l->row.status);
        if (reason[0])
            sonde_counter_add(m->session_failures, 1, reason);
        sonde_span_set(sonde_kv("debug.status", status), sonde_kv("debug.exit_code", exit_code),
                       sonde_kv("debug.output_lines", l->row.output_lines));
        if (strcmp(status, "failed") == 0) {
            sonde_span_fail(reason, sonde_kv("error.type", reason));
            sonde_warn("session_failed", sonde_kv("reason", reason),
                       sonde_kv("exit_code", exit_code),
                       sonde_kv("duration_ms", (int64_t)(seconds * 1e3)),
                       sonde_kv("last_output", (const char *)l->row.last_output));
        } else {
            sonde_info("session_completed", sonde_kv("status", status),
                       sonde_kv("exit_code", exit_code),
                       sonde_kv("duration_ms", (int64_t)(seconds * 1e3)),
                       sonde_kv("output_lines", l->row.output_lines));
        }
    }
    sonde_span_end(l->span);
    l->span = NULL;
    json_t *message = session_json(&l->row);
    json_object_set_new(message, "type", json_string("ended"));
    char *text = json_dumps(message, JSON_COMPACT);
    json_decref(message);
    if (text)
        broadcast(l, text, strlen(text), true);
    free(text);
    for (unsigned i = 0; i < l->viewer_count; i++)
        web_socket_close(l->viewers[i]->socket, WEB_SOCKET_NORMAL, "the session has ended");
}

/* ---- the runner's stream ---- */

static void take_output(live *l, const json_t *message)
{
    const char *line = json_string_value(json_object_get(message, "line"));
    l->row.output_lines++;
    if (line)
        keep(l->lines, LAST_LINES, &l->lines_at, line, strlen(line));
}

static void take_reply(live *l, json_t *message)
{
    unsigned number = (unsigned)json_integer_value(json_object_get(message, "number"));
    const char *error = json_string_value(json_object_get(message, "error"));
    for (size_t i = 0; number && i < PENDING_COMMANDS; i++)
        if (l->pending[i].number == number) {
            json_object_del(message, "number");
            answer_command(l, &l->pending[i], error ? "error" : "ok", error, json_incref(message));
        }
}

static void take_end(live *l, const json_t *message)
{
    const char *status = json_string_value(json_object_get(message, "status")),
               *reason = json_string_value(json_object_get(message, "reason"));
    json_t *code = json_object_get(message, "exit_code");
    finish(l, status ? status : "failed", reason ? reason : "",
           json_is_integer(code) ? (int)json_integer_value(code) : -1);
    web_socket_close(l->runner, WEB_SOCKET_NORMAL, "thank you");
}

static void on_runner_message(web_socket *s, const char *text, size_t len, void *user)
{
    live *l = user;
    json_t *message = json_loadb(text, len, 0, NULL);
    const char *type = json_string_value(json_object_get(message, "type"));
    stream_note(&l->runner_stream, s);
    if (!type) {
        web_socket_close(s, WEB_SOCKET_POLICY, "a message must be an object with a type");
    } else if (strcmp(type, "reply") == 0) {
        take_reply(l, message);
    } else if (strcmp(type, "ended") == 0) {
        take_end(l, message);
    } else {
        if (strcmp(type, "output") == 0)
            take_output(l, message);
        broadcast(l, text, len, strcmp(type, "output") != 0);
    }
    json_decref(message);
}

static void on_runner_closed(web_socket *s, int code, const char *reason, void *user)
{
    live *l = user;
    stream_close(&l->runner_stream, s, code, reason);
    l->runner = NULL;
    drop_commands(l, "lost", "the runner went away");
    if (!l->ended && !l->relay->stopping) {
        l->lost_ns = monotonic_ns();
        SONDE_WITH (l->context)
            sonde_warn("runner_disconnected", sonde_kv("close_code", code));
    }
}

static void on_runner_drained(web_socket *s, int64_t waited_ns, void *user)
{
    live *l = user;
    stream_drained(&l->runner_stream, s, waited_ns);
}

/* ---- a client's stream ---- */

static void refuse(viewer *v, const json_t *message, observed_command *c, const char *status,
                   const char *error)
{
    pending p = { .command = *c, .viewer = v, .id = json_incref(json_object_get(message, "id")) };
    answer_command(v->session, &p, status, error, NULL);
}

static void forward(viewer *v, json_t *message, observed_command *c)
{
    live *l = v->session;
    pending *p = l->pending;
    while (p < l->pending + PENDING_COMMANDS && p->number)
        p++;
    if (p == l->pending + PENDING_COMMANDS) {
        refuse(v, message, c, "error", "too many commands wait for their replies");
        return;
    }
    *p = (pending){ .command = *c,
                    .viewer = v,
                    .id = json_incref(json_object_get(message, "id")),
                    .number = ++l->next_number };
    sonde_context context = sonde_span_context(c->span);
    json_object_set_new(message, "type", json_string("command"));
    json_object_set_new(message, "number", json_integer(p->number));
    context_into_message(message, &context);
    send_json(l->runner, json_incref(message));
}

static void on_client_message(web_socket *s, const char *text, size_t len, void *user)
{
    viewer *v = user;
    json_t *message = json_loadb(text, len, 0, NULL);
    const char *name = json_string_value(json_object_get(message, "command"));
    sonde_context parent = context_of_message(message);
    if (!parent.trace_id[0] && !parent.trace_id[15])
        parent = sonde_span_context(v->stream.span);
    observed_command c = command_begin(name, SONDE_SERVER, &parent, v->session->row.id);
    stream_note(&v->stream, s);
    if (strcmp(c.command, "unknown") == 0)
        refuse(v, message, &c, "unknown", "there is no such command");
    else if (!v->session->runner || v->session->ended)
        refuse(v, message, &c, "not_running", "the session does not run");
    else if (len > COMMAND_BYTES)
        refuse(v, message, &c, "error", "a command has at most 4096 bytes");
    else
        forward(v, message, &c);
    json_decref(message);
}

static void on_client_closed(web_socket *s, int code, const char *reason, void *user)
{
    viewer *v = user;
    live *l = v->session;
    stream_close(&v->stream, s, code, reason);
    for (size_t i = 0; i < PENDING_COMMANDS; i++)
        if (l->pending[i].viewer == v)
            l->pending[i].viewer = NULL;
    for (unsigned i = 0; i < l->viewer_count; i++)
        if (l->viewers[i] == v)
            l->viewers[i] = l->viewers[--l->viewer_count];
    free(v);
}

static void on_client_drained(web_socket *s, int64_t waited_ns, void *user)
{
    stream_drained(&((viewer *)user)->stream, s, waited_ns);
}

static void on_client_told(web_socket *s, uint64_t count, void *user)
{
    viewer *v = user;
    stream_dropped(&v->stream, count);
    SONDE_WITH (v->session->context)
        sonde_warn_limited(1, "stream_reader_too_slow", sonde_kv("dropped", count));
    send_json(s, json_pack("{ss sI}", "type", "dropped", "count", (json_int_t)count));
}

/* ---- streams begin ---- */

/* What a request leaves for its socket. */
typedef struct {
    relay *relay;
    char id[32];
    session_row row; /* as it is stored; id "": it is not */
    sonde_context context;
} entrance;

static void catch_up(live *l, web_socket *s)
{
    json_t *message = session_json(&l->row);
    json_object_set_new(message, "type", json_string("session"));
    send_json(s, message);
    for (size_t i = 0; i < HISTORY_MESSAGES; i++) {
        const char *text = l->history[(l->history_at + i) % HISTORY_MESSAGES];
        if (text)
            web_socket_send(s, text, strlen(text), true);
    }
}

/* One that has ended, shown from what is stored; it counts no more. */
static live *enter_ended(relay *r, const session_row *row)
{
    live *l = r->count < MAX_SESSIONS ? calloc(1, sizeof(*l)) : NULL;
    if (!l)
        return NULL;
    *l = (live){ .relay = r, .row = *row, .ended = true, .stored = true };
    r->sessions[r->count++] = l;
    return l;
}

static void *client_opened(web_socket *s, void *user)
{
    entrance *e = user;
    relay *r = e->relay;
    live *l = find(r, e->id);
    viewer *v = s ? calloc(1, sizeof(*v)) : NULL;
    if (v && !l && e->row.id[0])
        l = enter_ended(r, &e->row);
    if (!v || !l || l->viewer_count == MAX_VIEWERS) {
        free(v);
        free(e);
        return NULL;
    }
    *v = (viewer){ .session = l, .socket = s };
    stream_open(&v->stream, r->metrics, "client", &e->context, e->id);
    l->viewers[l->viewer_count++] = v;
    catch_up(l, s);
    if (l->ended)
        web_socket_close(s, WEB_SOCKET_NORMAL, "the session has ended");
    free(e);
    return v;
}

static void tell_cancel(live *l)
{
    l->cancelled = true;
    send_json(l->runner, json_pack("{ss}", "type", "cancel"));
}

static void *runner_opened(web_socket *s, void *user)
{
    entrance *e = user;
    relay *r = e->relay;
    live *l = s ? find(r, e->id) : NULL;
    bool resumes = l && strcmp(l->row.status, "running") == 0;
    if (s && !l && e->row.id[0]) { /* the server was started again */
        l = enter(r, &e->row, NULL);
        resumes = true;
    }
    if (!l || l->ended || l->runner) {
        free(e);
        return NULL;
    }
    json_t *start = resumes || !l->start ? json_object() : l->start;
    l->start = start == l->start ? NULL : l->start; /* the server keeps no secrets */
    json_object_set_new(start, "type", json_string(resumes ? "resume" : "start"));
    l->runner = s;
    l->lost_ns = 0;
    snprintf(l->row.status, sizeof(l->row.status), "running");
    stream_open(&l->runner_stream, r->metrics, "runner", &e->context, e->id);
    send_json(s, start);
    if (l->cancelled)
        tell_cancel(l);
    free(e);
    return l;
}

/* Looks the session up; the request is answered when that fails. `ended` ones are fine or not. */
static entrance *entrance_of(relay *r, web_request *request, const char *id, bool ended_too)
{
    session_row row;
    bool found = relay_find(r, id, &row), good = true, is_open = found;
    if (!found)
        good = sessions_find(r->database, id, &row, &found);
    if (!good)
        web_fail(request, 503, "DATABASE_UNAVAILABLE", "the database did not answer; try again");
    else if (!found)
        web_fail(request, 404, "SESSION_NOT_FOUND", "there is no session of that id");
    else if (session_has_ended(&row) && !ended_too)
        web_fail(request, 409, "SESSION_ALREADY_ENDED", "the session has ended");
    else {
        entrance *e = calloc(1, sizeof(*e));
        if (e) {
            *e = (entrance){ .relay = r, .context = sonde_context_capture() };
            snprintf(e->id, sizeof(e->id), "%s", id);
            if (!is_open)
                e->row = row;
            return e;
        }
        web_fail(request, 503, "STREAMS_UNAVAILABLE", "there is no memory; try again");
    }
    return NULL;
}

void relay_accept_client(relay *r, web_request *request, const char *id)
{
    static const web_socket_handlers handlers = { on_client_message, on_client_closed,
                                                  on_client_drained, on_client_told };
    entrance *e = entrance_of(r, request, id, true);
    if (e && !web_socket_accept(request, r->loop, &r->client_limits, &handlers, client_opened, e))
        free(e);
}

void relay_accept_runner(relay *r, web_request *request, const char *id)
{
    static const web_socket_handlers handlers = { .message = on_runner_message,
                                                  .closed = on_runner_closed,
                                                  .drained = on_runner_drained };
    static const web_socket_limits limits = { .message_bytes = MESSAGE_BYTES };
    entrance *e = entrance_of(r, request, id, false);
    if (e && !web_socket_accept(request, r->loop, &limits, &handlers, runner_opened, e))
        free(e);
}

/* ---- what others ask for ---- */

bool relay_add(relay *r, const relay_order *order, sonde_context *ret)
{
    web_sockets_lock(r->loop);
    live *l = enter(r, order->row, order->start);
    if (l)
        *ret = l->context;
    web_sockets_unlock(r->loop);
    return l != NULL;
}

bool relay_fail(relay *r, const char *id, const char *reason)
{
    web_sockets_lock(r->loop);
    live *l = find(r, id);
    bool found = l && !l->ended;
    if (found)
        finish(l, "failed", reason, -1);
    web_sockets_unlock(r->loop);
    web_sockets_wake(r->loop);
    return found;
}

bool relay_cancel(relay *r, const char *id)
{
    web_sockets_lock(r->loop);
    live *l = find(r, id);
    bool found = l && !l->ended;
    if (found && l->runner)
        tell_cancel(l);
    else if (found)
        finish(l, "cancelled", "", -1);
    web_sockets_unlock(r->loop);
    web_sockets_wake(r->loop);
    return found;
}

bool relay_find(relay *r, const char *id, session_row *ret)
{
    web_sockets_lock(r->loop);
    live *l = find(r, id);
    if (l)
        *ret = l->row;
    web_sockets_unlock(r->loop);
    return l != NULL;
}

/* ---- the keeper ---- */

/* Ends what lost its runner or never found one, fails commands that nobody answers. */
static void look_at_times(relay *r)
{
    int64_t now = monotonic_ns();
    for (unsigned i = 0; i < r->count; i++) {
        live *l = r->sessions[i];
        if (!l->ended && l->lost_ns && now - l->lost_ns > r->grace_ms * 1000000)
            finish(l, "failed", "runner_lost", -1);
        if (!l->ended && !l->runner && strcmp(l->row.status, "queued") == 0 &&
            now - l->created_ns > r->queued_ms * 1000000)
            finish(l, "failed", "not_started", -1);
        for (size_t k = 0; k < PENDING_COMMANDS; k++)
            if (l->pending[k].number &&
                now - l->pending[k].command.start_ns > COMMAND_MS * 1000000LL)
                answer_command(l, &l->pending[k], "timeout", "the worker did not answer", NULL);
    }
}

/* Stores one end that is not stored yet; false when there is none, or the database is away. */
static bool store_one(relay *r)
{
    session_row row = { 0 };
    sonde_context context;
    web_sockets_lock(r->loop);
    for (unsigned i = 0; i < r->count && !row.id[0]; i++) {
        live *l = r->sessions[i];
        if (l->stored && l->viewer_count == 0 && !l->runner)
            forget(r, l), i--;
        else if (l->ended && !l->stored) {
            row = l->row;
            context = l->context;
        }
    }
    web_sockets_unlock(r->loop);
    bool good = false;
    if (!row.id[0])
        return false;
    SONDE_WITH (context)
        good = sessions_finish(r->database, &row);
    web_sockets_lock(r->loop);
    live *l = find(r, row.id);
    if (l && good)
        l->stored = true;
    web_sockets_unlock(r->loop);
    return good;
}

/* Sessions that are open in the table though nobody has them: a runner or the server died. */
static void sweep(relay *r, int64_t started_ms)
{
    json_t *ids = NULL, *id;
    size_t i;
    session_row row;
    bool found;
    int64_t before = now_ms() - r->queued_ms;
    sessions_open_before(r->database, before < started_ms ? before : started_ms, &ids);
    json_array_foreach(ids, i, id)
    {
        if (relay_find(r, json_string_value(id), &row) ||
            !sessions_find(r->database, json_string_value(id), &row, &found) || !found)
            continue;
        bool queued = strcmp(row.status, "queued") == 0;
        web_sockets_lock(r->loop);
        live *l = find(r, row.id) ? NULL : enter(r, &row, NULL);
        if (l)
            finish(l, "failed", queued ? "not_started" : "runner_lost", -1);
        web_sockets_unlock(r->loop);
    }
    json_decref(ids);
}

static void *run_keeper(void *user)
{
    relay *r = user;
    int64_t next_sweep = now_ms() + SWEEP_MS;
    while (!config_wait(KEEPER_MS) && !r->stopping) {
        web_sockets_lock(r->loop);
        look_at_times(r);
        web_sockets_unlock(r->loop);
        web_sockets_wake(r->loop);
        while (store_one(r))
            continue;
        if (now_ms() >= next_sweep) {
            sweep(r, now_ms() - SESSION_SECONDS_MAX * 1000LL);
            next_sweep = now_ms() + SWEEP_MS;
        }
    }
    while (store_one(r))
        continue;
    return NULL;
}

relay *relay_start(database *d, const server_metrics *metrics)
{
    relay *r = calloc(1, sizeof(*r));
    if (!r)
        return NULL;
    *r = (relay){ .database = d,
                  .metrics = metrics,
                  .grace_ms = config_number("DEBUG_RUNNER_GRACE_MS", 3000, 0, 600000),
                  .queued_ms = 1000 * config_number("DEBUG_QUEUE_SECONDS", 600, 1, 86400),
                  .client_limits = {
                      .message_bytes = MESSAGE_BYTES,
                      .queued_bytes =
                          (size_t)config_number("DEBUG_STREAM_BYTES", 256 << 10, 4096, 64 << 20),
                      .ping_ms = (int)config_number("DEBUG_STREAM_PING_MS", 15000, 10, 3600000),
                      .pong_ms = (int)config_number("DEBUG_STREAM_PONG_MS", 10000, 10, 3600000) } };
    r->loop = web_sockets_start(MAX_SOCKETS);
    if (!r->loop || pthread_create(&r->keeper, NULL, run_keeper, r) != 0) {
        fprintf(stderr, "cannot start the threads of the streams\n");
        return NULL; /* the program ends */
    }
    return r;
}

void relay_stop(relay *r)
{
    web_sockets_lock(r->loop);
    r->stopping = true;
    web_sockets_unlock(r->loop);
    web_sockets_stop(r->loop);
    pthread_join(r->keeper, NULL);
}

void relay_free(relay *r)
{
    while (r->count) {
        live *l = r->sessions[r->count - 1];
        sonde_span_end(l->span);
        forget(r, l);
    }
    web_sockets_free(r->loop);
    free(r);
}
