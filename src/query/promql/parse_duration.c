// SPDX-License-Identifier: Apache-2.0
/* Durations that are computed: [5m * 2], [step() + 1s], offset (range() / 2), min_of(step(), 1h).
 * A number alone stays a literal; in parentheses it is DURATION_PLUS, so that it prints as it was
 * written. */
#include "query/promql/parse.h"

#define LARGEST_SECONDS 9223372036.854775807 /* as nanoseconds it fits into int64 */

typedef struct {
    parser *p;
    const char *context, *expected; /* of an unexpected token */
} reader;

static const struct {
    const char *op;
    promql_duration_kind kind;
    uint8_t precedence;
} operators[] = { { "+", DURATION_ADD, 1 }, { "-", DURATION_SUB, 1 }, { "*", DURATION_MUL, 2 },
                  { "/", DURATION_DIV, 2 }, { "%", DURATION_MOD, 2 }, { "^", DURATION_POW, 3 } };

static const struct {
    const char *name;
    promql_duration_kind kind;
    int args;
} functions[] = { { "step", DURATION_STEP, 0 },
                  { "range", DURATION_RANGE, 0 },
                  { "min_of", DURATION_MIN_OF, 2 },
                  { "max_of", DURATION_MAX_OF, 2 } };

static status read_duration(reader *r, uint8_t min_precedence, promql_duration **ret);

static status unexpected(reader *r, const token *t)
{
    return parser_unexpected(r->p, t, r->context, r->expected);
}

static status out_of_range(reader *r, uint32_t at)
{
    return promql_fail_at(r->p->err, r->p->query, at, "duration out of range");
}

static promql_duration *new_duration(reader *r, promql_duration_kind kind, uint32_t start)
{
    promql_duration *d = ARENA_NEW(r->p->arena, promql_duration);
    if (d) {
        d->kind = kind;
        d->start = d->end = start;
    }
    return d;
}

static status adopt(reader *r, promql_duration *d, const promql_duration *left,
                    const promql_duration *right)
{
    d->left = left;
    d->right = right;
    for (int i = 0; i < 2; i++) {
        const promql_duration *child = i ? right : left;
        d->height = MAX(d->height, child ? child->height + 1 : 0);
    }
    if (d->height > PROMQL_HEIGHT_LIMIT)
        return promql_fail_at(r->p->err, r->p->query, d->start,
                              "the expression is more than %d operations deep",
                              PROMQL_HEIGHT_LIMIT);
    return STATUS_OK;
}

static bool is_literal(const token *t)
{
    return t->kind == TOKEN_NUMBER || t->kind == TOKEN_DURATION || parser_word(t) == WORD_NUMBER;
}

static bool is_sign(const token *t)
{
    return token_is_op(t, "-") || token_is_op(t, "+");
}

static status read_literal(reader *r, promql_duration **ret)
{
    const token *t = parser_peek(r->p);
    promql_duration *d = new_duration(r, DURATION_LITERAL, t->start);
    if (!d)
        return parser_no_memory(r->p);
    d->end = t->end;
    d->is_duration = t->kind == TOKEN_DURATION;
    TRY(parse_literal(r->p, &d->number));
    if (d->number > LARGEST_SECONDS || d->number < -LARGEST_SECONDS)
        return out_of_range(r, t->start);
    *ret = d;
    return STATUS_OK;
}

static size_t find_function(const token *t)
{
    size_t i = 0;
    while (i < ARRAY_LEN(functions) && !token_is_word(t, functions[i].name))
        i++;
    return i;
}

static status read_call(reader *r, size_t function, promql_duration **ret)
{
    const token *name = parser_next(r->p), *t = parser_next(r->p);
    promql_duration *d = new_duration(r, functions[function].kind, name->start), *args[2] = { 0 };
    if (!d)
        return parser_no_memory(r->p);
    if (t->kind != TOKEN_LPAREN)
        return unexpected(r, t);
    for (int i = 0; i < functions[function].args; i++) {
        if (i > 0 && (t = parser_next(r->p))->kind != TOKEN_COMMA)
            return unexpected(r, t);
        TRY(read_duration(r, 1, &args[i]));
    }
    t = parser_next(r->p);
    if (t->kind != TOKEN_RPAREN)
        return unexpected(r, t);
    d->end = t->end;
    *ret = d;
    return adopt(r, d, args[0], args[1]);
}

/* A literal in parentheses needs a node that has them. */
static status in_parens(reader *r, promql_duration **d, uint32_t start, uint32_t end)
{
    if ((*d)->kind == DURATION_LITERAL) {
        promql_duration *plus = new_duration(r, DURATION_PLUS, start);
        if (!plus)
            return parser_no_memory(r->p);
        plus->end = end;
        TRY(adopt(r, plus, NULL, *d));
        *d = plus;
    }
    (*d)->parens = true;
    return STATUS_OK;
}

static status read_parens(reader *r, promql_duration **ret)
{
    const token *open = parser_next(r->p);
    TRY(read_duration(r, 1, ret));
    const token *close = parser_next(r->p);
    if (close->kind != TOKEN_RPAREN)
        return unexpected(r, close);
    return in_parens(r, ret, open->start, close->end);
}

/* +d is d, and -5m is a literal. */
static status apply_sign(reader *r, const token *sign, promql_duration **d)
{
    bool negative = token_is_op(sign, "-");
    if ((*d)->kind == DURATION_LITERAL) {
        (*d)->number = negative ? -(*d)->number : (*d)->number;
        (*d)->start = sign->start;
        return STATUS_OK;
    }
    if (!negative)
        return STATUS_OK;
    promql_duration *minus = new_duration(r, DURATION_MINUS, sign->start);
    if (!minus)
        return parser_no_memory(r->p);
    minus->end = (*d)->end;
    TRY(adopt(r, minus, NULL, *d));
    *d = minus;
    return STATUS_OK;
}

static status read_operand(reader *r, promql_duration **ret)
{
    const token *t = parser_peek(r->p);
    if (is_sign(t)) {
        parser_next(r->p);
        TRY(read_duration(r, 3, ret));
        return apply_sign(r, t, ret);
    }
    if (is_literal(t))
        return read_literal(r, ret);
    if (t->kind == TOKEN_LPAREN)
        return read_parens(r, ret);
    size_t function = find_function(t);
    return function < ARRAY_LEN(functions) ? read_call(r, function, ret) : unexpected(r, t);
}

static size_t find_operator(const token *t)
{
    size_t i = 0;
    while (i < ARRAY_LEN(operators) && !token_is_op(t, operators[i].op))
        i++;
    return i;
}

static status read_duration(reader *r, uint8_t min_precedence, promql_duration **ret)
{
    promql_duration *left, *right;
    if (++r->p->depth > PROMQL_DEPTH_LIMIT)
        return promql_fail_at(r->p->err, r->p->query, parser_peek(r->p)->start,
                              "expressions are nested deeper than %d levels", PROMQL_DEPTH_LIMIT);
    TRY(read_operand(r, &left));
    for (;;) {
        const token *t = parser_peek(r->p);
        size_t op = find_operator(t);
        if (op == ARRAY_LEN(operators) || operators[op].precedence < min_precedence)
            break;
        parser_next(r->p);
        promql_duration_kind kind = operators[op].kind;
        TRY(read_duration(r, operators[op].precedence + (kind == DURATION_POW ? 0 : 1), &right));
        bool zero = right->kind == DURATION_LITERAL && right->number == 0;
        if (zero && (kind == DURATION_DIV || kind == DURATION_MOD))
            return promql_fail_at(r->p->err, r->p->query, t->start, "%s by zero",
                                  kind == DURATION_DIV ? "division" : "modulo");
        promql_duration *d = new_duration(r, kind, left->start);
        if (!d)
            return parser_no_memory(r->p);
        d->end = right->end;
        TRY(adopt(r, d, left, right));
        left = d;
    }
    r->p->depth--;
    *ret = left;
    return STATUS_OK;
}

status parse_duration(parser *p, const char *context, const char *expected, promql_duration **ret)
{
    reader r = { p, context, expected };
    return read_duration(&r, 1, ret);
}

/* "offset --5 + 3" would be read differently as it is printed: "offset 5 + 3". */
static void keep_together(promql_duration *d)
{
    const promql_duration *first = d;
    while (first->left && !first->parens && first->kind >= DURATION_ADD)
        first = first->left;
    bool two_signs = first->kind == DURATION_MINUS && first->right->kind == DURATION_MINUS;
    if (first != d && !first->parens && !two_signs)
        d->parens = true;
}

/* Behind offset a literal, a function or a sign with one of them ends the duration, so that
 * "a offset 5m + b" adds b. A parenthesis without a sign goes on. */
status parse_offset_duration(parser *p, promql_duration **ret)
{
    reader r = { p, "offset", "number, duration, step(), or range()" };
    const token *t = parser_peek(p);
    bool sign = is_sign(t);
    const token *first = sign ? parser_peek_second(p) : t;
    size_t function = find_function(first);
    if (!is_literal(first) && function == ARRAY_LEN(functions) &&
        !(sign && first->kind == TOKEN_LPAREN)) {
        TRY(read_duration(&r, 1, ret));
        keep_together(*ret);
        return STATUS_OK;
    }
    if (sign)
        parser_next(p);
    TRY(is_literal(first)                 ? read_literal(&r, ret)
        : function < ARRAY_LEN(functions) ? read_call(&r, function, ret)
                                          : read_parens(&r, ret));
    if (!sign)
        return STATUS_OK;
    if ((*ret)->kind == DURATION_LITERAL || token_is_op(t, "-") || first->kind == TOKEN_LPAREN)
        return apply_sign(&r, t, ret);
    /* +step() keeps its sign, which nothing prints. */
    promql_duration *plus = new_duration(&r, DURATION_PLUS, t->start);
    if (!plus)
        return parser_no_memory(p);
    plus->end = (*ret)->end;
    TRY(adopt(&r, plus, NULL, *ret));
    *ret = plus;
    return STATUS_OK;
}
