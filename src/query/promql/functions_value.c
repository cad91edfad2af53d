// SPDX-License-Identifier: Apache-2.0
/* Functions of cells and of time: rounding, clamping, dates, scalar and vector, sorting. */
#include "query/promql/eval.h"

#include <math.h>
#include <stdlib.h>
#include <time.h>

/* ---- value by value ---- */

double promql_sgn(double x)
{
    return x < 0 ? -1 : x > 0 ? 1 : x;
}

double promql_deg(double x)
{
    return x * 180 / M_PI;
}

double promql_rad(double x)
{
    return x * M_PI / 180;
}

/* False where no calendar reaches. */
static bool utc(double seconds, struct tm *ret)
{
    time_t t;
    if (!(fabs(seconds) < 6e16))
        return false;
    t = (time_t)seconds;
    return gmtime_r(&t, ret) != NULL;
}

#define DATE_PART(name, expression) \
    double promql_##name(double seconds) \
    { \
        struct tm tm; \
        return utc(seconds, &tm) ? (double)(expression) : NAN; \
    }
DATE_PART(minute, tm.tm_min)
DATE_PART(hour, tm.tm_hour)
DATE_PART(day_of_month, tm.tm_mday)
DATE_PART(day_of_week, tm.tm_wday)
DATE_PART(day_of_year, tm.tm_yday + 1)
DATE_PART(month, tm.tm_mon + 1)
DATE_PART(year, tm.tm_year + 1900LL)

double promql_days_in_month(double seconds)
{
    static const int days[] = { 31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31 };
    struct tm tm;
    if (!utc(seconds, &tm))
        return NAN;
    long long year = tm.tm_year + 1900LL;
    bool leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    return days[tm.tm_mon] + (tm.tm_mon == 1 && leap);
}

/* ---- with scalar arguments ---- */

status promql_fn_clamp(promql_engine *e, const promql_grid *g, const promql_node *n,
                       promql_value *ret)
{
    promql_value low, high;
    TRY(promql_eval_node(e, g, n->call.args[0], ret));
    TRY(promql_eval_node(e, g, n->call.args[1], &low));
    TRY(promql_eval_node(e, g, n->call.args[2], &high));
    for (uint32_t r = 0; r < ret->row_count; r++) {
        for (uint32_t i = 0; i < g->steps; i++) {
            double *v = &ret->rows[r].cells[i], min = low.scalar[i], max = high.scalar[i];
            if (is_absent(*v))
                continue;
            if (max < min)
                set_absent(v);
            else
                *v = isnan(min) || isnan(max) || isnan(*v) ? NAN : fmax(min, fmin(max, *v));
        }
    }
    return promql_finish_call(e, g, n, ret);
}

static status clamp_one(promql_engine *e, const promql_grid *g, const promql_node *n, bool lower,
                        promql_value *ret)
{
    promql_value bound;
    TRY(promql_eval_node(e, g, n->call.args[0], ret));
    TRY(promql_eval_node(e, g, n->call.args[1], &bound));
    for (uint32_t r = 0; r < ret->row_count; r++) {
        for (uint32_t i = 0; i < g->steps; i++) {
            double *v = &ret->rows[r].cells[i], b = bound.scalar[i];
            if (is_absent(*v))
                continue;
            if (isnan(b) || isnan(*v))
                *v = NAN;
            else
                *v = lower ? fmax(b, *v) : fmin(b, *v);
        }
    }
    return promql_finish_call(e, g, n, ret);
}

status promql_fn_clamp_min(promql_engine *e, const promql_grid *g, const promql_node *n,
                           promql_value *ret)
{
    return clamp_one(e, g, n, true, ret);
}

status promql_fn_clamp_max(promql_engine *e, const promql_grid *g, const promql_node *n,
                           promql_value *ret)
{
    return clamp_one(e, g, n, false, ret);
}

status promql_fn_round(promql_engine *e, const promql_grid *g, const promql_node *n,
                       promql_value *ret)
{
    promql_value to = { 0 };
    TRY(promql_eval_node(e, g, n->call.args[0], ret));
    if (n->call.arg_count > 1)
        TRY(promql_eval_node(e, g, n->call.args[1], &to));
    for (uint32_t r = 0; r < ret->row_count; r++) {
        for (uint32_t i = 0; i < g->steps; i++) {
            double *v = &ret->rows[r].cells[i];
            double inverse = 1.0 / (to.scalar ? to.scalar[i] : 1.0);
            if (!is_absent(*v))
                *v = floor(*v * inverse + 0.5) / inverse;
        }
    }
    return promql_finish_call(e, g, n, ret);
}

/* ---- scalars, vectors, time ---- */

status promql_fn_time(promql_engine *e, const promql_grid *g, const promql_node *n,
                      promql_value *ret)
{
    (void)n;
    *ret = (promql_value){ .type = PROMQL_SCALAR,
                           .scalar = promql_alloc(e, g->steps, sizeof(double)) };
    if (!ret->scalar)
        return STATUS_LIMIT;
    for (uint32_t i = 0; i < g->steps; i++)
        ret->scalar[i] = (double)grid_time(g, i) / 1000;
    return STATUS_OK;
}

status promql_fn_pi(promql_engine *e, const promql_grid *g, const promql_node *n, promql_value *ret)
{
    TRY(promql_fn_time(e, g, n, ret));
    for (uint32_t i = 0; i < g->steps; i++)
        ret->scalar[i] = M_PI;
    return STATUS_OK;
}

status promql_fn_timestamp(promql_engine *e, const promql_grid *g, const promql_node *n,
                           promql_value *ret)
{
    const promql_node *arg = n->call.args[0];
    while (arg->kind == NODE_PAREN)
        arg = arg->paren;
    if (arg->kind == NODE_VECTOR) {
        TRY(promql_select_instant(e, g, arg, true, ret));
        return promql_finish_call(e, g, n, ret);
    }
    TRY(promql_eval_node(e, g, arg, ret));
    for (uint32_t r = 0; r < ret->row_count; r++)
        for (uint32_t i = 0; i < g->steps; i++)
            if (!is_absent(ret->rows[r].cells[i]))
                ret->rows[r].cells[i] = (double)grid_time(g, i) / 1000;
    return promql_finish_call(e, g, n, ret);
}

status promql_fn_vector(promql_engine *e, const promql_grid *g, const promql_node *n,
                        promql_value *ret)
{
    promql_value v;
    TRY(promql_eval_node(e, g, n->call.args[0], &v));
    *ret = (promql_value){ .type = PROMQL_VECTOR, .row_count = 1 };
    ret->rows = promql_alloc(e, 1, sizeof(promql_row));
    if (!ret->rows)
        return STATUS_LIMIT;
    ret->rows[0].cells = v.scalar;
    return STATUS_OK;
}

status promql_fn_scalar(promql_engine *e, const promql_grid *g, const promql_node *n,
                        promql_value *ret)
{
    promql_value v;
    TRY(promql_eval_node(e, g, n->call.args[0], &v));
    TRY(promql_fn_time(e, g, n, ret));
    for (uint32_t i = 0; i < g->steps; i++) {
        uint32_t present = 0;
        for (uint32_t r = 0; r < v.row_count && present < 2; r++) {
            if (is_absent(v.rows[r].cells[i]))
                continue;
            ret->scalar[i] = v.rows[r].cells[i];
            present++;
        }
        if (present != 1)
            ret->scalar[i] = NAN;
    }
    return STATUS_OK;
}

/* ---- order ---- */

static int order_values(double a, double b, bool descending)
{
    if (isnan(a) || isnan(b))
        return (int)isnan(a) - (int)isnan(b); /* NaN last in both directions */
    int order = a < b ? -1 : a > b;
    return descending ? -order : order;
}

static int order_rising(const void *a, const void *b)
{
    return order_values(((const promql_row *)a)->cells[0], ((const promql_row *)b)->cells[0],
                        false);
}

static int order_falling(const void *a, const void *b)
{
    return order_values(((const promql_row *)a)->cells[0], ((const promql_row *)b)->cells[0], true);
}

/* Only an instant query has an order; a range query's series are sorted by their labels. */
static status sort_rows(promql_engine *e, const promql_grid *g, const promql_node *n,
                        int (*order)(const void *, const void *), promql_value *ret)
{
    TRY(promql_eval_node(e, g, n->call.args[0], ret));
    if (g->steps != 1)
        return STATUS_OK;
    TRY(promql_finish_call(e, g, n, ret));
    qsort(ret->rows, ret->row_count, sizeof(promql_row), order);
    ret->ordered = true;
    return STATUS_OK;
}

status promql_fn_sort(promql_engine *e, const promql_grid *g, const promql_node *n,
                      promql_value *ret)
{
    return sort_rows(e, g, n, order_rising, ret);
}

status promql_fn_sort_desc(promql_engine *e, const promql_grid *g, const promql_node *n,
                           promql_value *ret)
{
    return sort_rows(e, g, n, order_falling, ret);
}
