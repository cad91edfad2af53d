// SPDX-License-Identifier: Apache-2.0
/* Selectors and subqueries: from the store's samples to cells or windows. Ranges and the lookback
 * are open to the left and closed to the right, as in Prometheus 3. */
#include "query/promql/eval.h"

#include <math.h>

#define DEFAULT_LOOKBACK_MS (5 * 60 * 1000)
#define DEFAULT_STEP_MS     (60 * 1000)
#define LARGEST_MS          INT64_C(9200000000000)

int64_t promql_shifted_time(const promql_engine *e, const promql_shift *shift, int64_t time_ms)
{
    switch (shift->at) {
    case AT_NONE:
        break;
    case AT_TIME:
        time_ms = shift->at_ms;
        break;
    case AT_START:
        time_ms = e->options->start_ms;
        break;
    case AT_END:
        time_ms = e->options->end_ms;
        break;
    }
    return time_ms - shift->offset_ms;
}

/* Within what fits as nanoseconds. */
static int64_t clamp_ms(int64_t ms)
{
    return MAX(-LARGEST_MS, MIN(ms, LARGEST_MS));
}

/* The store's samples in (first step - back_ms, last step]. */
static status fetch(promql_engine *e, const promql_grid *g, const promql_selector *s,
                    int64_t back_ms, series_set *ret)
{
    uint64_t limit = e->options->sample_limit ? e->options->sample_limit : 50000000u;
    series_query q = {
        .matchers = s->matchers,
        .matcher_count = s->matcher_count,
        .from_ms = clamp_ms(promql_shifted_time(e, &s->shift, g->start_ms) - back_ms + 1),
        .to_ms = clamp_ms(promql_shifted_time(e, &s->shift, grid_time(g, g->steps - 1))),
        .sample_limit = limit > e->samples ? limit - e->samples : 1,
        .control = e->options->control,
    };
    TRY(store_series(e->store, &q, e->arena, ret, e->err));
    uint64_t samples = 0;
    for (uint32_t i = 0; i < ret->count; i++)
        samples += ret->items[i].sample_count;
    return promql_count_samples(e, samples);
}

/* Writes the newest sample of each step's lookback window; true when there was any. */
static bool fill_row(promql_engine *e, const promql_grid *g, const promql_shift *shift,
                     int64_t lookback_ms, const series *from, bool want_time, double *cells)
{
    uint32_t next = 0; /* the first sample behind the step */
    bool any = false;
    for (uint32_t i = 0; i < g->steps; i++) {
        int64_t at = promql_shifted_time(e, shift, grid_time(g, i));
        while (next < from->sample_count && from->time_ms[next] <= at)
            next++;
        if (next == 0 || from->time_ms[next - 1] <= at - lookback_ms ||
            is_absent(from->value[next - 1]))
            continue;
        cells[i] = want_time ? (double)from->time_ms[next - 1] / 1000.0 : from->value[next - 1];
        any = true;
    }
    return any;
}

status promql_select_instant(promql_engine *e, const promql_grid *g, const promql_node *n,
                             bool want_time, promql_value *ret)
{
    const promql_selector *s = &n->selector;
    int64_t lookback = e->options->lookback_ms ? e->options->lookback_ms : DEFAULT_LOOKBACK_MS;
    series_set set;
    TRY(fetch(e, g, s, lookback, &set));
    *ret = (promql_value){ .type = PROMQL_VECTOR };
    ret->rows = promql_alloc(e, set.count, sizeof(promql_row));
    if (!ret->rows)
        return STATUS_LIMIT;
    double *cells = NULL;
    for (uint32_t i = 0; i < set.count; i++) {
        TRY(promql_check_time(e));
        const series *from = &set.items[i];
        if (!cells && !(cells = promql_values(e, g)))
            return STATUS_LIMIT;
        if (!fill_row(e, g, &s->shift, lookback, from, want_time, cells))
            continue;
        ret->rows[ret->row_count++] = (promql_row){ { from->labels, from->label_count }, cells };
        cells = NULL;
    }
    return STATUS_OK;
}

/* Shares the store's arrays unless stale markers have to be taken out. */
static status without_stale(promql_engine *e, const series *from, promql_samples *ret)
{
    *ret = (promql_samples){ .labels = { from->labels, from->label_count },
                             .time_ms = from->time_ms,
                             .value = from->value,
                             .count = from->sample_count };
    uint32_t stale = 0;
    for (uint32_t i = 0; i < from->sample_count; i++)
        stale += is_absent(from->value[i]);
    if (!stale)
        return STATUS_OK;
    int64_t *times = promql_alloc(e, from->sample_count - stale, sizeof(int64_t));
    double *cells = promql_alloc(e, from->sample_count - stale, sizeof(double));
    if (!times || !cells)
        return STATUS_LIMIT;
    uint32_t n = 0;
    for (uint32_t i = 0; i < from->sample_count; i++) {
        if (is_absent(from->value[i]))
            continue;
        times[n] = from->time_ms[i];
        cells[n++] = from->value[i];
    }
    ret->time_ms = times;
    ret->value = cells;
    ret->count = n;
    return STATUS_OK;
}

status promql_select_range(promql_engine *e, const promql_grid *g, const promql_node *n,
                           promql_value *ret)
{
    const promql_selector *s = &n->selector;
    series_set set;
    TRY(fetch(e, g, s, s->range_ms, &set));
    *ret = (promql_value){ .type = PROMQL_MATRIX, .range_ms = s->range_ms, .shift = s->shift };
    ret->series = promql_alloc(e, set.count, sizeof(promql_samples));
    if (!ret->series)
        return STATUS_LIMIT;
    for (uint32_t i = 0; i < set.count; i++) {
        TRY(without_stale(e, &set.items[i], &ret->series[ret->series_count]));
        ret->series_count += ret->series[ret->series_count].count > 0;
    }
    return STATUS_OK;
}

/* ---- subqueries ---- */

/* The first multiple of step after `after` (which is itself outside). */
static int64_t align_after(int64_t after, int64_t step)
{
    int64_t aligned = step * (after / step);
    return aligned <= after ? aligned + step : aligned;
}

static status rows_to_samples(promql_engine *e, const promql_grid *g, const promql_value *v,
                              promql_value *ret)
{
    ret->series = promql_alloc(e, v->row_count, sizeof(promql_samples));
    if (!ret->series)
        return STATUS_LIMIT;
    for (uint32_t r = 0; r < v->row_count; r++) {
        double *cells = v->rows[r].cells;
        int64_t *times = promql_alloc(e, g->steps, sizeof(int64_t));
        uint32_t n = 0;
        if (!times)
            return STATUS_LIMIT;
        for (uint32_t i = 0; i < g->steps; i++) {
            if (is_absent(cells[i]))
                continue;
            times[n] = grid_time(g, i);
            cells[n++] = cells[i];
        }
        if (n)
            ret->series[ret->series_count++] = (promql_samples){
                .labels = v->rows[r].labels, .time_ms = times, .value = cells, .count = n
            };
    }
    return STATUS_OK;
}

status promql_eval_subquery(promql_engine *e, const promql_grid *g, const promql_node *n,
                            promql_value *ret)
{
    const promql_subquery *s = &n->subquery;
    int64_t fallback = e->options->default_step_ms ? e->options->default_step_ms : DEFAULT_STEP_MS;
    int64_t step = s->step_ms ? s->step_ms : fallback;
    int64_t first = promql_shifted_time(e, &s->shift, g->start_ms);
    int64_t last = promql_shifted_time(e, &s->shift, grid_time(g, g->steps - 1));
    promql_grid inner = { .start_ms = align_after(first - s->range_ms, step), .step_ms = step };
    *ret = (promql_value){ .type = PROMQL_MATRIX, .range_ms = s->range_ms, .shift = s->shift };
    if (inner.start_ms > last)
        return STATUS_OK;
    int64_t steps = (last - inner.start_ms) / step + 1;
    if (steps > UINT32_MAX / 2)
        return fail(e->err, STATUS_LIMIT, "the subquery has %lld steps", (long long)steps);
    inner.steps = (uint32_t)steps;
    promql_value v;
    TRY(promql_eval_node(e, &inner, s->inner, &v));
    return rows_to_samples(e, &inner, &v, ret);
}
