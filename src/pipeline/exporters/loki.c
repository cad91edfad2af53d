// SPDX-License-Identifier: Apache-2.0
/* The loki exporter: log records to Loki's push API, as the Collector's exporter of that name sends
 * them: few labels, the record as JSON in the line, one request for each tenant. One send at a
 * time; nothing is kept between sends but the connection. */
#include "pipeline/client.h"

#include "base/clock.h"
#include "codec/loki_push.h"

#include <stdio.h>
#include <stdlib.h>

#define STREAMS_MEMORY MiB(512)
#define REQUEST_BYTES  MiB(128)

typedef struct {
    client_settings client;
    exporter_settings exporter;
    loki_default_labels labels;
} loki_settings;

typedef struct {
    component *component;
    client *client;
} loki_sender;

#define LABEL_ROW(name_, help_) \
    { \
        .name = #name_, .type = OPTION_BOOL, .offset = offsetof(loki_default_labels, name_), \
        .fallback = "true", .help = (help_) \
    }
static const option label_rows[] = {
    LABEL_ROW(exporter, "exporter=\"OTLP\""),
    LABEL_ROW(job, "job: service.namespace/service.name"),
    LABEL_ROW(instance, "instance: service.instance.id"),
    LABEL_ROW(level, "level: the attribute of that name, else the severity"),
};
static const option_table label_options = OPTION_TABLE(label_rows, loki_default_labels);

static const option loki_rows[] = {
    { .name = "endpoint",
      .type = OPTION_TEXT,
      .offset = offsetof(loki_settings, client.endpoint),
      .required = true,
      .help = "the whole URL: http://loki:3100/loki/api/v1/push" },
    { .name = "default_labels_enabled",
      .type = OPTION_SECTION,
      .offset = offsetof(loki_settings, labels),
      .table = &label_options,
      .help = "which labels are made without being asked for by the attributes "
              "loki.attribute.labels and loki.resource.labels" },
    { .type = OPTION_INLINE, .offset = offsetof(loki_settings, client), .table = &client_options },
    { .type = OPTION_INLINE,
      .offset = offsetof(loki_settings, exporter),
      .table = &exporter_options },
};

static status loki_check(const void *settings, char *where, size_t where_size, error *err)
{
    const loki_settings *s = settings;
    return client_check_url(&s->client, "http://loki:3100/loki/api/v1/push", where, where_size,
                            err);
}

static status loki_open(void **ret_self, component *c, error *err)
{
    const loki_settings *s = c->settings;
    loki_sender *e = calloc(1, sizeof(*e));
    if (!e)
        return fail(err, STATUS_NO_MEMORY, "no memory for an exporter");
    e->component = c;
    status st = client_new(&e->client, c, &s->client, COMPRESSION_SNAPPY, err);
    if (st != STATUS_OK) {
        free(e);
        return st;
    }
    *ret_self = e;
    return STATUS_OK;
}

static void loki_close(void *self)
{
    loki_sender *e = self;
    client_free(e->client);
    free(e);
}

/* Streams of one tenant as one request. */
static status post(loki_sender *e, const loki_stream *streams, uint32_t count, send_result *ret,
                   error *err)
{
    buf body;
    http_answer answer = { 0 };
    char tenant[300] = "";
    const char *headers[2] = { NULL, NULL };
    buf_init(&body, REQUEST_BYTES);
    if (streams->tenant.len) {
        snprintf(tenant, sizeof(tenant), "X-Scope-OrgID: %.*s",
                 (int)MIN(streams->tenant.len, (size_t)256), streams->tenant.ptr);
        for (char *p = tenant; *p; p++)
            if ((unsigned char)*p < ' ')
                *p = '_'; /* an attribute must not become headers of its own */
        headers[0] = tenant;
    }
    status st = loki_push_encode(streams, count, &body, err);
    if (st == STATUS_LIMIT)
        st = err->code = STATUS_INVALID; /* the same batch would never fit */
    if (st == STATUS_OK) {
        st = client_post(e->client, "", "application/x-protobuf", buf_view(&body), headers, &answer,
                         ret, err);
        http_answer_done(&answer);
    }
    buf_done(&body);
    return st;
}

static uint32_t entries_of(const loki_stream *streams, uint32_t count)
{
    uint32_t n = 0;
    for (uint32_t i = 0; i < count; i++)
        n += streams[i].count;
    return n;
}

/* Tenants are sent one after the other. Where one fails for now, all are sent again: at least once.
 * What is refused for good costs that tenant's entries only. */
static status loki_send(void *self, const batch *b, send_result *ret, error *err)
{
    loki_sender *e = self;
    const loki_settings *s = e->component->settings;
    arena memory;
    loki_streams streams;
    uint32_t refused = 0, to;
    arena_init(&memory, STREAMS_MEMORY);
    status st = loki_streams_build(b, &s->labels, clock_now_ns(), &memory, &streams, &refused, err);
    if (st == STATUS_LIMIT)
        st = err->code = STATUS_INVALID;
    if (st == STATUS_OK && refused)
        snprintf(ret->reason, sizeof(ret->reason),
                 "attribute loki.format is none of json, logfmt and raw");
    for (uint32_t from = 0; st == STATUS_OK && from < streams.count; from = to) {
        for (to = from + 1; to < streams.count; to++)
            if (!str_eq(streams.items[to].tenant, streams.items[from].tenant))
                break;
        st = post(e, &streams.items[from], to - from, ret, err);
        bool for_good = st == STATUS_INVALID || st == STATUS_UNSUPPORTED || st == STATUS_LIMIT;
        if (for_good && (from || to < streams.count)) {
            refused += entries_of(&streams.items[from], to - from);
            str_copy_c(ret->reason, sizeof(ret->reason), str_c(err->message));
            st = STATUS_OK;
        }
    }
    ret->rejected += refused;
    arena_done(&memory);
    return st;
}

const component_type loki_exporter = {
    .type = "loki",
    .kind = COMPONENT_EXPORTER,
    .signals = SIGNALS_LOGS,
    .help = "Sends log records to Loki's push API.",
    .options = OPTION_TABLE(loki_rows, loki_settings),
    .check = loki_check,
    .open = loki_open,
    .close = loki_close,
    .send = loki_send,
};
