// SPDX-License-Identifier: Apache-2.0
/* rate, increase, delta, changes and resets of anchored and smoothed range vectors, and smoothed
 * instant vectors. Nothing is extrapolated: the value at an end of the range is that of the sample
 * before it (anchored), or lies on the line between its neighbours (smoothed). */
#include "query/promql/extended.h"

#include "query/promql/histogram.h"
#include "query/promql/rows.h"

typedef struct {
    const promql_grid *g;
    const promql_node *call;
    const promql_selector *selector;
    const promql_node *node; /* the selector */
    int64_t lookback_ms;
    promql_row *rows;
    promql_samples *samples;
    bool counter, per_second, counts;
} extended;

/* The samples around one range, with what is computed of them. */
typedef struct {
    promql_window w;
    arena *arena; /* of what lies between */
    bool smoothed, counter;
    uint32_t first, last; /* the samples that decide the values at the ends */
} span;

/* Of the first `count` samples, how many are at or before t. */
static uint32_t count_until(const promql_window *w, uint32_t count, int64_t t_ms)
{
    uint32_t low = 0;
    while (low < count) {
        uint32_t middle = (low + count) / 2;
        if (w->time_ms[middle] <= t_ms)
            low = middle + 1;
        else
            count = middle;
    }
    return low;
}

/* False: no sample is behind the range's start, or all are behind its end. */
static bool find_ends(span *s)
{
    const promql_window *w = &s->w;
    uint32_t until = count_until(w, w->count - 1, w->start_ms);
    s->first = until ? until - 1 : 0;
    s->last = w->count - 1;
    if (s->smoothed)
        s->last = count_until(w, w->count - 1, w->end_ms - 1);
    if (w->time_ms[s->last] <= w->start_ms)
        return false;
    return !s->smoothed || w->time_ms[s->first] <= w->end_ms;
}

/* ---- floats ---- */

static double between(const promql_window *w, uint32_t i, int64_t t_ms, bool counter)
{
    double from = w->value[i], to = w->value[i + 1];
    if (counter && to < from)
        from = 0;
    return from + (to - from) * (double)(t_ms - w->time_ms[i]) /
                      (double)(w->time_ms[i + 1] - w->time_ms[i]);
}

static double left_end(const span *s)
{
    const promql_window *w = &s->w;
    if (s->smoothed && w->time_ms[s->first] < w->start_ms)
        return between(w, s->first, w->start_ms, s->counter);
    return w->value[s->first];
}

static double right_end(const span *s)
{
    const promql_window *w = &s->w;
    if (w->time_ms[s->last] <= w->end_ms || s->last == 0)
        return w->value[s->last];
    return s->smoothed ? between(w, s->last - 1, w->end_ms, s->counter) : w->value[s->last - 1];
}

static double restarts(const span *s, double left, double right)
{
    const promql_window *w = &s->w;
    uint32_t begin = s->first + (w->time_ms[s->first] <= w->start_ms);
    uint32_t end = s->last + (w->time_ms[s->last] < w->end_ms);
    double sum = 0, before = left;
    for (uint32_t i = begin; i < end; before = w->value[i++])
        if (w->value[i] < before)
            sum += before;
    return right < before ? sum + before : sum;
}

static double float_change(const span *s)
{
    double left = left_end(s), right = right_end(s);
    return right - left + (s->counter ? restarts(s, left, right) : 0);
}

/* ---- histograms ---- */

/* Notes why there is no result, or what a result deserves. */
static bool settle(const promql_window *w, status st, const histogram_findings *subtracting,
                   const histogram_findings *adding)
{
    const promql_node *at = w->call->call.args[0];
    if (st == STATUS_INVALID)
        promql_note_schemas(w);
    else if (st != STATUS_OK)
        promql_report_no_memory(w->engine);
    if (st != STATUS_OK)
        return false;
    if (subtracting->reconciled)
        promql_note(w->engine, false, at, NOTE_RECONCILED "subtraction");
    if (adding->reconciled)
        promql_note(w->engine, false, at, NOTE_RECONCILED "addition");
    return true;
}

static bool histogram_between(const span *s, uint32_t i, int64_t t_ms, const histogram **ret)
{
    const promql_window *w = &s->w;
    histogram_findings subtracting = { 0 }, adding = { 0 };
    status st =
        histogram_interpolate(s->arena, w->histograms[i], w->time_ms[i], w->histograms[i + 1],
                              w->time_ms[i + 1], t_ms, s->counter, &subtracting, &adding, ret);
    return settle(w, st, &subtracting, &adding);
}

static void note_not(const promql_window *w, const char *kind)
{
    promql_note(w->engine, true, w->call->call.args[0],
                "this native histogram metric is not a %s: \"%.*s\"", kind,
                STR_ARG(str_slice(labels_get(w->labels, LABEL_NAME), 0, NOTE_NAME_MAX)));
}

static bool fits(const span *s)
{
    const promql_window *w = &s->w;
    bool custom = histogram_is_custom(w->histograms[s->first]);
    for (uint32_t i = s->first; i <= s->last; i++) {
        if (histogram_is_custom(w->histograms[i]) != custom) {
            promql_note_schemas(w);
            return false;
        }
        if (s->counter && w->histograms[i]->hint == HISTOGRAM_GAUGE)
            note_not(w, "counter");
    }
    return true;
}

static bool add(const span *s, const histogram *x, const histogram *y, const histogram **ret)
{
    histogram_findings none = { 0 }, found = { 0 };
    if (!x) {
        *ret = y;
        return true;
    }
    return settle(&s->w, histogram_add(s->arena, x, y, &found, ret), &none, &found);
}

/* What the counter had before each restart between the ends, or NULL. The restart that the left
 * end was interpolated across is in it already. */
static bool histogram_restarts(const span *s, const histogram *left, const histogram *right,
                               const histogram **ret)
{
    const promql_window *w = &s->w;
    const histogram *before = left;
    uint32_t begin = s->first + 1;
    *ret = NULL;
    if (s->smoothed && w->time_ms[s->first] < w->start_ms &&
        histogram_detect_reset(w->histograms[s->first + 1], w->histograms[s->first]))
        before = w->histograms[begin++];
    if (begin > s->last)
        return true;
    for (uint32_t i = begin; i < s->last; before = w->histograms[i++])
        if (histogram_detect_reset(w->histograms[i], before) && !add(s, *ret, before, ret))
            return false;
    return !histogram_detect_reset(right, before) || add(s, *ret, before, ret);
}

static bool histogram_change(const span *s, const histogram **ret)
{
    const promql_window *w = &s->w;
    const histogram *left = w->histograms[s->first], *right = w->histograms[s->last], *restarted;
    histogram_findings found = { 0 }, none = { 0 };
    if (!fits(s))
        return false;
    if (s->smoothed && w->time_ms[s->first] < w->start_ms &&
        !histogram_between(s, s->first, w->start_ms, &left))
        return false;
    if (s->smoothed && s->last > 0 && w->time_ms[s->last] > w->end_ms &&
        !histogram_between(s, s->last - 1, w->end_ms, &right))
        return false;
    if (!s->counter && (left->hint != HISTOGRAM_GAUGE || right->hint != HISTOGRAM_GAUGE))
        note_not(w, "gauge");
    if (!settle(w, histogram_subtract(s->arena, right, left, &found, ret), &found, &none))
        return false;
    if (!s->counter)
        return true;
    return histogram_restarts(s, left, right, &restarted) &&
           (!restarted || add(s, *ret, restarted, ret));
}

/* ---- rate, increase, delta ---- */

static uint32_t count_histograms(const promql_window *w)
{
    uint32_t n = 0;
    for (uint32_t i = 0; w->histograms && i < w->count; i++)
        n += w->histograms[i] != NULL;
    return n;
}

static status finish_histogram(const extended *x, span *s, const histogram *h, promql_row *row,
                               uint32_t step)
{
    promql_engine *e = s->w.engine;
    double seconds = (double)x->selector->range_ms / 1000;
    if ((x->per_second && !(h = histogram_divide(s->arena, h, seconds))) ||
        !(h = histogram_with_hint(s->arena, h, HISTOGRAM_GAUGE)) ||
        !(h = histogram_compact(s->arena, h)))
        return promql_no_memory(e);
    const histogram *kept = promql_keep_histogram(e, h);
    return kept ? row_set(e, x->g, row, step, (promql_cell){ .histogram = kept }) : STATUS_LIMIT;
}

static status change_step(const extended *x, span *s, promql_row *row, uint32_t step)
{
    promql_window *w = &s->w;
    uint32_t histograms = count_histograms(w);
    if (histograms && histograms < w->count) {
        promql_note_mixed(w);
        return STATUS_OK;
    }
    if (!find_ends(s))
        return STATUS_OK;
    if (!row->cells && !(row->cells = promql_values(w->engine, x->g)))
        return STATUS_LIMIT;
    if (!histograms) {
        double change = float_change(s);
        row->cells[step] = x->per_second ? change / ((double)x->selector->range_ms / 1000) : change;
        return STATUS_OK;
    }
    arena scratch;
    const histogram *h;
    arena_init(&scratch, w->engine->arena->limit);
    s->arena = &scratch;
    status st = STATUS_OK;
    if (histogram_change(s, &h))
        st = finish_histogram(x, s, h, row, step);
    arena_done(&scratch);
    return st;
}

/* ---- changes, resets ---- */

/* The sample before the range counts as the first one in it. */
static status count_step(const extended *x, promql_window *w, promql_row *row, uint32_t step)
{
    const promql_function *f = x->call->call.function;
    uint32_t until = count_until(w, w->count, w->start_ms);
    promql_cell cell = { 0 };
    if (until == w->count)
        return STATUS_OK;
    uint32_t anchor = until ? until - 1 : 0;
    w->time_ms += anchor;
    w->value += anchor;
    w->histograms = w->histograms ? w->histograms + anchor : NULL;
    w->count -= anchor;
    if (!row->cells && !(row->cells = promql_values(w->engine, x->g)))
        return STATUS_LIMIT;
    bool any = count_histograms(w) && f->native ? f->native(w, &cell) : f->range(w, &cell.value);
    return any ? row_set(w->engine, x->g, row, step, cell) : STATUS_OK;
}

/* ---- series ---- */

/* The samples in (from, to]; false: none. Both only rise from step to step. */
static bool view(promql_window *w, const promql_samples *s, int64_t from_ms, int64_t to_ms,
                 uint32_t *first, uint32_t *end)
{
    while (*end < s->count && s->time_ms[*end] <= to_ms)
        ++*end;
    while (*first < *end && s->time_ms[*first] <= from_ms)
        ++*first;
    w->time_ms = s->time_ms + *first;
    w->value = s->value + *first;
    w->histograms = s->histograms ? s->histograms + *first : NULL;
    w->count = *end - *first;
    return w->count > 0;
}

static status one_series(promql_engine *e, void *user, uint32_t slot, uint32_t index,
                         const promql_samples *samples)
{
    extended *x = user;
    promql_row row = { .labels = samples->labels };
    uint32_t first = 0, end = 0;
    bool smoothed = x->selector->smoothed;
    (void)slot;
    for (uint32_t i = 0; i < x->g->steps; i++) {
        span s = { .smoothed = smoothed, .counter = x->counter };
        s.w = (promql_window){ .engine = e, .call = x->call, .labels = samples->labels };
        s.w.eval_ms = grid_time(x->g, i);
        s.w.end_ms = promql_shifted_time(e, &x->selector->shift, s.w.eval_ms);
        s.w.start_ms = s.w.end_ms - x->selector->range_ms;
        TRY(promql_check_time(e));
        if (!view(&s.w, samples, s.w.start_ms - x->lookback_ms,
                  s.w.end_ms + (smoothed ? x->lookback_ms : 0), &first, &end))
            continue;
        TRY(promql_check_work(e, s.w.count));
        TRY(x->counts ? count_step(x, &s.w, &row, i) : change_step(x, &s, &row, i));
    }
    for (uint32_t i = 0; x->counter && row.cells && i < x->g->steps; i++)
        if (!is_absent(row.cells[i])) {
            promql_hint_counter(e, x->call, samples->labels);
            break;
        }
    x->rows[index] = row;
    return STATUS_OK;
}

static status check_function(promql_engine *e, const promql_function *f, extended *x)
{
    static const char *const names[] = { "delta", "increase", "rate", "changes", "resets" };
    size_t known = x->selector->smoothed ? 3 : ARRAY_LEN(names), i = 0;
    while (i < known && strcmp(names[i], f->name) != 0)
        i++;
    x->counter = i == 1 || i == 2;
    x->per_second = i == 2;
    x->counts = i > 2;
    if (i < known)
        return STATUS_OK;
    if (x->selector->smoothed)
        return PROMQL_FAIL(e,
                           "smoothed modifier can only be used with: delta, increase, rate - "
                           "not with %s",
                           f->name);
    return PROMQL_FAIL(e,
                       "anchored modifier can only be used with: changes, delta, increase, rate, "
                       "resets - not with %s",
                       f->name);
}

status promql_call_extended(promql_engine *e, const promql_grid *g, const promql_node *call,
                            const promql_node *matrix, promql_value *ret)
{
    promql_found found;
    extended x = { .g = g, .call = call, .selector = &matrix->selector, .node = matrix };
    x.lookback_ms = promql_lookback(e);
    TRY(check_function(e, call->call.function, &x));
    TRY(promql_find(e, g, matrix, x.selector->range_ms + x.lookback_ms,
                    x.selector->smoothed ? x.lookback_ms : 0, &found));
    status st = STATUS_LIMIT;
    if ((x.rows = promql_alloc(e, found.count, sizeof(promql_row))))
        st = promql_each_series(e, &found, false, one_series, &x);
    *ret = (promql_value){ .type = PROMQL_VECTOR, .rows = x.rows };
    if (st == STATUS_OK)
        ret->row_count = promql_pack_rows(x.rows, found.count);
    promql_found_done(&found);
    TRY(st);
    return promql_finish_call(e, g, call, ret);
}

/* ---- the samples of a range ---- */

static status extend_series(promql_engine *e, void *user, uint32_t slot, uint32_t index,
                            const promql_samples *samples)
{
    extended *x = user;
    promql_samples *kept = &x->samples[index];
    span s = { .smoothed = x->selector->smoothed };
    promql_window *w = &s.w;
    uint32_t first = 0, end = 0, n = 0;
    (void)slot;
    w->engine = e;
    w->end_ms = promql_shifted_time(e, &x->selector->shift, x->g->start_ms);
    w->start_ms = w->end_ms - x->selector->range_ms;
    if (!view(w, samples, w->start_ms - x->lookback_ms,
              w->end_ms + (s.smoothed ? x->lookback_ms : 0), &first, &end))
        return STATUS_OK;
    if (count_histograms(w))
        return PROMQL_FAIL(e, "%s modifier is not supported with histograms",
                           s.smoothed ? "smoothed" : "anchored");
    find_ends(&s);
    if (w->time_ms[s.last] <= w->start_ms)
        return STATUS_OK;
    int64_t *times = promql_alloc(e, (size_t)w->count + 2, sizeof(int64_t));
    double *values = promql_alloc(e, (size_t)w->count + 2, sizeof(double));
    if (!times || !values)
        return STATUS_LIMIT;
    times[n] = w->start_ms;
    values[n++] = left_end(&s);
    for (uint32_t i = s.first; i <= s.last; i++) {
        if (w->time_ms[i] <= w->start_ms || w->time_ms[i] >= w->end_ms)
            continue;
        times[n] = w->time_ms[i];
        values[n++] = w->value[i];
    }
    times[n] = w->end_ms;
    values[n++] = right_end(&s);
    *kept = (promql_samples){ samples->labels, times, values, NULL, n, false };
    return STATUS_OK;
}

status promql_select_extended(promql_engine *e, const promql_grid *g, const promql_node *matrix,
                              promql_value *ret)
{
    promql_found found;
    extended x = { .g = g, .selector = &matrix->selector, .node = matrix };
    x.lookback_ms = promql_lookback(e);
    TRY(promql_find(e, g, matrix, x.selector->range_ms + x.lookback_ms,
                    x.selector->smoothed ? x.lookback_ms : 0, &found));
    status st = STATUS_LIMIT;
    if ((x.samples = promql_alloc(e, found.count, sizeof(promql_samples))))
        st = promql_each_series(e, &found, false, extend_series, &x);
    /* The value at the start belongs to the answer, so the range is open one millisecond before. */
    *ret = (promql_value){ .type = PROMQL_MATRIX,
                           .range_ms = x.selector->range_ms + 1,
                           .shift = x.selector->shift,
                           .series = x.samples };
    for (uint32_t i = 0; st == STATUS_OK && i < found.count; i++)
        if (x.samples[i].count)
            ret->series[ret->series_count++] = x.samples[i];
    promql_found_done(&found);
    return st;
}

/* ---- smoothed instant vectors ---- */

/* As settle, for a selector that is nobody's argument. */
static status note_smoothed(const extended *x, const promql_window *w, const char *text)
{
    promql_note(w->engine, true, x->node, "%s\"%.*s\"", text,
                STR_ARG(str_slice(labels_get(w->labels, LABEL_NAME), 0, NOTE_NAME_MAX)));
    return STATUS_OK;
}

static status smooth_histogram(const extended *x, const promql_window *w, uint32_t next,
                               int64_t t_ms, promql_row *row, uint32_t step)
{
    promql_engine *e = w->engine;
    const histogram *h = next < w->count ? w->histograms[next] : NULL;
    arena scratch;
    status st = STATUS_OK;
    arena_init(&scratch, e->arena->limit);
    if (next == w->count) {
        h = histogram_with_hint(&scratch, w->histograms[next - 1], HISTOGRAM_RESET_UNKNOWN);
    } else if (w->time_ms[next] != t_ms) {
        const histogram *before = w->histograms[next - 1];
        histogram_findings subtracting = { 0 }, adding = { 0 };
        bool counter = before->hint != HISTOGRAM_GAUGE || h->hint != HISTOGRAM_GAUGE;
        st = histogram_is_custom(before) != histogram_is_custom(h) ? STATUS_INVALID : STATUS_OK;
        if (st == STATUS_OK)
            st = histogram_interpolate(&scratch, before, w->time_ms[next - 1], h, w->time_ms[next],
                                       t_ms, counter, &subtracting, &adding, &h);
        if (subtracting.reconciled)
            promql_note(e, false, x->node, NOTE_RECONCILED "subtraction");
        if (adding.reconciled)
            promql_note(e, false, x->node, NOTE_RECONCILED "addition");
    }
    const histogram *kept = st == STATUS_OK && h ? promql_keep_histogram(e, h) : NULL;
    arena_done(&scratch);
    if (st == STATUS_INVALID)
        return note_smoothed(x, w, NOTE_MIXED_SCHEMAS);
    if (!kept)
        return promql_no_memory(e);
    return row_set(e, x->g, row, step, (promql_cell){ .histogram = kept });
}

static status smooth_step(const extended *x, promql_window *w, int64_t t_ms, promql_row *row,
                          uint32_t step)
{
    uint32_t histograms = count_histograms(w), next = count_until(w, w->count, t_ms - 1);
    bool exact = next < w->count && w->time_ms[next] == t_ms;
    if (histograms && histograms < w->count)
        return note_smoothed(x, w, NOTE_MIXED_FLOATS_HISTOGRAMS);
    if (next == 0 && !exact)
        return STATUS_OK;
    if (!row->cells && !(row->cells = promql_values(w->engine, x->g)))
        return STATUS_LIMIT;
    if (histograms)
        return smooth_histogram(x, w, next, t_ms, row, step);
    if (exact)
        row->cells[step] = w->value[next];
    else if (next == w->count)
        row->cells[step] = w->value[next - 1];
    else
        row->cells[step] = between(w, next - 1, t_ms, false);
    return STATUS_OK;
}

static status smooth_series(promql_engine *e, void *user, uint32_t slot, uint32_t index,
                            const promql_samples *samples)
{
    extended *x = user;
    promql_row row = { .labels = samples->labels };
    uint32_t first = 0, end = 0;
    (void)slot;
    for (uint32_t i = 0; i < x->g->steps; i++) {
        promql_window w = { .engine = e, .labels = samples->labels };
        int64_t t = promql_shifted_time(e, &x->selector->shift, grid_time(x->g, i));
        TRY(promql_check_time(e));
        if (view(&w, samples, t - x->lookback_ms, t + x->lookback_ms, &first, &end))
            TRY(smooth_step(x, &w, t, &row, i));
    }
    x->rows[index] = row;
    return STATUS_OK;
}

status promql_select_smoothed(promql_engine *e, const promql_grid *g, const promql_node *n,
                              promql_value *ret)
{
    promql_found found;
    extended x = { .g = g, .selector = &n->selector, .node = n };
    x.lookback_ms = promql_lookback(e);
    TRY(promql_find(e, g, n, x.lookback_ms, x.lookback_ms, &found));
    status st = STATUS_LIMIT;
    if ((x.rows = promql_alloc(e, found.count, sizeof(promql_row))))
        st = promql_each_series(e, &found, false, smooth_series, &x);
    *ret = (promql_value){ .type = PROMQL_VECTOR, .rows = x.rows };
    if (st == STATUS_OK)
        ret->row_count = promql_pack_rows(x.rows, found.count);
    promql_found_done(&found);
    return st;
}
