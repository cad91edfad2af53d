// SPDX-License-Identifier: Apache-2.0
/* /api/v1/query and /api/v1/query_range: parameters in, PromQL evaluated, the result as JSON that
 * is streamed. */
#include "api/prometheus.h"

#include "base/clock.h"
#include "query/promql/cache.h"
#include "query/promql/promql.h"

#include <stdio.h>

#define RANGE_POINTS_LIMIT 11000 /* per series; Prometheus's own */
#define NOTES_SHOWN        10u   /* of warnings, and of infos; Prometheus's own as well */

/* As many as Prometheus shows, then how many more there are. `extra`: one more note, or NULL. */
static void put_notes(api_request *r, const promql_notes *notes, bool warnings, const char *extra)
{
    bool open = false;
    uint32_t count = 0;
    if (extra) {
        json_key(&r->json, STR("warnings"));
        json_begin_array(&r->json);
        json_str(&r->json, str_c(extra));
        open = true;
    }
    for (uint32_t i = 0; i < notes->count; i++) {
        if (notes->warning[i] != warnings || ++count > NOTES_SHOWN)
            continue;
        if (!open) {
            json_key(&r->json, warnings ? STR("warnings") : STR("infos"));
            json_begin_array(&r->json);
            open = true;
        }
        json_str(&r->json, notes->items[i]);
    }
    if (count > NOTES_SHOWN) {
        char text[64];
        snprintf(text, sizeof(text), "%u more %s annotations omitted",
                 count - NOTES_SHOWN + notes->omitted_count[warnings],
                 warnings ? "warning" : "info");
        json_str(&r->json, str_c(text));
    }
    if (open)
        json_end_array(&r->json);
}

static void put_string(api_request *r, int64_t time_ms, str text)
{
    json_begin_array(&r->json);
    prometheus_time(http_out(r->x), time_ms);
    r->json.comma = true;
    json_str(&r->json, text);
    json_end_array(&r->json);
}

/* When the query was ready for evaluation, and when it was evaluated. */
typedef struct {
    int64_t prepared_ns, evaluated_ns; /* monotonic */
} phases;

static double seconds(int64_t ns)
{
    return (double)ns / NS_PER_S;
}

/* What the parameter `stats` asks for. */
static void put_stats(api_request *r, const promql_result *result, const phases *at)
{
    if (!request_param(r, "stats").len)
        return;
    json_writer *w = &r->json;
    int64_t begun = http_begun_mono_ns(r->x), started = r->started_mono_ns;
    int64_t inner = at->evaluated_ns - at->prepared_ns - result->sort_ns;
    json_key(w, STR("stats"));
    json_begin_object(w);
    json_key(w, STR("timings"));
    json_begin_object(w);
    JSON_PUT(w, f64, "evalTotalTime", seconds(at->evaluated_ns - started));
    JSON_PUT(w, f64, "resultSortTime", seconds(result->sort_ns));
    JSON_PUT(w, f64, "queryPreparationTime", seconds(at->prepared_ns - started));
    JSON_PUT(w, f64, "innerEvalTime", seconds(MAX(inner, 0)));
    JSON_PUT(w, f64, "execQueueTime", seconds(MAX(started - begun, 0)));
    JSON_PUT(w, f64, "execTotalTime", seconds(at->evaluated_ns - MIN(begun, started)));
    json_end_object(w);
    json_key(w, STR("samples"));
    json_begin_object(w);
    JSON_PUT(w, u64, "totalQueryableSamples", result->read);
    JSON_PUT(w, u64, "samplesRead", result->read);
    JSON_PUT(w, u64, "seriesTouched", result->touched);
    JSON_PUT(w, u64, "peakSamples", result->samples);
    json_end_object(w);
    json_end_object(w);
}

static void put_scalar(api_request *r, int64_t time_ms, const promql_result *result)
{
    prometheus_point(http_out(r->x), time_ms, result->count ? result->series[0].value[0] : 0);
    r->json.comma = true;
}

static void put_result(api_request *r, const promql_result *result, const promql_options *o,
                       const phases *at, uint64_t limit)
{
    static const char *const names[] = { "none", "scalar", "vector", "matrix", "string" };
    uint32_t most = limit && limit < UINT32_MAX ? (uint32_t)limit : UINT32_MAX;
    prometheus_begin(r);
    json_begin_object(&r->json);
    JSON_PUT(&r->json, str, "resultType", str_c(names[result->type]));
    json_key(&r->json, STR("result"));
    if (result->type == PROMQL_SCALAR)
        put_scalar(r, o->start_ms, result);
    else if (result->type == PROMQL_STRING)
        put_string(r, o->start_ms, result->string);
    else
        prometheus_series(r, result, o, most);
    put_stats(r, result, at);
    json_end_object(&r->json);
    put_notes(r, &result->notes, true,
              result->count > most ? "results truncated due to limit" : NULL);
    put_notes(r, &result->notes, false, NULL);
    prometheus_end(r);
}

const promql_node *prometheus_parse(api_request *r)
{
    const promql_node *query;
    if (promql_parse(&query, request_param(r, "query"), r->api->options.features, r->arena,
                     &r->err) == STATUS_OK)
        return query;
    request_fail(r, STATUS_INVALID, "invalid parameter \"query\": %s", r->err.message);
    return NULL;
}

/* The query with its durations, start(), end(), range() and step() as numbers: what is wrong with
 * them is the parameter's fault. NULL after an answer was given. */
static const promql_node *bound_query(api_request *r, const promql_options *o, bool range)
{
    const promql_range_bounds bounds = { o->start_ms, o->end_ms, range ? o->step_ms : 0 };
    const promql_node *query = prometheus_parse(r), *bound;
    if (!query)
        return NULL;
    if (promql_bind(&bound, query, &bounds, r->arena, &r->err) == STATUS_OK)
        return bound;
    request_fail(r, STATUS_INVALID, "invalid parameter \"query\": %s", r->err.message);
    return NULL;
}

/* Errors of evaluation are 422 "execution"; only bad parameters are 400. */
static void fail_execution(api_request *r, status st)
{
    request_fail_status(r, st == STATUS_INVALID || st == STATUS_UNSUPPORTED ? STATUS_LIMIT : st);
}

/* False after an answer was given. */
static bool options_of(api_request *r, promql_options *ret)
{
    str text = request_param(r, "lookback_delta");
    int64_t lookback_ns = r->api->options.lookback_ns;
    if (text.len && !parse_duration_s(text, &lookback_ns)) {
        request_fail(
            r, STATUS_INVALID,
            "error parsing lookback delta duration: cannot parse \"%.*s\" to a valid duration",
            STR_ARG(str_slice(text, 0, 80)));
        return false;
    }
    *ret = (promql_options){ .step_ms = 1,
                             .lookback_ms = MAX(lookback_ns, 0) / NS_PER_MS,
                             .sample_limit = r->api->options.query_samples,
                             .features = r->api->options.features,
                             .control = &r->control };
    return true;
}

void prometheus_query(api_request *r)
{
    str text = request_param(r, "query");
    promql_options o;
    promql_result result;
    int64_t time_ns;
    uint64_t limit;
    if (!request_time_s(r, "time", clock_now_ns(), &time_ns) ||
        !request_u64(r, "limit", 0, &limit) || !request_timeout(r) || !options_of(r, &o))
        return;
    o.start_ms = o.end_ms = time_ns / NS_PER_MS;
    const promql_node *query = bound_query(r, &o, false);
    if (!query)
        return;
    phases at = { .prepared_ns = clock_mono_ns() };
    status st = promql_instant(r->store, query, text, &o, r->arena, &result, &r->err);
    at.evaluated_ns = clock_mono_ns();
    if (st != STATUS_OK)
        fail_execution(r, st);
    else
        put_result(r, &result, &o, &at, limit);
}

static bool range_parameter(api_request *r, const char *name, bool (*parse)(str, int64_t *),
                            int64_t *ret_ns)
{
    str text = request_param(r, name);
    double seconds;
    if (text.len && parse(text, ret_ns))
        return true;
    bool far = parse == parse_duration_s && str_to_f64(text, &seconds);
    request_fail(r, STATUS_INVALID, "invalid parameter \"%s\": cannot parse \"%.*s\" to a valid %s",
                 name, STR_ARG(str_slice(text, 0, 80)),
                 parse == parse_time_s ? "timestamp"
                 : far                 ? "duration. It overflows int64"
                                       : "duration");
    return false;
}

/* start, end and step into *o; false after an answer was given. */
static bool range_parameters(api_request *r, promql_options *o)
{
    int64_t start_ns = 0, end_ns = 0, step_ns = 0;
    if (!range_parameter(r, "start", parse_time_s, &start_ns) ||
        !range_parameter(r, "end", parse_time_s, &end_ns) ||
        !range_parameter(r, "step", parse_duration_s, &step_ns))
        return false;
    if (!options_of(r, o))
        return false;
    o->start_ms = start_ns / NS_PER_MS;
    o->end_ms = end_ns / NS_PER_MS;
    o->step_ms = step_ns / NS_PER_MS;
    const char *wrong = NULL;
    if (o->end_ms < o->start_ms)
        wrong = "invalid parameter \"end\": end timestamp must not be before start time";
    else if (o->step_ms <= 0)
        wrong = "invalid parameter \"step\": zero or negative query resolution step widths are not "
                "accepted. Try a positive integer";
    else if ((o->end_ms - o->start_ms) / o->step_ms > RANGE_POINTS_LIMIT)
        wrong =
            "exceeded maximum resolution of 11,000 points per timeseries. Try decreasing the query "
            "resolution (?step=XX)";
    if (wrong)
        request_fail(r, STATUS_INVALID, "%s", wrong);
    return !wrong;
}

void prometheus_query_range(api_request *r)
{
    str text = request_param(r, "query");
    promql_options o;
    promql_result result;
    uint64_t limit;
    if (!range_parameters(r, &o) || !request_u64(r, "limit", 0, &limit) || !request_timeout(r))
        return;
    const promql_node *query = bound_query(r, &o, true);
    if (!query)
        return;
    if (query->type != PROMQL_VECTOR && query->type != PROMQL_SCALAR) {
        request_fail(r, STATUS_INVALID,
                     "invalid parameter \"query\": invalid expression type \"%s\" for range query, "
                     "must be Scalar or instant Vector",
                     promql_type_name(query->type));
        return;
    }
    promql_cache *cache = str_is(request_param(r, "nocache"), "1") ? NULL : r->api->cache;
    phases at = { .prepared_ns = clock_mono_ns() };
    status st = promql_cached_range(cache, r->store, query, text, &o, r->arena, &result, &r->err);
    if (st != STATUS_OK)
        fail_execution(r, st);
    else
        put_result(r, &result, &o, &at, limit);
}
