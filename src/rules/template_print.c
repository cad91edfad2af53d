// SPDX-License-Identifier: Apache-2.0
/* Values of templates as text: what Go's fmt prints for %v, floats as strconv formats them, and the
 * escapes of HTML and query strings. */
#include "rules/template_internal.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#define NESTING_LIMIT 32

/* ---- floats ---- */

/* The fewest decimal digits that read back as v (finite, not negative); *ret_exponent of the first
 * one. */
static size_t shortest_digits(double v, char *digits, int *ret_exponent)
{
    char text[40];
    for (int precision = 0; precision < 17; precision++) {
        snprintf(text, sizeof(text), "%.*e", precision, v);
        if (strtod(text, NULL) == v)
            break;
    }
    size_t n = 0;
    const char *p = text;
    for (; *p && *p != 'e'; p++)
        if (*p != '.')
            digits[n++] = *p;
    *ret_exponent = *p ? (int)strtol(p + 1, NULL, 10) : 0;
    return n;
}

static void put_exponent(buf *out, char letter, int exponent)
{
    buf_fmt(out, "%c%c%02d", letter, exponent < 0 ? '-' : '+', abs(exponent));
}

static void put_positional(buf *out, const char *digits, size_t n, int exponent)
{
    if (exponent < 0)
        buf_lit(out, "0.");
    for (int i = -1; i > exponent; i--)
        buf_char(out, '0');
    for (size_t i = 0; i < n; i++) {
        if (i && (int)i == exponent + 1)
            buf_char(out, '.');
        buf_char(out, digits[i]);
    }
    for (int i = (int)n; i <= exponent; i++)
        buf_char(out, '0');
}

static void format_shortest(buf *out, double v, char verb)
{
    char digits[32];
    int exponent = 0;
    char letter = verb == 'E' || verb == 'G' ? 'E' : 'e';
    size_t n = shortest_digits(v, digits, &exponent);
    bool scientific = verb == 'e' || verb == 'E';
    if ((verb == 'g' || verb == 'G') && (exponent < -4 || exponent >= 6))
        scientific = true;
    if (!scientific) {
        put_positional(out, digits, n, exponent);
        return;
    }
    buf_char(out, digits[0]);
    if (n > 1)
        buf_char(out, '.');
    buf_add(out, digits + 1, n - 1);
    put_exponent(out, letter, exponent);
}

void template_format_float(buf *out, double v, char verb, int precision)
{
    if (isnan(v) || isinf(v)) {
        buf_str(out, isnan(v) ? STR("NaN") : v > 0 ? STR("+Inf") : STR("-Inf"));
        return;
    }
    if (signbit(v))
        buf_char(out, '-');
    v = fabs(v);
    if (precision < 0) {
        format_shortest(out, v, verb);
        return;
    }
    const char format[] = { '%', '.', '*', verb == 'F' ? 'f' : verb, '\0' };
    char text[1600]; /* 309 digits before the point, at most 1,000 behind it */
    int n;
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
    n = snprintf(text, sizeof(text), format, MIN(precision, 1000), v);
#pragma GCC diagnostic pop
    buf_add(out, text, (size_t)n);
}

/* ---- values ---- */

const char *template_type_name(const template_value *v)
{
    static const char *const names[] = {
        [TEMPLATE_NIL] = "nil",
        [TEMPLATE_BOOL] = "bool",
        [TEMPLATE_INT] = "int",
        [TEMPLATE_FLOAT] = "float64",
        [TEMPLATE_STRING] = "string",
        [TEMPLATE_LIST] = "[]interface {}",
        [TEMPLATE_MAP] = "map[string]interface {}",
        [TEMPLATE_STRUCT] = "struct {}",
        [TEMPLATE_TIME] = "time.Time",
        [TEMPLATE_DURATION] = "time.Duration",
        [TEMPLATE_OTHER] = "*histogram.FloatHistogram",
    };
    return v->type && v->type->name ? v->type->name : names[v->kind];
}

bool template_truth(const template_value *v)
{
    switch (v->kind) {
    case TEMPLATE_NIL:
        return false;
    case TEMPLATE_BOOL:
        return v->boolean;
    case TEMPLATE_INT:
    case TEMPLATE_DURATION:
        return v->integer != 0;
    case TEMPLATE_FLOAT:
        return v->number != 0;
    case TEMPLATE_STRING:
        return v->text.len > 0;
    case TEMPLATE_LIST:
        return v->list.count > 0;
    case TEMPLATE_MAP:
        return v->map.count > 0;
    default:
        return true;
    }
}

const template_value *template_member_find(const template_value *map, str name)
{
    for (size_t i = 0; i < map->map.count; i++)
        if (str_eq(map->map.items[i].name, name))
            return &map->map.items[i].value;
    return NULL;
}

static int compare_members(const void *a, const void *b)
{
    return str_cmp(((const template_member *)a)->name, ((const template_member *)b)->name);
}

const template_member *template_sorted(arena *a, const template_value *map)
{
    size_t n = map->map.count;
    template_member *copy = ARENA_ARRAY(a, template_member, n + 1);
    if (!copy)
        return NULL;
    if (n)
        memcpy(copy, map->map.items, n * sizeof(*copy));
    qsort(copy, n, sizeof(*copy), compare_members);
    return copy;
}

bool template_string_list(arena *a, const str *items, size_t count, template_value *ret)
{
    template_value *values = ARENA_ARRAY(a, template_value, count + 1);
    if (!values)
        return false;
    for (size_t i = 0; i < count; i++)
        values[i] = template_text(items[i]);
    *ret = template_list(values, count, &template_type_strings);
    return true;
}

bool template_label_map(arena *a, const label *items, uint32_t count, const template_type *type,
                        template_value *ret)
{
    template_member *members = ARENA_ARRAY(a, template_member, (size_t)count + 1);
    if (!members)
        return false;
    for (uint32_t i = 0; i < count; i++)
        members[i] = (template_member){ items[i].name, template_text(items[i].value) };
    *ret = (template_value){ .kind = TEMPLATE_MAP, .type = type, .map = { members, count } };
    return true;
}

static void print_nested(buf *out, const template_value *v, uint32_t depth);

static void print_members(buf *out, const template_value *v, const template_member *members,
                          uint32_t depth)
{
    bool map = v->kind == TEMPLATE_MAP;
    buf_str(out, map ? STR("map[") : STR("{"));
    for (size_t i = 0; i < v->map.count; i++) {
        if (i)
            buf_char(out, ' ');
        if (map) {
            buf_str(out, members[i].name);
            buf_char(out, ':');
        }
        print_nested(out, &members[i].value, depth);
    }
    buf_char(out, map ? ']' : '}');
}

/* name=value, …; alertname stands first, the others in their order. */
static void print_pairs(buf *out, const template_member *members, size_t count)
{
    static const str first = STR_INIT("alertname");
    bool more = false;
    for (int pass = 0; pass < 2; pass++)
        for (size_t i = 0; i < count; i++) {
            if (str_eq(members[i].name, first) != (pass == 0))
                continue;
            if (more)
                buf_lit(out, ", ");
            buf_str(out, members[i].name);
            buf_char(out, '=');
            template_print(out, &members[i].value);
            more = true;
        }
}

static void print_map(buf *out, const template_value *v, uint32_t depth)
{
    template_member *sorted = malloc((v->map.count + 1) * sizeof(*sorted));
    if (!sorted) {
        out->failed = true;
        return;
    }
    if (v->map.count)
        memcpy(sorted, v->map.items, v->map.count * sizeof(*sorted));
    qsort(sorted, v->map.count, sizeof(*sorted), compare_members);
    if (v->type == &template_type_kv)
        print_pairs(out, sorted, v->map.count);
    else
        print_members(out, v, sorted, depth);
    free(sorted);
}

static void print_list(buf *out, const template_value *v, uint32_t depth)
{
    bool pairs = v->type == &template_type_pairs;
    if (!pairs)
        buf_char(out, '[');
    for (size_t i = 0; i < v->list.count; i++) {
        const template_value *item = &v->list.items[i];
        if (i)
            buf_str(out, pairs ? STR(", ") : STR(" "));
        if (!pairs || item->map.count != 2) {
            print_nested(out, item, depth);
            continue;
        }
        print_nested(out, &item->map.items[0].value, depth);
        buf_char(out, '=');
        print_nested(out, &item->map.items[1].value, depth);
    }
    if (!pairs)
        buf_char(out, ']');
}

static void print_nested(buf *out, const template_value *v, uint32_t depth)
{
    if (depth > NESTING_LIMIT) {
        buf_lit(out, "…");
        return;
    }
    switch (v->kind) {
    case TEMPLATE_NIL:
        buf_lit(out, "<nil>");
        break;
    case TEMPLATE_BOOL:
        buf_str(out, v->boolean ? STR("true") : STR("false"));
        break;
    case TEMPLATE_INT:
        buf_i64(out, v->integer);
        break;
    case TEMPLATE_FLOAT:
        template_format_float(out, v->number, 'g', -1);
        break;
    case TEMPLATE_STRING:
    case TEMPLATE_OTHER:
        buf_str(out, v->text);
        break;
    case TEMPLATE_LIST:
        print_list(out, v, depth + 1);
        break;
    case TEMPLATE_MAP:
        print_map(out, v, depth + 1);
        break;
    case TEMPLATE_STRUCT:
        print_members(out, v, v->map.items, depth + 1);
        break;
    case TEMPLATE_TIME:
        template_print_time(out, v);
        break;
    case TEMPLATE_DURATION:
        template_print_duration(out, v->integer);
        break;
    }
}

void template_print(buf *out, const template_value *v)
{
    if (v->kind == TEMPLATE_NIL)
        buf_lit(out, "<no value>");
    else
        print_nested(out, v, 0);
}

void template_print_inner(buf *out, const template_value *v)
{
    print_nested(out, v, 0);
}

void template_print_all(buf *out, const template_value *args, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        if (i && args[i - 1].kind != TEMPLATE_STRING && args[i].kind != TEMPLATE_STRING)
            buf_char(out, ' ');
        print_nested(out, &args[i], 0);
    }
}

/* ---- escapes ---- */

void template_escape_html(buf *out, str s, bool of_html_package)
{
    for (size_t i = 0; i < s.len; i++) {
        static const struct {
            char from;
            str to;
        } escapes[] = { { '"', STR_INIT("&#34;") }, { '\'', STR_INIT("&#39;") },
                        { '&', STR_INIT("&amp;") }, { '<', STR_INIT("&lt;") },
                        { '>', STR_INIT("&gt;") },  { '\0', STR_INIT("\xEF\xBF\xBD") },
                        { '+', STR_INIT("&#43;") } };
        size_t k = 0, n = ARRAY_LEN(escapes) - !of_html_package;
        while (k < n && escapes[k].from != s.ptr[i])
            k++;
        if (k < n)
            buf_str(out, escapes[k].to);
        else
            buf_char(out, s.ptr[i]);
    }
}

void template_escape_query(buf *out, str s)
{
    for (size_t i = 0; i < s.len; i++) {
        char c = s.ptr[i], low = (char)(c | 0x20);
        if ((low >= 'a' && low <= 'z') || (c >= '0' && c <= '9') ||
            str_find_char(STR("-_.~"), c) != SIZE_MAX)
            buf_char(out, c);
        else if (c == ' ')
            buf_char(out, '+');
        else
            buf_fmt(out, "%%%02X", (uint8_t)c);
    }
}
