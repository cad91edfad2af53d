// SPDX-License-Identifier: Apache-2.0
/* Functions that make a number of each native histogram and leave out floats: histogram_count and
 * its siblings. */
#include <math.h>

#include "query/promql/histogram.h"

static status each_histogram(promql_engine *e, const promql_grid *g, const promql_node *n,
                             double (*fn)(const histogram *h), promql_value *ret)
{
    uint32_t count = 0;
    TRY(promql_eval_node(e, g, n->call.args[0], ret));
    for (uint32_t r = 0; r < ret->row_count; r++) {
        promql_row row = ret->rows[r];
        if (!row.histograms)
            continue;
        TRY(promql_check_time(e));
        const histogram **list = row.histograms;
        if (!(row.cells = promql_values(e, g)))
            return STATUS_LIMIT;
        row.histograms = NULL;
        for (uint32_t i = 0; i < g->steps; i++)
            if (list[i])
                row.cells[i] = fn(list[i]);
        ret->rows[count++] = row;
    }
    ret->row_count = count;
    return promql_finish_call(e, g, n, ret);
}

static double count_of(const histogram *h)
{
    return h->count;
}

static double sum_of(const histogram *h)
{
    return h->sum;
}

static double average_of(const histogram *h)
{
    return h->sum / h->count;
}

static double deviation_of(const histogram *h)
{
    return sqrt(histogram_variance(h));
}

status promql_fn_histogram_count(promql_engine *e, const promql_grid *g, const promql_node *n,
                                 promql_value *ret)
{
    return each_histogram(e, g, n, count_of, ret);
}

status promql_fn_histogram_sum(promql_engine *e, const promql_grid *g, const promql_node *n,
                               promql_value *ret)
{
    return each_histogram(e, g, n, sum_of, ret);
}

status promql_fn_histogram_avg(promql_engine *e, const promql_grid *g, const promql_node *n,
                               promql_value *ret)
{
    return each_histogram(e, g, n, average_of, ret);
}

status promql_fn_histogram_stddev(promql_engine *e, const promql_grid *g, const promql_node *n,
                                  promql_value *ret)
{
    return each_histogram(e, g, n, deviation_of, ret);
}

status promql_fn_histogram_stdvar(promql_engine *e, const promql_grid *g, const promql_node *n,
                                  promql_value *ret)
{
    return each_histogram(e, g, n, histogram_variance, ret);
}
