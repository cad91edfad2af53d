// SPDX-License-Identifier: Apache-2.0
/* The OTLP receivers: OTLP/HTTP (protobuf and JSON) and OTLP/gRPC. A request is decoded into a
 * batch and given to the store; it is answered when the store has made it durable. Handlers run on
 * the ingest workers, any number at once. */
#ifndef SONDE_PIPELINE_OTLP_H
#define SONDE_PIPELINE_OTLP_H

#include "net/http.h"
#include "store/store.h"

typedef struct otlp_receiver otlp_receiver;

/* The store must outlive the receiver, and the receiver the HTTP server. */
MUST_USE status otlp_receiver_new(otlp_receiver **ret, store *s, error *err);
void otlp_receiver_free(otlp_receiver *r); /* NULL is fine */

/* Rows without a user: give the receiver as their table's. */
const http_route *otlp_http_routes(size_t *ret_count); /* POST /v1/traces, /v1/metrics, /v1/logs */
const http_route *otlp_grpc_routes(size_t *ret_count); /* the three Export methods, and Health */

typedef enum { OTLP_OVER_HTTP, OTLP_OVER_GRPC, OTLP_TRANSPORTS } otlp_transport;
const char *otlp_transport_name(otlp_transport t); /* "http", "grpc" */

/* Counted since the start. An item is a log record, a data point, a span. */
typedef struct {
    uint64_t received; /* items that became durable */
    uint64_t refused; /* items that the receiver or the store would not take, the reason was told */
    uint64_t failed;  /* requests that were answered with an error */
} otlp_counts;
void otlp_receiver_get_counts(const otlp_receiver *r, otlp_transport t, signal_kind signal,
                              otlp_counts *ret);

#endif
