// SPDX-License-Identifier: Apache-2.0
/* histogram_quantile over classic histograms: cumulative buckets that differ in the label "le".
 * The bucket that holds the rank is found and interpolated in linearly, as Prometheus does. */
#include "query/promql/eval.h"

#include <math.h>
#include <stdlib.h>

#define SMALL_DELTA 1e-12 /* relative difference of counts that only rounding makes */

typedef struct {
    double bound; /* upper, inclusive */
    double count; /* cumulative */
} bucket;

typedef struct {
    double bound;
    uint32_t group;
    const promql_row *row;
} bucket_row;

static int order_buckets(const void *a, const void *b)
{
    const bucket_row *x = a, *y = b;
    if (x->group != y->group)
        return x->group < y->group ? -1 : 1;
    return x->bound < y->bound ? -1 : x->bound > y->bound;
}

static bool almost_equal(double a, double b)
{
    if (a == b)
        return true;
    double sum = fabs(a) + fabs(b), difference = fabs(a - b);
    if (a == 0 || b == 0 || sum < 2.2250738585072014e-308)
        return difference < SMALL_DELTA * 2.2250738585072014e-308;
    return difference / MIN(sum, 1.7976931348623157e308) < SMALL_DELTA;
}

/* Equal bounds become one bucket; counts never fall. True when a real fall had to be mended. */
static bool repair(bucket *b, uint32_t *count)
{
    uint32_t n = 0;
    bool forced = false;
    for (uint32_t i = 1; i < *count; i++) {
        if (b[i].bound == b[n].bound)
            b[n].count += b[i].count;
        else
            b[++n] = b[i];
    }
    *count = n + 1;
    double previous = b[0].count;
    for (uint32_t i = 1; i < *count; i++) {
        if (almost_equal(previous, b[i].count)) {
            b[i].count = previous;
        } else if (b[i].count < previous) {
            b[i].count = previous;
            forced = true;
        } else {
            previous = b[i].count;
        }
    }
    return forced;
}

static double bucket_quantile(double q, bucket *b, uint32_t count, bool *ret_forced)
{
    if (isnan(q))
        return NAN;
    if (q < 0)
        return -INFINITY;
    if (q > 1)
        return INFINITY;
    if (count == 0 || b[count - 1].bound != INFINITY)
        return NAN;
    *ret_forced = repair(b, &count);
    double observations = b[count - 1].count;
    if (count < 2 || observations == 0 || isnan(observations))
        return NAN;
    double rank = q * observations;
    uint32_t at = 0;
    while (at < count - 1 && !(b[at].count >= rank))
        at++;
    if (at == count - 1)
        return b[count - 2].bound;
    if (at == 0 && b[0].bound <= 0)
        return b[0].bound;
    double from = at ? b[at - 1].bound : 0, below = at ? b[at - 1].count : 0;
    return from + (b[at].bound - from) * ((rank - below) / (b[at].count - below));
}

/* The buckets sorted by histogram and bound. Two metrics are two histograms: that their results
 * would have the same labels is found out at the end. */
static status collect(promql_engine *e, const promql_node *n, const promql_value *v,
                      label_groups *groups, bucket_row **ret, uint32_t *ret_count)
{
    static const str drop[] = { STR_INIT("le") };
    bucket_row *rows = promql_alloc(e, v->row_count, sizeof(bucket_row));
    uint32_t count = 0;
    if (!rows)
        return STATUS_LIMIT;
    for (uint32_t i = 0; i < v->row_count; i++) {
        const promql_row *row = &v->rows[i];
        labels key;
        str le = labels_get(row->labels, STR("le"));
        double bound;
        TRY(promql_check_time(e));
        if (!str_to_f64(le, &bound) || isnan(bound)) {
            promql_note(e, true, n->call.args[1],
                        "bucket label \"le\" is missing or has a malformed value of \"%.*s\" for "
                        "metric name \"%.*s\"",
                        STR_ARG(str_slice(le, 0, 60)),
                        STR_ARG(str_slice(labels_get(row->labels, LABEL_NAME), 0, 120)));
            continue;
        }
        if (!labels_drop(e->arena, row->labels, (name_list){ drop, 1 }, &key))
            return promql_no_memory(e);
        uint32_t group = groups_put(groups, key, NULL);
        if (group == UINT32_MAX)
            return promql_no_memory(e);
        rows[count++] = (bucket_row){ bound, group, row };
    }
    qsort(rows, count, sizeof(bucket_row), order_buckets);
    *ret = rows;
    *ret_count = count;
    return STATUS_OK;
}

static void quantile_row(promql_engine *e, const promql_grid *g, const promql_node *n,
                         const double *q, const bucket_row *rows, uint32_t count, bucket *scratch,
                         double *cells)
{
    str metric = labels_get(rows[0].row->labels, LABEL_NAME);
    for (uint32_t i = 0; i < g->steps; i++) {
        uint32_t present = 0;
        bool forced = false;
        for (uint32_t k = 0; k < count; k++)
            if (!is_absent(rows[k].row->cells[i]))
                scratch[present++] = (bucket){ rows[k].bound, rows[k].row->cells[i] };
        if (!present)
            continue;
        cells[i] = bucket_quantile(q[i], scratch, present, &forced);
        if (forced)
            promql_note(e, false, n->call.args[1],
                        "input to histogram_quantile needed to be fixed for monotonicity (see "
                        "https://prometheus.io/docs/prometheus/latest/querying/functions/"
                        "#histogram_quantile) for metric name \"%.*s\"",
                        STR_ARG(str_slice(metric, 0, 120)));
    }
}

static void warn_of_quantile(promql_engine *e, const promql_grid *g, const promql_node *at,
                             const double *q)
{
    for (uint32_t i = 0; i < g->steps; i++) {
        if (q[i] >= 0 && q[i] <= 1)
            continue;
        promql_note(e, true, at, "quantile value should be between 0 and 1, got %s%g",
                    q[i] > 1 && isinf(q[i]) ? "+" : "", q[i]);
        return;
    }
}

status promql_fn_histogram_quantile(promql_engine *e, const promql_grid *g, const promql_node *n,
                                    promql_value *ret)
{
    promql_value q, v;
    label_groups groups;
    bucket_row *rows;
    uint32_t count;
    TRY(promql_eval_node(e, g, n->call.args[0], &q));
    TRY(promql_eval_node(e, g, n->call.args[1], &v));
    warn_of_quantile(e, g, n->call.args[0], q.scalar);
    groups_init(&groups, e->arena);
    TRY(collect(e, n, &v, &groups, &rows, &count));
    bucket *scratch = promql_alloc(e, count, sizeof(bucket));
    *ret = (promql_value){ .type = PROMQL_VECTOR };
    ret->rows = promql_alloc(e, groups.count, sizeof(promql_row));
    if (!scratch || !ret->rows)
        return STATUS_LIMIT;
    for (uint32_t first = 0, end; first < count; first = end) {
        for (end = first; end < count && rows[end].group == rows[first].group;)
            end++;
        promql_row *row = &ret->rows[ret->row_count++];
        *row = (promql_row){ groups.items[rows[first].group], promql_values(e, g) };
        if (!row->cells)
            return STATUS_LIMIT;
        TRY(promql_check_time(e));
        quantile_row(e, g, n, q.scalar, rows + first, end - first, scratch, row->cells);
    }
    return promql_finish_call(e, g, n, ret);
}
