// SPDX-License-Identifier: Apache-2.0
/* The otlp receiver: OTLP/HTTP (protobuf and JSON) and OTLP/gRPC. A request is decoded into a batch
 * and answered when it is durable. Handlers run on the ingest workers, any number at once. */
#include "pipeline/component.h"

#include "codec/otlp.h"
#include "net/grpc.h"

#include <stdlib.h>

/* ---- options ---- */

typedef struct {
    server_settings server;
    str paths[SIGNAL_COUNT];
} otlp_http;

typedef struct {
    bool has_grpc, has_http;
    server_settings grpc;
    otlp_http http;
} otlp_protocols;

typedef struct {
    otlp_protocols protocols;
} otlp_settings;

static const option grpc_rows[] = {
    { .name = "endpoint",
      .type = OPTION_TEXT,
      .fallback = "localhost:4317",
      .address = true,
      .help = "address to listen on: HOST:PORT" },
    { .type = OPTION_INLINE, .table = &server_options },
};
static const option_table grpc_options = OPTION_TABLE(grpc_rows, server_settings);

static const option http_rows[] = {
    { .name = "endpoint",
      .type = OPTION_TEXT,
      .offset = offsetof(otlp_http, server.endpoint),
      .fallback = "localhost:4318",
      .address = true,
      .help = "address to listen on: HOST:PORT" },
    { .name = "traces_url_path",
      .type = OPTION_TEXT,
      .offset = offsetof(otlp_http, paths[SIGNAL_TRACES]),
      .fallback = "/v1/traces",
      .help = "path that takes spans" },
    { .name = "metrics_url_path",
      .type = OPTION_TEXT,
      .offset = offsetof(otlp_http, paths[SIGNAL_METRICS]),
      .fallback = "/v1/metrics",
      .help = "path that takes data points" },
    { .name = "logs_url_path",
      .type = OPTION_TEXT,
      .offset = offsetof(otlp_http, paths[SIGNAL_LOGS]),
      .fallback = "/v1/logs",
      .help = "path that takes log records" },
    { .type = OPTION_INLINE, .offset = offsetof(otlp_http, server), .table = &server_options },
};
static const option_table http_options = OPTION_TABLE(http_rows, otlp_http);

static const option protocol_rows[] = {
    { .name = "grpc",
      .type = OPTION_SECTION,
      .offset = offsetof(otlp_protocols, grpc),
      .table = &grpc_options,
      .present = OPTION_PRESENT(otlp_protocols, has_grpc),
      .help = "OTLP over gRPC; absent: not" },
    { .name = "http",
      .type = OPTION_SECTION,
      .offset = offsetof(otlp_protocols, http),
      .table = &http_options,
      .present = OPTION_PRESENT(otlp_protocols, has_http),
      .help = "OTLP over HTTP, protobuf and JSON; absent: not" },
};
static const option_table protocol_options = OPTION_TABLE(protocol_rows, otlp_protocols);

static const option rows[] = {
    { .name = "protocols",
      .type = OPTION_SECTION,
      .offset = offsetof(otlp_settings, protocols),
      .table = &protocol_options,
      .required = true,
      .help = "how senders may come: grpc, http or both" },
};

static status check(const void *settings, char *where, size_t where_size, error *err)
{
    const otlp_settings *s = settings;
    if (s->protocols.has_grpc || s->protocols.has_http)
        return STATUS_OK;
    str_copy_c(where, where_size, STR("protocols"));
    return fail(err, STATUS_INVALID, "names neither grpc nor http: nothing would be received");
}

/* ---- one request, whatever carried it ---- */

/* What nests too deeply or has too many attributes or rows is as wrong as what is malformed; 413 is
 * for too many bytes. */
static status decode(batch *b, otlp_format format, str body, otlp_partial *ret, error *err)
{
    status st = format == OTLP_PROTOBUF ? otlp_decode(b, body, NULL, ret, err)
                                        : otlp_decode_json(b, body, NULL, ret, err);
    if (st == STATUS_LIMIT)
        st = err->code = STATUS_INVALID;
    return st;
}

static status ingest(component *c, const char *transport, signal_kind signal, otlp_format format,
                     str body, otlp_partial *ret, error *err)
{
    batch b;
    ingest_result result = { 0 };
    size_t memory = ingest_memory(body.len, 8);
    *ret = (otlp_partial){ 0 };
    batch_init(&b, signal, memory);
    status st = decode(&b, format, body, ret, err);
    if (st == STATUS_OK) {
        component_refused(c, transport, signal, ret->rejected);
        st = component_ingest(c, transport, &b, format == OTLP_PROTOBUF ? body : STR_EMPTY, &result,
                              err);
    } else {
        component_failed(c, transport, signal);
    }
    if (st == STATUS_OK && result.rejected && !ret->rejected)
        str_copy_c(ret->message, sizeof(ret->message), str_c(result.reason));
    ret->rejected += result.rejected;
    batch_done(&b);
    return st;
}

/* ---- OTLP/HTTP ---- */

static void answer_failure(http_exchange *x, otlp_format format, const error *err)
{
    ingest_failure f = ingest_failure_of(err->code);
    ingest_fail_http(x, err);
    buf_clear(http_out(x));
    http_set_header(x, "Content-Type", str_c(otlp_content_type(format)));
    otlp_encode_status(format, f.grpc, str_c(err->message), http_out(x));
}

static void receive_http(http_exchange *x, component *c, signal_kind signal)
{
    error err;
    otlp_format format;
    otlp_partial partial;
    str type = http_header(x, "content-type");
    if (!otlp_format_of(type, &format)) {
        component_failed(c, "http", signal);
        http_fail(x, 415,
                  "content type \"%.*s\" is not OTLP/HTTP; application/x-protobuf and "
                  "application/json are",
                  (int)MIN(type.len, (size_t)100), type.ptr);
        return;
    }
    if (ingest(c, "http", signal, format, http_body(x), &partial, &err) != STATUS_OK) {
        answer_failure(x, format, &err);
        return;
    }
    http_set_header(x, "Content-Type", str_c(otlp_content_type(format)));
    otlp_encode_response(format, signal, &partial, http_out(x));
}

static void http_traces(http_exchange *x, void *user)
{
    receive_http(x, user, SIGNAL_TRACES);
}

static void http_metrics(http_exchange *x, void *user)
{
    receive_http(x, user, SIGNAL_METRICS);
}

static void http_logs(http_exchange *x, void *user)
{
    receive_http(x, user, SIGNAL_LOGS);
}

/* ---- OTLP/gRPC ---- */

static void receive_grpc(http_exchange *x, component *c, signal_kind signal)
{
    error err;
    otlp_partial partial;
    str message;
    if (!grpc_request(x, &message)) {
        component_failed(c, "grpc", signal);
        return;
    }
    if (ingest(c, "grpc", signal, OTLP_PROTOBUF, message, &partial, &err) != STATUS_OK) {
        ingest_fail_grpc(x, &err);
        return;
    }
    buf answer;
    buf_init(&answer, KiB(4));
    otlp_encode_response(OTLP_PROTOBUF, signal, &partial, &answer);
    grpc_reply(x, buf_view(&answer));
    buf_done(&answer);
}

static void grpc_traces(http_exchange *x, void *user)
{
    receive_grpc(x, user, SIGNAL_TRACES);
}

static void grpc_metrics(http_exchange *x, void *user)
{
    receive_grpc(x, user, SIGNAL_METRICS);
}

static void grpc_logs(http_exchange *x, void *user)
{
    receive_grpc(x, user, SIGNAL_LOGS);
}

/* grpc.health.v1: SERVING (1) or NOT_SERVING (2), for whatever service is asked about. */
static void grpc_health(http_exchange *x, void *user)
{
    component *c = user;
    error err;
    str message;
    if (!grpc_request(x, &message))
        return;
    bool ready = component_ready(c, &err) == STATUS_OK;
    grpc_reply(x, ready ? STR("\x08\x01") : STR("\x08\x02"));
}

#define EXPORT(signal) "/opentelemetry.proto.collector." signal "Service/Export"
static const http_route grpc_routes[] = {
    { "POST", EXPORT("trace.v1.Trace"), grpc_traces, NULL, POOL_INGEST, "OTLP/gRPC: spans" },
    { "POST", EXPORT("metrics.v1.Metrics"), grpc_metrics, NULL, POOL_INGEST,
      "OTLP/gRPC: data points" },
    { "POST", EXPORT("logs.v1.Logs"), grpc_logs, NULL, POOL_INGEST, "OTLP/gRPC: log records" },
    { "POST", "/grpc.health.v1.Health/Check", grpc_health, NULL, POOL_INGEST,
      "gRPC health: whether ingest is possible" },
};

/* ---- the component ---- */

typedef struct {
    http_route http_routes[SIGNAL_COUNT];
} otlp_routes;

static const struct {
    http_handler *handler;
    const char *help;
} over_http[SIGNAL_COUNT] = {
    [SIGNAL_LOGS] = { http_logs, "OTLP/HTTP: log records" },
    [SIGNAL_METRICS] = { http_metrics, "OTLP/HTTP: data points" },
    [SIGNAL_TRACES] = { http_traces, "OTLP/HTTP: spans" },
};

static status open(void **ret_self, component *c, error *err)
{
    const otlp_settings *s = c->settings;
    otlp_routes *r = calloc(1, sizeof(*r));
    if (!r)
        return fail(err, STATUS_NO_MEMORY, "no memory for the receiver");
    for (int i = 0; i < SIGNAL_COUNT; i++)
        r->http_routes[i] = (http_route){ .method = "POST",
                                          .path = s->protocols.http.paths[i].ptr,
                                          .handler = over_http[i].handler,
                                          .pool = POOL_INGEST,
                                          .help = over_http[i].help };
    status st = STATUS_OK;
    if (s->protocols.has_grpc)
        st = component_listen(c, &s->protocols.grpc, grpc_routes, ARRAY_LEN(grpc_routes), c, err);
    if (st == STATUS_OK && s->protocols.has_http)
        st = component_listen(c, &s->protocols.http.server, r->http_routes, SIGNAL_COUNT, c, err);
    if (st != STATUS_OK) {
        free(r);
        return st;
    }
    *ret_self = r;
    return STATUS_OK;
}

const component_type otlp_receiver = {
    .type = "otlp",
    .kind = COMPONENT_RECEIVER,
    .signals = SIGNALS_ALL,
    .help = "OTLP: log records, data points and spans over gRPC and HTTP",
    .options = OPTION_TABLE(rows, otlp_settings),
    .check = check,
    .open = open,
    .close = free,
};
