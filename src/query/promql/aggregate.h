// SPDX-License-Identifier: Apache-2.0
/* What the files of the aggregations share: which rows belong to which group. */
#ifndef SONDE_QUERY_PROMQL_AGGREGATE_H
#define SONDE_QUERY_PROMQL_AGGREGATE_H

#include "query/promql/rows.h"

/* The kinds of the table's rows. */
enum {
    AGG_SUM,
    AGG_AVG,
    AGG_MIN,
    AGG_MAX,
    AGG_COUNT,
    AGG_GROUP,
    AGG_STDVAR,
    AGG_STDDEV,
    AGG_QUANTILE,
    AGG_TOPK,
    AGG_BOTTOMK,
    AGG_LIMITK,
    AGG_LIMIT_RATIO,
    AGG_COUNT_VALUES
};

typedef struct {
    label_groups groups;
    uint32_t *group_of; /* of each row */
    uint32_t *members;  /* row numbers, group after group */
    uint32_t *first;    /* where each group's members start; count + 1 entries */
} grouping;

/* Sums and the like on their way, per step. */
typedef struct {
    double *value; /* the result's cells; all absent at first */
    double *lost;  /* compensation of sums */
    double *mean;
    uint32_t *count;
    bool *incremental; /* avg: the sum would overflow, `mean` counts */
} accumulators;

/* All but `value`, zeroed; STATUS_LIMIT without memory. */
MUST_USE status aggregate_accumulators(promql_engine *e, uint32_t steps, accumulators *ret);
/* The floats of a row; not for quantile. */
void aggregate_add(uint8_t kind, accumulators *a, const double *cells, uint32_t steps);
void aggregate_finish(uint8_t kind, accumulators *a, uint32_t steps);

/* Numbers the groups of the rows, of which only the labels count. `unset`: a label that counts as
 * absent, because the aggregation sets it; may be empty. */
MUST_USE status aggregate_group(promql_engine *e, const promql_aggregate *a, str unset,
                                const promql_value *v, grouping *ret);

/* The node's argument behind any parentheses: what annotations point at. */
const promql_node *aggregate_argument(const promql_node *n);

/* sum, avg, quantile and the like (aggregate_reduce.c): one row for each group. */
MUST_USE status aggregate_reduce(promql_engine *e, const promql_grid *g, const promql_node *n,
                                 const promql_value *v, const grouping *by, const double *param,
                                 promql_value *ret);
/* topk, limitk and the like (aggregate_select.c): some rows of each group. */
MUST_USE status aggregate_select(promql_engine *e, const promql_grid *g, const promql_node *n,
                                 const promql_value *v, const grouping *by, const double *param,
                                 promql_value *ret);
/* count_values: the groups are made without the label that is set. */
MUST_USE status aggregate_count_values(promql_engine *e, const promql_grid *g, str name,
                                       bool label_goes, const promql_value *v, const grouping *by,
                                       promql_value *ret);

#endif
