// SPDX-License-Identifier: Apache-2.0
/* The reports behind /health and /ready; see sonde/health.h for the checks. Thread-safe. */
#ifndef SONDE_LIB_HEALTH_H
#define SONDE_LIB_HEALTH_H

#include "base/buf.h"
#include "sonde/start.h"

/* Called by sonde_start: the shape of reports, the version they show, and the time zero of the
 * uptime. The texts are copied. */
void health_configure(const sonde_health_options *options, str version);

typedef enum { HEALTH_LIVE, HEALTH_READY } health_kind;

/* Appends the JSON report to `out` and returns the HTTP status, 200 or 503. */
int health_report(health_kind kind, buf *out);

/* In the child of a fork: checks that ran in the parent do not run here. */
void health_forked(void);

#endif
