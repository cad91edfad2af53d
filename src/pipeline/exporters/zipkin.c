// SPDX-License-Identifier: Apache-2.0
/* The zipkin exporter: spans to Zipkin's POST /api/v2/spans, as JSON or protobuf. One send at a
 * time; nothing is kept between sends but the connection. */
#include "pipeline/client.h"

#include "codec/zipkin_json.h"

#include <stdlib.h>

#define REQUEST_BYTES MiB(128)

typedef struct {
    client_settings client;
    exporter_settings exporter;
    int format; /* index into formats */
    str default_service_name;
} zipkin_settings;

typedef struct {
    component *component;
    client *client;
} zipkin_sender;

static const char *const formats[] = { "json", "proto", NULL };

static const option zipkin_rows[] = {
    { .name = "endpoint",
      .type = OPTION_TEXT,
      .offset = offsetof(zipkin_settings, client.endpoint),
      .required = true,
      .help = "the whole URL: http://zipkin:9411/api/v2/spans" },
    { .name = "format",
      .type = OPTION_CHOICE,
      .offset = offsetof(zipkin_settings, format),
      .fallback = "json",
      .choices = formats,
      .help = "how spans are written" },
    { .name = "default_service_name",
      .type = OPTION_TEXT,
      .offset = offsetof(zipkin_settings, default_service_name),
      .fallback = "<missing service name>",
      .help = "the service of spans whose resource has no service.name" },
    { .type = OPTION_INLINE,
      .offset = offsetof(zipkin_settings, client),
      .table = &client_options },
    { .type = OPTION_INLINE,
      .offset = offsetof(zipkin_settings, exporter),
      .table = &exporter_options },
};

static status zipkin_check(const void *settings, char *where, size_t where_size, error *err)
{
    const zipkin_settings *s = settings;
    return client_check_url(&s->client, "http://zipkin:9411/api/v2/spans", where, where_size, err);
}

static status zipkin_open(void **ret_self, component *c, error *err)
{
    const zipkin_settings *s = c->settings;
    zipkin_sender *e = calloc(1, sizeof(*e));
    if (!e)
        return fail(err, STATUS_NO_MEMORY, "no memory for an exporter");
    e->component = c;
    status st = client_new(&e->client, c, &s->client, COMPRESSION_NONE, err);
    if (st != STATUS_OK) {
        free(e);
        return st;
    }
    *ret_self = e;
    return STATUS_OK;
}

static void zipkin_close(void *self)
{
    zipkin_sender *e = self;
    client_free(e->client);
    free(e);
}

static status zipkin_send(void *self, const batch *b, send_result *ret, error *err)
{
    static const struct {
        const char *content_type;
        status (*encode)(const batch *b, str fallback_service, buf *out, error *err);
    } by_format[] = {
        { "application/json", zipkin_json_encode },
        { "application/x-protobuf", zipkin_proto_encode },
    };
    zipkin_sender *e = self;
    const zipkin_settings *s = e->component->settings;
    http_answer answer = { 0 };
    buf body;
    buf_init(&body, REQUEST_BYTES);
    status st = by_format[s->format].encode(b, s->default_service_name, &body, err);
    if (st == STATUS_LIMIT)
        st = err->code = STATUS_INVALID; /* the same batch would never fit */
    if (st == STATUS_OK) {
        st = client_post(e->client, "", by_format[s->format].content_type, buf_view(&body), NULL,
                         &answer, ret, err);
        http_answer_done(&answer);
    }
    buf_done(&body);
    return st;
}

const component_type zipkin_exporter = {
    .type = "zipkin",
    .kind = COMPONENT_EXPORTER,
    .signals = SIGNALS_TRACES,
    .help = "Sends spans to Zipkin's v2 API, as JSON or protobuf.",
    .options = OPTION_TABLE(zipkin_rows, zipkin_settings),
    .check = zipkin_check,
    .open = zipkin_open,
    .close = zipkin_close,
    .send = zipkin_send,
};
