// SPDX-License-Identifier: Apache-2.0
/* The Prometheus query API: its table, its error shape, and what it knows of series and labels. */
#include "api/prometheus.h"

#include "base/clock.h"
#include "query/promql/promql.h"

#include <stdlib.h>

/* status of a failure -> what Prometheus calls it */
static const struct {
    status code;
    int http;
    const char *type;
} error_types[] = { { STATUS_INVALID, 400, "bad_data" },     { STATUS_LIMIT, 422, "execution" },
                    { STATUS_CANCELED, 503, "timeout" },     { STATUS_NOT_FOUND, 404, "not_found" },
                    { STATUS_NO_MEMORY, 422, "execution" },  { STATUS_BUSY, 503, "unavailable" },
                    { STATUS_UNSUPPORTED, 422, "execution" } };

void prometheus_error(api_request *r, status code, const char *message)
{
    int http = 500;
    const char *type = "internal";
    for (size_t i = 0; i < ARRAY_LEN(error_types); i++) {
        if (error_types[i].code == code) {
            http = error_types[i].http;
            type = error_types[i].type;
        }
    }
    if (code == STATUS_CANCELED && r->control.canceled && *r->control.canceled) {
        type = "canceled";
        http = 499;
    }
    http_set_status(r->x, http);
    request_json(r);
    json_begin_object(&r->json);
    JSON_PUT(&r->json, str, "status", STR("error"));
    JSON_PUT(&r->json, str, "errorType", str_c(type));
    JSON_PUT(&r->json, str, "error", str_c(message));
    json_end_object(&r->json);
}

void prometheus_begin(api_request *r)
{
    request_json(r);
    json_begin_object(&r->json);
    JSON_PUT(&r->json, str, "status", STR("success"));
    json_key(&r->json, STR("data"));
}

void prometheus_end(api_request *r)
{
    json_end_object(&r->json);
}

/* ---- match[] ---- */

typedef struct {
    int64_t from_ns, to_ns;
    uint64_t limit; /* 0: none */
    const promql_node **selectors;
    uint32_t selector_count;
} selection;

#define MATCH_LIMIT 100 /* match[] parameters in one request */

bool prometheus_selectors(api_request *r, const char *refused, const promql_node ***ret,
                          uint32_t *ret_count)
{
    const promql_node **list = ARENA_ARRAY(r->arena, const promql_node *, MATCH_LIMIT);
    for (uint32_t n = 0;; n++) {
        bool found;
        str text = http_param(r->x, "match[]", n, &found);
        if (!found) {
            *ret = list;
            *ret_count = n;
            return true;
        }
        if (!list || n == MATCH_LIMIT) {
            request_fail(r, STATUS_INVALID, "more than %d match[] parameters", MATCH_LIMIT);
            return false;
        }
        if (promql_parse_selector(&list[n], text, r->arena, &r->err) != STATUS_OK) {
            request_fail(r, STATUS_INVALID, "%s%s", refused, r->err.message);
            return false;
        }
    }
}

static bool selection_of(api_request *r, const char *refused, selection *ret)
{
    *ret = (selection){ 0 };
    return request_time_s(r, "start", TIME_FIRST_NS, &ret->from_ns) &&
           request_time_s(r, "end", TIME_LAST_NS, &ret->to_ns) &&
           request_u64(r, "limit", 0, &ret->limit) && request_timeout(r) &&
           prometheus_selectors(r, refused, &ret->selectors, &ret->selector_count);
}

static int order_texts(const void *a, const void *b)
{
    return str_cmp(*(const str *)a, *(const str *)b);
}

/* Sorts and removes doubles of the union of several answers. */
static void unite(str_list *list)
{
    uint32_t n = 0;
    qsort(list->items, list->count, sizeof(str), order_texts);
    for (uint32_t i = 0; i < list->count; i++)
        if (!n || !str_eq(list->items[n - 1], list->items[i]))
            list->items[n++] = list->items[i];
    list->count = n;
}

/* One more than asked for, which tells whether there are more. */
static uint32_t names_limit(const selection *s)
{
    return s->limit && s->limit < UINT32_MAX ? (uint32_t)s->limit + 1 : UINT32_MAX;
}

/* Names (name empty) or values of one label over all selectors, up to names_limit. */
static status names_of(api_request *r, const selection *s, str name, str_list *ret)
{
    *ret = (str_list){ 0 };
    for (uint32_t i = 0; i < MAX(s->selector_count, 1); i++) {
        const promql_selector *selector = s->selector_count ? &s->selectors[i]->selector : NULL;
        names_query q = { .signal = SIGNAL_METRICS,
                          .matchers = selector ? selector->matchers : NULL,
                          .matcher_count = selector ? selector->matcher_count : 0,
                          .from_ns = s->from_ns,
                          .to_ns = s->to_ns,
                          .limit = names_limit(s),
                          .control = &r->control };
        str_list part;
        status st = name.len ? store_label_values(r->store, &q, name, r->arena, &part, &r->err)
                             : store_label_names(r->store, &q, r->arena, &part, &r->err);
        if (st != STATUS_OK)
            return st;
        str *grown = arena_grow(r->arena, ret->items, ret->count * sizeof(str),
                                ((size_t)ret->count + part.count + 1) * sizeof(str));
        if (!grown)
            return fail(&r->err, STATUS_LIMIT, "too many labels for the query's memory limit");
        if (part.count)
            memcpy(grown + ret->count, part.items, part.count * sizeof(str));
        ret->items = grown;
        ret->count += part.count;
    }
    unite(ret);
    return STATUS_OK;
}

/* Behind the data: that there would be more of it. */
static void put_truncated(api_request *r)
{
    json_key(&r->json, STR("warnings"));
    json_begin_array(&r->json);
    json_str(&r->json, STR("results truncated due to limit"));
    json_end_array(&r->json);
}

void prometheus_names(api_request *r, status st, const str_list *list, uint64_t limit)
{
    uint64_t shown = limit ? MIN(limit, (uint64_t)list->count) : list->count;
    if (st != STATUS_OK) {
        request_fail_status(r, st);
        return;
    }
    prometheus_begin(r);
    json_begin_array(&r->json);
    for (uint32_t i = 0; i < shown && request_flush(r); i++)
        json_str(&r->json, list->items[i]);
    json_end_array(&r->json);
    if (shown < list->count)
        put_truncated(r);
    prometheus_end(r);
}

static void answer_names(api_request *r, str name)
{
    selection s;
    str_list list;
    if (!selection_of(r, "", &s))
        return;
    status st = names_of(r, &s, name, &list);
    prometheus_names(r, st, &list, s.limit);
}

static void label_names(api_request *r)
{
    answer_names(r, STR_EMPTY);
}

static void label_values(api_request *r)
{
    str name = http_path_param(r->x, "name");
    if (!name.len || utf8_valid_prefix(name) != name.len)
        request_fail(r, STATUS_INVALID, "invalid label name: \"%.*s\"",
                     STR_ARG(str_slice(name, 0, 80)));
    else
        answer_names(r, name);
}

/* ---- series ---- */

static int order_series(const void *a, const void *b)
{
    return labels_cmp(*(const labels *)a, *(const labels *)b);
}

static status collect_series(api_request *r, const selection *s, labels **ret, uint32_t *ret_count)
{
    *ret = NULL;
    *ret_count = 0;
    for (uint32_t i = 0; i < s->selector_count; i++) {
        series_query q = { .matchers = s->selectors[i]->selector.matchers,
                           .matcher_count = s->selectors[i]->selector.matcher_count,
                           .from_ms = s->from_ns / NS_PER_MS,
                           .to_ms = s->to_ns / NS_PER_MS,
                           .labels_only = true,
                           .control = &r->control };
        series_set set;
        status st = store_series(r->store, &q, r->arena, &set, &r->err);
        if (st != STATUS_OK)
            return st;
        labels *grown = arena_grow(r->arena, *ret, *ret_count * sizeof(labels),
                                   ((size_t)*ret_count + set.count + 1) * sizeof(labels));
        if (!grown)
            return fail(&r->err, STATUS_LIMIT, "too many series for the query's memory limit");
        for (uint32_t k = 0; k < set.count; k++)
            grown[(*ret_count)++] = (labels){ set.items[k].labels, set.items[k].label_count };
        *ret = grown;
    }
    qsort(*ret, *ret_count, sizeof(labels), order_series);
    return STATUS_OK;
}

static void series_list(api_request *r)
{
    selection s;
    labels *list;
    uint32_t count;
    if (!selection_of(r, "invalid parameter \"match[]\": ", &s))
        return;
    if (!s.selector_count) {
        request_fail(r, STATUS_INVALID, "no match[] parameter provided");
        return;
    }
    status st = collect_series(r, &s, &list, &count);
    if (st != STATUS_OK) {
        request_fail_status(r, st);
        return;
    }
    uint64_t written = 0, limit = s.limit ? s.limit : UINT64_MAX;
    prometheus_begin(r);
    json_begin_array(&r->json);
    for (uint32_t i = 0; i < count && written <= limit && request_flush(r); i++) {
        if (i && labels_eq(list[i - 1], list[i]))
            continue;
        if (written++ < limit)
            labels_to_json(&r->json, list[i]);
    }
    json_end_array(&r->json);
    if (written > limit)
        put_truncated(r);
    prometheus_end(r);
}

/* ---- metadata ---- */

int prometheus_order_metadata(const void *a, const void *b)
{
    return str_cmp(((const metric_metadata *)a)->metric, ((const metric_metadata *)b)->metric);
}

status prometheus_all_metadata(api_request *r, metric_metadata **ret, uint32_t *ret_count)
{
    status st = store_metadata(r->store, r->arena, ret, ret_count, &r->err);
    if (st == STATUS_OK && *ret_count)
        qsort(*ret, *ret_count, sizeof(**ret), prometheus_order_metadata);
    return st;
}

bool prometheus_limit(api_request *r, const char *name, int64_t *ret)
{
    str text = request_param(r, name);
    *ret = -1;
    if (!text.len || str_to_i64(text, ret))
        return true;
    request_fail(r, STATUS_INVALID, "%s must be a number", name);
    return false;
}

static void metadata(api_request *r)
{
    metric_metadata *list;
    uint32_t count;
    int64_t limit, per_metric;
    str only = request_param(r, "metric");
    if (!prometheus_limit(r, "limit", &limit) ||
        !prometheus_limit(r, "limit_per_metric", &per_metric))
        return;
    status st = prometheus_all_metadata(r, &list, &count);
    if (st != STATUS_OK) {
        request_fail_status(r, st);
        return;
    }
    prometheus_begin(r);
    json_begin_object(&r->json);
    for (uint32_t i = 0, end; i < count && limit && request_flush(r); i = end) {
        for (end = i; end < count && str_eq(list[end].metric, list[i].metric);)
            end++;
        if (only.len && !str_eq(only, list[i].metric))
            continue;
        limit -= limit > 0;
        json_key(&r->json, list[i].metric);
        json_begin_array(&r->json);
        for (uint32_t k = i; k < end && (per_metric <= 0 || k - i < per_metric); k++) {
            json_begin_object(&r->json);
            JSON_PUT(&r->json, str, "type", list[k].type);
            JSON_PUT(&r->json, str, "help", list[k].help);
            JSON_PUT(&r->json, str, "unit", list[k].unit);
            json_end_object(&r->json);
        }
        json_end_array(&r->json);
    }
    json_end_object(&r->json);
    prometheus_end(r);
}

static const api_row rows[] = {
    { "GET|POST", "/api/v1/query", prometheus_query,
      "PromQL at one time: query, time, timeout, limit." },
    { "GET|POST", "/api/v1/query_range", prometheus_query_range,
      "PromQL over a range: query, start, end, step, timeout, limit." },
    { "GET|POST", "/api/v1/format_query", prometheus_format_query,
      "The query over several lines: query." },
    { "GET|POST", "/api/v1/parse_query", prometheus_parse_query, "The query's tree: query." },
    { "GET|POST", "/api/v1/query_exemplars", prometheus_query_exemplars,
      "Exemplars of the series in a query: query, start, end." },
    { "GET|POST", "/api/v1/series", series_list,
      "Label sets of the series that match: match[], start, end, limit." },
    { "GET|POST", "/api/v1/labels", label_names, "Label names: match[], start, end, limit." },
    { "GET", "/api/v1/label/{name}/values", label_values,
      "Values of one label: match[], start, end, limit." },
    { "GET", "/api/v1/metadata", metadata,
      "Type, help and unit of metrics: metric, limit, limit_per_metric." },
    { "GET", "/api/v1/targets", prometheus_targets, "Scraped targets: state, scrapePool." },
    { "GET", "/api/v1/targets/metadata", prometheus_target_metadata,
      "Type, help and unit of metrics by target: match_target, metric, limit." },
    { "GET", "/api/v1/scrape_pools", prometheus_scrape_pools, "Names of scrape configurations." },
    { "GET", "/api/v1/rules", prometheus_rules,
      "Rules and their state: type, rule_name[], rule_group[], file[], match[], exclude_alerts, "
      "group_limit, group_next_token." },
    { "GET", "/api/v1/alerts", prometheus_alerts, "Active alerts." },
    { "GET", "/api/v1/alertmanagers", prometheus_alertmanagers, "External Alertmanagers." },
    { "GET", "/api/v1/status/buildinfo", prometheus_build_info,
      "Version, for clients that choose by it." },
    { "GET", "/api/v1/status/runtimeinfo", prometheus_runtime_info,
      "Start time, number of series, limits." },
    { "GET", "/api/v1/status/flags", prometheus_flags, "The limits and features of queries." },
    { "GET", "/api/v1/status/config", prometheus_config, "The configuration file." },
    { "GET", "/api/v1/status/tsdb", prometheus_tsdb,
      "Metrics with the most series, labels with the most values: limit." },
    { "GET", "/api/v1/status/walreplay", prometheus_replay,
      "Progress of the start: finished when it answers." },
    { "GET", "/federate", prometheus_federate,
      "The newest samples of the series that match, as a page to scrape: match[]." },
    { "GET", "/api/v1/features", prometheus_features, "Functions and features of the language." },
};

const api_table prometheus_api = { rows, ARRAY_LEN(rows), prometheus_error };
