// SPDX-License-Identifier: Apache-2.0
/* How functions are called: value by value (math), window by window (range, native), or with the
 * whole call (general). Windows of a selector are evaluated series by series while it is read, by
 * all cores; those of a subquery from memory. */
#include "query/promql/eval.h"
#include "query/promql/extended.h"
#include "query/promql/rate_windows.h"
#include "query/promql/sum_windows.h"
#include "query/workers.h"

#include <math.h>

status promql_finish_call(promql_engine *e, const promql_grid *g, const promql_node *call,
                          promql_value *v)
{
    bool delayed = e->options->features & PROMQL_DELAYED_NAME_REMOVAL;
    for (uint32_t i = 0; i < v->row_count && !call->call.function->keeps_name; i++) {
        promql_row *row = &v->rows[i];
        if (delayed)
            row->drop_name = true;
        else if (!labels_drop_metric(e->arena, row->labels, &row->labels))
            return promql_no_memory(e);
    }
    return promql_merge_rows(e, g, v, SAME_LABELSET);
}

/* ---- value by value ---- */

static status call_math(promql_engine *e, const promql_grid *g, const promql_node *n,
                        promql_value *ret)
{
    promql_math *fn = n->call.function->math;
    if (n->call.arg_count == 0) {
        promql_value now;
        TRY(promql_fn_time(e, g, n, &now));
        *ret = (promql_value){ .type = PROMQL_VECTOR, .row_count = 1 };
        if (!(ret->rows = promql_alloc(e, 1, sizeof(promql_row))))
            return STATUS_LIMIT;
        ret->rows[0].cells = now.scalar;
    } else {
        TRY(promql_eval_node(e, g, n->call.args[0], ret));
    }
    for (uint32_t r = 0; r < ret->row_count; r++) {
        double *cells = ret->rows[r].cells;
        TRY(promql_check_time(e));
        ret->rows[r].histograms = NULL; /* these functions are of floats */
        for (uint32_t i = 0; i < g->steps; i++)
            if (!is_absent(cells[i]))
                cells[i] = fn(cells[i]);
    }
    return promql_finish_call(e, g, n, ret);
}

/* ---- windows ---- */

typedef struct {
    const promql_grid *g;
    const promql_node *call;
    promql_shift shift;
    int64_t range_ms;
    double *params[PROMQL_MAX_ARGS]; /* one number per step */
    uint32_t param_count;
    struct window_floats { /* floats of a window of both kinds, by thread */
        int64_t *times;
        double *values;
        uint32_t capacity;
    } * floats;
    rate_windows *rates; /* by thread */
} windows;

static uint32_t count_histograms(const promql_window *w)
{
    uint32_t n = 0;
    for (uint32_t i = 0; i < w->count; i++)
        n += w->histograms[i] != NULL;
    return n;
}

/* What functions of floats see of a window with both; false: nothing. */
static status only_floats(const windows *ws, uint32_t slot, promql_window *w, bool *ret_any)
{
    if (ws->floats[slot].capacity < w->count) {
        ws->floats[slot].times = promql_alloc(w->engine, w->count, sizeof(int64_t));
        ws->floats[slot].values = promql_alloc(w->engine, w->count, sizeof(double));
        if (!ws->floats[slot].times || !ws->floats[slot].values)
            return STATUS_LIMIT;
        ws->floats[slot].capacity = w->count;
    }
    uint32_t n = 0;
    for (uint32_t i = 0; i < w->count; i++) {
        if (w->histograms[i])
            continue;
        ws->floats[slot].times[n] = w->time_ms[i];
        ws->floats[slot].values[n++] = w->value[i];
    }
    w->time_ms = ws->floats[slot].times;
    w->value = ws->floats[slot].values;
    w->histograms = NULL;
    w->count = n;
    *ret_any = n > 0;
    return STATUS_OK;
}

static status put_cell(promql_window *w, const windows *ws, promql_row *row, uint32_t step,
                       promql_cell cell)
{
    if (!row->cells && !(row->cells = promql_values(w->engine, ws->g)))
        return STATUS_LIMIT;
    if (!cell.histogram) {
        row->cells[step] = cell.value;
        return STATUS_OK;
    }
    const histogram **list = promql_row_histograms(w->engine, ws->g, row);
    if (!list)
        return STATUS_LIMIT;
    list[step] = cell.histogram; /* shares nothing with the window, which is the reader's */
    return STATUS_OK;
}

/* A window with a histogram in it. */
static status mixed_window(const windows *ws, uint32_t slot, promql_window *w, promql_row *row,
                           uint32_t step)
{
    const promql_function *f = ws->call->call.function;
    promql_cell cell = { 0 };
    bool any;
    if (f->native)
        return f->native(w, &cell) ? put_cell(w, ws, row, step, cell) : STATUS_OK;
    TRY(only_floats(ws, slot, w, &any));
    if (!any)
        return STATUS_OK;
    promql_note(
        w->engine, false, ws->call->call.args[0],
        "ignored histograms in a range containing both floats and histograms for metric name "
        "\"%.*s\"",
        STR_ARG(str_slice(labels_get(row->labels, LABEL_NAME), 0, 120)));
    return f->range(w, &cell.value) ? put_cell(w, ws, row, step, cell) : STATUS_OK;
}

static bool has_float(const promql_grid *g, const promql_row *row)
{
    for (uint32_t i = 0; row->cells && i < g->steps; i++)
        if (!is_absent(row->cells[i]))
            return true;
    return false;
}

/* rate and increase of floats: without a call for each window. */
static status rate_row(promql_engine *e, const windows *ws, uint32_t slot, const promql_samples *s,
                       promql_row *row)
{
    promql_steps steps = promql_window_ends(e, &ws->shift, ws->g);
    promql_window w = { .engine = e, .call = ws->call, .labels = s->labels };
    if (!row->cells && !(row->cells = promql_values(e, ws->g)))
        return STATUS_LIMIT;
    TRY(rate_windows_row(&ws->rates[slot], &w, s, &steps, ws->range_ms, row->cells));
    if (has_float(ws->g, row))
        promql_hint_counter(e, ws->call, s->labels);
    return STATUS_OK;
}

/* sum_over_time and avg_over_time of floats. */
static status sum_row(promql_engine *e, const windows *ws, const promql_samples *s, promql_row *row)
{
    promql_steps steps = promql_window_ends(e, &ws->shift, ws->g);
    promql_window w = { .engine = e, .call = ws->call, .labels = s->labels };
    if (!row->cells && !(row->cells = promql_values(e, ws->g)))
        return STATUS_LIMIT;
    return sum_windows_row(&w, s, &steps, ws->range_ms, row->cells);
}

static status one_window(promql_engine *e, const windows *ws, uint32_t slot, promql_window *w,
                         uint32_t step, promql_row *row)
{
    promql_cell cell = { 0 };
    for (uint32_t k = 0; k < ws->param_count; k++)
        w->params[k] = ws->params[k][step];
    if (w->histograms && count_histograms(w))
        TRY(mixed_window(ws, slot, w, row, step));
    else if (ws->call->call.function->range(w, &cell.value))
        TRY(put_cell(w, ws, row, step, cell));
    return e->err && e->err->code != STATUS_OK ? e->err->code : STATUS_OK; /* a function said so */
}

static status window_row(promql_engine *e, const void *user, uint32_t slot, const promql_samples *s,
                         promql_row *row)
{
    const windows *ws = user;
    const promql_grid *g = ws->g;
    promql_range *fn = ws->call->call.function->range;
    promql_steps steps = promql_window_ends(e, &ws->shift, g);
    promql_window w = { .engine = e, .call = ws->call, .labels = s->labels };
    uint32_t first = 0, end = 0;
    row->drop_name = s->drop_name;
    if ((fn == promql_rate || fn == promql_increase) && !s->histograms)
        return rate_row(e, ws, slot, s, row);
    if (sum_windows_for(fn) && !s->histograms)
        return sum_row(e, ws, s, row);
    for (uint32_t i = 0; i < g->steps; i++) {
        w.eval_ms = grid_time(g, i);
        w.end_ms = steps.first_ms + (int64_t)i * steps.step_ms;
        w.start_ms = w.end_ms - ws->range_ms;
        if (s->time_ms[s->count - 1] <= w.end_ms)
            end = s->count;
        while (end < s->count && s->time_ms[end] <= w.end_ms)
            end++;
        while (first < end && s->time_ms[first] <= w.start_ms)
            first++;
        if (first == end)
            continue;
        TRY(promql_check_time(e));
        TRY(promql_check_work(e, end - first));
        w.time_ms = s->time_ms + first;
        w.value = s->value + first;
        w.histograms = s->histograms ? s->histograms + first : NULL;
        w.count = end - first;
        TRY(one_window(e, ws, slot, &w, i, row));
    }
    if ((fn == promql_rate || fn == promql_increase) && row->cells && has_float(g, row))
        promql_hint_counter(e, ws->call, s->labels);
    return STATUS_OK;
}

uint32_t promql_range_arg(const promql_node *call)
{
    uint32_t i = 0;
    while (i + 1 < call->call.arg_count && call->call.args[i]->type != PROMQL_MATRIX)
        i++;
    return i;
}

static status eval_params(promql_engine *e, const promql_grid *g, const promql_node *n,
                          windows *ret)
{
    for (uint32_t i = 0; i < n->call.arg_count; i++) {
        promql_value v;
        if (n->call.args[i]->type == PROMQL_MATRIX)
            continue;
        TRY(promql_eval_node(e, g, n->call.args[i], &v));
        ret->params[ret->param_count++] = v.scalar;
    }
    return STATUS_OK;
}

static status windows_new(promql_engine *e, const promql_grid *g, const promql_node *call,
                          windows **ret)
{
    windows *ws = promql_alloc(e, 1, sizeof(*ws));
    if (!ws || !(ws->floats = promql_alloc(e, WORKERS_MAX, sizeof(*ws->floats))) ||
        !(ws->rates = promql_alloc(e, WORKERS_MAX, sizeof(*ws->rates))))
        return STATUS_LIMIT;
    ws->g = g;
    ws->call = call;
    *ret = ws;
    return eval_params(e, g, call, ws);
}

status promql_window_maker(promql_engine *e, const promql_grid *g, const promql_node *call,
                           const promql_node *matrix, promql_row_maker *ret)
{
    windows *ws = NULL;
    TRY(windows_new(e, g, call, &ws));
    ws->shift = matrix->selector.shift;
    ws->range_ms = matrix->selector.range_ms;
    *ret = (promql_row_maker){ matrix, ws->range_ms, false, window_row, ws };
    return STATUS_OK;
}

/* ---- windows of a subquery ---- */

typedef struct {
    const windows *ws;
    promql_row *rows; /* by series */
} subquery_rows;

static status subquery_row(promql_engine *e, void *user, uint32_t slot, uint32_t index,
                           const promql_samples *s)
{
    const subquery_rows *r = user;
    r->rows[index].labels = s->labels;
    return window_row(e, r->ws, slot, s, &r->rows[index]);
}

static status call_subquery(promql_engine *e, const promql_grid *g, const promql_node *n,
                            const promql_node *arg, promql_value *ret)
{
    windows *ws = NULL;
    promql_value ranges;
    subquery_rows r = { 0 };
    TRY(windows_new(e, g, n, &ws));
    TRY(promql_eval_node(e, g, arg, &ranges));
    ws->shift = ranges.shift;
    ws->range_ms = ranges.range_ms;
    r.ws = ws;
    if (!(r.rows = promql_alloc(e, ranges.series_count, sizeof(promql_row))))
        return STATUS_LIMIT;
    TRY(promql_each_samples(e, &ranges, subquery_row, &r));
    *ret = (promql_value){ .type = PROMQL_VECTOR, .rows = r.rows };
    ret->row_count = promql_pack_rows(r.rows, ranges.series_count);
    return STATUS_OK;
}

static status call_range(promql_engine *e, const promql_grid *g, const promql_node *n,
                         promql_value *ret)
{
    const promql_node *arg = promql_bare(n->call.args[promql_range_arg(n)]);
    promql_row_maker maker;
    if (arg->kind != NODE_MATRIX) {
        TRY(call_subquery(e, g, n, arg, ret));
    } else if (promql_is_extended(arg)) {
        return promql_call_extended(e, g, n, arg, ret);
    } else {
        TRY(promql_window_maker(e, g, n, arg, &maker));
        TRY(promql_make_rows(e, g, &maker, ret));
    }
    return promql_finish_call(e, g, n, ret);
}

status promql_eval_call(promql_engine *e, const promql_grid *g, const promql_node *n,
                        promql_value *ret)
{
    const promql_function *f = n->call.function;
    if (f->math)
        return call_math(e, g, n, ret);
    if (f->range)
        return call_range(e, g, n, ret);
    return f->general(e, g, n, ret);
}
