// SPDX-License-Identifier: Apache-2.0
/* One session in the runner: from the queue's job to the worker's end. */
#ifndef DEBUG_SERVER_SESSION_RUN_H
#define DEBUG_SERVER_SESSION_RUN_H

#include "examples/debug-server/observability/observability.h"
#include "examples/debug-server/sessions.h"

typedef struct {
    database *database;
    const runner_metrics *metrics;
    const char *name;       /* of this runner, new at each start */
    const char *server_url; /* "ws://127.0.0.1:8000" */
    const char *token;      /* for the server; NULL: none */
    const char *queue_system;
    int64_t output_bytes; /* of one session at most */
} session_place;

/* Runs it to its end; its span continues the trace of whoever ordered it. */
void session_run(const session_place *place, const json_t *job);

#endif
