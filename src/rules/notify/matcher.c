// SPDX-License-Identifier: Apache-2.0
/* Matchers: reading, printing, matching; see matcher.h. */
#include "rules/notify/matcher.h"

#include <stdlib.h>

static const struct {
    const char *text;
    match_op op;
} operators[] = { { "=~", MATCH_RE }, { "!~", MATCH_NRE }, { "!=", MATCH_NE }, { "=", MATCH_EQ } };

status notify_matchers_add(arena *a, notify_matchers *list, str name, match_op op, str value,
                           error *err)
{
    regex *re = NULL;
    if (list->count >= NOTIFY_MATCHERS_MAX)
        return fail(err, STATUS_LIMIT, "more than %d matchers", NOTIFY_MATCHERS_MAX);
    notify_matcher *items = arena_grow(a, list->items, list->count * sizeof(*items),
                                       (list->count + 1u) * sizeof(*items));
    name = arena_str(a, name);
    value = arena_str(a, value);
    if (!items || !name.ptr || !value.ptr)
        return fail(err, STATUS_LIMIT, "no memory for matchers");
    if (op == MATCH_RE || op == MATCH_NRE) {
        status st = regex_compile(&re, value, REGEX_WHOLE, a, err);
        if (st != STATUS_OK)
            return st;
    }
    items[list->count] = (notify_matcher){ name, op, value, re };
    list->items = items;
    list->count++;
    return STATUS_OK;
}

/* ---- reading ---- */

typedef struct {
    str rest;
    bool braces;
    arena *arena;
    error *err;
} text_reader;

static void skip_space(text_reader *r)
{
    while (r->rest.len && strchr(" \t\r\n", r->rest.ptr[0]))
        r->rest = str_slice(r->rest, 1, r->rest.len);
}

/* What stands in double quotes, with \\, \" and \n resolved; any other escape stays as it is. */
static status read_quoted(text_reader *r, str *ret)
{
    char *text = arena_alloc_aligned(r->arena, r->rest.len + 1, 1);
    size_t n = 0, i = 1;
    if (!text)
        return fail(r->err, STATUS_LIMIT, "no memory for matchers");
    for (; i < r->rest.len && r->rest.ptr[i] != '"'; i++) {
        char c = r->rest.ptr[i];
        char next = i + 1 < r->rest.len ? r->rest.ptr[i + 1] : 0;
        if (c == '\\' && next && strchr("\\\"n", next)) {
            c = next == 'n' ? '\n' : next;
            i++;
        }
        text[n++] = c;
    }
    if (i >= r->rest.len)
        return fail(r->err, STATUS_INVALID, "the closing quote is missing");
    r->rest = str_slice(r->rest, i + 1, r->rest.len);
    *ret = str_n(text, n);
    return STATUS_OK;
}

/* A value without quotes reaches to the next comma, or the brace that ends the list. */
static status read_bare_value(text_reader *r, str *ret)
{
    size_t end = str_find_char(r->rest, ',');
    str value = str_slice(r->rest, 0, end);
    r->rest = str_slice(r->rest, value.len, r->rest.len);
    value = str_trim(value);
    if (r->braces && !r->rest.len && str_ends(value, STR("}"))) {
        value = str_trim(str_slice(value, 0, value.len - 1));
        r->rest = STR("}");
    }
    if (str_find_char(value, '"') != SIZE_MAX)
        return fail(r->err, STATUS_INVALID, "a quote stands in the value %.*s: quote it whole",
                    STR_ARG(str_slice(value, 0, 80)));
    *ret = value;
    return STATUS_OK;
}

static bool is_name_end(char c)
{
    return strchr("=!~<>,{}\" \t\r\n", c) != NULL;
}

static status read_name(text_reader *r, str *ret)
{
    size_t end = 0;
    if (str_starts(r->rest, STR("\"")))
        return read_quoted(r, ret);
    while (end < r->rest.len && !is_name_end(r->rest.ptr[end]))
        end++;
    *ret = str_slice(r->rest, 0, end);
    r->rest = str_slice(r->rest, end, r->rest.len);
    return STATUS_OK;
}

static status read_operator(text_reader *r, match_op *ret)
{
    skip_space(r);
    for (size_t i = 0; i < ARRAY_LEN(operators); i++)
        if (str_starts(r->rest, str_c(operators[i].text))) {
            *ret = operators[i].op;
            r->rest = str_slice(r->rest, strlen(operators[i].text), r->rest.len);
            skip_space(r);
            return STATUS_OK;
        }
    return fail(r->err, STATUS_INVALID, "wants =, !=, =~ or !~ after the name");
}

static status read_one(text_reader *r, notify_matchers *list)
{
    str name, value;
    match_op op = MATCH_EQ;
    status st = read_name(r, &name);
    if (st == STATUS_OK && !name.len)
        st = fail(r->err, STATUS_INVALID, "wants a name, as in severity=\"critical\"");
    if (st == STATUS_OK)
        st = read_operator(r, &op);
    if (st == STATUS_OK)
        st = str_starts(r->rest, STR("\"")) ? read_quoted(r, &value) : read_bare_value(r, &value);
    return st == STATUS_OK ? notify_matchers_add(r->arena, list, name, op, value, r->err) : st;
}

static status read_list(text_reader *r, notify_matchers *list)
{
    for (;;) {
        skip_space(r);
        if (r->braces && str_starts(r->rest, STR("}"))) {
            r->rest = str_slice(r->rest, 1, r->rest.len);
            r->braces = false;
            skip_space(r);
            return r->rest.len ? fail(r->err, STATUS_INVALID, "something follows the \"}\"")
                               : STATUS_OK;
        }
        if (!r->rest.len)
            return r->braces ? fail(r->err, STATUS_INVALID, "the closing \"}\" is missing")
                             : STATUS_OK;
        status st = read_one(r, list);
        if (st != STATUS_OK)
            return st;
        skip_space(r);
        if (str_starts(r->rest, STR(",")))
            r->rest = str_slice(r->rest, 1, r->rest.len);
        else if (r->rest.len && !str_starts(r->rest, STR("}")))
            return fail(r->err, STATUS_INVALID, "wants a comma between matchers");
        else if (r->rest.len && !r->braces)
            return fail(r->err, STATUS_INVALID, "a \"}\" without \"{\"");
    }
}

status notify_matchers_parse(arena *a, str text, notify_matchers *list, error *err)
{
    error why;
    text_reader r = { str_trim(text), false, a, &why };
    if (str_starts(r.rest, STR("{"))) {
        r.braces = true;
        r.rest = str_slice(r.rest, 1, r.rest.len);
    }
    status st = read_list(&r, list);
    if (st != STATUS_OK)
        return fail(err, st, "bad matcher format: %.*s: %s", STR_ARG(str_slice(text, 0, 100)),
                    why.message);
    return STATUS_OK;
}

/* ---- printing ---- */

static int compare(const void *a, const void *b)
{
    const notify_matcher *x = a, *y = b;
    int c = str_cmp(x->name, y->name);
    if (c == 0)
        c = str_cmp(x->value, y->value);
    return c ? c : (int)x->op - (int)y->op;
}

void notify_matchers_sort(notify_matchers *list)
{
    if (list->count)
        qsort(list->items, list->count, sizeof(*list->items), compare);
}

static const char *operator_text(match_op op)
{
    for (size_t i = 0; i < ARRAY_LEN(operators); i++)
        if (operators[i].op == op)
            return operators[i].text;
    return "=";
}

void notify_matchers_print(buf *out, const notify_matchers *list)
{
    buf_char(out, '{');
    for (uint32_t i = 0; i < list->count; i++) {
        const notify_matcher *m = &list->items[i];
        buf_fmt(out, "%s%.*s%s", i ? "," : "", STR_ARG(m->name), operator_text(m->op));
        print_quoted(out, m->value);
    }
    buf_char(out, '}');
}

/* ---- matching ---- */

bool notify_matcher_takes(const notify_matcher *m, str value)
{
    bool found = false;
    error err;
    if (!m->re)
        return str_eq(m->value, value) == (m->op == MATCH_EQ);
    if (regex_match(m->re, value, &found, &err) != STATUS_OK)
        return false;
    return found == (m->op == MATCH_RE);
}

bool notify_matchers_take(const notify_matchers *list, labels l)
{
    for (uint32_t i = 0; i < list->count; i++)
        if (!notify_matcher_takes(&list->items[i], labels_get(l, list->items[i].name)))
            return false;
    return true;
}

bool notify_matchers_equal(const notify_matchers *a, const notify_matchers *b)
{
    if (a->count != b->count)
        return false;
    for (uint32_t i = 0; i < a->count; i++)
        if (compare(&a->items[i], &b->items[i]) != 0)
            return false;
    return true;
}
