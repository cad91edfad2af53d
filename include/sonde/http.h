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
 * http_requests_total{route,method,status} and http_request_duration_seconds{route,method}; one log
 * line, "http_request", at the end; and, when the answer is an error, the redacted request on the
 * span. Names and contents are options (start.h).
 *
 * A request belongs to the thread that began it; requests nest. A server that moves a request to
 * another thread, or serves others meanwhile, calls sonde_http_suspend and sonde_http_resume.
 * Thread-safe; not for signal handlers; a child of fork does not continue its parent's requests.
 * Before sonde_start only the context works. */
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
    const char *path;             /* at most 511 bytes; with a query string behind '?' or without */
    const char *scheme;           /* NULL: "http" */
    const char *client_address;   /* "192.0.2.7" */
    const char *protocol_version; /* "1.1" */
    sonde_header_get *header;     /* of the request */
    sonde_header_set *set_header; /* of the answer; called by sonde_http_begin */
    void *user;                   /* for both */
    const char *query;            /* without '?'; NULL: what stands in `path` */
    const char *host;             /* "shop.example:8080"; NULL: the header host */
    const void *body;             /* when it is there already; else sonde_http_body */
    size_t body_len;
    /* For sonde_http_handle: the program itself checked who asks, /debug needs no token. */
    bool debug_allowed;
} sonde_http_request;

/* Begins a request and makes its context current. Without memory it does nothing, and neither does
 * the sonde_http_end that belongs to it. `request` may be NULL. */
void sonde_http_begin(const sonde_http_request *request);
/* The route's template, at most 127 bytes: the span's name and the metrics' label. Without it the
 * label is "unmatched". */
void sonde_http_route(const char *route);
/* Another piece of the request's body. Only the start of a text, JSON or form is kept, and only
 * until sonde_http_end. */
void sonde_http_body(const void *bytes, size_t len);
/* sonde_http_set(kv…): attributes for all that follows in this request, its access log line and its
 * span: sonde_http_set(sonde_kv("user_id", user)). An inner SONDE_CONTEXT that is open does not
 * see them. */
#define sonde_http_set(...) sonde_http_set_(SONDE_ATTRS_(__VA_ARGS__))
/* The answer's status, when it is known before the request ends: sonde_http_end(0) then uses it. */
void sonde_http_status(int status);
/* Ends what sonde_http_begin began on this thread; without one it does nothing. `status` 0: that of
 * sonde_http_status; without one the client went away before it was answered, which is recorded as
 * status 499 and error.type "disconnected". */
void sonde_http_end(int status);

typedef struct sonde_http sonde_http;
/* Takes the thread's current request off it, and gives the thread back what it had before. NULL
 * when there is none. A request that is never resumed and ended leaks. */
sonde_http *sonde_http_suspend(void);
/* Makes it current on the calling thread. NULL is fine. */
void sonde_http_resume(sonde_http *request);

/* ---- /metrics, health and /debug in a server of the program's own ---- */

typedef struct {
    const char *name; /* NULL: no more */
    const char *value;
} sonde_http_header;
#define SONDE_HTTP_HEADERS 3

typedef struct {
    int status;
    const char *content_type;
    char *body; /* freed by sonde_http_response_free; not terminated */
    size_t body_len;
    sonde_http_header headers[SONDE_HTTP_HEADERS]; /* to send too; static texts */
} sonde_http_response;

/* Answers /metrics, /health, /healthz, /ready, /readyz and the /debug paths of sonde/debug.h as the
 * admin port does. False, and *ret unwritten, when the path is none of these. Looks at method,
 * path, query, body, client_address and the headers accept, authorization, host, origin, forwarded
 * and x-forwarded-for.
 *
 * /debug wants options.admin_token as a bearer token. Without one it answers only requests that are
 * debug_allowed, or whose client_address is of this machine and that came through no proxy.
 *
 * May take as long as the slowest health check's time limit, and a CPU profile as long as it is
 * asked for. Thread-safe; not for signal handlers. */
bool sonde_http_handle(const sonde_http_request *request, sonde_http_response *ret);
void sonde_http_response_free(sonde_http_response *response);

/* ---- what the macros use ---- */

void sonde_http_set_(const sonde_attr *attrs, size_t count);

#pragma GCC visibility pop
#ifdef __cplusplus
}

SONDE_INLINE void sonde_http_set_(sonde_attrs_ attrs)
{
    sonde_http_set_(attrs.begin(), attrs.size());
}
#endif
#endif
