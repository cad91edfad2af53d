// SPDX-License-Identifier: Apache-2.0
/* Functions of counters and slopes. Extrapolation is Prometheus's: to the window's ends, but by no
 * more than half a sampling interval past a gap, and never below zero for a counter. */
#include "query/promql/eval.h"

#include <math.h>

static bool counter_name(str name)
{
    return str_ends(name, STR("_total")) || str_ends(name, STR("_sum")) ||
           str_ends(name, STR("_count")) || str_ends(name, STR("_bucket"));
}

void promql_hint_counter(promql_engine *e, const promql_node *call, labels l)
{
    str name = labels_get(l, LABEL_NAME);
    if (!name.len || counter_name(name))
        return;
    promql_note(e, false, call->call.args[0],
                "metric might not be a counter, name does not end in _total/_sum/_count/_bucket: "
                "\"%.*s\"",
                STR_ARG(str_slice(name, 0, 120)));
}

/* Difference over the samples; a counter's drops count as restarts from zero. */
static double difference(const promql_window *w, bool counter)
{
    double result = w->value[w->count - 1] - w->value[0];
    for (uint32_t i = 1; counter && i < w->count; i++)
        if (w->value[i] < w->value[i - 1])
            result += w->value[i - 1];
    return result;
}

double promql_extrapolation(const promql_window *w, bool counter, bool per_second, double first,
                            double result)
{
    int64_t first_ms = w->time_ms[0], last_ms = w->time_ms[w->count - 1];
    double to_start = (double)(first_ms - w->start_ms) / 1000,
           to_end = (double)(w->end_ms - last_ms) / 1000;
    double sampled = (double)(last_ms - first_ms) / 1000,
           average = sampled / (double)(w->count - 1);
    double threshold = average * 1.1;
    if (to_start >= threshold)
        to_start = average / 2;
    if (counter) {
        double to_zero = to_start;
        if (result > 0 && first >= 0)
            to_zero = sampled * (first / result);
        to_start = MIN(to_start, to_zero);
    }
    if (to_end >= threshold)
        to_end = average / 2;
    double factor = (sampled + to_start + to_end) / sampled;
    return per_second ? factor / ((double)(w->end_ms - w->start_ms) / 1000) : factor;
}

static bool extrapolate(const promql_window *w, bool counter, bool per_second, double *ret)
{
    if (w->count < 2)
        return false;
    double result = difference(w, counter);
    *ret = result * promql_extrapolation(w, counter, per_second, w->value[0], result);
    return true;
}

bool promql_rate(const promql_window *w, double *ret)
{
    return extrapolate(w, true, true, ret);
}

bool promql_increase(const promql_window *w, double *ret)
{
    return extrapolate(w, true, false, ret);
}

bool promql_delta(const promql_window *w, double *ret)
{
    return extrapolate(w, false, false, ret);
}

bool promql_irate(const promql_window *w, double *ret)
{
    if (w->count < 2)
        return false;
    const double *v = w->value + w->count - 2;
    const int64_t *t = w->time_ms + w->count - 2;
    if (t[1] == t[0])
        return false;
    double increase = v[1] < v[0] ? v[1] : v[1] - v[0];
    *ret = increase / ((double)(t[1] - t[0]) / 1000);
    return true;
}

bool promql_idelta(const promql_window *w, double *ret)
{
    if (w->count < 2)
        return false;
    *ret = w->value[w->count - 1] - w->value[w->count - 2];
    return true;
}

/* Least squares; the intercept is the value at `origin_ms`. */
static void regression(const promql_window *w, int64_t origin_ms, double *slope, double *intercept)
{
    kahan x = { 0, 0 }, y = { 0, 0 }, xy = { 0, 0 }, x2 = { 0, 0 };
    bool constant = true;
    for (uint32_t i = 0; i < w->count; i++) {
        double at = (double)(w->time_ms[i] - origin_ms) / 1000, v = w->value[i];
        constant = constant && v == w->value[0];
        kahan_add(&x, at);
        kahan_add(&y, v);
        kahan_add(&xy, at * v);
        kahan_add(&x2, at * at);
    }
    if (constant) {
        *slope = isinf(w->value[0]) ? NAN : 0;
        *intercept = isinf(w->value[0]) ? NAN : w->value[0];
        return;
    }
    double n = (double)w->count, sx = kahan_value(x), sy = kahan_value(y);
    double covariance = kahan_value(xy) - sx * sy / n, variance = kahan_value(x2) - sx * sx / n;
    *slope = covariance / variance;
    *intercept = sy / n - *slope * sx / n;
}

bool promql_deriv(const promql_window *w, double *ret)
{
    double intercept;
    if (w->count < 2)
        return false;
    regression(w, w->time_ms[0], ret, &intercept);
    return true;
}

bool promql_predict_linear(const promql_window *w, double *ret)
{
    double slope, intercept;
    if (w->count < 2)
        return false;
    regression(w, w->eval_ms, &slope, &intercept);
    *ret = slope * w->params[0] + intercept;
    return true;
}

bool promql_changes(const promql_window *w, double *ret)
{
    double n = 0;
    for (uint32_t i = 1; i < w->count; i++)
        n += w->value[i] != w->value[i - 1] && !(isnan(w->value[i]) && isnan(w->value[i - 1]));
    *ret = n;
    return true;
}

bool promql_resets(const promql_window *w, double *ret)
{
    double n = 0;
    for (uint32_t i = 1; i < w->count; i++)
        n += w->value[i] < w->value[i - 1];
    *ret = n;
    return true;
}
