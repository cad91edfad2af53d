// SPDX-License-Identifier: Apache-2.0
/* The worker: runs one program under a debugger. The runner starts it, reads its stdout and stderr,
 * and speaks with it over descriptor 3, a JSON object a line: commands in, replies and "stopped"
 * events out. It has limits of its own, and ends when the runner does.
 *
 *     worker RUNNER_PID CPU_SECONDS PROGRAM [ARGUMENT…]
 *
 * Exit status: the program's; 125 when it is wrong or the runner went away. */
#include "examples/debug-server/protocol.h"
#include "examples/debug-server/target.h"

#include <errno.h>
#include <jansson.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

enum {
    CONTROL = 3,
    MAX_BREAKPOINTS = 64,
    LOOK_EVERY = 64,
    WRONG = 125,
    MEMORY = 512 << 20,
    REST_OF_REPLY = 256
};

typedef struct {
    target *target;
    int breakpoints[MAX_BREAKPOINTS], breakpoint_count;
    bool begun, stopped, stepping;
    char input[8192];
    size_t input_len;
} worker;

static void tell(json_t *message)
{
    char *text = json_dumps(message, JSON_COMPACT);
    size_t len = text ? strlen(text) : 0;
    json_decref(message);
    if (!text)
        return;
    text[len++] = '\n'; /* in the terminator's place */
    for (size_t at = 0; at < len;) {
        ssize_t n = write(CONTROL, text + at, len - at);
        if (n < 0 && errno != EINTR)
            _exit(WRONG);
        at += n > 0 ? (size_t)n : 0;
    }
    free(text);
}

static json_t *json_of_text(const char *text)
{
    json_t *found = json_string(text);
    return found ? found : json_string("(bytes that are no text)");
}

static json_t *json_of(const target_value *v)
{
    return v->is_text ? json_of_text(v->text) : json_integer(v->number);
}

static void tell_stopped(worker *w, const char *why)
{
    int line = target_line(w->target);
    fflush(stdout);
    w->stopped = true;
    w->stepping = false;
    tell(json_pack("{ss ss si so}", "event", "stopped", "reason", why, "line", line, "source",
                   json_of_text(target_source(w->target, line))));
}

/* ---- commands: each fills the reply, or returns what is wrong ---- */

typedef const char *command(worker *w, const json_t *message, json_t *reply);

static int line_of(worker *w, const json_t *message)
{
    json_int_t line = json_integer_value(json_object_get(message, "line"));
    return line >= 1 && line <= target_line_count(w->target) ? (int)line : 0;
}

static const char *clear_breakpoint(worker *w, const json_t *message, json_t *reply)
{
    int line = line_of(w, message), kept = 0;
    for (int i = 0; i < w->breakpoint_count; i++)
        if (w->breakpoints[i] != line)
            w->breakpoints[kept++] = w->breakpoints[i];
    bool found = kept < w->breakpoint_count;
    w->breakpoint_count = kept;
    json_object_set_new(reply, "line", json_integer(line));
    return found ? NULL : "there is no breakpoint on that line";
}

static const char *set_breakpoint(worker *w, const json_t *message, json_t *reply)
{
    int line = line_of(w, message);
    if (!line)
        return "line must be one of the program's";
    if (w->breakpoint_count == MAX_BREAKPOINTS)
        return "there are too many breakpoints";
    w->breakpoints[w->breakpoint_count++] = line;
    json_object_set_new(reply, "line", json_integer(line));
    return NULL;
}

static const char *run(worker *w, const json_t *message, json_t *reply)
{
    size_t i;
    json_t *line;
    json_array_foreach(json_object_get(message, "breakpoints"), i,
                       line) if (w->breakpoint_count < MAX_BREAKPOINTS)
        w->breakpoints[w->breakpoint_count++] = (int)json_integer_value(line);
    (void)reply;
    w->begun = true;
    if (json_is_true(json_object_get(message, "stop_on_entry")))
        tell_stopped(w, "entry");
    return NULL;
}

static const char *go_on(worker *w, const json_t *message, json_t *reply)
{
    (void)message, (void)reply;
    if (!w->stopped)
        return "the program runs";
    w->stopped = false;
    return NULL;
}

static const char *step(worker *w, const json_t *message, json_t *reply)
{
    const char *why = go_on(w, message, reply);
    w->stepping = !why;
    return why;
}

static const char *pause_program(worker *w, const json_t *message, json_t *reply)
{
    (void)message, (void)reply;
    if (w->stopped)
        return "the program is stopped";
    tell_stopped(w, "pause");
    return NULL;
}

static const char *evaluate(worker *w, const json_t *message, json_t *reply)
{
    static char why[TARGET_ERROR_BYTES];
    const char *text = json_string_value(json_object_get(message, "expression"));
    target_value value;
    if (!text || !target_evaluate(w->target, text, &value, why))
        return text ? why : "expression must be a text";
    json_object_set_new(reply, "value", json_of(&value));
    return NULL;
}

/* False when the reply has no room for one more. */
static bool show(json_t *all, const char *name, const target_value *v, size_t *room)
{
    json_t *value = json_of(v);
    size_t bytes = strlen(name) + sizeof("\"\":,") +
                   json_dumpb(value, NULL, 0, JSON_COMPACT | JSON_ENCODE_ANY);
    bool fits = bytes <= *room;
    if (fits) {
        *room -= bytes;
        json_object_set(all, name, value);
    }
    json_decref(value);
    return fits;
}

/* As many as there is room for; `left_out` is how many more there are. */
static const char *variables(worker *w, const json_t *message, json_t *reply)
{
    json_t *all = json_object();
    size_t room = CONTROL_LINE_BYTES - REST_OF_REPLY;
    int left_out = 0;
    target_value value;
    const char *name;
    (void)message;
    for (int i = 0; (name = target_variable(w->target, i, &value)); i++)
        left_out += !show(all, name, &value, &room);
    json_object_set_new(reply, "variables", all);
    if (left_out)
        json_object_set_new(reply, "left_out", json_integer(left_out));
    return NULL;
}

static const char *where(worker *w, const json_t *message, json_t *reply)
{
    int line = target_line(w->target);
    (void)message;
    json_object_set_new(reply, "line", json_integer(line));
    json_object_set_new(reply, "source", json_of_text(target_source(w->target, line)));
    return NULL;
}

static const struct {
    const char *name;
    command *run;
} commands[] = {
    { "run", run },           { "set_breakpoint", set_breakpoint },
    { "continue", go_on },    { "clear_breakpoint", clear_breakpoint },
    { "step", step },         { "pause", pause_program },
    { "evaluate", evaluate }, { "variables", variables },
    { "where", where },
};

static void obey(worker *w, const char *line)
{
    json_t *message = json_loads(line, 0, NULL), *reply = json_object();
    const char *name = json_string_value(json_object_get(message, "command"));
    const char *why = "there is no such command";
    json_object_set(reply, "reply", json_object_get(message, "id"));
    for (size_t i = 0; name && i < sizeof(commands) / sizeof(commands[0]); i++)
        if (strcmp(commands[i].name, name) == 0)
            why = commands[i].run(w, message, reply);
    json_object_set_new(reply, "ok", json_boolean(!why));
    if (why)
        json_object_set_new(reply, "error", json_string(why));
    tell(reply);
    json_decref(message);
}

/* Takes the commands that came within `ms` (-1: waits for one). */
static void listen_for(worker *w, int ms)
{
    struct pollfd p = { .fd = CONTROL, .events = POLLIN };
    if (poll(&p, 1, ms) < 1)
        return;
    ssize_t n = read(CONTROL, w->input + w->input_len, sizeof(w->input) - 1 - w->input_len);
    if (n <= 0)
        _exit(WRONG); /* the runner has gone, or a command is too long */
    w->input_len += (size_t)n;
    w->input[w->input_len] = 0;
    char *line = w->input, *end;
    for (; (end = strchr(line, '\n')); line = end + 1) {
        *end = 0;
        obey(w, line);
    }
    w->input_len = strlen(line);
    memmove(w->input, line, w->input_len + 1);
}

static bool has_breakpoint(const worker *w, int line)
{
    for (int i = 0; i < w->breakpoint_count; i++)
        if (w->breakpoints[i] == line)
            return true;
    return false;
}

static void sleep_for(worker *w, int ms)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    int64_t now = t.tv_sec * 1000LL + t.tv_nsec / 1000000, end = now + ms;
    while (now < end && !w->stopped) {
        listen_for(w, (int)(end - now));
        clock_gettime(CLOCK_MONOTONIC, &t);
        now = t.tv_sec * 1000LL + t.tv_nsec / 1000000;
    }
}

/* Runs the program to its end; the exit status. */
static int work(worker *w)
{
    while (!w->begun)
        listen_for(w, -1);
    for (unsigned long n = 0;; n++) {
        int line = target_line(w->target);
        if (!w->stopped && line && has_breakpoint(w, line))
            tell_stopped(w, "breakpoint");
        else if (!w->stopped && line && w->stepping)
            tell_stopped(w, "step");
        if (n % LOOK_EVERY == 0 && !w->stopped)
            listen_for(w, 0);
        while (w->stopped)
            listen_for(w, -1);
        target_state state = line ? target_step(w->target) : TARGET_EXITS;
        if (state == TARGET_SLEEPS) {
            fflush(stdout);
            sleep_for(w, target_sleep_ms(w->target));
        } else if (state == TARGET_EXITS) {
            return target_exit_status(w->target);
        } else if (state == TARGET_FAILED) {
            fprintf(stderr, "%s\n", target_error(w->target));
            return WRONG;
        }
    }
}

static void limit(int what, rlim_t value)
{
    setrlimit(what, &(struct rlimit){ value, value });
}

static void set_limits(long runner, long cpu_seconds)
{
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != runner)
        _exit(WRONG);
    limit(RLIMIT_CORE, 0);
    limit(RLIMIT_FSIZE, 0);
    limit(RLIMIT_NOFILE, 16);
    limit(RLIMIT_CPU, (rlim_t)cpu_seconds);
#ifndef __SANITIZE_ADDRESS__ /* which reserves terabytes of addresses */
    limit(RLIMIT_AS, MEMORY);
#endif
}

int main(int argc, char **argv)
{
    static worker w;
    char error[TARGET_ERROR_BYTES];
    if (argc < 4) {
        fprintf(stderr,
                "the runner starts this program: worker RUNNER_PID CPU_SECONDS PROGRAM …\n");
        return 2;
    }
    set_limits(strtol(argv[1], NULL, 10), strtol(argv[2], NULL, 10));
    setvbuf(stdout, NULL, _IOLBF, 0);
    w.target = target_load(argv[3], argc - 3, argv + 3, error);
    if (!w.target) {
        fprintf(stderr, "%s\n", error);
        return WRONG;
    }
    int status = work(&w);
    target_free(w.target);
    return status;
}
