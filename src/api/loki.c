// SPDX-License-Identifier: Apache-2.0
/* The Loki query API: its table, its error shape (plain text), labels and streams. */
#include "api/loki.h"
#include "api/prometheus.h"
#include "api/tail.h"

#include "base/clock.h"

#define SELECTORS_LIMIT 100

static void loki_error(api_request *r, status code, const char *message)
{
    int http = code == STATUS_CANCELED || code == STATUS_BUSY ? 503
               : code == STATUS_IO || code == STATUS_CORRUPT  ? 500
                                                              : 400;
    http_set_status(r->x, http);
    http_set_header(r->x, "Content-Type", STR("text/plain; charset=utf-8"));
    buf_str(http_out(r->x), str_c(message));
    buf_char(http_out(r->x), '\n');
}

/* A log query in parameter `name` number `index`, or NULL in *ret when it is absent. */
static bool pipeline_param(api_request *r, const char *name, unsigned index,
                           const logql_pipeline **ret)
{
    bool found;
    logql_query query;
    str text = http_param(r->x, name, index, &found);
    *ret = NULL;
    if (!found || !text.len || str_is(str_trim(text), "{}"))
        return true;
    if (logql_parse(&query, text, r->arena, &r->err) != STATUS_OK) {
        request_fail(r, STATUS_INVALID, "%s", r->err.message);
        return false;
    }
    if (!query.pipeline) {
        request_fail(r, STATUS_INVALID, "parameter \"%s\" must be a stream selector", name);
        return false;
    }
    *ret = query.pipeline;
    return true;
}

static bool range_param(api_request *r, int64_t *from_ns, int64_t *to_ns)
{
    int64_t since_ns = 6 * 3600 * NS_PER_S;
    str since = request_param(r, "since");
    if (since.len && !parse_duration_s(since, &since_ns)) {
        request_fail(r, STATUS_INVALID,
                     "could not parse 'since' parameter: \"%.*s\" is no duration",
                     STR_ARG(str_slice(since, 0, 80)));
        return false;
    }
    return loki_time(r, "end", clock_now_ns(), to_ns) &&
           loki_time(r, "start", *to_ns - since_ns, from_ns);
}

/* ---- labels ---- */

static void answer_names(api_request *r, str name)
{
    const logql_pipeline *pipeline;
    names_query q = { .signal = SIGNAL_LOGS, .control = &r->control };
    str_list list;
    if (!range_param(r, &q.from_ns, &q.to_ns) || !pipeline_param(r, "query", 0, &pipeline))
        return;
    if (pipeline) {
        q.matchers = pipeline->matchers;
        q.matcher_count = pipeline->matcher_count;
    }
    status st = name.len ? store_label_values(r->store, &q, name, r->arena, &list, &r->err)
                         : store_label_names(r->store, &q, r->arena, &list, &r->err);
    prometheus_names(r, st, &list, 0);
}

static void label_names(api_request *r)
{
    answer_names(r, STR_EMPTY);
}

static void label_values(api_request *r)
{
    str name = http_path_param(r->x, "name");
    if (name.len)
        answer_names(r, name);
    else
        request_fail(r, STATUS_INVALID, "the label's name is missing");
}

/* ---- streams ---- */

static void stream_list(api_request *r)
{
    int64_t from_ns, to_ns;
    const char *name = request_param(r, "match[]").len ? "match[]" : "match";
    logql_streams streams;
    if (!range_param(r, &from_ns, &to_ns))
        return;
    logql_streams_init(&streams, r->arena);
    for (unsigned i = 0;; i++) {
        const logql_pipeline *pipeline;
        bool found;
        (void)http_param(r->x, name, i, &found);
        if (!found)
            break;
        if (i == SELECTORS_LIMIT) {
            request_fail(r, STATUS_INVALID, "more than %d match[] parameters", SELECTORS_LIMIT);
            return;
        }
        if (!pipeline_param(r, name, i, &pipeline))
            return;
        status st =
            logql_count_streams(r->store, pipeline, from_ns, to_ns, &r->control, &streams, &r->err);
        if (st != STATUS_OK) {
            request_fail_status(r, st);
            return;
        }
    }
    prometheus_begin(r);
    json_begin_array(&r->json);
    for (uint32_t i = 0; i < streams.groups.count && request_flush(r); i++)
        labels_to_json(&r->json, streams.groups.items[i]);
    json_end_array(&r->json);
    prometheus_end(r);
}

static void index_stats(api_request *r)
{
    int64_t from_ns, to_ns;
    const logql_pipeline *pipeline;
    logql_streams streams;
    if (!range_param(r, &from_ns, &to_ns) || !pipeline_param(r, "query", 0, &pipeline))
        return;
    logql_streams_init(&streams, r->arena);
    status st =
        logql_count_streams(r->store, pipeline, from_ns, to_ns, &r->control, &streams, &r->err);
    if (st != STATUS_OK) {
        request_fail_status(r, st);
        return;
    }
    request_json(r);
    json_begin_object(&r->json);
    JSON_PUT(&r->json, u64, "streams", streams.groups.count);
    JSON_PUT(&r->json, u64, "chunks", streams.groups.count);
    JSON_PUT(&r->json, u64, "entries", streams.entries);
    JSON_PUT(&r->json, u64, "bytes", streams.bytes);
    json_end_object(&r->json);
}

static void build_info(api_request *r)
{
    request_json(r);
    json_begin_object(&r->json);
    JSON_PUT(&r->json, str, "version", STR("3.0.0"));
    JSON_PUT(&r->json, str, "application", STR("sonde"));
    JSON_PUT(&r->json, str, "applicationVersion", STR(SONDE_VERSION));
    json_end_object(&r->json);
}

static const api_row rows[] = {
    { "GET|POST", "/loki/api/v1/query", loki_query, "LogQL metric at one time: query, time." },
    { "GET|POST", "/loki/api/v1/query_range", loki_query_range,
      "LogQL lines or metrics over a range: query, start, end, since, step, limit, direction." },
    { "GET|POST", "/loki/api/v1/labels", label_names, "Label names: query, start, end, since." },
    { "GET", "/loki/api/v1/label/{name}/values", label_values,
      "Values of one label: query, start, end, since." },
    { "GET|POST", "/loki/api/v1/series", stream_list,
      "Streams that match: match[], start, end, since." },
    { "GET|POST", "/loki/api/v1/index/stats", index_stats,
      "Streams, lines and bytes that match: query, start, end, since." },
    { "GET", "/loki/api/v1/tail", loki_tail, "Live lines over a WebSocket: query, start, limit." },
    { "GET", "/loki/api/v1/status/buildinfo", build_info,
      "Version, for clients that choose by it." },
};

const api_table loki_api = { rows, ARRAY_LEN(rows), loki_error };
