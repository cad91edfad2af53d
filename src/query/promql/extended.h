// SPDX-License-Identifier: Apache-2.0
/* The selectors `anchored` and `smoothed`, which look beyond their range: at the last sample before
 * it, or at those on both sides of its ends. */
#ifndef SONDE_QUERY_PROMQL_EXTENDED_H
#define SONDE_QUERY_PROMQL_EXTENDED_H

#include "query/promql/eval.h"

static inline bool promql_is_extended(const promql_node *selector)
{
    return selector->selector.anchored || selector->selector.smoothed;
}

/* A function of an extended range vector; an error for the functions that know none. */
MUST_USE status promql_call_extended(promql_engine *e, const promql_grid *g,
                                     const promql_node *call, const promql_node *matrix,
                                     promql_value *ret);
/* The samples themselves, with the values at both ends of the range; of an instant query. */
MUST_USE status promql_select_extended(promql_engine *e, const promql_grid *g,
                                       const promql_node *matrix, promql_value *ret);
/* A smoothed instant vector. */
MUST_USE status promql_select_smoothed(promql_engine *e, const promql_grid *g, const promql_node *n,
                                       promql_value *ret);

#endif
