// SPDX-License-Identifier: Apache-2.0
/* Expressions that stand in a query more than once: evaluated once. Used by eval.c only; lives in
 * the query's arena; one thread. */
#ifndef SONDE_QUERY_PROMQL_SHARED_H
#define SONDE_QUERY_PROMQL_SHARED_H

#include "query/promql/eval.h"

typedef struct promql_shared promql_shared;

/* NULL when nothing is shared (or there is no memory to find out). */
promql_shared *promql_shared_find(const promql_node *query, arena *a);
/* The value of a node that was kept, for this grid; false when there is none. */
bool promql_shared_take(promql_engine *e, const promql_grid *g, const promql_node *n,
                        promql_value *ret, status *ret_status);
/* Keeps a copy for those that come after, where any do. */
MUST_USE status promql_shared_keep(promql_engine *e, const promql_grid *g, const promql_node *n,
                                   const promql_value *v);

#endif
