// SPDX-License-Identifier: Apache-2.0
/* What the server says about itself: health, readiness, and its metrics, in Prometheus's text
 * format 0.0.4 or OpenMetrics as the client asks. A metric is a row or a small function; names
 * follow Prometheus's rules, so that `promtool check metrics` has nothing to say. */
#include "cmd/serve.h"

#include "codec/prom_text.h"

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
    if (store_ready(self->store, &err) != STATUS_OK) {
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

static void write_receiver(page *p, const otlp_receiver *r)
{
    static const struct {
        const char *name, *help;
        size_t offset;
    } rows[] = {
        { "sonde_receiver_accepted_items_total", "Items received and made durable.",
          offsetof(otlp_counts, received) },
        { "sonde_receiver_refused_items_total", "Items refused one by one; the sender was told.",
          offsetof(otlp_counts, refused) },
        { "sonde_receiver_failed_requests_total", "Requests answered with an error.",
          offsetof(otlp_counts, failed) },
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        family(p, rows[i].name, "counter", rows[i].help);
        for (int t = 0; t < OTLP_TRANSPORTS; t++) {
            for (int s = 0; s < SIGNAL_COUNT; s++) {
                otlp_counts c;
                uint64_t n;
                otlp_receiver_get_counts(r, (otlp_transport)t, (signal_kind)s, &c);
                memcpy(&n, (const char *)&c + rows[i].offset, sizeof(n));
                buf_fmt(p->out, "%s{receiver=\"otlp\",transport=\"%s\",signal=\"%s\"} %llu\n",
                        rows[i].name, otlp_transport_name((otlp_transport)t),
                        signal_name((signal_kind)s), (unsigned long long)n);
            }
        }
    }
}

static void write_recorders(page *p, const recorder_receiver *r)
{
    recorder_receiver_counts c;
    if (!r)
        return;
    recorder_receiver_get_counts(r, &c);
    by_signal(p, "sonde_recorder_accepted_items_total", "counter",
              "Items read from recorders and made durable.", c.received);
    by_signal(p, "sonde_recorder_refused_items_total", "counter",
              "Items of recorders that the store refused.", c.refused);
    single(p, "sonde_recorder_files", "gauge", "Recorders read now.", (double)c.files);
    single(p, "sonde_recorder_finished_total", "counter",
           "Recorders of dead processes that were read to their end.", (double)c.finished);
    single(p, "sonde_recorder_failed_total", "counter",
           "Times that reading a recorder was put off.", (double)c.failed);
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

static void handle_metrics(http_exchange *x, void *user)
{
    serve_self *self = user;
    page p = { http_out(x), prom_negotiate(http_header(x, "accept")) };
    http_set_header(x, "Content-Type", str_c(prom_content_type(p.format)));
    family(&p, "sonde_build_info", "gauge", "Always 1; the labels tell the build.");
    buf_lit(p.out, "sonde_build_info{version=\"" SONDE_VERSION "\"} 1\n");
    write_store(&p, self->store);
    write_receiver(&p, self->receiver);
    write_recorders(&p, self->recorders);
    write_server(&p, self->server);
    write_library(&p);
}

static const http_route rows[] = {
    { "GET", "/healthz", handle_health, NULL, POOL_NONE, "the process answers" },
    { "GET", "/readyz", handle_ready, NULL, POOL_NONE, "ingest is possible now" },
    { "GET", "/-/healthy", handle_health, NULL, POOL_NONE, "as /healthz" },
    { "GET", "/-/ready", handle_ready, NULL, POOL_NONE, "as /readyz" },
    { "GET", "/metrics", handle_metrics, NULL, POOL_QUERY, "the server's own metrics" },
};

const http_route *serve_self_routes(size_t *ret_count)
{
    *ret_count = ARRAY_LEN(rows);
    return rows;
}
