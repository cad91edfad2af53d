// SPDX-License-Identifier: Apache-2.0
/* See sum_windows.h. The additions are those of kahan_add, in the same order; where a sum is not
 * finite at the end, the function itself is asked. */
#include "query/promql/sum_windows.h"

#include "query/promql/wide.h"

#include <math.h>

enum { CHAINS = 4, AT_ONCE = CHAINS * WIDE };

/* Windows with equally many samples. */
typedef struct {
    promql_window *w;
    const double *first[AT_ONCE]; /* sample of each */
    uint32_t step[AT_ONCE];
    uint32_t windows, count; /* so far; samples in each */
    bool mean;
    double *cells;
} window_batch;

bool sum_windows_for(promql_range *fn)
{
    return fn == promql_sum_over_time || fn == promql_avg_over_time;
}

static void one_by_one(window_batch *b, uint32_t k)
{
    promql_window *w = b->w;
    w->value = b->first[k];
    w->count = b->count;
    (void)w->call->call.function->range(w, &b->cells[b->step[k]]);
}

static wide load_pair(const window_batch *b, uint32_t k, uint32_t sample)
{
    return (wide){ b->first[k * WIDE][sample], b->first[k * WIDE + 1][sample] };
}

static void together(window_batch *b)
{
    wide sum[CHAINS], lost[CHAINS];
    double count = b->count;
    for (uint32_t k = 0; k < CHAINS; k++) {
        sum[k] = b->mean ? load_pair(b, k, 0) : 0 + load_pair(b, k, 0);
        lost[k] = (wide){ 0 };
    }
    for (uint32_t i = 1; i < b->count; i++) {
        for (uint32_t k = 0; k < CHAINS; k++) {
            wide x = load_pair(b, k, i), t = sum[k] + x, part = t - sum[k];
            lost[k] += (sum[k] - (t - part)) + (x - part);
            sum[k] = t;
        }
    }
    for (uint32_t k = 0; k < AT_ONCE; k++) {
        double s = sum[k / WIDE][k % WIDE], l = lost[k / WIDE][k % WIDE];
        if (isfinite(s))
            b->cells[b->step[k]] = b->mean ? s / count + l / count : s + l;
        else
            one_by_one(b, k);
    }
}

static void finish(window_batch *b)
{
    if (b->windows == AT_ONCE)
        together(b);
    else
        for (uint32_t k = 0; k < b->windows; k++)
            one_by_one(b, k);
    b->windows = 0;
}

status sum_windows_row(promql_window *w, const promql_samples *s, const promql_steps *steps,
                       int64_t range_ms, double *cells)
{
    window_batch b = { .w = w, .cells = cells };
    uint32_t first = 0, end = 0;
    b.mean = w->call->call.function->range == promql_avg_over_time;
    for (uint32_t i = 0; i < steps->count; i++) {
        int64_t end_ms = steps->first_ms + (int64_t)i * steps->step_ms;
        while (end < s->count && s->time_ms[end] <= end_ms)
            end++;
        while (first < end && s->time_ms[first] <= end_ms - range_ms)
            first++;
        if (first == end)
            continue;
        if (b.windows == AT_ONCE || b.count != end - first) {
            TRY(promql_check_work(w->engine, (uint64_t)b.windows * b.count));
            finish(&b);
        }
        b.count = end - first;
        b.first[b.windows] = s->value + first;
        b.step[b.windows++] = i;
    }
    finish(&b);
    return STATUS_OK;
}
