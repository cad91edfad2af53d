// SPDX-License-Identifier: Apache-2.0
/* Aggregations over a window of one series: min_over_time and its siblings. */
#include "query/promql/eval.h"

#include <math.h>

bool promql_avg_over_time(const promql_window *w, double *ret)
{
    *ret = promql_mean(w->value, w->count);
    return true;
}

bool promql_min_over_time(const promql_window *w, double *ret)
{
    double least = w->value[0];
    for (uint32_t i = 1; i < w->count; i++)
        if (w->value[i] < least || isnan(least))
            least = w->value[i];
    *ret = least;
    return true;
}

bool promql_max_over_time(const promql_window *w, double *ret)
{
    double most = w->value[0];
    for (uint32_t i = 1; i < w->count; i++)
        if (w->value[i] > most || isnan(most))
            most = w->value[i];
    *ret = most;
    return true;
}

bool promql_sum_over_time(const promql_window *w, double *ret)
{
    kahan sum = { 0, 0 };
    for (uint32_t i = 0; i < w->count; i++)
        kahan_add(&sum, w->value[i]);
    *ret = isinf(sum.sum) ? sum.sum : kahan_value(sum);
    return true;
}

bool promql_count_over_time(const promql_window *w, double *ret)
{
    *ret = (double)w->count;
    return true;
}

bool promql_quantile_over_time(const promql_window *w, double *ret)
{
    double q = w->params[0];
    if (isnan(q) || q < 0 || q > 1)
        promql_note(w->engine, true, w->call->call.args[0],
                    "quantile value should be between 0 and 1, got %s%g",
                    q > 1 && isinf(q) ? "+" : "", q);
    double *sorted = promql_scratch(w->engine, w->count);
    if (!sorted)
        return false;
    memcpy(sorted, w->value, w->count * sizeof(double));
    *ret = promql_quantile(q, sorted, w->count);
    return true;
}

bool promql_stdvar_over_time(const promql_window *w, double *ret)
{
    *ret = promql_variance(w->value, w->count);
    return true;
}

bool promql_stddev_over_time(const promql_window *w, double *ret)
{
    *ret = sqrt(promql_variance(w->value, w->count));
    return true;
}

bool promql_last_over_time(const promql_window *w, double *ret)
{
    *ret = w->value[w->count - 1];
    return true;
}

bool promql_present_over_time(const promql_window *w, double *ret)
{
    (void)w;
    *ret = 1;
    return true;
}
