// SPDX-License-Identifier: Apache-2.0
/* Selectors and what may follow an operand: {matchers}, [range], [range:step], offset and @. */
#include "query/promql/parse.h"
#include "query/regex.h"

#include <math.h>

#define LARGEST_MS 9.2e12 /* 291 years: as nanoseconds it fits into int64 */

static bool matcher_op(const token *t, match_op *ret)
{
    static const struct {
        const char *text;
        match_op op;
    } ops[] = { { "=", MATCH_EQ }, { "!=", MATCH_NE }, { "=~", MATCH_RE }, { "!~", MATCH_NRE } };
    for (size_t i = 0; i < ARRAY_LEN(ops); i++) {
        if (token_is_op(t, ops[i].text)) {
            *ret = ops[i].op;
            return true;
        }
    }
    return false;
}

/* Compiles what needs compiling, and tells whether the matcher accepts an absent label. */
static status matcher_accepts_empty(parser *p, const matcher *m, uint32_t at, bool *ret)
{
    if (m->op == MATCH_EQ || m->op == MATCH_NE) {
        *ret = (m->value.len == 0) == (m->op == MATCH_EQ);
        return STATUS_OK;
    }
    regex *re;
    error cause;
    bool matches;
    status st = regex_compile(&re, m->value, REGEX_WHOLE, p->arena, &cause);
    if (st == STATUS_OK)
        st = regex_match(re, STR_EMPTY, &matches, &cause);
    if (st == STATUS_INVALID)
        return promql_fail_at(p->err, p->query, at, "%s", cause.message);
    if (st != STATUS_OK)
        return parser_no_memory(p);
    *ret = matches == (m->op == MATCH_RE);
    return STATUS_OK;
}

static status add_matcher(parser *p, promql_selector *s, matcher m)
{
    return parser_append(p, &s->matchers, s->matcher_count++, sizeof(matcher), &m)
               ? STATUS_OK
               : parser_no_memory(p);
}

static status set_metric_name(parser *p, promql_selector *s, const token *t)
{
    if (s->name.len)
        return promql_fail_at(
            p->err, p->query, t->start, "metric name must not be set twice: \"%.*s\" or \"%.*s\"",
            STR_ARG(str_slice(s->name, 0, 80)), STR_ARG(str_slice(t->text, 0, 80)));
    s->name = t->text;
    return add_matcher(p, s, (matcher){ STR("__name__"), MATCH_EQ, t->text });
}

static status parse_matcher(parser *p, promql_selector *s, bool *has_nonempty)
{
    const token *name = parser_next(p), *op = parser_peek(p);
    if (name->kind != TOKEN_IDENT && name->kind != TOKEN_STRING)
        return parser_unexpected(p, name, "label matching", "label name or \"}\"");
    if (name->kind == TOKEN_STRING && (op->kind == TOKEN_COMMA || op->kind == TOKEN_RBRACE)) {
        *has_nonempty = *has_nonempty || name->text.len;
        return set_metric_name(p, s, name);
    }
    matcher m = { .name = name->text };
    parser_next(p);
    if (!matcher_op(op, &m.op))
        return parser_unexpected(p, op, "label matching", "label matching operator");
    const token *text = parser_next(p);
    if (text->kind != TOKEN_STRING)
        return parser_unexpected(p, text, "label matching", "string");
    m.value = text->text;
    if (str_is(m.name, "__name__") && m.op == MATCH_EQ && s->name.len)
        return set_metric_name(p, s, text);
    bool accepts_empty;
    TRY(matcher_accepts_empty(p, &m, text->start, &accepts_empty));
    *has_nonempty = *has_nonempty || !accepts_empty;
    return add_matcher(p, s, m);
}

static status parse_matchers(parser *p, promql_selector *s, bool *has_nonempty)
{
    parser_next(p);
    while (parser_peek(p)->kind != TOKEN_RBRACE) {
        TRY(parse_matcher(p, s, has_nonempty));
        const token *t = parser_peek(p);
        if (t->kind == TOKEN_COMMA)
            parser_next(p);
        else if (t->kind != TOKEN_RBRACE)
            return parser_unexpected(p, t, "label matching", "\",\" or \"}\"");
    }
    parser_next(p);
    return STATUS_OK;
}

status parse_vector_selector(parser *p, promql_node **ret)
{
    const token *t = parser_peek(p);
    promql_node *n = parser_node(p, NODE_VECTOR, t->start);
    bool has_nonempty = false;
    if (!n)
        return parser_no_memory(p);
    n->type = PROMQL_VECTOR;
    if (t->kind == TOKEN_IDENT) {
        TRY(set_metric_name(p, &n->selector, parser_next(p)));
        has_nonempty = true;
    }
    if (parser_peek(p)->kind == TOKEN_LBRACE)
        TRY(parse_matchers(p, &n->selector, &has_nonempty));
    if (!has_nonempty)
        return promql_fail_at(p->err, p->query, t->start,
                              "vector selector must contain at least one non-empty matcher");
    *ret = n;
    return STATUS_OK;
}

/* ---- behind an operand ---- */

static status parse_milliseconds(parser *p, const char *context, bool is_signed, int64_t *ret)
{
    const token *first = parser_peek(p);
    double sign = token_is_op(first, "-") ? -1 : 1;
    if (is_signed && (token_is_op(first, "-") || token_is_op(first, "+")))
        parser_next(p);
    const token *t = parser_next(p);
    if (t->kind != TOKEN_NUMBER && t->kind != TOKEN_DURATION)
        return parser_unexpected(p, t, context, "number or duration");
    double ms = round(t->number * 1000);
    if (!(ms < LARGEST_MS))
        return promql_fail_at(p->err, p->query, t->start, "duration out of range");
    *ret = (int64_t)(sign * ms);
    return STATUS_OK;
}

static status parse_positive(parser *p, const char *context, int64_t *ret)
{
    const token *t = parser_peek(p);
    TRY(parse_milliseconds(p, context, false, ret));
    if (*ret <= 0)
        return promql_fail_at(p->err, p->query, t->start, "duration must be greater than 0");
    return STATUS_OK;
}

static status make_matrix(parser *p, promql_node **node, const token *open, int64_t range_ms)
{
    promql_node *n = *node;
    if (n->kind != NODE_VECTOR)
        return promql_fail_at(p->err, p->query, open->start,
                              "ranges only allowed for vector selectors");
    if (n->selector.shift.at != AT_NONE)
        return promql_fail_at(p->err, p->query, open->start, "no @ modifiers allowed before range");
    if (n->selector.shift.offset_ms != 0)
        return promql_fail_at(p->err, p->query, open->start,
                              "no offset modifiers allowed before range");
    n->kind = NODE_MATRIX;
    n->type = PROMQL_MATRIX;
    n->selector.range_ms = range_ms;
    return STATUS_OK;
}

static status parse_brackets(parser *p, promql_node **node)
{
    const token *open = parser_next(p);
    int64_t range_ms, step_ms = 0;
    TRY(parse_positive(p, "subquery or range selector", &range_ms));
    bool subquery = parser_peek(p)->kind == TOKEN_COLON;
    if (subquery) {
        parser_next(p);
        if (parser_peek(p)->kind != TOKEN_RBRACKET)
            TRY(parse_positive(p, "subquery selector", &step_ms));
    }
    const token *close = parser_next(p);
    if (close->kind != TOKEN_RBRACKET)
        return parser_unexpected(p, close,
                                 subquery ? "subquery selector" : "subquery or range selector",
                                 subquery ? "\"]\"" : "\":\" or \"]\"");
    if (!subquery) {
        TRY(make_matrix(p, node, open, range_ms));
    } else {
        promql_node *n = parser_node(p, NODE_SUBQUERY, (*node)->start);
        if (!n)
            return parser_no_memory(p);
        n->type = PROMQL_MATRIX;
        n->subquery.inner = *node;
        TRY(parser_adopt(p, n, *node));
        n->subquery.range_ms = range_ms;
        n->subquery.step_ms = step_ms;
        *node = n;
    }
    (*node)->end = close->end;
    return STATUS_OK;
}

static promql_shift *shift_of(promql_node *n)
{
    if (n->kind == NODE_VECTOR || n->kind == NODE_MATRIX)
        return &n->selector.shift;
    return n->kind == NODE_SUBQUERY ? &n->subquery.shift : NULL;
}

static status parse_offset(parser *p, promql_node *n)
{
    const token *word = parser_next(p);
    promql_shift *shift = shift_of(n);
    if (!shift)
        return promql_fail_at(p->err, p->query, n->start,
                              "offset modifier must be preceded by an instant vector selector or "
                              "range vector selector or a subquery");
    if (shift->offset_ms != 0)
        return promql_fail_at(p->err, p->query, word->start,
                              "offset may not be set multiple times");
    return parse_milliseconds(p, "offset", true, &shift->offset_ms);
}

static status parse_at_time(parser *p, promql_shift *shift)
{
    double sign = 1;
    if (parser_peek(p)->kind == TOKEN_OP)
        sign = token_is_op(parser_next(p), "-") ? -1 : 1;
    const token *t = parser_next(p);
    bool special = token_is_word(t, "inf") || token_is_word(t, "nan");
    if (t->kind != TOKEN_NUMBER && t->kind != TOKEN_DURATION && !special)
        return parser_unexpected(p, t, "@", "timestamp");
    double ms = round(sign * t->number * 1000);
    if (special || !(fabs(ms) < LARGEST_MS))
        return promql_fail_at(p->err, p->query, t->start, "timestamp out of bounds for @ modifier");
    shift->at = AT_TIME;
    shift->at_ms = (int64_t)ms;
    return STATUS_OK;
}

static status parse_at(parser *p, promql_node *n)
{
    const token *at = parser_next(p), *t = parser_peek(p);
    promql_shift *shift = shift_of(n);
    if (!shift)
        return promql_fail_at(p->err, p->query, n->start,
                              "@ modifier must be preceded by an instant vector selector or range "
                              "vector selector or a subquery");
    if (shift->at != AT_NONE)
        return promql_fail_at(p->err, p->query, at->start,
                              "@ <timestamp> may not be set multiple times");
    bool start = token_is_word(t, "start"), end = token_is_word(t, "end");
    if (!start && !end)
        return parse_at_time(p, shift);
    parser_next(p);
    for (int i = 0; i < 2; i++) {
        const token *paren = parser_next(p);
        if (paren->kind != (i ? TOKEN_RPAREN : TOKEN_LPAREN))
            return parser_unexpected(p, paren, "@", i ? "\")\"" : "\"(\"");
    }
    shift->at = start ? AT_START : AT_END;
    return STATUS_OK;
}

status parse_postfix(parser *p, promql_node **node)
{
    for (;;) {
        const token *t = parser_peek(p);
        if (t->kind == TOKEN_LBRACKET) {
            TRY(parse_brackets(p, node));
        } else if (t->kind == TOKEN_AT) {
            TRY(parse_at(p, *node));
        } else if (token_is_word(t, "offset")) {
            TRY(parse_offset(p, *node));
        } else {
            return STATUS_OK;
        }
        (*node)->end = p->tokens[p->at - 1].end;
    }
}
