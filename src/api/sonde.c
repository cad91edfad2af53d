// SPDX-License-Identifier: Apache-2.0
/* sonde's own query API: the list of services with their health, and one id that finds everything.
 */
#include "api/jaeger.h"

#include "base/clock.h"
#include "base/map.h"

#include <math.h>
#include <stdlib.h>

#define SERVICES_LIMIT 1000u
#define FIND_LIMIT     100u

static void sonde_error(api_request *r, status code, const char *message)
{
    int http = code == STATUS_INVALID     ? 400
               : code == STATUS_NOT_FOUND ? 404
               : code == STATUS_CANCELED  ? 503
               : code == STATUS_BUSY      ? 503
               : code == STATUS_LIMIT     ? 422
                                          : 500;
    http_fail(r->x, http, "%s", message);
}

/* ---- services ---- */

/* Durations in buckets whose width is 1/32 of their value: quantiles within 1.6 % in bounded
 * memory. */
enum { SKETCH_SUB = 32, SKETCH_BUCKETS = 60 * SKETCH_SUB };

typedef struct {
    str name;
    uint64_t requests, errors, spans, logs;
    uint32_t *sketch; /* of entry spans; NULL until the first */
} service;

typedef struct {
    api_request *r;
    map numbers; /* name -> index */
    service *items;
    uint32_t count;
    status failed;
} service_list;

static uint32_t sketch_bucket(uint64_t ns)
{
    if (ns < SKETCH_SUB)
        return (uint32_t)ns;
    unsigned exponent = 63u - (unsigned)__builtin_clzll(ns);
    uint32_t bucket = (exponent - 4) * SKETCH_SUB + (uint32_t)(ns >> (exponent - 5)) - SKETCH_SUB;
    return MIN(bucket, SKETCH_BUCKETS - 1);
}

/* The middle of a bucket, in nanoseconds. */
static double sketch_value(uint32_t bucket)
{
    if (bucket < SKETCH_SUB)
        return bucket;
    unsigned exponent = bucket / SKETCH_SUB + 4;
    return ((double)(SKETCH_SUB + bucket % SKETCH_SUB) + 0.5) * pow(2, (double)exponent - 5);
}

static double sketch_quantile_ms(const service *s, double q)
{
    double rank = q * (double)s->requests;
    uint64_t below = 0;
    for (uint32_t i = 0; s->sketch && i < SKETCH_BUCKETS; i++) {
        below += s->sketch[i];
        if (below > 0 && (double)below >= rank)
            return sketch_value(i) / NS_PER_MS;
    }
    return 0;
}

static service *service_of(service_list *l, str name)
{
    uint64_t *known = map_get(&l->numbers, name);
    if (known)
        return &l->items[*known];
    str copy = arena_str(l->r->arena, name);
    if (l->count == SERVICES_LIMIT || !copy.ptr || !map_put(&l->numbers, copy, l->count, NULL)) {
        l->failed = fail(&l->r->err, STATUS_LIMIT, "more than %u services", SERVICES_LIMIT);
        return NULL;
    }
    l->items[l->count] = (service){ .name = copy };
    return &l->items[l->count++];
}

static str service_name(const batch *b, uint32_t scope)
{
    str name =
        attrs_get_str(&b->resources[b->scopes[scope].resource].attributes, STR("service.name"));
    return name.len ? name : STR("unknown_service");
}

static bool count_request(service_list *l, service *s, const span_rows *rows, uint32_t i)
{
    bool entry = rows->kind[i] == SPAN_KIND_SERVER || rows->kind[i] == SPAN_KIND_CONSUMER ||
                 !span_id_is_set(rows->parent[i]);
    if (!entry)
        return true;
    if (!s->sketch && !(s->sketch = ARENA_ARRAY(l->r->arena, uint32_t, SKETCH_BUCKETS))) {
        l->failed = fail(&l->r->err, STATUS_LIMIT, "no memory for the list of services");
        return false;
    }
    s->requests++;
    s->errors += rows->status[i] == SPAN_STATUS_ERROR;
    s->sketch[sketch_bucket((uint64_t)MAX(rows->end_ns[i] - rows->start_ns[i], 0))]++;
    return true;
}

static bool take_spans(void *user, const batch *b)
{
    service_list *l = user;
    for (uint32_t i = 0; i < b->spans.count; i++) {
        service *s = service_of(l, service_name(b, b->spans.scope[i]));
        if (!s)
            return false;
        s->spans++;
        if (!count_request(l, s, &b->spans, i))
            return false;
    }
    return true;
}

static bool take_logs(void *user, const batch *b)
{
    service_list *l = user;
    for (uint32_t i = 0; i < b->logs.count; i++) {
        service *s = service_of(l, service_name(b, b->logs.scope[i]));
        if (!s)
            return false;
        s->logs++;
    }
    return true;
}

static int order_services(const void *a, const void *b)
{
    return str_cmp(((const service *)a)->name, ((const service *)b)->name);
}

static void put_service(json_writer *w, const service *s, double seconds)
{
    json_begin_object(w);
    JSON_PUT(w, str, "service", s->name);
    JSON_PUT(w, u64, "requests", s->requests);
    JSON_PUT(w, f64, "rate", (double)s->requests / seconds);
    JSON_PUT(w, u64, "errors", s->errors);
    JSON_PUT(w, f64, "error_ratio", s->requests ? (double)s->errors / (double)s->requests : 0.0);
    JSON_PUT(w, f64, "p50_ms", sketch_quantile_ms(s, 0.50));
    JSON_PUT(w, f64, "p95_ms", sketch_quantile_ms(s, 0.95));
    JSON_PUT(w, f64, "p99_ms", sketch_quantile_ms(s, 0.99));
    JSON_PUT(w, u64, "spans", s->spans);
    JSON_PUT(w, u64, "logs", s->logs);
    json_end_object(w);
}

static status collect_services(service_list *l, int64_t from_ns, int64_t to_ns)
{
    row_query q = {
        .signal = SIGNAL_TRACES, .from_ns = from_ns, .to_ns = to_ns, .control = &l->r->control
    };
    status st = store_rows(l->r->store, &q, take_spans, l, &l->r->err);
    if (st != STATUS_OK || l->failed != STATUS_OK)
        return st != STATUS_OK ? st : l->failed;
    q.signal = SIGNAL_LOGS;
    st = store_rows(l->r->store, &q, take_logs, l, &l->r->err);
    return st != STATUS_OK ? st : l->failed;
}

static void list_services(api_request *r)
{
    int64_t from_ns, to_ns;
    if (!request_time_s(r, "end", clock_now_ns(), &to_ns) ||
        !request_time_s(r, "start", to_ns - 3600 * NS_PER_S, &from_ns))
        return;
    if (from_ns >= to_ns) {
        request_fail(r, STATUS_INVALID, "start must be before end");
        return;
    }
    service_list l = { .r = r, .items = ARENA_ARRAY(r->arena, service, SERVICES_LIMIT) };
    map_init(&l.numbers);
    status st = l.items ? collect_services(&l, from_ns, to_ns)
                        : fail(&r->err, STATUS_LIMIT, "no memory for the list of services");
    map_done(&l.numbers);
    if (st != STATUS_OK) {
        request_fail_status(r, st);
        return;
    }
    qsort(l.items, l.count, sizeof(service), order_services);
    request_json(r);
    json_begin_object(&r->json);
    json_key(&r->json, STR("data"));
    json_begin_array(&r->json);
    for (uint32_t i = 0; i < l.count; i++)
        put_service(&r->json, &l.items[i], (double)(to_ns - from_ns) / 1e9);
    json_end_array(&r->json);
    json_end_object(&r->json);
}

/* ---- find ---- */

static bool take_trace_ids(void *user, const batch *b)
{
    trace_id_list *ids = user;
    const trace_id *traces = b->signal == SIGNAL_LOGS ? b->logs.trace : b->spans.trace;
    for (uint32_t i = 0; i < batch_row_count(b); i++)
        if (trace_id_is_set(traces[i]) && !trace_ids_add(ids, traces[i]))
            return false;
    return true;
}

/* Where an id may stand, besides being a trace id itself. */
static const struct {
    signal_kind signal;
    const char *name;
} id_places[] = {
    { SIGNAL_TRACES, "request_id" }, { SIGNAL_TRACES, "request.id" }, { SIGNAL_TRACES, "job_id" },
    { SIGNAL_TRACES, "job.id" },     { SIGNAL_LOGS, "request_id" },   { SIGNAL_LOGS, "job_id" },
};

static status find_in(api_request *r, signal_kind signal, str name, str id, int64_t from_ns,
                      int64_t to_ns, trace_id_list *ids)
{
    matcher m = { name, MATCH_EQ, id };
    row_query q = { .signal = signal,
                    .from_ns = from_ns,
                    .to_ns = to_ns,
                    .matchers = &m,
                    .matcher_count = 1,
                    .newest_first = true,
                    .limit = str_is(name, "trace_id") ? 1 : 1000,
                    .control = &r->control };
    return store_rows(r->store, &q, take_trace_ids, ids, &r->err);
}

static status find_everywhere(api_request *r, str id, int64_t from_ns, int64_t to_ns,
                              trace_id_list *ids)
{
    trace_id trace;
    status st = STATUS_OK;
    if (id.len == 32 && jaeger_trace_id(id, &trace)) {
        char lower[32];
        str_to_hex(trace.bytes, sizeof(trace.bytes), lower);
        str text = str_n(lower, sizeof(lower));
        st = find_in(r, SIGNAL_TRACES, STR("trace_id"), text, from_ns, to_ns, ids);
        if (st == STATUS_OK && !ids->count)
            st = find_in(r, SIGNAL_LOGS, STR("trace_id"), text, from_ns, to_ns, ids);
        if (st != STATUS_OK || ids->count)
            return st;
    }
    for (size_t i = 0; i < ARRAY_LEN(id_places) && st == STATUS_OK; i++)
        st = find_in(r, id_places[i].signal, str_c(id_places[i].name), id, from_ns, to_ns, ids);
    return st;
}

static void find(api_request *r)
{
    str id = str_trim(request_param(r, "id"));
    int64_t from_ns, to_ns;
    trace_id_list ids = { .arena = r->arena, .limit = FIND_LIMIT };
    if (!request_time_s(r, "start", TIME_FIRST_NS, &from_ns) ||
        !request_time_s(r, "end", TIME_LAST_NS, &to_ns))
        return;
    if (!id.len) {
        request_fail(r, STATUS_INVALID, "parameter \"id\" is missing: a trace, request or job id");
        return;
    }
    status st = find_everywhere(r, id, from_ns, to_ns, &ids);
    if (st != STATUS_OK) {
        request_fail_status(r, st);
        return;
    }
    request_json(r);
    json_begin_object(&r->json);
    json_key(&r->json, STR("data"));
    json_begin_object(&r->json);
    json_key(&r->json, STR("trace_ids"));
    json_begin_array(&r->json);
    for (uint32_t i = 0; i < ids.count; i++)
        json_hex(&r->json, ids.items[i].bytes, sizeof(ids.items[i].bytes));
    json_end_array(&r->json);
    json_end_object(&r->json);
    json_end_object(&r->json);
}

static const api_row rows[] = {
    { "GET", "/api/sonde/v1/services", list_services,
      "Services with requests, errors and durations of their entry spans: start, end (seconds)." },
    { "GET", "/api/sonde/v1/find", find,
      "Trace ids of a trace id, request id or job id: id, start, end." },
};

const api_table sonde_api = { rows, ARRAY_LEN(rows), sonde_error };
