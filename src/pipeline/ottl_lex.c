// SPDX-License-Identifier: Apache-2.0
/* OTTL's tokens. */
#include "pipeline/ottl_internal.h"

#include <ctype.h>
#include <stdarg.h>
#include <stdio.h>

status ottl_fail(error *err, uint32_t at, const char *format, ...)
{
    char text[320];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof(text), format, args);
    va_end(args);
    return fail(err, STATUS_INVALID, "column %u: %s", at + 1, text);
}

static bool is_name(char c)
{
    return isalnum((unsigned char)c) || c == '_';
}

static status lex_string(ottl_lexer *l, error *err)
{
    uint32_t start = (uint32_t)l->at++;
    char *out = arena_alloc(l->memory, l->text.len - start);
    size_t n = 0;
    if (!out)
        return fail(err, STATUS_NO_MEMORY, "no memory for a condition");
    while (l->at < l->text.len && l->text.ptr[l->at] != '"') {
        char c = l->text.ptr[l->at++];
        if (c == '\\' && l->at < l->text.len) {
            c = l->text.ptr[l->at++];
            static const char from[] = "ntr", to[] = "\n\t\r";
            const char *known = c ? strchr(from, c) : NULL;
            if (known)
                c = to[known - from];
            else if (c != '"' && c != '\\' && c != '/')
                out[n++] = '\\'; /* as in "\d+": what no escape is stays as it is */
        }
        out[n++] = c;
    }
    if (l->at >= l->text.len)
        return ottl_fail(err, start, "this string has no closing quote");
    l->at++;
    l->token = (ottl_token){ TOKEN_STRING, start, str_n(out, n), VALUE_S(str_n(out, n)) };
    return STATUS_OK;
}

static status lex_bytes(ottl_lexer *l, error *err)
{
    uint32_t start = (uint32_t)l->at;
    l->at += 2;
    size_t from = l->at;
    while (l->at < l->text.len && is_name(l->text.ptr[l->at]))
        l->at++;
    size_t digits = l->at - from;
    uint8_t *out = arena_alloc(l->memory, digits / 2 + 1);
    if (!out)
        return fail(err, STATUS_NO_MEMORY, "no memory for a condition");
    if (digits % 2 || !str_from_hex(str_slice(l->text, from, l->at), out, digits / 2))
        return ottl_fail(err, start, "bytes are 0x and an even number of hexadecimal digits");
    value v = { .type = VALUE_BYTES, .s = str_n(out, digits / 2) };
    l->token = (ottl_token){ TOKEN_BYTES, start, v.s, v };
    return STATUS_OK;
}

static status lex_number(ottl_lexer *l, error *err)
{
    uint32_t start = (uint32_t)l->at;
    bool is_float = false;
    while (l->at < l->text.len) {
        char c = l->text.ptr[l->at];
        bool exponent_sign = (c == '+' || c == '-') && (l->text.ptr[l->at - 1] | 32) == 'e';
        if (!isdigit((unsigned char)c) && c != '.' && (c | 32) != 'e' && !exponent_sign)
            break;
        is_float |= !isdigit((unsigned char)c);
        l->at++;
    }
    str text = str_slice(l->text, start, l->at);
    double f = 0;
    int64_t i = 0;
    if (is_float ? !str_to_f64(text, &f) : !str_to_i64(text, &i))
        return ottl_fail(err, start, "%.*s is no number that fits into 64 bits",
                         (int)MIN(text.len, 60), text.ptr);
    l->token = (ottl_token){ is_float ? TOKEN_FLOAT : TOKEN_INT, start, text,
                             is_float ? VALUE_D(f) : VALUE_I(i) };
    return STATUS_OK;
}

static status lex_operator(ottl_lexer *l, error *err)
{
    static const char *const operators[] = { "==", "!=", "<=", ">=", "<", ">", "(", ")",
                                             "[",  "]",  ",",  ".",  "+", "-", "*", "/" };
    str rest = str_slice(l->text, l->at, l->text.len);
    for (size_t i = 0; i < ARRAY_LEN(operators); i++)
        if (str_starts(rest, str_c(operators[i]))) {
            l->token = (ottl_token){ .type = TOKEN_OPERATOR,
                                     .at = (uint32_t)l->at,
                                     .text = str_c(operators[i]) };
            l->at += l->token.text.len;
            return STATUS_OK;
        }
    char c = rest.ptr[0];
    if (c == '=')
        return ottl_fail(err, (uint32_t)l->at, "\"=\" is no operator; equality is \"==\"");
    if (c == '\'')
        return ottl_fail(err, (uint32_t)l->at, "strings stand in double quotes");
    return ottl_fail(err, (uint32_t)l->at, "\"%c\" means nothing here",
                     isprint((unsigned char)c) ? c : '?');
}

status ottl_next(ottl_lexer *l, error *err)
{
    while (l->at < l->text.len && isspace((unsigned char)l->text.ptr[l->at]))
        l->at++;
    if (l->at >= l->text.len) {
        l->token =
            (ottl_token){ .type = TOKEN_END, .at = (uint32_t)l->text.len, .text = STR("the end") };
        return STATUS_OK;
    }
    char c = l->text.ptr[l->at], next = l->at + 1 < l->text.len ? l->text.ptr[l->at + 1] : 0;
    if (c == '"')
        return lex_string(l, err);
    if (c == '0' && (next | 32) == 'x')
        return lex_bytes(l, err);
    if (isdigit((unsigned char)c) || (c == '.' && isdigit((unsigned char)next)))
        return lex_number(l, err);
    if (!is_name(c))
        return lex_operator(l, err);
    size_t from = l->at;
    while (l->at < l->text.len && is_name(l->text.ptr[l->at]))
        l->at++;
    l->token = (ottl_token){ .type = TOKEN_NAME,
                             .at = (uint32_t)from,
                             .text = str_slice(l->text, from, l->at) };
    return STATUS_OK;
}
