// SPDX-License-Identifier: Apache-2.0
/* Types: what an operator, function or aggregation may take. Messages are Prometheus's, because
 * people search for them. */
#include "query/promql/parse.h"

typedef struct {
    str query;
    error *err;
} checker;

static status check(checker *c, const promql_node *n);

#define FAIL_AT(node, ...) promql_fail_at(c->err, c->query, (node)->start, __VA_ARGS__)

static status expect_type(checker *c, const promql_node *n, promql_type want, const char *context,
                          const char *name)
{
    if (n->type == want)
        return STATUS_OK;
    return FAIL_AT(n, "expected type %s in %s%s%s%s, got %s", promql_type_name(want), context,
                   name ? " \"" : "", name ? name : "", name ? "\"" : "",
                   promql_type_name(n->type));
}

static status check_call(checker *c, const promql_node *n)
{
    const promql_function *f = n->call.function;
    uint32_t count = n->call.arg_count;
    if (f->min_args == f->max_args && count != f->min_args)
        return FAIL_AT(n, "expected %u argument(s) in call to \"%s\", got %u", f->min_args, f->name,
                       count);
    if (count < f->min_args)
        return FAIL_AT(n, "expected at least %u argument(s) in call to \"%s\", got %u", f->min_args,
                       f->name, count);
    if (f->max_args != UINT8_MAX && count > f->max_args)
        return FAIL_AT(n, "expected at most %u argument(s) in call to \"%s\", got %u", f->max_args,
                       f->name, count);
    uint32_t last = 0;
    for (uint32_t i = 0; i < count; i++) {
        if (i < PROMQL_MAX_ARGS && f->args[i] != PROMQL_NONE)
            last = i;
        TRY(expect_type(c, n->call.args[i], f->args[last], "call to function", f->name));
        TRY(check(c, n->call.args[i]));
    }
    return STATUS_OK;
}

static status check_aggregate(checker *c, const promql_node *n)
{
    const promql_aggregate *a = &n->aggregate;
    TRY(expect_type(c, a->inner, PROMQL_VECTOR, "aggregation expression", NULL));
    TRY(check(c, a->inner));
    if (!a->param)
        return STATUS_OK;
    TRY(expect_type(c, a->param, a->aggregation->param, "aggregation parameter", NULL));
    return check(c, a->param);
}

static status check_include(checker *c, const promql_node *n)
{
    const promql_binary *b = &n->binary;
    for (uint32_t i = 0; b->on && i < b->name_count; i++)
        for (uint32_t k = 0; k < b->include_count; k++)
            if (str_eq(b->names[i], b->include[k]))
                return FAIL_AT(n, "label \"%.*s\" must not occur in ON and GROUP clause at once",
                               STR_ARG(str_slice(b->names[i], 0, 80)));
    return STATUS_OK;
}

static status check_binary(checker *c, const promql_node *n)
{
    const promql_binary *b = &n->binary;
    const promql_operator *op = &promql_operators[b->op];
    bool left_scalar = b->left->type == PROMQL_SCALAR,
         right_scalar = b->right->type == PROMQL_SCALAR;
    if (b->returns_bool && !op->comparison)
        return FAIL_AT(n, "bool modifier can only be used on comparison operators");
    if (op->comparison && !b->returns_bool && left_scalar && right_scalar)
        return FAIL_AT(n, "comparisons between scalars must use BOOL modifier");
    if (op->set && b->cardinality != MATCH_ONE_TO_ONE)
        return FAIL_AT(n, "no grouping allowed for \"%s\" operation", op->text);
    TRY(check_include(c, n));
    const promql_node *sides[] = { b->left, b->right };
    for (int i = 0; i < 2; i++) {
        if (sides[i]->type != PROMQL_SCALAR && sides[i]->type != PROMQL_VECTOR)
            return FAIL_AT(sides[i],
                           "binary expression must contain only scalar and instant vector types");
    }
    if (left_scalar || right_scalar) {
        if (b->stated && b->name_count)
            return FAIL_AT(n, "vector matching only allowed between instant vectors");
        if (op->set)
            return FAIL_AT(n, "set operator \"%s\" not allowed in binary scalar expression",
                           op->text);
    }
    TRY(check(c, b->left));
    return check(c, b->right);
}

static status check_unary(checker *c, const promql_node *n)
{
    const promql_node *operand = n->unary.operand;
    if (operand->type != PROMQL_SCALAR && operand->type != PROMQL_VECTOR)
        return FAIL_AT(n,
                       "unary expression only allowed on expressions of type scalar or instant "
                       "vector, got \"%s\"",
                       promql_type_name(operand->type));
    return check(c, operand);
}

static status check(checker *c, const promql_node *n)
{
    switch (n->kind) {
    case NODE_CALL:
        return check_call(c, n);
    case NODE_AGGREGATE:
        return check_aggregate(c, n);
    case NODE_BINARY:
        return check_binary(c, n);
    case NODE_UNARY:
        return check_unary(c, n);
    case NODE_PAREN:
        return check(c, n->paren);
    case NODE_SUBQUERY:
        if (n->subquery.inner->type != PROMQL_VECTOR)
            return FAIL_AT(n, "subquery is only allowed on instant vector, got %s instead",
                           promql_type_name(n->subquery.inner->type));
        return check(c, n->subquery.inner);
    default:
        return STATUS_OK;
    }
}

status promql_check(const promql_node *node, str query, error *err)
{
    checker c = { query, err };
    return check(&c, node);
}
