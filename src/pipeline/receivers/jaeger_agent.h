// SPDX-License-Identifier: Apache-2.0
/* The UDP ports of Jaeger's agent: one thread for each reads packets and puts what came together
 * into the intake log at once. UDP has no answers: while the log is at its limit the thread waits,
 * the socket's buffer fills, and the kernel's count of what it dropped is reported. */
#ifndef SONDE_PIPELINE_RECEIVERS_JAEGER_AGENT_H
#define SONDE_PIPELINE_RECEIVERS_JAEGER_AGENT_H

#include "codec/thrift.h"
#include "pipeline/component.h"

typedef struct {
    str endpoint;
    int64_t max_packet_size;    /* larger ones are cut by the socket, and refused */
    int64_t socket_buffer_size; /* 0: 4 MiB */
} jaeger_agent_settings;
extern const option_table jaeger_compact_options, jaeger_binary_options;

typedef struct jaeger_agent jaeger_agent;

/* Opens the socket. */
MUST_USE status jaeger_agent_new(jaeger_agent **ret, component *c, const jaeger_agent_settings *s,
                                 thrift_protocol protocol, error *err);
MUST_USE status jaeger_agent_start(jaeger_agent *a, error *err);
void jaeger_agent_stop(jaeger_agent *a); /* NULL is fine; also for one that was not started */
void jaeger_agent_free(jaeger_agent *a); /* NULL is fine; after stop */

#endif
