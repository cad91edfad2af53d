// SPDX-License-Identifier: Apache-2.0
/* Aggregations: rows are put into groups once; then each group is computed step by step from the
 * cells that are present. topk and bottomk select cells of the input instead. */
#include "query/promql/eval.h"

#include "base/map.h"

#include <assert.h>
#include <math.h>
#include <stdlib.h>

enum { AGG_REDUCE, AGG_SELECT_TOP, AGG_SELECT_BOTTOM, AGG_COUNT_VALUES };

typedef double reduce_fn(double *cells, uint32_t count, double param);

static double reduce_sum(double *cells, uint32_t count, double param)
{
    (void)param;
    kahan sum = { 0, 0 };
    for (uint32_t i = 0; i < count; i++)
        kahan_add(&sum, cells[i]);
    return isinf(sum.sum) ? sum.sum : kahan_value(sum);
}

static double reduce_avg(double *cells, uint32_t count, double param)
{
    (void)param;
    return promql_mean(cells, count);
}

static double reduce_min(double *cells, uint32_t count, double param)
{
    (void)param;
    double least = cells[0];
    for (uint32_t i = 1; i < count; i++)
        if (cells[i] < least || isnan(least))
            least = cells[i];
    return least;
}

static double reduce_max(double *cells, uint32_t count, double param)
{
    (void)param;
    double most = cells[0];
    for (uint32_t i = 1; i < count; i++)
        if (cells[i] > most || isnan(most))
            most = cells[i];
    return most;
}

static double reduce_count(double *cells, uint32_t count, double param)
{
    (void)cells;
    (void)param;
    return count;
}

static double reduce_group(double *cells, uint32_t count, double param)
{
    (void)cells;
    (void)count;
    (void)param;
    return 1;
}

static double reduce_stdvar(double *cells, uint32_t count, double param)
{
    (void)param;
    return promql_variance(cells, count);
}

static double reduce_stddev(double *cells, uint32_t count, double param)
{
    (void)param;
    return sqrt(promql_variance(cells, count));
}

static double reduce_quantile(double *cells, uint32_t count, double param)
{
    return promql_quantile(param, cells, count);
}

static const promql_aggregation aggregations[] = {
    { "avg", PROMQL_NONE, AGG_REDUCE, "Mean of the group." },
    { "bottomk", PROMQL_SCALAR, AGG_SELECT_BOTTOM, "The k smallest elements of each group." },
    { "count", PROMQL_NONE, AGG_REDUCE, "Number of elements in the group." },
    { "count_values", PROMQL_STRING, AGG_COUNT_VALUES, "Number of elements with the same value." },
    { "group", PROMQL_NONE, AGG_REDUCE, "1 for each group." },
    { "max", PROMQL_NONE, AGG_REDUCE, "Largest element of the group." },
    { "min", PROMQL_NONE, AGG_REDUCE, "Smallest element of the group." },
    { "quantile", PROMQL_SCALAR, AGG_REDUCE, "Quantile (0 to 1) over the group." },
    { "stddev", PROMQL_NONE, AGG_REDUCE, "Population standard deviation over the group." },
    { "stdvar", PROMQL_NONE, AGG_REDUCE, "Population variance over the group." },
    { "sum", PROMQL_NONE, AGG_REDUCE, "Sum of the group." },
    { "topk", PROMQL_SCALAR, AGG_SELECT_TOP, "The k largest elements of each group." },
};

/* What computes the rows of kind AGG_REDUCE; in the same order. */
static reduce_fn *const reducers[] = { reduce_avg,    NULL,          reduce_count, NULL,
                                       reduce_group,  reduce_max,    reduce_min,   reduce_quantile,
                                       reduce_stddev, reduce_stdvar, reduce_sum,   NULL };

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

/* ---- grouping ---- */

typedef struct {
    label_groups groups;
    uint32_t *group_of; /* of each row */
    uint32_t *members;  /* row numbers, group after group */
    uint32_t *first;    /* where each group's members start; count + 1 entries */
} grouping;

static status group_labels(promql_engine *e, const promql_aggregate *a, labels row, labels *ret)
{
    name_list names = { a->names, a->name_count };
    bool ok = a->without ? labels_drop(e->arena, row, names, ret) &&
                               labels_drop_metric(e->arena, *ret, ret)
                         : labels_keep(e->arena, row, names, ret);
    return ok ? STATUS_OK : promql_no_memory(e);
}

static status make_groups(promql_engine *e, const promql_aggregate *a, const promql_value *v,
                          grouping *ret)
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
            TRY(group_labels(e, a, v->rows[i].labels, &key));
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

/* ---- sum, avg, quantile and the like ---- */

static status reduce(promql_engine *e, const promql_grid *g, const promql_node *n,
                     const promql_value *v, const grouping *by, const double *param,
                     promql_value *ret)
{
    reduce_fn *fn = reducers[n->aggregate.aggregation - aggregations];
    double *cells = promql_alloc(e, v->row_count, sizeof(double));
    ret->rows = promql_alloc(e, by->groups.count, sizeof(promql_row));
    if (!cells || !ret->rows)
        return STATUS_LIMIT;
    for (uint32_t k = 0; k < by->groups.count; k++) {
        promql_row *row = &ret->rows[ret->row_count++];
        *row = (promql_row){ by->groups.items[k], promql_values(e, g) };
        if (!row->cells)
            return STATUS_LIMIT;
        for (uint32_t i = 0; i < g->steps; i++) {
            uint32_t present = 0;
            for (uint32_t m = by->first[k]; m < by->first[k + 1]; m++) {
                double x = v->rows[by->members[m]].cells[i];
                if (!is_absent(x))
                    cells[present++] = x;
            }
            TRY(promql_check_time(e));
            if (present)
                row->cells[i] = fn(cells, present, param ? param[i] : 0);
        }
    }
    return STATUS_OK;
}

/* ---- topk, bottomk ---- */

typedef struct {
    double value;
    uint32_t row;
} candidate;

static int order_candidates(const candidate *a, const candidate *b, int direction)
{
    if (isnan(a->value) || isnan(b->value)) {
        int nan = (int)isnan(a->value) - (int)isnan(b->value);
        return nan ? nan : (a->row < b->row ? -1 : 1);
    }
    if (a->value != b->value)
        return (a->value < b->value) == (direction < 0) ? 1 : -1;
    return a->row < b->row ? -1 : a->row > b->row;
}

static int order_falling(const void *a, const void *b)
{
    return order_candidates(a, b, -1);
}

static int order_rising(const void *a, const void *b)
{
    return order_candidates(a, b, 1);
}

static status select_step(promql_engine *e, const promql_value *v, const grouping *by,
                          uint32_t group, uint32_t step, double k, bool top, candidate *scratch,
                          promql_value *ret)
{
    uint32_t present = 0;
    for (uint32_t m = by->first[group]; m < by->first[group + 1]; m++) {
        double x = v->rows[by->members[m]].cells[step];
        if (!is_absent(x))
            scratch[present++] = (candidate){ x, by->members[m] };
    }
    TRY(promql_check_time(e));
    if (k < 1)
        return STATUS_OK;
    qsort(scratch, present, sizeof(candidate), top ? order_falling : order_rising);
    uint32_t take = k < (double)present ? (uint32_t)k : present;
    for (uint32_t i = 0; i < take; i++)
        ret->rows[scratch[i].row].cells[step] = scratch[i].value;
    return STATUS_OK;
}

/* In an instant query the elements of each group come in the order of the selection. */
static status order_selected(promql_engine *e, const grouping *by, bool top, promql_value *ret)
{
    promql_row *ordered = promql_alloc(e, ret->row_count, sizeof(promql_row));
    candidate *scratch = promql_alloc(e, ret->row_count, sizeof(candidate));
    uint32_t out = 0;
    if (!ordered || !scratch)
        return STATUS_LIMIT;
    for (uint32_t group = 0; group < by->groups.count; group++) {
        uint32_t n = 0;
        for (uint32_t m = by->first[group]; m < by->first[group + 1]; m++)
            if (!is_absent(ret->rows[by->members[m]].cells[0]))
                scratch[n++] = (candidate){ ret->rows[by->members[m]].cells[0], by->members[m] };
        qsort(scratch, n, sizeof(candidate), top ? order_falling : order_rising);
        for (uint32_t i = 0; i < n; i++)
            ordered[out++] = ret->rows[scratch[i].row];
    }
    ret->rows = ordered;
    ret->row_count = out;
    ret->ordered = true;
    return STATUS_OK;
}

static status select_cells(promql_engine *e, const promql_grid *g, const promql_value *v,
                           const grouping *by, const double *k, bool top, promql_value *ret)
{
    candidate *scratch = promql_alloc(e, v->row_count, sizeof(candidate));
    assert(k);
    ret->rows = promql_alloc(e, v->row_count, sizeof(promql_row));
    if (!scratch || !ret->rows)
        return STATUS_LIMIT;
    ret->row_count = v->row_count;
    for (uint32_t i = 0; i < v->row_count; i++) {
        ret->rows[i] = (promql_row){ v->rows[i].labels, promql_values(e, g) };
        if (!ret->rows[i].cells)
            return STATUS_LIMIT;
    }
    for (uint32_t i = 0; i < g->steps; i++) {
        if (isnan(k[i]))
            return PROMQL_FAIL(e, "Parameter value is NaN");
        if (k[i] >= 9.3e18 || k[i] <= -9.3e18)
            return PROMQL_FAIL(e, "Scalar value %g overflows int64", k[i]);
        for (uint32_t group = 0; group < by->groups.count; group++)
            TRY(select_step(e, v, by, group, i, k[i], top, scratch, ret));
    }
    return g->steps == 1 ? order_selected(e, by, top, ret) : STATUS_OK;
}

/* ---- count_values ---- */

typedef struct {
    uint64_t bits;
    uint32_t group;
    uint32_t padding; /* zero, because keys are compared as bytes */
} value_key;

typedef struct {
    map rows; /* value_key -> row number */
    uint32_t capacity;
    str label;
} value_counts;

static status value_row(promql_engine *e, const promql_grid *g, value_counts *c, const grouping *by,
                        value_key key, double x, promql_value *ret, uint32_t *ret_row)
{
    uint64_t *known = map_get(&c->rows, str_n(&key, sizeof(key)));
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
    char number[64];
    buf text = { .ptr = number, .cap = sizeof(number), .limit = sizeof(number) };
    buf_f64(&text, x);
    str copy = arena_str(e->arena, buf_view(&text));
    str stored = arena_str(e->arena, str_n(&key, sizeof(key)));
    promql_row *row = &ret->rows[ret->row_count];
    if (!copy.ptr || !stored.ptr ||
        !labels_set(e->arena, by->groups.items[key.group], c->label, copy, &row->labels) ||
        !map_put(&c->rows, stored, ret->row_count, NULL))
        return promql_no_memory(e);
    if (!(row->cells = promql_values(e, g)))
        return STATUS_LIMIT;
    *ret_row = ret->row_count++;
    return STATUS_OK;
}

static status count_cells(promql_engine *e, const promql_grid *g, value_counts *c,
                          const promql_value *v, const grouping *by, promql_value *ret)
{
    for (uint32_t r = 0; r < v->row_count; r++) {
        TRY(promql_check_time(e));
        for (uint32_t i = 0; i < g->steps; i++) {
            double x = v->rows[r].cells[i];
            uint32_t row;
            if (is_absent(x))
                continue;
            value_key key = { isnan(x) ? 1 : bits_of(x), by->group_of[r], 0 };
            TRY(value_row(e, g, c, by, key, x, ret, &row));
            double *cell = &ret->rows[row].cells[i];
            *cell = is_absent(*cell) ? 1 : *cell + 1;
        }
    }
    return STATUS_OK;
}

static status count_values(promql_engine *e, const promql_grid *g, str name, const promql_value *v,
                           const grouping *by, promql_value *ret)
{
    if (!name.len || utf8_valid_prefix(name) != name.len)
        return PROMQL_FAIL(e, "invalid label name \"%.*s\"", STR_ARG(str_slice(name, 0, 80)));
    value_counts counts = { .label = name };
    map_init(&counts.rows);
    status st = count_cells(e, g, &counts, v, by, ret);
    map_done(&counts.rows);
    return st;
}

/* ---- all of them ---- */

static void warn_of_quantile(promql_engine *e, const promql_grid *g, const promql_node *n,
                             const double *q)
{
    if (reducers[n->aggregate.aggregation - aggregations] != reduce_quantile)
        return;
    for (uint32_t i = 0; i < g->steps; i++) {
        if (q[i] >= 0 && q[i] <= 1)
            continue;
        promql_note(e, true, n->aggregate.param,
                    "quantile value should be between 0 and 1, got %s%g",
                    q[i] > 1 && isinf(q[i]) ? "+" : "", q[i]);
        return;
    }
}

status promql_eval_aggregate(promql_engine *e, const promql_grid *g, const promql_node *n,
                             promql_value *ret)
{
    const promql_aggregate *a = &n->aggregate;
    promql_value v, param = { 0 };
    grouping by;
    if (a->param)
        TRY(promql_eval_node(e, g, a->param, &param));
    TRY(promql_eval_node(e, g, a->inner, &v));
    TRY(make_groups(e, a, &v, &by));
    *ret = (promql_value){ .type = PROMQL_VECTOR };
    switch (a->aggregation->kind) {
    case AGG_SELECT_TOP:
    case AGG_SELECT_BOTTOM:
        return select_cells(e, g, &v, &by, param.scalar, a->aggregation->kind == AGG_SELECT_TOP,
                            ret);
    case AGG_COUNT_VALUES:
        TRY(count_values(e, g, param.string, &v, &by, ret));
        break;
    default:
        if (param.scalar)
            warn_of_quantile(e, g, n, param.scalar);
        TRY(reduce(e, g, n, &v, &by, param.scalar, ret));
    }
    return promql_merge_rows(e, g, ret, SAME_LABELSET);
}
