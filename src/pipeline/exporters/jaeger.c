// SPDX-License-Identifier: Apache-2.0
/* The jaeger exporter: spans to Jaeger's collector over gRPC (api_v2, port 14250). One send at a
 * time; a batch becomes one request for each resource, and more where that would be larger than
 * gRPC's usual limit. Nothing is kept between sends but the connection. */
#include "pipeline/client.h"

#include "base/clock.h"
#include "codec/jaeger.h"

#include <stdlib.h>

/* gRPC servers take 4 MiB unless told otherwise. */
#define REQUEST_BYTES MiB(3)
#define REQUEST_LIMIT MiB(128)

typedef struct {
    client_settings client;
    exporter_settings exporter;
} jaeger_settings;

typedef struct {
    component *component;
    grpc_client *client;
    const char *encoding;
    char shown[256]; /* the endpoint in messages */
} jaeger_sender;

static const option jaeger_rows[] = {
    { .name = "endpoint",
      .type = OPTION_TEXT,
      .offset = offsetof(jaeger_settings, client.endpoint),
      .required = true,
      .help = "HOST:PORT of Jaeger's collector, usually port 14250" },
    { .name = "timeout",
      .type = OPTION_DURATION,
      .offset = offsetof(jaeger_settings, client.timeout),
      .fallback = "5s",
      .max = 3600,
      .help = "of one request; 0: no limit" },
    { .type = OPTION_INLINE,
      .offset = offsetof(jaeger_settings, client),
      .table = &client_options },
    { .type = OPTION_INLINE,
      .offset = offsetof(jaeger_settings, exporter),
      .table = &exporter_options },
};

static status jaeger_open(void **ret_self, component *c, error *err)
{
    const jaeger_settings *s = c->settings;
    jaeger_sender *e = calloc(1, sizeof(*e));
    if (!e)
        return fail(err, STATUS_NO_MEMORY, "no memory for an exporter");
    e->component = c;
    e->encoding = client_encoding(&s->client, COMPRESSION_NONE);
    str_copy_c(e->shown, sizeof(e->shown), s->client.endpoint);
    status st = client_grpc_new(&e->client, c, &s->client, err);
    if (st != STATUS_OK) {
        free(e);
        return st;
    }
    *ret_self = e;
    return STATUS_OK;
}

static void jaeger_close(void *self)
{
    jaeger_sender *e = self;
    grpc_client_free(e->client);
    free(e);
}

static status post(jaeger_sender *e, str message, send_result *ret, error *err)
{
    static const int64_t no_limit = 3600 * NS_PER_S;
    const jaeger_settings *s = e->component->settings;
    grpc_answer answer = { 0 };
    status st = grpc_client_call(e->client, "/jaeger.api_v2.CollectorService/PostSpans", message,
                                 e->encoding, s->client.timeout ? s->client.timeout : no_limit,
                                 component_canceled(e->component), &answer, err);
    if (st == STATUS_OK) {
        st = grpc_answer_check(&answer, e->shown, err);
        ret->retry_after_ns = answer.retry_after_ns;
    }
    grpc_answer_done(&answer);
    return st;
}

/* Where a request fails for now, all are sent again: at least once. What is refused for good costs
 * that request's spans only. */
static status jaeger_send(void *self, const batch *b, send_result *ret, error *err)
{
    jaeger_sender *e = self;
    jaeger_cursor at = { 0, 0 };
    uint32_t spans, refused = 0;
    status st = STATUS_OK;
    buf request;
    buf_init(&request, REQUEST_LIMIT);
    while (st == STATUS_OK && jaeger_proto_encode(b, &at, REQUEST_BYTES, &request, &spans)) {
        st = post(e, buf_view(&request), ret, err);
        if (st == STATUS_INVALID || st == STATUS_UNSUPPORTED || st == STATUS_LIMIT) {
            refused += spans;
            str_copy_c(ret->reason, sizeof(ret->reason), str_c(err->message));
            st = STATUS_OK;
        }
        buf_clear(&request);
    }
    if (st == STATUS_OK && request.failed)
        st = fail(err, STATUS_INVALID, "a span takes more than %zu bytes", REQUEST_LIMIT);
    buf_done(&request);
    if (st == STATUS_OK && refused == batch_row_count(b) && refused)
        return fail(err, STATUS_INVALID, "%s", ret->reason);
    if (st == STATUS_OK)
        ret->rejected = refused;
    return st;
}

const component_type jaeger_exporter = {
    .type = "jaeger",
    .kind = COMPONENT_EXPORTER,
    .signals = SIGNALS_TRACES,
    .help = "Sends spans to Jaeger's collector over gRPC.",
    .options = OPTION_TABLE(jaeger_rows, jaeger_settings),
    .open = jaeger_open,
    .close = jaeger_close,
    .send = jaeger_send,
};
