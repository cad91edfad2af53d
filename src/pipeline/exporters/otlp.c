// SPDX-License-Identifier: Apache-2.0
/* The exporter `otlp`: OTLP over gRPC, one call after another on one connection. */
#include "pipeline/exporters/otlp.h"

#include "pipeline/client.h"

#include <stdio.h>
#include <stdlib.h>

/* ---- what both exporters share ---- */

status otlp_request(const batch *b, otlp_format format, buf *out, error *err)
{
    buf_clear(out);
    status st = format == OTLP_PROTOBUF ? otlp_encode(b, out, err) : otlp_encode_json(b, out, err);
    if (st == STATUS_LIMIT)
        st = err->code = STATUS_INVALID;
    return st;
}

void otlp_request_release(buf *out)
{
    size_t limit = out->limit;
    if (out->cap <= OTLP_REQUEST_KEEP)
        return;
    buf_done(out);
    buf_init(out, limit);
}

void otlp_response(component *c, otlp_format format, signal_kind signal, str answer,
                   send_result *ret)
{
    error err;
    otlp_partial partial = { 0 };
    if (!answer.len)
        return;
    if (otlp_decode_response(format, signal, answer, &partial, &err) != STATUS_OK) {
        component_warn(c, "answer", "the answer is no OTLP response: %s", err.message);
        return;
    }
    ret->rejected = (uint32_t)MIN(partial.rejected, (uint64_t)UINT32_MAX);
    str_copy_c(ret->reason, sizeof(ret->reason), str_c(partial.message));
    if (!partial.rejected && partial.message[0])
        component_warn(c, "answer", "the far side says: %s", partial.message);
}

/* ---- gRPC ---- */

typedef struct {
    client_settings client;
    exporter_settings exporter;
} otlp_settings;

typedef struct {
    component *component;
    grpc_client *client;
    const char *encoding;
    char shown[256]; /* the endpoint in messages */
    buf request;
} otlp_sender;

static const option otlp_rows[] = {
    { .name = "endpoint",
      .type = OPTION_TEXT,
      .offset = offsetof(otlp_settings, client.endpoint),
      .required = true,
      .help = "HOST:PORT, as in backend:4317; or a URL: https:// for TLS, http:// for none" },
    { .name = "timeout",
      .type = OPTION_DURATION,
      .offset = offsetof(otlp_settings, client.timeout),
      .fallback = "5s",
      .max = 3600,
      .help = "of one request; 0: no limit" },
    { .type = OPTION_INLINE, .offset = offsetof(otlp_settings, client), .table = &client_options },
    { .type = OPTION_INLINE,
      .offset = offsetof(otlp_settings, exporter),
      .table = &exporter_options },
};

static status otlp_open(void **ret_self, component *c, error *err)
{
    const otlp_settings *s = c->settings;
    otlp_sender *e = calloc(1, sizeof(*e));
    if (!e)
        return fail(err, STATUS_NO_MEMORY, "no memory for an exporter");
    e->component = c;
    e->encoding = client_encoding(&s->client, COMPRESSION_GZIP);
    str_copy_c(e->shown, sizeof(e->shown), s->client.endpoint);
    buf_init(&e->request, OTLP_REQUEST_MAX);
    status st = client_grpc_new(&e->client, c, &s->client, err);
    if (st != STATUS_OK) {
        free(e);
        return st;
    }
    *ret_self = e;
    return STATUS_OK;
}

static void otlp_close(void *self)
{
    otlp_sender *e = self;
    grpc_client_free(e->client);
    buf_done(&e->request);
    free(e);
}

#define EXPORT(signal) "/opentelemetry.proto.collector." signal "Service/Export"
static const char *const paths[SIGNAL_COUNT] = { [SIGNAL_LOGS] = EXPORT("logs.v1.Logs"),
                                                 [SIGNAL_METRICS] = EXPORT("metrics.v1.Metrics"),
                                                 [SIGNAL_TRACES] = EXPORT("trace.v1.Trace") };

static status call(otlp_sender *e, signal_kind signal, send_result *ret, error *err)
{
    static const int64_t no_limit = 3600 * NS_PER_S;
    const otlp_settings *s = e->component->settings;
    int64_t timeout = s->client.timeout ? s->client.timeout : no_limit;
    grpc_answer answer;
    status st = grpc_client_call(e->client, paths[signal], buf_view(&e->request), e->encoding,
                                 timeout, component_canceled(e->component), &answer, err);
    if (st == STATUS_OK) {
        ret->retry_after_ns = answer.retry_after_ns;
        st = grpc_answer_check(&answer, e->shown, err);
    }
    if (st == STATUS_OK)
        otlp_response(e->component, OTLP_PROTOBUF, signal, buf_view(&answer.body), ret);
    grpc_answer_done(&answer);
    return st;
}

static status otlp_send(void *self, const batch *b, send_result *ret, error *err)
{
    otlp_sender *e = self;
    *ret = (send_result){ 0 };
    status st = otlp_request(b, OTLP_PROTOBUF, &e->request, err);
    if (st == STATUS_OK)
        st = call(e, b->signal, ret, err);
    otlp_request_release(&e->request);
    return st;
}

const component_type otlp_exporter = {
    .type = "otlp",
    .kind = COMPONENT_EXPORTER,
    .signals = SIGNALS_ALL,
    .help = "Sends OTLP over gRPC.",
    .options = OPTION_TABLE(otlp_rows, otlp_settings),
    .open = otlp_open,
    .close = otlp_close,
    .send = otlp_send,
};
