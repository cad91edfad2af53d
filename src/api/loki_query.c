// SPDX-License-Identifier: Apache-2.0
/* /loki/api/v1/query and query_range: log queries answer with streams, metric queries with a vector
 * or matrix. */
#include "api/loki.h"
#include "api/prometheus.h"

#include "base/clock.h"

#define LINES_DEFAULT      100
#define LINES_LIMIT        5000
#define RANGE_POINTS_LIMIT 11000

bool loki_time(api_request *r, const char *name, int64_t fallback_ns, int64_t *ret_ns)
{
    str text = request_param(r, name);
    int64_t whole;
    *ret_ns = fallback_ns;
    if (!text.len)
        return true;
    if (text.len > 10 && str_to_i64(text, &whole)) {
        *ret_ns = whole;
        return true;
    }
    if (parse_time_s(text, ret_ns))
        return true;
    request_fail(r, STATUS_INVALID,
                 "could not parse '%s' parameter: \"%.*s\" is neither Unix time nor RFC 3339", name,
                 STR_ARG(str_slice(text, 0, 80)));
    return false;
}

/* ---- streams ---- */

static void put_labels_member(json_writer *w, str name, labels l)
{
    if (!l.count)
        return;
    json_key(w, name);
    labels_to_json(w, l);
}

static void put_line(json_writer *w, const logql_line *line)
{
    json_begin_array(w);
    json_i64_quoted(w, line->time_ns);
    json_str(w, line->line);
    json_begin_object(w);
    put_labels_member(w, STR("structuredMetadata"), line->structured);
    put_labels_member(w, STR("parsed"), line->parsed);
    json_end_object(w);
    json_end_array(w);
}

static void begin_stream(json_writer *w, labels stream)
{
    json_begin_object(w);
    json_key(w, STR("stream"));
    labels_to_json(w, stream);
    json_key(w, STR("values"));
    json_begin_array(w);
}

static void end_stream(json_writer *w)
{
    json_end_array(w);
    json_end_object(w);
}

void loki_write_streams(json_writer *w, const logql_lines *lines)
{
    json_begin_array(w);
    for (uint32_t s = 0; s < lines->stream_count; s++) {
        begin_stream(w, lines->streams[s]);
        for (uint32_t i = 0; i < lines->count; i++)
            if (lines->lines[i].stream == s)
                put_line(w, &lines->lines[i]);
        end_stream(w);
    }
    json_end_array(w);
}

void loki_write_runs(json_writer *w, const logql_lines *lines, uint32_t first, uint32_t end)
{
    json_begin_array(w);
    for (uint32_t i = first; i < end; i++) {
        uint32_t stream = lines->lines[i].stream;
        if (i == first || lines->lines[i - 1].stream != stream)
            begin_stream(w, lines->streams[stream]);
        put_line(w, &lines->lines[i]);
        if (i + 1 == end || lines->lines[i + 1].stream != stream)
            end_stream(w);
    }
    json_end_array(w);
}

static void begin_data(api_request *r, const char *type)
{
    prometheus_begin(r);
    json_begin_object(&r->json);
    JSON_PUT(&r->json, str, "resultType", str_c(type));
}

static void end_data(api_request *r, const logql_lines *lines)
{
    json_key(&r->json, STR("stats"));
    json_begin_object(&r->json);
    if (lines) {
        json_key(&r->json, STR("summary"));
        json_begin_object(&r->json);
        JSON_PUT(&r->json, u64, "totalBytesProcessed", lines->bytes);
        JSON_PUT(&r->json, u64, "totalLinesProcessed", lines->scanned);
        JSON_PUT(&r->json, u64, "totalEntriesReturned", lines->count);
        json_end_object(&r->json);
    }
    json_end_object(&r->json);
    json_end_object(&r->json);
    prometheus_end(r);
}

static void answer_lines(api_request *r, const logql_pipeline *pipeline, int64_t from_ns,
                         int64_t to_ns)
{
    uint64_t limit;
    str direction = request_param(r, "direction");
    logql_lines lines;
    if (!request_u64(r, "limit", LINES_DEFAULT, &limit))
        return;
    bool forward = str_eq_nocase(direction, STR("forward"));
    if (direction.len && !forward && !str_eq_nocase(direction, STR("backward"))) {
        request_fail(r, STATUS_INVALID, "invalid direction '%.*s': use forward or backward",
                     STR_ARG(str_slice(direction, 0, 40)));
        return;
    }
    if (limit == 0 || limit > LINES_LIMIT) {
        request_fail(r, STATUS_INVALID,
                     "max entries limit per query exceeded, limit > max_entries_limit_per_query "
                     "(%llu > %d): ask for 1 to %d lines",
                     (unsigned long long)limit, LINES_LIMIT, LINES_LIMIT);
        return;
    }
    logql_options o = { from_ns, to_ns, (uint32_t)limit, !forward, &r->control };
    status st = logql_select(r->store, pipeline, &o, r->arena, &lines, &r->err);
    if (st != STATUS_OK) {
        request_fail_status(r, st);
        return;
    }
    begin_data(r, "streams");
    json_key(&r->json, STR("encodingFlags"));
    json_raw(&r->json, STR("[\"categorize-labels\"]"));
    json_key(&r->json, STR("result"));
    loki_write_streams(&r->json, &lines);
    end_data(r, &lines);
}

/* ---- metrics ---- */

static void put_point(api_request *r, int64_t time_ms, double v)
{
    json_begin_array(&r->json);
    prometheus_time(http_out(r->x), time_ms);
    buf_char(http_out(r->x), ',');
    prometheus_value(http_out(r->x), v);
    r->json.comma = true;
    json_end_array(&r->json);
}

static void answer_metrics(api_request *r, const promql_result *result, int64_t time_ms)
{
    static const char *const names[] = { "none", "scalar", "vector", "matrix", "string" };
    bool matrix = result->type == PROMQL_MATRIX;
    begin_data(r, names[result->type]);
    json_key(&r->json, STR("result"));
    if (result->type == PROMQL_SCALAR) {
        put_point(r, time_ms, result->count ? result->series[0].value[0] : 0);
        end_data(r, NULL);
        return;
    }
    json_begin_array(&r->json);
    for (uint32_t i = 0; i < result->count && request_flush(r); i++) {
        const promql_series *s = &result->series[i];
        json_begin_object(&r->json);
        json_key(&r->json, STR("metric"));
        labels_to_json(&r->json, s->labels);
        json_key(&r->json, matrix ? STR("values") : STR("value"));
        if (matrix)
            json_begin_array(&r->json);
        for (uint32_t k = 0; k < s->count; k++)
            put_point(r, s->time_ms[k], s->value[k]);
        if (matrix)
            json_end_array(&r->json);
        json_end_object(&r->json);
    }
    json_end_array(&r->json);
    end_data(r, NULL);
}

static bool parse_query(api_request *r, logql_query *ret)
{
    str text = request_param(r, "query");
    if (!text.len) {
        request_fail(r, STATUS_INVALID, "parse error at line 1, col 1: the query is empty");
        return false;
    }
    if (logql_parse(ret, text, r->arena, &r->err) == STATUS_OK)
        return true;
    request_fail(r, STATUS_INVALID, "%s", r->err.message);
    return false;
}

void loki_query(api_request *r)
{
    logql_query query;
    promql_result result;
    int64_t time_ns;
    if (!loki_time(r, "time", clock_now_ns(), &time_ns) || !parse_query(r, &query))
        return;
    if (query.pipeline) {
        request_fail(
            r, STATUS_INVALID,
            "log queries are not supported as an instant query type, please change your query "
            "to a range query type");
        return;
    }
    promql_options o = { .start_ms = time_ns / NS_PER_MS,
                         .end_ms = time_ns / NS_PER_MS,
                         .step_ms = 1,
                         .sample_limit = r->api->options.query_samples,
                         .control = &r->control };
    status st =
        logql_instant(r->store, &query, request_param(r, "query"), &o, r->arena, &result, &r->err);
    if (st != STATUS_OK)
        request_fail_status(r, st);
    else
        answer_metrics(r, &result, o.start_ms);
}

/* `step`, or what gives about 250 points. */
static bool step_of(api_request *r, int64_t from_ns, int64_t to_ns, int64_t *ret_ms)
{
    str text = request_param(r, "step");
    int64_t step_ns = MAX((to_ns - from_ns) / 250, NS_PER_S) / NS_PER_S * NS_PER_S;
    if (text.len && !parse_duration_s(text, &step_ns)) {
        request_fail(r, STATUS_INVALID, "cannot parse \"%.*s\" to a valid duration",
                     STR_ARG(str_slice(text, 0, 80)));
        return false;
    }
    *ret_ms = step_ns / NS_PER_MS;
    if (*ret_ms <= 0) {
        request_fail(
            r, STATUS_INVALID,
            "zero or negative query resolution step widths are not accepted. Try a positive "
            "integer");
        return false;
    }
    if ((to_ns - from_ns) / NS_PER_MS / *ret_ms > RANGE_POINTS_LIMIT) {
        request_fail(r, STATUS_INVALID,
                     "exceeded maximum resolution of 11,000 points per time series. Try increasing "
                     "the value of the step parameter");
        return false;
    }
    return true;
}

void loki_query_range(api_request *r)
{
    logql_query query;
    promql_result result;
    promql_options o = { .sample_limit = r->api->options.query_samples, .control = &r->control };
    int64_t from_ns, to_ns, since_ns = 3600 * NS_PER_S;
    str since = request_param(r, "since");
    if (since.len && !parse_duration_s(since, &since_ns)) {
        request_fail(r, STATUS_INVALID,
                     "could not parse 'since' parameter: \"%.*s\" is no duration",
                     STR_ARG(str_slice(since, 0, 80)));
        return;
    }
    if (!loki_time(r, "end", clock_now_ns(), &to_ns) ||
        !loki_time(r, "start", to_ns - since_ns, &from_ns) || !parse_query(r, &query))
        return;
    if (from_ns > to_ns) {
        request_fail(r, STATUS_INVALID, "end timestamp must not be before or equal to start time");
        return;
    }
    if (query.pipeline) {
        answer_lines(r, query.pipeline, from_ns, to_ns);
        return;
    }
    if (!step_of(r, from_ns, to_ns, &o.step_ms))
        return;
    o.start_ms = from_ns / NS_PER_MS;
    o.end_ms = to_ns / NS_PER_MS;
    status st = logql_range_query(r->store, &query, request_param(r, "query"), &o, r->arena,
                                  &result, &r->err);
    if (st != STATUS_OK)
        request_fail_status(r, st);
    else
        answer_metrics(r, &result, o.start_ms);
}
