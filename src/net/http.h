// SPDX-License-Identifier: Apache-2.0
/* HTTP as the server's other parts see it: requests come to a handler on a worker thread, answers
 * go out when the handler returns or, streamed, while it runs. HTTP/1.1, HTTP/2 and gRPC arrive on
 * the same listeners and look the same here. */
#ifndef SONDE_NET_HTTP_H
#define SONDE_NET_HTTP_H

#include "base/arena.h"
#include "base/buf.h"

typedef struct http_server http_server;
typedef struct http_exchange http_exchange; /* one request and its answer */

/* Two pools, so that slow queries hold up no ingest. POOL_NONE runs the handler on the network
 * thread itself: only for those that never wait and read no body (health must answer under
 * overload). */
typedef enum { POOL_INGEST, POOL_QUERY, POOL_NONE } http_pool;

typedef void http_handler(http_exchange *x, void *user);

/* One row of the route table. The path may end in "*" (prefix match) and hold {names}. */
typedef struct {
    const char *method; /* "GET", "POST", "GET|POST", … */
    const char *path;   /* "/loki/api/v1/label/{name}/values" */
    http_handler *handler;
    void *user;
    http_pool pool;
    const char *help; /* one line, for the API reference */
} http_route;

/* ---- the request ---- */

str http_method(const http_exchange *x);
str http_path(const http_exchange *x);                     /* decoded, without query string */
str http_header(const http_exchange *x, const char *name); /* empty when absent; any case */
str http_path_param(const http_exchange *x, const char *name);
/* Query string parameter, and for POST with application/x-www-form-urlencoded also the body's;
 * decoded; empty when absent. `index` counts repetitions ("match[]"); *ret_found may be NULL. */
str http_param(const http_exchange *x, const char *name, unsigned index, bool *ret_found);
/* The whole body, content-encoding (gzip, deflate, zstd, snappy) removed; limits were applied
 * before. */
str http_body(const http_exchange *x);
/* The address that the request came from, without port: "192.0.2.7", "2001:db8::1"; empty when it
 * has none. */
str http_client_address(http_exchange *x);
/* Subject of the certificate that the client has shown (RFC 4514: "CN=sender,O=Example"); empty
 * when the listener asks for none. */
str http_peer(const http_exchange *x);
/* Whether the request came over TLS. */
bool http_is_encrypted(const http_exchange *x);
/* Freed after the answer was sent. */
arena *http_arena(http_exchange *x);
/* Set to 1 when the client is gone: give it to query_control. */
const _Atomic int *http_canceled(const http_exchange *x);
/* When the request began to come in: deadlines count from here, so that a request that waited for a
 * worker has less time left. */
int64_t http_begun_mono_ns(const http_exchange *x);

/* ---- the answer ---- */

void http_set_status(http_exchange *x, int code); /* default 200 */
void http_set_header(http_exchange *x, const char *name, str value);
/* The body under construction; sent with Content-Length (gzip when asked for and worth it) when the
 * handler returns. */
buf *http_out(http_exchange *x);
/* Sends what http_out holds now, chunked (gzip as above, decided by the first piece), and empties
 * it; blocks while the client is slow (bounded buffer). false: the client is gone, return soon. */
bool http_flush(http_exchange *x);
/* Plain error answer: {"error":{"code":…,"message":…}} unless the route's API has another shape. */
void http_fail(http_exchange *x, int code, const char *format, ...) PRINTF_LIKE(3, 4);
/* gRPC calls: trailers grpc-status and grpc-message. */
void http_set_grpc_status(http_exchange *x, int code, str message);

#endif
