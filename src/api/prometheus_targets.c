// SPDX-License-Identifier: Apache-2.0
/* /api/v1/targets: what the prometheus receivers scrape, and how it went last. */
#include "api/prometheus.h"

#include "base/clock.h"
#include "pipeline/receivers/prometheus.h"

typedef struct {
    api_request *r;
    str pool;
} listing;

static void put_labels(json_writer *w, const prom_label *items, uint32_t count)
{
    json_begin_object(w);
    for (uint32_t i = 0; i < count; i++) {
        json_key(w, items[i].name);
        json_str(w, items[i].value);
    }
    json_end_object(w);
}

static void put_time(json_writer *w, int64_t time_ns)
{
    buf text;
    buf_init(&text, 64);
    clock_format_rfc3339(&text, time_ns, 9);
    json_str(w, time_ns ? buf_view(&text) : STR("0001-01-01T00:00:00Z"));
    buf_done(&text);
}

static void put_duration(json_writer *w, int64_t ns)
{
    buf text;
    buf_init(&text, 64);
    clock_format_duration(&text, ns);
    json_str(w, buf_view(&text));
    buf_done(&text);
}

static void put_target(void *user, const prometheus_target *t)
{
    listing *l = user;
    json_writer *w = &l->r->json;
    if (l->pool.len && !str_eq(l->pool, t->job))
        return;
    json_begin_object(w);
    json_key(w, STR("discoveredLabels"));
    put_labels(w, t->discovered, t->discovered_count);
    json_key(w, STR("labels"));
    put_labels(w, t->labels, t->label_count);
    JSON_PUT(w, str, "scrapePool", t->job);
    JSON_PUT(w, str, "scrapeUrl", t->url);
    JSON_PUT(w, str, "globalUrl", t->url);
    JSON_PUT(w, str, "lastError", str_c(t->last_error));
    json_key(w, STR("lastScrape"));
    put_time(w, t->last_scrape_ns);
    JSON_PUT(w, f64, "lastScrapeDuration", (double)t->last_duration_ns / NS_PER_S);
    JSON_PUT(w, str, "health", str_c(t->health));
    json_key(w, STR("scrapeInterval"));
    put_duration(w, t->interval_ns);
    json_key(w, STR("scrapeTimeout"));
    put_duration(w, t->timeout_ns);
    json_end_object(w);
}

/* Dropped targets are not kept: their list is empty. */
void prometheus_targets(api_request *r)
{
    listing l = { r, request_param(r, "scrapePool") };
    str state = request_param(r, "state");
    prometheus_begin(r);
    json_begin_object(&r->json);
    json_key(&r->json, STR("activeTargets"));
    json_begin_array(&r->json);
    if (!str_is(state, "dropped"))
        prometheus_receiver_targets(put_target, &l);
    json_end_array(&r->json);
    json_key(&r->json, STR("droppedTargets"));
    json_begin_array(&r->json);
    json_end_array(&r->json);
    json_key(&r->json, STR("droppedTargetCounts"));
    json_begin_object(&r->json);
    json_end_object(&r->json);
    json_end_object(&r->json);
    prometheus_end(r);
}
