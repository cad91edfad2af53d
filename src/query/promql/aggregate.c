// SPDX-License-Identifier: Apache-2.0
/* Aggregations: the table, and the grouping of rows, which is made once for all steps. */
#include "query/promql/aggregate.h"

#include "base/map.h"
#include "query/promql/histogram.h"
#include "query/promql/print.h"

#include <math.h>
#include <stdlib.h>

#define EXPERIMENTAL PROMQL_EXPERIMENTAL_FUNCTIONS

static const promql_aggregation aggregations[] = {
    { "avg", PROMQL_NONE, AGG_AVG, "Mean of the group.", 0 },
    { "bottomk", PROMQL_SCALAR, AGG_BOTTOMK, "The k smallest elements of each group.", 0 },
    { "count", PROMQL_NONE, AGG_COUNT, "Number of elements in the group.", 0 },
    { "count_values", PROMQL_STRING, AGG_COUNT_VALUES, "Number of elements with the same value.",
      0 },
    { "group", PROMQL_NONE, AGG_GROUP, "1 for each group.", 0 },
    { "limit_ratio", PROMQL_SCALAR, AGG_LIMIT_RATIO,
      "That share of the elements, always the same ones; below 0: the others.", EXPERIMENTAL },
    { "limitk", PROMQL_SCALAR, AGG_LIMITK, "Any k elements of each group.", EXPERIMENTAL },
    { "max", PROMQL_NONE, AGG_MAX, "Largest element of the group.", 0 },
    { "min", PROMQL_NONE, AGG_MIN, "Smallest element of the group.", 0 },
    { "quantile", PROMQL_SCALAR, AGG_QUANTILE, "Quantile (0 to 1) over the group.", 0 },
    { "stddev", PROMQL_NONE, AGG_STDDEV, "Population standard deviation over the group.", 0 },
    { "stdvar", PROMQL_NONE, AGG_STDVAR, "Population variance over the group.", 0 },
    { "sum", PROMQL_NONE, AGG_SUM, "Sum of the group.", 0 },
    { "topk", PROMQL_SCALAR, AGG_TOPK, "The k largest elements of each group.", 0 },
};

const promql_aggregation *promql_aggregation_find(str name)
{
    for (size_t i = 0; i < ARRAY_LEN(aggregations); i++)
        if (str_eq_nocase(name, str_c(aggregations[i].name)))
            return &aggregations[i];
    return NULL;
}

const promql_aggregation *promql_aggregation_list(size_t *ret_count)
{
    *ret_count = ARRAY_LEN(aggregations);
    return aggregations;
}

const promql_node *aggregate_argument(const promql_node *n)
{
    return promql_bare(n->aggregate.inner);
}

/* ---- grouping ---- */

static status group_labels(promql_engine *e, const promql_aggregate *a, str unset, labels row,
                           labels *ret)
{
    name_list names = { a->names, a->name_count };
    bool ok = !unset.len || labels_set(e->arena, row, unset, STR_EMPTY, &row);
    ok = ok && (a->without ? labels_drop(e->arena, row, names, ret) &&
                                 labels_drop_metric(e->arena, *ret, ret)
                           : labels_keep(e->arena, row, names, ret));
    return ok ? STATUS_OK : promql_no_memory(e);
}

status aggregate_group(promql_engine *e, const promql_aggregate *a, str unset,
                       const promql_value *v, grouping *ret)
{
    groups_init(&ret->groups, e->arena);
    ret->group_of = promql_alloc(e, v->row_count, sizeof(uint32_t));
    ret->members = promql_alloc(e, v->row_count, sizeof(uint32_t));
    if (!ret->group_of || !ret->members)
        return STATUS_LIMIT;
    for (uint32_t i = 0; i < v->row_count; i++) {
        labels key = { 0 };
        TRY(promql_check_time(e));
        if (a->without || a->name_count)
            TRY(group_labels(e, a, unset, v->rows[i].labels, &key));
        ret->group_of[i] = groups_put(&ret->groups, key, NULL);
        if (ret->group_of[i] == UINT32_MAX)
            return promql_no_memory(e);
    }
    ret->first = promql_alloc(e, (size_t)ret->groups.count + 2, sizeof(uint32_t));
    if (!ret->first)
        return STATUS_LIMIT;
    for (uint32_t i = 0; i < v->row_count; i++)
        ret->first[ret->group_of[i] + 2]++;
    for (uint32_t k = 2; k < ret->groups.count + 2; k++)
        ret->first[k] += ret->first[k - 1];
    for (uint32_t i = 0; i < v->row_count; i++)
        ret->members[ret->first[ret->group_of[i] + 1]++] = i;
    return STATUS_OK;
}

/* ---- count_values ---- */

typedef struct {
    map rows; /* group and value -> row number */
    uint32_t capacity;
    str label;
    bool label_goes; /* the grouping takes the new label out again */
} value_counts;

/* The row of a group for a value, made when it is new. key: the group's number, then the text. */
static status value_row(promql_engine *e, const promql_grid *g, value_counts *c, const grouping *by,
                        uint32_t group, str key, promql_value *ret, uint32_t *ret_row)
{
    uint64_t *known = map_get(&c->rows, key);
    if (known) {
        *ret_row = (uint32_t)*known;
        return STATUS_OK;
    }
    if (ret->row_count == c->capacity) {
        uint32_t bigger = MAX(c->capacity * 2, 16);
        ret->rows = arena_grow(e->arena, ret->rows, c->capacity * sizeof(promql_row),
                               bigger * sizeof(promql_row));
        if (!ret->rows)
            return promql_no_memory(e);
        c->capacity = bigger;
    }
    promql_row *row = &ret->rows[ret->row_count];
    str stored = arena_str(e->arena, key);
    *row = (promql_row){ .labels = by->groups.items[group] };
    if (!stored.ptr || !map_put(&c->rows, stored, ret->row_count, NULL))
        return promql_no_memory(e);
    str text = str_slice(stored, sizeof(group), stored.len);
    if (!c->label_goes && !labels_set(e->arena, row->labels, c->label, text, &row->labels))
        return promql_no_memory(e);
    if (!(row->cells = promql_values(e, g)))
        return STATUS_LIMIT;
    *ret_row = ret->row_count++;
    return STATUS_OK;
}

static status count_cells(promql_engine *e, const promql_grid *g, value_counts *c, buf *key,
                          const promql_value *v, const grouping *by, promql_value *ret)
{
    for (uint32_t r = 0; r < v->row_count; r++) {
        uint32_t group = by->group_of[r];
        TRY(promql_check_time(e));
        for (uint32_t i = 0; i < g->steps; i++) {
            promql_cell x = row_cell(&v->rows[r], i);
            uint32_t row;
            if (!row_has(&v->rows[r], i))
                continue;
            buf_clear(key);
            buf_str(key, str_n(&group, sizeof(group)));
            if (c->label_goes)
                ;
            else if (x.histogram)
                histogram_print(key, x.histogram);
            else
                promql_print_number(key, x.value);
            if (key->failed)
                return promql_no_memory(e);
            TRY(value_row(e, g, c, by, group, buf_view(key), ret, &row));
            double *cell = &ret->rows[row].cells[i];
            *cell = is_absent(*cell) ? 1 : *cell + 1;
        }
    }
    return STATUS_OK;
}

status aggregate_count_values(promql_engine *e, const promql_grid *g, str name, bool label_goes,
                              const promql_value *v, const grouping *by, promql_value *ret)
{
    value_counts counts = { .label = name, .label_goes = label_goes };
    buf key;
    buf_init(&key, KiB(64));
    map_init(&counts.rows);
    status st = count_cells(e, g, &counts, &key, v, by, ret);
    map_done(&counts.rows);
    buf_done(&key);
    return st;
}

static status count_values(promql_engine *e, const promql_grid *g, const promql_node *n, str name,
                           const promql_value *v, promql_value *ret)
{
    const promql_aggregate *a = &n->aggregate;
    name_list names = { a->names, a->name_count };
    grouping by;
    if (!name.len || utf8_valid_prefix(name) != name.len) {
        char text[200];
        buf quoted = { .ptr = text, .cap = sizeof(text) - 1, .limit = sizeof(text) - 1 };
        print_quoted(&quoted, str_slice(name, 0, 80));
        return PROMQL_FAIL(e, "invalid label name %.*s", STR_ARG(buf_view(&quoted)));
    }
    bool goes = a->without && (name_list_has(names, name) || label_is_metadata(name));
    TRY(aggregate_group(e, a, name, v, &by));
    TRY(aggregate_count_values(e, g, name, goes, v, &by, ret));
    return promql_merge_rows(e, g, ret, SAME_LABELSET);
}

/* ---- all of them ---- */

static int by_labels(const void *a, const void *b)
{
    return labels_cmp(((const promql_row *)a)->labels, ((const promql_row *)b)->labels);
}

/* Rows in the order of their labels, in an array of their own when they are not: which of equal
 * values comes first, and how sums are rounded, must not depend on what else the range has. */
static status order_rows(promql_engine *e, promql_value *v)
{
    bool ordered = true;
    for (uint32_t i = 1; i < v->row_count && ordered; i++)
        ordered = labels_cmp(v->rows[i - 1].labels, v->rows[i].labels) <= 0;
    if (ordered)
        return STATUS_OK;
    size_t size = v->row_count * sizeof(promql_row);
    promql_row *rows = arena_grow(e->arena, v->rows, size, size);
    if (!rows)
        return promql_no_memory(e);
    qsort(rows, v->row_count, sizeof(promql_row), by_labels);
    v->rows = rows;
    return STATUS_OK;
}

/* The parameter; that of the first step, when what is aggregated is the same at all of them. */
static status eval_param(promql_engine *e, const promql_grid *g, const promql_aggregate *a,
                         promql_value *ret)
{
    promql_grid first = { g->start_ms, g->step_ms, 1, false };
    if (a->param->type != PROMQL_SCALAR || !promql_same_at_all_steps(a->inner))
        return promql_eval_node(e, g, a->param, ret);
    TRY(promql_eval_node(e, &first, a->param, ret));
    double *held = promql_alloc(e, g->steps, sizeof(double));
    if (!held)
        return STATUS_LIMIT;
    for (uint32_t i = 0; i < g->steps; i++)
        held[i] = ret->scalar[0];
    ret->scalar = held;
    return STATUS_OK;
}

status promql_eval_aggregate(promql_engine *e, const promql_grid *g, const promql_node *n,
                             promql_value *ret)
{
    const promql_aggregate *a = &n->aggregate;
    promql_value v, param = { 0 };
    grouping by;
    bool done;
    TRY(promql_fused_aggregate(e, g, n, ret, &done));
    if (done)
        return STATUS_OK;
    if (a->param)
        TRY(eval_param(e, g, a, &param));
    TRY(promql_eval_node(e, g, a->inner, &v));
    TRY(order_rows(e, &v));
    *ret = (promql_value){ .type = PROMQL_VECTOR };
    if (a->aggregation->kind == AGG_COUNT_VALUES)
        return count_values(e, g, n, param.string, &v, ret);
    TRY(aggregate_group(e, a, STR_EMPTY, &v, &by));
    switch (a->aggregation->kind) {
    case AGG_TOPK:
    case AGG_BOTTOMK:
    case AGG_LIMITK:
    case AGG_LIMIT_RATIO:
        return aggregate_select(e, g, n, &v, &by, param.scalar, ret);
    default:
        TRY(aggregate_reduce(e, g, n, &v, &by, param.scalar, ret));
    }
    return promql_merge_rows(e, g, ret, SAME_LABELSET);
}
