// SPDX-License-Identifier: Apache-2.0
/* Which service calls which, from the spans of a time window: each span whose parent belongs to
 * another service is one call. Two passes over the window, so that memory holds ids and services.
 */
#include "api/jaeger.h"

#include "base/clock.h"
#include "base/map.h"

#define SPANS_LIMIT    2000000u
#define SERVICES_LIMIT 1000u

typedef struct {
    uint8_t bytes[24]; /* trace id, span id */
} span_key;

typedef struct {
    api_request *r;
    map spans;    /* span_key -> service */
    map services; /* name -> number */
    str *names;   /* of the services */
    uint32_t service_count;
    uint64_t *calls; /* [parent * SERVICES_LIMIT + child], allocated for the services found */
    bool counting;   /* second pass */
    status failed;
} graph;

static span_key key_of(trace_id trace, span_id span)
{
    span_key k;
    memcpy(k.bytes, trace.bytes, 16);
    memcpy(k.bytes + 16, span.bytes, 8);
    return k;
}

static uint32_t service_number(graph *g, str name)
{
    uint64_t *known = map_get(&g->services, name);
    if (known)
        return (uint32_t)*known;
    str copy = arena_str(g->r->arena, name);
    if (g->service_count == SERVICES_LIMIT || !copy.ptr ||
        !map_put(&g->services, copy, g->service_count, NULL))
        return UINT32_MAX;
    g->names[g->service_count] = copy;
    return g->service_count++;
}

static bool remember(graph *g, const batch *b, uint32_t row, uint32_t service)
{
    span_key k = key_of(b->spans.trace[row], b->spans.span[row]);
    span_key *copy = ARENA_NEW(g->r->arena, span_key);
    if (!copy || g->spans.count >= SPANS_LIMIT)
        return false;
    *copy = k;
    return map_put(&g->spans, str_n(copy, sizeof(*copy)), service, NULL) != NULL;
}

static void count(graph *g, const batch *b, uint32_t row, uint32_t service)
{
    span_key k = key_of(b->spans.trace[row], b->spans.parent[row]);
    const uint64_t *parent = map_get(&g->spans, str_n(&k, sizeof(k)));
    if (parent && *parent != service)
        g->calls[*parent * g->service_count + service]++;
}

static bool take_spans(void *user, const batch *b)
{
    graph *g = user;
    for (uint32_t i = 0; i < b->spans.count; i++) {
        const batch_resource *resource = &b->resources[b->scopes[b->spans.scope[i]].resource];
        str name = attrs_get_str(&resource->attributes, STR("service.name"));
        if (g->counting) {
            const uint64_t *service = map_get(&g->services, name);
            if (service && span_id_is_set(b->spans.parent[i]))
                count(g, b, i, (uint32_t)*service);
            continue;
        }
        uint32_t service = service_number(g, name);
        if (service == UINT32_MAX || !remember(g, b, i, service)) {
            g->failed = fail(&g->r->err, STATUS_LIMIT,
                             "more than %u spans or %u services in the window: ask for a shorter "
                             "lookback",
                             SPANS_LIMIT, SERVICES_LIMIT);
            return false;
        }
    }
    return true;
}

static status build(graph *g, int64_t from_ns, int64_t to_ns)
{
    row_query q = {
        .signal = SIGNAL_TRACES, .from_ns = from_ns, .to_ns = to_ns, .control = &g->r->control
    };
    status st = store_rows(g->r->store, &q, take_spans, g, &g->r->err);
    if (st != STATUS_OK || g->failed != STATUS_OK)
        return st != STATUS_OK ? st : g->failed;
    g->calls = ARENA_ARRAY(g->r->arena, uint64_t, (size_t)g->service_count * g->service_count + 1);
    if (!g->calls)
        return fail(&g->r->err, STATUS_LIMIT, "too many services for the query's memory limit");
    g->counting = true;
    return store_rows(g->r->store, &q, take_spans, g, &g->r->err);
}

static void answer(graph *g)
{
    api_request *r = g->r;
    uint64_t total = 0;
    jaeger_begin(r);
    json_begin_array(&r->json);
    for (uint32_t p = 0; p < g->service_count; p++) {
        for (uint32_t c = 0; c < g->service_count; c++) {
            uint64_t calls = g->calls[(size_t)p * g->service_count + c];
            if (!calls)
                continue;
            json_begin_object(&r->json);
            JSON_PUT(&r->json, str, "parent", g->names[p]);
            JSON_PUT(&r->json, str, "child", g->names[c]);
            JSON_PUT(&r->json, u64, "callCount", calls);
            json_end_object(&r->json);
            total++;
        }
    }
    json_end_array(&r->json);
    jaeger_end(r, total);
}

void jaeger_dependencies(api_request *r)
{
    uint64_t end_ms, lookback_ms;
    if (!request_u64(r, "endTs", (uint64_t)(clock_now_ns() / NS_PER_MS), &end_ms) ||
        !request_u64(r, "lookback", 86400000, &lookback_ms))
        return;
    end_ms = MIN(end_ms, (uint64_t)(TIME_LAST_NS / NS_PER_MS));
    lookback_ms = MIN(lookback_ms, end_ms);
    graph g = { .r = r, .names = ARENA_ARRAY(r->arena, str, SERVICES_LIMIT) };
    if (!g.names) {
        request_fail(r, STATUS_LIMIT, "no memory for the query");
        return;
    }
    map_init(&g.spans);
    map_init(&g.services);
    status st =
        build(&g, (int64_t)(end_ms - lookback_ms) * NS_PER_MS, (int64_t)end_ms * NS_PER_MS + 1);
    if (st == STATUS_OK)
        answer(&g);
    else
        request_fail_status(r, st);
    map_done(&g.spans);
    map_done(&g.services);
}
