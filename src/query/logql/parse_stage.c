// SPDX-License-Identifier: Apache-2.0
/* The stages of a pipeline: line filters, parsers, label filters, drop and keep. */
#include "query/logql/parse.h"

#define STAGES_LIMIT 64

static status add_stage(parser *p, logql_pipeline *l, const logql_stage *stage)
{
    if (l->stage_count == STAGES_LIMIT)
        return promql_fail_at(p->err, p->query, parser_peek(p)->start,
                              "a pipeline of more than %d stages", STAGES_LIMIT);
    return parser_append(p, &l->stages, l->stage_count++, sizeof(*stage), stage)
               ? STATUS_OK
               : parser_no_memory(p);
}

/* ---- |= "text" or "other" ---- */

static bool line_operator(const token *t, line_op *ret)
{
    static const char *const ops[] = { "|=", "!=", "|~", "!~" };
    for (int i = 0; i < 4; i++) {
        if (token_is_op(t, ops[i])) {
            *ret = (line_op)i;
            return true;
        }
    }
    return false;
}

static status parse_line_filter(parser *p, logql_pipeline *l)
{
    logql_stage stage = { .kind = STAGE_LINE };
    line_operator(parser_next(p), &stage.line.op);
    for (;;) {
        const token *t = parser_next(p);
        if (t->kind != TOKEN_STRING)
            return parser_unexpected(p, t, "line filter", "string");
        logql_pattern pattern = { .text = t->text };
        if (stage.line.op == LINE_MATCHES || stage.line.op == LINE_NOT_MATCHES)
            TRY(logql_compile(p, t, t->text, REGEX_SEARCH, &pattern.re));
        if (!parser_append(p, &stage.line.patterns, stage.line.count++, sizeof(pattern), &pattern))
            return parser_no_memory(p);
        if (!token_is_word(parser_peek(p), "or") || parser_peek_second(p)->kind != TOKEN_STRING)
            return add_stage(p, l, &stage);
        parser_next(p);
    }
}

/* ---- | level="error" and (a > 5 or b < 10ms) ---- */

static status parse_filter(parser *p, bool lowest, logql_filter **ret);

static logql_filter *new_filter(parser *p, logql_filter_kind kind)
{
    logql_filter *f = ARENA_NEW(p->arena, logql_filter);
    if (f)
        f->kind = kind;
    return f;
}

static status parse_text_filter(parser *p, str name, match_op op, const token *text,
                                logql_filter **ret)
{
    logql_filter *f = new_filter(p, FILTER_TEXT);
    if (!f)
        return parser_no_memory(p);
    f->name = name;
    f->match = op;
    f->pattern.text = text->text;
    if (op == MATCH_RE || op == MATCH_NRE)
        TRY(logql_compile(p, text, text->text, REGEX_WHOLE, &f->pattern.re));
    *ret = f;
    return STATUS_OK;
}

static status parse_number_filter(parser *p, str name, const token *op, double sign,
                                  const token *number, logql_filter **ret)
{
    static const struct {
        const char *text;
        promql_op op;
    } ops[] = { { "=", OP_EQ }, { "==", OP_EQ }, { "!=", OP_NE }, { ">", OP_GT },
                { "<", OP_LT }, { ">=", OP_GE }, { "<=", OP_LE } };
    logql_filter *f = new_filter(p, FILTER_NUMBER);
    if (!f)
        return parser_no_memory(p);
    for (size_t i = 0; i < ARRAY_LEN(ops); i++)
        if (token_is_op(op, ops[i].text))
            f->op = ops[i].op;
    if (f->op == OP_NONE)
        return parser_unexpected(p, op, "label filter", "a comparison");
    f->name = name;
    f->number = sign * number->number;
    f->unit = number->kind == TOKEN_DURATION ? UNIT_DURATION
              : number->kind == TOKEN_BYTES  ? UNIT_BYTES
                                             : UNIT_NONE;
    *ret = f;
    return STATUS_OK;
}

static status parse_comparison(parser *p, logql_filter **ret)
{
    const token *name = parser_next(p);
    if (name->kind != TOKEN_IDENT)
        return parser_unexpected(p, name, "label filter", "label name");
    const token *op = parser_next(p);
    if (op->kind != TOKEN_OP)
        return parser_unexpected(p, op, "label filter", "an operator like = or >");
    double sign = 1;
    if (token_is_op(parser_peek(p), "-")) {
        parser_next(p);
        sign = -1;
    }
    const token *t = parser_next(p);
    match_op match;
    if (t->kind == TOKEN_STRING && logql_match_op(op, &match))
        return parse_text_filter(p, name->text, match, t, ret);
    if (t->kind == TOKEN_NUMBER || t->kind == TOKEN_DURATION || t->kind == TOKEN_BYTES)
        return parse_number_filter(p, name->text, op, sign, t, ret);
    return parser_unexpected(p, t, "label filter", "string, number, duration or bytes");
}

static status parse_filter_operand(parser *p, logql_filter **ret)
{
    if (++p->depth > PROMQL_DEPTH_LIMIT)
        return promql_fail_at(p->err, p->query, parser_peek(p)->start,
                              "label filters are nested deeper than %d levels", PROMQL_DEPTH_LIMIT);
    if (parser_peek(p)->kind == TOKEN_LPAREN) {
        parser_next(p);
        TRY(parse_filter(p, true, ret));
        const token *close = parser_next(p);
        if (close->kind != TOKEN_RPAREN)
            return parser_unexpected(p, close, "label filter", "\")\"");
    } else {
        TRY(parse_comparison(p, ret));
    }
    p->depth--;
    return STATUS_OK;
}

static bool is_and(const token *t)
{
    return token_is_word(t, "and") || t->kind == TOKEN_COMMA;
}

/* `and` (or a comma) binds tighter than `or`. */
static status parse_filter(parser *p, bool lowest, logql_filter **ret)
{
    if (lowest)
        TRY(parse_filter(p, false, ret));
    else
        TRY(parse_filter_operand(p, ret));
    uint32_t chain = 0;
    while (lowest ? token_is_word(parser_peek(p), "or") : is_and(parser_peek(p))) {
        logql_filter *f = new_filter(p, lowest ? FILTER_OR : FILTER_AND);
        const token *t = parser_next(p);
        if (!f)
            return parser_no_memory(p);
        if (++chain > PROMQL_DEPTH_LIMIT)
            return promql_fail_at(p->err, p->query, t->start, "more than %d label filters in a row",
                                  PROMQL_DEPTH_LIMIT);
        f->left = *ret;
        if (lowest)
            TRY(parse_filter(p, false, &f->right));
        else
            TRY(parse_filter_operand(p, &f->right));
        *ret = f;
    }
    return STATUS_OK;
}

/* ---- | json, | drop a, b ---- */

static status parse_name_stage(parser *p, logql_pipeline *l, logql_stage_kind kind)
{
    logql_stage stage = { .kind = kind };
    parser_next(p);
    for (;;) {
        const token *t = parser_next(p);
        if (t->kind != TOKEN_IDENT)
            return parser_unexpected(p, t, "drop or keep", "label name");
        if (parser_peek(p)->kind == TOKEN_OP && !token_is_op(parser_peek(p), "|"))
            return promql_fail_at(p->err, p->query, parser_peek(p)->start,
                                  "drop and keep take label names only, not matchers");
        if (!parser_append(p, &stage.names, stage.name_count++, sizeof(str), &t->text))
            return parser_no_memory(p);
        if (parser_peek(p)->kind != TOKEN_COMMA)
            return add_stage(p, l, &stage);
        parser_next(p);
    }
}

static status parse_parser_stage(parser *p, logql_pipeline *l, logql_stage_kind kind)
{
    logql_stage stage = { .kind = kind };
    const token *name = parser_next(p), *t = parser_peek(p);
    if (t->kind == TOKEN_IDENT && !token_is_word(t, "and") && !token_is_word(t, "or") &&
        !token_is_word(t, "offset"))
        return promql_fail_at(p->err, p->query, t->start,
                              "%.*s with label expressions is not supported; use it without, it "
                              "extracts every field",
                              STR_ARG(name->text));
    return add_stage(p, l, &stage);
}

static status parse_piped(parser *p, logql_pipeline *l)
{
    static const char *const missing[] = { "line_format", "label_format", "unwrap", "decolorize",
                                           "pattern",     "regexp",       "unpack" };
    static const char *const comparisons[] = { "=", "==", "=~", ">", "<", ">=", "<=" };
    const token *t = parser_peek(p);
    bool plain = true; /* no label of that name is compared */
    for (size_t i = 0; i < ARRAY_LEN(comparisons); i++)
        plain = plain && !token_is_op(parser_peek_second(p), comparisons[i]);
    if (plain && token_is_word(t, "json"))
        return parse_parser_stage(p, l, STAGE_JSON);
    if (plain && token_is_word(t, "logfmt"))
        return parse_parser_stage(p, l, STAGE_LOGFMT);
    if (plain && token_is_word(t, "drop"))
        return parse_name_stage(p, l, STAGE_DROP);
    if (plain && token_is_word(t, "keep"))
        return parse_name_stage(p, l, STAGE_KEEP);
    for (size_t i = 0; plain && i < ARRAY_LEN(missing); i++)
        if (token_is_word(t, missing[i]))
            return promql_fail_at(p->err, p->query, t->start,
                                  "the stage \"%s\" is not supported by this version", missing[i]);
    logql_stage stage = { .kind = STAGE_FILTER };
    TRY(parse_filter(p, true, &stage.filter));
    return add_stage(p, l, &stage);
}

status logql_parse_stages(parser *p, logql_pipeline *l)
{
    for (;;) {
        const token *t = parser_peek(p);
        line_op op;
        if (line_operator(t, &op) && parser_peek_second(p)->kind == TOKEN_STRING) {
            TRY(parse_line_filter(p, l));
        } else if (token_is_op(t, "|")) {
            parser_next(p);
            TRY(parse_piped(p, l));
        } else if (token_is_op(t, "|>") || token_is_op(t, "!>")) {
            return promql_fail_at(p->err, p->query, t->start,
                                  "pattern filters (|> and !>) are not supported by this version");
        } else if (token_is_op(t, "|=") || token_is_op(t, "|~")) {
            return parser_unexpected(p, parser_peek_second(p), "line filter", "string");
        } else {
            return STATUS_OK;
        }
    }
}
