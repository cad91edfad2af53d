// SPDX-License-Identifier: Apache-2.0
/* Spans of debugger commands and the context of messages; see observability.h. Requests, database
 * statements and handshakes bring their own spans. */
#include "examples/debug-server/observability/observability.h"

#include "examples/common/trace_job.h"
#include "examples/debug-server/protocol.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

int64_t monotonic_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec * 1000000000LL + t.tv_nsec;
}

const char *known_command(const char *name)
{
    for (size_t i = 0; name && i < sizeof(debugger_commands) / sizeof(debugger_commands[0]); i++)
        if (strcmp(debugger_commands[i], name) == 0)
            return debugger_commands[i];
    return "unknown";
}

observed_command command_begin(const char *name, sonde_span_kind kind, const sonde_context *parent,
                               const char *session)
{
    char text[64];
    observed_command c = { .start_ns = monotonic_ns(), .command = known_command(name) };
    const sonde_attr attrs[] = { sonde_kv("debugger.command", c.command),
                                 sonde_kv("session_id", session) };
    snprintf(text, sizeof(text), "debugger %s", c.command);
    c.span = sonde_span_start(
        text,
        &(sonde_span_options){ .kind = kind, .parent = parent, .attrs = attrs, .attr_count = 2 });
    return c;
}

double command_end(observed_command *c, const char *status, const char *error)
{
    double seconds = (double)(monotonic_ns() - c->start_ns) / 1e9;
    const sonde_attr type = sonde_kv("error.type", status);
    sonde_span_set_on(c->span, sonde_kv("debugger.status", status));
    if (strcmp(status, "ok") != 0)
        sonde_span_fail_on(c->span, error ? error : status, &type, 1);
    sonde_span_end(c->span);
    c->span = NULL;
    return seconds;
}

sonde_context context_of_message(const json_t *message)
{
    return trace_job_extract(message);
}

void context_into_message(json_t *message, const sonde_context *context)
{
    static const char *const members[] = { "traceparent", "tracestate", "baggage", "request_id" };
    for (size_t i = 0; i < sizeof(members) / sizeof(members[0]); i++)
        json_object_del(message, members[i]);
    SONDE_WITH (*context)
        trace_job_inject(message);
}
