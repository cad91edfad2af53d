// SPDX-License-Identifier: Apache-2.0
/* The Jaeger query API: services, operations, trace search, one trace. */
#include "api/jaeger.h"

#include "base/clock.h"
#include "codec/json_value.h"

#define SEARCH_LIMIT_DEFAULT 20
#define SEARCH_LIMIT_MOST    1500
#define TAGS_LIMIT           32
#define LOOKBACK_DEFAULT_NS  (3600 * NS_PER_S)

static void jaeger_error(api_request *r, status code, const char *message)
{
    int http = code == STATUS_INVALID     ? 400
               : code == STATUS_NOT_FOUND ? 404
               : code == STATUS_CANCELED  ? 503
               : code == STATUS_BUSY      ? 503
               : code == STATUS_LIMIT     ? 422
                                          : 500;
    http_set_status(r->x, http);
    request_json(r);
    json_begin_object(&r->json);
    json_key(&r->json, STR("data"));
    json_null(&r->json);
    JSON_PUT(&r->json, u64, "total", 0);
    JSON_PUT(&r->json, u64, "limit", 0);
    JSON_PUT(&r->json, u64, "offset", 0);
    json_key(&r->json, STR("errors"));
    json_begin_array(&r->json);
    json_begin_object(&r->json);
    JSON_PUT(&r->json, i64, "code", http);
    JSON_PUT(&r->json, str, "msg", str_c(message));
    json_end_object(&r->json);
    json_end_array(&r->json);
    json_end_object(&r->json);
}

void jaeger_begin(api_request *r)
{
    request_json(r);
    json_begin_object(&r->json);
    json_key(&r->json, STR("data"));
}

void jaeger_end(api_request *r, uint64_t total)
{
    JSON_PUT(&r->json, u64, "total", total);
    JSON_PUT(&r->json, u64, "limit", 0);
    JSON_PUT(&r->json, u64, "offset", 0);
    json_key(&r->json, STR("errors"));
    json_null(&r->json);
    json_end_object(&r->json);
}

bool trace_ids_add(trace_id_list *l, trace_id id)
{
    for (uint32_t i = 0; i < l->count; i++)
        if (!memcmp(&l->items[i], &id, sizeof(id)))
            return true;
    if (l->count == l->limit)
        return false;
    if (!l->items && !(l->items = ARENA_ARRAY(l->arena, trace_id, l->limit)))
        return false;
    l->items[l->count++] = id;
    return true;
}

bool jaeger_trace_id(str text, trace_id *ret)
{
    char digits[32];
    if (text.len == 0 || text.len > sizeof(digits))
        return false;
    memset(digits, '0', sizeof(digits));
    memcpy(digits + sizeof(digits) - text.len, text.ptr, text.len);
    return str_from_hex(str_n(digits, sizeof(digits)), ret->bytes, sizeof(ret->bytes));
}

/* ---- names ---- */

static bool names(api_request *r, const matcher *matchers, uint32_t count, str name, str_list *ret)
{
    names_query q = { .signal = SIGNAL_TRACES,
                      .matchers = matchers,
                      .matcher_count = count,
                      .from_ns = TIME_FIRST_NS,
                      .to_ns = TIME_LAST_NS,
                      .control = &r->control };
    status st = store_label_values(r->store, &q, name, r->arena, ret, &r->err);
    if (st != STATUS_OK)
        request_fail_status(r, st);
    return st == STATUS_OK;
}

static void answer_list(api_request *r, const str_list *list)
{
    jaeger_begin(r);
    json_begin_array(&r->json);
    for (uint32_t i = 0; i < list->count && request_flush(r); i++)
        json_str(&r->json, list->items[i]);
    json_end_array(&r->json);
    jaeger_end(r, list->count);
}

static void services(api_request *r)
{
    str_list list;
    if (names(r, NULL, 0, STR("service"), &list))
        answer_list(r, &list);
}

static void service_operations(api_request *r)
{
    matcher m = { STR("service"), MATCH_EQ, http_path_param(r->x, "service") };
    str_list list;
    if (names(r, &m, 1, STR("name"), &list))
        answer_list(r, &list);
}

static const char *const kinds[] = { "internal", "server", "client", "producer", "consumer", "" };

static void operations(api_request *r)
{
    str service = request_param(r, "service"), kind = request_param(r, "spanKind");
    uint64_t total = 0;
    str_list lists[ARRAY_LEN(kinds)] = { { 0 } };
    if (!service.len) {
        request_fail(r, STATUS_INVALID, "parameter 'service' is required");
        return;
    }
    for (size_t i = 0; i < ARRAY_LEN(kinds); i++) {
        matcher m[] = { { STR("service"), MATCH_EQ, service },
                        { STR("kind"), MATCH_EQ,
                          kinds[i][0] ? str_c(kinds[i]) : STR("unspecified") } };
        if (!kind.len || str_is(kind, kinds[i]))
            if (!names(r, m, ARRAY_LEN(m), STR("name"), &lists[i]))
                return;
    }
    jaeger_begin(r);
    json_begin_array(&r->json);
    for (size_t i = 0; i < ARRAY_LEN(kinds); i++) {
        for (uint32_t k = 0; k < lists[i].count; k++, total++) {
            json_begin_object(&r->json);
            JSON_PUT(&r->json, str, "name", lists[i].items[k]);
            JSON_PUT(&r->json, str, "spanKind", str_c(kinds[i]));
            json_end_object(&r->json);
        }
    }
    json_end_array(&r->json);
    jaeger_end(r, total);
}

/* ---- one trace ---- */

/* Writes the trace; false when there is none or the store failed (then *ret says how). */
static bool put_trace(api_request *r, trace_id id, status *ret)
{
    batch spans;
    batch_init(&spans, SIGNAL_TRACES, r->api->options.query_memory);
    *ret = store_trace(r->store, id, &spans, &r->err);
    if (*ret == STATUS_OK)
        jaeger_write_trace(r, &spans);
    batch_done(&spans);
    return *ret == STATUS_OK;
}

static void one_trace(api_request *r)
{
    str text = http_path_param(r->x, "id");
    trace_id id;
    status st;
    if (!jaeger_trace_id(text, &id)) {
        request_fail(
            r, STATUS_INVALID,
            "malformed parameter 'traceID': \"%.*s\" is not a hexadecimal id of at most 32 "
            "digits",
            STR_ARG(str_slice(text, 0, 80)));
        return;
    }
    jaeger_begin(r);
    json_begin_array(&r->json);
    if (!put_trace(r, id, &st)) {
        request_fail(r, st, "%s", st == STATUS_NOT_FOUND ? "trace not found" : r->err.message);
        return;
    }
    json_end_array(&r->json);
    jaeger_end(r, 0);
}

/* ---- search ---- */

typedef struct {
    matcher matchers[TAGS_LIMIT + 2];
    uint32_t matcher_count;
    int64_t min_ns, max_ns, from_ns, to_ns;
    uint64_t limit;
} search;

static void add_matcher(search *s, str name, str text)
{
    s->matchers[s->matcher_count++] = (matcher){ name, MATCH_EQ, text };
}

/* One tag of a search; Jaeger's names for what is not an attribute here are translated. */
static bool add_tag(api_request *r, search *s, str key, str text)
{
    if (s->matcher_count == ARRAY_LEN(s->matchers)) {
        request_fail(r, STATUS_INVALID, "more than %d tags", TAGS_LIMIT);
        return false;
    }
    if (str_is(key, "error")) {
        if (str_is(text, "true"))
            add_matcher(s, STR("status"), STR("error"));
        else
            s->matchers[s->matcher_count++] = (matcher){ STR("status"), MATCH_NE, STR("error") };
    } else if (str_is(key, "span.kind")) {
        add_matcher(s, STR("kind"), text);
    } else if (str_is(key, "otel.status_code")) {
        add_matcher(s, STR("status"), str_is(text, "ERROR") ? STR("error") : STR("ok"));
    } else {
        add_matcher(s, key, text);
    }
    return true;
}

/* tags={"http.status_code":"500"} */
static bool json_tags(api_request *r, search *s, str text)
{
    json_reader in;
    str key;
    bool good = true;
    if (!text.len)
        return true;
    json_read(&in, text, r->arena, 2);
    if (json_next(&in) != JSON_OBJECT)
        good = false;
    while (good && json_next_key(&in, &key)) {
        json_type t = json_next(&in);
        good = t == JSON_STRING || t == JSON_NUMBER || t == JSON_BOOL;
        str tag = t == JSON_BOOL ? (in.boolean ? STR("true") : STR("false")) : in.text;
        if (good && !add_tag(r, s, key, tag))
            return false;
    }
    if (!good || in.type == JSON_ERROR)
        request_fail(r, STATUS_INVALID,
                     "malformed 'tags' parameter: it must be a JSON object of strings, numbers or "
                     "booleans");
    return good && in.type != JSON_ERROR;
}

/* tag=KEY:VALUE, repeated */
static bool plain_tags(api_request *r, search *s)
{
    bool found = true;
    for (unsigned i = 0; found; i++) {
        str rest, tag = http_param(r->x, "tag", i, &found);
        if (!found)
            break;
        str key = str_cut(tag, ':', &rest);
        if (key.len == tag.len) {
            request_fail(r, STATUS_INVALID,
                         "malformed 'tag' parameter, expecting key:value, received: %.*s",
                         STR_ARG(str_slice(tag, 0, 80)));
            return false;
        }
        if (!add_tag(r, s, key, rest))
            return false;
    }
    return true;
}

static bool duration_param(api_request *r, const char *name, int64_t *ret)
{
    str text = request_param(r, name);
    *ret = 0;
    if (text.len && (!clock_parse_duration(text, ret) || *ret < 0)) {
        request_fail(r, STATUS_INVALID,
                     "unable to parse param '%s': \"%.*s\" is not a duration like 100ms or 1.5s",
                     name, STR_ARG(str_slice(text, 0, 80)));
        return false;
    }
    return true;
}

/* start and end in microseconds; else the lookback until now. */
static bool time_range(api_request *r, search *s)
{
    uint64_t start_us, end_us, now_us = (uint64_t)(clock_now_ns() / NS_PER_US);
    int64_t lookback;
    if (!request_u64(r, "end", now_us, &end_us))
        return false;
    str text = request_param(r, "lookback");
    if (!text.len || !clock_parse_duration(text, &lookback))
        lookback = LOOKBACK_DEFAULT_NS;
    end_us = MIN(end_us, (uint64_t)(TIME_LAST_NS / NS_PER_US));
    uint64_t back = (uint64_t)(lookback / NS_PER_US);
    if (!request_u64(r, "start", end_us > back ? end_us - back : 0, &start_us))
        return false;
    s->from_ns = (int64_t)MIN(start_us, end_us) * NS_PER_US;
    s->to_ns = (int64_t)end_us * NS_PER_US + 1;
    return true;
}

static bool search_of(api_request *r, search *s)
{
    str service = request_param(r, "service"), operation = request_param(r, "operation");
    *s = (search){ 0 };
    if (service.len)
        add_matcher(s, STR("service"), service);
    if (operation.len && !str_is(operation, "all"))
        add_matcher(s, STR("name"), operation);
    if (!json_tags(r, s, request_param(r, "tags")) || !plain_tags(r, s) || !time_range(r, s) ||
        !duration_param(r, "minDuration", &s->min_ns) ||
        !duration_param(r, "maxDuration", &s->max_ns) ||
        !request_u64(r, "limit", SEARCH_LIMIT_DEFAULT, &s->limit))
        return false;
    const char *wrong =
        s->limit == 0 || s->limit > SEARCH_LIMIT_MOST ? "limit must be a number from 1 to 1500"
        : s->max_ns && s->max_ns < s->min_ns ? "'maxDuration' should be greater than 'minDuration'"
                                             : NULL;
    if (wrong)
        request_fail(r, STATUS_INVALID, "%s", wrong);
    return !wrong;
}

static bool take_ids(void *user, const batch *rows)
{
    trace_id_list *ids = user;
    for (uint32_t i = 0; i < rows->spans.count; i++)
        if (!trace_ids_add(ids, rows->spans.trace[i]))
            return false;
    return true;
}

static bool ids_by_parameter(api_request *r, trace_id_list *ids)
{
    bool found = true;
    for (unsigned i = 0; found && i < ids->limit; i++) {
        trace_id id;
        str text = http_param(r->x, "traceID", i, &found);
        if (found && jaeger_trace_id(text, &id))
            trace_ids_add(ids, id);
    }
    return ids->count > 0;
}

static void search_traces(api_request *r)
{
    search s;
    uint64_t total = 0;
    if (!search_of(r, &s))
        return;
    trace_id_list ids = { .arena = r->arena, .limit = (uint32_t)s.limit };
    if (!ids_by_parameter(r, &ids)) {
        row_query q = { .signal = SIGNAL_TRACES,
                        .from_ns = s.from_ns,
                        .to_ns = s.to_ns,
                        .matchers = s.matchers,
                        .matcher_count = s.matcher_count,
                        .min_duration_ns = s.min_ns,
                        .max_duration_ns = s.max_ns,
                        .newest_first = true,
                        .control = &r->control };
        status st = store_rows(r->store, &q, take_ids, &ids, &r->err);
        if (st != STATUS_OK) {
            request_fail_status(r, st);
            return;
        }
    }
    jaeger_begin(r);
    json_begin_array(&r->json);
    for (uint32_t i = 0; i < ids.count && !r->gone; i++) {
        status st;
        total += put_trace(r, ids.items[i], &st);
    }
    json_end_array(&r->json);
    jaeger_end(r, total);
}

static const api_row rows[] = {
    { "GET", "/jaeger/api/services", services, "Names of the services that have spans." },
    { "GET", "/jaeger/api/services/{service}/operations", service_operations,
      "Span names of one service." },
    { "GET", "/jaeger/api/operations", operations,
      "Span names with their kinds: service, spanKind." },
    { "GET", "/jaeger/api/traces", search_traces,
      "Traces, newest first: service, operation, tags, minDuration, maxDuration, limit, start, "
      "end, "
      "lookback, or traceID." },
    { "GET", "/jaeger/api/traces/{id}", one_trace, "One trace; 404 when there is none." },
    { "GET", "/jaeger/api/dependencies", jaeger_dependencies,
      "Which service calls which: endTs, lookback (milliseconds)." },
};

const api_table jaeger_api = { rows, ARRAY_LEN(rows), jaeger_error };
