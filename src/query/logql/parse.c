// SPDX-License-Identifier: Apache-2.0
/* LogQL's operands for the shared expression parser: pipelines and range aggregations. Operators,
 * aggregations and vector matching are PromQL's. */
#include "query/logql/parse.h"

#include "query/logql/metric.h"

#define LARGEST_MS 1e12 /* 31 years, of a range or an offset */

static const logql_range_function range_functions[] = {
    { "count_over_time", false, false, "Number of lines in the window." },
    { "rate", true, false, "Lines per second." },
    { "bytes_over_time", false, true, "Bytes of lines in the window." },
    { "bytes_rate", true, true, "Bytes of lines per second." },
};

/* PromQL functions that LogQL has too. */
static const char *const shared_functions[] = { "vector", "label_replace", "sort", "sort_desc" };

const logql_range_function *logql_range_list(size_t *ret_count)
{
    *ret_count = ARRAY_LEN(range_functions);
    return range_functions;
}

static const logql_range_function *range_function(str name)
{
    for (size_t i = 0; i < ARRAY_LEN(range_functions); i++)
        if (str_is(name, range_functions[i].name))
            return &range_functions[i];
    return NULL;
}

static bool shared_function(str name)
{
    for (size_t i = 0; i < ARRAY_LEN(shared_functions); i++)
        if (str_is(name, shared_functions[i]))
            return true;
    return false;
}

/* ---- stream selectors ---- */

static status compile(parser *p, const token *at, str text, regex_mode mode, regex **ret)
{
    error cause;
    status st = regex_compile(ret, text, mode, p->arena, &cause);
    if (st == STATUS_INVALID)
        return promql_fail_at(p->err, p->query, at->start, "%s", cause.message);
    return st == STATUS_OK ? st : parser_no_memory(p);
}

status logql_compile(parser *p, const token *at, str text, regex_mode mode, regex **ret)
{
    return compile(p, at, text, mode, ret);
}

static status accepts_empty(parser *p, const matcher *m, logql_pattern *pattern, bool *ret)
{
    if (!pattern->re) {
        *ret = (m->value.len == 0) == (m->op == MATCH_EQ);
        return STATUS_OK;
    }
    bool matches;
    TRY(regex_match(pattern->re, STR_EMPTY, &matches, p->err));
    *ret = matches == (m->op == MATCH_RE);
    return STATUS_OK;
}

static status parse_matcher(parser *p, logql_pipeline *l, bool *has_nonempty)
{
    const token *name = parser_next(p), *op = parser_next(p), *text = parser_next(p);
    matcher m = { .name = name->text, .value = text->text };
    logql_pattern pattern = { .text = text->text };
    bool empty;
    if (name->kind != TOKEN_IDENT && name->kind != TOKEN_STRING)
        return parser_unexpected(p, name, "stream selector", "label name or \"}\"");
    if (!logql_match_op(op, &m.op))
        return parser_unexpected(p, op, "stream selector", "=, !=, =~ or !~");
    if (text->kind != TOKEN_STRING)
        return parser_unexpected(p, text, "stream selector", "string");
    if (m.op == MATCH_RE || m.op == MATCH_NRE)
        TRY(compile(p, text, text->text, REGEX_WHOLE, &pattern.re));
    TRY(accepts_empty(p, &m, &pattern, &empty));
    *has_nonempty = *has_nonempty || !empty;
    bool ok = parser_append(p, &l->matchers, l->matcher_count, sizeof(m), &m) &&
              parser_append(p, &l->matcher_patterns, l->matcher_count, sizeof(pattern), &pattern);
    l->matcher_count++;
    return ok ? STATUS_OK : parser_no_memory(p);
}

bool logql_match_op(const token *t, match_op *ret)
{
    static const char *const ops[] = { "=", "!=", "=~", "!~" };
    for (int i = 0; i < 4; i++) {
        if (token_is_op(t, ops[i])) {
            *ret = (match_op)i;
            return true;
        }
    }
    return false;
}

static status parse_selector(parser *p, logql_pipeline **ret)
{
    logql_pipeline *l = ARENA_NEW(p->arena, logql_pipeline);
    const token *open = parser_next(p);
    bool has_nonempty = false;
    if (!l)
        return parser_no_memory(p);
    if (open->kind != TOKEN_LBRACE)
        return parser_unexpected(p, open, NULL, "a stream selector like {service=\"api\"}");
    while (parser_peek(p)->kind != TOKEN_RBRACE) {
        TRY(parse_matcher(p, l, &has_nonempty));
        if (parser_peek(p)->kind == TOKEN_COMMA)
            parser_next(p);
        else if (parser_peek(p)->kind != TOKEN_RBRACE)
            return parser_unexpected(p, parser_peek(p), "stream selector", "\",\" or \"}\"");
    }
    parser_next(p);
    if (!has_nonempty)
        return promql_fail_at(
            p->err, p->query, open->start,
            "queries require at least one regexp or equality matcher that does not "
            "have an empty-compatible value. For instance, app=~\".*\" does not "
            "meet this requirement, but app=~\".+\" will");
    *ret = l;
    return STATUS_OK;
}

static status parse_pipeline(parser *p, logql_pipeline **ret)
{
    TRY(parse_selector(p, ret));
    return logql_parse_stages(p, *ret);
}

/* ---- range aggregations ---- */

static status parse_milliseconds(parser *p, bool is_signed, int64_t *ret)
{
    double sign = 1;
    if (is_signed && token_is_op(parser_peek(p), "-")) {
        parser_next(p);
        sign = -1;
    }
    const token *t = parser_next(p);
    if (t->kind != TOKEN_DURATION)
        return parser_unexpected(p, t, NULL, "a duration like 5m");
    double ms = sign * t->number * 1000;
    if (!(ms < LARGEST_MS && ms > -LARGEST_MS) || (!is_signed && ms < 1))
        return promql_fail_at(p->err, p->query, t->start, "duration out of range");
    *ret = (int64_t)ms;
    return STATUS_OK;
}

static status parse_window(parser *p, logql_range *l)
{
    parser_next(p);
    TRY(parse_milliseconds(p, false, &l->range_ms));
    const token *close = parser_next(p);
    if (close->kind != TOKEN_RBRACKET)
        return parser_unexpected(p, close, "range", "\"]\"");
    return STATUS_OK;
}

/* The window may stand behind the selector or behind the whole pipeline; parentheses are free. */
static status parse_log_range(parser *p, logql_range *l)
{
    if (parser_peek(p)->kind == TOKEN_LPAREN) {
        const token *open = parser_next(p);
        if (++p->depth > PROMQL_DEPTH_LIMIT)
            return promql_fail_at(p->err, p->query, open->start,
                                  "expressions are nested deeper than %d levels",
                                  PROMQL_DEPTH_LIMIT);
        TRY(parse_log_range(p, l));
        p->depth--;
        if (parser_next(p)->kind != TOKEN_RPAREN)
            return parser_unexpected(p, &p->tokens[p->at - 1], "log range", "\")\"");
    } else {
        TRY(parse_selector(p, &l->pipeline));
    }
    if (!l->range_ms && parser_peek(p)->kind == TOKEN_LBRACKET)
        TRY(parse_window(p, l));
    TRY(logql_parse_stages(p, l->pipeline));
    if (!l->range_ms && parser_peek(p)->kind == TOKEN_LBRACKET)
        TRY(parse_window(p, l));
    if (!l->offset_ms && token_is_word(parser_peek(p), "offset")) {
        parser_next(p);
        TRY(parse_milliseconds(p, true, &l->offset_ms));
    }
    return STATUS_OK;
}

static status parse_range(parser *p, const logql_range_function *function, promql_node **ret)
{
    const token *name = parser_next(p);
    promql_node *n = parser_node(p, NODE_EXTERNAL, name->start);
    logql_range *l = ARENA_NEW(p->arena, logql_range);
    if (!n || !l)
        return parser_no_memory(p);
    l->function = function;
    parser_next(p);
    TRY(parse_log_range(p, l));
    const token *close = parser_next(p);
    if (close->kind != TOKEN_RPAREN)
        return parser_unexpected(p, close, "range aggregation", "\")\"");
    if (!l->range_ms)
        return promql_fail_at(p->err, p->query, close->start,
                              "missing range: expected a duration in "
                              "brackets, like [5m]");
    n->type = PROMQL_VECTOR;
    n->end = close->end;
    n->external = (promql_external){ logql_eval_range, l };
    *ret = n;
    return STATUS_OK;
}

static status parse_operand(parser *p, promql_node **ret)
{
    const token *t = parser_peek(p), *second = parser_peek_second(p);
    if (t->kind == TOKEN_LBRACE) {
        logql_pipeline *l;
        promql_node *n = parser_node(p, NODE_EXTERNAL, t->start);
        if (!n)
            return parser_no_memory(p);
        TRY(parse_pipeline(p, &l));
        n->type = PROMQL_NONE;
        n->external = (promql_external){ NULL, l };
        n->end = p->tokens[p->at - 1].end;
        *ret = n;
        return STATUS_OK;
    }
    if (t->kind != TOKEN_IDENT)
        return STATUS_OK;
    bool called = second->kind == TOKEN_LPAREN;
    if (called && range_function(t->text))
        return parse_range(p, range_function(t->text), ret);
    if (promql_aggregation_find(t->text) || (called && shared_function(t->text)))
        return STATUS_OK;
    if (called)
        return promql_fail_at(p->err, p->query, t->start, "unknown function with name \"%.*s\"",
                              STR_ARG(str_slice(t->text, 0, 80)));
    return parser_unexpected(p, t, NULL, NULL);
}

/* ---- the whole ---- */

/* Tells each range aggregation which labels the aggregation above it groups by. */
static void push_grouping(const promql_node *n)
{
    switch (n->kind) {
    case NODE_AGGREGATE: {
        push_grouping(n->aggregate.inner);
        if (n->aggregate.without)
            break;
        const promql_node *inner = promql_bare(n->aggregate.inner);
        if (inner->kind == NODE_EXTERNAL && inner->external.eval) {
            logql_range *l = inner->external.user;
            l->by = n->aggregate.names;
            l->by_count = n->aggregate.name_count;
            l->only_by = strcmp(n->aggregate.aggregation->name, "sum") == 0;
        }
        break;
    }
    case NODE_BINARY:
        push_grouping(n->binary.left);
        push_grouping(n->binary.right);
        break;
    case NODE_PAREN:
        push_grouping(n->paren);
        break;
    case NODE_UNARY:
        push_grouping(n->unary.operand);
        break;
    case NODE_CALL:
        for (uint32_t i = 0; i < n->call.arg_count; i++)
            push_grouping(n->call.args[i]);
        break;
    default:
        break;
    }
}

/* "3:7: parse error: …" as Loki says it. */
static void reword(error *err)
{
    unsigned line, column;
    int skip = 0;
    char message[sizeof(err->message)];
    if (!err || sscanf(err->message, "%u:%u: parse error: %n", &line, &column, &skip) != 2 || !skip)
        return;
    int n = snprintf(message, sizeof(message), "parse error at line %u, col %u: %.380s", line,
                     column, err->message + skip);
    memcpy(err->message, message, (size_t)MIN(n, (int)sizeof(message) - 1) + 1);
}

static status parse(logql_query *ret, str text, arena *a, error *err)
{
    token *tokens;
    uint32_t count;
    const promql_node *root;
    if (text.len > PROMQL_QUERY_LIMIT)
        return fail(err, STATUS_INVALID, "query of %zu bytes, the limit is %zu", text.len,
                    PROMQL_QUERY_LIMIT);
    TRY(promql_lex(&tokens, &count, text, LEX_LOGQL, a, err));
    parser p = {
        .query = text, .arena = a, .err = err, .tokens = tokens, .operand = parse_operand
    };
    TRY(parse_all(&p, &root));
    *ret = (logql_query){ 0 };
    while (root->kind == NODE_PAREN && root->type == PROMQL_NONE)
        root = root->paren;
    if (root->type == PROMQL_NONE) {
        ret->pipeline = root->external.user;
        return STATUS_OK;
    }
    if (root->type == PROMQL_STRING)
        return promql_fail_at(err, text, root->start, "a string is not a query");
    push_grouping(root);
    ret->root = root;
    return STATUS_OK;
}

status logql_parse(logql_query *ret, str text, arena *a, error *err)
{
    status st = parse(ret, text, a, err);
    if (st != STATUS_OK)
        reword(err);
    return st;
}
