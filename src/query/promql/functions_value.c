// SPDX-License-Identifier: Apache-2.0
/* Functions of cells and of time: rounding, clamping, dates, scalar and vector. */
#include "query/promql/rows.h"

#include <math.h>
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

/* The calendar repeats itself after 400 years. Go counts seconds without a sign, from the start of
 * a year that has the place of 2001 among them, so that the earliest int64 wraps to the end: to 30
 * minutes past 15 o'clock on Sunday, 4 December 292277026596. Go takes NaN and what is beyond an
 * int64 for that second, and so does everybody who computes with the answer. */
#define PERIOD_S       UINT64_C(12622780800)
#define BEGIN_S        UINT64_C(9223372028715321600) /* before 1970 */
#define BEGIN_YEAR     INT64_C(-292277022399)
#define BEGIN_OF_2001S 978307200

static int64_t utc(double seconds, struct tm *ret)
{
    int64_t t = fabs(seconds) < 0x1p63 ? (int64_t)seconds : INT64_MIN;
    uint64_t since = (uint64_t)t + BEGIN_S;
    time_t within = (time_t)(since % PERIOD_S) + BEGIN_OF_2001S;
    if (!gmtime_r(&within, ret)) /* never of the years 2001 to 2400 */
        *ret = (struct tm){ .tm_mday = 1, .tm_year = 101 };
    return BEGIN_YEAR + (int64_t)(since / PERIOD_S) * 400 + ret->tm_year - 101;
}

#define DATE_PART(name, expression) \
    double promql_##name(double seconds) \
    { \
        struct tm tm; \
        int64_t year = utc(seconds, &tm); \
        (void)year; \
        return (double)(expression); \
    }
DATE_PART(minute, tm.tm_min)
DATE_PART(hour, tm.tm_hour)
DATE_PART(day_of_month, tm.tm_mday)
DATE_PART(day_of_week, tm.tm_wday)
DATE_PART(day_of_year, tm.tm_yday + 1)
DATE_PART(month, tm.tm_mon + 1)
DATE_PART(year, year)

double promql_days_in_month(double seconds)
{
    static const int days[] = { 31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31 };
    struct tm tm;
    int64_t year = utc(seconds, &tm);
    bool leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    return days[tm.tm_mon] + (tm.tm_mon == 1 && leap);
}

/* ---- with scalar arguments ---- */

/* As Go's math.Max and math.Min: an infinity that decides wins over NaN, and +0 is above -0. */
static double larger(double a, double b)
{
    if ((isinf(a) && a > 0) || (isinf(b) && b > 0))
        return INFINITY;
    if (isnan(a) || isnan(b))
        return NAN;
    if (a == 0 && b == 0)
        return signbit(a) ? b : a;
    return a > b ? a : b;
}

static double smaller(double a, double b)
{
    return -larger(-a, -b);
}

/* NULL: no bound on that side. */
static status clamp(promql_engine *e, const promql_grid *g, const promql_node *n,
                    const promql_node *low_arg, const promql_node *high_arg, promql_value *ret)
{
    promql_value low = { 0 }, high = { 0 };
    TRY(promql_eval_node(e, g, n->call.args[0], ret));
    if (low_arg)
        TRY(promql_eval_node(e, g, low_arg, &low));
    if (high_arg)
        TRY(promql_eval_node(e, g, high_arg, &high));
    for (uint32_t r = 0; r < ret->row_count; r++) {
        ret->rows[r].histograms = NULL;
        for (uint32_t i = 0; i < g->steps; i++) {
            double *v = &ret->rows[r].cells[i], min = low.scalar ? low.scalar[i] : -INFINITY,
                   max = high.scalar ? high.scalar[i] : INFINITY;
            if (is_absent(*v))
                continue;
            if (max < min)
                set_absent(v);
            else
                *v = larger(min, smaller(max, *v));
        }
    }
    return promql_finish_call(e, g, n, ret);
}

status promql_fn_clamp(promql_engine *e, const promql_grid *g, const promql_node *n,
                       promql_value *ret)
{
    return clamp(e, g, n, n->call.args[1], n->call.args[2], ret);
}

status promql_fn_clamp_min(promql_engine *e, const promql_grid *g, const promql_node *n,
                           promql_value *ret)
{
    return clamp(e, g, n, n->call.args[1], NULL, ret);
}

status promql_fn_clamp_max(promql_engine *e, const promql_grid *g, const promql_node *n,
                           promql_value *ret)
{
    return clamp(e, g, n, NULL, n->call.args[1], ret);
}

static status of_scalars(promql_engine *e, const promql_grid *g, const promql_node *n,
                         double (*fn)(double, double), promql_value *ret)
{
    promql_value other;
    TRY(promql_eval_node(e, g, n->call.args[0], ret));
    TRY(promql_eval_node(e, g, n->call.args[1], &other));
    for (uint32_t i = 0; i < g->steps; i++)
        ret->scalar[i] = fn(ret->scalar[i], other.scalar[i]);
    return STATUS_OK;
}

status promql_fn_max_of(promql_engine *e, const promql_grid *g, const promql_node *n,
                        promql_value *ret)
{
    return of_scalars(e, g, n, larger, ret);
}

status promql_fn_min_of(promql_engine *e, const promql_grid *g, const promql_node *n,
                        promql_value *ret)
{
    return of_scalars(e, g, n, smaller, ret);
}

status promql_fn_round(promql_engine *e, const promql_grid *g, const promql_node *n,
                       promql_value *ret)
{
    promql_value to = { 0 };
    TRY(promql_eval_node(e, g, n->call.args[0], ret));
    if (n->call.arg_count > 1)
        TRY(promql_eval_node(e, g, n->call.args[1], &to));
    for (uint32_t r = 0; r < ret->row_count; r++) {
        ret->rows[r].histograms = NULL;
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
    const promql_node *arg = promql_bare(n->call.args[0]);
    if (arg->kind == NODE_VECTOR) {
        TRY(promql_select_instant(e, g, arg, true, ret));
        for (uint32_t r = 0; r < ret->row_count; r++)
            ret->rows[r].histograms = NULL; /* their times are there */
        return promql_finish_call(e, g, n, ret);
    }
    TRY(promql_eval_node(e, g, arg, ret));
    for (uint32_t r = 0; r < ret->row_count; r++) {
        for (uint32_t i = 0; i < g->steps; i++)
            if (row_has(&ret->rows[r], i))
                ret->rows[r].cells[i] = (double)grid_time(g, i) / 1000;
        ret->rows[r].histograms = NULL;
    }
    return promql_finish_call(e, g, n, ret);
}

/* No sample here has a start time that Prometheus would keep, which is what it answers by default.
 */
status promql_fn_start_timestamp(promql_engine *e, const promql_grid *g, const promql_node *n,
                                 promql_value *ret)
{
    TRY(promql_eval_node(e, g, n->call.args[0], ret));
    ret->row_count = 0;
    return STATUS_OK;
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

/* ---- what the query says of itself; promql_bind makes numbers of these ---- */

static status constant(promql_engine *e, const promql_grid *g, double number, promql_value *ret)
{
    *ret = (promql_value){ .type = PROMQL_SCALAR,
                           .scalar = promql_alloc(e, g->steps, sizeof(double)) };
    if (!ret->scalar)
        return STATUS_LIMIT;
    for (uint32_t i = 0; i < g->steps; i++)
        ret->scalar[i] = number;
    return STATUS_OK;
}

#define OF_QUERY(name, milliseconds) \
    status promql_fn_query_##name(promql_engine *e, const promql_grid *g, const promql_node *n, \
                                  promql_value *ret) \
    { \
        const promql_options *o = e->options; \
        (void)n; \
        return constant(e, g, (double)(milliseconds) / 1000, ret); \
    }
OF_QUERY(start, o->start_ms)
OF_QUERY(end, o->end_ms)
OF_QUERY(range, o->end_ms - o->start_ms)
OF_QUERY(step, o->start_ms == o->end_ms ? 0 : o->step_ms)
