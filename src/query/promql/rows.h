// SPDX-License-Identifier: Apache-2.0
/* What operators, aggregations and functions do with rows and cells, floats and histograms alike.
 */
#ifndef SONDE_QUERY_PROMQL_ROWS_H
#define SONDE_QUERY_PROMQL_ROWS_H

#include "query/promql/eval.h"

static inline const histogram *row_histogram(const promql_row *row, uint32_t step)
{
    return row->histograms ? row->histograms[step] : NULL;
}

static inline bool row_has(const promql_row *row, uint32_t step)
{
    return !is_absent(row->cells[step]) || row_histogram(row, step);
}

static inline promql_cell row_cell(const promql_row *row, uint32_t step)
{
    return (promql_cell){ row->cells[step], row_histogram(row, step) };
}

static inline void row_clear(promql_row *row, uint32_t step)
{
    set_absent(&row->cells[step]);
    if (row->histograms)
        row->histograms[step] = NULL;
}

static inline bool delays_names(const promql_engine *e)
{
    return (e->options->features & PROMQL_DELAYED_NAME_REMOVAL) != 0;
}

/* The row becomes something else than the metric it is named after: its name goes, now or, where
 * the feature says so, at the end of the query. */
static inline status row_drop_name(promql_engine *e, promql_row *row)
{
    if (delays_names(e)) {
        row->drop_name = true;
        return STATUS_OK;
    }
    return labels_drop_metric(e->arena, row->labels, &row->labels) ? STATUS_OK
                                                                   : promql_no_memory(e);
}

/* Histograms where there are none in the row are no reason to have the array. */
static inline status row_set(promql_engine *e, const promql_grid *g, promql_row *row, uint32_t step,
                             promql_cell cell)
{
    if (cell.histogram || row->histograms) {
        const histogram **list = promql_row_histograms(e, g, row);
        if (!list)
            return STATUS_LIMIT;
        list[step] = cell.histogram;
    }
    if (cell.histogram)
        set_absent(&row->cells[step]);
    else
        row->cells[step] = cell.value;
    return STATUS_OK;
}

/* Names that were to go at the end go now; once, of the query's whole value. */
MUST_USE status promql_finish_names(promql_engine *e, const promql_grid *g, promql_value *v);

#endif
