// SPDX-License-Identifier: Apache-2.0
/* See rate_windows.h. Most windows are plain: without a restart, with samples near both ends, and a
 * start that cannot be below zero. Those are a difference times a factor; the others are computed
 * one by one. */
#include "query/promql/rate_windows.h"

#include "query/promql/wide.h"

/* How far samples reach in a window, in ms. */
typedef struct {
    double sampled, to_start, to_end;
    double factor;
} reach;

/* The same operations as promql_extrapolation's, so that results are equal to the last bit. */
static double factor_of(const reach *r, double range_s)
{
    double sampled = r->sampled / 1000;
    double factor = (sampled + r->to_start / 1000 + r->to_end / 1000) / sampled;
    return range_s > 0 ? factor / range_s : factor;
}

/* Whether samples are near both ends, by less than what makes a difference. */
static bool is_near(const reach *r, uint32_t count)
{
    double gaps = (double)(count - 1), threshold = r->sampled * 1.0999;
    return r->to_start * gaps < threshold && r->to_end * gaps < threshold;
}

/* The interval of the samples when all have the same, or 0. */
static int64_t interval_of(const int64_t *t, uint32_t count)
{
    uint64_t other = 0;
    if (count < 3 || t[2] - t[1] != t[1] - t[0])
        return 0;
    for (uint32_t i = 2; i < count; i++)
        other |= (uint64_t)(t[i] - t[i - 1] - (t[1] - t[0]));
    return other ? 0 : t[1] - t[0];
}

typedef struct {
    const promql_steps *steps;
    int64_t range_ms;
    double range_s;   /* 0 for increase */
    int64_t interval; /* of regular samples that a step is a multiple of, or 0 */
} shape;

/* How many windows see samples just as the one of step i does, whose samples are from first to end
 * - 1: those up to the first that would look at a sample that is not there. */
static uint32_t equal_windows(const rate_windows *p, const shape *s, uint32_t i, uint32_t first,
                              uint32_t end)
{
    int64_t end_ms = s->steps->first_ms + (int64_t)i * s->steps->step_ms;
    if (!s->interval || p->times[first] - s->interval > end_ms - s->range_ms ||
        p->times[end - 1] + s->interval <= end_ms)
        return 1;
    uint64_t stride = (uint64_t)(s->steps->step_ms / s->interval);
    uint64_t more = (p->count - end) / stride;
    return 1 + (uint32_t)MIN(more, (uint64_t)(s->steps->count - i - 1));
}

static void make_run(rate_windows *p, const shape *s, uint32_t i, uint32_t first, uint32_t end)
{
    rate_run *r = &p->runs[p->run_count++];
    const rate_run *before = p->run_count > 1 ? r - 1 : NULL;
    int64_t end_ms = s->steps->first_ms + (int64_t)i * s->steps->step_ms;
    reach now = { .sampled = (double)(p->times[end - 1] - p->times[first]),
                  .to_start = (double)(p->times[first] - (end_ms - s->range_ms)),
                  .to_end = (double)(end_ms - p->times[end - 1]) };
    *r = (rate_run){ .step = i,
                     .count = equal_windows(p, s, i, first, end),
                     .first = first,
                     .last = end - 1,
                     .sampled = now.sampled,
                     .to_start = now.to_start };
    r->stride = r->count > 1 ? (uint32_t)(s->steps->step_ms / s->interval) : 0;
    if (!is_near(&now, end - first))
        return;
    /* The window's length is the same for all, so that these two say where it ends, too. */
    bool again = before && before->factor > 0 && before->sampled == now.sampled &&
                 before->to_start == now.to_start;
    r->factor = again ? before->factor : factor_of(&now, s->range_s);
}

static void make_runs(rate_windows *p, shape *s)
{
    const promql_steps *steps = s->steps;
    uint32_t first = 0, end = 0;
    p->run_count = 0;
    s->interval = interval_of(p->times, p->count);
    if (s->interval <= 0 || steps->step_ms <= 0 || steps->step_ms % s->interval)
        s->interval = 0;
    for (uint32_t i = 0; i < steps->count; i++) {
        int64_t end_ms = steps->first_ms + (int64_t)i * steps->step_ms;
        int64_t start_ms = end_ms - s->range_ms;
        while (end < p->count && p->times[end] <= end_ms)
            end++;
        while (first < end && p->times[first] <= start_ms)
            first++;
        if (end - first < 2)
            continue;
        make_run(p, s, i, first, end);
        uint32_t more = p->runs[p->run_count - 1].count - 1;
        first += more * p->runs[p->run_count - 1].stride;
        end += more * p->runs[p->run_count - 1].stride;
        i += more;
    }
}

static status runs_for(rate_windows *p, promql_engine *e, const promql_samples *s, shape *how)
{
    size_t size = s->count * sizeof(*s->time_ms);
    if (p->runs && p->count == s->count && memcmp(p->times, s->time_ms, size) == 0)
        return STATUS_OK;
    if (!p->runs && !(p->runs = promql_alloc(e, how->steps->count, sizeof(rate_run))))
        return STATUS_LIMIT;
    if (s->count > p->capacity) {
        uint32_t capacity = MAX(s->count, MIN(p->capacity, UINT32_MAX / 2) * 2);
        p->capacity = 0;
        if (!(p->times = promql_alloc(e, capacity, sizeof(*p->times))))
            return STATUS_LIMIT;
        p->capacity = capacity;
    }
    memcpy(p->times, s->time_ms, size);
    p->count = s->count;
    make_runs(p, how);
    return STATUS_OK;
}

/* Whether a value is below the one before. */
static bool restarts(const double *v, uint32_t count)
{
    wide_mask any = { 0 };
    uint32_t i = 1;
    for (; i + WIDE <= count; i += WIDE)
        any |= wide_load(v + i) < wide_load(v + i - 1);
    return wide_any(any) || (i < count && v[i] < v[i - 1]);
}

/* Whether the counter cannot have been at zero within the window. */
static inline bool starts_above_zero(const rate_run *r, double first, double result)
{
    return result <= 0 || r->sampled * first > r->to_start * result * 1.0001;
}

typedef struct {
    promql_window *w;
    const promql_samples *s;
    const shape *how;
    double *cells;
    bool falls;       /* some value is below the one before */
    uint32_t next;    /* the sample up to which restarts were looked for */
    uint32_t restart; /* the newest of these that is below the one before, or 0 */
} rate_row;

static status look_closer(rate_row *row, uint32_t step, uint32_t first, uint32_t last)
{
    promql_window *w = row->w;
    w->end_ms = row->how->steps->first_ms + (int64_t)step * row->how->steps->step_ms;
    w->start_ms = w->end_ms - row->how->range_ms;
    w->time_ms = row->s->time_ms + first;
    w->value = row->s->value + first;
    w->count = last - first + 1;
    TRY(promql_check_work(w->engine, w->count));
    (void)w->call->call.function->range(w, &row->cells[step]);
    return STATUS_OK;
}

/* Whether a counter restarted between the two samples. */
static bool restarted(rate_row *row, uint32_t first, uint32_t last)
{
    for (; row->falls && row->next <= last; row->next++)
        if (row->s->value[row->next] < row->s->value[row->next - 1])
            row->restart = row->next;
    return row->restart > first;
}

/* Of a counter that never restarts, near the ends of its windows. */
static status plain_cells(rate_row *row, const rate_run *r)
{
    const double *v = row->s->value;
    double *cells = row->cells + r->step;
    uint32_t first = r->first, last = r->last;
    for (uint32_t i = 0; i < r->count; i++) {
        double result = v[last] - v[first];
        if (LIKELY(starts_above_zero(r, v[first], result)))
            cells[i] = result * r->factor;
        else
            TRY(look_closer(row, r->step + i, first, last));
        first += r->stride;
        last += r->stride;
    }
    return STATUS_OK;
}

static status run_cells(rate_row *row, const rate_run *r)
{
    const double *v = row->s->value;
    uint32_t first = r->first, last = r->last;
    if (LIKELY(!row->falls && r->factor > 0))
        return plain_cells(row, r);
    for (uint32_t i = r->step; i < r->step + r->count; i++) {
        double result = v[last] - v[first];
        if (LIKELY(!restarted(row, first, last) && r->factor > 0 &&
                   starts_above_zero(r, v[first], result)))
            row->cells[i] = result * r->factor;
        else
            TRY(look_closer(row, i, first, last));
        first += r->stride;
        last += r->stride;
    }
    return STATUS_OK;
}

status rate_windows_row(rate_windows *p, promql_window *w, const promql_samples *s,
                        const promql_steps *steps, int64_t range_ms, double *cells)
{
    bool per_second = w->call->call.function->range == promql_rate;
    shape how = { steps, range_ms, per_second ? (double)range_ms / 1000 : 0, 0 };
    TRY(runs_for(p, w->engine, s, &how));
    rate_row row = { .w = w, .s = s, .how = &how, .cells = cells, .next = 1 };
    row.falls = restarts(s->value, s->count);
    for (uint32_t i = 0; i < p->run_count; i++)
        TRY(run_cells(&row, &p->runs[i]));
    return STATUS_OK;
}
