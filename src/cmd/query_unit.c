// SPDX-License-Identifier: Apache-2.0
/* The unit of a PromQL expression's values, from the names of its metrics (…_seconds, …_bytes) and
 * from what the functions do to them. A guess for axes: where it is unsure there is none. */
#include "cmd/query.h"

#include "query/promql/ast.h"

typedef struct {
    char base; /* 's', 'B', or 0: a plain number */
    int rate;  /* 1: in a second */
} unit;

/* What a function's values are in. */
typedef enum { RULE_SAME, RULE_RATE, RULE_BOUNDS } rule;

static const struct {
    const char *name;
    rule rule;
    uint8_t arg;
} rules[] = {
    { "rate", RULE_RATE, 0 },
    { "irate", RULE_RATE, 0 },
    { "deriv", RULE_RATE, 0 },
    { "increase", RULE_SAME, 0 },
    { "delta", RULE_SAME, 0 },
    { "idelta", RULE_SAME, 0 },
    { "avg_over_time", RULE_SAME, 0 },
    { "min_over_time", RULE_SAME, 0 },
    { "max_over_time", RULE_SAME, 0 },
    { "sum_over_time", RULE_SAME, 0 },
    { "last_over_time", RULE_SAME, 0 },
    { "first_over_time", RULE_SAME, 0 },
    { "stddev_over_time", RULE_SAME, 0 },
    { "quantile_over_time", RULE_SAME, 1 },
    { "predict_linear", RULE_SAME, 0 },
    { "abs", RULE_SAME, 0 },
    { "ceil", RULE_SAME, 0 },
    { "floor", RULE_SAME, 0 },
    { "round", RULE_SAME, 0 },
    { "clamp", RULE_SAME, 0 },
    { "clamp_min", RULE_SAME, 0 },
    { "clamp_max", RULE_SAME, 0 },
    { "sort", RULE_SAME, 0 },
    { "sort_desc", RULE_SAME, 0 },
    { "label_replace", RULE_SAME, 0 },
    { "label_join", RULE_SAME, 0 },
    { "histogram_sum", RULE_SAME, 0 },
    { "histogram_quantile", RULE_BOUNDS, 1 },
    { "histogram_avg", RULE_BOUNDS, 0 },
    { "histogram_stddev", RULE_BOUNDS, 0 },
};

/* Aggregations whose values are those of what they aggregate. */
static const char *const same[] = { "sum",     "avg",    "min",      "max",    "topk",
                                    "bottomk", "stddev", "quantile", "limitk", "limit_ratio" };

/* bounds: of a histogram's buckets, not of how many are in them. */
static unit of_name(str name, bool bounds)
{
    static const struct {
        const char *suffix;
        char base;
    } suffixes[] = { { "_seconds", 's' }, { "_bytes", 'B' } };
    if (bounds && str_ends(name, STR("_bucket")))
        name.len -= 7;
    else if (str_ends(name, STR("_total")))
        name.len -= 6;
    else if (str_ends(name, STR("_sum")))
        name.len -= 4;
    for (size_t i = 0; i < ARRAY_LEN(suffixes); i++)
        if (str_ends(name, str_c(suffixes[i].suffix)))
            return (unit){ suffixes[i].base, 0 };
    return (unit){ 0 };
}

static unit of(const promql_node *n, bool bounds);

static unit of_call(const promql_call *c, bool bounds)
{
    for (size_t i = 0; i < ARRAY_LEN(rules); i++) {
        if (!str_is(str_c(c->function->name), rules[i].name) || rules[i].arg >= c->arg_count)
            continue;
        unit u = of(c->args[rules[i].arg], bounds || rules[i].rule == RULE_BOUNDS);
        u.rate = rules[i].rule == RULE_BOUNDS ? 0 : u.rate + (rules[i].rule == RULE_RATE);
        return u;
    }
    return (unit){ 0 };
}

static unit of_binary(const promql_binary *b, bool bounds)
{
    const promql_operator *op = &promql_operators[b->op];
    unit left = of(b->left, bounds), right = of(b->right, bounds);
    if (op->set || (op->comparison && !b->returns_bool))
        return left;
    switch (b->op) {
    case OP_ADD:
    case OP_SUB:
    case OP_MOD:
        return left.base || left.rate ? left : right;
    case OP_MUL:
        if (left.base && right.base)
            return (unit){ 0 };
        return (unit){ left.base ? left.base : right.base, left.rate + right.rate };
    case OP_DIV:
        if (right.base && left.base != right.base)
            return (unit){ 0 };
        return (unit){ right.base ? 0 : left.base, left.rate - right.rate };
    default:
        return (unit){ 0 };
    }
}

static unit of(const promql_node *n, bool bounds)
{
    switch (n->kind) {
    case NODE_VECTOR:
    case NODE_MATRIX:
        return of_name(n->selector.name, bounds);
    case NODE_SUBQUERY:
        return of(n->subquery.inner, bounds);
    case NODE_UNARY:
        return of(n->unary.operand, bounds);
    case NODE_PAREN:
        return of(n->paren, bounds);
    case NODE_CALL:
        return of_call(&n->call, bounds);
    case NODE_BINARY:
        return of_binary(&n->binary, bounds);
    case NODE_AGGREGATE:
        for (size_t i = 0; i < ARRAY_LEN(same); i++)
            if (str_is(str_c(n->aggregate.aggregation->name), same[i]))
                return of(n->aggregate.inner, bounds);
        return (unit){ 0 };
    default:
        return (unit){ 0 };
    }
}

query_unit query_unit_of(str expression, bool histograms, arena *a)
{
    const promql_node *n;
    error err;
    if (promql_parse(&n, expression, UINT32_MAX, a, &err) != STATUS_OK)
        return AXIS_NONE;
    unit u = of(n, histograms);
    if (histograms)
        u.rate = 0; /* means of values */
    if (u.rate == 0)
        return u.base == 's' ? AXIS_SECONDS : u.base == 'B' ? AXIS_BYTES : AXIS_NONE;
    if (u.rate == 1)
        return u.base == 's' ? AXIS_NONE : u.base == 'B' ? AXIS_BYTES_RATE : AXIS_RATE;
    return AXIS_NONE;
}
