// SPDX-License-Identifier: Apache-2.0
/* The prometheusremotewrite receiver: Prometheus's remote write, 1.0 and 2.0, over HTTP. Handlers
 * run on the ingest workers, any number at once; they share what version 1.0 said about metrics in
 * requests of its own. Who is answered with 204 has its samples in the intake log. */
#include "pipeline/component.h"

#include "codec/remote_write.h"

#include <stdio.h>
#include <stdlib.h>

typedef struct {
    server_settings server;
} write_settings;

typedef struct {
    component *component;
    remote_write_types *types;
} write_receiver;

static const option write_rows[] = {
    { .name = "endpoint",
      .type = OPTION_TEXT,
      .offset = offsetof(write_settings, server.endpoint),
      .fallback = "localhost:9090",
      .address = true,
      .help = "address to listen on: HOST:PORT; senders write to /api/v1/write" },
    { .name = "time_threshold",
      .type = OPTION_IGNORED,
      .help = "what is too old is said by the store's retention" },
    { .type = OPTION_INLINE, .offset = offsetof(write_settings, server), .table = &server_options },
};

/* ---- the answer ---- */

static void set_count(http_exchange *x, const char *name, uint32_t n)
{
    char text[16];
    snprintf(text, sizeof(text), "%u", n);
    http_set_header(x, name, str_c(text));
}

/* Version 2.0: what was written, also when it is nothing. */
static void set_written(http_exchange *x, const remote_write_result *r)
{
    set_count(x, "X-Prometheus-Remote-Write-Samples-Written", r->samples);
    set_count(x, "X-Prometheus-Remote-Write-Histograms-Written", r->histograms);
    set_count(x, "X-Prometheus-Remote-Write-Exemplars-Written", r->exemplars);
}

/* Prometheus drops what is answered with 429, unless it is told otherwise; 503 it sends again. */
static void answer_failure(http_exchange *x, const error *err)
{
    ingest_fail_http(x, err);
    if (err->code == STATUS_BUSY)
        http_set_status(x, 503);
}

/* ---- one request ---- */

/* Rows that the store refused, out of the counts of those that were decoded. */
static void subtract(remote_write_result *r, uint32_t rejected)
{
    uint32_t samples = MIN(r->samples, rejected);
    r->samples -= samples;
    r->histograms -= MIN(r->histograms, rejected - samples);
}

static status take(write_receiver *w, remote_write_version v, str body, remote_write_result *ret,
                   error *err)
{
    batch b;
    ingest_result result = { 0 };
    batch_init(&b, SIGNAL_METRICS, ingest_memory(body.len, 8));
    status st = remote_write_decode(&b, body, v, NULL, w->types, ret, err);
    if (st == STATUS_LIMIT)
        st = err->code = STATUS_INVALID; /* as wrong as what is malformed: it would never fit */
    if (st != STATUS_OK)
        component_failed(w->component, "http", SIGNAL_METRICS);
    else if (batch_row_count(&b) > 0)
        st = component_ingest(w->component, "http", &b, STR_EMPTY, &result, err);
    if (st == STATUS_OK) {
        subtract(ret, result.rejected);
        if (ret->rejected)
            component_drop(w->component, SIGNAL_METRICS, "invalid", ret->rejected);
        if (ret->rejected + result.rejected)
            st = fail(err, STATUS_INVALID, "%u of %u samples were not taken: %s",
                      ret->rejected + result.rejected, ret->rejected + batch_row_count(&b),
                      ret->rejected ? ret->message : result.reason);
    } else {
        *ret = (remote_write_result){ 0 };
    }
    batch_done(&b);
    return st;
}

static void write_http(http_exchange *x, void *user)
{
    write_receiver *w = user;
    error err;
    remote_write_version v;
    remote_write_result result = { 0 };
    str type = http_header(x, "content-type");
    if (!remote_write_version_of(type.len ? type : STR("application/x-protobuf"), &v)) {
        component_failed(w->component, "http", SIGNAL_METRICS);
        http_fail(x, 415,
                  "content type \"%.*s\" is no remote write; application/x-protobuf is, with "
                  "proto=prometheus.WriteRequest or proto=io.prometheus.write.v2.Request",
                  (int)MIN(type.len, (size_t)100), type.ptr);
        return;
    }
    status st = take(w, v, http_body(x), &result, &err);
    if (v == REMOTE_WRITE_2)
        set_written(x, &result);
    if (st == STATUS_OK)
        http_set_status(x, 204);
    else
        answer_failure(x, &err);
}

static const http_route routes[] = {
    { "POST", "/api/v1/write", write_http, NULL, POOL_INGEST,
      "Prometheus remote write 1.0 and 2.0: samples" },
};

/* ---- the component ---- */

static void write_close(void *self)
{
    write_receiver *w = self;
    remote_write_types_free(w->types);
    free(w);
}

static status write_open(void **ret_self, component *c, error *err)
{
    const write_settings *s = c->settings;
    write_receiver *w = calloc(1, sizeof(*w));
    if (!w)
        return fail(err, STATUS_NO_MEMORY, "no memory for a receiver");
    w->component = c;
    status st = remote_write_types_new(&w->types, err);
    if (st == STATUS_OK)
        st = component_listen(c, &s->server, routes, ARRAY_LEN(routes), w, err);
    if (st != STATUS_OK) {
        write_close(w);
        return st;
    }
    *ret_self = w;
    return STATUS_OK;
}

const component_type prometheusremotewrite_receiver = {
    .type = "prometheusremotewrite",
    .kind = COMPONENT_RECEIVER,
    .signals = SIGNALS_METRICS,
    .help = "Takes samples by Prometheus's remote write 1.0 and 2.0; series keep their names and "
            "labels.",
    .options = OPTION_TABLE(write_rows, write_settings),
    .open = write_open,
    .close = write_close,
};
