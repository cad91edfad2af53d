// SPDX-License-Identifier: Apache-2.0
/* A Pratt parser: operands by what they start with, operators by the precedence in their table row.
 * Nesting is limited, so that no query can exhaust the stack. Types are checked afterwards. */
#include "query/promql/parse.h"

#include <math.h>
#include <stdio.h>

const promql_operator promql_operators[OP_COUNT] = {
    [OP_OR] = { "or", 1, false, false, true,
                "All of the left, and of the right what has no match." },
    [OP_AND] = { "and", 2, false, false, true, "The left where the right has a match." },
    [OP_UNLESS] = { "unless", 2, false, false, true, "The left where the right has no match." },
    [OP_EQ] = { "==", 3, false, true, false, "Equal; keeps the left." },
    [OP_NE] = { "!=", 3, false, true, false, "Not equal; keeps the left." },
    [OP_GT] = { ">", 3, false, true, false, "Greater; keeps the left." },
    [OP_LT] = { "<", 3, false, true, false, "Less; keeps the left." },
    [OP_GE] = { ">=", 3, false, true, false, "Greater or equal; keeps the left." },
    [OP_LE] = { "<=", 3, false, true, false, "Less or equal; keeps the left." },
    [OP_TRIM_UPPER] = { "</", 3, false, false, false, "A histogram without what is above." },
    [OP_TRIM_LOWER] = { ">/", 3, false, false, false, "A histogram without what is below." },
    [OP_ADD] = { "+", 4, false, false, false, "Sum." },
    [OP_SUB] = { "-", 4, false, false, false, "Difference." },
    [OP_MUL] = { "*", 5, false, false, false, "Product." },
    [OP_DIV] = { "/", 5, false, false, false, "Quotient." },
    [OP_MOD] = { "%", 5, false, false, false, "Remainder with the sign of the left." },
    [OP_ATAN2] = { "atan2", 5, false, false, false, "Arc tangent of left / right, in radians." },
    [OP_POW] = { "^", 6, true, false, false, "Power; binds to the right." },
};

enum { PRECEDENCE_LOWEST = 1, PRECEDENCE_POWER = 6 };

const char *promql_type_name(promql_type t)
{
    static const char *const names[] = { "log lines", "scalar", "instant vector", "range vector",
                                         "string" };
    return names[t];
}

const token *parser_peek_second(const parser *p)
{
    return &p->tokens[p->tokens[p->at].kind == TOKEN_END ? p->at : p->at + 1];
}

bool token_is_word(const token *t, const char *word)
{
    return t->kind == TOKEN_IDENT && str_eq_nocase(t->text, str_c(word));
}

bool token_is_op(const token *t, const char *op)
{
    return t->kind == TOKEN_OP && str_is(t->text, op);
}

void parser_report_unexpected(parser *p, const token *t, const char *context, const char *expected)
{
    char what[128];
    str raw = str_slice(p->query, t->start, t->end);
    int length = (int)MIN(raw.len, 60);
    if (t->kind == TOKEN_END)
        snprintf(what, sizeof(what), "end of input");
    else if (t->kind == TOKEN_IDENT)
        snprintf(what, sizeof(what), "identifier \"%.*s\"", length, raw.ptr);
    else if (t->kind == TOKEN_NUMBER)
        snprintf(what, sizeof(what), "number \"%.*s\"", length, raw.ptr);
    else if (t->kind == TOKEN_DURATION)
        snprintf(what, sizeof(what), "duration \"%.*s\"", length, raw.ptr);
    else if (t->kind == TOKEN_STRING)
        snprintf(what, sizeof(what), "string %.*s", length, raw.ptr);
    else if (t->kind == TOKEN_OP)
        snprintf(what, sizeof(what), "<op:%.*s>", length, raw.ptr);
    else
        snprintf(what, sizeof(what), "\"%.*s\"", length, raw.ptr);
    promql_report_at(p->err, p->query, t->start, "unexpected %s%s%s%s%s", what,
                     context ? " in " : "", context ? context : "", expected ? ", expected " : "",
                     expected ? expected : "");
}

promql_node *parser_node(parser *p, promql_kind kind, uint32_t start)
{
    promql_node *n = ARENA_NEW(p->arena, promql_node);
    if (n) {
        n->kind = kind;
        n->start = n->end = start;
    }
    return n;
}

status parser_adopt(parser *p, promql_node *n, const promql_node *child)
{
    n->height = MAX(n->height, child->height + 1);
    if (n->height > PROMQL_HEIGHT_LIMIT)
        return promql_fail_at(p->err, p->query, n->start,
                              "the expression is more than %d operations deep",
                              PROMQL_HEIGHT_LIMIT);
    return STATUS_OK;
}

bool parser_append(parser *p, void *array, uint32_t count, size_t size, const void *item)
{
    void **items = array;
    if ((count & (count - 1)) == 0) {
        void *grown = arena_grow(p->arena, *items, count * size, (count ? count * 2 : 1) * size);
        if (!grown)
            return false;
        *items = grown;
    }
    memcpy((char *)*items + count * size, item, size);
    return true;
}

status parse_names(parser *p, const char *context, str **ret, uint32_t *ret_count)
{
    const token *t = parser_next(p);
    *ret = NULL;
    *ret_count = 0;
    if (t->kind != TOKEN_LPAREN)
        return parser_unexpected(p, t, context, "\"(\"");
    while (parser_peek(p)->kind != TOKEN_RPAREN) {
        t = parser_next(p);
        bool name = t->kind == TOKEN_STRING ||
                    (t->kind == TOKEN_IDENT && str_find_char(t->text, ':') == SIZE_MAX);
        if (!name || t->text.len == 0)
            return parser_unexpected(p, t, context, "label");
        if (!parser_append(p, ret, (*ret_count)++, sizeof(str), &t->text))
            return parser_no_memory(p);
        if (parser_peek(p)->kind == TOKEN_COMMA)
            parser_next(p);
        else if (parser_peek(p)->kind != TOKEN_RPAREN)
            return parser_unexpected(p, parser_peek(p), context, "\",\" or \")\"");
    }
    parser_next(p);
    return STATUS_OK;
}

/* ---- operands ---- */

static status parse_arguments(parser *p, const char *context, promql_node ***ret,
                              uint32_t *ret_count)
{
    *ret = NULL;
    *ret_count = 0;
    const token *open = parser_next(p);
    if (open->kind != TOKEN_LPAREN)
        return parser_unexpected(p, open, context, "\"(\"");
    while (parser_peek(p)->kind != TOKEN_RPAREN) {
        promql_node *arg;
        TRY(parse_expression(p, PRECEDENCE_LOWEST, &arg));
        if (!parser_append(p, ret, (*ret_count)++, sizeof(promql_node *), &arg))
            return parser_no_memory(p);
        if (parser_peek(p)->kind != TOKEN_COMMA)
            break;
        parser_next(p);
        if (parser_peek(p)->kind == TOKEN_RPAREN)
            return promql_fail_at(p->err, p->query, parser_peek(p)->start,
                                  "trailing commas not allowed in function call args");
    }
    if (parser_peek(p)->kind != TOKEN_RPAREN)
        return parser_unexpected(p, parser_peek(p), context, "\",\" or \")\"");
    parser_next(p);
    return STATUS_OK;
}

static status parse_call(parser *p, promql_node **ret)
{
    const token *name = parser_next(p);
    promql_node *n = parser_node(p, NODE_CALL, name->start);
    if (!n)
        return parser_no_memory(p);
    n->call.function = promql_function_find(name->text);
    if (!n->call.function)
        return promql_fail_at(p->err, p->query, name->start, "unknown function with name \"%.*s\"",
                              (int)MIN(name->text.len, 80), name->text.ptr);
    TRY(parse_arguments(p, "function call", &n->call.args, &n->call.arg_count));
    for (uint32_t i = 0; i < n->call.arg_count; i++)
        TRY(parser_adopt(p, n, n->call.args[i]));
    n->type = n->call.function->returns;
    *ret = n;
    return STATUS_OK;
}

static status parse_grouping(parser *p, promql_node *n)
{
    const token *t = parser_peek(p);
    if (!token_is_word(t, "by") && !token_is_word(t, "without"))
        return STATUS_OK;
    n->aggregate.without = token_is_word(t, "without");
    parser_next(p);
    return parse_names(p, "grouping opts", &n->aggregate.names, &n->aggregate.name_count);
}

static status parse_aggregate(parser *p, promql_node **ret)
{
    const token *name = parser_next(p);
    promql_node *n = parser_node(p, NODE_AGGREGATE, name->start);
    promql_node **args;
    uint32_t count;
    if (!n)
        return parser_no_memory(p);
    n->type = PROMQL_VECTOR;
    n->aggregate.aggregation = promql_aggregation_find(name->text);
    TRY(parse_grouping(p, n));
    TRY(parse_arguments(p, "aggregation", &args, &count));
    if (!n->aggregate.names && !n->aggregate.without)
        TRY(parse_grouping(p, n));
    uint32_t want = n->aggregate.aggregation->param == PROMQL_NONE ? 1 : 2;
    if (count == 0)
        return promql_fail_at(p->err, p->query, name->start,
                              "no arguments for aggregate expression provided");
    if (count != want)
        return promql_fail_at(p->err, p->query, name->start,
                              "wrong number of arguments for aggregate expression provided, "
                              "expected %u, got %u",
                              want, count);
    n->aggregate.inner = args[count - 1];
    n->aggregate.param = want == 2 ? args[0] : NULL;
    for (uint32_t i = 0; i < count; i++)
        TRY(parser_adopt(p, n, args[i]));
    *ret = n;
    return STATUS_OK;
}

static status parse_number(parser *p, promql_node **ret)
{
    const token *t = parser_next(p);
    promql_node *n = parser_node(p, NODE_NUMBER, t->start);
    if (!n)
        return parser_no_memory(p);
    n->type = PROMQL_SCALAR;
    n->number = token_is_word(t, "inf") ? INFINITY : token_is_word(t, "nan") ? NAN : t->number;
    n->is_duration = t->kind == TOKEN_DURATION;
    *ret = n;
    return STATUS_OK;
}

static status parse_string(parser *p, promql_node **ret)
{
    const token *t = parser_next(p);
    promql_node *n = parser_node(p, NODE_STRING, t->start);
    if (!n)
        return parser_no_memory(p);
    n->type = PROMQL_STRING;
    n->string = t->text;
    *ret = n;
    return STATUS_OK;
}

static status parse_paren(parser *p, promql_node **ret)
{
    const token *open = parser_next(p);
    promql_node *n = parser_node(p, NODE_PAREN, open->start);
    if (!n)
        return parser_no_memory(p);
    TRY(parse_expression(p, PRECEDENCE_LOWEST, &n->paren));
    if (parser_peek(p)->kind != TOKEN_RPAREN)
        return parser_unexpected(p, parser_peek(p), "parenthesized expression", "\")\"");
    parser_next(p);
    n->type = n->paren->type;
    *ret = n;
    return parser_adopt(p, n, n->paren);
}

static status parse_word(parser *p, promql_node **ret)
{
    static const char *const reserved[] = { "bool", "on", "ignoring", "group_left", "group_right" };
    const token *t = parser_peek(p), *second = parser_peek_second(p);
    bool called = second->kind == TOKEN_LPAREN;
    bool grouped = token_is_word(second, "by") || token_is_word(second, "without");
    if (promql_aggregation_find(t->text) && (called || grouped))
        return parse_aggregate(p, ret);
    if (called)
        return parse_call(p, ret);
    if (token_is_word(t, "inf") || token_is_word(t, "nan"))
        return parse_number(p, ret);
    for (size_t i = 0; i < ARRAY_LEN(reserved); i++)
        if (token_is_word(t, reserved[i]))
            return parser_unexpected(p, t, NULL, NULL);
    return parse_vector_selector(p, ret);
}

static status parse_primary(parser *p, promql_node **ret)
{
    const token *t = parser_peek(p);
    *ret = NULL;
    if (p->operand) {
        TRY(p->operand(p, ret));
        if (*ret)
            return STATUS_OK;
    }
    switch (t->kind) {
    case TOKEN_NUMBER:
    case TOKEN_DURATION:
        return parse_number(p, ret);
    case TOKEN_STRING:
        return parse_string(p, ret);
    case TOKEN_LPAREN:
        return parse_paren(p, ret);
    case TOKEN_LBRACE:
        return parse_vector_selector(p, ret);
    case TOKEN_IDENT:
        return parse_word(p, ret);
    default:
        if (t->kind == TOKEN_END && p->at == 0)
            return promql_fail_at(p->err, p->query, t->start, "no expression found in input");
        return parser_unexpected(p, t, NULL, NULL);
    }
}

static uint32_t last_end(const parser *p)
{
    return p->at ? p->tokens[p->at - 1].end : 0;
}

static status parse_operand(parser *p, promql_node **ret)
{
    const token *t = parser_peek(p);
    bool negative = token_is_op(t, "-");
    if (!negative && !token_is_op(t, "+")) {
        TRY(parse_primary(p, ret));
        (*ret)->end = last_end(p);
        return p->operand ? STATUS_OK : parse_postfix(p, ret);
    }
    parser_next(p);
    promql_node *operand;
    TRY(parse_expression(p, PRECEDENCE_POWER, &operand));
    if (operand->kind == NODE_NUMBER) {
        operand->number = negative ? -operand->number : operand->number;
        operand->start = t->start;
        *ret = operand;
        return STATUS_OK;
    }
    promql_node *n = parser_node(p, NODE_UNARY, t->start);
    if (!n)
        return parser_no_memory(p);
    n->unary.op = negative ? OP_SUB : OP_ADD;
    n->unary.operand = operand;
    n->type = operand->type;
    n->end = operand->end;
    *ret = n;
    return parser_adopt(p, n, operand);
}

/* ---- operators ---- */

static promql_op binary_operator(const token *t)
{
    if (t->kind != TOKEN_OP && t->kind != TOKEN_IDENT)
        return OP_NONE;
    for (int op = OP_NONE + 1; op < OP_COUNT; op++)
        if (str_eq_nocase(t->text, str_c(promql_operators[op].text)))
            return (promql_op)op;
    return OP_NONE;
}

static status parse_matching(parser *p, promql_binary *b)
{
    if (token_is_word(parser_peek(p), "bool")) {
        parser_next(p);
        b->returns_bool = true;
    }
    const token *t = parser_peek(p);
    if (!token_is_word(t, "on") && !token_is_word(t, "ignoring"))
        return STATUS_OK;
    b->on = token_is_word(t, "on");
    b->stated = true;
    parser_next(p);
    TRY(parse_names(p, "grouping opts", &b->names, &b->name_count));
    t = parser_peek(p);
    bool left = token_is_word(t, "group_left");
    if (!left && !token_is_word(t, "group_right"))
        return STATUS_OK;
    parser_next(p);
    b->cardinality = left ? MATCH_MANY_TO_ONE : MATCH_ONE_TO_MANY;
    if (parser_peek(p)->kind != TOKEN_LPAREN)
        return STATUS_OK;
    return parse_names(p, "grouping opts", &b->include, &b->include_count);
}

static status parse_binary(parser *p, promql_op op, promql_node **left)
{
    const promql_operator *row = &promql_operators[op];
    promql_node *n = parser_node(p, NODE_BINARY, (*left)->start);
    if (!n)
        return parser_no_memory(p);
    parser_next(p);
    n->binary.op = op;
    n->binary.left = *left;
    TRY(parse_matching(p, &n->binary));
    TRY(parse_expression(p, row->precedence + (row->right ? 0 : 1), &n->binary.right));
    bool scalars = n->binary.left->type == PROMQL_SCALAR && n->binary.right->type == PROMQL_SCALAR;
    n->type = scalars ? PROMQL_SCALAR : PROMQL_VECTOR;
    n->end = n->binary.right->end;
    TRY(parser_adopt(p, n, n->binary.left));
    TRY(parser_adopt(p, n, n->binary.right));
    *left = n;
    return STATUS_OK;
}

status parse_expression(parser *p, uint8_t min_precedence, promql_node **ret)
{
    if (++p->depth > PROMQL_DEPTH_LIMIT)
        return promql_fail_at(p->err, p->query, parser_peek(p)->start,
                              "expressions are nested deeper than %d levels", PROMQL_DEPTH_LIMIT);
    promql_node *left;
    TRY(parse_operand(p, &left));
    for (;;) {
        promql_op op = binary_operator(parser_peek(p));
        if (op == OP_NONE || promql_operators[op].precedence < min_precedence)
            break;
        TRY(parse_binary(p, op, &left));
    }
    p->depth--;
    *ret = left;
    return STATUS_OK;
}

static status parser_init(parser *p, str query, arena *a, error *err)
{
    token *tokens;
    uint32_t count;
    if (query.len > PROMQL_QUERY_LIMIT) {
        fail(err, STATUS_INVALID, "query of %zu bytes, the limit is %zu", query.len,
             PROMQL_QUERY_LIMIT);
        return STATUS_INVALID;
    }
    TRY(promql_lex(&tokens, &count, query, LEX_PROMQL, a, err));
    *p = (parser){ .query = query, .arena = a, .err = err, .tokens = tokens };
    return STATUS_OK;
}

status parse_all(parser *p, const promql_node **ret)
{
    promql_node *root;
    TRY(parse_expression(p, PRECEDENCE_LOWEST, &root));
    if (parser_peek(p)->kind != TOKEN_END)
        return parser_unexpected(p, parser_peek(p), NULL, NULL);
    TRY(promql_check(root, p->query, p->err));
    *ret = root;
    return STATUS_OK;
}

status promql_parse(const promql_node **ret, str query, uint32_t features, arena *a, error *err)
{
    parser p;
    TRY(parser_init(&p, query, a, err));
    p.features = features;
    return parse_all(&p, ret);
}

status promql_parse_selector(const promql_node **ret, str query, arena *a, error *err)
{
    TRY(promql_parse(ret, query, 0, a, err));
    if ((*ret)->kind != NODE_VECTOR)
        return fail(err, STATUS_INVALID, "1:1: parse error: expected a series selector, got %s",
                    promql_type_name((*ret)->type));
    return STATUS_OK;
}
