// SPDX-License-Identifier: Apache-2.0
/* Unary gRPC calls (grpc's PROTOCOL-HTTP2.md) for the handlers of ordinary routes: a call is a POST
 * to /package.Service/Method whose body is one framed message. Called by the worker that runs the
 * handler. */
#ifndef SONDE_NET_GRPC_H
#define SONDE_NET_GRPC_H

#include "net/http.h"

/* The codes that sonde answers with (grpc's statuscodes.md). */
typedef enum {
    GRPC_OK = 0,
    GRPC_INVALID_ARGUMENT = 3,
    GRPC_DEADLINE_EXCEEDED = 4,
    GRPC_RESOURCE_EXHAUSTED = 8,
    GRPC_UNIMPLEMENTED = 12,
    GRPC_INTERNAL = 13,
    GRPC_UNAVAILABLE = 14
} grpc_code;

/* How long the client waits, of a grpc-timeout header ("100m": 100 ms); INT64_MAX: not said, or not
 * understood. */
int64_t grpc_timeout_ns(str header);
/* The request's message, decompressed as grpc-encoding says; it lives as long as the request.
 * False: it cannot be had, and the call has been answered. */
MUST_USE bool grpc_request(http_exchange *x, str *ret);
void grpc_reply(http_exchange *x, str message);
void grpc_fail(http_exchange *x, grpc_code code, const char *format, ...) PRINTF_LIKE(3, 4);
/* As grpc_fail, with google.rpc.RetryInfo: the client shall try again after that time. */
void grpc_fail_retry(http_exchange *x, grpc_code code, unsigned seconds, str message);

#endif
