// SPDX-License-Identifier: Apache-2.0
/* What the API and the worker have in common as services: how telemetry starts, what they need
 * before they can work, what /health and /ready check, and the metrics of the process itself. */
#ifndef EXAMPLES_STAGING_SERVICE_H
#define EXAMPLES_STAGING_SERVICE_H

#include "examples/common/database.h"
#include "examples/common/queue.h"

#include <sonde/sonde.h>

typedef struct {
    database *database;
    queue *queue;
} service;

/* Starts the library for "real-staging-NAME" with its paths on `admin_addr`, opens database and
 * queue (DATABASE_URL, REDIS_URL, SQLITE_PATH) and registers checks and metrics. False after a
 * fatal log record that says what is missing. */
bool service_start(service *s, const char *name, const char *admin_addr);
/* Call when nothing uses them any more; NULL members are fine. */
void service_stop(service *s);

/* The attribute trace.id of the current span: a trace is found by it as by any other attribute. */
void service_note_trace(void);

#endif
