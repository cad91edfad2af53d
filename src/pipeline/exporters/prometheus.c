// SPDX-License-Identifier: Apache-2.0
/* The exporter `prometheus`: a page of the last value of each series, for a Prometheus to scrape.
 * Nothing waits in the intake log for it. `send` runs on the exporter's thread, scrapes on the
 * server's; prom_values is between them. */
#include "pipeline/component.h"
#include "pipeline/exporters/prom_options.h"
#include "pipeline/exporters/prom_values.h"

#include "base/clock.h"

#include <stdlib.h>

typedef struct {
    server_settings server;
    exporter_settings exporter;
    prom_name_settings names;
    pair_list const_labels;
    bool send_timestamps, enable_open_metrics, without_scope_info;
    int64_t metric_expiration;
} prometheus_settings;

typedef struct {
    component *component;
    prom_values *values;
    arena memory; /* of options */
} prometheus_page;

static const option prometheus_rows[] = {
    { .name = "endpoint",
      .type = OPTION_TEXT,
      .offset = offsetof(prometheus_settings, server.endpoint),
      .address = true,
      .required = true,
      .help = "address of the page: HOST:PORT; it is at /metrics" },
    { .name = "const_labels",
      .type = OPTION_PAIRS,
      .offset = offsetof(prometheus_settings, const_labels),
      .help = "labels for every series that has none of that name" },
    { .name = "send_timestamps",
      .type = OPTION_BOOL,
      .offset = offsetof(prometheus_settings, send_timestamps),
      .fallback = "false",
      .help = "each sample with the time of its point; false: the scrape's time counts" },
    { .name = "metric_expiration",
      .type = OPTION_DURATION,
      .offset = offsetof(prometheus_settings, metric_expiration),
      .fallback = "5m",
      .help = "series that were not heard of for so long leave the page; 0: they stay" },
    { .name = "enable_open_metrics",
      .type = OPTION_BOOL,
      .offset = offsetof(prometheus_settings, enable_open_metrics),
      .fallback = "false",
      .help = "OpenMetrics for those who ask for it: exemplars are in no other format but "
              "protobuf" },
    { .name = "without_scope_info",
      .type = OPTION_BOOL,
      .offset = offsetof(prometheus_settings, without_scope_info),
      .fallback = "false",
      .help = "no labels otel_scope_name, otel_scope_version and otel_scope_schema_url" },
    { .type = OPTION_INLINE,
      .offset = offsetof(prometheus_settings, names),
      .table = &prom_name_options },
    { .type = OPTION_INLINE,
      .offset = offsetof(prometheus_settings, server),
      .table = &server_options },
    { .type = OPTION_INLINE,
      .offset = offsetof(prometheus_settings, exporter),
      .table = &exporter_options },
};

static void answer_page(http_exchange *x, void *user)
{
    prometheus_page *p = user;
    const prometheus_settings *s = p->component->settings;
    error err;
    prom_choice choice = prom_choose(http_header(x, "accept"));
    bool open_metrics =
        choice.format == PROM_OPENMETRICS_0_0_1 || choice.format == PROM_OPENMETRICS_1_0_0;
    if (open_metrics && !s->enable_open_metrics)
        choice.format = PROM_TEXT_0_0_4;
    if (prom_values_page(p->values, &choice, s->send_timestamps, clock_mono_ns(), http_out(x),
                         &err) != STATUS_OK) {
        buf_clear(http_out(x));
        http_fail(x, 503, "%s", err.message);
        return;
    }
    http_set_header(x, "Content-Type", str_c(prom_choice_type(&choice)));
}

static const http_route routes[] = {
    { "GET", "/metrics", answer_page, NULL, POOL_QUERY,
      "the last value of each series, for Prometheus to scrape" },
};

static void prometheus_close(void *self)
{
    prometheus_page *p = self;
    prom_values_free(p->values);
    arena_done(&p->memory);
    free(p);
}

static status prometheus_open(void **ret_self, component *c, error *err)
{
    const prometheus_settings *s = c->settings;
    prom_values_options o = { .scope_labels = !s->without_scope_info,
                              .target_info = true,
                              .expiration_ns = s->metric_expiration };
    prometheus_page *p = calloc(1, sizeof(*p));
    if (!p)
        return fail(err, STATUS_NO_MEMORY, "no memory for an exporter");
    p->component = c;
    arena_init(&p->memory, MiB(1));
    status st = STATUS_OK;
    if (!prom_series_settings(&p->memory, &s->names, &s->const_labels, &o.series))
        st = fail(err, STATUS_NO_MEMORY, "no memory for an exporter's labels");
    if (st == STATUS_OK)
        st = prom_values_new(&p->values, &o, err);
    if (st == STATUS_OK)
        st = component_listen(c, &s->server, routes, ARRAY_LEN(routes), p, err);
    if (st != STATUS_OK) {
        prometheus_close(p);
        return st;
    }
    *ret_self = p;
    return STATUS_OK;
}

static status prometheus_send(void *self, const batch *b, send_result *ret, error *err)
{
    prometheus_page *p = self;
    prom_values_refused refused;
    *ret = (send_result){ 0 };
    status st = prom_values_put(p->values, b, clock_mono_ns(), &refused, err);
    if (st != STATUS_OK)
        return st;
    if (refused.over_limit) {
        component_drop(p->component, SIGNAL_METRICS, "series limit", refused.over_limit);
        component_warn(p->component, "series limit",
                       "the page has %u series and room for no more: %u points were left out",
                       prom_values_count(p->values), refused.over_limit);
    }
    if (refused.unusable)
        component_drop(p->component, SIGNAL_METRICS, "no series", refused.unusable);
    ret->left_out = refused.over_limit + refused.unusable;
    return STATUS_OK;
}

const component_type prometheus_exporter = {
    .type = "prometheus",
    .kind = COMPONENT_EXPORTER,
    .signals = SIGNALS_METRICS,
    .help = "Shows the last value of each series on a page that a Prometheus scrapes.",
    .options = OPTION_TABLE(prometheus_rows, prometheus_settings),
    .open = prometheus_open,
    .close = prometheus_close,
    .send = prometheus_send,
    .ephemeral = true,
};
