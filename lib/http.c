// SPDX-License-Identifier: Apache-2.0
/* A request on the server side: span, context, request id, RED metrics, access log; see
 * sonde/http.h. Each request is one allocation, linked from the thread that works on it. */
#include "lib/http.h"

#include "lib/context.h"
#include "sonde/log.h"
#include "sonde/metric.h"
#include "sonde/span.h"

#include "base/clock.h"
#include "lib/propagate_w3c.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>

enum { METHOD_SIZE = 16, ROUTE_SIZE = 128, PATH_SIZE = 512, CLIENT_SIZE = 64, UUID_SIZE = 37 };

struct sonde_http {
    sonde_http *outer;
    sonde_current_ saved;  /* what the thread had before */
    sonde_context context; /* the request's own */
    sonde_span *span;
    int64_t start_ns; /* monotonic */
    char method[METHOD_SIZE];
    char route[ROUTE_SIZE];
    char path[PATH_SIZE];
    char client[CLIENT_SIZE];
};

static _Thread_local sonde_http *current;

static struct {
    pthread_mutex_t lock;
    _Atomic(sonde_counter *) requests;
    _Atomic(sonde_histogram *) duration;
    _Atomic bool old_names;
    _Atomic bool no_access_log;
} http = { .lock = PTHREAD_MUTEX_INITIALIZER };

void http_configure(const sonde_http_options *options, bool old_names)
{
    const char *requests =
        options->requests_metric ? options->requests_metric : "http_requests_total";
    const char *duration =
        options->duration_metric ? options->duration_metric : "http_request_duration_seconds";
    pthread_mutex_lock(&http.lock);
    http.old_names = old_names;
    http.no_access_log = options->no_access_log;
    /* Handles of an earlier start stay valid: the registry gives the same ones again. */
    http.requests = sonde_counter_new(requests, "HTTP requests served.",
                                      SONDE_LABELS("route", "method", "status"));
    http.duration = sonde_histogram_new(duration, "Time to serve an HTTP request, in seconds.",
                                        SONDE_LABELS("route", "method"), .unit = "s");
    pthread_mutex_unlock(&http.lock);
}

/* ---- begin ---- */

/* The methods of RFC 9110 and PATCH; any other is "_OTHER", so that senders make no series. */
static const char *known_method(const char *method)
{
    static const char *const known[] = { "GET",     "HEAD",    "POST",  "PUT",  "DELETE",
                                         "CONNECT", "OPTIONS", "TRACE", "PATCH" };
    for (size_t i = 0; method && i < ARRAY_LEN(known); i++)
        if (strcmp(known[i], method) == 0)
            return known[i];
    return "_OTHER";
}

static void new_request_id(char ret[UUID_SIZE])
{
    uint8_t b[16];
    char hex[33];
    ids_trace(b);
    b[6] = (uint8_t)((b[6] & 0x0f) | 0x40); /* UUID version 4, RFC 9562 */
    b[8] = (uint8_t)((b[8] & 0x3f) | 0x80);
    str_to_hex(b, 16, hex);
    hex[32] = '\0';
    snprintf(ret, UUID_SIZE, "%.8s-%.4s-%.4s-%.4s-%.12s", hex, hex + 8, hex + 12, hex + 16,
             hex + 20);
}

static void take_request(sonde_http *x, const sonde_http_request *request)
{
    str path = str_c(request->path), rest;
    x->start_ns = clock_mono_ns();
    str_copy_c(x->method, sizeof(x->method), str_c(known_method(request->method)));
    str_copy_c(x->path, sizeof(x->path), str_cut(path, '?', &rest));
    str_copy_c(x->client, sizeof(x->client), str_c(request->client_address));
    x->context = sonde_extract(request->header, request->user);
}

static void settle_request_id(sonde_http *x, const sonde_http_request *request)
{
    char id[REQUEST_ID_MAX + 1];
    str given;
    if (context_text(&x->context, STR("request_id"), &given)) {
        str_copy_c(id, sizeof(id), given);
    } else {
        new_request_id(id);
        sonde_attr attribute = sonde_kv_str("request_id", id);
        (void)context_put(&x->context, &attribute);
    }
    if (request->set_header)
        request->set_header(request->user, "X-Request-ID", id);
}

static void start_span(sonde_http *x, const sonde_http_request *request)
{
    char agent[256];
    const char *text = request->header ? request->header(request->user, "user-agent") : NULL;
    str_copy_c(agent, sizeof(agent), str_c(text));
    const char *scheme = request->scheme ? request->scheme : "http";
    sonde_attr attributes[8];
    size_t n = 0;
    attributes[n++] = sonde_kv_str("http.request.method", x->method);
    attributes[n++] = sonde_kv_str("url.path", x->path);
    attributes[n++] = sonde_kv_str("url.scheme", scheme);
    if (x->client[0])
        attributes[n++] = sonde_kv_str("client.address", x->client);
    if (agent[0])
        attributes[n++] = sonde_kv_str("user_agent.original", agent);
    if (request->protocol_version)
        attributes[n++] = sonde_kv_str("network.protocol.version", request->protocol_version);
    if (http.old_names) {
        attributes[n++] = sonde_kv_str("http.method", x->method);
        attributes[n++] = sonde_kv_str("http.target", x->path);
    }
    x->span = sonde_span_start(
        x->method[0] == '_' ? "HTTP" : x->method,
        &(sonde_span_options){ .kind = SONDE_SERVER, .attrs = attributes, .attr_count = n });
}

void sonde_http_begin(const sonde_http_request *request)
{
    static const sonde_http_request none;
    sonde_with_scope scope;
    sonde_http *x = calloc(1, sizeof(*x));
    if (!x)
        return;
    if (!request)
        request = &none;
    take_request(x, request);
    settle_request_id(x, request);
    x->saved = *context_current();
    x->outer = current;
    current = x;
    sonde_with_enter_(&scope, &x->context);
    start_span(x, request);
    if (x->span) {
        sonde_context inside = sonde_span_context(x->span);
        x->context = inside;
        sonde_with_enter_(&scope, &x->context);
    }
}

/* ---- route and end ---- */

void sonde_http_route(const char *route)
{
    sonde_http *x = current;
    char name[METHOD_SIZE + ROUTE_SIZE];
    if (!x || !route)
        return;
    str_copy_c(x->route, sizeof(x->route), str_c(route));
    snprintf(name, sizeof(name), "%s %s", x->method[0] == '_' ? "HTTP" : x->method, x->route);
    sonde_span_rename_on(x->span, name);
    sonde_span_set_on(x->span, sonde_kv_str("http.route", x->route));
}

static void record(const sonde_http *x, int code, double seconds)
{
    char status_text[16];
    const char *route = x->route[0] ? x->route : "unmatched";
    snprintf(status_text, sizeof(status_text), "%d", code);
    sonde_counter_add((sonde_counter *)http.requests, 1, route, x->method, status_text);
    sonde_histogram_record((sonde_histogram *)http.duration, seconds, route, x->method);
    sonde_span_set_on(x->span, sonde_kv_i64("http.response.status_code", code));
    if (http.old_names)
        sonde_span_set_on(x->span, sonde_kv_i64("http.status_code", code));
    if (code >= 500) {
        sonde_attr type = sonde_kv_str("error.type", status_text);
        sonde_span_fail_on(x->span, NULL, &type, 1);
    }
}

#define ACCESS_FIELDS \
    sonde_kv_str("method", x->method), sonde_kv_str("path", x->path), \
        sonde_kv_str("route", x->route), sonde_kv_i64("status", code), \
        sonde_kv_f64("duration_ms", duration_ms), sonde_kv_str("client_address", x->client)

static void access_log(const sonde_http *x, int code, double seconds)
{
    double duration_ms = (double)(int64_t)(seconds * 1e6) / 1e3;
    if (http.no_access_log)
        return;
    if (code >= 500)
        sonde_error("http_request", ACCESS_FIELDS);
    else
        sonde_info("http_request", ACCESS_FIELDS);
}

void sonde_http_end(int status_code)
{
    sonde_http *x = current;
    if (!x)
        return;
    double seconds = (double)(clock_mono_ns() - x->start_ns) / (double)NS_PER_S;
    record(x, status_code, seconds);
    access_log(x, status_code, seconds);
    sonde_span_end(x->span);
    context_set_current(&x->saved);
    current = x->outer;
    free(x);
}

/* ---- moving between threads ---- */

sonde_http *sonde_http_suspend(void)
{
    sonde_http *x = current;
    if (!x)
        return NULL;
    context_set_current(&x->saved);
    current = x->outer;
    x->outer = NULL;
    return x;
}

void sonde_http_resume(sonde_http *request)
{
    sonde_with_scope scope;
    if (!request)
        return;
    request->saved = *context_current();
    request->outer = current;
    current = request;
    sonde_with_enter_(&scope, &request->context);
}
