// SPDX-License-Identifier: Apache-2.0
/* Runs one session; see session_run.h. One thread: it waits for the worker's outputs, its control
 * line and the server's stream at once. While the server is away, or does not read, the worker's
 * outputs are not read either: nothing is lost, nothing grows. */
#include "examples/debug-server/session_run.h"

#include "examples/common/config.h"
#include "examples/common/web_socket.h"
#include "examples/debug-server/protocol.h"
#include "examples/debug-server/worker_process.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

enum {
    CONNECT_MS = 2000,
    RECONNECT_MS = 10000,
    RETRY_MS = 100,
    GOODBYE_MS = 3000,
    STREAM_BYTES = 256 << 10, /* waiting for the server: no more is read from the worker */
    QUEUED_BYTES = 4 << 20,   /* what one read of both outputs can add, and much more */
    READ_BYTES = 16384,
    PATH_BYTES = 256,
};

typedef struct {
    const char *name; /* "stdout" */
    char text[OUTPUT_LINE_BYTES];
    size_t len;
    bool cut; /* the rest of this line is left out */
    int64_t lines, bytes;
    sonde_bound_counter *line_count, *byte_count;
} output;

typedef struct {
    observed_command command;
    unsigned number; /* 0: free */
} pending;

typedef struct {
    const session_place *place;
    const char *id;
    web_socket *server;
    json_t *start; /* what the server sent; NULL until then */
    json_t *early; /* commands that came before the worker ran; NULL once it does */
    worker_process worker;
    bool runs;
    output outputs[2];
    secrets secrets;
    pending pending[PENDING_COMMANDS];
    char control[CONTROL_LINE_BYTES];
    size_t control_len;
    int64_t started_ns, deadline_ns;
    const char *killed; /* why the runner ended it: "timeout", "output_limit", "cancelled", … */
    int last_line;      /* where the debugger saw it last */
} run;

static void say(run *r, json_t *message, bool urgent)
{
    char *text = json_dumps(message, JSON_COMPACT);
    json_decref(message);
    if (text && r->server)
        web_socket_send(r->server, text, strlen(text), urgent);
    free(text);
}

/* ---- what the worker says ---- */

static void take_line(run *r, output *o)
{
    char clean[2 * OUTPUT_LINE_BYTES];
    secrets_scrub(&r->secrets, o->text, o->len, clean, sizeof(clean));
    o->lines++;
    sonde_counter_add(o->line_count, 1);
    sonde_debug("worker_output", sonde_kv("stream", o->name),
                sonde_kv("line", (const char *)clean));
    json_t *line = json_string(clean);
    say(r,
        json_pack("{ss ss so sI}", "type", "output", "stream", o->name, "line",
                  line ? line : json_string("(bytes that are no text)"), "number",
                  (json_int_t)o->lines),
        true);
    o->len = 0;
    o->cut = false;
}

/* A session may be cancelled before its worker runs: start_worker looks at `killed`. */
static void kill_worker(run *r, const char *why)
{
    if (r->killed)
        return;
    r->killed = why;
    if (r->runs)
        kill(r->worker.pid, SIGKILL);
}

/* Reads what is there; false at the end of the stream. */
static bool read_output(run *r, output *o, int fd)
{
    char bytes[READ_BYTES];
    ssize_t n = read(fd, bytes, sizeof(bytes));
    if (n < 0)
        return errno == EAGAIN || errno == EINTR;
    o->bytes += n;
    sonde_counter_add(o->byte_count, n);
    for (ssize_t i = 0; i < n && !r->killed; i++) {
        if (bytes[i] == '\n')
            take_line(r, o);
        else if (o->len + 1 < sizeof(o->text) && bytes[i])
            o->text[o->len++] = bytes[i];
        else
            o->cut = true;
    }
    if (n == 0 && o->len && !r->killed)
        take_line(r, o);
    if (r->outputs[0].bytes + r->outputs[1].bytes > r->place->output_bytes)
        kill_worker(r, "output_limit");
    return n > 0;
}

/* A text of the worker as it may leave the runner; the reference is the caller's. */
static json_t *clean_text(const run *r, const json_t *value)
{
    char clean[1024];
    secrets_scrub(&r->secrets, json_string_value(value), json_string_length(value), clean,
                  sizeof(clean));
    return json_string(clean);
}

/* Values of variables whose names say that they are secrets do not leave the runner. */
static void hide_variables(run *r, json_t *reply)
{
    json_t *all = json_object_get(reply, "variables"), *value;
    const char *name;
    json_object_foreach(all, name, value)
    {
        if (secrets_learn(&r->secrets, name, json_string_value(value)))
            json_object_set_new(all, name, json_string("[REDACTED]"));
    }
    json_object_foreach(all, name, value)
    {
        if (json_is_string(value))
            json_object_set_new(all, name, clean_text(r, value));
    }
    value = json_object_get(reply, "value");
    if (json_is_string(value))
        json_object_set_new(reply, "value", clean_text(r, value));
}

static void end_command(run *r, pending *p, const char *status, const char *error)
{
    command_end(&p->command, status, error);
    *p = (pending){ 0 };
    (void)r;
}

static void take_reply(run *r, json_t *reply, unsigned number)
{
    const char *error = json_string_value(json_object_get(reply, "error"));
    for (size_t i = 0; number && i < PENDING_COMMANDS; i++)
        if (r->pending[i].number == number)
            end_command(r, &r->pending[i], error ? "error" : "ok", error);
    if (!number)
        return; /* the runner's own "run" */
    json_object_del(reply, "reply");
    json_object_set_new(reply, "type", json_string("reply"));
    json_object_set_new(reply, "number", json_integer(number));
    hide_variables(r, reply);
    say(r, json_incref(reply), true);
}

static void take_event(run *r, json_t *event)
{
    const char *name = json_string_value(json_object_get(event, "event")),
               *reason = json_string_value(json_object_get(event, "reason"));
    r->last_line = (int)json_integer_value(json_object_get(event, "line"));
    sonde_span_event("stopped", sonde_kv("debug.reason", reason),
                     sonde_kv("debug.line", r->last_line));
    sonde_debug("worker_stopped", sonde_kv("event", name), sonde_kv("reason", reason),
                sonde_kv("line", r->last_line));
    json_object_set_new(event, "type", json_string("event"));
    say(r, json_incref(event), true);
}

/* Reads what there is room for; false when the worker closed its line, or says too much in one. */
static bool read_control(run *r)
{
    ssize_t n = read(r->worker.control, r->control + r->control_len,
                     sizeof(r->control) - 1 - r->control_len);
    if (n <= 0)
        return n < 0 && (errno == EAGAIN || errno == EINTR);
    r->control_len += (size_t)n;
    r->control[r->control_len] = 0;
    char *line = r->control, *end;
    for (; (end = strchr(line, '\n')); line = end + 1) {
        *end = 0;
        json_t *message = json_loads(line, 0, NULL);
        if (json_object_get(message, "event"))
            take_event(r, message);
        else if (message)
            take_reply(r, message, (unsigned)json_integer_value(json_object_get(message, "reply")));
        json_decref(message);
    }
    r->control_len = strlen(line);
    memmove(r->control, line, r->control_len + 1);
    return r->control_len + 1 < sizeof(r->control);
}

/* ---- what the server says ---- */

/* One that cannot reach the worker is answered: its client need not wait for the time limit. */
static void refuse_command(run *r, unsigned number, const char *why)
{
    say(r,
        json_pack("{ss sI sb ss}", "type", "reply", "number", (json_int_t)number, "ok", 0, "error",
                  why),
        true);
}

/* The worker, whose room for a command has a limit, gets nothing of what else came along. A command
 * may come right behind the start: it waits until the worker runs. */
static void take_command(run *r, json_t *message)
{
    static const char *const members[] = { "line", "expression" };
    sonde_context parent = context_of_message(message);
    unsigned number = (unsigned)json_integer_value(json_object_get(message, "number"));
    pending *p = r->pending;
    while (p < r->pending + PENDING_COMMANDS && p->number)
        p++;
    if (r->early && json_array_size(r->early) < PENDING_COMMANDS) {
        json_array_append(r->early, message);
        return;
    }
    if (!r->runs || p == r->pending + PENDING_COMMANDS) {
        refuse_command(r, number,
                       r->runs ? "too many commands wait for their replies"
                               : "the worker does not run");
        return;
    }
    const char *name = json_string_value(json_object_get(message, "command"));
    *p = (pending){ command_begin(name, SONDE_CLIENT, &parent, r->id), number };
    json_t *told = json_pack("{ss* sI}", "command", name, "id", (json_int_t)number);
    for (size_t i = 0; i < sizeof(members) / sizeof(members[0]); i++)
        json_object_set(told, members[i], json_object_get(message, members[i]));
    if (!worker_tell(&r->worker, told)) {
        end_command(r, p, "lost", "the worker does not listen");
        refuse_command(r, number, "the worker does not listen");
    }
    json_decref(told);
}

static void take_early_commands(run *r)
{
    json_t *early = r->early, *message;
    size_t i;
    r->early = NULL;
    json_array_foreach(early, i, message) take_command(r, message);
    json_decref(early);
}

static void on_message(web_socket *s, const char *text, size_t len, void *user)
{
    run *r = user;
    json_t *message = json_loadb(text, len, 0, NULL);
    const char *type = json_string_value(json_object_get(message, "type"));
    (void)s;
    if (type && strcmp(type, "command") == 0)
        take_command(r, message);
    else if (type && strcmp(type, "cancel") == 0)
        kill_worker(r, "cancelled");
    else if (!r->start)
        r->start = json_incref(message);
    json_decref(message);
}

static void on_closed(web_socket *s, int code, const char *reason, void *user)
{
    (void)s, (void)user, (void)code, (void)reason;
}

static bool connect_once(run *r, int *ret_status, char *error, size_t size)
{
    static const web_socket_handlers handlers = { .message = on_message, .closed = on_closed };
    static const web_socket_limits limits = { .message_bytes = MESSAGE_BYTES,
                                              .queued_bytes = QUEUED_BYTES };
    char url[PATH_BYTES], bearer[512];
    const char *headers[3] = { "Authorization", bearer, NULL };
    snprintf(url, sizeof(url), "%s/runner/sessions/%s", r->place->server_url, r->id);
    snprintf(bearer, sizeof(bearer), "Bearer %s", r->place->token ? r->place->token : "");
    r->server = web_socket_connect(url, r->place->token ? headers : NULL, CONNECT_MS, &limits,
                                   &handlers, r, ret_status, error, size);
    return r->server != NULL;
}

/* Connects, again and again while the server is away; false after ten seconds, or when the server
 * does not want the session. */
static bool connect_to_server(run *r)
{
    int64_t until = monotonic_ns() + RECONNECT_MS * 1000000LL;
    char error[256] = "";
    int status = 0;
    while (!connect_once(r, &status, error, sizeof(error))) {
        bool refused = status >= 400 && status < 500;
        if (refused || monotonic_ns() > until || config_wait(RETRY_MS)) {
            sonde_error("server_unreachable", sonde_kv("error", (const char *)error),
                        sonde_kv("status", status));
            return false;
        }
        sonde_counter_add(r->place->metrics->retries, 1, "connect");
    }
    return true;
}

/* Works on the stream until `done` or the time is over. */
static bool await(run *r, int ms, bool (*done)(const run *r))
{
    int64_t until = monotonic_ns() + ms * 1000000LL;
    while (r->server && !done(r)) {
        if (!web_socket_work(r->server)) { /* before poll: the handshake may have brought more */
            web_socket_free(r->server);
            r->server = NULL;
            break;
        }
        struct pollfd p = { web_socket_fd(r->server), web_socket_events(r->server), 0 };
        int left = (int)((until - monotonic_ns()) / 1000000);
        if (left <= 0)
            break;
        if (!done(r))
            poll(&p, 1, left);
    }
    return done(r);
}

static bool has_start(const run *r)
{
    return r->start != NULL;
}

static bool has_closed(const run *r)
{
    return r->server == NULL;
}

/* ---- the session ---- */

/* What the worker said before its end may wait in all three. */
static bool is_done(const run *r)
{
    return r->worker.out < 0 && r->worker.err < 0 && r->worker.control < 0;
}

static void shut(int *fd)
{
    close(*fd);
    *fd = -1;
}

/* One round of waiting and working. */
static void turn(run *r)
{
    bool reads = r->killed || (r->server && web_socket_queued(r->server) < STREAM_BYTES);
    int64_t left = (r->deadline_ns - monotonic_ns()) / 1000000;
    struct pollfd p[4] = {
        { reads ? r->worker.out : -1, POLLIN, 0 },
        { reads ? r->worker.err : -1, POLLIN, 0 },
        { r->worker.control, POLLIN, 0 },
        { r->server ? web_socket_fd(r->server) : -1, r->server ? web_socket_events(r->server) : 0,
          0 },
    };
    if (left <= 0)
        kill_worker(r, "timeout");
    if (config_stopping())
        kill_worker(r, "runner_stopped");
    poll(p, 4, left < 0 ? 100 : left > 500 ? 500 : (int)left + 1);
    if (p[2].revents && !read_control(r))
        shut(&r->worker.control);
    if (p[0].revents && !read_output(r, &r->outputs[0], r->worker.out))
        shut(&r->worker.out);
    if (p[1].revents && !read_output(r, &r->outputs[1], r->worker.err))
        shut(&r->worker.err);
    if (r->server && !web_socket_work(r->server)) {
        web_socket_free(r->server);
        r->server = NULL;
    }
    if (!r->server && !is_done(r)) {
        sonde_warn("server_disconnected");
        if (config_wait(RETRY_MS) || !connect_to_server(r)) {
            kill_worker(r, "server_lost");
            shut(&r->worker.out);
            shut(&r->worker.err);
            shut(&r->worker.control);
        }
    }
}

typedef struct {
    const char *status, *reason, *label; /* label: of worker_exits_total */
    int exit_code, signal;
} ending;

static ending ending_of(const run *r, int status)
{
    ending e = { "failed", "crashed", "crashed", -1, 0 };
    if (WIFSIGNALED(status))
        e.signal = WTERMSIG(status);
    else
        e.exit_code = WEXITSTATUS(status);
    if (r->killed && strcmp(r->killed, "cancelled") == 0)
        e.status = "cancelled", e.reason = "", e.label = "cancelled";
    else if (r->killed)
        e.reason = e.label = r->killed;
    else if (e.signal == SIGXCPU || e.signal == SIGKILL)
        e.reason = e.label = "cpu_limit";
    else if (e.exit_code > 0)
        e.reason = e.label = "exit_status";
    else if (e.exit_code == 0)
        e.status = "succeeded", e.reason = "", e.label = "exited";
    return e;
}

static void note_end(run *r, const ending *e)
{
    const runner_metrics *m = r->place->metrics;
    double seconds = (double)(monotonic_ns() - r->started_ns) / 1e9;
    int64_t lines = r->outputs[0].lines + r->outputs[1].lines;
    sonde_counter_add(m->workers_active, -1);
    sonde_counter_add(m->worker_exits, 1, e->label);
    sonde_histogram_record(m->worker_duration, seconds, e->label);
    for (size_t i = 0; i < PENDING_COMMANDS; i++)
        if (r->pending[i].number)
            end_command(r, &r->pending[i], "lost", "the worker has ended");
    sonde_span_set(sonde_kv("process.exit.code", e->exit_code), sonde_kv("worker.exit", e->label),
                   sonde_kv("worker.output_lines", lines));
    if (e->signal)
        sonde_span_set(sonde_kv("process.exit.signal", e->signal));
    if (strcmp(e->status, "failed") == 0) {
        sonde_span_fail(e->reason, sonde_kv("error.type", e->reason));
        sonde_warn("worker_failed", sonde_kv("reason", e->reason),
                   sonde_kv("exit_code", e->exit_code), sonde_kv("signal", e->signal),
                   sonde_kv("last_stop_line", r->last_line));
    } else {
        sonde_info("worker_exited", sonde_kv("exit_code", e->exit_code),
                   sonde_kv("duration_ms", (int64_t)(seconds * 1e3)),
                   sonde_kv("output_lines", lines));
    }
    say(r,
        json_pack("{ss ss ss si si sI}", "type", "ended", "status", e->status, "reason", e->reason,
                  "exit_code", e->exit_code, "signal", e->signal, "output_lines",
                  (json_int_t)lines),
        true);
}

static void run_worker(run *r)
{
    int64_t seconds = json_integer_value(json_object_get(r->start, "timeout_seconds"));
    r->deadline_ns = r->started_ns + seconds * 1000000000LL;
    SONDE_SPAN ("worker", sonde_kv("process.pid", r->worker.pid)) {
        sonde_info("worker_started", sonde_kv("pid", r->worker.pid));
        sonde_counter_add(r->place->metrics->workers_active, 1);
        json_object_set_new(r->start, "command", json_string("run")); /* its arguments it has */
        json_object_del(r->start, "environment");
        worker_tell(&r->worker, r->start);
        take_early_commands(r);
        while (!is_done(r))
            turn(r);
        ending e = ending_of(r, worker_end(&r->worker, r->killed != NULL));
        r->runs = false;
        note_end(r, &e);
    }
}

static void learn_secrets(run *r, json_t *environment)
{
    const char *name;
    json_t *value;
    json_object_foreach(environment, name, value)
        secrets_learn(&r->secrets, name, json_string_value(value));
}

static void fail_start(run *r, const char *reason, const char *why)
{
    sonde_span_fail(why, sonde_kv("error.type", reason));
    sonde_warn("worker_not_started", sonde_kv("reason", reason), sonde_kv("error", why));
    say(r, json_pack("{ss ss ss}", "type", "output", "stream", "runner", "line", why), true);
    say(r, json_pack("{ss ss ss}", "type", "ended", "status", "failed", "reason", reason), true);
}

static void start_worker(run *r)
{
    char error[256] = "";
    const runner_metrics *m = r->place->metrics;
    json_t *command = json_object_get(r->start, "command"),
           *environment = json_object_get(r->start, "environment");
    const char *repository = json_string_value(json_object_get(r->start, "repository"));
    json_int_t seconds = json_integer_value(json_object_get(r->start, "timeout_seconds"));
    r->started_ns = monotonic_ns();
    if (!repository || !command) {
        fail_start(r, "start_lost", "the server was started again and has forgotten the command");
        return;
    }
    learn_secrets(r, environment);
    SONDE_SPAN ("start worker", sonde_kv("debug.repository", repository)) {
        r->runs = worker_start(&r->worker, repository, command, environment, (long)seconds + 1,
                               error, sizeof(error));
        if (!r->runs)
            sonde_span_fail(error, sonde_kv("error.type", "start_failed"));
        else if (r->killed)
            kill(r->worker.pid, SIGKILL);
    }
    sonde_histogram_record(m->start_duration, (double)(monotonic_ns() - r->started_ns) / 1e9);
    sonde_counter_add(m->worker_starts, 1, r->runs ? "success" : "error");
    if (r->runs)
        run_worker(r);
    else
        fail_start(r, "start_failed", error);
}

/* Takes the session, as often as it needs while the database is away. False: it is not ours. */
static bool claim(const session_place *place, const char *id)
{
    bool taken = false;
    while (!sessions_claim(place->database, id, place->name, &taken)) {
        sonde_counter_add(place->metrics->retries, 1, "claim");
        if (config_wait(5 * RETRY_MS))
            return false;
    }
    if (!taken)
        sonde_info("session_skipped", sonde_kv("reason", "it is queued no more"));
    return taken;
}

static void process(const session_place *place, const char *id)
{
    run *r = claim(place, id) ? calloc(1, sizeof(*r)) : NULL;
    if (!r)
        return;
    *r = (run){ .place = place,
                .id = id,
                .early = json_array(),
                .worker = { .out = -1, .err = -1, .control = -1 } };
    for (int i = 0; i < 2; i++) {
        output *o = &r->outputs[i];
        o->name = i ? "stderr" : "stdout";
        o->line_count = sonde_counter_bind(place->metrics->lines, o->name);
        o->byte_count = sonde_counter_bind(place->metrics->bytes, o->name);
    }
    if (!connect_to_server(r))
        sonde_span_fail("the server is away", sonde_kv("error.type", "server_unreachable"));
    else if (!await(r, CONNECT_MS, has_start))
        sonde_span_fail("the server sent no start", sonde_kv("error.type", "no_start"));
    else
        start_worker(r);
    if (r->server)
        await(r, GOODBYE_MS, has_closed); /* the server closes when it has the end */
    web_socket_free(r->server);
    secrets_done(&r->secrets);
    json_decref(r->start);
    json_decref(r->early);
    free(r);
}

void session_run(const session_place *place, const json_t *job)
{
    const char *id = json_string_value(json_object_get(job, "session_id"));
    sonde_context from = context_of_message(job);
    double waited =
        (double)(now_ms() - json_integer_value(json_object_get(job, "created_ms"))) / 1e3;
    if (!id) {
        sonde_error("job_malformed");
        return;
    }
    SONDE_WITH (from) {
        OBSERVED_SESSION(id)
        {
            SONDE_SPAN_KIND (
                SONDE_CONSUMER, "run session", sonde_kv("messaging.system", place->queue_system),
                sonde_kv("messaging.operation.name", "process"),
                sonde_kv("messaging.destination.name", SESSIONS_QUEUE), sonde_kv("session_id", id),
                sonde_kv("debug.queue_wait_seconds", waited)) {
                sonde_histogram_record(place->metrics->queue_wait, waited);
                process(place, id);
            }
        }
    }
}
