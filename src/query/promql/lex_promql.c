// SPDX-License-Identifier: Apache-2.0
/* PromQL's own part of the lexer. Words, numbers and what may follow a bracket depend on where they
 * stand, as in Prometheus, so that both refuse the same texts with the same words. An error becomes
 * the last token, because what stands before it may be wrong in another way and is told first. */
#include "query/promql/lex_promql.h"
#include "query/labels.h"
#include "query/quote.h"
#include "query/regex.h"

#include <ctype.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

typedef struct {
    token_list *list;
    str query;
    bool utf8_names;
    regex *letter;
    size_t at, start; /* here; where the token began */
    uint32_t parens;
    bool in_braces, in_brackets;
    bool in_duration; /* behind "[" and before its first number */
    bool got_duration, got_colon;
} lexer;

/* ---- characters ---- */

static int peek(const lexer *l)
{
    return l->at < l->query.len ? (unsigned char)l->query.ptr[l->at] : -1;
}

static bool is_one_of(int c, const char *set)
{
    return c > 0 && strchr(set, c);
}

static bool accept(lexer *l, const char *set)
{
    bool yes = is_one_of(peek(l), set);
    l->at += yes ? 1 : 0;
    return yes;
}

static bool is_space(int c)
{
    return is_one_of(c, " \t\n\r");
}

static bool is_word_byte(int c)
{
    return c == '_' || (c > 0 && c < 0x80 && isalnum(c));
}

/* The character at `at`, U+FFFD for what is none; how many bytes it has. */
static uint32_t character(str query, size_t at, size_t *ret_length)
{
    static const uint8_t masks[] = { 0, 0x7f, 0x1f, 0x0f, 0x07 };
    unsigned char c = at < query.len ? (unsigned char)query.ptr[at] : 0;
    size_t n = c < 0x80 ? 1 : c < 0xe0 ? 2 : c < 0xf0 ? 3 : 4;
    *ret_length = 1;
    if (at >= query.len || utf8_valid_prefix(str_slice(query, at, at + n)) != n)
        return 0xfffd;
    *ret_length = n;
    uint32_t code = c & masks[n];
    for (size_t i = 1; i < n; i++)
        code = code << 6 | ((unsigned char)query.ptr[at + i] & 0x3f);
    return code;
}

/* 'x' as Go's %q has it. */
static void quote_character(char *out, size_t size, uint32_t code)
{
    static const char escapes[] = "abtnvfr"; /* of 7 to 13 */
    char utf8[5] = { 0 };
    utf8[utf8_put(utf8, code)] = '\0';
    if (code == '\'' || code == '\\')
        snprintf(out, size, "'\\%c'", (int)code);
    else if (code >= 7 && code <= 13)
        snprintf(out, size, "'\\%c'", escapes[code - 7]);
    else if (code < 0x20 || code == 0x7f)
        snprintf(out, size, "'\\x%02x'", code);
    else if (code >= 0x80 && code <= 0xa0)
        snprintf(out, size, "'\\u%04x'", code);
    else
        snprintf(out, size, "'%s'", utf8);
}

/* ---- tokens ---- */

static bool emit(lexer *l, token_kind kind)
{
    bool ok = token_push(l->list, (token){ .kind = kind,
                                           .start = (uint32_t)l->start,
                                           .end = (uint32_t)l->at,
                                           .text = str_slice(l->query, l->start, l->at),
                                           .in_braces = l->in_braces });
    l->start = l->at;
    return ok;
}

static token *last_token(lexer *l)
{
    return &l->list->tokens[l->list->count - 1];
}

/* Ends the list. False: no memory. */
static bool emit_error(lexer *l, str message)
{
    str text = arena_str(l->list->arena, message);
    return text.ptr && token_push(l->list, (token){ .kind = TOKEN_ERROR,
                                                    .start = (uint32_t)l->start,
                                                    .end = (uint32_t)l->query.len,
                                                    .text = text });
}

static bool emit_wrong(lexer *l, const char *what, uint32_t code, const char *behind)
{
    char quoted[16];
    quote_character(quoted, sizeof(quoted), code);
    str text = arena_fmt(l->list->arena, "%s%s%s", what, quoted, behind);
    return text.ptr && emit_error(l, text);
}

static uint32_t here(const lexer *l, size_t at)
{
    size_t length;
    return character(l->query, at, &length);
}

/* ---- numbers ---- */

/* The longest text that starts as a number; false when it is none, or goes on as a word. What it
 * took stays taken, because a duration may follow. */
static bool scan_number(lexer *l)
{
    const char *digits = "0123456789", *rest = "0123456789._eE";
    size_t from = l->at;
    bool hex = false, dot = false, exponent = false;
    if (accept(l, "0") && accept(l, "xX")) {
        accept(l, "_");
        hex = true;
        digits = "0123456789abcdefABCDEF";
        rest = "0123456789abcdefABCDEF._";
    }
    accept(l, ".");
    accept(l, digits);
    while (is_one_of(peek(l), rest) || (hex && is_one_of(peek(l), "eE"))) {
        int c = peek(l);
        if ((c == '.' && dot) || (is_one_of(c, "eE") && exponent)) {
            l->at++;
            return false;
        }
        if (accept(l, ".")) {
            dot = true;
            if (accept(l, "_.") || hex)
                return false;
        } else if (accept(l, "eE")) {
            exponent = true;
            accept(l, "+-");
            if (accept(l, "._eE") || peek(l) == -1)
                return false;
        } else if (accept(l, "_")) {
            if (accept(l, "._eE") || peek(l) == -1)
                return false;
        } else {
            while (accept(l, digits))
                continue;
        }
    }
    return l->at > from && !is_word_byte(peek(l));
}

/* s, ms, m30s …, behind the digits of a duration. */
static bool scan_units(lexer *l)
{
    if (!accept(l, "smhdwy"))
        return false;
    accept(l, "s");
    while (accept(l, "0123456789")) {
        while (accept(l, "0123456789"))
            continue;
        if (!accept(l, "smhdw"))
            return false;
        accept(l, "s");
    }
    if (is_word_byte(peek(l))) {
        l->at++;
        return false;
    }
    return true;
}

/* Whole numbers may be written as Go does: 0x1f, 0b101, 0o17, 017, with "_" between digits. */
static bool whole_number(str text, double *ret)
{
    uint64_t value = 0;
    unsigned base = 10;
    size_t i = 0;
    if (text.len > 1 && text.ptr[0] == '0') {
        int letter = tolower((unsigned char)text.ptr[1]);
        base = letter == 'x' ? 16 : letter == 'b' ? 2 : 8;
        i = letter == 'x' || letter == 'b' || letter == 'o' ? 2 : 1;
    }
    bool may_separate = i > 0, any = i == 1;
    for (; i < text.len; i++) {
        int c = tolower((unsigned char)text.ptr[i]);
        unsigned digit = isdigit(c)    ? (unsigned)(c - '0')
                         : isxdigit(c) ? (unsigned)(c - 'a' + 10)
                                       : 99;
        if (c == '_' && may_separate && i + 1 < text.len) {
            may_separate = false;
            continue;
        }
        if (digit >= base || value > ((uint64_t)INT64_MAX - digit) / base)
            return false;
        value = value * base + digit;
        may_separate = any = true;
    }
    *ret = (double)value;
    return any;
}

static bool number_value(str text, double *ret)
{
    if (whole_number(text, ret))
        return true;
    char plain[400], *end; /* 1e308 and 5e-324 written out are shorter */
    size_t n = 0;
    for (size_t i = 0; i < text.len; i++) {
        bool between = i > 0 && i + 1 < text.len && is_word_byte((unsigned char)text.ptr[i - 1]) &&
                       is_word_byte((unsigned char)text.ptr[i + 1]);
        if (text.ptr[i] == '_' && !between)
            return false;
        if (text.ptr[i] == '_')
            continue;
        if (n + 1 == sizeof(plain))
            return false;
        plain[n++] = text.ptr[i];
    }
    plain[n] = '\0';
    *ret = strtod(plain, &end);
    return end == plain + n && n > 0;
}

/* 1y2w3d4h5m6s7ms, each unit at most once and in this order. The reason when it is none. */
static const char *duration_value(str text, double *ret, str *ret_unit)
{
    static const struct {
        const char *name;
        uint64_t ms;
    } units[] = { { "y", 31536000000 }, { "w", 604800000 }, { "d", 86400000 }, { "h", 3600000 },
                  { "m", 60000 },       { "s", 1000 },      { "ms", 1 } };
    uint64_t total = 0, limit = INT64_MAX / 1000000;
    size_t unit = 0, i = 0;
    while (i < text.len) {
        uint64_t number = 0;
        size_t from = i;
        for (; i < text.len && isdigit((unsigned char)text.ptr[i]); i++) {
            number = number * 10 + (uint64_t)(text.ptr[i] - '0');
            if (number > limit)
                return "duration out of range";
        }
        size_t letters = i;
        while (i < text.len && !isdigit((unsigned char)text.ptr[i]))
            i++;
        size_t known = 0;
        while (known < ARRAY_LEN(units) && !str_is(str_slice(text, letters, i), units[known].name))
            known++;
        *ret_unit = str_slice(text, letters, i);
        if (known == ARRAY_LEN(units) && letters > from)
            return "unknown unit";
        if (known < unit || letters == from)
            return "";
        unit = known;
        if (number > (limit - total) / units[unit].ms)
            return "duration out of range";
        total += number * units[unit++].ms;
    }
    *ret = (double)total / 1000;
    return NULL;
}

static bool lex_number(lexer *l)
{
    bool number = scan_number(l);
    if (!number && !scan_units(l)) {
        buf message;
        buf_init(&message, KiB(2));
        buf_lit(&message, "bad number or duration syntax: ");
        print_quoted(&message, str_slice(l->query, l->start, MIN(l->at, l->start + 200)));
        bool ok = emit_error(l, buf_view(&message));
        buf_done(&message);
        return ok;
    }
    l->in_duration = false;
    l->got_duration = true;
    if (!emit(l, number ? TOKEN_NUMBER : TOKEN_DURATION))
        return false;
    token *t = last_token(l);
    int length = (int)MIN(t->text.len, 100);
    if (number) {
        bool known = number_value(t->text, &t->number);
        if (known && isfinite(t->number))
            return true;
        t->wrong = arena_fmt(l->list->arena,
                             "error parsing number: strconv.ParseFloat: parsing \"%.*s\": %s",
                             length, t->text.ptr, known ? "value out of range" : "invalid syntax");
        return t->wrong.ptr;
    }
    str unit = STR_EMPTY;
    const char *wrong = duration_value(t->text, &t->number, &unit);
    if (!wrong)
        return true;
    if (strcmp(wrong, "unknown unit") == 0) {
        t->wrong = arena_fmt(l->list->arena, "unknown unit \"%.*s\" in duration \"%.*s\"",
                             (int)MIN(unit.len, 20), unit.ptr, length, t->text.ptr);
        return t->wrong.ptr;
    }
    t->wrong = *wrong ? str_c(wrong)
                      : arena_fmt(l->list->arena, "not a valid duration string: \"%.*s\"", length,
                                  t->text.ptr);
    return t->wrong.ptr;
}

/* ---- strings ---- */

/* What is wrong with the escape at `at` (behind the backslash), or an empty text. */
static str wrong_escape(const lexer *l, size_t at, char quote)
{
    size_t length;
    uint32_t code = character(l->query, at, &length), value = 0;
    arena *a = l->list->arena;
    if (at >= l->query.len)
        return STR("escape sequence not terminated");
    if (code < 0x80 && (is_one_of((int)code, "abfnrtv\\") || code == (unsigned char)quote))
        return STR_EMPTY;
    bool octal = is_one_of(code < 0x80 ? (int)code : -1, "01234567");
    int digits = octal ? 3 : code == 'x' ? 2 : code == 'u' ? 4 : code == 'U' ? 8 : 0;
    if (!digits) {
        char quoted[16];
        quote_character(quoted, sizeof(quoted), code);
        return arena_fmt(a, "unknown escape sequence U+%04X %s", code, quoted);
    }
    at += octal ? 0 : 1;
    for (int i = 0; i < digits; i++, at++) {
        code = character(l->query, at, &length);
        int digit = code < 0x80 && isdigit((int)code)    ? (int)code - '0'
                    : code < 0x80 && isxdigit((int)code) ? tolower((int)code) - 'a' + 10
                                                         : 16;
        if (at >= l->query.len)
            return STR("escape sequence not terminated");
        if (digit >= (octal ? 8 : 16)) {
            char quoted[16];
            quote_character(quoted, sizeof(quoted), code);
            return arena_fmt(a, "illegal character U+%04X %s in escape sequence", code, quoted);
        }
        value = value * (octal ? 8 : 16) + (uint32_t)digit;
    }
    if (value > (digits <= 3 ? 255u : 0x10ffffu) || (value >= 0xd800 && value < 0xe000))
        return STR("escape sequence is an invalid Unicode code point");
    return STR_EMPTY;
}

static str wrong_string(const lexer *l)
{
    char quote = l->query.ptr[l->start];
    size_t length;
    for (size_t at = l->start + 1;; at += length) {
        uint32_t code = character(l->query, at, &length);
        if (at >= l->query.len || (code == '\n' && quote != '`'))
            return quote == '`' ? STR("unterminated raw string")
                                : STR("unterminated quoted string");
        if (code == 0xfffd)
            return STR("invalid UTF-8 rune");
        if (code == (unsigned char)quote)
            return STR_EMPTY;
        if (code != '\\' || quote == '`')
            continue;
        str wrong = wrong_escape(l, at + 1, quote);
        if (wrong.len)
            return wrong;
        at++;
        (void)character(l->query, at, &length);
    }
}

static bool lex_string(lexer *l)
{
    str text = STR_EMPTY, wrong = wrong_string(l);
    size_t length = 0;
    if (wrong.len)
        return emit_error(l, wrong);
    const char *cause =
        unquote(str_slice(l->query, l->start, l->query.len), l->list->arena, &text, &length);
    if (cause)
        return emit_error(l, str_c(cause));
    l->at = l->start + length;
    if (!emit(l, TOKEN_STRING))
        return false;
    last_token(l)->text = text;
    return true;
}

/* ---- words ---- */

/* A name's character at `at`; its length, or 0. */
static size_t name_character(lexer *l, size_t at, bool first)
{
    int c = at < l->query.len ? (unsigned char)l->query.ptr[at] : -1;
    if (c == -1)
        return 0;
    if (c < 0x80) {
        bool yes = isalpha(c) || c == '_' || (!first && isdigit(c)) ||
                   (!first && c == '.' && l->utf8_names);
        return yes ? 1 : 0;
    }
    size_t length;
    bool letter = false;
    error ignored;
    if (!l->utf8_names || character(l->query, at, &length) == 0xfffd)
        return 0;
    if (!l->letter && regex_compile(&l->letter, STR("\\p{L}"), REGEX_WHOLE, l->list->arena,
                                    &ignored) != STATUS_OK)
        return 0;
    status st = regex_match(l->letter, str_slice(l->query, at, at + length), &letter, &ignored);
    return st == STATUS_OK && letter ? length : 0;
}

static bool lex_word(lexer *l, bool colons)
{
    for (;;) {
        size_t n = name_character(l, l->at, l->at == l->start);
        if (!n && colons && peek(l) == ':')
            n = 1;
        if (!n)
            return emit(l, TOKEN_IDENT);
        l->at += n;
    }
}

/* Inside brackets only these words exist. */
static bool lex_bracket_word(lexer *l, bool duration)
{
    static const char *const words[] = { "step", "range", "max_of", "min_of" };
    uint32_t first = here(l, l->start);
    while (l->at < l->query.len && (isalpha(peek(l)) || peek(l) == '_'))
        l->at++;
    for (size_t i = 0; i < ARRAY_LEN(words); i++) {
        if (str_eq_nocase(str_slice(l->query, l->start, l->at), str_c(words[i]))) {
            l->got_duration = true;
            return emit(l, TOKEN_IDENT);
        }
    }
    return duration ? emit_wrong(l, "unexpected character in duration expression: ", first, "")
                    : emit_wrong(l, "unexpected character: ", first, ", expected ':'");
}

/* ---- the states ---- */

static bool take(lexer *l, token_kind kind, size_t length)
{
    l->at = l->start + length;
    return emit(l, kind);
}

static bool close_paren(lexer *l)
{
    if (!take(l, TOKEN_RPAREN, 1))
        return false;
    if (l->parens == 0) {
        l->list->count--;
        return emit_wrong(l, "unexpected right parenthesis ", ')', "");
    }
    l->parens--;
    return true;
}

static bool lex_in_braces(lexer *l)
{
    int c = peek(l);
    size_t two = l->at + 1;
    int next = two < l->query.len ? (unsigned char)l->query.ptr[two] : -1;
    if (name_character(l, l->at, true))
        return lex_word(l, false);
    if (c == ',')
        return take(l, TOKEN_COMMA, 1);
    if (is_one_of(c, "\"'`"))
        return lex_string(l);
    if (c == '=')
        return take(l, TOKEN_OP, next == '~' ? 2 : 1);
    if (c == '!' && (next == '~' || next == '='))
        return take(l, TOKEN_OP, 2);
    if (c == '!')
        return emit_wrong(l, "unexpected character after '!' inside braces: ", here(l, two), "");
    if (c == '{')
        return emit_wrong(l, "unexpected left brace ", '{', "");
    if (c == '}') {
        l->in_braces = false;
        return take(l, TOKEN_RBRACE, 1);
    }
    return emit_wrong(l, "unexpected character inside braces: ", here(l, l->at), "");
}

static bool lex_in_duration(lexer *l)
{
    int c = peek(l);
    if (c == ']') {
        l->in_brackets = l->in_duration = l->got_colon = false;
        return take(l, TOKEN_RBRACKET, 1);
    }
    if (c == ':') {
        const char *wrong = !l->got_duration ? "unexpected colon before duration in duration "
                                               "expression"
                            : l->got_colon   ? "unexpected repeated colon in duration expression"
                                             : NULL;
        l->got_colon = true;
        if (!wrong)
            return take(l, TOKEN_COLON, 1);
        l->start++;
        return emit_error(l, str_c(wrong));
    }
    if (c == '(') {
        l->parens++;
        return take(l, TOKEN_LPAREN, 1);
    }
    if (c == ')')
        return close_paren(l);
    if (is_one_of(c, "+-*/%^"))
        return take(l, TOKEN_OP, 1);
    if (c == ',')
        return take(l, TOKEN_COMMA, 1);
    if (is_one_of(c, "smrSMR"))
        return lex_bracket_word(l, true);
    bool point =
        c == '.' && l->at + 1 < l->query.len && isdigit((unsigned char)l->query.ptr[l->at + 1]);
    if (is_one_of(c, "0123456789") || point)
        return lex_number(l);
    return emit_wrong(l, "unexpected character in duration expression: ", here(l, l->at), "");
}

static bool lex_colon_or_word(lexer *l)
{
    int c = peek(l);
    if (!l->in_brackets)
        return lex_word(l, true);
    if (c == ':') {
        if (l->got_colon)
            return emit_wrong(l, "unexpected colon ", ':', "");
        l->got_colon = true;
        return take(l, TOKEN_COLON, 1);
    }
    if (is_one_of(c, "smrSMR"))
        return lex_bracket_word(l, false);
    return emit_wrong(l, "unexpected character: ", here(l, l->at), ", expected ':'");
}

static bool lex_operator(lexer *l, int c)
{
    int next = l->at + 1 < l->query.len ? (unsigned char)l->query.ptr[l->at + 1] : -1;
    if (is_one_of(c, "*/%+-^"))
        return take(l, TOKEN_OP, 1);
    if (c == '=' && next == '~')
        return emit_wrong(l, "unexpected character after '=': ", '~', "");
    if (c == '!' && next != '=')
        return emit_wrong(l, "unexpected character after '!': ", here(l, l->at + 1), "");
    bool two = next == '=' || ((c == '<' || c == '>') && next == '/');
    return take(l, TOKEN_OP, two ? 2 : 1);
}

static bool lex_bracket(lexer *l, int c)
{
    bool open = c == '[';
    if (open == l->in_brackets)
        return emit_wrong(l, open ? "unexpected left bracket " : "unexpected right bracket ",
                          (uint32_t)c, "");
    l->in_brackets = l->in_duration = open;
    l->got_colon = l->got_duration = false;
    return take(l, open ? TOKEN_LBRACKET : TOKEN_RBRACKET, 1);
}

static bool lex_statement(lexer *l)
{
    int c = peek(l);
    bool point =
        c == '.' && l->at + 1 < l->query.len && isdigit((unsigned char)l->query.ptr[l->at + 1]);
    if (is_one_of(c, "0123456789") || point)
        return lex_number(l);
    if (c == ':' || name_character(l, l->at, true))
        return lex_colon_or_word(l);
    if (is_one_of(c, "\"'`"))
        return lex_string(l);
    if (is_one_of(c, "*/%+-^=!<>"))
        return lex_operator(l, c);
    switch (c) {
    case ',':
        return take(l, TOKEN_COMMA, 1);
    case '(':
        l->parens++;
        return take(l, TOKEN_LPAREN, 1);
    case ')':
        return close_paren(l);
    case '{':
        l->in_braces = true;
        return take(l, TOKEN_LBRACE, 1);
    case '[':
    case ']':
        return lex_bracket(l, c);
    case '@':
        return take(l, TOKEN_AT, 1);
    default:
        return emit_wrong(l, "unexpected character: ", here(l, l->at), "");
    }
}

/* Comments are nothing, but not before the first number in brackets. */
static void skip(lexer *l)
{
    while (l->at < l->query.len) {
        if (is_space(peek(l))) {
            l->at++;
        } else if (peek(l) == '#' && !l->in_duration) {
            while (l->at < l->query.len && !is_one_of(peek(l), "\r\n"))
                l->at++;
        } else {
            break;
        }
    }
    l->start = l->at;
}

static bool lex_end(lexer *l)
{
    const char *open = l->in_braces     ? "unexpected end of input inside braces"
                       : l->in_duration ? "unexpected end of input in duration expression"
                       : l->parens      ? "unclosed left parenthesis"
                       : l->in_brackets ? "unclosed left bracket"
                                        : NULL;
    return open ? emit_error(l, str_c(open)) : emit(l, TOKEN_END);
}

bool lex_promql(token_list *list, str query, bool utf8_names)
{
    lexer l = { .list = list, .query = query, .utf8_names = utf8_names };
    for (skip(&l); l.at < query.len; skip(&l)) {
        bool ok = l.in_braces     ? lex_in_braces(&l)
                  : l.in_duration ? lex_in_duration(&l)
                                  : lex_statement(&l);
        if (!ok)
            return false;
        if (last_token(&l)->kind == TOKEN_ERROR)
            return true;
    }
    return lex_end(&l);
}
