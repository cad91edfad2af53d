// SPDX-License-Identifier: Apache-2.0
/* The metrics of requests: rate, errors and duration under the names of the options, and
 * OpenTelemetry's http.server.request.duration and http.client.request.duration. */
#include "lib/http_internal.h"

static const char *or_default(const char *given, const char *usual)
{
    return given && *given ? given : usual;
}

static bool wanted(const char *name)
{
    return strcmp(name, "none") != 0;
}

/* Handles of an earlier start stay valid: the registry gives the same ones again. */
void http_metrics_make(http_config *c, const sonde_http_options *o)
{
    const char *requests = or_default(o->requests_metric, "http_requests_total");
    const char *duration = or_default(o->duration_metric, "http_request_duration_seconds");
    const char *route = or_default(o->route_label, "route");
    const char *method = or_default(o->method_label, "method");
    const char *status = or_default(o->status_label, "status");
    c->duration_has_status = o->duration_has_status;
    if (wanted(requests))
        c->requests = sonde_counter_new(requests, "HTTP requests served.",
                                        SONDE_LABELS(route, method, status));
    if (wanted(duration))
        c->duration = sonde_histogram_new(
            duration, "Time to serve an HTTP request, in seconds.",
            SONDE_LABELS(route, method, c->duration_has_status ? status : NULL), .unit = "s");
    if (!o->otel_metrics)
        return;
    c->server_duration = sonde_histogram_new(
        "http.server.request.duration", "Duration of HTTP server requests.",
        SONDE_LABELS("http.request.method", "url.scheme", "http.route", "http.response.status_code",
                     "error.type", "network.protocol.version"),
        .unit = "s");
    c->client_duration = sonde_histogram_new(
        "http.client.request.duration", "Duration of HTTP client requests.",
        SONDE_LABELS("http.request.method", "url.scheme", "server.address", "server.port",
                     "http.response.status_code", "error.type", "network.protocol.version"),
        .unit = "s");
}

void http_metrics_record(const http_config *c, const sonde_http *x, const http_outcome *end)
{
    const char *route = x->route[0] ? x->route : "unmatched";
    const char *labels[] = { route, x->known_method, end->status_text };
    sonde_counter_add_i64(c->requests, 1, labels, 3);
    sonde_histogram_record_f64(c->duration, end->seconds, labels, c->duration_has_status ? 3 : 2);
    if (!c->server_duration)
        return;
    sonde_histogram_record(c->server_duration, end->seconds, x->known_method, x->scheme, x->route,
                           end->status_text, end->error_type, x->version);
}
