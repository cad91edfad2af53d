// SPDX-License-Identifier: Apache-2.0
/* A Pratt parser: operands by what they start with, operators by the precedence in their table row.
 * Nesting is limited, so that no query can exhaust the stack. Types are checked afterwards. */
#include "query/promql/parse.h"
#include "query/labels.h"
#include "query/promql/print.h"

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

static const struct {
    const char *text;
    word_class class;
    bool is_label;  /* may be a label's name in by (…) and on (…) */
    bool is_metric; /* may be a metric's name */
} words[] = {
    { "and", WORD_OPERATOR, true, true },         { "or", WORD_OPERATOR, true, true },
    { "unless", WORD_OPERATOR, true, true },      { "atan2", WORD_OPERATOR, true, false },
    { "offset", WORD_KEYWORD, true, true },       { "smoothed", WORD_KEYWORD, true, true },
    { "anchored", WORD_KEYWORD, true, true },     { "by", WORD_KEYWORD, true, true },
    { "without", WORD_KEYWORD, false, true },     { "on", WORD_KEYWORD, true, false },
    { "ignoring", WORD_KEYWORD, true, false },    { "group_left", WORD_KEYWORD, true, false },
    { "group_right", WORD_KEYWORD, true, false }, { "bool", WORD_KEYWORD, true, false },
    { "fill", WORD_KEYWORD, true, true },         { "fill_left", WORD_KEYWORD, true, true },
    { "fill_right", WORD_KEYWORD, true, true },   { "start", WORD_CONTEXT, true, true },
    { "end", WORD_CONTEXT, true, true },          { "step", WORD_CONTEXT, true, true },
    { "range", WORD_CONTEXT, true, true },        { "max_of", WORD_CONTEXT, true, true },
    { "min_of", WORD_CONTEXT, true, true },       { "inf", WORD_NUMBER, false, false },
    { "nan", WORD_NUMBER, false, false },
};

static size_t find_word(str text)
{
    size_t i = 0;
    while (i < ARRAY_LEN(words) && !str_eq_nocase(text, str_c(words[i].text)))
        i++;
    return i;
}

bool promql_word_is_label(str name)
{
    size_t i = find_word(name);
    return i == ARRAY_LEN(words) || words[i].is_label;
}

/* "fill" is a keyword only where a parenthesis follows, so that a metric may be called so. */
static bool is_fill(const token *t)
{
    return token_is_word(t, "fill") || token_is_word(t, "fill_left") ||
           token_is_word(t, "fill_right");
}

word_class parser_word(const token *t)
{
    if (t->kind != TOKEN_IDENT || t->in_braces)
        return WORD_NAME;
    if (is_fill(t) && t[1].kind != TOKEN_LPAREN) /* a word is never the last token */
        return WORD_NAME;
    size_t i = find_word(t->text);
    if (i < ARRAY_LEN(words))
        return words[i].class;
    return promql_aggregation_find(t->text) ? WORD_AGGREGATION : WORD_NAME;
}

const char *promql_type_name(promql_type t)
{
    static const char *const names[] = { "log lines", "scalar", "instant vector", "range vector",
                                         "string" };
    return names[t];
}

const token *parser_peek_second(const parser *p)
{
    const token *t = &p->tokens[p->at];
    return t->kind == TOKEN_END || t->kind == TOKEN_ERROR ? t : t + 1;
}

bool token_is_word(const token *t, const char *word)
{
    return t->kind == TOKEN_IDENT && str_eq_nocase(t->text, str_c(word));
}

bool token_is_op(const token *t, const char *op)
{
    return t->kind == TOKEN_OP && str_is(t->text, op);
}

/* At most ten characters of a text are shown, but names whole. */
static void print_token(buf *out, const token *t, str raw, word_class class)
{
    bool whole = class == WORD_NAME && t->kind == TOKEN_IDENT;
    size_t end = 0;
    for (int i = 0; i < 10 && end < raw.len; i++)
        do
            end++;
        while (end < raw.len && ((unsigned char)raw.ptr[end] & 0xc0) == 0x80);
    bool cut = !whole && raw.len > 10;
    print_quoted(out, whole ? str_slice(raw, 0, 200) : cut ? str_slice(raw, 0, end) : raw);
    if (cut)
        buf_lit(out, "...");
}

static void describe(const parser *p, buf *out, const token *t)
{
    str raw = str_slice(p->query, t->start, t->end);
    word_class class = parser_word(t);
    bool op = t->kind == TOKEN_AT || (t->kind == TOKEN_OP && !str_is(raw, "="));
    if (t->kind == TOKEN_END) {
        buf_lit(out, "end of input");
    } else if (op || class == WORD_OPERATOR) {
        buf_fmt(out, "<op:%.*s>", STR_ARG(raw));
    } else if (class == WORD_KEYWORD) {
        buf_fmt(out, "<%.*s>", STR_ARG(raw));
    } else if (class == WORD_AGGREGATION) {
        buf_fmt(out, "<aggr:%.*s>", STR_ARG(raw));
    } else {
        bool metric = str_find_char(raw, ':') != SIZE_MAX;
        buf_str(out, str_c(t->kind == TOKEN_STRING                           ? "string "
                           : t->kind == TOKEN_DURATION                       ? "duration "
                           : t->kind == TOKEN_NUMBER || class == WORD_NUMBER ? "number "
                           : t->kind == TOKEN_IDENT && class == WORD_NAME && metric
                               ? "metric identifier "
                           : t->kind == TOKEN_IDENT && class == WORD_NAME ? "identifier "
                                                                          : ""));
        if (p->operand && t->kind == TOKEN_STRING)
            buf_str(out, str_slice(raw, 0, 60));
        else
            print_token(out, t, raw, class);
    }
}

void parser_report_unexpected(parser *p, const token *t, const char *context, const char *expected)
{
    if (t->kind == TOKEN_ERROR) {
        promql_report_at(p->err, p->query, t->start, "%.*s", STR_ARG(t->text));
        return;
    }
    if (!context && p->aggregations && !p->operand)
        context = "aggregation";
    buf what;
    buf_init(&what, KiB(4));
    describe(p, &what, t);
    promql_report_at(p->err, p->query, t->start, "unexpected %.*s%s%s%s%s",
                     STR_ARG(buf_view(&what)), context ? " in " : "", context ? context : "",
                     expected ? ", expected " : "", expected ? expected : "");
    buf_done(&what);
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
        size_t word = t->kind == TOKEN_IDENT ? find_word(t->text) : ARRAY_LEN(words);
        if (t->kind != TOKEN_STRING &&
            (t->kind != TOKEN_IDENT || (word < ARRAY_LEN(words) && !words[word].is_label)))
            return parser_unexpected(p, t, context, "label");
        if (t->text.len == 0)
            return promql_fail_at(p->err, p->query, t->start,
                                  "invalid label name for grouping: \"\"");
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

static bool is_metric(const token *t)
{
    size_t word = find_word(t->text);
    return word == ARRAY_LEN(words) || words[word].is_metric;
}

/* Errors of the lexer count as one: they are told by whom they meet. */
static bool starts_operand(const token *t)
{
    if (t->kind == TOKEN_IDENT)
        return is_metric(t) || parser_word(t) == WORD_NUMBER;
    return t->kind == TOKEN_NUMBER || t->kind == TOKEN_DURATION || t->kind == TOKEN_STRING ||
           t->kind == TOKEN_LPAREN || t->kind == TOKEN_LBRACE || t->kind == TOKEN_ERROR ||
           token_is_op(t, "-") || token_is_op(t, "+");
}

static status parse_arguments(parser *p, promql_node ***ret, uint32_t *ret_count)
{
    *ret = NULL;
    *ret_count = 0;
    const token *open = parser_next(p);
    if (open->kind != TOKEN_LPAREN)
        return parser_unexpected(p, open, NULL, NULL);
    while (parser_peek(p)->kind != TOKEN_RPAREN) {
        promql_node *arg;
        TRY(parse_expression(p, PRECEDENCE_LOWEST, &arg));
        if (!parser_append(p, ret, (*ret_count)++, sizeof(promql_node *), &arg))
            return parser_no_memory(p);
        if (parser_peek(p)->kind != TOKEN_COMMA)
            break;
        const token *comma = parser_next(p);
        if (!starts_operand(parser_peek(p)))
            return promql_fail_at(p->err, p->query, comma->start,
                                  "trailing commas not allowed in function call args");
    }
    if (parser_peek(p)->kind != TOKEN_RPAREN)
        return parser_unexpected(p, parser_peek(p), NULL, NULL);
    parser_next(p);
    return STATUS_OK;
}

static status parse_call(parser *p, promql_node **ret)
{
    const token *name = parser_next(p);
    promql_node *n = parser_node(p, NODE_CALL, name->start);
    if (!n)
        return parser_no_memory(p);
    TRY(parse_arguments(p, &n->call.args, &n->call.arg_count));
    n->call.function = promql_function_find(name->text);
    if (!n->call.function)
        return promql_fail_at(p->err, p->query, name->start, "unknown function with name \"%.*s\"",
                              (int)MIN(name->text.len, 80), name->text.ptr);
    if (n->call.function->feature & ~p->features)
        return promql_fail_at(p->err, p->query, name->start, "function \"%s\" is not enabled",
                              n->call.function->name);
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

static status check_arguments(parser *p, const promql_aggregation *a, const token *name,
                              uint32_t count)
{
    uint32_t want = a->param == PROMQL_NONE ? 1 : 2;
    if (count == 0)
        return promql_fail_at(p->err, p->query, name->start,
                              "no arguments for aggregate expression provided");
    if (a->feature & ~p->features)
        return promql_fail_at(p->err, p->query, name->start,
                              "%s() is experimental and must be enabled with "
                              "--enable-feature=promql-experimental-functions",
                              a->name);
    if (count != want)
        return promql_fail_at(p->err, p->query, name->start,
                              "wrong number of arguments for aggregate expression provided, "
                              "expected %u, got %u",
                              want, count);
    return STATUS_OK;
}

static status parse_aggregate(parser *p, promql_node **ret)
{
    const token *name = parser_next(p);
    promql_node *n = parser_node(p, NODE_AGGREGATE, name->start);
    promql_node **args;
    uint32_t count;
    if (!n)
        return parser_no_memory(p);
    p->aggregations++;
    n->type = PROMQL_VECTOR;
    n->aggregate.aggregation = promql_aggregation_find(name->text);
    TRY(parse_grouping(p, n));
    TRY(parse_arguments(p, &args, &count));
    if (!n->aggregate.names && !n->aggregate.without)
        TRY(parse_grouping(p, n));
    p->aggregations--;
    if (parser_peek(p)->kind == TOKEN_ERROR)
        return parser_unexpected(p, parser_peek(p), NULL, NULL);
    TRY(check_arguments(p, n->aggregate.aggregation, name, count));
    n->aggregate.inner = args[count - 1];
    n->aggregate.param = count == 2 ? args[0] : NULL;
    for (uint32_t i = 0; i < count; i++)
        TRY(parser_adopt(p, n, args[i]));
    *ret = n;
    return STATUS_OK;
}

status parse_literal(parser *p, double *ret)
{
    const token *t = parser_next(p);
    if (t->wrong.len)
        return promql_fail_at(p->err, p->query, t->start, "%.*s", STR_ARG(t->wrong));
    *ret = token_is_word(t, "inf")   ? (double)INFINITY
           : token_is_word(t, "nan") ? (double)NAN
                                     : t->number;
    return STATUS_OK;
}

static status parse_number(parser *p, promql_node **ret)
{
    const token *t = parser_peek(p);
    promql_node *n = parser_node(p, NODE_NUMBER, t->start);
    if (!n)
        return parser_no_memory(p);
    n->type = PROMQL_SCALAR;
    TRY(parse_literal(p, &n->number));
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
        return parser_unexpected(p, parser_peek(p), NULL, NULL);
    parser_next(p);
    n->type = n->paren->type;
    *ret = n;
    return parser_adopt(p, n, n->paren);
}

static status parse_word(parser *p, promql_node **ret)
{
    const token *t = parser_peek(p), *second = parser_peek_second(p);
    bool called = second->kind == TOKEN_LPAREN;
    bool grouped = token_is_word(second, "by") || token_is_word(second, "without");
    word_class class = parser_word(t);
    if (class == WORD_AGGREGATION && (called || grouped))
        return parse_aggregate(p, ret);
    if (class == WORD_NUMBER)
        return parse_number(p, ret);
    bool plain = class == WORD_NAME && str_find_char(t->text, ':') == SIZE_MAX;
    if (called && (plain || class == WORD_CONTEXT))
        return parse_call(p, ret);
    if (!is_metric(t))
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
            return promql_fail_at(p->err, p->query, 0, "no expression found in input");
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

/* (1.5), (-5m) */
static status parse_fill_value(parser *p, double *ret)
{
    const token *open = parser_next(p);
    if (open->kind != TOKEN_LPAREN)
        return parser_unexpected(p, open, NULL, NULL);
    bool negative = token_is_op(parser_peek(p), "-");
    if (negative || token_is_op(parser_peek(p), "+"))
        parser_next(p);
    const token *t = parser_peek(p);
    if (t->kind != TOKEN_NUMBER && t->kind != TOKEN_DURATION && parser_word(t) != WORD_NUMBER)
        return parser_unexpected(p, t, NULL, NULL);
    TRY(parse_literal(p, ret));
    *ret = negative ? -*ret : *ret;
    const token *close = parser_next(p);
    return close->kind == TOKEN_RPAREN ? STATUS_OK : parser_unexpected(p, close, NULL, NULL);
}

static status parse_fill(parser *p, promql_binary *b)
{
    for (;;) {
        const token *t = parser_peek(p);
        bool left = token_is_word(t, "fill_left"), right = token_is_word(t, "fill_right");
        bool both = token_is_word(t, "fill") && !b->has_fill_left && !b->has_fill_right;
        double value;
        if (parser_word(t) != WORD_KEYWORD ||
            !(both || (left && !b->has_fill_left) || (right && !b->has_fill_right)))
            return STATUS_OK;
        parser_next(p);
        TRY(parse_fill_value(p, &value));
        if (both || left)
            b->fill_left = value;
        if (both || right)
            b->fill_right = value;
        b->has_fill_left = b->has_fill_left || both || left;
        b->has_fill_right = b->has_fill_right || both || right;
    }
}

static status parse_group(parser *p, promql_binary *b)
{
    const token *t = parser_peek(p);
    bool left = token_is_word(t, "group_left");
    if (!left && !token_is_word(t, "group_right"))
        return STATUS_OK;
    parser_next(p);
    b->cardinality = left ? MATCH_MANY_TO_ONE : MATCH_ONE_TO_MANY;
    if (parser_peek(p)->kind != TOKEN_LPAREN)
        return STATUS_OK;
    return parse_names(p, "grouping opts", &b->include, &b->include_count);
}

static status parse_matching(parser *p, promql_binary *b)
{
    if (token_is_word(parser_peek(p), "bool")) {
        parser_next(p);
        b->returns_bool = true;
    }
    const token *t = parser_peek(p);
    if (token_is_word(t, "on") || token_is_word(t, "ignoring")) {
        b->on = token_is_word(t, "on");
        b->stated = true;
        parser_next(p);
        TRY(parse_names(p, "grouping opts", &b->names, &b->name_count));
        TRY(parse_group(p, b));
    }
    return parse_fill(p, b);
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
    if ((n->binary.has_fill_left || n->binary.has_fill_right) &&
        !(p->features & PROMQL_BINOP_FILL_MODIFIERS))
        return promql_fail_at(p->err, p->query, n->start,
                              "binop fill modifiers are experimental and not enabled");
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

static status parser_init(parser *p, str query, uint32_t features, arena *a, error *err)
{
    token *tokens;
    uint32_t count;
    if (query.len > PROMQL_QUERY_LIMIT) {
        fail(err, STATUS_INVALID, "query of %zu bytes, the limit is %zu", query.len,
             PROMQL_QUERY_LIMIT);
        return STATUS_INVALID;
    }
    lex_language language = features & PROMQL_UNQUOTED_UTF8_NAMES ? LEX_PROMQL_UTF8 : LEX_PROMQL;
    TRY(promql_lex(&tokens, &count, query, language, a, err));
    *p = (parser){ .query = query, .arena = a, .err = err, .tokens = tokens, .features = features };
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
    TRY(parser_init(&p, query, features, a, err));
    return parse_all(&p, ret);
}

status promql_parse_selector(const promql_node **ret, str query, arena *a, error *err)
{
    parser p;
    promql_node *n;
    TRY(parser_init(&p, query, 0, a, err));
    const token *t = parser_peek(&p);
    if (t->kind != TOKEN_LBRACE && (t->kind != TOKEN_IDENT || !is_metric(t)))
        return parser_unexpected(&p, t, NULL, NULL);
    TRY(parse_vector_selector(&p, &n));
    if (parser_peek(&p)->kind != TOKEN_END)
        return parser_unexpected(&p, parser_peek(&p), NULL, NULL);
    if (n->selector.takes_all)
        return fail(err, STATUS_INVALID, "match[] must contain at least one non-empty matcher");
    n->end = p.tokens[p.at - 1].end;
    *ret = n;
    return STATUS_OK;
}
