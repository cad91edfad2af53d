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
    TRY(check(c, n));
    if (n->type == want)
        return STATUS_OK;
    return FAIL_AT(n, "expected type %s in %s%s%s%s, got %s", promql_type_name(want), context,
                   name ? " \"" : "", name ? name : "", name ? "\"" : "",
                   promql_type_name(n->type));
}

/* The second argument of info() is a selector of labels, not of series. */
static status check_info(checker *c, const promql_node *n)
{
    const promql_node *arg = n->call.args[1];
    if (arg->type != PROMQL_VECTOR)
        return FAIL_AT(n, "expected type %s in call to function \"info\", got %s",
                       promql_type_name(PROMQL_VECTOR), promql_type_name(arg->type));
    if (arg->kind != NODE_VECTOR)
        return FAIL_AT(arg, "expected label selectors only");
    if (arg->selector.name.len)
        return FAIL_AT(arg, "expected label selectors only, got vector selector instead");
    return STATUS_OK;
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
    bool info = strcmp(f->name, "info") == 0;
    if (info && count > 1)
        TRY(check_info(c, n));
    for (uint32_t i = 0; i < count; i++) {
        if (i < PROMQL_MAX_ARGS && f->args[i] != PROMQL_NONE)
            last = i;
        if (!info || i == 0) /* the other one was seen above, and may take all */
            TRY(expect_type(c, n->call.args[i], f->args[last], "call to function", f->name));
    }
    return STATUS_OK;
}

static status check_aggregate(checker *c, const promql_node *n)
{
    const promql_aggregate *a = &n->aggregate;
    TRY(expect_type(c, a->inner, PROMQL_VECTOR, "aggregation expression", NULL));
    return a->param ? expect_type(c, a->param, a->aggregation->param, "aggregation parameter", NULL)
                    : STATUS_OK;
}

#define FAIL_AT_OPERATOR(node, ...) \
    promql_fail_at(c->err, c->query, operator_position(c, node), __VA_ARGS__)

/* Behind the left operand, past the space. */
static uint32_t operator_position(const checker *c, const promql_node *n)
{
    uint32_t at = n->binary.left->end;
    while (at < c->query.len && strchr(" \t\n\r", c->query.ptr[at]))
        at++;
    return at;
}

static status check_include(checker *c, const promql_node *n)
{
    const promql_binary *b = &n->binary;
    for (uint32_t i = 0; b->on && i < b->name_count; i++)
        for (uint32_t k = 0; k < b->include_count; k++)
            if (str_eq(b->names[i], b->include[k]))
                return FAIL_AT_OPERATOR(
                    n, "label \"%.*s\" must not occur in ON and GROUP clause at once",
                    STR_ARG(str_slice(b->names[i], 0, 80)));
    return STATUS_OK;
}

static bool is_vector_matching(const promql_binary *b)
{
    return b->left->type == PROMQL_VECTOR && b->right->type == PROMQL_VECTOR;
}

/* on, ignoring, group_left and fill where they mean something. */
static status check_matching(checker *c, const promql_node *n)
{
    const promql_binary *b = &n->binary;
    const promql_operator *op = &promql_operators[b->op];
    bool fill = b->has_fill_left || b->has_fill_right;
    if (!is_vector_matching(b)) {
        if (b->name_count)
            return FAIL_AT(n, "vector matching only allowed between instant vectors");
        if (fill)
            return FAIL_AT(n, "filling in missing series only allowed between instant vectors");
        return STATUS_OK;
    }
    if (op->set && b->cardinality != MATCH_ONE_TO_ONE)
        return FAIL_AT(n, "no grouping allowed for \"%s\" operation", op->text);
    if (op->set && fill)
        return FAIL_AT(n, "filling in missing series not allowed for set operators");
    return STATUS_OK;
}

static status check_binary(checker *c, const promql_node *n)
{
    const promql_binary *b = &n->binary;
    const promql_operator *op = &promql_operators[b->op];
    bool left_scalar = b->left->type == PROMQL_SCALAR,
         right_scalar = b->right->type == PROMQL_SCALAR;
    TRY(check(c, b->left));
    TRY(check(c, b->right));
    if (b->returns_bool && !op->comparison)
        return FAIL_AT_OPERATOR(n, "bool modifier can only be used on comparison operators");
    if (op->comparison && !b->returns_bool && left_scalar && right_scalar)
        return FAIL_AT_OPERATOR(n, "comparisons between scalars must use BOOL modifier");
    TRY(check_include(c, n));
    const promql_node *sides[] = { b->left, b->right };
    for (int i = 0; i < 2; i++) {
        if (sides[i]->type != PROMQL_SCALAR && sides[i]->type != PROMQL_VECTOR)
            return FAIL_AT(sides[i],
                           "binary expression must contain only scalar and instant vector types");
    }
    TRY(check_matching(c, n));
    if ((left_scalar || right_scalar) && op->set)
        return FAIL_AT(n, "set operator \"%s\" not allowed in binary scalar expression", op->text);
    return STATUS_OK;
}

static status check_unary(checker *c, const promql_node *n)
{
    const promql_node *operand = n->unary.operand;
    TRY(check(c, operand));
    if (operand->type != PROMQL_SCALAR && operand->type != PROMQL_VECTOR)
        return FAIL_AT(n,
                       "unary expression only allowed on expressions of type scalar or instant "
                       "vector, got \"%s\"",
                       promql_type_name(operand->type));
    return STATUS_OK;
}

static status check_subquery(checker *c, const promql_node *n)
{
    static const char *const names[] = { "none", "scalar", "vector", "matrix", "string" };
    TRY(check(c, n->subquery.inner));
    if (n->subquery.inner->type != PROMQL_VECTOR)
        return FAIL_AT(n, "subquery is only allowed on instant vector, got %s instead",
                       names[n->subquery.inner->type]);
    return STATUS_OK;
}

/* The name in front of the braces is the last matcher. */
static status check_selector(checker *c, const promql_node *n)
{
    const promql_selector *s = &n->selector;
    for (uint32_t i = 0; s->name.len && i + 1 < s->matcher_count; i++)
        if (str_is(s->matchers[i].name, "__name__"))
            return FAIL_AT(n, "metric name must not be set twice: \"%.*s\" or \"%.*s\"",
                           STR_ARG(str_slice(s->name, 0, 80)),
                           STR_ARG(str_slice(s->matchers[i].value, 0, 80)));
    if (s->takes_all)
        return FAIL_AT(n, "vector selector must contain at least one non-empty matcher");
    return STATUS_OK;
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
        return check_subquery(c, n);
    case NODE_VECTOR:
    case NODE_MATRIX:
        return check_selector(c, n);
    default:
        return STATUS_OK;
    }
}

status promql_check(const promql_node *node, str query, error *err)
{
    checker c = { query, err };
    return check(&c, node);
}
