// SPDX-License-Identifier: Apache-2.0
/* Selectors and subqueries: from the store's samples to cells or windows. Ranges and the lookback
 * are open to the left and closed to the right, as in Prometheus 3. */
#include "query/promql/eval.h"
#include "query/promql/extended.h"
#include "query/promql/histogram.h"

#define DEFAULT_STEP_MS (60 * 1000)
#define LARGEST_MS      INT64_C(9200000000000)
/* Steps are counted in 32 bits; any limit of samples is far below. */
#define SUBQUERY_STEPS_LIMIT INT32_MAX

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

promql_steps promql_window_ends(const promql_engine *e, const promql_shift *shift,
                                const promql_grid *g)
{
    return (promql_steps){ .first_ms = promql_shifted_time(e, shift, g->start_ms),
                           .step_ms = shift->at == AT_NONE ? g->step_ms : 0,
                           .count = g->steps };
}

/* Within what fits as nanoseconds. */
static int64_t clamp_ms(int64_t ms)
{
    return MAX(-LARGEST_MS, MIN(ms, LARGEST_MS));
}

static series_query query_of(const promql_engine *e, const promql_grid *g, const promql_selector *s,
                             int64_t back_ms, int64_t fore_ms)
{
    uint64_t limit = promql_sample_limit(e);
    return (series_query){
        .matchers = s->matchers,
        .matcher_count = s->matcher_count,
        .from_ms = clamp_ms(promql_shifted_time(e, &s->shift, g->start_ms) - back_ms + 1),
        .to_ms = clamp_ms(promql_shifted_time(e, &s->shift, grid_time(g, g->steps - 1)) + fore_ms),
        .sample_limit = limit > e->samples ? limit - e->samples : 1,
        .control = e->options->control,
    };
}

status promql_find(promql_engine *e, const promql_grid *g, const promql_node *n, int64_t back_ms,
                   int64_t fore_ms, promql_found *ret)
{
    series_query q = query_of(e, g, &n->selector, back_ms, fore_ms);
    *ret = (promql_found){ .from_ms = q.from_ms - 1, .to_ms = q.to_ms };
    TRY(store_find(e->store, &q, e->arena, &ret->series, e->err));
    ret->heads = series_found_heads(ret->series, &ret->count);
    return STATUS_OK;
}

void promql_found_done(promql_found *f)
{
    series_found_done(f->series);
    f->series = NULL;
}

int64_t promql_lookback(const promql_engine *e)
{
    return e->options->lookback_ms ? e->options->lookback_ms : PROMQL_LOOKBACK_MS;
}

/* ---- instant vectors ---- */

typedef struct {
    const promql_grid *g;
    const promql_shift *shift;
    int64_t lookback_ms;
    bool want_time;
} instant;

/* A histogram is copied once, however many steps see it. */
static status put_histogram(promql_engine *e, const promql_grid *g, promql_row *row, uint32_t step,
                            const histogram *h, const histogram **copied_from,
                            const histogram **copy)
{
    const histogram **list = promql_row_histograms(e, g, row);
    if (!list)
        return STATUS_LIMIT;
    if (*copied_from != h) {
        *copy = promql_keep_histogram(e, h);
        *copied_from = h;
    }
    list[step] = *copy;
    return *copy ? STATUS_OK : STATUS_LIMIT;
}

/* The newest sample of each step's lookback window. */
static status instant_row(promql_engine *e, const void *user, uint32_t slot,
                          const promql_samples *s, promql_row *row)
{
    const instant *in = user;
    const promql_grid *g = in->g;
    const histogram *copied_from = NULL, *copy = NULL;
    promql_steps steps = promql_window_ends(e, in->shift, g);
    uint32_t next = 0; /* the first sample behind the step */
    (void)slot;
    for (uint32_t i = 0; i < g->steps; i++) {
        int64_t at = steps.first_ms + (int64_t)i * steps.step_ms;
        while (next < s->count && s->time_ms[next] <= at)
            next++;
        if (next == 0 || s->time_ms[next - 1] <= at - in->lookback_ms)
            continue;
        const histogram *h = s->histograms ? s->histograms[next - 1] : NULL;
        if (!h && is_absent(s->value[next - 1]))
            continue;
        if (!row->cells && !(row->cells = promql_values(e, g)))
            return STATUS_LIMIT;
        if (h)
            TRY(put_histogram(e, g, row, i, h, &copied_from, &copy));
        if (in->want_time)
            row->cells[i] = (double)s->time_ms[next - 1] / 1000.0;
        else if (!h)
            row->cells[i] = s->value[next - 1];
    }
    return STATUS_OK;
}

/* Takes out the rows that have no cells; keeps the order. */
uint32_t promql_pack_rows(promql_row *rows, uint32_t count)
{
    uint32_t n = 0;
    for (uint32_t i = 0; i < count; i++)
        if (rows[i].cells)
            rows[n++] = rows[i];
    return n;
}

status promql_instant_maker(promql_engine *e, const promql_grid *g, const promql_node *n,
                            bool want_time, promql_row_maker *ret)
{
    instant *in = promql_alloc(e, 1, sizeof(*in));
    if (!in)
        return STATUS_LIMIT;
    *in = (instant){ g, &n->selector.shift, promql_lookback(e), want_time };
    *ret = (promql_row_maker){ n, in->lookback_ms, true, instant_row, in };
    return STATUS_OK;
}

status promql_select_instant(promql_engine *e, const promql_grid *g, const promql_node *n,
                             bool want_time, promql_value *ret)
{
    promql_row_maker maker;
    if (n->selector.smoothed && !want_time)
        return promql_select_smoothed(e, g, n, ret);
    TRY(promql_instant_maker(e, g, n, want_time, &maker));
    return promql_make_rows(e, g, &maker, ret);
}

/* ---- rows of all series ---- */

typedef struct {
    const promql_row_maker *maker;
    promql_row *rows; /* by series */
} rows_of;

static status one_row(promql_engine *e, void *user, uint32_t slot, uint32_t index,
                      const promql_samples *s)
{
    const rows_of *r = user;
    r->rows[index].labels = s->labels;
    return r->maker->make(e, r->maker->user, slot, s, &r->rows[index]);
}

status promql_make_rows(promql_engine *e, const promql_grid *g, const promql_row_maker *m,
                        promql_value *ret)
{
    promql_found found;
    rows_of r = { .maker = m };
    *ret = (promql_value){ .type = PROMQL_VECTOR };
    TRY(promql_find(e, g, m->selector, m->back_ms, 0, &found));
    status st = STATUS_LIMIT;
    if ((r.rows = promql_alloc(e, found.count, sizeof(promql_row))))
        st = promql_each_series(e, &found, m->keep_stale, one_row, &r);
    ret->rows = r.rows;
    if (st == STATUS_OK)
        ret->row_count = promql_pack_rows(r.rows, found.count);
    promql_found_done(&found);
    return st;
}

/* ---- range vectors, kept whole ---- */

static status keep_samples(promql_engine *e, void *user, uint32_t slot, uint32_t index,
                           const promql_samples *s)
{
    promql_samples *kept = (promql_samples *)user + index;
    int64_t *times = promql_alloc(e, s->count, sizeof(int64_t));
    double *values = promql_alloc(e, s->count, sizeof(double));
    const histogram **histograms =
        s->histograms ? promql_alloc(e, s->count, sizeof(histogram *)) : NULL;
    (void)slot;
    if (!times || !values || (s->histograms && !histograms))
        return STATUS_LIMIT;
    memcpy(times, s->time_ms, s->count * sizeof(int64_t));
    memcpy(values, s->value, s->count * sizeof(double));
    for (uint32_t i = 0; histograms && i < s->count; i++)
        if (s->histograms[i] && !(histograms[i] = promql_keep_histogram(e, s->histograms[i])))
            return STATUS_LIMIT;
    *kept = (promql_samples){ .labels = s->labels,
                              .time_ms = times,
                              .value = values,
                              .histograms = histograms,
                              .count = s->count };
    return STATUS_OK;
}

status promql_select_range(promql_engine *e, const promql_grid *g, const promql_node *n,
                           promql_value *ret)
{
    const promql_selector *s = &n->selector;
    promql_found found;
    if (promql_is_extended(n))
        return promql_select_extended(e, g, n, ret);
    *ret = (promql_value){ .type = PROMQL_MATRIX, .range_ms = s->range_ms, .shift = s->shift };
    TRY(promql_find(e, g, n, s->range_ms, 0, &found));
    status st = STATUS_LIMIT;
    if ((ret->series = promql_alloc(e, found.count, sizeof(promql_samples))))
        st = promql_each_series(e, &found, false, keep_samples, ret->series);
    for (uint32_t i = 0; st == STATUS_OK && i < found.count; i++)
        if (ret->series[i].count)
            ret->series[ret->series_count++] = ret->series[i];
    promql_found_done(&found);
    return st;
}

/* ---- subqueries ---- */

/* The first multiple of step after `after` (which is itself outside). */
static int64_t align_after(int64_t after, int64_t step)
{
    int64_t aligned = step * (after / step);
    return aligned <= after ? aligned + step : aligned;
}

/* A subquery may leave out the sample that says that a counter restarted, or give it several times:
 * nothing is said, so that the counts tell. */
static const histogram *without_restart(promql_engine *e, const histogram *h)
{
    if (!h || h->hint == HISTOGRAM_GAUGE || h->hint == HISTOGRAM_RESET_UNKNOWN)
        return h;
    return histogram_with_hint(e->arena, h, HISTOGRAM_RESET_UNKNOWN);
}

static status row_to_samples(promql_engine *e, const promql_grid *g, promql_row *row,
                             promql_samples *ret)
{
    int64_t *times = promql_alloc(e, g->steps, sizeof(int64_t));
    const histogram *from = NULL, *kept = NULL;
    uint32_t n = 0;
    if (!times)
        return STATUS_LIMIT;
    for (uint32_t i = 0; i < g->steps; i++) {
        const histogram *h = row->histograms ? row->histograms[i] : NULL;
        if (!h && is_absent(row->cells[i]))
            continue;
        times[n] = grid_time(g, i);
        if (h != from && !(kept = without_restart(e, from = h)) && h)
            return promql_no_memory(e);
        if (row->histograms)
            row->histograms[n] = kept;
        row->cells[n++] = kept ? kept->sum : row->cells[i];
    }
    *ret = (promql_samples){ .labels = row->labels,
                             .time_ms = times,
                             .value = row->cells,
                             .histograms = row->histograms,
                             .count = n,
                             .drop_name = row->drop_name };
    return STATUS_OK;
}

static status rows_to_samples(promql_engine *e, const promql_grid *g, const promql_value *v,
                              promql_value *ret)
{
    ret->series = promql_alloc(e, v->row_count, sizeof(promql_samples));
    if (!ret->series)
        return STATUS_LIMIT;
    for (uint32_t r = 0; r < v->row_count; r++) {
        TRY(row_to_samples(e, g, &v->rows[r], &ret->series[ret->series_count]));
        ret->series_count += ret->series[ret->series_count].count > 0;
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
    if (steps > SUBQUERY_STEPS_LIMIT)
        return fail(e->err, STATUS_LIMIT,
                    "the subquery has %lld steps; the limit is %lld: make its range shorter or its "
                    "step longer",
                    (long long)steps, (long long)SUBQUERY_STEPS_LIMIT);
    inner.steps = (uint32_t)steps;
    inner.has_range = inner.start_ms != last;
    promql_value v;
    TRY(promql_eval_node(e, &inner, s->inner, &v));
    return rows_to_samples(e, &inner, &v, ret);
}
