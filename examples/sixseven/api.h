// SPDX-License-Identifier: Apache-2.0
/* The HTTP side of the backend:
 *
 *   POST /command {"command","session_id","image","options"}   202 {"job_id","intent","status",…}
 *   GET /jobs?status=S&limit=N    GET /jobs/{id}
 *   POST /jobs/{id}/cancel        DELETE /jobs/{id}
 *   GET /health
 *   /ready, /metrics, /debug      by libsonde */
#ifndef EXAMPLES_SIXSEVEN_API_H
#define EXAMPLES_SIXSEVEN_API_H

#include "examples/common/web_server.h"
#include "examples/sixseven/orchestrator.h"

typedef struct {
    orchestrator *orchestrator;
    database *database;
} api;

/* `a` lives as long as the server. NULL after a message on stderr. */
web_server *api_start(uint16_t port, unsigned threads, api *a);

#endif
