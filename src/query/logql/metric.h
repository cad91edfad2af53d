// SPDX-License-Identifier: Apache-2.0
/* Range aggregations over log lines, as leaves of the PromQL evaluator. */
#ifndef SONDE_QUERY_LOGQL_METRIC_H
#define SONDE_QUERY_LOGQL_METRIC_H

#include "query/logql/logql.h"
#include "query/promql/eval.h"

MUST_USE status logql_eval_range(promql_engine *e, const promql_grid *g, const promql_node *n,
                                 promql_value *ret);

/* Prepares a scan: matchers and the leading line filters go to the store. *ret_first is the stage
 * that is left to do. False when there is no memory. */
MUST_USE bool logql_plan(const logql_pipeline *pipeline, arena *a, row_query *ret,
                         uint32_t *ret_first);

#endif
