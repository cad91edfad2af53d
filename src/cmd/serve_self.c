// SPDX-License-Identifier: Apache-2.0
/* What the server says about itself: health, readiness, and its metrics, in Prometheus's text
 * format 0.0.4 or OpenMetrics as the client asks. A metric is a row or a small function; names
 * follow Prometheus's rules, so that `promtool check metrics` has nothing to say. */
#include "cmd/serve.h"

#include "api/api.h"
#include "codec/prom_text.h"
#include "pipeline/receivers/recorder.h"
#include "query/promql/cache.h"

#include <sonde/sonde.h>
#include <strings.h>

/* ---- health ---- */

static void handle_health(http_exchange *x, void *user)
{
    (void)user;
    http_set_header(x, "Content-Type", STR("application/json"));
    buf_lit(http_out(x), "{\"status\":\"ok\",\"version\":\"" SONDE_VERSION "\"}\n");
}

static void handle_ready(http_exchange *x, void *user)
{
    serve_self *self = user;
    error err;
    if (atomic_load(&self->stopping)) {
        http_fail(x, 503, "the server is stopping");
        return;
    }
    if (collector_complete(self->collector, &err) != STATUS_OK ||
        store_ready(self->store, &err) != STATUS_OK) {
        http_fail(x, 503, "%s", err.message);
        http_set_header(x, "Retry-After", STR("5"));
        return;
    }
    handle_health(x, user);
}

/* ---- metrics ---- */

typedef struct {
    buf *out;
    prom_format format;
} page;

/* Of a counter, OpenMetrics names the family without _total. */
static void family(page *p, const char *name, const char *type, const char *help)
{
    str family = str_c(name);
    if (p->format != PROM_TEXT_0_0_4 && str_is(str_c(type), "counter"))
        family.len -= strlen("_total");
    buf_fmt(p->out, "# HELP %.*s %s\n# TYPE %.*s %s\n", STR_ARG(family), help, STR_ARG(family),
            type);
}

static void single(page *p, const char *name, const char *type, const char *help, double v)
{
    family(p, name, type, help);
    buf_fmt(p->out, "%s ", name);
    buf_f64(p->out, v);
    buf_char(p->out, '\n');
}

static void by_signal(page *p, const char *name, const char *type, const char *help,
                      const uint64_t *counts)
{
    family(p, name, type, help);
    for (int s = 0; s < SIGNAL_COUNT; s++)
        buf_fmt(p->out, "%s{signal=\"%s\"} %llu\n", name, signal_name((signal_kind)s),
                (unsigned long long)counts[s]);
}

static void write_store(page *p, store *s)
{
    store_stats t;
    store_get_stats(s, &t);
    by_signal(p, "sonde_ingested_items_total", "counter",
              "Log records, data points and spans made durable.", t.ingested);
    by_signal(p, "sonde_rejected_items_total", "counter",
              "Items that the store refused one by one.", t.rejected);
    by_signal(p, "sonde_duplicate_items_total", "counter",
              "Second copies of records, dropped by their id.", t.duplicates);
    by_signal(p, "sonde_store_rows", "gauge", "Rows stored now, in memory and in parts.", t.rows);
    by_signal(p, "sonde_store_parts", "gauge", "Sealed parts.", t.parts);
    by_signal(p, "sonde_store_part_bytes", "gauge", "Bytes of the sealed parts.", t.part_bytes);
    single(p, "sonde_store_memory_bytes", "gauge", "Bytes of rows that are not sealed yet.",
           (double)t.memory_bytes);
    single(p, "sonde_store_series", "gauge", "Series of metrics known in memory.",
           (double)t.series);
    single(p, "sonde_intake_bytes", "gauge", "Bytes of the intake log.", (double)t.intake_bytes);
    single(p, "sonde_intake_segments", "gauge", "Segments of the intake log.",
           (double)t.intake_segments);
    single(p, "sonde_intake_fsyncs_total", "counter", "Group commits of the intake log.",
           (double)t.fsyncs);
    single(p, "sonde_intake_fsync_seconds_total", "counter", "Time spent in those commits.",
           (double)t.fsync_ns / 1e9);
    single(p, "sonde_store_merges_total", "counter", "Merges of parts.", (double)t.merges);
    single(p, "sonde_store_corrupt_parts", "gauge", "Parts set aside: a checksum did not hold.",
           (double)t.corrupt_parts);
}

/* What each component counts: a family for each kind of count. */
static const struct {
    count_kind what;
    const char *name, *label, *detail, *help;
} component_rows[] = {
    { COUNT_ACCEPTED, "sonde_receiver_accepted_items_total", "receiver", "transport",
      "Items received and made durable." },
    { COUNT_REFUSED, "sonde_receiver_refused_items_total", "receiver", "transport",
      "Items refused one by one; the sender was told." },
    { COUNT_FAILED_REQUESTS, "sonde_receiver_failed_requests_total", "receiver", "transport",
      "Requests answered with an error." },
    { COUNT_INCOMING, "sonde_processor_incoming_items_total", "component", NULL,
      "Items that came to a processor or connector." },
    { COUNT_OUTGOING, "sonde_processor_outgoing_items_total", "component", NULL,
      "Items that a processor or connector let pass or made." },
    { COUNT_DROPPED, "sonde_component_dropped_items_total", "component", "reason",
      "Items that a processor left out, or an exporter could not deliver." },
    { COUNT_SENT, "sonde_exporter_sent_items_total", "component", NULL,
      "Items that the far side took." },
    { COUNT_RETRIES, "sonde_exporter_retries_total", "component", NULL,
      "Requests that will be sent again." },
    { COUNT_SAMPLED_TRACES, "sonde_tail_sampling_sampled_traces_total", "component", "policy",
      "Traces that a policy of tail_sampling chose." },
};

typedef struct {
    buf *out;
    size_t row;
} component_page;

static void write_component_line(void *user, const count_line *line)
{
    const component_page *p = user;
    const char *label = component_rows[p->row].label, *detail = component_rows[p->row].detail;
    buf_fmt(p->out, "%s{%s=\"%s\",", component_rows[p->row].name, label, line->id);
    if (detail)
        buf_fmt(p->out, "%s=\"%s\",", detail, line->detail);
    buf_fmt(p->out, "signal=\"%s\"} %llu\n", signal_name(line->signal),
            (unsigned long long)line->value);
}

static void write_behind(void *user, const char *id, log_behind behind)
{
    buf_fmt(user, "sonde_exporter_behind_bytes{component=\"%s\"} %llu\n", id,
            (unsigned long long)behind.bytes);
}

static void write_components(page *p, collector *c)
{
    for (size_t i = 0; i < ARRAY_LEN(component_rows); i++) {
        component_page at = { p->out, i };
        family(p, component_rows[i].name, "counter", component_rows[i].help);
        collector_counts(c, component_rows[i].what, write_component_line, &at);
    }
    family(p, "sonde_exporter_behind_bytes", "gauge",
           "Bytes of the intake log that an exporter has still to send.");
    collector_behind(c, write_behind, p->out);
}

static void write_recorders(page *p, collector *c)
{
    recorder_counts sum = { 0 }, one;
    const component *at = NULL;
    while ((at = collector_component(c, COMPONENT_RECEIVER, "recorder", at))) {
        recorder_get_counts(at, &one);
        sum.files += one.files;
        sum.finished += one.finished;
        sum.failed += one.failed;
    }
    single(p, "sonde_recorder_files", "gauge", "Recorders read now.", (double)sum.files);
    single(p, "sonde_recorder_finished_total", "counter",
           "Recorders of dead processes that were read to their end.", (double)sum.finished);
    single(p, "sonde_recorder_failed_total", "counter",
           "Times that reading a recorder was put off.", (double)sum.failed);
}

static void write_count(void *user, str listener, str path, int code, uint64_t count)
{
    buf *out = user;
    buf_fmt(out, "sonde_http_requests_total{listener=\"%.*s\",route=\"%.*s\",code=\"%d\"} %llu\n",
            STR_ARG(listener), STR_ARG(path), code, (unsigned long long)count);
}

static void write_server(page *p, http_server *s)
{
    http_server_stats t;
    http_server_get_stats(s, &t);
    family(p, "sonde_http_requests_total", "counter",
           "Answers by route and status code; no route: no path matched.");
    http_server_counts(s, write_count, p->out);
    single(p, "sonde_http_connections", "gauge", "Connections open now.", (double)t.connections);
    single(p, "sonde_http_connections_accepted_total", "counter", "Connections accepted.",
           (double)t.accepted);
    single(p, "sonde_http_connections_refused_total", "counter",
           "Connections refused: too many were open.", (double)t.refused_connections);
    single(p, "sonde_http_requests_in_flight", "gauge", "Requests not answered yet.",
           (double)t.requests_in_flight);
    single(p, "sonde_http_body_bytes", "gauge", "Bytes of request bodies held now.",
           (double)t.body_bytes);
    single(p, "sonde_http_requests_refused_total", "counter",
           "Requests answered 503: a queue or the memory was full.", (double)t.refused_busy);
    single(p, "sonde_http_websockets", "gauge", "WebSockets open now.", (double)t.websockets);
    single(p, "sonde_http_connections_held", "gauge",
           "Connections that are not read now, because memory for bodies is short.",
           (double)t.held);
    single(p, "sonde_http_unauthenticated_total", "counter", "Requests answered 401.",
           (double)t.refused_auth);
    single(p, "sonde_http_rate_limited_total", "counter",
           "Requests answered 429: their client sent faster than it may.", (double)t.refused_rate);
    single(p, "sonde_tls_handshakes_total", "counter", "TLS handshakes that succeeded.",
           (double)t.tls_handshakes);
    single(p, "sonde_tls_handshakes_failed_total", "counter", "TLS handshakes that failed.",
           (double)t.tls_failed);
    single(p, "sonde_tls_reloads_failed_total", "counter",
           "Changed certificate files that could not be used; the old ones stayed.",
           (double)t.tls_reload_failed);
}

static const char *wanted_format(void *user, const char *name)
{
    const page *p = user;
    return strcasecmp(name, "accept") == 0 ? prom_content_type(p->format) : NULL;
}

/* What the library knows of this process: CPU, memory, descriptors, records dropped. Its page ends
 * as the format says, and so does ours. */
static void write_library(page *p)
{
    sonde_http_request request = {
        .method = "GET", .path = "/metrics", .header = wanted_format, .user = p
    };
    sonde_http_response response = { 0 };
    bool ok = sonde_http_handle(&request, &response) && response.status == 200;
    if (ok)
        buf_add(p->out, response.body, response.body_len);
    else if (p->format != PROM_TEXT_0_0_4)
        buf_lit(p->out, "# EOF\n");
    sonde_http_response_free(&response);
}

static void write_query_cache(page *p, promql_cache *c)
{
    promql_cache_stats t;
    promql_cache_get_stats(c, &t);
    single(p, "sonde_query_cache_hits_total", "counter",
           "Range queries whose steps were all in the cache.", (double)(t.hits - t.partial));
    single(p, "sonde_query_cache_partial_hits_total", "counter",
           "Range queries that found some steps in the cache and evaluated the others.",
           (double)t.partial);
    single(p, "sonde_query_cache_misses_total", "counter",
           "Range queries that may be cached and were evaluated as a whole.", (double)t.misses);
    single(p, "sonde_query_cache_outdated_total", "counter",
           "Cached answers that were dropped because samples had come or gone.", (double)t.stale);
    single(p, "sonde_query_cache_evictions_total", "counter",
           "Cached answers that made room for newer ones.", (double)t.evictions);
    single(p, "sonde_query_cache_bytes", "gauge", "Memory of the cached answers.", (double)t.bytes);
    single(p, "sonde_query_cache_entries", "gauge", "Cached answers.", (double)t.entries);
}

static void handle_metrics(http_exchange *x, void *user)
{
    serve_self *self = user;
    page p = { http_out(x), prom_negotiate(http_header(x, "accept")) };
    http_set_header(x, "Content-Type", str_c(prom_content_type(p.format)));
    family(&p, "sonde_build_info", "gauge", "Always 1; the labels tell the build.");
    buf_lit(p.out, "sonde_build_info{version=\"" SONDE_VERSION "\"} 1\n");
    write_store(&p, self->store);
    write_components(&p, self->collector);
    write_recorders(&p, self->collector);
    write_server(&p, self->server);
    write_query_cache(&p, api_cache(self->api));
    serve_rules_metrics(self->rules, p.out, p.format != PROM_TEXT_0_0_4);
    write_library(&p);
}

static const http_route health_rows[] = {
    { "GET", "/healthz", handle_health, NULL, POOL_NONE, "the process answers" },
    { "GET", "/readyz", handle_ready, NULL, POOL_NONE, "ingest is possible now" },
    { "GET", "/-/healthy", handle_health, NULL, POOL_NONE, "as /healthz" },
    { "GET", "/-/ready", handle_ready, NULL, POOL_NONE, "as /readyz" },
};

static const http_route rows[] = {
    { "GET", "/metrics", handle_metrics, NULL, POOL_QUERY, "the server's own metrics" },
};

const http_route *serve_health_routes(size_t *ret_count)
{
    *ret_count = ARRAY_LEN(health_rows);
    return health_rows;
}

const http_route *serve_self_routes(size_t *ret_count)
{
    *ret_count = ARRAY_LEN(rows);
    return rows;
}
