// SPDX-License-Identifier: Apache-2.0
/* How functions are called: value by value (math), window by window (range, native), or with the
 * whole call (general). Windows of a selector are evaluated series by series while it is read, by
 * all cores; those of a subquery from memory. */
#include "query/promql/eval.h"
#include "query/promql/extended.h"
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
    promql_row *rows; /* by series; without cells where there is no value */
    struct {          /* floats of a window of both kinds, by thread */
        int64_t *times;
        double *values;
        uint32_t capacity;
    } floats[WORKERS_MAX];
} windows;

static uint32_t count_histograms(const promql_window *w)
{
    uint32_t n = 0;
    for (uint32_t i = 0; i < w->count; i++)
        n += w->histograms[i] != NULL;
    return n;
}

/* What functions of floats see of a window with both; false: nothing. */
static status only_floats(windows *ws, uint32_t slot, promql_window *w, bool *ret_any)
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
static status mixed_window(windows *ws, uint32_t slot, promql_window *w, promql_row *row,
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

/* Whether no value is below the one before it. */
static bool never_falls(const promql_samples *s)
{
    bool falls = false;
    for (uint32_t i = 1; i < s->count; i++)
        falls |= s->value[i] < s->value[i - 1];
    return !falls;
}

static bool has_float(const promql_grid *g, const promql_row *row)
{
    for (uint32_t i = 0; row->cells && i < g->steps; i++)
        if (!is_absent(row->cells[i]))
            return true;
    return false;
}

static status one_series(promql_engine *e, void *user, uint32_t slot, uint32_t index,
                         const promql_samples *s)
{
    windows *ws = user;
    const promql_grid *g = ws->g;
    promql_range *fn = ws->call->call.function->range;
    promql_window w = { .engine = e, .call = ws->call, .labels = s->labels };
    promql_row row = { .labels = s->labels, .drop_name = s->drop_name };
    uint32_t first = 0, end = 0;
    w.never_falls = !s->histograms && never_falls(s);
    for (uint32_t i = 0; i < g->steps; i++) {
        w.eval_ms = grid_time(g, i);
        w.end_ms = promql_shifted_time(e, &ws->shift, w.eval_ms);
        w.start_ms = w.end_ms - ws->range_ms;
        while (end < s->count && s->time_ms[end] <= w.end_ms)
            end++;
        while (first < end && s->time_ms[first] <= w.start_ms)
            first++;
        if (first == end)
            continue;
        TRY(promql_check_time(e));
        w.time_ms = s->time_ms + first;
        w.value = s->value + first;
        w.histograms = s->histograms ? s->histograms + first : NULL;
        w.count = end - first;
        for (uint32_t k = 0; k < ws->param_count; k++)
            w.params[k] = ws->params[k][i];
        promql_cell cell = { 0 };
        if (w.histograms && count_histograms(&w))
            TRY(mixed_window(ws, slot, &w, &row, i));
        else if (fn(&w, &cell.value))
            TRY(put_cell(&w, ws, &row, i, cell));
        if (e->err && e->err->code != STATUS_OK)
            return e->err->code; /* a function said so */
    }
    if ((fn == promql_rate || fn == promql_increase) && has_float(g, &row))
        promql_hint_counter(e, ws->call, s->labels);
    ws->rows[index] = row;
    return STATUS_OK;
}

static const promql_node *without_parens(const promql_node *n)
{
    while (n->kind == NODE_PAREN)
        n = n->paren;
    return n;
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

/* The windows of a selector: each series is done with when it was read. */
static status call_selector(promql_engine *e, const promql_grid *g, const promql_node *matrix,
                            windows *ws, uint32_t *ret_count)
{
    promql_found found;
    ws->shift = matrix->selector.shift;
    ws->range_ms = matrix->selector.range_ms;
    TRY(promql_find(e, g, matrix, ws->range_ms, 0, &found));
    status st = STATUS_LIMIT;
    if ((ws->rows = promql_alloc(e, found.count, sizeof(promql_row))))
        st = promql_each_series(e, &found, false, one_series, ws);
    *ret_count = found.count;
    promql_found_done(&found);
    return st;
}

static status call_range(promql_engine *e, const promql_grid *g, const promql_node *n,
                         promql_value *ret)
{
    windows ws = { .g = g, .call = n };
    const promql_node *arg = without_parens(n->call.args[promql_range_arg(n)]);
    uint32_t count;
    if (arg->kind == NODE_MATRIX && promql_is_extended(arg))
        return promql_call_extended(e, g, n, arg, ret);
    TRY(eval_params(e, g, n, &ws));
    if (arg->kind == NODE_MATRIX) {
        TRY(call_selector(e, g, arg, &ws, &count));
    } else {
        promql_value ranges;
        TRY(promql_eval_node(e, g, arg, &ranges));
        ws.shift = ranges.shift;
        ws.range_ms = ranges.range_ms;
        count = ranges.series_count;
        if (!(ws.rows = promql_alloc(e, count, sizeof(promql_row))))
            return STATUS_LIMIT;
        TRY(promql_each_samples(e, &ranges, one_series, &ws));
    }
    *ret = (promql_value){ .type = PROMQL_VECTOR, .rows = ws.rows };
    ret->row_count = promql_pack_rows(ws.rows, count);
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
