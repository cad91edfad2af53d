// SPDX-License-Identifier: Apache-2.0
/* Expressions that have the same value at all steps of a range, because all that they select is
 * held in time by @. Prometheus evaluates these as instant queries at the first step, which shows
 * where they sort and in the parameters of aggregations. */
#include "query/promql/eval.h"

/* Functions whose result depends on the step although their arguments do not. */
static bool follows_time(const promql_function *f)
{
    static const char *const names[] = { "day_of_month",  "day_of_week", "day_of_year",
                                         "days_in_month", "end",         "hour",
                                         "minute",        "month",       "predict_linear",
                                         "range",         "start",       "step",
                                         "time",          "timestamp",   "year" };
    for (size_t i = 0; i < ARRAY_LEN(names); i++)
        if (strcmp(f->name, names[i]) == 0)
            return true;
    return false;
}

bool promql_same_at_all_steps(const promql_node *n)
{
    switch (n->kind) {
    case NODE_NUMBER:
    case NODE_STRING:
        return true;
    case NODE_VECTOR:
    case NODE_MATRIX:
        return n->selector.shift.at != AT_NONE;
    case NODE_SUBQUERY:
        return n->subquery.shift.at != AT_NONE;
    case NODE_UNARY:
        return promql_same_at_all_steps(n->unary.operand);
    case NODE_PAREN:
        return promql_same_at_all_steps(n->paren);
    case NODE_BINARY:
        return promql_same_at_all_steps(n->binary.left) &&
               promql_same_at_all_steps(n->binary.right);
    case NODE_AGGREGATE:
        return promql_same_at_all_steps(n->aggregate.inner);
    case NODE_CALL: /* what info() has for a second argument is no expression */
        for (uint32_t i = 0;
             i < n->call.arg_count && !(i && strcmp(n->call.function->name, "info") == 0); i++)
            if (!promql_same_at_all_steps(n->call.args[i]))
                return false;
        return !follows_time(n->call.function);
    default:
        return false;
    }
}
