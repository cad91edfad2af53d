// SPDX-License-Identifier: Apache-2.0
/* All metrics of the system, in one place; see observability.h. Database statements have libsonde's
 * db_client_operation_duration_seconds, requests its http_requests_total and
 * http_request_duration_seconds. */
#include "examples/debug-server/observability/observability.h"

#define COUNTER(name, help, ...) \
    sonde_counter_new("debug_server_" name, help, SONDE_LABELS(__VA_ARGS__))
#define UPDOWN(name, help, ...) \
    sonde_updown_counter_new("debug_server_" name, help, SONDE_LABELS(__VA_ARGS__))

/* How sessions end, and why they fail through no fault of their programs: counts of these begin at
 * 0, since an alert sees the first one only as a step up from there. */
static const char *const ends[] = { "succeeded", "failed", "cancelled", NULL };
static const char *const own_failures[] = { "runner_lost", "start_failed",
                                            "server_lost", "queue_unavailable",
                                            "not_started", "start_lost",
                                            NULL };

static void begin_at_zero(sonde_counter *counter, const char *const *labels)
{
    for (; *labels; labels++)
        sonde_counter_add(counter, 0, *labels);
}

const server_metrics *metrics_of_server(void)
{
    static server_metrics m;
    m = (server_metrics){
        .sessions_created = COUNTER("sessions_created_total", "Sessions taken.", "repository"),
        .sessions_completed = COUNTER("sessions_completed_total", "Sessions ended.", "status"),
        .sessions_active = UPDOWN("sessions_active", "Sessions that wait or run.", NULL),
        .session_failures =
            COUNTER("session_failures_total", "Why sessions did not succeed.", "reason"),
        .session_duration = sonde_histogram_new(
            "debug_server_session_duration_seconds", "From the order to the end.",
            SONDE_LABELS("status"),
            .bounds = SONDE_BOUNDS(0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300)),
        .commands = COUNTER("debugger_commands_total", "What clients had the debugger do.",
                            "command", "status"),
        .command_duration =
            sonde_histogram_new("debug_server_debugger_command_duration_seconds",
                                "From a command to its reply.", SONDE_LABELS("command"),
                                .bounds = SONDE_BOUNDS(0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025,
                                                       0.05, 0.1, 0.5, 1, 5)),
        .auth_failures = COUNTER("auth_failures_total", "Callers refused.", "reason"),
        .sockets = UPDOWN("websocket_connections_active", "Streams open.", "role"),
        .messages =
            COUNTER("websocket_messages_total", "Messages of streams.", "role", "direction"),
        .bytes =
            COUNTER("websocket_bytes_total", "Bytes of messages of streams.", "role", "direction"),
        .dropped = COUNTER("websocket_dropped_messages_total",
                           "Messages that a slow reader did not get.", "role"),
        .closes = COUNTER("websocket_closes_total", "Streams ended.", "role", "code"),
        .stream_lag = sonde_histogram_new(
            "debug_server_websocket_lag_seconds", "Until a stream's reader had all that waited.",
            SONDE_LABELS("role"),
            .bounds = SONDE_BOUNDS(0.0005, 0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1, 5, 10)),
    };
    begin_at_zero(m.sessions_completed, ends);
    begin_at_zero(m.session_failures, own_failures);
    return &m;
}

const runner_metrics *metrics_of_runner(void)
{
    static runner_metrics m;
    m = (runner_metrics){
        .workers_active = UPDOWN("workers_active", "Workers that run.", NULL),
        .worker_starts = COUNTER("worker_starts_total", "Workers started.", "result"),
        .worker_exits = COUNTER("worker_exits_total", "How workers ended.", "reason"),
        .lines = COUNTER("worker_output_lines_total", "Lines that workers wrote.", "stream"),
        .bytes = COUNTER("worker_output_bytes_total", "Bytes that workers wrote.", "stream"),
        .retries = COUNTER("runner_retries_total", "What the runner had to try again.", "what"),
        .worker_duration =
            sonde_histogram_new("debug_server_worker_duration_seconds",
                                "From a worker's start to its end.", SONDE_LABELS("reason"),
                                .bounds = SONDE_BOUNDS(0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1,
                                                       5, 10, 30, 60, 300)),
        .queue_wait = sonde_histogram_new(
            "debug_server_session_queue_wait_seconds", "From the order to the runner.",
            SONDE_LABELS(),
            .bounds = SONDE_BOUNDS(0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1, 5, 30, 60)),
        .start_duration = sonde_histogram_new(
            "debug_server_worker_start_duration_seconds", "To start a worker's process.",
            SONDE_LABELS(),
            .bounds = SONDE_BOUNDS(0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 1)),
    };
    return &m;
}
