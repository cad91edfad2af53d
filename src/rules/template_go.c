// SPDX-License-Identifier: Apache-2.0
/* The functions that Go's templates have by themselves. */
#include "rules/template_internal.h"

#define RESULT_LIMIT MiB(4) /* bytes that one call may return */

void template_buf(template_call *call, buf *b)
{
    size_t limit = call->context->output_limit;
    buf_init(b, limit ? MIN(limit, RESULT_LIMIT) : MiB(1));
}

status template_return_buf(template_call *call, buf *b, const template_type *type)
{
    str text = b->failed ? (str){ NULL, 0 } : arena_str(call->memory, buf_view(b));
    bool failed = b->failed;
    size_t limit = b->limit;
    buf_done(b);
    if (!text.ptr)
        return failed ? fail(call->err, STATUS_LIMIT,
                             "a function's result is too long, the limit is %zu bytes", limit)
                      : fail(call->err, STATUS_LIMIT, "no memory for a function's result");
    *call->ret = template_typed_text(text, type);
    return STATUS_OK;
}

static status return_bool(template_call *call, bool v)
{
    *call->ret = template_bool(v);
    return STATUS_OK;
}

/* `and` and `or` never get here: they are evaluated where they are called. */
static status run_logic(template_call *call)
{
    *call->ret = call->args[call->count - 1];
    return STATUS_OK;
}

static status run_not(template_call *call)
{
    return return_bool(call, !template_truth(&call->args[0]));
}

/* ---- printing ---- */

static status run_print(template_call *call)
{
    buf b;
    template_buf(call, &b);
    template_print_all(&b, call->args, call->count);
    return template_return_buf(call, &b, NULL);
}

static status run_println(template_call *call)
{
    buf b;
    template_buf(call, &b);
    for (size_t i = 0; i < call->count; i++) {
        if (i)
            buf_char(&b, ' ');
        template_print_inner(&b, &call->args[i]);
    }
    buf_char(&b, '\n');
    return template_return_buf(call, &b, NULL);
}

static status run_printf(template_call *call)
{
    buf b;
    template_buf(call, &b);
    template_printf(&b, call->args[0].text, call->args + 1, call->count - 1);
    return template_return_buf(call, &b, NULL);
}

/* The arguments as one text, as the escaping functions take them: nil is a text, too. */
static void print_arguments(buf *b, const template_call *call)
{
    bool text = true; /* the one before */
    for (size_t i = 0; i < call->count; i++) {
        bool is_text = call->args[i].kind == TEMPLATE_STRING || call->args[i].kind == TEMPLATE_NIL;
        if (i && !text && !is_text)
            buf_char(b, ' ');
        template_print(b, &call->args[i]);
        text = is_text;
    }
}

static status escape(template_call *call, void (*put)(buf *out, str s), const template_type *type)
{
    buf text, b;
    template_buf(call, &text);
    template_buf(call, &b);
    print_arguments(&text, call);
    put(&b, buf_view(&text));
    b.failed |= text.failed;
    buf_done(&text);
    return template_return_buf(call, &b, type);
}

static void put_html(buf *out, str s)
{
    template_escape_html(out, s, false);
}

static void put_js(buf *out, str s)
{
    for (size_t i = 0; i < s.len; i++) {
        char c = s.ptr[i];
        if (c == '\\' || c == '\'' || c == '"') {
            buf_char(out, '\\');
            buf_char(out, c);
        } else if ((uint8_t)c < ' ' || str_find_char(STR("<>&="), c) != SIZE_MAX) {
            buf_fmt(out, "\\u%04X", (uint8_t)c);
        } else {
            buf_char(out, c);
        }
    }
}

static status run_html(template_call *call)
{
    return escape(call, put_html, call->context->html ? &template_type_html : NULL);
}

static status run_js(template_call *call)
{
    return escape(call, put_js, NULL);
}

static status run_urlquery(template_call *call)
{
    return escape(call, template_escape_query, NULL);
}

/* ---- lists, maps, texts ---- */

static status run_len(template_call *call)
{
    const template_value *v = &call->args[0];
    switch (v->kind) {
    case TEMPLATE_STRING:
        *call->ret = template_int((int64_t)v->text.len);
        return STATUS_OK;
    case TEMPLATE_LIST:
        *call->ret = template_int((int64_t)v->list.count);
        return STATUS_OK;
    case TEMPLATE_MAP:
        *call->ret = template_int((int64_t)v->map.count);
        return STATUS_OK;
    case TEMPLATE_NIL:
        return fail(call->err, STATUS_INVALID, "reflect: call of reflect.Value.Type on zero Value");
    default:
        return fail(call->err, STATUS_INVALID, "len of type %s", template_type_name(v));
    }
}

static status read_position(template_call *call, const template_value *v, size_t limit, size_t *ret)
{
    if (v->kind == TEMPLATE_NIL)
        return fail(call->err, STATUS_INVALID, "cannot index slice/array with nil");
    if (v->kind != TEMPLATE_INT)
        return fail(call->err, STATUS_INVALID, "cannot index slice/array with type %s",
                    template_type_name(v));
    if (v->integer < 0 || (uint64_t)v->integer > limit)
        return fail(call->err, STATUS_INVALID, "index out of range: %lld", (long long)v->integer);
    *ret = (size_t)v->integer;
    return STATUS_OK;
}

static status index_list(template_call *call, const template_value *item, const template_value *at,
                         template_value *ret)
{
    bool text = item->kind == TEMPLATE_STRING;
    size_t n = text ? item->text.len : item->list.count, position = 0;
    status st = read_position(call, at, n, &position);
    if (st != STATUS_OK)
        return st;
    if (position == n)
        return fail(call->err, STATUS_INVALID, "reflect: %s index out of range",
                    text ? "string" : "slice");
    *ret = text ? template_int((uint8_t)item->text.ptr[position]) : item->list.items[position];
    return STATUS_OK;
}

static status index_one(template_call *call, const template_value *item, const template_value *at,
                        template_value *ret)
{
    if (item->kind == TEMPLATE_NIL)
        return fail(call->err, STATUS_INVALID, "index of nil pointer");
    if (item->kind == TEMPLATE_LIST || item->kind == TEMPLATE_STRING)
        return index_list(call, item, at, ret);
    if (item->kind != TEMPLATE_MAP)
        return fail(call->err, STATUS_INVALID, "can't index item of type %s",
                    template_type_name(item));
    if (at->kind == TEMPLATE_NIL)
        return fail(call->err, STATUS_INVALID, "value is nil; should be of type string");
    if (at->kind != TEMPLATE_STRING)
        return fail(call->err, STATUS_INVALID, "value has type %s; should be string",
                    template_type_name(at));
    const template_value *found = template_member_find(item, at->text);
    *ret = found                               ? *found
           : item->type && item->type->strings ? template_text(STR_EMPTY)
                                               : (template_value){ 0 };
    return STATUS_OK;
}

static status run_index(template_call *call)
{
    template_value item = call->args[0];
    if (item.kind == TEMPLATE_NIL)
        return fail(call->err, STATUS_INVALID, "index of untyped nil");
    for (size_t i = 1; i < call->count; i++) {
        template_value inner;
        status st = index_one(call, &item, &call->args[i], &inner);
        if (st != STATUS_OK)
            return st;
        item = inner;
    }
    *call->ret = item;
    return STATUS_OK;
}

static status run_slice(template_call *call)
{
    const template_value *item = &call->args[0];
    bool text = item->kind == TEMPLATE_STRING;
    if (item->kind == TEMPLATE_NIL)
        return fail(call->err, STATUS_INVALID, "slice of untyped nil");
    if (call->count > 4)
        return fail(call->err, STATUS_INVALID, "too many slice indexes: %zu", call->count - 1);
    if (text && call->count == 4)
        return fail(call->err, STATUS_INVALID, "cannot 3-index slice a string");
    if (!text && item->kind != TEMPLATE_LIST)
        return fail(call->err, STATUS_INVALID, "can't slice item of type %s",
                    template_type_name(item));
    size_t n = text ? item->text.len : item->list.count;
    size_t at[3] = { 0, n, n };
    for (size_t i = 1; i < call->count; i++) {
        status st = read_position(call, &call->args[i], n, &at[i - 1]);
        if (st != STATUS_OK)
            return st;
    }
    for (size_t i = 0; i < 2; i++)
        if (at[i] > at[i + 1])
            return fail(call->err, STATUS_INVALID, "invalid slice index: %zu > %zu", at[i],
                        at[i + 1]);
    *call->ret = *item;
    if (text)
        call->ret->text = str_slice(item->text, at[0], at[1]);
    else
        call->ret->list.items = item->list.items + at[0], call->ret->list.count = at[1] - at[0];
    return STATUS_OK;
}

static status run_call(template_call *call)
{
    if (call->args[0].kind == TEMPLATE_NIL)
        return fail(call->err, STATUS_INVALID, "call of nil");
    buf text;
    buf_init(&text, KiB(1));
    template_print_inner(&text, &call->args[0]);
    fail(call->err, STATUS_INVALID, "non-function %.*s of type %s",
         STR_ARG(str_slice(buf_view(&text), 0, 100)), template_type_name(&call->args[0]));
    buf_done(&text);
    return STATUS_INVALID;
}

/* ---- comparison ---- */

typedef enum { BASIC_NONE, BASIC_BOOL, BASIC_INT, BASIC_FLOAT, BASIC_STRING } basic_kind;

static basic_kind basic(const template_value *v)
{
    switch (v->kind) {
    case TEMPLATE_BOOL:
        return BASIC_BOOL;
    case TEMPLATE_INT:
    case TEMPLATE_DURATION:
        return BASIC_INT;
    case TEMPLATE_FLOAT:
        return BASIC_FLOAT;
    case TEMPLATE_STRING:
        return BASIC_STRING;
    default:
        return BASIC_NONE;
    }
}

static bool incompatible(template_call *call, const template_value *a, const template_value *b)
{
    fail(call->err, STATUS_INVALID, "incompatible types for comparison: %s and %s",
         template_type_name(a), template_type_name(b));
    return false;
}

/* False with an error when the two cannot be compared. */
static bool equal(template_call *call, const template_value *a, const template_value *b, bool *ret)
{
    basic_kind ka = basic(a), kb = basic(b);
    bool nil = a->kind == TEMPLATE_NIL || b->kind == TEMPLATE_NIL;
    if (ka != kb && !nil)
        return incompatible(call, a, b);
    if (nil)
        *ret = a->kind == b->kind;
    else if (ka == BASIC_BOOL)
        *ret = a->boolean == b->boolean;
    else if (ka == BASIC_INT)
        *ret = a->integer == b->integer;
    else if (ka == BASIC_FLOAT)
        *ret = a->number == b->number;
    else if (ka == BASIC_STRING)
        *ret = str_eq(a->text, b->text);
    else if (a->kind == TEMPLATE_TIME && b->kind == TEMPLATE_TIME)
        *ret = a->time.ns == b->time.ns;
    else {
        buf text;
        buf_init(&text, 256);
        template_print_inner(&text, b);
        fail(call->err, STATUS_INVALID, "non-comparable type %.*s: %s", STR_ARG(buf_view(&text)),
             template_type_name(b));
        buf_done(&text);
        return false;
    }
    return true;
}

static status run_eq(template_call *call)
{
    bool same = false;
    if (call->count < 2)
        return fail(call->err, STATUS_INVALID, "missing argument for comparison");
    for (size_t i = 1; i < call->count && !same; i++)
        if (!equal(call, &call->args[0], &call->args[i], &same))
            return STATUS_INVALID;
    return return_bool(call, same);
}

static status run_ne(template_call *call)
{
    bool same = false;
    if (!equal(call, &call->args[0], &call->args[1], &same))
        return STATUS_INVALID;
    return return_bool(call, !same);
}

typedef struct {
    bool less, same;
} order;

static bool compare(template_call *call, order *ret)
{
    const template_value *a = &call->args[0], *b = &call->args[1];
    basic_kind ka = basic(a), kb = basic(b);
    if (ka == BASIC_NONE || kb == BASIC_NONE || (ka == kb && ka == BASIC_BOOL)) {
        fail(call->err, STATUS_INVALID, "invalid type for comparison");
        return false;
    }
    if (ka != kb)
        return incompatible(call, a, b);
    if (ka == BASIC_INT)
        *ret = (order){ a->integer < b->integer, a->integer == b->integer };
    else if (ka == BASIC_FLOAT)
        *ret = (order){ a->number < b->number, a->number == b->number };
    else
        *ret = (order){ str_cmp(a->text, b->text) < 0, str_eq(a->text, b->text) };
    return true;
}

static status run_lt(template_call *call)
{
    order o;
    return compare(call, &o) ? return_bool(call, o.less) : STATUS_INVALID;
}

static status run_le(template_call *call)
{
    order o;
    return compare(call, &o) ? return_bool(call, o.less || o.same) : STATUS_INVALID;
}

static status run_gt(template_call *call)
{
    order o;
    return compare(call, &o) ? return_bool(call, !o.less && !o.same) : STATUS_INVALID;
}

static status run_ge(template_call *call)
{
    order o;
    return compare(call, &o) ? return_bool(call, !o.less) : STATUS_INVALID;
}

static const template_function functions[] = {
    { "and", "aa.", run_logic, "and X Y…",
      "The first argument that is empty, else the last one; later ones are not evaluated." },
    { "call", "aa.", run_call, "call F X…", "Calls a function value; there are none here." },
    { "eq", "aa.", run_eq, "eq X Y…", "Whether X equals one of the others." },
    { "ge", "aa", run_ge, "ge X Y", "X >= Y." },
    { "gt", "aa", run_gt, "gt X Y", "X > Y." },
    { "html", "a.", run_html, "html X…", "The text with HTML's special characters escaped." },
    { "index", "aa.", run_index, "index X I…", "X[I]… of a list, map or text." },
    { "js", "a.", run_js, "js X…", "The text escaped for a JavaScript string." },
    { "le", "aa", run_le, "le X Y", "X <= Y." },
    { "len", "a", run_len, "len X", "The length of a list, map or text (in bytes)." },
    { "lt", "aa", run_lt, "lt X Y", "X < Y." },
    { "ne", "aa", run_ne, "ne X Y", "Whether X differs from Y." },
    { "not", "a", run_not, "not X", "True when X is false, 0, nil or empty." },
    { "or", "aa.", run_logic, "or X Y…",
      "The first argument that is not empty, else the last one; later ones are not evaluated." },
    { "print", "a.", run_print, "print X…", "The arguments as text." },
    { "printf", "sa.", run_printf, "printf FORMAT X…", "The arguments by Go's format." },
    { "println", "a.", run_println, "println X…", "The arguments and an end of line." },
    { "slice", "aa.", run_slice, "slice X FROM TO", "The part X[FROM:TO] of a list or text." },
    { "urlquery", "a.", run_urlquery, "urlquery X…", "The text escaped for a URL's query." },
};

const template_function_table template_go_functions = {
    functions,
    ARRAY_LEN(functions),
    "Of the language",
    "Built into Go's templates; known in rules and in notifications.",
    true,
    true
};
