// SPDX-License-Identifier: Apache-2.0
/* Unary gRPC calls to one server, on nghttp2 (h2c with prior knowledge, or TLS with ALPN h2). The
 * connection is kept; it is made again after a GOAWAY, an error, or idling. One thread at a time.
 */
#ifndef SONDE_NET_GRPC_CLIENT_H
#define SONDE_NET_GRPC_CLIENT_H

#include "net/client.h"

typedef struct grpc_client grpc_client;

/* target and headers are copied, the other texts must outlive the client. */
typedef struct {
    const char *target; /* "host:port" */
    bool use_tls;
    tls_client tls;
    const char *const *headers; /* metadata, "name: value", ended by NULL */
    const char *user_agent;
    /* More metadata, asked for with each call (a token that changes); made in `a`. NULL: none. */
    status (*more_headers)(void *user, arena *a, const char *const **ret, error *err);
    void *user;
} grpc_client_options;

MUST_USE status grpc_client_new(grpc_client **ret, const grpc_client_options *options, error *err);
void grpc_client_free(grpc_client *k); /* NULL is fine */

typedef struct {
    int code; /* gRPC's */
    char message[256];
    int64_t retry_after_ns; /* RetryInfo; 0: none */
    buf body;               /* the response message; grpc_answer_done frees it */
} grpc_answer;

/* path: "/package.Service/Method". encoding: "identity", "gzip", "zstd", "snappy", "deflate".
 * timeout_ns: of the whole call; 0: 30 s. STATUS_OK when the server answered, whatever its code;
 * STATUS_IO when it did not (the message says why); STATUS_LIMIT: its answer is larger than 4 MiB;
 * STATUS_CANCELED. *ret must be done in any case. */
MUST_USE status grpc_client_call(grpc_client *k, const char *path, str message,
                                 const char *encoding, int64_t timeout_ns,
                                 const _Atomic int *canceled, grpc_answer *ret, error *err);
void grpc_answer_done(grpc_answer *a);
/* OK: 0. Codes that OTLP calls retryable (CANCELLED, DEADLINE_EXCEEDED, ABORTED, OUT_OF_RANGE,
 * UNAVAILABLE, DATA_LOSS, and RESOURCE_EXHAUSTED with RetryInfo): STATUS_BUSY. Else STATUS_INVALID.
 */
status grpc_answer_check(const grpc_answer *a, const char *target, error *err);

#endif
