// SPDX-License-Identifier: Apache-2.0
/* printf of templates: Go's verbs, flags, widths and its texts for what does not fit. */
#include "rules/template_internal.h"

#define WIDTH_LIMIT 10000

typedef struct {
    buf *out;
    const template_value *args;
    size_t count, next;
    bool reordered, bad_index;
    bool plus, minus, sharp, space, zero;
    int width, precision; /* -1: none */
} printer;

static size_t rune_count(str s)
{
    size_t n = 0;
    for (size_t i = 0; i < s.len; i++)
        n += ((uint8_t)s.ptr[i] & 0xC0) != 0x80;
    return n;
}

static void pad(printer *p, str s)
{
    size_t width = p->width > 0 ? (size_t)p->width : 0, n = rune_count(s);
    size_t fill = width > n ? width - n : 0;
    if (p->minus)
        buf_str(p->out, s);
    for (size_t i = 0; i < fill; i++)
        buf_char(p->out, p->zero && !p->minus ? '0' : ' ');
    if (!p->minus)
        buf_str(p->out, s);
}

static str cut_runes(str s, int precision)
{
    size_t at = 0;
    for (int n = 0; at < s.len && n < precision; n++)
        do
            at++;
        while (at < s.len && ((uint8_t)s.ptr[at] & 0xC0) == 0x80);
    return str_slice(s, 0, at);
}

static void put_hex(printer *p, str s, bool upper)
{
    buf text;
    buf_init(&text, MiB(1));
    size_t n = p->precision >= 0 ? MIN((size_t)p->precision, s.len) : s.len;
    for (size_t i = 0; i < n; i++) {
        if (p->space && i)
            buf_char(&text, ' ');
        if (p->sharp && (p->space || !i))
            buf_str(&text, upper ? STR("0X") : STR("0x"));
        if (upper)
            buf_fmt(&text, "%02X", (uint8_t)s.ptr[i]);
        else
            buf_fmt(&text, "%02x", (uint8_t)s.ptr[i]);
    }
    pad(p, buf_view(&text));
    p->out->failed |= text.failed;
    buf_done(&text);
}

/* False when the verb is none of a text. */
static bool put_text(printer *p, str s, char verb)
{
    if (verb == 'x' || verb == 'X') {
        put_hex(p, s, verb == 'X');
        return true;
    }
    if (verb != 'v' && verb != 's' && verb != 'q')
        return false;
    if (p->precision >= 0)
        s = cut_runes(s, p->precision);
    if (verb != 'q') {
        pad(p, s);
        return true;
    }
    buf text;
    buf_init(&text, MiB(1));
    if (p->sharp && str_find_char(s, '`') == SIZE_MAX && str_find_char(s, '\n') == SIZE_MAX)
        buf_fmt(&text, "`%.*s`", STR_ARG(s));
    else
        print_quoted(&text, s);
    pad(p, buf_view(&text));
    p->out->failed |= text.failed;
    buf_done(&text);
    return true;
}

static void digits_of(uint64_t v, uint32_t base, bool upper, char *text, size_t *at)
{
    do {
        text[--*at] = (upper ? "0123456789ABCDEF" : "0123456789abcdef")[v % base];
        v /= base;
    } while (v);
}

static bool put_character(printer *p, int64_t v, char verb)
{
    char text[48];
    uint32_t code = v < 0 || v > 0x10FFFF ? 0xFFFD : (uint32_t)v;
    size_t n = utf8_put(text, code);
    if (verb == 'c') {
        pad(p, str_n(text, n));
        return true;
    }
    buf whole;
    buf_init(&whole, 64);
    if (verb == 'U')
        buf_fmt(&whole, "U+%04X", (unsigned)v);
    else if (code == '\'' || code == '\\')
        buf_fmt(&whole, "'\\%c'", (char)code);
    else
        buf_fmt(&whole, "'%.*s'", (int)n, text);
    pad(p, buf_view(&whole));
    buf_done(&whole);
    return true;
}

static bool put_integer(printer *p, int64_t v, char verb)
{
    static const struct {
        char verb;
        uint32_t base;
        const char *prefix; /* with # */
    } bases[] = { { 'd', 10, "" },  { 'v', 10, "" },   { 'b', 2, "0b" }, { 'o', 8, "0" },
                  { 'O', 8, "0o" }, { 'x', 16, "0x" }, { 'X', 16, "0X" } };
    if (verb == 'c' || verb == 'q' || verb == 'U')
        return put_character(p, v, verb);
    size_t k = 0;
    while (k < ARRAY_LEN(bases) && bases[k].verb != verb)
        k++;
    if (k == ARRAY_LEN(bases))
        return false;
    buf whole;
    buf_init(&whole, KiB(32));
    char text[72];
    size_t at = sizeof(text);
    if (v || p->precision != 0)
        digits_of(v < 0 ? 0 - (uint64_t)v : (uint64_t)v, bases[k].base, verb == 'X', text, &at);
    str sign = v < 0 ? STR("-") : p->plus ? STR("+") : p->space ? STR(" ") : STR_EMPTY;
    int least = p->precision;
    if (least < 0 && p->zero && !p->minus && p->width > 0)
        least = p->width - (int)sign.len;
    bool zero = p->zero;
    p->zero = false;
    buf_str(&whole, sign);
    if (p->sharp || verb == 'O')
        buf_str(&whole, str_c(bases[k].prefix));
    for (size_t n = sizeof(text) - at; (int)n < least; n++)
        buf_char(&whole, '0');
    buf_add(&whole, text + at, sizeof(text) - at);
    if (v || p->precision != 0 || p->width >= 0)
        pad(p, buf_view(&whole));
    p->zero = zero;
    buf_done(&whole);
    return true;
}

static bool put_float(printer *p, double v, char verb)
{
    if (verb != 'v' && str_find_char(STR("eEfFgG"), verb) == SIZE_MAX)
        return false;
    bool g = verb == 'v' || verb == 'g' || verb == 'G';
    buf whole, number;
    buf_init(&whole, KiB(32));
    buf_init(&number, KiB(4));
    template_format_float(&number, v, verb == 'v' ? 'g' : verb,
                          p->precision >= 0 ? p->precision
                          : g               ? -1
                                            : 6);
    str text = buf_view(&number);
    bool finite = text.len && text.ptr[text.len - 1] != 'f' && text.ptr[text.len - 1] != 'N';
    bool negative = text.len && text.ptr[0] == '-';
    if (text.len && (negative || text.ptr[0] == '+'))
        text = str_slice(text, 1, text.len);
    bool infinite = !finite && text.ptr[0] == 'I';
    str sign = negative               ? STR("-")
               : p->space && !p->plus ? STR(" ")
               : p->plus || infinite  ? STR("+")
                                      : STR_EMPTY;
    bool zero = p->zero;
    buf_str(&whole, sign);
    if (zero && finite && !p->minus)
        for (size_t n = sign.len + text.len; (int)n < p->width; n++)
            buf_char(&whole, '0');
    p->zero = false;
    buf_str(&whole, text);
    pad(p, buf_view(&whole));
    p->zero = zero;
    buf_done(&whole);
    buf_done(&number);
    return true;
}

static void put_value(printer *p, const template_value *v, char verb, bool nested);

static void put_list(printer *p, const template_value *v, char verb)
{
    buf_char(p->out, '[');
    for (size_t i = 0; i < v->list.count; i++) {
        if (i)
            buf_char(p->out, ' ');
        put_value(p, &v->list.items[i], verb, true);
    }
    buf_char(p->out, ']');
}

static void put_members(printer *p, const template_value *v, char verb)
{
    bool map = v->kind == TEMPLATE_MAP;
    buf_str(p->out, map ? STR("map[") : STR("{"));
    for (size_t i = 0; i < v->map.count; i++) {
        if (i)
            buf_char(p->out, ' ');
        if (map)
            put_value(p, &(template_value){ .kind = TEMPLATE_STRING, .text = v->map.items[i].name },
                      verb, true);
        else if (p->plus)
            buf_str(p->out, v->map.items[i].name);
        if (map || p->plus)
            buf_char(p->out, ':');
        put_value(p, &v->map.items[i].value, verb, true);
    }
    buf_char(p->out, map ? ']' : '}');
}

/* What has a String method, as text. */
static bool put_stringer(printer *p, const template_value *v, char verb)
{
    buf text;
    buf_init(&text, MiB(1));
    template_print_inner(&text, v);
    bool ok = put_text(p, buf_view(&text), verb);
    p->out->failed |= text.failed;
    buf_done(&text);
    return ok;
}

static bool is_stringer(const template_value *v)
{
    return v->kind == TEMPLATE_TIME || v->kind == TEMPLATE_DURATION || v->kind == TEMPLATE_OTHER ||
           v->type == &template_type_kv || v->type == &template_type_pairs;
}

static bool put_kind(printer *p, const template_value *v, char verb)
{
    if (is_stringer(v) && put_stringer(p, v, verb))
        return true;
    switch (v->kind) {
    case TEMPLATE_BOOL:
        if (verb != 't' && verb != 'v')
            return false;
        pad(p, v->boolean ? STR("true") : STR("false"));
        return true;
    case TEMPLATE_INT:
    case TEMPLATE_DURATION:
        return put_integer(p, v->integer, verb);
    case TEMPLATE_FLOAT:
        return put_float(p, v->number, verb);
    case TEMPLATE_STRING:
        return put_text(p, v->text, verb);
    case TEMPLATE_LIST:
        put_list(p, v, verb);
        return true;
    case TEMPLATE_MAP:
    case TEMPLATE_STRUCT:
        put_members(p, v, verb);
        return true;
    default:
        return false;
    }
}

static void put_bad_verb(printer *p, const template_value *v, char verb)
{
    buf_fmt(p->out, "%%!%c(", verb);
    if (v->kind == TEMPLATE_NIL) {
        buf_lit(p->out, "<nil>");
    } else {
        buf_fmt(p->out, "%s=", template_type_name(v));
        put_kind(p, v, 'v');
    }
    buf_char(p->out, ')');
}

static void put_value(printer *p, const template_value *v, char verb, bool nested)
{
    if (verb == 'T' && !nested) {
        put_text(p, v->kind == TEMPLATE_NIL ? STR("<nil>") : str_c(template_type_name(v)), 's');
        return;
    }
    if (v->kind == TEMPLATE_NIL && (verb == 'v' || (nested && verb == 's'))) {
        pad(p, verb == 'v' ? STR("<nil>") : STR("%!s(<nil>)"));
        return;
    }
    if (v->kind == TEMPLATE_NIL || !put_kind(p, v, verb))
        put_bad_verb(p, v, verb);
}

/* "[3]" at s: moves to that argument; the bytes taken. */
static size_t read_index(printer *p, str s)
{
    if (!s.len || s.ptr[0] != '[')
        return 0;
    size_t end = str_find_char(s, ']');
    uint64_t index = 0;
    p->reordered = true;
    if (end == SIZE_MAX || !str_to_u64(str_slice(s, 1, end), &index) || !index ||
        index > p->count) {
        p->bad_index = true;
        return end == SIZE_MAX ? 1 : end + 1;
    }
    p->next = (size_t)index - 1;
    return end + 1;
}

/* A number or "*"; the bytes taken. */
static size_t read_number(printer *p, str s, int *ret, const char *bad)
{
    size_t n = 0;
    if (s.len && s.ptr[0] == '*') {
        const template_value *v = p->next < p->count ? &p->args[p->next] : NULL;
        p->next += v != NULL;
        if (v && v->kind == TEMPLATE_INT && v->integer >= -WIDTH_LIMIT && v->integer <= WIDTH_LIMIT)
            *ret = (int)v->integer;
        else
            buf_fmt(p->out, "%%!(%s)", bad);
        return 1;
    }
    int value = 0;
    for (; n < s.len && s.ptr[n] >= '0' && s.ptr[n] <= '9'; n++)
        if (value <= WIDTH_LIMIT)
            value = value * 10 + (s.ptr[n] - '0');
    if (n)
        *ret = MIN(value, WIDTH_LIMIT);
    return n;
}

static size_t read_flags(printer *p, str s)
{
    size_t i = 0;
    for (; i < s.len; i++) {
        switch (s.ptr[i]) {
        case '+':
            p->plus = true;
            break;
        case '-':
            p->minus = true;
            break;
        case '#':
            p->sharp = true;
            break;
        case ' ':
            p->space = true;
            break;
        case '0':
            p->zero = true;
            break;
        default:
            return i;
        }
    }
    return i;
}

/* One directive behind its "%"; the bytes taken. */
static size_t directive(printer *p, str s)
{
    p->plus = p->minus = p->sharp = p->space = p->zero = p->bad_index = false;
    p->width = p->precision = -1;
    size_t i = read_flags(p, s);
    i += read_index(p, str_slice(s, i, s.len));
    i += read_number(p, str_slice(s, i, s.len), &p->width, "BADWIDTH");
    if (p->width < -1) {
        p->minus = true;
        p->width = -p->width;
    }
    if (i < s.len && s.ptr[i] == '.') {
        i++;
        p->precision = 0;
        i += read_index(p, str_slice(s, i, s.len));
        i += read_number(p, str_slice(s, i, s.len), &p->precision, "BADPREC");
    }
    i += read_index(p, str_slice(s, i, s.len));
    if (i >= s.len) {
        buf_lit(p->out, "%!(NOVERB)");
        return i;
    }
    str verb = cut_runes(str_slice(s, i, s.len), 1);
    if (verb.ptr[0] == '%')
        buf_char(p->out, '%');
    else if (p->bad_index)
        buf_fmt(p->out, "%%!%.*s(BADINDEX)", STR_ARG(verb));
    else if (p->next >= p->count)
        buf_fmt(p->out, "%%!%.*s(MISSING)", STR_ARG(verb));
    else
        put_value(p, &p->args[p->next++], verb.ptr[0], false);
    return i + verb.len;
}

void template_printf(buf *out, str format, const template_value *args, size_t count)
{
    printer p = { .out = out, .args = args, .count = count };
    for (size_t i = 0; i < format.len && !out->failed;) {
        size_t found = str_find_char(str_slice(format, i, format.len), '%');
        size_t end = found == SIZE_MAX ? format.len : i + found;
        buf_str(out, str_slice(format, i, end));
        i = end;
        if (i < format.len)
            i += 1 + directive(&p, str_slice(format, i + 1, format.len));
    }
    if (p.reordered || p.next >= count)
        return;
    buf_lit(out, "%!(EXTRA ");
    p.plus = p.minus = p.sharp = p.space = p.zero = false;
    p.width = p.precision = -1;
    for (size_t i = p.next; i < count; i++) {
        if (i > p.next)
            buf_lit(out, ", ");
        if (args[i].kind == TEMPLATE_NIL) {
            buf_lit(out, "<nil>");
            continue;
        }
        buf_fmt(out, "%s=", template_type_name(&args[i]));
        put_value(&p, &args[i], 'v', false);
    }
    buf_char(out, ')');
}
