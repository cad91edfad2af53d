// SPDX-License-Identifier: Apache-2.0
/* Functions of rules' templates that query, and that link to queries. */
#include "rules/template_internal.h"

static const template_value *sample_member(const template_value *sample, str name)
{
    return sample->kind == TEMPLATE_STRUCT ? template_member_find(sample, name) : NULL;
}

static str sample_label(const template_value *sample, str name)
{
    const template_value *map = sample_member(sample, STR("Labels"));
    const template_value *found = map ? template_member_find(map, name) : NULL;
    return found && found->kind == TEMPLATE_STRING ? found->text : STR_EMPTY;
}

static status run_query(template_call *call)
{
    const template_context *context = call->context;
    if (!context->query)
        return fail(call->err, STATUS_INVALID, "queries are not possible here");
    return context->query(context->user, call->args[0].text, call->memory, call->ret, call->err);
}

static status run_first(template_call *call)
{
    const template_value *list = &call->args[0];
    if (list->kind != TEMPLATE_LIST || !list->list.count)
        return fail(call->err, STATUS_INVALID, "first() called on vector with no elements");
    *call->ret = list->list.items[0];
    return STATUS_OK;
}

static status nil_sample(template_call *call)
{
    return fail(call->err, STATUS_INVALID,
                "runtime error: invalid memory address or nil pointer dereference");
}

static status run_label(template_call *call)
{
    if (call->args[1].kind == TEMPLATE_NIL)
        return nil_sample(call);
    *call->ret = template_text(sample_label(&call->args[1], call->args[0].text));
    return STATUS_OK;
}

static status run_value(template_call *call)
{
    const template_value *found = sample_member(&call->args[0], STR("Value"));
    if (!found)
        return nil_sample(call);
    *call->ret = *found;
    return STATUS_OK;
}

static status run_strvalue(template_call *call)
{
    if (call->args[0].kind == TEMPLATE_NIL)
        return nil_sample(call);
    *call->ret = template_text(sample_label(&call->args[0], STR("__value__")));
    return STATUS_OK;
}

/* A merge sort: equal ones stay in their order. */
static void sort_samples(template_value *items, template_value *spare, size_t n, str name)
{
    if (n < 2)
        return;
    size_t half = n / 2, a = 0, b = half;
    sort_samples(items, spare, half, name);
    sort_samples(items + half, spare, n - half, name);
    for (size_t i = 0; i < n; i++) {
        bool left = b >= n || (a < half && str_cmp(sample_label(&items[b], name),
                                                   sample_label(&items[a], name)) >= 0);
        spare[i] = left ? items[a++] : items[b++];
    }
    memcpy(items, spare, n * sizeof(*items));
}

static status run_sort(template_call *call)
{
    const template_value *list = &call->args[1];
    *call->ret = *list;
    if (list->kind != TEMPLATE_LIST || !list->list.count)
        return STATUS_OK;
    size_t n = list->list.count;
    template_value *copy = ARENA_ARRAY(call->memory, template_value, n * 2);
    if (!copy)
        return fail(call->err, STATUS_LIMIT, "no memory to sort %zu samples", n);
    memcpy(copy, list->list.items, n * sizeof(*copy));
    sort_samples(copy, copy + n, n, call->args[0].text);
    call->ret->list.items = copy;
    return STATUS_OK;
}

static status link_to(template_call *call, str tab)
{
    buf b;
    template_buf(call, &b);
    buf_lit(&b, "/graph?g0.expr=");
    template_escape_query(&b, call->args[0].text);
    buf_lit(&b, "&g0.tab=");
    buf_str(&b, tab);
    return template_return_buf(call, &b, NULL);
}

static status run_graph_link(template_call *call)
{
    return link_to(call, STR("0"));
}

static status run_table_link(template_call *call)
{
    return link_to(call, STR("1"));
}

static status run_external_url(template_call *call)
{
    *call->ret = template_text(call->context->external_url);
    return STATUS_OK;
}

static status run_path_prefix(template_call *call)
{
    str url = call->context->external_url;
    size_t scheme = str_find(url, STR("://"));
    str rest = scheme == SIZE_MAX ? url : str_slice(url, scheme + 3, url.len);
    size_t path = scheme == SIZE_MAX ? 0 : str_find_char(rest, '/');
    rest = path == SIZE_MAX ? STR_EMPTY : str_slice(rest, path, rest.len);
    rest = str_slice(rest, 0, MIN(str_find_char(rest, '?'), rest.len));
    *call->ret = template_text(str_slice(rest, 0, MIN(str_find_char(rest, '#'), rest.len)));
    return STATUS_OK;
}

static status run_args(template_call *call)
{
    template_member *members = ARENA_ARRAY(call->memory, template_member, call->count + 1);
    for (size_t i = 0; members && i < call->count; i++) {
        members[i] = (template_member){ arena_fmt(call->memory, "arg%zu", i), call->args[i] };
        if (!members[i].name.ptr)
            members = NULL;
    }
    if (!members)
        return fail(call->err, STATUS_LIMIT, "no memory for arguments");
    *call->ret = (template_value){ .kind = TEMPLATE_MAP,
                                   .type = &template_type_any_map,
                                   .map = { members, call->count } };
    return STATUS_OK;
}

static status run_query_escape(template_call *call)
{
    buf b;
    template_buf(call, &b);
    template_escape_query(&b, call->args[0].text);
    return template_return_buf(call, &b, NULL);
}

static const template_function functions[] = {
    { "args", "a.", run_args, "args X…", "The arguments as a map: .arg0, .arg1, …" },
    { "externalURL", "", run_external_url, "externalURL",
      "The address under which users see this server." },
    { "first", "q", run_first, "first SAMPLES", "The first sample; an error when there is none." },
    { "graphLink", "s", run_graph_link, "graphLink EXPR", "Path of the expression's graph." },
    { "label", "sp", run_label, "label NAME SAMPLE", "The sample's label." },
    { "pathPrefix", "", run_path_prefix, "pathPrefix", "The path of externalURL." },
    { "query", "s", run_query, "query EXPR",
      "The samples of an instant query at the time of evaluation; each has .Labels and .Value." },
    { "sortByLabel", "sq", run_sort, "sortByLabel NAME SAMPLES", "The samples by that label." },
    { "strvalue", "p", run_strvalue, "strvalue SAMPLE", "The sample's label `__value__`." },
    { "tableLink", "s", run_table_link, "tableLink EXPR", "Path of the expression's table." },
    { "urlQueryEscape", "s", run_query_escape, "urlQueryEscape TEXT",
      "The text escaped for a URL's query." },
    { "value", "p", run_value, "value SAMPLE", "The sample's value." },
};

const template_function_table template_prometheus_functions = {
    functions, ARRAY_LEN(functions), "Queries and links", "Known in rules.", true, false
};

/* ---- samples ---- */

static bool put_sample(arena *a, const promql_series *series, template_value *ret)
{
    template_member *members = ARENA_ARRAY(a, template_member, 2);
    if (!members || !series->count)
        return false;
    members[0].name = STR("Labels");
    members[1] = (template_member){ STR("Value"), template_number(series->value[0]) };
    const histogram *h = series->histograms ? series->histograms[0] : NULL;
    if (h && !template_histogram(a, h, &members[1].value))
        return false;
    *ret = template_struct(members, 2, &template_type_sample);
    return template_label_map(a, series->labels.items, series->labels.count, &template_type_labels,
                              &members[0].value);
}

bool template_vector(arena *a, const promql_result *result, template_value *ret)
{
    template_value *items = ARENA_ARRAY(a, template_value, (size_t)result->count + 1);
    if (!items)
        return false;
    for (uint32_t i = 0; i < result->count; i++)
        if (!put_sample(a, &result->series[i], &items[i]))
            return false;
    *ret = template_list(items, result->count, &template_type_samples);
    return true;
}
