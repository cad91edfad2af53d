// SPDX-License-Identifier: Apache-2.0
/* The OTLP receivers; see otlp.h. What an answer means for the sender is the OTLP specification's:
 * 429 and 503 (UNAVAILABLE) ask for another try, other errors say that it would fail again. */
#include "pipeline/otlp.h"

#include "codec/otlp.h"
#include "net/grpc.h"

#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>

/* A decoded batch may take this many times its request's bytes, within bounds: usual requests take
 * 2 to 4 times, and the requests in flight are bounded by the HTTP server. */
static const size_t memory_factor = 8, memory_min = MiB(16), memory_max = MiB(512);

typedef struct {
    atomic_uint_fast64_t received, refused, failed;
} counters;

struct otlp_receiver {
    store *store;
    counters counts[OTLP_TRANSPORTS][SIGNAL_COUNT];
};

status otlp_receiver_new(otlp_receiver **ret, store *s, error *err)
{
    otlp_receiver *r = calloc(1, sizeof(*r));
    if (!r)
        return fail(err, STATUS_NO_MEMORY, "no memory for the OTLP receiver");
    r->store = s;
    *ret = r;
    return STATUS_OK;
}

void otlp_receiver_free(otlp_receiver *r)
{
    free(r);
}

const char *otlp_transport_name(otlp_transport t)
{
    return t == OTLP_OVER_GRPC ? "grpc" : "http";
}

void otlp_receiver_get_counts(const otlp_receiver *r, otlp_transport t, signal_kind signal,
                              otlp_counts *ret)
{
    const counters *c = &r->counts[t][signal];
    *ret = (otlp_counts){ atomic_load(&c->received), atomic_load(&c->refused),
                          atomic_load(&c->failed) };
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

static status ingest(otlp_receiver *r, otlp_transport t, signal_kind signal, otlp_format format,
                     str body, otlp_partial *ret, error *err)
{
    batch b;
    counters *c = &r->counts[t][signal];
    ingest_result result = { 0 };
    size_t memory = MIN(MAX(body.len * memory_factor, memory_min), memory_max);
    *ret = (otlp_partial){ 0 };
    batch_init(&b, signal, memory);
    status st = decode(&b, format, body, ret, err);
    if (st == STATUS_OK && batch_row_count(&b) > 0)
        st = store_ingest(r->store, &b, format == OTLP_PROTOBUF ? body : STR_EMPTY, &result, err);
    if (st == STATUS_OK) {
        if (result.rejected && !ret->rejected)
            str_copy_c(ret->message, sizeof(ret->message), str_c(result.reason));
        ret->rejected += result.rejected;
        atomic_fetch_add(&c->received, batch_row_count(&b) - result.rejected);
        atomic_fetch_add(&c->refused, ret->rejected);
    } else {
        atomic_fetch_add(&c->failed, 1);
    }
    batch_done(&b);
    return st;
}

/* What a failure is called on each transport; retry_s 0: trying again is no use. */
typedef struct {
    status code;
    int http;
    grpc_code grpc;
    unsigned retry_s;
} failure;

static const failure failures[] = {
    { STATUS_INVALID, 400, GRPC_INVALID_ARGUMENT, 0 },
    { STATUS_UNSUPPORTED, 400, GRPC_INVALID_ARGUMENT, 0 },
    { STATUS_LIMIT, 413, GRPC_RESOURCE_EXHAUSTED, 0 },
    { STATUS_BUSY, 429, GRPC_UNAVAILABLE, 1 },
    { STATUS_FULL, 503, GRPC_UNAVAILABLE, 30 }, /* 507 would make senders drop what they have */
    { STATUS_IO, 503, GRPC_UNAVAILABLE, 5 },
    { STATUS_NO_MEMORY, 503, GRPC_UNAVAILABLE, 1 },
    { STATUS_CANCELED, 503, GRPC_UNAVAILABLE, 1 },
};

static failure failure_of(status st)
{
    for (size_t i = 0; i < ARRAY_LEN(failures); i++)
        if (failures[i].code == st)
            return failures[i];
    return (failure){ st, 500, GRPC_INTERNAL, 0 };
}

/* ---- OTLP/HTTP ---- */

static void answer_failure(http_exchange *x, otlp_format format, const error *err)
{
    failure f = failure_of(err->code);
    char seconds[16];
    http_set_status(x, f.http);
    http_set_header(x, "Content-Type", str_c(otlp_content_type(format)));
    if (f.retry_s) {
        snprintf(seconds, sizeof(seconds), "%u", f.retry_s);
        http_set_header(x, "Retry-After", str_c(seconds));
    }
    otlp_encode_status(format, f.grpc, str_c(err->message), http_out(x));
}

static void receive_http(http_exchange *x, otlp_receiver *r, signal_kind signal)
{
    error err;
    otlp_format format;
    otlp_partial partial;
    str type = http_header(x, "content-type");
    if (!otlp_format_of(type, &format)) {
        atomic_fetch_add(&r->counts[OTLP_OVER_HTTP][signal].failed, 1);
        http_fail(x, 415,
                  "content type \"%.*s\" is not OTLP/HTTP; application/x-protobuf and "
                  "application/json are",
                  (int)MIN(type.len, (size_t)100), type.ptr);
        return;
    }
    if (ingest(r, OTLP_OVER_HTTP, signal, format, http_body(x), &partial, &err) != STATUS_OK) {
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

static const http_route http_routes[] = {
    { "POST", "/v1/traces", http_traces, NULL, POOL_INGEST, "OTLP/HTTP: spans" },
    { "POST", "/v1/metrics", http_metrics, NULL, POOL_INGEST, "OTLP/HTTP: data points" },
    { "POST", "/v1/logs", http_logs, NULL, POOL_INGEST, "OTLP/HTTP: log records" },
};

const http_route *otlp_http_routes(size_t *ret_count)
{
    *ret_count = ARRAY_LEN(http_routes);
    return http_routes;
}

/* ---- OTLP/gRPC ---- */

static void receive_grpc(http_exchange *x, otlp_receiver *r, signal_kind signal)
{
    error err;
    otlp_partial partial;
    str message;
    if (!grpc_request(x, &message)) {
        atomic_fetch_add(&r->counts[OTLP_OVER_GRPC][signal].failed, 1);
        return;
    }
    status st = ingest(r, OTLP_OVER_GRPC, signal, OTLP_PROTOBUF, message, &partial, &err);
    if (st != STATUS_OK) {
        failure f = failure_of(st);
        if (f.retry_s)
            grpc_fail_retry(x, f.grpc, f.retry_s, str_c(err.message));
        else
            grpc_fail(x, f.grpc, "%s", err.message);
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
    otlp_receiver *r = user;
    error err;
    str message;
    if (!grpc_request(x, &message))
        return;
    bool ready = store_ready(r->store, &err) == STATUS_OK;
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

const http_route *otlp_grpc_routes(size_t *ret_count)
{
    *ret_count = ARRAY_LEN(grpc_routes);
    return grpc_routes;
}
