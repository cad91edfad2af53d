// SPDX-License-Identifier: Apache-2.0
/* Walks the tree and gives each kind of node to its evaluator; limits and memory are kept here.
 * The entry points are promql_instant and promql_range_query. */
#include "query/promql/binary.h"

#include "base/clock.h"
#include "query/promql/shared.h"

#include <assert.h>
#include <math.h>
#include <stdlib.h>

#define DEFAULT_SAMPLE_LIMIT 50000000u
#define WORK_OF_CHECK        (1u << 16) /* samples between two looks at the clock */

/* ---- memory, limits ---- */

void promql_report_no_memory(promql_engine *e)
{
    fail(e->err, STATUS_LIMIT,
         "the query needs more than its memory limit of %zu MiB: ask for fewer series, a "
         "shorter range or a longer step",
         e->arena->limit / MiB(1));
}

void *promql_alloc(promql_engine *e, size_t count, size_t size)
{
    void *p = arena_calloc(e->arena, MAX(count, 1), size);
    if (!p)
        promql_report_no_memory(e);
    return p;
}

uint64_t promql_sample_limit(const promql_engine *e)
{
    return e->options->sample_limit ? e->options->sample_limit : DEFAULT_SAMPLE_LIMIT;
}

status promql_count_samples(promql_engine *e, uint64_t n)
{
    uint64_t limit = promql_sample_limit(e);
    e->samples += n;
    if (e->samples > limit)
        return fail(e->err, STATUS_LIMIT,
                    "query processing would load too many samples into memory in query execution: "
                    "the limit is %llu",
                    (unsigned long long)limit);
    return STATUS_OK;
}

double *promql_values(promql_engine *e, const promql_grid *g)
{
    if (promql_count_samples(e, g->steps) != STATUS_OK)
        return NULL;
    double *cells = arena_alloc(e->arena, (size_t)g->steps * sizeof(double));
    if (!cells) {
        promql_report_no_memory(e);
        return NULL;
    }
    for (uint32_t i = 0; i < g->steps; i++)
        set_absent(&cells[i]);
    return cells;
}

double *promql_scratch(promql_engine *e, uint32_t n)
{
    if (n > e->scratch_capacity) {
        uint32_t capacity = MAX(n, e->scratch_capacity * 2);
        double *grown = promql_alloc(e, capacity, sizeof(double));
        if (!grown)
            return NULL;
        e->scratch = grown;
        e->scratch_capacity = capacity;
    }
    return e->scratch;
}

status promql_check_time(promql_engine *e)
{
    return promql_check_work(e, WORK_OF_CHECK / 128);
}

status promql_check_work(promql_engine *e, uint64_t samples)
{
    const query_control *c = e->options->control;
    if (!c)
        return STATUS_OK;
    if (samples < e->unchecked) {
        e->unchecked -= samples;
        return STATUS_OK;
    }
    e->unchecked = WORK_OF_CHECK;
    if (c->canceled && *c->canceled)
        return fail(e->err, STATUS_CANCELED, "query was canceled in expression evaluation");
    if (c->deadline_mono_ns && clock_mono_ns() > c->deadline_mono_ns)
        return fail(e->err, STATUS_CANCELED, "query timed out in expression evaluation");
    return STATUS_OK;
}

/* ---- histograms ---- */

const histogram *promql_keep_histogram(promql_engine *e, const histogram *h)
{
    const histogram *copy = histogram_copy(e->arena, h);
    if (!copy)
        promql_report_no_memory(e);
    return copy;
}

const histogram **promql_row_histograms(promql_engine *e, const promql_grid *g, promql_row *row)
{
    if (!row->histograms)
        row->histograms = promql_alloc(e, g->steps, sizeof(histogram *));
    return row->histograms;
}

/* ---- rows with the same labels ---- */

static bool cell_present(const promql_row *row, uint32_t step)
{
    return !is_absent(row->cells[step]) || (row->histograms && row->histograms[step]);
}

static uint32_t first_value(const promql_grid *g, const promql_row *row)
{
    uint32_t step = 0;
    while (step < g->steps && !cell_present(row, step))
        step++;
    return step;
}

/* Whether the name goes at the end is what the earlier of the two says. */
static status merge_into(promql_engine *e, const promql_grid *g, promql_row *into,
                         const promql_row *from, const char *message)
{
    if (into->drop_name != from->drop_name && first_value(g, from) < first_value(g, into))
        into->drop_name = from->drop_name;
    for (uint32_t i = 0; i < g->steps; i++) {
        if (!cell_present(from, i))
            continue;
        if (cell_present(into, i))
            return PROMQL_FAIL(e, "%s", message);
        into->cells[i] = from->cells[i];
        if (from->histograms && from->histograms[i]) {
            const histogram **list = promql_row_histograms(e, g, into);
            if (!list)
                return STATUS_LIMIT;
            list[i] = from->histograms[i];
        }
    }
    return STATUS_OK;
}

static bool row_is_empty(const promql_grid *g, const promql_row *row)
{
    return first_value(g, row) == g->steps;
}

status promql_merge_rows(promql_engine *e, const promql_grid *g, promql_value *v,
                         const char *message)
{
    label_groups groups;
    groups_init(&groups, e->arena);
    uint32_t n = 0;
    for (uint32_t i = 0; i < v->row_count; i++) {
        TRY(promql_check_time(e));
        if (row_is_empty(g, &v->rows[i]))
            continue;
        bool is_new;
        uint32_t group = groups_put(&groups, v->rows[i].labels, &is_new);
        if (group == UINT32_MAX)
            return promql_no_memory(e);
        if (is_new)
            v->rows[n++] = v->rows[i];
        else
            TRY(merge_into(e, g, &v->rows[group], &v->rows[i], message));
    }
    v->row_count = n;
    return STATUS_OK;
}

/* ---- the small nodes ---- */

static status eval_number(promql_engine *e, const promql_grid *g, double number, promql_value *ret)
{
    ret->type = PROMQL_SCALAR;
    ret->scalar = promql_alloc(e, g->steps, sizeof(double));
    if (!ret->scalar)
        return STATUS_LIMIT;
    for (uint32_t i = 0; i < g->steps; i++)
        ret->scalar[i] = number;
    return STATUS_OK;
}

static status eval_unary(promql_engine *e, const promql_grid *g, const promql_node *n,
                         promql_value *ret)
{
    TRY(promql_eval_node(e, g, n->unary.operand, ret));
    if (n->unary.op == OP_ADD)
        return STATUS_OK;
    return promql_negate(e, g, ret);
}

static status eval_kind(promql_engine *e, const promql_grid *g, const promql_node *n,
                        promql_value *ret)
{
    *ret = (promql_value){ .type = n->type };
    switch (n->kind) {
    case NODE_NUMBER:
        return eval_number(e, g, n->number, ret);
    case NODE_STRING:
        ret->string = n->string;
        return STATUS_OK;
    case NODE_VECTOR:
        return promql_select_instant(e, g, n, false, ret);
    case NODE_MATRIX:
        return promql_select_range(e, g, n, ret);
    case NODE_SUBQUERY:
        return promql_eval_subquery(e, g, n, ret);
    case NODE_UNARY:
        return eval_unary(e, g, n, ret);
    case NODE_BINARY:
        return promql_eval_binary(e, g, n, ret);
    case NODE_PAREN:
        return promql_eval_node(e, g, n->paren, ret);
    case NODE_CALL:
        return promql_eval_call(e, g, n, ret);
    case NODE_AGGREGATE:
        return promql_eval_aggregate(e, g, n, ret);
    case NODE_EXTERNAL:
        return n->external.eval(e, g, n, ret);
    }
    return fail(e->err, STATUS_UNSUPPORTED, "unhandled expression");
}

status promql_eval_node(promql_engine *e, const promql_grid *g, const promql_node *n,
                        promql_value *ret)
{
    status st;
    uint32_t notes = e->notes->noted;
    TRY(promql_check_time(e));
    if (!e->shared)
        return eval_kind(e, g, n, ret);
    if (promql_shared_take(e, g, n, ret, &st))
        return st;
    TRY(eval_kind(e, g, n, ret));
    return e->notes->noted == notes ? promql_shared_keep(e, g, n, ret) : STATUS_OK;
}

/* ---- results ---- */

static int order_by_labels(const void *a, const void *b)
{
    return labels_cmp(((const promql_series *)a)->labels, ((const promql_series *)b)->labels);
}

static bool row_is_full(const promql_grid *g, const promql_row *row)
{
    bool full = true;
    for (uint32_t i = 0; i < g->steps; i++)
        full &= !is_absent(row->cells[i]);
    return full;
}

/* Moves the values that are there together. `all`: the times of all steps, which full rows share.
 */
static status row_to_series(promql_engine *e, const promql_grid *g, promql_row *row,
                            const int64_t *all, promql_series *ret)
{
    uint32_t n = 0;
    double *cells = row->cells;
    assert(cells);
    if (row_is_full(g, row)) {
        *ret = (promql_series){
            .labels = row->labels, .time_ms = all, .value = cells, .count = g->steps
        };
        return STATUS_OK;
    }
    int64_t *times = arena_alloc(e->arena, g->steps * sizeof(int64_t));
    if (!times)
        return promql_no_memory(e);
    for (uint32_t i = 0; i < g->steps; i++) {
        if (!cell_present(row, i))
            continue;
        if (row->histograms)
            row->histograms[n] = row->histograms[i];
        times[n] = grid_time(g, i);
        cells[n++] = cells[i];
    }
    *ret = (promql_series){ .labels = row->labels,
                            .time_ms = times,
                            .value = cells,
                            .histograms = row->histograms,
                            .count = n };
    return STATUS_OK;
}

static status rows_to_series(promql_engine *e, const promql_grid *g, const promql_value *v,
                             promql_result *ret)
{
    ret->series = promql_alloc(e, v->row_count, sizeof(promql_series));
    int64_t *all = promql_alloc(e, g->steps, sizeof(int64_t));
    if (!ret->series || !all)
        return STATUS_LIMIT;
    for (uint32_t i = 0; i < g->steps; i++)
        all[i] = grid_time(g, i);
    for (uint32_t r = 0; r < v->row_count; r++) {
        TRY(row_to_series(e, g, &v->rows[r], all, &ret->series[ret->count]));
        ret->count += ret->series[ret->count].count > 0;
    }
    int64_t start = clock_mono_ns();
    if (!v->ordered)
        qsort(ret->series, ret->count, sizeof(promql_series), order_by_labels);
    ret->sort_ns = clock_mono_ns() - start;
    return STATUS_OK;
}

static status scalar_to_series(promql_engine *e, const promql_grid *g, const promql_value *v,
                               promql_result *ret)
{
    promql_row row = { .cells = v->scalar };
    promql_value one = { .rows = &row, .row_count = 1 };
    return rows_to_series(e, g, &one, ret);
}

/* An instant query for a range vector answers with the samples themselves. */
static status samples_to_series(promql_engine *e, const promql_grid *g, const promql_value *v,
                                promql_result *ret)
{
    int64_t end = promql_shifted_time(e, &v->shift, g->start_ms), start = end - v->range_ms;
    ret->series = promql_alloc(e, v->series_count, sizeof(promql_series));
    if (!ret->series)
        return STATUS_LIMIT;
    for (uint32_t s = 0; s < v->series_count; s++) {
        const promql_samples *from = &v->series[s];
        uint32_t first = 0, last = from->count;
        while (first < last && from->time_ms[first] <= start)
            first++;
        while (last > first && from->time_ms[last - 1] > end)
            last--;
        if (last > first)
            ret->series[ret->count++] =
                (promql_series){ .labels = from->labels,
                                 .time_ms = from->time_ms + first,
                                 .value = from->value + first,
                                 .histograms = from->histograms ? from->histograms + first : NULL,
                                 .count = last - first };
    }
    qsort(ret->series, ret->count, sizeof(promql_series), order_by_labels);
    return STATUS_OK;
}

static status run(promql_engine *e, const promql_grid *g, const promql_node *query,
                  promql_result *ret)
{
    promql_value v;
    *ret = (promql_result){ .type = query->type };
    e->notes = &ret->notes;
    e->shared = promql_shared_find(query, e->arena);
    TRY(promql_eval_node(e, g, query, &v));
    TRY(promql_finish_names(e, g, &v));
    promql_sort_notes(&ret->notes);
    ret->samples = e->samples;
    ret->read = e->read;
    ret->touched = e->touched;
    ret->type = v.type;
    ret->string = v.string;
    if (v.type == PROMQL_SCALAR)
        return scalar_to_series(e, g, &v, ret);
    if (v.type == PROMQL_VECTOR)
        return rows_to_series(e, g, &v, ret);
    if (v.type == PROMQL_MATRIX)
        return samples_to_series(e, g, &v, ret);
    return STATUS_OK;
}

status promql_instant(store *s, const promql_node *query, str text, const promql_options *options,
                      arena *a, promql_result *ret, error *err)
{
    promql_engine e = { .store = s, .options = options, .arena = a, .err = err, .query = text };
    promql_grid g = { options->start_ms, 1, 1, false };
    promql_range_bounds bounds = { options->start_ms, options->start_ms, 0 };
    TRY(promql_bind(&query, query, &bounds, a, err));
    return run(&e, &g, query, ret);
}

status promql_range_query(store *s, const promql_node *query, str text,
                          const promql_options *options, arena *a, promql_result *ret, error *err)
{
    promql_engine e = { .store = s, .options = options, .arena = a, .err = err, .query = text };
    if (query->type != PROMQL_VECTOR && query->type != PROMQL_SCALAR)
        return fail(err, STATUS_INVALID,
                    "invalid expression type \"%s\" for range query, must be Scalar or instant "
                    "Vector",
                    promql_type_name(query->type));
    if (options->step_ms < 1 || options->end_ms < options->start_ms)
        return fail(err, STATUS_INVALID,
                    "the range ends before it starts, or its step is below 1 ms");
    int64_t steps = (options->end_ms - options->start_ms) / options->step_ms + 1;
    if (steps > UINT32_MAX / 2)
        return fail(err, STATUS_LIMIT, "the range has %lld steps", (long long)steps);
    promql_grid g = { options->start_ms, options->step_ms, (uint32_t)steps,
                      options->end_ms != options->start_ms };
    promql_range_bounds bounds = { options->start_ms, options->end_ms, options->step_ms };
    TRY(promql_bind(&query, query, &bounds, a, err));
    status st = run(&e, &g, query, ret);
    ret->type = PROMQL_MATRIX;
    return st;
}
