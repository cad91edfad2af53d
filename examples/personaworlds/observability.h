// SPDX-License-Identifier: Apache-2.0
/* The worker's tiny HTTP server: GET /healthz and GET /metrics, and nothing else. */
#ifndef EXAMPLES_PERSONAWORLDS_OBSERVABILITY_H
#define EXAMPLES_PERSONAWORLDS_OBSERVABILITY_H

struct MHD_Daemon;

/* Listens on BIND_ADDRESS (127.0.0.1), port WORKER_OBSERVABILITY_PORT (9091). NULL after a message
 * on stderr. */
struct MHD_Daemon *observability_start(void);
/* NULL is fine. */
void observability_stop(struct MHD_Daemon *d);

#endif
