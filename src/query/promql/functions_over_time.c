// SPDX-License-Identifier: Apache-2.0
/* Aggregations over a window of one series: min_over_time and its siblings. */
#include "query/promql/histogram.h"
#include "query/promql/wide.h"

#include <math.h>

bool promql_avg_over_time(const promql_window *w, double *ret)
{
    *ret = promql_mean(w->value, w->count);
    return true;
}

enum { CHAINS = 4, AT_ONCE = CHAINS * WIDE };

static wide larger(wide x, wide most)
{
    return wide_choose(x > most, x, most);
}

/* The largest number of a window, or the least when sign is -1; NaNs are passed over. False where
 * it takes more to tell which one counts: zeroes have signs, and a window may be all NaN. */
static bool extreme_of(const double *v, uint32_t count, double sign, double *ret)
{
    wide most[CHAINS];
    double best = -INFINITY;
    uint32_t i = 0;
    for (uint32_t k = 0; k < CHAINS; k++)
        most[k] = (wide){ -INFINITY, -INFINITY };
    for (; i + AT_ONCE <= count; i += AT_ONCE)
        for (uint32_t k = 0; k < CHAINS; k++)
            most[k] = larger(sign * wide_load(v + i + (size_t)k * WIDE), most[k]);
    for (; i < count; i++)
        best = sign * v[i] > best ? sign * v[i] : best;
    for (uint32_t k = 0; k < AT_ONCE; k++)
        best = most[k / WIDE][k % WIDE] > best ? most[k / WIDE][k % WIDE] : best;
    *ret = sign * best;
    return best != 0 && best != -INFINITY;
}

bool promql_min_over_time(const promql_window *w, double *ret)
{
    if (w->count >= AT_ONCE && extreme_of(w->value, w->count, -1, ret))
        return true;
    double least = w->value[0];
    for (uint32_t i = 1; i < w->count; i++)
        if (w->value[i] < least || isnan(least))
            least = w->value[i];
    *ret = least;
    return true;
}

bool promql_max_over_time(const promql_window *w, double *ret)
{
    if (w->count >= AT_ONCE && extreme_of(w->value, w->count, 1, ret))
        return true;
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
    if (!(q >= 0 && q <= 1)) {
        char text[40];
        buf number = { .ptr = text, .cap = sizeof(text), .limit = sizeof(text) };
        histogram_print_number(&number, q);
        promql_note(w->engine, true, w->call->call.args[0],
                    "quantile value should be between 0 and 1, got %.*s",
                    STR_ARG(buf_view(&number)));
    }
    double *sorted = promql_scratch(w->engine, w->count);
    if (!sorted)
        return false;
    memcpy(sorted, w->value, w->count * sizeof(double));
    *ret = promql_quantile(q, sorted, w->count);
    return true;
}

/* The median of the distances from the median. */
bool promql_mad_over_time(const promql_window *w, double *ret)
{
    double *sorted = promql_scratch(w->engine, w->count);
    if (!sorted)
        return false;
    *ret = NAN;
    for (uint32_t i = 0; i < w->count; i++) {
        if (isnan(w->value[i]))
            return true;
        sorted[i] = w->value[i];
    }
    double median = promql_quantile(0.5, sorted, w->count);
    for (uint32_t i = 0; i < w->count; i++)
        sorted[i] = fabs(sorted[i] - median);
    *ret = promql_quantile(0.5, sorted, w->count);
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

bool promql_first_over_time(const promql_window *w, double *ret)
{
    *ret = w->value[0];
    return true;
}

/* ---- when it was ---- */

bool promql_ts_of_first_over_time(const promql_window *w, double *ret)
{
    *ret = (double)w->time_ms[0] / 1000;
    return true;
}

bool promql_ts_of_last_over_time(const promql_window *w, double *ret)
{
    *ret = (double)w->time_ms[w->count - 1] / 1000;
    return true;
}

/* Of equal samples the last one. */
static bool time_of_extreme(const promql_window *w, double sign, double *ret)
{
    uint32_t found = 0;
    for (uint32_t i = 1; i < w->count; i++)
        if (sign * w->value[i] >= sign * w->value[found] || isnan(w->value[found]))
            found = i;
    *ret = (double)w->time_ms[found] / 1000;
    return true;
}

bool promql_ts_of_max_over_time(const promql_window *w, double *ret)
{
    return time_of_extreme(w, 1, ret);
}

bool promql_ts_of_min_over_time(const promql_window *w, double *ret)
{
    return time_of_extreme(w, -1, ret);
}

/* ---- smoothing, integral ---- */

/* Holt's linear method. A factor that is out of bounds is the query's error. */
bool promql_double_exponential_smoothing(const promql_window *w, double *ret)
{
    double smoothing = w->params[0], trend_factor = w->params[1];
    if (smoothing <= 0 || smoothing >= 1) {
        fail(w->engine->err, STATUS_INVALID,
             "invalid smoothing factor. Expected: 0 < sf < 1, got: %f", smoothing);
        return false;
    }
    if (trend_factor <= 0 || trend_factor >= 1) {
        fail(w->engine->err, STATUS_INVALID, "invalid trend factor. Expected: 0 < tf < 1, got: %f",
             trend_factor);
        return false;
    }
    if (w->count < 2)
        return false;
    double before = 0, level = w->value[0], trend = w->value[1] - w->value[0];
    for (uint32_t i = 1; i < w->count; i++) {
        if (i > 1)
            trend = trend_factor * (level - before) + (1 - trend_factor) * trend;
        double next = smoothing * w->value[i] + (1 - smoothing) * (level + trend);
        before = level;
        level = next;
    }
    *ret = level;
    return true;
}

enum { INTEGRAL_LEFT, INTEGRAL_RIGHT, INTEGRAL_TRAPEZOID };

static int integral_strategy(const promql_window *w)
{
    if (w->call->call.arg_count < 2)
        return INTEGRAL_TRAPEZOID;
    double strategy = w->params[0];
    if (strategy == 0 || strategy == 1 || strategy == 2)
        return (int)strategy;
    char text[40];
    buf number = { .ptr = text, .cap = sizeof(text), .limit = sizeof(text) };
    histogram_print_number(&number, strategy);
    promql_note(w->engine, true, w->call->call.args[1],
                "strategy should be 0, 1, or 2 (default), using 2, got %.*s",
                STR_ARG(buf_view(&number)));
    return INTEGRAL_TRAPEZOID;
}

static kahan trapezoid(double a, double b)
{
    kahan sum = { a, 0 };
    kahan_add(&sum, b);
    if (isinf(sum.sum) && !isinf(a) && !isinf(b)) {
        sum = (kahan){ a / 2, 0 };
        kahan_add(&sum, b / 2);
        return sum;
    }
    return (kahan){ sum.sum / 2, sum.lost / 2 };
}

/* Value times seconds; NaN counts as 0. */
bool promql_integral(const promql_window *w, double *ret)
{
    int strategy = integral_strategy(w);
    kahan sum = { 0, 0 };
    for (uint32_t i = 1; i < w->count; i++) {
        double a = isnan(w->value[i - 1]) ? 0 : w->value[i - 1];
        double b = isnan(w->value[i]) ? 0 : w->value[i];
        double seconds = (double)(w->time_ms[i] - w->time_ms[i - 1]) / 1000;
        kahan height = { strategy == INTEGRAL_LEFT ? a : b, 0 };
        if (strategy == INTEGRAL_TRAPEZOID)
            height = trapezoid(a, b);
        if (height.sum == 0 && height.lost == 0)
            continue;
        sum.lost += height.lost * seconds;
        kahan_add(&sum, height.sum * seconds);
    }
    *ret = isinf(sum.sum) ? sum.sum : kahan_value(sum);
    return true;
}
