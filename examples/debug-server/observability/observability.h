// SPDX-License-Identifier: Apache-2.0
/* The one place where server, runner and client are made observable: settings and start (start.c),
 * log sinks, correlation and scrubbing (logging.c), metrics (metrics.c), spans (tracing.c). */
#ifndef DEBUG_SERVER_OBSERVABILITY_H
#define DEBUG_SERVER_OBSERVABILITY_H

#include <jansson.h>
#include <sonde/sonde.h>

/* ---- start.c ---- */

/* Takes the flags that all programs share out of argv and puts them into the environment; call it
 * first in main. Wrong ones end the program with a message and status 2, --help with 0.
 *
 *     --env-file FILE  --no-metrics  --no-traces  --no-log-export  --no-telemetry  --otlp ENDPOINT
 *     --log-output stdout|stderr|none|file:PATH  --log-level LEVEL
 *
 * The same by variables: OBSERVABILITY_METRICS, OBSERVABILITY_TRACES, OBSERVABILITY_LOG_EXPORT,
 * OBSERVABILITY (all of it): "0" is off. A flag wins over the environment, the environment over the
 * file. `usage` is printed before these. */
void observability_arguments(int *argc, char **argv, const char *usage);

/* Starts libsonde for "server", "runner" or "client" by these settings. */
void observability_start(const char *program);

/* ---- logging.c ---- */

/* SESSION(id) { … }: every log and span inside has the session's id. */
#define OBSERVED_SESSION(id) SONDE_CONTEXT (sonde_kv("session_id", (const char *)(id)))

/* Values that are known to be secret in one session; all zero at first. One thread. */
enum { SECRETS_MAX = 32 };
typedef struct {
    char *values[SECRETS_MAX];
    size_t count;
} secrets;

/* Remembers a value when its name says that it is a secret (sonde/redact.h); shorter than 4 bytes
 * is none. True when it is one, remembered or not. */
bool secrets_learn(secrets *s, const char *name, const char *value);
/* The text with what is known, and what looks like a secret, replaced by "[REDACTED]"; cut to
 * `size`. `s` may be NULL. */
void secrets_scrub(const secrets *s, const char *text, size_t len, char *ret, size_t size);
void secrets_done(secrets *s);
/* Takes away what a cut has left of a character in UTF-8 at the end: JSON and PostgreSQL take whole
 * ones only. */
void end_whole(char *text);
/* A command for people to read: its arguments with blanks between them, secrets replaced, also the
 * one after a flag whose name says that it is one. */
void scrub_command(const json_t *arguments, char *ret, size_t size);

/* ---- metrics.c ---- */

typedef struct {
    sonde_counter *sessions_created, *sessions_completed, *sessions_active, *session_failures;
    sonde_histogram *session_duration;
    sonde_counter *commands, *auth_failures;
    sonde_histogram *command_duration;
    sonde_counter *sockets, *messages, *bytes, *dropped, *closes;
    sonde_histogram *stream_lag;
} server_metrics;

typedef struct {
    sonde_counter *workers_active, *worker_starts, *worker_exits, *lines, *bytes, *retries;
    sonde_histogram *worker_duration, *queue_wait, *start_duration;
} runner_metrics;

const server_metrics *metrics_of_server(void);
const runner_metrics *metrics_of_runner(void);

/* ---- tracing.c ---- */

/* A debugger command under way: a span, and what its metrics need. */
typedef struct {
    sonde_span *span;
    int64_t start_ns;
    const char *command; /* one of debugger_commands, or "unknown" */
} observed_command;

/* `name` is what was asked for; the row of debugger_commands, or "unknown". */
const char *known_command(const char *name);
/* The span "debugger NAME", a child of `parent`. */
observed_command command_begin(const char *name, sonde_span_kind kind, const sonde_context *parent,
                               const char *session);
/* `status`: "ok", "error", "unknown", "not_running", "timeout", "lost"; all but "ok" fail the span.
 * Returns the seconds it took. */
double command_end(observed_command *c, const char *status, const char *error);
/* The context that a message brings (traceparent, request_id), and the current one put into it. */
sonde_context context_of_message(const json_t *message);
void context_into_message(json_t *message, const sonde_context *context);
int64_t monotonic_ns(void);

#endif
