// SPDX-License-Identifier: Apache-2.0
/* The exporter `prometheusremotewrite`: series to Prometheus, Mimir, Thanos, VictoriaMetrics, … One
 * send at a time; nothing is kept between sends but the connection. A batch may be several
 * requests; when one fails for now all are sent again, which the far side takes as the same
 * samples. */
#include "codec/remote_write.h"
#include "pipeline/client.h"
#include "pipeline/exporters/prom_options.h"

#include "base/clock.h"

#include <stdio.h>
#include <stdlib.h>

typedef struct {
    bool enabled;
} switch_settings;

typedef struct {
    client_settings client;
    exporter_settings exporter;
    prom_name_settings names;
    pair_list external_labels;
    switch_settings target_info;
    bool send_metadata;
    int64_t max_batch_size_bytes;
    int protobuf_message; /* remote_write_version */
} write_settings;

typedef struct {
    component *component;
    client *client;
    arena memory; /* of options */
    remote_write_options options;
} write_sender;

static const char *const messages[] = { "prometheus.WriteRequest", "io.prometheus.write.v2.Request",
                                        NULL };

static const option target_rows[] = {
    { .name = "enabled",
      .type = OPTION_BOOL,
      .offset = offsetof(switch_settings, enabled),
      .fallback = "true",
      .help = "a series target_info with the attributes of each resource" },
};
static const option_table target_options = OPTION_TABLE(target_rows, switch_settings);

#define IGNORED(name_, why_) \
    { \
        .name = (name_), .type = OPTION_IGNORED, .help = (why_) \
    }
static const option write_rows[] = {
    { .name = "endpoint",
      .type = OPTION_TEXT,
      .offset = offsetof(write_settings, client.endpoint),
      .required = true,
      .help = "the whole URL: http://prometheus:9090/api/v1/write" },
    { .name = "external_labels",
      .type = OPTION_PAIRS,
      .offset = offsetof(write_settings, external_labels),
      .help = "labels for every series that has none of that name" },
    { .name = "target_info",
      .type = OPTION_SECTION,
      .offset = offsetof(write_settings, target_info),
      .table = &target_options,
      .help = "what is known about each resource, as a series of its own" },
    { .name = "send_metadata",
      .type = OPTION_BOOL,
      .offset = offsetof(write_settings, send_metadata),
      .fallback = "false",
      .help = "type, help and unit of metrics in requests of version 1.0; version 2.0 has them "
              "always" },
    { .name = "max_batch_size_bytes",
      .type = OPTION_INT,
      .offset = offsetof(write_settings, max_batch_size_bytes),
      .fallback = "3000000",
      .min = 1000,
      .max = (double)MiB(128),
      .help = "bytes of a request, before compression, at which another one is begun" },
    { .name = "protobuf_message",
      .type = OPTION_CHOICE,
      .offset = offsetof(write_settings, protobuf_message),
      .fallback = "prometheus.WriteRequest",
      .choices = messages,
      .help = "version of remote write: the first is 1.0, the second 2.0" },
    { .type = OPTION_INLINE,
      .offset = offsetof(write_settings, names),
      .table = &prom_name_options },
    { .type = OPTION_INLINE, .offset = offsetof(write_settings, client), .table = &client_options },
    { .type = OPTION_INLINE,
      .offset = offsetof(write_settings, exporter),
      .table = &exporter_options },
    IGNORED("remote_write_queue",
            "the intake log is the queue; requests go one after the other, so "
            "that samples of a series stay in order"),
    IGNORED("wal", "the intake log keeps what was not sent, with a place of its own for each "
                   "exporter"),
    IGNORED("max_batch_request_parallelism", "requests go one after the other, so that samples of "
                                             "a series stay in order"),
    IGNORED("export_created_metric", "version 2.0 says when a counter began; there are no _created "
                                     "series"),
    IGNORED("scope_info", "scopes are not series"),
};

static status write_check(const void *settings, char *where, size_t where_size, error *err)
{
    const write_settings *s = settings;
    if (s->client.compression != COMPRESSION_DEFAULT &&
        s->client.compression != COMPRESSION_SNAPPY) {
        str_copy_c(where, where_size, STR("compression"));
        return fail(err, STATUS_INVALID, "remote write is compressed by snappy, and nothing else");
    }
    return client_check_url(&s->client, "http://prometheus:9090/api/v1/write", where, where_size,
                            err);
}

static void write_close(void *self)
{
    write_sender *e = self;
    client_free(e->client);
    arena_done(&e->memory);
    free(e);
}

static status write_open(void **ret_self, component *c, error *err)
{
    const write_settings *s = c->settings;
    write_sender *e = calloc(1, sizeof(*e));
    if (!e)
        return fail(err, STATUS_NO_MEMORY, "no memory for an exporter");
    e->component = c;
    arena_init(&e->memory, MiB(1));
    e->options = (remote_write_options){ .version = (remote_write_version)s->protobuf_message,
                                         .target_info = s->target_info.enabled,
                                         .metadata = s->send_metadata,
                                         .max_bytes = (size_t)s->max_batch_size_bytes };
    status st = STATUS_OK;
    if (!prom_series_settings(&e->memory, &s->names, &s->external_labels, &e->options.series))
        st = fail(err, STATUS_NO_MEMORY, "no memory for an exporter's labels");
    if (st == STATUS_OK)
        st = client_new(&e->client, c, &s->client, COMPRESSION_SNAPPY, err);
    if (st != STATUS_OK) {
        write_close(e);
        return st;
    }
    *ret_self = e;
    return STATUS_OK;
}

/* ---- sending ---- */

typedef struct {
    write_sender *sender;
    send_result *ret;
    unsigned requests, refused; /* refused for good */
    uint32_t refused_samples;
    error first; /* why */
} sending;

/* Whether the same bytes would be refused again. */
static bool is_for_good(status st)
{
    return st == STATUS_INVALID || st == STATUS_UNSUPPORTED || st == STATUS_LIMIT;
}

static status send_one(void *user, str body, uint32_t samples, error *err)
{
    sending *s = user;
    remote_write_version v = s->sender->options.version;
    char version[64];
    send_result one;
    http_answer answer;
    snprintf(version, sizeof(version), "X-Prometheus-Remote-Write-Version: %s",
             remote_write_version_text(v));
    const char *headers[] = { version, NULL };
    status st = client_post(s->sender->client, "", remote_write_content_type(v), body, headers,
                            &answer, &one, err);
    if (st == STATUS_INVALID && answer.code / 100 == 5)
        st = err->code = STATUS_BUSY; /* remote write asks for another try after each 5xx */
    http_answer_done(&answer);
    s->requests++;
    s->ret->retry_after_ns = one.retry_after_ns;
    if (!is_for_good(st))
        return st;
    if (s->refused++ == 0)
        s->first = *err;
    s->refused_samples += samples;
    return STATUS_OK; /* the other requests may be taken */
}

static void count(write_sender *e, const remote_write_counts *c, send_result *ret)
{
    if (c->deltas)
        component_drop(e->component, SIGNAL_METRICS, "delta temporality", c->deltas);
    if (c->refused)
        component_drop(e->component, SIGNAL_METRICS, "no series", c->refused);
    ret->left_out = c->deltas + c->refused;
}

static status write_send(void *self, const batch *b, send_result *ret, error *err)
{
    write_sender *e = self;
    remote_write_counts counts;
    sending s = { .sender = e, .ret = ret };
    *ret = (send_result){ 0 };
    remote_write_options o = e->options;
    o.received_ns = clock_now_ns();
    status st = remote_write_encode(b, &o, send_one, &s, &counts, err);
    if (st == STATUS_LIMIT)
        return err->code = STATUS_INVALID; /* the same batch would never fit */
    if (st != STATUS_OK)
        return st;
    if (s.refused && s.refused == s.requests) {
        *err = s.first;
        return err->code;
    }
    count(e, &counts, ret);
    if (s.refused) {
        ret->rejected = MIN(s.refused_samples, counts.points);
        str_copy_c(ret->reason, sizeof(ret->reason), str_c(s.first.message));
    }
    return STATUS_OK;
}

const component_type prometheusremotewrite_exporter = {
    .type = "prometheusremotewrite",
    .kind = COMPONENT_EXPORTER,
    .signals = SIGNALS_METRICS,
    .help = "Sends series by Prometheus's remote write, 1.0 or 2.0. Points of delta temporality "
            "are left out and counted, as by the Collector.",
    .options = OPTION_TABLE(write_rows, write_settings),
    .check = write_check,
    .open = write_open,
    .close = write_close,
    .send = write_send,
};
