// SPDX-License-Identifier: Apache-2.0
/* Reading quoted texts; used by the lexers of PromQL and LogQL. */
#include "query/quote.h"

static int hex_digit(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    if (c >= 'A' && c <= 'F')
        return c - 'A' + 10;
    return -1;
}

/* \xHH, \uHHHH, \UHHHHHHHH or \OOO; s starts behind the backslash. 0 when malformed. */
static size_t numeric_escape(str s, char *out, size_t *out_len)
{
    bool octal = s.ptr[0] >= '0' && s.ptr[0] <= '7';
    size_t from = octal ? 0 : 1;
    size_t digits = octal ? 3 : s.ptr[0] == 'x' ? 2 : s.ptr[0] == 'u' ? 4 : 8;
    uint32_t code = 0;
    if (s.len < from + digits)
        return 0;
    for (size_t i = from; i < from + digits; i++) {
        int d = hex_digit(s.ptr[i]);
        if (d < 0 || (octal && d > 7))
            return 0;
        code = code * (octal ? 8 : 16) + (uint32_t)d;
    }
    bool byte = octal || s.ptr[0] == 'x';
    if (code > (byte ? 0xFFu : 0x10FFFFu) || (!byte && code >= 0xD800 && code < 0xE000))
        return 0;
    if (byte)
        out[(*out_len)++] = (char)code;
    else
        *out_len += utf8_put(out + *out_len, code);
    return from + digits;
}

/* One escape at s (behind the backslash); the number of bytes taken, 0 when it is none. */
static size_t one_escape(str s, char quote, char *out, size_t *out_len)
{
    static const str names = STR_INIT("abfnrtv\\");
    static const char values[] = "\a\b\f\n\r\t\v\\";
    if (s.len == 0)
        return 0;
    size_t simple = str_find_char(names, s.ptr[0]);
    if (simple != SIZE_MAX || s.ptr[0] == quote) {
        out[(*out_len)++] = simple != SIZE_MAX ? values[simple] : quote;
        return 1;
    }
    if (str_find_char(STR("xuU01234567"), s.ptr[0]) != SIZE_MAX)
        return numeric_escape(s, out, out_len);
    return 0;
}

const char *unquote(str s, arena *a, str *ret, size_t *ret_length)
{
    char quote = s.ptr[0];
    if (quote == '`') {
        size_t end = str_find_char(str_slice(s, 1, s.len), '`');
        if (end == SIZE_MAX)
            return "unterminated raw string";
        *ret = str_slice(s, 1, end + 1);
        *ret_length = end + 2;
        return NULL;
    }
    size_t end = 1;
    while (end < s.len && s.ptr[end] != quote && s.ptr[end] != '\n')
        end += s.ptr[end] == '\\' ? 2 : 1;
    if (end >= s.len || s.ptr[end] != quote)
        return "unterminated quoted string";
    char *out = arena_alloc_aligned(a, end, 1);
    if (!out)
        return "no memory for a string";
    size_t n = 0;
    for (size_t i = 1; i < end;) {
        if (s.ptr[i] != '\\') {
            out[n++] = s.ptr[i++];
            continue;
        }
        size_t taken = one_escape(str_slice(s, i + 1, end), quote, out, &n);
        if (!taken)
            return "unknown escape sequence";
        i += 1 + taken;
    }
    *ret = (str){ out, n };
    *ret_length = end + 1;
    return NULL;
}
