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

static status parse_matcher(parser *p, promql_selector *s, bool *has_nonempty)
{
    const token *name = parser_next(p), *op = parser_peek(p);
    if (name->kind != TOKEN_IDENT && name->kind != TOKEN_STRING)
        return parser_unexpected(p, name, "label matching", "identifier or \"}\"");
    matcher m = { .name = name->text };
    bool is_op = matcher_op(op, &m.op), accepts_empty;
    if (name->kind == TOKEN_STRING && !is_op) {
        *has_nonempty = *has_nonempty || name->text.len;
        return add_matcher(p, s, (matcher){ STR("__name__"), MATCH_EQ, name->text });
    }
    if (!is_op)
        return parser_unexpected(p, op, "label matching", "label matching operator");
    parser_next(p);
    const token *text = parser_next(p);
    if (text->kind != TOKEN_STRING)
        return parser_unexpected(p, text, "label matching", "string");
    m.value = text->text;
    TRY(matcher_accepts_empty(p, &m, name->start, &accepts_empty));
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
        n->selector.name = parser_next(p)->text;
        has_nonempty = true;
    }
    if (parser_peek(p)->kind == TOKEN_LBRACE)
        TRY(parse_matchers(p, &n->selector, &has_nonempty));
    str name = n->selector.name;
    if (name.len)
        TRY(add_matcher(p, &n->selector, (matcher){ STR("__name__"), MATCH_EQ, name }));
    n->selector.takes_all = !has_nonempty;
    *ret = n;
    return STATUS_OK;
}

/* ---- behind an operand ---- */

/* A literal's milliseconds; a duration that is computed stays one. */
static status take_duration(parser *p, promql_duration *d, const promql_duration **ret_computed,
                            int64_t *ret_ms)
{
    *ret_computed = d->kind == DURATION_LITERAL ? NULL : d;
    if (*ret_computed)
        return STATUS_OK;
    double ms = round(d->number * 1000);
    if (!(fabs(ms) < LARGEST_MS))
        return promql_fail_at(p->err, p->query, d->start, "duration out of range");
    *ret_ms = (int64_t)ms;
    if (*ret_ms == 0 && d->number > 0)
        *ret_ms = 1; /* the smallest there is */
    return STATUS_OK;
}

#define DURATIONS "number, duration, step(), or range()"

static status parse_positive(parser *p, const char *context, const promql_duration **ret_computed,
                             int64_t *ret_ms)
{
    static const char expected[] = DURATIONS,
                      or_end[] = "number, duration, step(), range(), or \"]\"";
    promql_duration *d;
    bool step = strcmp(context, "subquery selector") == 0;
    TRY(parse_duration(p, context, step ? or_end : expected, &d));
    if (parser_peek(p)->kind == TOKEN_ERROR)
        return parser_unexpected(p, parser_peek(p), NULL, NULL);
    if (d->kind == DURATION_LITERAL && !(d->number > 0))
        return promql_fail_at(p->err, p->query, d->start, "duration must be greater than 0");
    return take_duration(p, d, ret_computed, ret_ms);
}

static status make_matrix(parser *p, promql_node *n, const token *open)
{
    const promql_shift *shift = n->kind == NODE_VECTOR ? &n->selector.shift : NULL;
    const char *wrong = !shift ? "ranges only allowed for vector selectors"
                        : shift->offset || shift->offset_ms
                            ? "no offset modifiers allowed before range"
                        : shift->at != AT_NONE ? "no @ modifiers allowed before range"
                                               : NULL;
    if (wrong)
        return promql_fail_at(p->err, p->query, open->start, "%s", wrong);
    n->kind = NODE_MATRIX;
    n->type = PROMQL_MATRIX;
    return STATUS_OK;
}

static status parse_brackets(parser *p, promql_node **node)
{
    const token *open = parser_next(p);
    promql_node window = { 0 };
    promql_subquery *w = &window.subquery;
    TRY(parse_positive(p, "subquery or range selector", &w->range, &w->range_ms));
    bool subquery = parser_peek(p)->kind == TOKEN_COLON;
    if (subquery) {
        parser_next(p);
        if (parser_peek(p)->kind != TOKEN_RBRACKET)
            TRY(parse_positive(p, "subquery selector", &w->step, &w->step_ms));
    }
    const token *close = parser_next(p);
    if (close->kind != TOKEN_RBRACKET)
        return parser_unexpected(p, close, subquery ? "subquery selector" : "subquery or range",
                                 subquery ? "\"]\"" : "\":\" or \"]\"");
    if (!subquery) {
        TRY(make_matrix(p, *node, open));
        (*node)->selector.range = w->range;
        (*node)->selector.range_ms = w->range_ms;
    } else {
        promql_node *n = parser_node(p, NODE_SUBQUERY, (*node)->start);
        if (!n)
            return parser_no_memory(p);
        n->type = PROMQL_MATRIX;
        n->subquery = *w;
        n->subquery.inner = *node;
        TRY(parser_adopt(p, n, *node));
        *node = n;
    }
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
    promql_duration *d;
    parser_next(p);
    TRY(parse_offset_duration(p, &d));
    promql_shift *shift = shift_of(n);
    if (!shift)
        return promql_fail_at(p->err, p->query, n->start,
                              "offset modifier must be preceded by an instant vector selector or "
                              "range vector selector or a subquery");
    if (shift->offset_ms != 0 || shift->offset)
        return promql_fail_at(p->err, p->query, n->start, "offset may not be set multiple times");
    return take_duration(p, d, &shift->offset, &shift->offset_ms);
}

/* start(), end() or a time in seconds, behind "@". */
static status parse_at_value(parser *p, promql_shift *ret, double *ret_seconds)
{
    const token *t = parser_peek(p);
    bool start = token_is_word(t, "start"), end = token_is_word(t, "end");
    *ret_seconds = 0;
    ret->at = start ? AT_START : end ? AT_END : AT_TIME;
    if (start || end) {
        parser_next(p);
        for (int i = 0; i < 2; i++) {
            const token *paren = parser_next(p);
            if (paren->kind != (i ? TOKEN_RPAREN : TOKEN_LPAREN))
                return parser_unexpected(p, paren, "@", "timestamp");
        }
        return STATUS_OK;
    }
    bool negative = token_is_op(t, "-");
    if (negative || token_is_op(t, "+"))
        parser_next(p);
    t = parser_peek(p);
    if (t->kind != TOKEN_NUMBER && t->kind != TOKEN_DURATION && parser_word(t) != WORD_NUMBER)
        return parser_unexpected(p, t, "@", "timestamp");
    TRY(parse_literal(p, ret_seconds));
    *ret_seconds = negative ? -*ret_seconds : *ret_seconds;
    return STATUS_OK;
}

static status parse_at(parser *p, promql_node *n)
{
    promql_shift at = { 0 }, *shift = shift_of(n);
    double seconds;
    parser_next(p);
    TRY(parse_at_value(p, &at, &seconds));
    double ms = round(seconds * 1000);
    if (!(fabs(ms) < LARGEST_MS)) {
        buf text;
        buf_init(&text, KiB(1));
        if (isfinite(seconds))
            buf_fmt(&text, "%f", seconds);
        else
            buf_f64(&text, seconds);
        promql_report_at(p->err, p->query, n->start, "timestamp out of bounds for @ modifier: %.*s",
                         STR_ARG(buf_view(&text)));
        buf_done(&text);
        return STATUS_INVALID;
    }
    if (!shift)
        return promql_fail_at(p->err, p->query, n->start,
                              "@ modifier must be preceded by an instant vector selector or range "
                              "vector selector or a subquery");
    if (shift->at != AT_NONE)
        return promql_fail_at(p->err, p->query, n->start,
                              "@ <timestamp> may not be set multiple times");
    shift->at = at.at;
    shift->at_ms = (int64_t)ms;
    return STATUS_OK;
}

/* anchored and smoothed: how the ends of a range are made up. */
static status parse_extended(parser *p, promql_node *n)
{
    bool anchored = token_is_word(parser_next(p), "anchored");
    const char *name = anchored ? "anchored" : "smoothed";
    if (n->kind == NODE_SUBQUERY)
        return promql_fail_at(p->err, p->query, n->start,
                              "%s modifier is not supported for subqueries", name);
    if (n->kind != NODE_VECTOR && n->kind != NODE_MATRIX)
        return promql_fail_at(p->err, p->query, n->start, "%s modifier not implemented", name);
    *(anchored ? &n->selector.anchored : &n->selector.smoothed) = true;
    if (n->selector.anchored && n->selector.smoothed)
        return promql_fail_at(p->err, p->query, n->start,
                              "anchored and smoothed modifiers cannot be used together");
    return STATUS_OK;
}

status parse_postfix(parser *p, promql_node **node)
{
    for (;;) {
        const token *t = parser_peek(p);
        if (t->kind == TOKEN_LBRACKET)
            TRY(parse_brackets(p, node));
        else if (t->kind == TOKEN_AT)
            TRY(parse_at(p, *node));
        else if (token_is_word(t, "offset"))
            TRY(parse_offset(p, *node));
        else if (token_is_word(t, "anchored") || token_is_word(t, "smoothed"))
            TRY(parse_extended(p, *node));
        else
            return STATUS_OK;
        (*node)->end = p->tokens[p->at - 1].end;
    }
}
