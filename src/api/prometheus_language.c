// SPDX-License-Identifier: Apache-2.0
/* /api/v1/format_query, parse_query, query_exemplars and features: what is known of a query without
 * evaluating it, and what the language of this server has. */
#include "api/prometheus.h"

#include "base/clock.h"
#include "query/promql/promql.h"

#include <stdlib.h>

typedef void printer(buf *out, const promql_node *node);

/* The query printed, as a JSON string or as JSON. */
static void answer_printed(api_request *r, printer *print, bool is_json)
{
    const promql_node *query = prometheus_parse(r);
    buf text;
    if (!query)
        return;
    buf_init(&text, MiB(16));
    print(&text, query);
    if (buf_check(&text, &r->err, "the query") != STATUS_OK) {
        request_fail_status(r, STATUS_LIMIT);
    } else {
        prometheus_begin(r);
        if (is_json)
            json_raw(&r->json, buf_view(&text));
        else
            json_str(&r->json, buf_view(&text));
        prometheus_end(r);
    }
    buf_done(&text);
}

void prometheus_format_query(api_request *r)
{
    answer_printed(r, promql_print_pretty, false);
}

void prometheus_parse_query(api_request *r)
{
    answer_printed(r, promql_print_json, true);
}

/* ---- exemplars ---- */

typedef struct {
    api_request *r;
    int64_t from_ms, to_ms;
    stored_exemplar *items;
    uint32_t count;
} collector;

static status collect_selector(collector *c, const promql_selector *s)
{
    series_query q = { .matchers = s->matchers,
                       .matcher_count = s->matcher_count,
                       .from_ms = c->from_ms,
                       .to_ms = c->to_ms,
                       .control = &c->r->control };
    stored_exemplar *part;
    uint32_t count;
    status st = store_exemplars(c->r->store, &q, c->r->arena, &part, &count, &c->r->err);
    if (st != STATUS_OK)
        return st;
    stored_exemplar *grown = arena_grow(c->r->arena, c->items, c->count * sizeof(stored_exemplar),
                                        ((size_t)c->count + count + 1) * sizeof(stored_exemplar));
    if (!grown)
        return fail(&c->r->err, STATUS_LIMIT, "too many exemplars for the query's memory limit");
    if (count)
        memcpy(grown + c->count, part, count * sizeof(stored_exemplar));
    c->items = grown;
    c->count += count;
    return STATUS_OK;
}

static status collect(collector *c, const promql_node *n)
{
    status st = STATUS_OK;
    switch (n->kind) {
    case NODE_VECTOR:
    case NODE_MATRIX:
        return collect_selector(c, &n->selector);
    case NODE_SUBQUERY:
        return collect(c, n->subquery.inner);
    case NODE_UNARY:
        return collect(c, n->unary.operand);
    case NODE_PAREN:
        return collect(c, n->paren);
    case NODE_BINARY:
        st = collect(c, n->binary.left);
        return st == STATUS_OK ? collect(c, n->binary.right) : st;
    case NODE_AGGREGATE:
        if (n->aggregate.param)
            st = collect(c, n->aggregate.param);
        return st == STATUS_OK ? collect(c, n->aggregate.inner) : st;
    case NODE_CALL:
        for (uint32_t i = 0; st == STATUS_OK && i < n->call.arg_count; i++)
            st = collect(c, n->call.args[i]);
        return st;
    default:
        return STATUS_OK;
    }
}

static labels series_of(const stored_exemplar *e)
{
    return (labels){ (label *)e->labels, e->label_count };
}

static int order_exemplars(const void *a, const void *b)
{
    const stored_exemplar *x = a, *y = b;
    int order = labels_cmp(series_of(x), series_of(y));
    return order ? order : (x->time_ms > y->time_ms) - (x->time_ms < y->time_ms);
}

static bool same_exemplar(const stored_exemplar *a, const stored_exemplar *b)
{
    return a->time_ms == b->time_ms && memcmp(&a->value, &b->value, sizeof(double)) == 0 &&
           labels_eq((labels){ (label *)a->own, a->own_count },
                     (labels){ (label *)b->own, b->own_count });
}

static void put_exemplar(api_request *r, const stored_exemplar *e)
{
    json_writer *w = &r->json;
    json_begin_object(w);
    json_key(w, STR("labels"));
    labels_to_json(w, (labels){ (label *)e->own, e->own_count });
    json_key(w, STR("value"));
    prometheus_value(http_out(r->x), e->value);
    w->comma = true;
    json_key(w, STR("timestamp"));
    prometheus_time(http_out(r->x), e->time_ms);
    w->comma = true;
    json_end_object(w);
}

/* Of two selectors that match one series, its exemplars are shown once. */
static void put_exemplars(api_request *r, collector *c)
{
    json_writer *w = &r->json;
    if (c->count)
        qsort(c->items, c->count, sizeof(stored_exemplar), order_exemplars);
    prometheus_begin(r);
    json_begin_array(w);
    for (uint32_t i = 0, end; i < c->count && request_flush(r); i = end) {
        json_begin_object(w);
        json_key(w, STR("seriesLabels"));
        labels_to_json(w, series_of(&c->items[i]));
        json_key(w, STR("exemplars"));
        json_begin_array(w);
        for (end = i;
             end < c->count && labels_eq(series_of(&c->items[i]), series_of(&c->items[end])); end++)
            if (end == i || !same_exemplar(&c->items[end - 1], &c->items[end]))
                put_exemplar(r, &c->items[end]);
        json_end_array(w);
        json_end_object(w);
    }
    json_end_array(w);
    prometheus_end(r);
}

void prometheus_query_exemplars(api_request *r)
{
    int64_t from_ns, to_ns;
    const promql_node *query;
    if (!request_time_s(r, "start", TIME_FIRST_NS, &from_ns) ||
        !request_time_s(r, "end", TIME_LAST_NS, &to_ns) || !request_timeout(r))
        return;
    if (to_ns < from_ns) {
        request_fail(r, STATUS_INVALID, "end timestamp must not be before start timestamp");
        return;
    }
    if (promql_parse(&query, request_param(r, "query"), r->api->options.features, r->arena,
                     &r->err) != STATUS_OK) {
        request_fail(r, STATUS_INVALID, "%s", r->err.message);
        return;
    }
    collector c = { .r = r, .from_ms = from_ns / NS_PER_MS, .to_ms = to_ns / NS_PER_MS };
    status st = collect(&c, query);
    if (st != STATUS_OK)
        request_fail_status(r, st);
    else
        put_exemplars(r, &c);
}

/* ---- features ---- */

static void put_flag(json_writer *w, const char *name, bool on)
{
    json_key(w, str_c(name));
    json_bool(w, on);
}

static void put_language(json_writer *w, uint32_t features)
{
    static const char *const always[] = { "anchored",   "bool",        "by",       "duration_expr",
                                          "group_left", "group_right", "ignoring", "offset",
                                          "on",         "smoothed",    "without" };
    static const struct {
        const char *name;
        uint32_t feature;
    } switched[] = { { "delayed_name_removal", PROMQL_DELAYED_NAME_REMOVAL },
                     { "fill", PROMQL_BINOP_FILL_MODIFIERS },
                     { "fill_left", PROMQL_BINOP_FILL_MODIFIERS },
                     { "fill_right", PROMQL_BINOP_FILL_MODIFIERS },
                     { "per_step_stats", 0 }, /* always off */
                     { "unquoted_utf8_names", PROMQL_UNQUOTED_UTF8_NAMES } };
    json_begin_object(w);
    for (size_t i = 0; i < ARRAY_LEN(always); i++)
        put_flag(w, always[i], true);
    for (size_t i = 0; i < ARRAY_LEN(switched); i++)
        put_flag(w, switched[i].name, (features & switched[i].feature) != 0);
    json_end_object(w);
}

void prometheus_features(api_request *r)
{
    json_writer *w = &r->json;
    uint32_t features = r->api->options.features;
    size_t count;
    prometheus_begin(r);
    json_begin_object(w);
    json_key(w, STR("promql"));
    put_language(w, features);
    json_key(w, STR("promql_functions"));
    json_begin_object(w);
    const promql_function *functions = promql_function_list(&count);
    for (size_t i = 0; i < count; i++)
        put_flag(w, functions[i].name, !(functions[i].feature & ~features));
    json_end_object(w);
    json_key(w, STR("promql_operators"));
    json_begin_object(w);
    for (int op = OP_NONE + 1; op < OP_COUNT; op++)
        put_flag(w, promql_operators[op].text, true);
    const promql_aggregation *aggregations = promql_aggregation_list(&count);
    for (size_t i = 0; i < count; i++)
        put_flag(w, aggregations[i].name, !(aggregations[i].feature & ~features));
    json_end_object(w);
    json_end_object(w);
    prometheus_end(r);
}
