// SPDX-License-Identifier: Apache-2.0
/* A Loki stream's labels as one text: {name="value", …}, values quoted as Go quotes ("", with
 * escapes, or `` without). Label names starting with "__" are internal and left out. */
#include "codec/loki_push.h"

#include <ctype.h>

typedef struct {
    const char *at, *end, *start;
    arena *arena;
    const char *problem;
} label_parser;

static bool problem(label_parser *p, const char *text)
{
    if (!p->problem)
        p->problem = text;
    return false;
}

static void skip_blanks(label_parser *p)
{
    while (p->at < p->end && isspace((unsigned char)*p->at))
        p->at++;
}

static bool take(label_parser *p, char c)
{
    skip_blanks(p);
    if (p->at == p->end || *p->at != c)
        return false;
    p->at++;
    return true;
}

static int digit_of(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    c = (char)tolower((unsigned char)c);
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : 99;
}

/* `digits` digits of a number; the byte or code point that they name. */
static bool escape_number(label_parser *p, int digits, int base, uint32_t *ret)
{
    uint32_t v = 0;
    for (int i = 0; i < digits; i++) {
        if (p->at == p->end || digit_of(*p->at) >= base)
            return problem(p, "an escape sequence with too few digits");
        v = v * (uint32_t)base + (uint32_t)digit_of(*p->at++);
    }
    *ret = v;
    return true;
}

/* After the backslash. Writes at most 4 bytes. */
static bool take_escape(label_parser *p, char *out, size_t *n)
{
    static const char plain[] = "abfnrtv\\'\"", bytes[] = "\a\b\f\n\r\t\v\\'\"";
    static const struct {
        char letter;
        int digits, base;
    } numbers[] = { { 'x', 2, 16 }, { 'u', 4, 16 }, { 'U', 8, 16 } };
    uint32_t v;
    if (p->at == p->end)
        return problem(p, "a quoted value has no end");
    char c = *p->at++;
    const char *known = c ? strchr(plain, c) : NULL;
    if (known) {
        out[(*n)++] = bytes[known - plain];
        return true;
    }
    for (size_t i = 0; i < ARRAY_LEN(numbers); i++) {
        if (numbers[i].letter != c)
            continue;
        if (!escape_number(p, numbers[i].digits, numbers[i].base, &v))
            return false;
        if (c == 'x')
            out[(*n)++] = (char)v;
        else
            *n += utf8_put(out + *n, v);
        return true;
    }
    if (c >= '0' && c <= '7') {
        p->at--;
        if (!escape_number(p, 3, 8, &v))
            return false;
        out[(*n)++] = (char)v;
        return true;
    }
    return problem(p, "an unknown escape sequence");
}

static bool take_raw(label_parser *p, str *ret)
{
    const char *end = memchr(p->at, '`', (size_t)(p->end - p->at));
    if (!end)
        return problem(p, "a quoted value has no end");
    *ret = str_n(p->at, (size_t)(end - p->at));
    p->at = end + 1;
    return true;
}

static bool take_quoted(label_parser *p, str *ret)
{
    if (take(p, '`'))
        return take_raw(p, ret);
    if (!take(p, '"'))
        return problem(p, "a value in double quotes was expected");
    const char *start = p->at;
    while (p->at < p->end && *p->at != '"' && *p->at != '\\')
        p->at++;
    if (p->at < p->end && *p->at == '"') {
        *ret = str_n(start, (size_t)(p->at++ - start));
        return true;
    }
    /* No escape writes more bytes than it has. */
    char *out = arena_alloc_aligned(p->arena, (size_t)(p->end - start) + 4, 1);
    size_t n = (size_t)(p->at - start);
    if (!out)
        return problem(p, "no memory");
    memcpy(out, start, n);
    while (p->at < p->end && *p->at != '"') {
        if (*p->at != '\\')
            out[n++] = *p->at++;
        else if (p->at++, !take_escape(p, out, &n))
            return false;
    }
    if (p->at == p->end)
        return problem(p, "a quoted value has no end");
    p->at++;
    *ret = str_n(out, n);
    return true;
}

static bool take_name(label_parser *p, str *ret)
{
    skip_blanks(p);
    if (p->at < p->end && *p->at == '"')
        return take_quoted(p, ret);
    const char *start = p->at;
    while (p->at < p->end && (isalnum((unsigned char)*p->at) || (*p->at && strchr("_:.", *p->at))))
        p->at++;
    *ret = str_n(start, (size_t)(p->at - start));
    if (!ret->len || isdigit((unsigned char)*start))
        return problem(p, "a label name was expected");
    return true;
}

static bool take_labels(label_parser *p, uint32_t max, attrs *ret)
{
    uint32_t capacity = ret->count;
    str name, text;
    if (!take(p, '{'))
        return problem(p, "'{' was expected");
    while (!take(p, '}')) {
        if (!take_name(p, &name))
            return false;
        if (!take(p, '='))
            return problem(p, "'=' was expected");
        if (!take_quoted(p, &text))
            return false;
        if (ret->count >= max)
            return problem(p, "too many labels");
        if (!str_starts(name, STR("__")) &&
            (!(name = arena_utf8(p->arena, name)).ptr || !(text = arena_utf8(p->arena, text)).ptr ||
             !attrs_append(p->arena, ret, &capacity, name, VALUE_S(text))))
            return problem(p, "no memory");
        if (take(p, ','))
            continue;
        if (!take(p, '}'))
            return problem(p, "',' or '}' was expected");
        break;
    }
    skip_blanks(p);
    return p->at == p->end || problem(p, "nothing was expected after '}'");
}

status loki_labels_parse(str text, uint32_t max, arena *a, attrs *ret, error *err)
{
    label_parser p = { text.ptr, text.ptr + text.len, text.ptr, a, NULL };
    if (take_labels(&p, max, ret))
        return STATUS_OK;
    bool memory = strcmp(p.problem, "no memory") == 0;
    return fail(err, memory ? STATUS_NO_MEMORY : STATUS_INVALID, "labels %.*s: %s, at byte %zu",
                (int)MIN(text.len, (size_t)100), text.ptr, p.problem, (size_t)(p.at - p.start));
}
