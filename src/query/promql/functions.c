// SPDX-License-Identifier: Apache-2.0
/* The function table, and the two regular ways of calling: value by value and window by window. The
 * rows are what parser, evaluator, help and completion know about functions. */
#include "query/promql/eval.h"

#include <math.h>

#define V PROMQL_VECTOR
#define M PROMQL_MATRIX
#define S PROMQL_SCALAR
#define T PROMQL_STRING

#define MATH(name_, fn_, help_) \
    { \
        .name = (name_), .returns = V, .args = { V }, .min_args = 1, .max_args = 1, .math = (fn_), \
        .help = (help_) \
    }
#define DATE(name_, fn_, help_) \
    { \
        .name = (name_), .returns = V, .args = { V }, .min_args = 0, .max_args = 1, .math = (fn_), \
        .help = (help_) \
    }
#define RANGE(name_, fn_, help_) \
    { \
        .name = (name_), .returns = V, .args = { M }, .min_args = 1, .max_args = 1, \
        .range = (fn_), .help = (help_) \
    }

/* Sorted by name. */
static const promql_function functions[] = {
    MATH("abs", fabs, "Absolute value."),
    { .name = "absent",
      .returns = V,
      .args = { V },
      .min_args = 1,
      .max_args = 1,
      .general = promql_fn_absent,
      .help = "1 where the vector is empty." },
    { .name = "absent_over_time",
      .returns = V,
      .args = { M },
      .min_args = 1,
      .max_args = 1,
      .general = promql_fn_absent_over_time,
      .help = "1 where the range is empty." },
    MATH("acos", acos, "Arc cosine, in radians."),
    MATH("acosh", acosh, "Inverse hyperbolic cosine."),
    MATH("asin", asin, "Arc sine, in radians."),
    MATH("asinh", asinh, "Inverse hyperbolic sine."),
    MATH("atan", atan, "Arc tangent, in radians."),
    MATH("atanh", atanh, "Inverse hyperbolic tangent."),
    RANGE("avg_over_time", promql_avg_over_time, "Mean of the samples in the window."),
    MATH("ceil", ceil, "Rounds up."),
    RANGE("changes", promql_changes, "How often the value changed in the window."),
    { .name = "clamp",
      .returns = V,
      .args = { V, S, S },
      .min_args = 3,
      .max_args = 3,
      .general = promql_fn_clamp,
      .help = "Limits cells to a minimum and a maximum." },
    { .name = "clamp_max",
      .returns = V,
      .args = { V, S },
      .min_args = 2,
      .max_args = 2,
      .general = promql_fn_clamp_max,
      .help = "Limits cells to a maximum." },
    { .name = "clamp_min",
      .returns = V,
      .args = { V, S },
      .min_args = 2,
      .max_args = 2,
      .general = promql_fn_clamp_min,
      .help = "Limits cells to a minimum." },
    MATH("cos", cos, "Cosine of radians."),
    MATH("cosh", cosh, "Hyperbolic cosine."),
    RANGE("count_over_time", promql_count_over_time, "Number of samples in the window."),
    DATE("day_of_month", promql_day_of_month,
         "Day of the month (1 to 31) of Unix seconds, in UTC."),
    DATE("day_of_week", promql_day_of_week,
         "Day of the week (0 is Sunday) of Unix seconds, in UTC."),
    DATE("day_of_year", promql_day_of_year, "Day of the year (1 to 366) of Unix seconds, in UTC."),
    DATE("days_in_month", promql_days_in_month, "Days of the month (28 to 31) of Unix seconds."),
    MATH("deg", promql_deg, "Radians to degrees."),
    RANGE("delta", promql_delta,
          "Difference of a gauge over the window, extrapolated to its ends."),
    RANGE("deriv", promql_deriv, "Slope per second of a gauge, by linear regression."),
    MATH("exp", exp, "e to the power."),
    MATH("floor", floor, "Rounds down."),
    { .name = "histogram_quantile",
      .returns = V,
      .args = { S, V },
      .min_args = 2,
      .max_args = 2,
      .general = promql_fn_histogram_quantile,
      .help = "Quantile of a classic histogram, from the rates of its buckets (label le)." },
    DATE("hour", promql_hour, "Hour (0 to 23) of Unix seconds, in UTC."),
    RANGE("idelta", promql_idelta, "Difference of the last two samples of a gauge."),
    RANGE("increase", promql_increase, "Increase of a counter over the window, extrapolated."),
    RANGE("irate", promql_irate, "Rate per second of a counter, from its last two samples."),
    { .name = "label_join",
      .returns = V,
      .args = { V, T, T, T },
      .min_args = 3,
      .max_args = UINT8_MAX,
      .keeps_name = true,
      .general = promql_fn_label_join,
      .help = "Joins labels into a new one: label_join(v, \"to\", \"separator\", \"from\", …)." },
    { .name = "label_replace",
      .returns = V,
      .args = { V, T, T, T },
      .min_args = 5,
      .max_args = 5,
      .keeps_name = true,
      .general = promql_fn_label_replace,
      .help = "Sets a label from another by a regular expression: "
              "label_replace(v, \"to\", \"$1\", \"from\", \"(.*)\")." },
    { .name = "last_over_time",
      .returns = V,
      .args = { M },
      .min_args = 1,
      .max_args = 1,
      .keeps_name = true,
      .range = promql_last_over_time,
      .help = "Newest sample of the window." },
    MATH("ln", log, "Natural logarithm."),
    MATH("log10", log10, "Decimal logarithm."),
    MATH("log2", log2, "Binary logarithm."),
    RANGE("max_over_time", promql_max_over_time, "Largest sample of the window."),
    RANGE("min_over_time", promql_min_over_time, "Smallest sample of the window."),
    DATE("minute", promql_minute, "Minute (0 to 59) of Unix seconds."),
    DATE("month", promql_month, "Month (1 to 12) of Unix seconds, in UTC."),
    { .name = "pi",
      .returns = S,
      .args = { PROMQL_NONE },
      .min_args = 0,
      .max_args = 0,
      .general = promql_fn_pi,
      .help = "3.14159…" },
    { .name = "predict_linear",
      .returns = V,
      .args = { M, S },
      .min_args = 2,
      .max_args = 2,
      .range = promql_predict_linear,
      .help = "Value expected in so many seconds, by linear regression." },
    RANGE("present_over_time", promql_present_over_time, "1 where the window has samples."),
    { .name = "quantile_over_time",
      .returns = V,
      .args = { S, M },
      .min_args = 2,
      .max_args = 2,
      .range = promql_quantile_over_time,
      .help = "Quantile (0 to 1) of the samples in the window." },
    MATH("rad", promql_rad, "Degrees to radians."),
    RANGE("rate", promql_rate, "Rate per second of a counter over the window, extrapolated."),
    RANGE("resets", promql_resets, "How often a counter was reset in the window."),
    { .name = "round",
      .returns = V,
      .args = { V, S },
      .min_args = 1,
      .max_args = 2,
      .general = promql_fn_round,
      .help = "Rounds to the nearest multiple (of 1)." },
    { .name = "scalar",
      .returns = S,
      .args = { V },
      .min_args = 1,
      .max_args = 1,
      .general = promql_fn_scalar,
      .help = "The value of a vector with one element, else NaN." },
    MATH("sgn", promql_sgn, "-1, 0 or 1 by the sign."),
    MATH("sin", sin, "Sine of radians."),
    MATH("sinh", sinh, "Hyperbolic sine."),
    { .name = "sort",
      .returns = V,
      .args = { V },
      .min_args = 1,
      .max_args = 1,
      .keeps_name = true,
      .general = promql_fn_sort,
      .help = "By value, rising." },
    { .name = "sort_desc",
      .returns = V,
      .args = { V },
      .min_args = 1,
      .max_args = 1,
      .keeps_name = true,
      .general = promql_fn_sort_desc,
      .help = "By value, falling." },
    MATH("sqrt", sqrt, "Square root."),
    RANGE("stddev_over_time", promql_stddev_over_time, "Standard deviation in the window."),
    RANGE("stdvar_over_time", promql_stdvar_over_time, "Variance in the window."),
    RANGE("sum_over_time", promql_sum_over_time, "Sum of the samples in the window."),
    MATH("tan", tan, "Tangent of radians."),
    MATH("tanh", tanh, "Hyperbolic tangent."),
    { .name = "time",
      .returns = S,
      .args = { PROMQL_NONE },
      .min_args = 0,
      .max_args = 0,
      .general = promql_fn_time,
      .help = "The evaluation time in Unix seconds." },
    { .name = "timestamp",
      .returns = V,
      .args = { V },
      .min_args = 1,
      .max_args = 1,
      .general = promql_fn_timestamp,
      .help = "The time of each sample in Unix seconds." },
    { .name = "vector",
      .returns = V,
      .args = { S },
      .min_args = 1,
      .max_args = 1,
      .general = promql_fn_vector,
      .help = "A scalar as a vector without labels." },
    DATE("year", promql_year, "Year of Unix seconds, in UTC."),
};

const promql_function *promql_function_find(str name)
{
    size_t low = 0, high = ARRAY_LEN(functions);
    while (low < high) {
        size_t middle = (low + high) / 2;
        int order = str_cmp(name, str_c(functions[middle].name));
        if (order == 0)
            return &functions[middle];
        if (order < 0)
            high = middle;
        else
            low = middle + 1;
    }
    return NULL;
}

const promql_function *promql_function_list(size_t *ret_count)
{
    *ret_count = ARRAY_LEN(functions);
    return functions;
}

status promql_finish_call(promql_engine *e, const promql_grid *g, const promql_node *call,
                          promql_value *v)
{
    v->ordered = false;
    for (uint32_t i = 0; i < v->row_count && !call->call.function->keeps_name; i++)
        if (!labels_drop_metric(e->arena, v->rows[i].labels, &v->rows[i].labels))
            return promql_no_memory(e);
    return promql_merge_rows(e, g, v, SAME_LABELSET);
}

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
        for (uint32_t i = 0; i < g->steps; i++)
            if (!is_absent(cells[i]))
                cells[i] = fn(cells[i]);
    }
    return promql_finish_call(e, g, n, ret);
}

/* ---- windows ---- */

typedef struct {
    promql_value ranges;
    double *params[PROMQL_MAX_ARGS]; /* one number per step */
    uint32_t param_count;
} range_args;

static status eval_range_args(promql_engine *e, const promql_grid *g, const promql_node *n,
                              range_args *ret)
{
    *ret = (range_args){ 0 };
    for (uint32_t i = 0; i < n->call.arg_count; i++) {
        promql_value v;
        TRY(promql_eval_node(e, g, n->call.args[i], &v));
        if (v.type == PROMQL_MATRIX)
            ret->ranges = v;
        else
            ret->params[ret->param_count++] = v.scalar;
    }
    return STATUS_OK;
}

static status one_series(promql_engine *e, const promql_grid *g, const promql_node *n,
                         const range_args *args, const promql_samples *s, double *cells)
{
    promql_range *fn = n->call.function->range;
    promql_window w = { .engine = e, .call = n };
    uint32_t first = 0, end = 0;
    for (uint32_t i = 0; i < g->steps; i++) {
        w.eval_ms = grid_time(g, i);
        w.end_ms = promql_shifted_time(e, &args->ranges.shift, w.eval_ms);
        w.start_ms = w.end_ms - args->ranges.range_ms;
        while (end < s->count && s->time_ms[end] <= w.end_ms)
            end++;
        while (first < end && s->time_ms[first] <= w.start_ms)
            first++;
        if (first == end)
            continue;
        TRY(promql_check_time(e));
        w.time_ms = s->time_ms + first;
        w.value = s->value + first;
        w.count = end - first;
        for (uint32_t k = 0; k < args->param_count; k++)
            w.params[k] = args->params[k][i];
        double result;
        if (fn(&w, &result))
            cells[i] = result;
    }
    return STATUS_OK;
}

static status call_range(promql_engine *e, const promql_grid *g, const promql_node *n,
                         promql_value *ret)
{
    range_args args;
    TRY(eval_range_args(e, g, n, &args));
    uint32_t count = args.ranges.series_count;
    promql_row *rows = promql_alloc(e, count, sizeof(promql_row));
    if (!rows)
        return STATUS_LIMIT;
    for (uint32_t i = 0; i < count; i++) {
        const promql_samples *s = &args.ranges.series[i];
        rows[i] = (promql_row){ s->labels, promql_values(e, g) };
        if (!rows[i].cells)
            return STATUS_LIMIT;
        TRY(one_series(e, g, n, &args, s, rows[i].cells));
    }
    *ret = (promql_value){ .type = PROMQL_VECTOR, .rows = rows, .row_count = count };
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
