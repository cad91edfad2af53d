/* SPDX-License-Identifier: Apache-2.0 */
/* The server side of HTTP, for any server: three calls around a request.
 *
 *     sonde_http_begin(&(sonde_http_request){ .method = "GET", .path = "/users/7",
 *                                             .header = header_of, .set_header = set_header,
 *                                             .user = request });
 *     sonde_http_route("/users/{id}");       // when the route is known
 *     …                                      // logs and spans in here belong to the request
 *     sonde_http_end(200);
 *
 * They give: a server span with the HTTP semantic conventions (the older names too where
 * OTEL_SEMCONV_STABILITY_OPT_IN has http/dup), continued from traceparent; the context's request_id
 * from X-Request-ID, made new when absent or ill-formed, and sent back; the metrics
 * http_requests_total{route,method,status} and http_request_duration_seconds{route,method}; and one
 * log line, "http_request", at the end.
 *
 * A request belongs to the thread that began it; requests nest. A server that moves a request to
 * another thread, or serves others meanwhile, calls sonde_http_suspend and sonde_http_resume.
 * Thread-safe; not for signal handlers. Before sonde_start only the context works. */
#ifndef SONDE_HTTP_H
#define SONDE_HTTP_H

#include <sonde/propagate.h>

#ifdef __cplusplus
extern "C" {
#endif
#pragma GCC visibility push(default)

/* All members may be NULL; nothing is kept but copies. */
typedef struct {
    const char *method;
    const char *path;             /* a query string is cut off: it may hold secrets */
    const char *scheme;           /* NULL: "http" */
    const char *client_address;   /* "192.0.2.7" */
    const char *protocol_version; /* "1.1" */
    sonde_header_get *header;     /* of the request */
    sonde_header_set *set_header; /* of the answer; called by sonde_http_begin */
    void *user;                   /* for both */
} sonde_http_request;

void sonde_http_begin(const sonde_http_request *request);
/* The route's template, at most 127 bytes: the span's name and the metrics' label. Without it the
 * label is "unmatched". */
void sonde_http_route(const char *route);
/* Ends what sonde_http_begin began on this thread; without one it does nothing. */
void sonde_http_end(int status);

typedef struct sonde_http sonde_http;
/* Takes the thread's current request off it, and gives the thread back what it had before. NULL
 * when there is none. A request that is never resumed and ended leaks. */
sonde_http *sonde_http_suspend(void);
/* Makes it current on the calling thread. NULL is fine. */
void sonde_http_resume(sonde_http *request);

/* ---- /metrics, /health, /healthz, /ready, /readyz in a server of the program's own ---- */

typedef struct {
    int status;
    const char *content_type;
    char *body; /* freed by sonde_http_response_free; not terminated */
    size_t body_len;
} sonde_http_response;

/* False, and *ret unwritten, when the path is none of ours. Looks at method, path and the Accept
 * header. May take as long as the slowest health check's time limit. The same answers as on the
 * admin port. */
bool sonde_http_handle(const sonde_http_request *request, sonde_http_response *ret);
void sonde_http_response_free(sonde_http_response *response);

#pragma GCC visibility pop
#ifdef __cplusplus
}
#endif
#endif
