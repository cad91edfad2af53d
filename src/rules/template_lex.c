// SPDX-License-Identifier: Apache-2.0
/* Tokens of templates. The whole text is read at once: what follows an error is not read, and the
 * parser meets the error only when it gets there. Trim markers are done here, and comments leave
 * nothing. */
#include "rules/template_internal.h"

#include <stdio.h>

typedef struct {
    arena *a;
    str text;
    size_t at, start; /* of the token that is being read */
    uint32_t line, start_line;
    int depth; /* of parentheses */
    bool no_memory;
    token_list *out;
} lexer;

static const struct {
    str word;
    token_kind kind;
} keywords[] = {
    { STR_INIT("block"), TOKEN_BLOCK },
    { STR_INIT("break"), TOKEN_BREAK },
    { STR_INIT("continue"), TOKEN_CONTINUE },
    { STR_INIT("define"), TOKEN_DEFINE },
    { STR_INIT("else"), TOKEN_ELSE },
    { STR_INIT("end"), TOKEN_END },
    { STR_INIT("if"), TOKEN_IF },
    { STR_INIT("range"), TOKEN_RANGE },
    { STR_INIT("nil"), TOKEN_NIL },
    { STR_INIT("template"), TOKEN_TEMPLATE },
    { STR_INIT("with"), TOKEN_WITH },
    { STR_INIT("true"), TOKEN_BOOL },
    { STR_INIT("false"), TOKEN_BOOL },
};

/* Letters and digits beyond ASCII: what is in no block of punctuation or symbols. */
static const struct {
    uint32_t from, to;
} no_letters[] = {
    { 0x80, 0xA9 },     { 0xAB, 0xB4 },       { 0xB6, 0xB9 },     { 0xBB, 0xBF },
    { 0xD7, 0xD7 },     { 0xF7, 0xF7 },       { 0x2000, 0x2070 }, { 0x20A0, 0x20FF },
    { 0x2190, 0x2BFF }, { 0x3000, 0x3004 },   { 0xE000, 0xF8FF }, { 0xFE00, 0xFE6F },
    { 0xFFF0, 0xFFFF }, { 0x1F000, 0x1FAFF },
};

static bool is_space(char c)
{
    return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

static bool starts(str s, size_t at, str prefix)
{
    return str_starts(str_slice(s, at, s.len), prefix);
}

/* The code point at `at`, of *ret_size bytes; 0xFFFD for a wrong byte; 0 bytes at the end. */
static uint32_t rune_at(const lexer *l, size_t at, size_t *ret_size)
{
    *ret_size = at < l->text.len;
    if (!*ret_size)
        return 0;
    const uint8_t *p = (const uint8_t *)l->text.ptr + at;
    if (*p < 0x80)
        return *p;
    size_t size = *p >= 0xF0 ? 4 : *p >= 0xE0 ? 3 : 2;
    str one = str_slice(l->text, at, at + size);
    if (utf8_valid_prefix(one) < size || one.len < size)
        return 0xFFFD;
    *ret_size = size;
    uint32_t code = *p & (0xFFu >> (size + 1));
    for (size_t i = 1; i < size; i++)
        code = code << 6 | (p[i] & 0x3Fu);
    return code;
}

static bool is_word(uint32_t c)
{
    if (c < 0x80)
        return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
               c == '_';
    for (size_t i = 0; i < ARRAY_LEN(no_letters); i++)
        if (c >= no_letters[i].from && c <= no_letters[i].to)
            return false;
    return true;
}

static bool put(lexer *l, token_kind kind, str text)
{
    token_list *t = l->out;
    if (t->count == t->capacity) {
        uint32_t capacity = t->capacity ? t->capacity * 2 : 32;
        token *grown =
            arena_grow(l->a, t->items, t->count * sizeof(token), capacity * sizeof(token));
        if (!grown) {
            l->no_memory = true;
            return false;
        }
        t->items = grown;
        t->capacity = capacity;
    }
    t->items[t->count++] = (token){ kind, (uint32_t)l->start, l->start_line, text };
    return true;
}

static void skip(lexer *l)
{
    for (size_t i = l->start; i < l->at; i++)
        l->line += l->text.ptr[i] == '\n';
    l->start = l->at;
    l->start_line = l->line;
}

static bool emit(lexer *l, token_kind kind)
{
    bool ok = put(l, kind, str_slice(l->text, l->start, l->at));
    skip(l);
    return ok;
}

/* Always false: reading ends. */
static bool lex_error(lexer *l, str what)
{
    str message = arena_str(l->a, what);
    if (!message.ptr)
        l->no_memory = true;
    else
        put(l, TOKEN_ERROR, message);
    return false;
}

static bool lex_error_rune(lexer *l, const char *what, size_t at)
{
    size_t size;
    uint32_t code = rune_at(l, at, &size);
    char text[96];
    snprintf(text, sizeof(text), "%s: U+%04X '%.*s'", what, code, (int)size, l->text.ptr + at);
    return lex_error(l, str_c(text));
}

static bool left_trim(str s, size_t at)
{
    return at + 1 < s.len && s.ptr[at] == '-' && is_space(s.ptr[at + 1]);
}

/* "}}", or " -}}" with its white space. */
static bool at_right(const lexer *l, size_t at, bool *ret_trim)
{
    *ret_trim =
        at < l->text.len && is_space(l->text.ptr[at]) && starts(l->text, at + 1, STR("-}}"));
    return *ret_trim || starts(l->text, at, STR("}}"));
}

static void skip_space_after(lexer *l, bool trim)
{
    while (trim && l->at < l->text.len && is_space(l->text.ptr[l->at]))
        l->at++;
    skip(l);
}

static bool lex_comment(lexer *l)
{
    skip(l);
    size_t found = str_find(str_slice(l->text, l->at + 2, l->text.len), STR("*/"));
    if (found == SIZE_MAX)
        return lex_error(l, STR("unclosed comment"));
    l->at += 2 + found + 2;
    bool trim;
    if (!at_right(l, l->at, &trim))
        return lex_error(l, STR("comment ends before closing delimiter"));
    l->at += trim ? 4 : 2;
    skip_space_after(l, trim);
    return true;
}

static bool at_terminator(const lexer *l, size_t at)
{
    if (at >= l->text.len)
        return true;
    char c = l->text.ptr[at];
    return is_space(c) || str_find_char(STR(".,|:)("), c) != SIZE_MAX ||
           starts(l->text, at, STR("}}"));
}

/* Moves over letters and digits; false with an error when something else follows directly. */
static bool lex_letters(lexer *l)
{
    size_t size;
    while (is_word(rune_at(l, l->at, &size)) && size)
        l->at += size;
    if (!at_terminator(l, l->at))
        return lex_error_rune(l, "bad character", l->at);
    return true;
}

static bool lex_field(lexer *l, token_kind kind)
{
    if (at_terminator(l, l->at))
        return emit(l, kind == TOKEN_FIELD ? TOKEN_DOT : kind);
    return lex_letters(l) && emit(l, kind);
}

static bool lex_word(lexer *l)
{
    if (!lex_letters(l))
        return false;
    str word = str_slice(l->text, l->start, l->at);
    for (size_t i = 0; i < ARRAY_LEN(keywords); i++)
        if (str_eq(word, keywords[i].word))
            return emit(l, keywords[i].kind);
    return emit(l, TOKEN_IDENTIFIER);
}

static bool accept(lexer *l, str set)
{
    bool found = l->at < l->text.len && str_find_char(set, l->text.ptr[l->at]) != SIZE_MAX;
    l->at += found;
    return found;
}

static void accept_all(lexer *l, str set)
{
    while (accept(l, set))
        ;
}

static bool scan_number(lexer *l)
{
    str digits = STR("0123456789_");
    accept(l, STR("+-"));
    if (accept(l, STR("0"))) {
        if (accept(l, STR("xX")))
            digits = STR("0123456789abcdefABCDEF_");
        else if (accept(l, STR("oO")))
            digits = STR("01234567_");
        else if (accept(l, STR("bB")))
            digits = STR("01_");
    }
    accept_all(l, digits);
    if (accept(l, STR(".")))
        accept_all(l, digits);
    bool decimal = digits.len == 11, hex = digits.len == 23;
    if ((decimal && accept(l, STR("eE"))) || (hex && accept(l, STR("pP")))) {
        accept(l, STR("+-"));
        accept_all(l, STR("0123456789_"));
    }
    accept(l, STR("i"));
    size_t size;
    uint32_t next = rune_at(l, l->at, &size);
    if (!size || !is_word(next))
        return true;
    l->at += size;
    return false;
}

static bool lex_number(lexer *l)
{
    bool good = scan_number(l), complex = false;
    if (good && l->at < l->text.len && (l->text.ptr[l->at] == '+' || l->text.ptr[l->at] == '-')) {
        complex = true;
        good = scan_number(l) && l->text.ptr[l->at - 1] == 'i';
    }
    if (!good) {
        char text[96];
        snprintf(text, sizeof(text), "bad number syntax: \"%.*s\"", (int)MIN(l->at - l->start, 64),
                 l->text.ptr + l->start);
        return lex_error(l, str_c(text));
    }
    return emit(l, complex ? TOKEN_COMPLEX : TOKEN_NUMBER);
}

static bool lex_quoted(lexer *l, char quote)
{
    static const struct {
        char quote;
        token_kind kind;
        str unterminated;
    } kinds[] = {
        { '"', TOKEN_STRING, STR_INIT("unterminated quoted string") },
        { '`', TOKEN_RAW_STRING, STR_INIT("unterminated raw quoted string") },
        { '\'', TOKEN_CHARACTER, STR_INIT("unterminated character constant") },
    };
    size_t k = 0;
    while (kinds[k].quote != quote)
        k++;
    for (; l->at < l->text.len; l->at++) {
        char c = l->text.ptr[l->at];
        if (c == quote) {
            l->at++;
            return emit(l, kinds[k].kind);
        }
        if (quote != '`' && c == '\\')
            l->at++;
        if (quote != '`' && l->at < l->text.len && l->text.ptr[l->at] == '\n')
            break;
    }
    return lex_error(l, kinds[k].unterminated);
}

static bool lex_spaces(lexer *l)
{
    bool trim;
    while (l->at < l->text.len && is_space(l->text.ptr[l->at]) && !at_right(l, l->at, &trim))
        l->at++;
    /* The last space belongs to the trim marker. */
    return l->at == l->start || emit(l, TOKEN_SPACE);
}

static bool lex_paren(lexer *l, bool open)
{
    l->depth += open ? 1 : -1;
    if (l->depth < 0)
        return lex_error(l, STR("unexpected right paren"));
    return emit(l, open ? TOKEN_OPEN : TOKEN_CLOSE);
}

/* One token between the delimiters; the one at l->at is no white space and no right delimiter. */
static bool lex_one(lexer *l)
{
    static const str single = STR_INIT("=|");
    char c = l->text.ptr[l->at++];
    char next = l->at < l->text.len ? l->text.ptr[l->at] : '\0';
    if (str_find_char(single, c) != SIZE_MAX)
        return emit(l, c == '=' ? TOKEN_ASSIGN : TOKEN_PIPE);
    if (c == ':' && next != '=')
        return lex_error(l, STR("expected :="));
    if (c == ':') {
        l->at++;
        return emit(l, TOKEN_DECLARE);
    }
    if (c == '"' || c == '`' || c == '\'')
        return lex_quoted(l, c);
    if (c == '$' || (c == '.' && l->at < l->text.len && (next < '0' || next > '9')))
        return lex_field(l, c == '$' ? TOKEN_VARIABLE : TOKEN_FIELD);
    if (c == '(' || c == ')')
        return lex_paren(l, c == '(');
    l->at--;
    if (c == '.' || c == '+' || c == '-' || (c >= '0' && c <= '9'))
        return lex_number(l);
    size_t size;
    if (is_word(rune_at(l, l->at, &size)))
        return lex_word(l);
    if (c < ' ' || c > '~')
        return lex_error_rune(l, "unrecognized character in action", l->at);
    l->at++;
    return emit(l, TOKEN_OTHER);
}

static bool lex_action(lexer *l)
{
    for (;;) {
        bool trim;
        if (at_right(l, l->at, &trim)) {
            if (l->depth)
                return lex_error(l, STR("unclosed left paren"));
            l->at += trim ? 2 : 0;
            skip(l);
            l->at += 2;
            bool ok = emit(l, TOKEN_RIGHT);
            skip_space_after(l, trim);
            return ok;
        }
        if (l->at >= l->text.len)
            return lex_error(l, STR("unclosed action"));
        if (!(is_space(l->text.ptr[l->at]) ? lex_spaces(l) : lex_one(l)))
            return false;
    }
}

/* Text up to the next action or comment, and that. */
static bool lex_some(lexer *l)
{
    size_t found = str_find(str_slice(l->text, l->at, l->text.len), STR("{{"));
    size_t end = found == SIZE_MAX ? l->text.len : l->at + found;
    size_t stop = end;
    bool trim = found != SIZE_MAX && left_trim(l->text, end + 2);
    while (trim && stop > l->start && is_space(l->text.ptr[stop - 1]))
        stop--;
    l->at = stop;
    if (stop > l->start && !emit(l, TOKEN_TEXT))
        return false;
    l->at = end;
    skip(l);
    if (found == SIZE_MAX)
        return false;
    l->at += 2;
    if (starts(l->text, l->at + (trim ? 2 : 0), STR("/*"))) {
        l->at += trim ? 2 : 0;
        return lex_comment(l);
    }
    if (!emit(l, TOKEN_LEFT))
        return false;
    l->at += trim ? 2 : 0;
    skip(l);
    l->depth = 0;
    return lex_action(l);
}

bool template_lex(arena *a, str text, token_list *ret)
{
    lexer l = { .a = a, .text = text, .line = 1, .start_line = 1, .out = ret };
    *ret = (token_list){ 0 };
    while (lex_some(&l))
        ;
    if (!l.no_memory && (!ret->count || ret->items[ret->count - 1].kind != TOKEN_ERROR))
        put(&l, TOKEN_EOF, STR("EOF"));
    return !l.no_memory;
}
