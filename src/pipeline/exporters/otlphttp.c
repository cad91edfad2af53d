// SPDX-License-Identifier: Apache-2.0
/* The exporter `otlphttp`: OTLP over HTTP, as protobuf or JSON. */
#include "pipeline/client.h"
#include "pipeline/exporters/otlp.h"

#include <stdio.h>
#include <stdlib.h>

typedef struct {
    client_settings client;
    exporter_settings exporter;
    str endpoints[SIGNAL_COUNT]; /* empty: the common one and the signal's path */
    int encoding;                /* otlp_format */
} otlphttp_settings;

typedef struct {
    component *component;
    client *client;
    buf request;
} otlphttp_sender;

static const char *const encodings[] = { "proto", "json", NULL };

#define ENDPOINT_ROW(name_, signal_) \
    { \
        .name = (name_), .type = OPTION_TEXT, \
        .offset = offsetof(otlphttp_settings, endpoints[signal_]), \
        .help = "whole URL for this signal, in place of the endpoint and its path" \
    }
static const option otlphttp_rows[] = {
    { .name = "endpoint",
      .type = OPTION_TEXT,
      .offset = offsetof(otlphttp_settings, client.endpoint),
      .help = "base URL, as in https://backend:4318; /v1/traces, /v1/metrics and /v1/logs are "
              "added" },
    ENDPOINT_ROW("traces_endpoint", SIGNAL_TRACES),
    ENDPOINT_ROW("metrics_endpoint", SIGNAL_METRICS),
    ENDPOINT_ROW("logs_endpoint", SIGNAL_LOGS),
    { .name = "profiles_endpoint",
      .type = OPTION_IGNORED,
      .help = "there is no pipeline for profiles" },
    { .name = "encoding",
      .type = OPTION_CHOICE,
      .offset = offsetof(otlphttp_settings, encoding),
      .fallback = "proto",
      .choices = encodings,
      .help = "of requests" },
    { .type = OPTION_INLINE,
      .offset = offsetof(otlphttp_settings, client),
      .table = &client_options },
    { .type = OPTION_INLINE,
      .offset = offsetof(otlphttp_settings, exporter),
      .table = &exporter_options },
};

static status otlphttp_check(const void *settings, char *where, size_t where_size, error *err)
{
    static const char *const names[SIGNAL_COUNT] = { [SIGNAL_TRACES] = "traces_endpoint",
                                                     [SIGNAL_METRICS] = "metrics_endpoint",
                                                     [SIGNAL_LOGS] = "logs_endpoint" };
    const otlphttp_settings *s = settings;
    bool own = false;
    for (int i = 0; i < SIGNAL_COUNT; i++) {
        own = own || s->endpoints[i].len;
        if (!s->endpoints[i].len || client_is_url(s->endpoints[i]))
            continue;
        str_copy_c(where, where_size, str_c(names[i]));
        return fail(err, STATUS_INVALID, "must be a whole URL, as in http://backend:4318/v1/%s",
                    signal_name((signal_kind)i));
    }
    if (s->client.endpoint.len ? client_is_url(s->client.endpoint) : own)
        return STATUS_OK;
    str_copy_c(where, where_size, STR("endpoint"));
    return fail(err, STATUS_INVALID, "must be a URL, as in http://backend:4318");
}

static status otlphttp_open(void **ret_self, component *c, error *err)
{
    const otlphttp_settings *s = c->settings;
    otlphttp_sender *e = calloc(1, sizeof(*e));
    if (!e)
        return fail(err, STATUS_NO_MEMORY, "no memory for an exporter");
    e->component = c;
    buf_init(&e->request, OTLP_REQUEST_MAX);
    status st = client_new(&e->client, c, &s->client, COMPRESSION_GZIP, err);
    if (st != STATUS_OK) {
        free(e);
        return st;
    }
    *ret_self = e;
    return STATUS_OK;
}

static void otlphttp_close(void *self)
{
    otlphttp_sender *e = self;
    client_free(e->client);
    buf_done(&e->request);
    free(e);
}

/* Errors come as google.rpc.Status in the request's format: its message is for people, its bytes
 * are not. */
static void explain(const http_answer *a, error *err)
{
    char message[200], shown[200];
    otlp_format format;
    error ignored;
    int code;
    if (!a->body.len || !otlp_format_of(str_c(a->content_type), &format) ||
        otlp_decode_status(format, buf_view(&a->body), &code, message, sizeof(message), &ignored) !=
            STATUS_OK)
        return;
    str_copy_c(shown, sizeof(shown), str_c(err->message)); /* "URL answered 400: bytes" */
    char *end = strstr(shown, " answered ");
    if (end)
        (void)fail(err, err->code, "%.*s answered %d%s%s", (int)(end - shown), shown, a->code,
                   message[0] ? ": " : "", message);
}

static status otlphttp_send(void *self, const batch *b, send_result *ret, error *err)
{
    otlphttp_sender *e = self;
    const otlphttp_settings *s = e->component->settings;
    otlp_format format = (otlp_format)s->encoding, answered;
    http_answer answer = { 0 };
    char path[32];
    bool own = s->endpoints[b->signal].len > 0;
    *ret = (send_result){ 0 };
    if (!own && !s->client.endpoint.len)
        return fail(err, STATUS_INVALID, "no endpoint was given for %s", signal_name(b->signal));
    snprintf(path, sizeof(path), "/v1/%s", signal_name(b->signal));
    status st = otlp_request(b, format, &e->request, err);
    if (st != STATUS_OK)
        return st;
    st = client_post(e->client, own ? s->endpoints[b->signal].ptr : path, otlp_content_type(format),
                     buf_view(&e->request), NULL, &answer, ret, err);
    if (st == STATUS_OK && otlp_format_of(str_c(answer.content_type), &answered))
        otlp_response(e->component, answered, b->signal, buf_view(&answer.body), ret);
    else if (st == STATUS_INVALID || st == STATUS_BUSY)
        explain(&answer, err);
    http_answer_done(&answer);
    otlp_request_release(&e->request);
    return st;
}

const component_type otlphttp_exporter = {
    .type = "otlphttp",
    .kind = COMPONENT_EXPORTER,
    .signals = SIGNALS_ALL,
    .help = "Sends OTLP over HTTP, as protobuf or JSON.",
    .options = OPTION_TABLE(otlphttp_rows, otlphttp_settings),
    .check = otlphttp_check,
    .open = otlphttp_open,
    .close = otlphttp_close,
    .send = otlphttp_send,
};
