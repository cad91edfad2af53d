// SPDX-License-Identifier: Apache-2.0
/* The lexer: one pass over the query. What a word means (keyword, function, metric, label) is the
 * parser's business. LogQL's part stands here, PromQL's in lex_promql.c. Inside braces a name ends
 * before ":" and inside brackets ":" stands alone. */
#include "query/promql/lex_promql.h"

#include "base/clock.h"
#include "query/quote.h"

#include <ctype.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>

typedef struct {
    token_list list;
    str query;
    error *err;
    size_t at;
    uint32_t parens;
    bool in_braces, in_brackets;
} lexer;

void promql_position(str query, uint32_t at, uint32_t *ret_line, uint32_t *ret_column)
{
    uint32_t line = 1, column = 1;
    for (uint32_t i = 0; i < at && i < query.len; i++) {
        column++;
        if (query.ptr[i] == '\n') {
            line++;
            column = 1;
        }
    }
    *ret_line = line;
    *ret_column = column;
}

void promql_report_at(error *err, str query, uint32_t at, const char *format, ...)
{
    char text[320];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof(text), format, args);
    va_end(args);
    uint32_t line, column;
    promql_position(query, at, &line, &column);
    if (query.len == 0)
        fail(err, STATUS_INVALID, "unknown position: parse error: %s", text);
    else
        fail(err, STATUS_INVALID, "%u:%u: parse error: %s", line, column, text);
}

bool token_push(token_list *list, token t)
{
    if (list->count == list->capacity) {
        uint32_t bigger = list->capacity ? list->capacity * 2 : 64;
        token *grown = arena_grow(list->arena, list->tokens, list->capacity * sizeof(token),
                                  bigger * sizeof(token));
        if (!grown)
            return false;
        list->tokens = grown;
        list->capacity = bigger;
    }
    list->tokens[list->count++] = t;
    return true;
}

static bool push(lexer *l, token_kind kind, size_t start, size_t end)
{
    l->at = end;
    return token_push(&l->list, (token){ .kind = kind,
                                         .start = (uint32_t)start,
                                         .end = (uint32_t)end,
                                         .text = str_slice(l->query, start, end) });
}

static char peek(const lexer *l, size_t ahead)
{
    return l->at + ahead < l->query.len ? l->query.ptr[l->at + ahead] : '\0';
}

static status no_memory(lexer *l)
{
    fail(l->err, STATUS_LIMIT, "the query is too large for its memory limit");
    return STATUS_LIMIT;
}

static void skip_space_and_comments(lexer *l)
{
    while (l->at < l->query.len) {
        if (isspace((unsigned char)peek(l, 0))) {
            l->at++;
        } else if (peek(l, 0) == '#') {
            while (l->at < l->query.len && peek(l, 0) != '\n')
                l->at++;
        } else {
            break;
        }
    }
}

static bool is_name_byte(const lexer *l, char c, bool first)
{
    if (isalpha((unsigned char)c) || c == '_' || (!first && isdigit((unsigned char)c)))
        return true;
    return c == ':' && !l->in_braces && !l->in_brackets;
}

static status lex_name(lexer *l)
{
    size_t start = l->at, end = start;
    while (end < l->query.len && is_name_byte(l, l->query.ptr[end], end == start))
        end++;
    return push(l, TOKEN_IDENT, start, end) ? STATUS_OK : no_memory(l);
}

/* Digits with "_" between them; false when the text is not a number. */
static bool number_value(str text, double *ret)
{
    char plain[128];
    size_t n = 0;
    for (size_t i = 0; i < text.len; i++) {
        if (text.ptr[i] == '_') {
            if (i == 0 || i + 1 == text.len || !isxdigit((unsigned char)text.ptr[i - 1]) ||
                !isxdigit((unsigned char)text.ptr[i + 1]))
                return false;
            continue;
        }
        if (n == sizeof(plain))
            return false;
        plain[n++] = text.ptr[i];
    }
    return str_to_f64(str_n(plain, n), ret);
}

/* 10KB, 1.5MiB: decimal and binary units in any case. */
bool lex_bytes(str text, double *ret)
{
    static const struct {
        const char *name;
        double bytes;
    } units[] = { { "b", 1 },    { "kib", 1024 },       { "kb", 1e3 }, { "mib", 1048576 },
                  { "mb", 1e6 }, { "gib", 1073741824 }, { "gb", 1e9 }, { "tib", 1099511627776 },
                  { "tb", 1e12 } };
    size_t digits = 0;
    while (digits < text.len &&
           (isdigit((unsigned char)text.ptr[digits]) || text.ptr[digits] == '.'))
        digits++;
    str unit = str_slice(text, digits, text.len);
    for (size_t i = 0; i < ARRAY_LEN(units); i++) {
        if (!str_eq_nocase(unit, str_c(units[i].name)) ||
            !str_to_f64(str_slice(text, 0, digits), ret))
            continue;
        *ret *= units[i].bytes;
        return true;
    }
    return false;
}

static size_t number_end(const lexer *l)
{
    str q = l->query;
    size_t i = l->at;
    if (peek(l, 0) == '0' && (peek(l, 1) == 'x' || peek(l, 1) == 'X')) {
        i += 2;
        while (i < q.len && (isalnum((unsigned char)q.ptr[i]) || q.ptr[i] == '_'))
            i++;
        return i;
    }
    while (i < q.len) {
        char c = q.ptr[i], before = i > l->at ? q.ptr[i - 1] : '\0';
        bool sign = (c == '+' || c == '-') && (before == 'e' || before == 'E');
        if (!isalnum((unsigned char)c) && c != '.' && c != '_' && !sign)
            break;
        i++;
    }
    return i;
}

static status lex_number(lexer *l)
{
    size_t start = l->at, end = number_end(l);
    str text = str_slice(l->query, start, end);
    int64_t ns;
    double value;
    if (number_value(text, &value)) {
        if (!push(l, TOKEN_NUMBER, start, end))
            return no_memory(l);
        l->list.tokens[l->list.count - 1].number = value;
        return STATUS_OK;
    }
    if (clock_parse_duration(text, &ns)) {
        if (!push(l, TOKEN_DURATION, start, end))
            return no_memory(l);
        l->list.tokens[l->list.count - 1].number = (double)ns / 1e9;
        return STATUS_OK;
    }
    if (lex_bytes(text, &value)) {
        if (!push(l, TOKEN_BYTES, start, end))
            return no_memory(l);
        l->list.tokens[l->list.count - 1].number = value;
        return STATUS_OK;
    }
    return promql_fail_at(l->err, l->query, (uint32_t)start,
                          "bad number or duration syntax: \"%.*s\"", (int)MIN(text.len, 80),
                          text.ptr);
}

static status lex_string(lexer *l)
{
    str text = STR_EMPTY;
    size_t length = 0, start = l->at;
    const char *wrong =
        unquote(str_slice(l->query, start, l->query.len), l->list.arena, &text, &length);
    if (wrong)
        return promql_fail_at(l->err, l->query, (uint32_t)start, "%s", wrong);
    if (!push(l, TOKEN_STRING, start, start + length))
        return no_memory(l);
    l->list.tokens[l->list.count - 1].text = text;
    return STATUS_OK;
}

static status lex_punctuation(lexer *l)
{
    static const struct {
        char c;
        token_kind kind;
    } single[] = { { '(', TOKEN_LPAREN }, { ')', TOKEN_RPAREN },   { '{', TOKEN_LBRACE },
                   { '}', TOKEN_RBRACE }, { '[', TOKEN_LBRACKET }, { ']', TOKEN_RBRACKET },
                   { ',', TOKEN_COMMA },  { ':', TOKEN_COLON },    { '@', TOKEN_AT } };
    char c = peek(l, 0), next = peek(l, 1);
    for (size_t i = 0; i < ARRAY_LEN(single); i++)
        if (single[i].c == c)
            return push(l, single[i].kind, l->at, l->at + 1) ? STATUS_OK : no_memory(l);
    bool two = ((c == '=' || c == '!') && (next == '=' || next == '~')) ||
               ((c == '<' || c == '>') && next == '=') ||
               (c == '|' && (next == '=' || next == '~' || next == '>')) ||
               (c == '!' && next == '>');
    if (!two && !(c && strchr("+-*/%^<>=|", c)))
        return promql_fail_at(l->err, l->query, (uint32_t)l->at, "unexpected character: '%.*s'",
                              (int)MAX(utf8_valid_prefix(str_slice(l->query, l->at, l->at + 1)), 1),
                              l->query.ptr + l->at);
    return push(l, TOKEN_OP, l->at, l->at + (two ? 2 : 1)) ? STATUS_OK : no_memory(l);
}

/* Keeps the bracket state and refuses what cannot be closed. */
static status track_brackets(lexer *l)
{
    const token *t = &l->list.tokens[l->list.count - 1];
    const char *wrong = NULL;
    if (t->kind == TOKEN_LPAREN) {
        l->parens++;
    } else if (t->kind == TOKEN_RPAREN) {
        wrong = l->parens == 0 ? "unexpected right parenthesis ')'" : NULL;
        l->parens -= wrong ? 0 : 1;
    } else if (t->kind == TOKEN_LBRACE) {
        wrong = l->in_braces ? "unexpected left brace '{'" : NULL;
        l->in_braces = true;
    } else if (t->kind == TOKEN_RBRACE) {
        wrong = l->in_braces ? NULL : "unexpected right brace '}'";
        l->in_braces = false;
    } else if (t->kind == TOKEN_LBRACKET) {
        wrong = l->in_brackets ? "unexpected left bracket '['" : NULL;
        l->in_brackets = true;
    } else if (t->kind == TOKEN_RBRACKET) {
        wrong = l->in_brackets ? NULL : "unexpected right bracket ']'";
        l->in_brackets = false;
    }
    return wrong ? promql_fail_at(l->err, l->query, t->start, "%s", wrong) : STATUS_OK;
}

static status lex_one(lexer *l)
{
    char c = peek(l, 0);
    if (is_name_byte(l, c, true))
        return lex_name(l);
    if (isdigit((unsigned char)c) || (c == '.' && isdigit((unsigned char)peek(l, 1))))
        return lex_number(l);
    if (c == '"' || c == '\'' || c == '`')
        return lex_string(l);
    return lex_punctuation(l);
}

static status lex_logql(lexer *l)
{
    for (skip_space_and_comments(l); l->at < l->query.len; skip_space_and_comments(l)) {
        status st = lex_one(l);
        if (st == STATUS_OK)
            st = track_brackets(l);
        if (st != STATUS_OK)
            return st;
    }
    const char *open = l->in_braces     ? "unexpected end of input inside braces"
                       : l->in_brackets ? "unclosed left bracket"
                       : l->parens      ? "unclosed left parenthesis"
                                        : NULL;
    if (open)
        return promql_fail_at(l->err, l->query, (uint32_t)l->query.len, "%s", open);
    return push(l, TOKEN_END, l->query.len, l->query.len) ? STATUS_OK : no_memory(l);
}

status promql_lex(token **ret, uint32_t *ret_count, str query, lex_language language, arena *a,
                  error *err)
{
    lexer l = { .list = { .arena = a }, .query = query, .err = err };
    status st = STATUS_OK;
    if (language == LEX_LOGQL)
        st = lex_logql(&l);
    else if (!lex_promql(&l.list, query, language == LEX_PROMQL_UTF8))
        st = no_memory(&l);
    if (st != STATUS_OK)
        return st;
    *ret = l.list.tokens;
    *ret_count = l.list.count;
    return STATUS_OK;
}
