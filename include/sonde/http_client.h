/* SPDX-License-Identifier: Apache-2.0 */
/* The client side of HTTP, for any client: two calls around a request. For libcurl: curl.h.
 *
 *     sonde_http_call call = sonde_http_call_begin(&(sonde_http_call_options){
 *         .method = "GET", .url = "https://api.example/v1/items",
 *         .set_header = add_header, .user = request });
 *     …
 *     sonde_http_call_end(&call, &(sonde_http_call_result){ .status = 200 });
 *
 * They give: a client span with the HTTP semantic conventions, its context in the request's headers
 * (propagate.h), and where options.http.otel_metrics is set the metric
 * http.client.request.duration. URLs are recorded without user, password and the values of query
 * fields that name secrets.
 *
 * The span is not made current: calls may overlap on one thread, and end on another. Thread-safe;
 * not for signal handlers; works after fork: a
 * span of the parent is ignored then, the metric counts where the call ends. */
#ifndef SONDE_HTTP_CLIENT_H
#define SONDE_HTTP_CLIENT_H

#include <sonde/propagate.h>

#ifdef __cplusplus
extern "C" {
#endif
#pragma GCC visibility push(default)

/* All of it may be zero; nothing is kept but copies. */
typedef struct {
    const char *method; /* NULL: not known before the end */
    const char *url;    /* absolute; NULL: not known before the end */
    sonde_header_set *set_header;
    void *user;
} sonde_http_call_options;

typedef struct {
    int status;               /* 0: there was no answer */
    const char *error_type;   /* when there was none: "timeout", "connection_refused", …; NULL: by
                                 the status */
    const char *message;      /* may be NULL */
    const char *method, *url; /* when they were not known before, or changed by redirects */
    const char *protocol_version; /* "1.1", "2" */
    const char *peer_address;     /* "192.0.2.7" */
    int resend_count;             /* redirects and retries */
} sonde_http_call_result;

/* The members are not for programs. Copy it freely; end it once. */
typedef struct {
    sonde_span *span;
    int64_t start_ns;
    char method[16];
    char scheme[8];
    char address[256];
    int port;
} sonde_http_call;

sonde_http_call sonde_http_call_begin(const sonde_http_call_options *options);
/* Status 400 and above, or none, fails the span. A second end does nothing. */
void sonde_http_call_end(sonde_http_call *call, const sonde_http_call_result *result);

#pragma GCC visibility pop
#ifdef __cplusplus
}
#endif
#endif
