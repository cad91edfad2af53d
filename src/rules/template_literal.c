// SPDX-License-Identifier: Apache-2.0
/* Numbers and characters that stand in templates, as Go's untyped constants: one value that fits
 * each type it can have. */
#include "query/quote.h"
#include "rules/template_internal.h"

/* Without the underscores between digits. False when it is too long. */
static bool plain_text(str text, char *plain, size_t size)
{
    size_t n = 0;
    for (size_t i = 0; i < text.len; i++)
        if (text.ptr[i] != '_') {
            if (n + 1 >= size)
                return false;
            plain[n++] = text.ptr[i];
        }
    plain[n] = '\0';
    return true;
}

static uint32_t digit_value(char c)
{
    char low = (char)(c | 0x20);
    if (c >= '0' && c <= '9')
        return (uint32_t)(c - '0');
    return low >= 'a' && low <= 'f' ? (uint32_t)(low - 'a' + 10) : 99;
}

/* 0x, 0o, 0b, and a leading 0 for octal. */
static uint32_t take_base(str *s)
{
    if (s->len < 2 || s->ptr[0] != '0')
        return 10;
    char c = (char)(s->ptr[1] | 0x20);
    *s = str_slice(*s, c == 'x' || c == 'b' || c == 'o' ? 2 : 1, s->len);
    return c == 'x' ? 16 : c == 'b' ? 2 : 8;
}

static bool read_integer(str s, int64_t *ret)
{
    bool negative = s.len && s.ptr[0] == '-';
    if (s.len && (negative || s.ptr[0] == '+'))
        s = str_slice(s, 1, s.len);
    uint32_t base = take_base(&s);
    uint64_t value = 0;
    for (size_t i = 0; i < s.len; i++) {
        uint32_t digit = digit_value(s.ptr[i]);
        if (digit >= base || __builtin_mul_overflow(value, base, &value) ||
            __builtin_add_overflow(value, digit, &value))
            return false;
    }
    if (!s.len || value > (uint64_t)INT64_MAX + negative)
        return false;
    *ret = negative ? (int64_t)(0 - value) : (int64_t)value;
    return true;
}

static const char *read_character(arena *a, str text, template_node *ret)
{
    str value;
    size_t length, runes = 0;
    uint32_t code = 0;
    if (unquote(text, a, &value, &length))
        return "invalid syntax";
    for (size_t i = 0; i < value.len; i++) {
        uint8_t c = (uint8_t)value.ptr[i];
        bool follows = (c & 0xC0) == 0x80 && runes;
        uint32_t bits = c < 0x80 ? c : c & (c >= 0xF0 ? 7u : c >= 0xE0 ? 15u : 31u);
        code = follows ? code << 6 | (c & 0x3F) : bits;
        runes += !follows;
    }
    if (runes != 1)
        return runes ? "malformed character constant: " : "invalid syntax";
    ret->is_int = ret->is_float = true;
    ret->integer = code;
    ret->number = code;
    return NULL;
}

const char *template_read_number(arena *a, const token *t, template_node *ret)
{
    char plain[128];
    if (t->kind == TOKEN_CHARACTER)
        return read_character(a, t->text, ret);
    if (t->kind == TOKEN_COMPLEX || str_ends(t->text, STR("i")))
        return "complex numbers are not supported: \"";
    if (!plain_text(t->text, plain, sizeof(plain)))
        return "illegal number syntax: \"";
    bool looks_float = strpbrk(plain, ".eEpP") != NULL;
    bool hex_integer = plain[0] == '0' && (plain[1] | 0x20) == 'x' && !strpbrk(plain, "pP");
    if (read_integer(str_c(plain), &ret->integer)) {
        ret->is_int = true;
        ret->number = (double)ret->integer;
    } else if (!str_to_f64(str_c(plain), &ret->number)) {
        return "illegal number syntax: \"";
    } else if (!looks_float && (plain[0] == '0' || !(ret->number > 0 && ret->number < 0x1p64))) {
        return "integer overflow: \"";
    } else if (looks_float && ret->number >= -9.2e18 && ret->number <= 9.2e18) {
        ret->is_int = (double)(int64_t)ret->number == ret->number;
        ret->integer = (int64_t)ret->number;
    }
    ret->is_float = true;
    ret->is_fraction = looks_float && !hex_integer;
    return NULL;
}
