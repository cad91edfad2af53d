// SPDX-License-Identifier: Apache-2.0
/* OTTL's conditions from text to a tree whose paths, functions and patterns are resolved. A Pratt
 * parser: operators bind by the table below. All of a condition lives in its own arena, but for its
 * patterns, which a list in it names. */
#include "pipeline/ottl_internal.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>

#define OTTL_MEMORY_LIMIT MiB(1)

struct ottl {
    arena arena;
    ottl_node *root;
    ottl_context context;
    pattern **patterns; /* up to OTTL_PATTERNS */
    uint32_t pattern_count;
};

enum { OTTL_PATTERNS = 64 };

typedef struct {
    ottl *o;
    ottl_lexer lexer;
    ottl_token token; /* the one to read next */
    unsigned depth;
    error *err;
} parser;

static status parse(parser *p, int binding, ottl_node **ret);

/* ---- enums ---- */

static const struct {
    const char *name;
    int64_t number;
} enums[] = {
    { "SPAN_KIND_UNSPECIFIED", 0 },
    { "SPAN_KIND_INTERNAL", 1 },
    { "SPAN_KIND_SERVER", 2 },
    { "SPAN_KIND_CLIENT", 3 },
    { "SPAN_KIND_PRODUCER", 4 },
    { "SPAN_KIND_CONSUMER", 5 },
    { "STATUS_CODE_UNSET", 0 },
    { "STATUS_CODE_OK", 1 },
    { "STATUS_CODE_ERROR", 2 },
    { "METRIC_DATA_TYPE_NONE", 0 },
    { "METRIC_DATA_TYPE_GAUGE", 1 },
    { "METRIC_DATA_TYPE_SUM", 2 },
    { "METRIC_DATA_TYPE_HISTOGRAM", 3 },
    { "METRIC_DATA_TYPE_EXPONENTIAL_HISTOGRAM", 4 },
    { "METRIC_DATA_TYPE_SUMMARY", 5 },
    { "AGGREGATION_TEMPORALITY_UNSPECIFIED", 0 },
    { "AGGREGATION_TEMPORALITY_DELTA", 1 },
    { "AGGREGATION_TEMPORALITY_CUMULATIVE", 2 },
    { "FLAG_NONE", 0 },
    { "FLAG_NO_RECORDED_VALUE", 1 },
};

/* SEVERITY_NUMBER_WARN2: six levels of four numbers each. */
static bool severity_number(str name, int64_t *ret)
{
    static const char *const levels[] = { "TRACE", "DEBUG", "INFO", "WARN", "ERROR", "FATAL" };
    if (str_is(name, "UNSPECIFIED")) {
        *ret = 0;
        return true;
    }
    for (size_t i = 0; i < ARRAY_LEN(levels); i++) {
        if (!str_starts(name, str_c(levels[i])))
            continue;
        str rest = str_slice(name, strlen(levels[i]), name.len);
        bool numbered = rest.len == 1 && rest.ptr[0] >= '2' && rest.ptr[0] <= '4';
        if (rest.len && !numbered)
            return false;
        *ret = (int64_t)i * 4 + 1 + (numbered ? rest.ptr[0] - '1' : 0);
        return true;
    }
    return false;
}

static bool enum_number(str name, int64_t *ret)
{
    if (str_starts(name, STR("SEVERITY_NUMBER_")))
        return severity_number(str_slice(name, 16, name.len), ret);
    for (size_t i = 0; i < ARRAY_LEN(enums); i++)
        if (str_is(name, enums[i].name)) {
            *ret = enums[i].number;
            return true;
        }
    return false;
}

static bool is_enum_name(str name)
{
    bool letter = false;
    for (size_t i = 0; i < name.len; i++) {
        if (islower((unsigned char)name.ptr[i]))
            return false;
        letter |= isupper((unsigned char)name.ptr[i]) != 0;
    }
    return letter;
}

/* ---- nodes ---- */

static status no_memory(parser *p)
{
    return fail(p->err, STATUS_NO_MEMORY, "no memory for a condition");
}

static status node_new(parser *p, ottl_node_type type, uint32_t at, uint32_t items, ottl_node **ret)
{
    ottl_node *n = ARENA_NEW(&p->o->arena, ottl_node);
    if (!n)
        return no_memory(p);
    n->type = type;
    n->at = at;
    if (items && !(n->items = ARENA_ARRAY(&p->o->arena, ottl_node *, items)))
        return no_memory(p);
    n->item_count = items;
    *ret = n;
    return STATUS_OK;
}

static status advance(parser *p)
{
    status st = ottl_next(&p->lexer, p->err);
    p->token = p->lexer.token;
    return st;
}

static bool at_operator(const parser *p, const char *text)
{
    return p->token.type == TOKEN_OPERATOR && str_is(p->token.text, text);
}

static bool at_name(const parser *p, const char *text)
{
    return p->token.type == TOKEN_NAME && str_is(p->token.text, text);
}

static status expect(parser *p, const char *text, const char *where)
{
    if (!at_operator(p, text))
        return ottl_fail(p->err, p->token.at, "\"%s\" is missing %s, before \"%.*s\"", text, where,
                         (int)MIN(p->token.text.len, 40), p->token.text.ptr);
    return advance(p);
}

static status literal(parser *p, value v, ottl_node **ret)
{
    ottl_node *n = NULL;
    status st = node_new(p, NODE_LITERAL, p->token.at, 0, &n);
    if (st != STATUS_OK)
        return st;
    n->literal.v = v;
    *ret = n;
    return advance(p);
}

/* Values with commas between them, up to `close`, which is read too. */
static status sequence(parser *p, const char *close, uint32_t limit, const char *what,
                       ottl_node *into)
{
    ottl_node **items = NULL;
    uint32_t count = 0, capacity = 0;
    while (!at_operator(p, close)) {
        if (count && expect(p, ",", what) != STATUS_OK)
            return p->err->code;
        if (count == limit)
            return ottl_fail(p->err, p->token.at, "more than %u values %s", limit, what);
        if (count == capacity) {
            capacity = MAX(capacity * 2, 4u);
            ottl_node **grown = ARENA_ARRAY(&p->o->arena, ottl_node *, capacity);
            if (!grown)
                return no_memory(p);
            for (uint32_t i = 0; i < count; i++)
                grown[i] = items[i];
            items = grown;
        }
        status st = parse(p, 0, &items[count]);
        if (st != STATUS_OK)
            return st;
        count++;
    }
    into->items = items;
    into->item_count = count;
    return advance(p);
}

/* ---- paths and calls ---- */

/* ["key"][0] behind `base`. */
static status indexes(parser *p, ottl_node *base, bool allowed, ottl_node **ret)
{
    ottl_node *items[OTTL_INDEXES + 1] = { base }, *n = NULL;
    uint32_t count = 1;
    *ret = base;
    if (!at_operator(p, "["))
        return STATUS_OK;
    if (!allowed)
        return ottl_fail(p->err, p->token.at, "what stands before this \"[\" has no keys");
    while (at_operator(p, "[")) {
        uint32_t at = p->token.at;
        if (count > OTTL_INDEXES)
            return ottl_fail(p->err, at, "more than %d keys", OTTL_INDEXES);
        if (advance(p) != STATUS_OK)
            return p->err->code;
        if (p->token.type != TOKEN_STRING && p->token.type != TOKEN_INT)
            return ottl_fail(p->err, p->token.at, "a key is a \"string\" or an integer");
        if (literal(p, p->token.number, &items[count]) != STATUS_OK ||
            expect(p, "]", "after a key") != STATUS_OK)
            return p->err->code;
        count++;
    }
    status st = node_new(p, NODE_INDEX, base->at, count, &n);
    if (st != STATUS_OK)
        return st;
    for (uint32_t i = 0; i < count; i++)
        n->items[i] = items[i];
    *ret = n;
    return STATUS_OK;
}

static status path(parser *p, ottl_token first, ottl_node **ret)
{
    ottl_node *n = NULL;
    size_t end = first.at + first.text.len;
    while (at_operator(p, ".")) {
        if (advance(p) != STATUS_OK)
            return p->err->code;
        if (p->token.type != TOKEN_NAME)
            return ottl_fail(p->err, p->token.at, "a name must follow the \".\"");
        end = p->token.at + p->token.text.len;
        if (advance(p) != STATUS_OK)
            return p->err->code;
    }
    str names = str_slice(p->lexer.text, first.at, end);
    const ottl_path *found = ottl_path_find(p->o->context, names);
    if (!found) {
        const char *near = ottl_path_nearest(p->o->context, names);
        return ottl_fail(p->err, first.at, "there is no \"%.*s\" here%s%s%s",
                         (int)MIN(names.len, 80), names.ptr, *near ? "; the nearest is \"" : "",
                         near, *near ? "\"" : "");
    }
    status st = node_new(p, NODE_PATH, first.at, 0, &n);
    if (st != STATUS_OK)
        return st;
    n->path = found;
    return indexes(p, n, ottl_path_indexable(found), ret);
}

static status call_pattern(parser *p, ottl_node *n)
{
    error reason;
    const ottl_node *text = n->items[1];
    if (text->type != NODE_LITERAL || text->literal.v.type != VALUE_STR)
        return ottl_fail(p->err, text->at, "the pattern of %s must be a \"string\"",
                         n->function->name);
    if (p->o->pattern_count == OTTL_PATTERNS)
        return ottl_fail(p->err, text->at, "more than %d patterns", OTTL_PATTERNS);
    if (pattern_new(&n->pattern, text->literal.v.s, false, &reason) != STATUS_OK)
        return ottl_fail(p->err, text->at, "%s", reason.message);
    p->o->patterns[p->o->pattern_count++] = n->pattern;
    return STATUS_OK;
}

static status call_check(parser *p, ottl_node *n)
{
    const ottl_function *f = n->function;
    if (n->item_count < f->min || n->item_count > f->max)
        return ottl_fail(p->err, n->at, "%s takes %u argument%s%s, not %u", f->name, f->min,
                         f->min == 1 ? "" : "s", f->max > f->min ? " or more" : "", n->item_count);
    if (f->contexts && !(f->contexts & 1u << p->o->context))
        return ottl_fail(p->err, n->at, "%s has no meaning in this kind of condition", f->name);
    const ottl_node *first = n->item_count ? n->items[0] : NULL;
    if (f->bytes && (first->type != NODE_LITERAL || first->literal.v.type != VALUE_BYTES ||
                     first->literal.v.s.len != f->bytes))
        return ottl_fail(p->err, first->at, "%s takes 0x and %u hexadecimal digits", f->name,
                         f->bytes * 2u);
    return f->pattern ? call_pattern(p, n) : STATUS_OK;
}

static status call(parser *p, ottl_token name, ottl_node **ret)
{
    ottl_node *n = NULL;
    const ottl_function *f = ottl_function_find(name.text);
    if (!f) {
        const char *near = ottl_function_nearest(name.text);
        return ottl_fail(p->err, name.at, "there is no function \"%.*s\"%s%s%s",
                         (int)MIN(name.text.len, 60), name.text.ptr,
                         *near ? "; the nearest is \"" : "", near, *near ? "\"" : "");
    }
    status st = node_new(p, NODE_CALL, name.at, 0, &n);
    if (st == STATUS_OK)
        st = advance(p);
    if (st == STATUS_OK)
        st = sequence(p, ")", OTTL_ARGS + 1, "in this call", n);
    if (st != STATUS_OK)
        return st;
    n->function = f;
    st = call_check(p, n);
    return st == STATUS_OK ? indexes(p, n, true, ret) : st;
}

static status named(parser *p, ottl_node **ret)
{
    ottl_token name = p->token;
    int64_t number;
    if (str_is(name.text, "true") || str_is(name.text, "false"))
        return literal(p, VALUE_B(str_is(name.text, "true")), ret);
    if (str_is(name.text, "nil"))
        return literal(p, (value){ .type = VALUE_EMPTY }, ret);
    if (enum_number(name.text, &number))
        return literal(p, VALUE_I(number), ret);
    if (advance(p) != STATUS_OK)
        return p->err->code;
    if (at_operator(p, "("))
        return call(p, name, ret);
    if (is_enum_name(name.text))
        return ottl_fail(p->err, name.at, "there is no enum \"%.*s\"", (int)MIN(name.text.len, 60),
                         name.text.ptr);
    return path(p, name, ret);
}

/* ---- operators ---- */

enum { BIND_OR = 1, BIND_AND, BIND_NOT, BIND_COMPARE, BIND_ADD, BIND_MUL, BIND_UNARY };

static const struct {
    const char *text;
    int binding;
    ottl_node_type type;
    ottl_op op;
} operators[] = {
    { "or", BIND_OR, NODE_OR, 0 },
    { "and", BIND_AND, NODE_AND, 0 },
    { "==", BIND_COMPARE, NODE_COMPARE, OP_EQ },
    { "!=", BIND_COMPARE, NODE_COMPARE, OP_NE },
    { "<", BIND_COMPARE, NODE_COMPARE, OP_LT },
    { "<=", BIND_COMPARE, NODE_COMPARE, OP_LE },
    { ">", BIND_COMPARE, NODE_COMPARE, OP_GT },
    { ">=", BIND_COMPARE, NODE_COMPARE, OP_GE },
    { "+", BIND_ADD, NODE_ARITHMETIC, OP_ADD },
    { "-", BIND_ADD, NODE_ARITHMETIC, OP_SUB },
    { "*", BIND_MUL, NODE_ARITHMETIC, OP_MUL },
    { "/", BIND_MUL, NODE_ARITHMETIC, OP_DIV },
};

/* What gives true or false by its form; a path must be compared. */
static status check_condition(parser *p, const ottl_node *n)
{
    if (n->type == NODE_NOT || n->type == NODE_AND || n->type == NODE_OR ||
        n->type == NODE_COMPARE || n->type == NODE_CALL ||
        (n->type == NODE_LITERAL && n->literal.v.type == VALUE_BOOL))
        return STATUS_OK;
    return ottl_fail(p->err, n->at,
                     "a condition must stand here: a comparison such as == true, or "
                     "a function that gives a bool");
}

static status prefix(parser *p, int binding, ottl_node_type type, ottl_node **ret)
{
    ottl_node *n = NULL;
    status st = node_new(p, type, p->token.at, 1, &n);
    if (st == STATUS_OK)
        st = advance(p);
    if (st == STATUS_OK)
        st = parse(p, binding, &n->items[0]);
    if (st == STATUS_OK && type == NODE_NOT)
        st = check_condition(p, n->items[0]);
    *ret = n;
    return st;
}

static status list(parser *p, ottl_node **ret)
{
    ottl_node *n = NULL;
    status st = node_new(p, NODE_LIST, p->token.at, 0, &n);
    if (st == STATUS_OK)
        st = advance(p);
    *ret = n;
    return st == STATUS_OK ? sequence(p, "]", OTTL_LIST_LIMIT, "in this list", n) : st;
}

static status operand(parser *p, ottl_node **ret)
{
    status st;
    if (at_operator(p, "(")) {
        if ((st = advance(p)) == STATUS_OK && (st = parse(p, 0, ret)) == STATUS_OK)
            st = expect(p, ")", "for the \"(\"");
        return st;
    }
    if (at_operator(p, "["))
        return list(p, ret);
    if (at_operator(p, "-"))
        return prefix(p, BIND_UNARY, NODE_NEGATE, ret);
    if (at_name(p, "not"))
        return prefix(p, BIND_NOT, NODE_NOT, ret);
    if (p->token.type == TOKEN_NAME)
        return named(p, ret);
    if (p->token.type != TOKEN_OPERATOR && p->token.type != TOKEN_END)
        return literal(p, p->token.number, ret);
    return ottl_fail(p->err, p->token.at, "a value is missing before \"%.*s\"",
                     (int)p->token.text.len, p->token.text.ptr);
}

static status infix(parser *p, size_t i, ottl_node *left, ottl_node **ret)
{
    ottl_node *n = NULL;
    status st = node_new(p, operators[i].type, p->token.at, 2, &n);
    if (st == STATUS_OK)
        st = advance(p);
    if (st != STATUS_OK)
        return st;
    n->op = operators[i].op;
    n->items[0] = left;
    st = parse(p, operators[i].binding, &n->items[1]);
    for (unsigned k = 0; k < 2 && st == STATUS_OK && operators[i].binding <= BIND_AND; k++)
        st = check_condition(p, n->items[k]);
    *ret = n;
    return st;
}

static status parse(parser *p, int binding, ottl_node **ret)
{
    if (++p->depth > OTTL_DEPTH_LIMIT)
        return ottl_fail(p->err, p->token.at, "nested more than %d levels deep", OTTL_DEPTH_LIMIT);
    ottl_node *left = NULL;
    status st = operand(p, &left);
    bool more = true;
    while (st == STATUS_OK && more) {
        more = false;
        for (size_t i = 0; i < ARRAY_LEN(operators) && !more && st == STATUS_OK; i++)
            if (operators[i].binding > binding && p->token.type != TOKEN_STRING &&
                p->token.type != TOKEN_BYTES && str_is(p->token.text, operators[i].text)) {
                more = true;
                st = infix(p, i, left, &left);
            }
    }
    p->depth--;
    *ret = left;
    return st;
}

/* ---- whole conditions ---- */

status ottl_parse(ottl **ret, ottl_context c, str text, error *err)
{
    error mine;
    ottl *o = calloc(1, sizeof(*o));
    if (!o)
        return fail(err, STATUS_NO_MEMORY, "no memory for a condition");
    arena_init(&o->arena, OTTL_MEMORY_LIMIT);
    o->context = c;
    o->patterns = ARENA_ARRAY(&o->arena, pattern *, OTTL_PATTERNS);
    parser p = { .o = o, .err = err ? err : &mine };
    str own = arena_str(&o->arena, str_slice(text, 0, OTTL_TEXT_LIMIT));
    p.lexer = (ottl_lexer){ .text = own, .memory = &o->arena };
    status st = own.ptr && o->patterns ? STATUS_OK : no_memory(&p);
    if (st == STATUS_OK && text.len > OTTL_TEXT_LIMIT)
        st = ottl_fail(p.err, OTTL_TEXT_LIMIT, "a condition may have %d bytes", OTTL_TEXT_LIMIT);
    if (st == STATUS_OK)
        st = advance(&p);
    if (st == STATUS_OK)
        st = parse(&p, 0, &o->root);
    if (st == STATUS_OK && p.token.type != TOKEN_END)
        st = ottl_fail(p.err, p.token.at, "the condition should end before \"%.*s\"",
                       (int)MIN(p.token.text.len, 40), p.token.text.ptr);
    if (st == STATUS_OK)
        st = check_condition(&p, o->root);
    if (st != STATUS_OK) {
        ottl_free(o);
        return st;
    }
    *ret = o;
    return STATUS_OK;
}

void ottl_free(ottl *o)
{
    if (!o)
        return;
    for (uint32_t i = 0; i < o->pattern_count; i++)
        pattern_free(o->patterns[i]);
    arena_done(&o->arena);
    free(o);
}

status ottl_test(const ottl *o, const ottl_row *row, arena *scratch, bool *ret, error *err)
{
    ottl_value v = { 0 };
    ottl_run run = { row, scratch, err };
    status st = ottl_eval(&run, o->root, &v);
    if (st == STATUS_OK && v.v.type != VALUE_BOOL)
        st = ottl_fail(err, o->root->at, "this gives a %s, and a condition needs a bool",
                       ottl_value_kind(&v));
    if (st == STATUS_OK)
        *ret = v.v.b;
    return st;
}

/* ---- lists ---- */

const char *const ottl_error_modes[] = { "propagate", "ignore", "silent", NULL };

void ottl_list_free(ottl_list *l)
{
    for (uint32_t i = 0; i < l->count; i++)
        ottl_free(l->items[i]);
    free(l->items);
    *l = (ottl_list){ 0 };
}

status ottl_list_parse(ottl_list *ret, ottl_context c, const text_list *texts, uint32_t *ret_index,
                       error *err)
{
    *ret = (ottl_list){ 0 };
    *ret_index = 0;
    if (!texts->count)
        return STATUS_OK;
    ret->items = calloc(texts->count, sizeof(ottl *));
    if (!ret->items)
        return fail(err, STATUS_NO_MEMORY, "no memory for %u conditions", texts->count);
    for (uint32_t i = 0; i < texts->count; i++) {
        status st = ottl_parse(&ret->items[i], c, texts->items[i], err);
        if (st != STATUS_OK) {
            *ret_index = i;
            ottl_list_free(ret);
            return st;
        }
        ret->count++;
    }
    return STATUS_OK;
}

status ottl_list_check(ottl_context c, const text_list *texts, const char *name, char *where,
                       size_t where_size, error *err)
{
    ottl_list list;
    uint32_t index;
    status st = ottl_list_parse(&list, c, texts, &index, err);
    if (st == STATUS_OK)
        ottl_list_free(&list);
    else
        snprintf(where, where_size, "%s[%u]", name, index);
    return st;
}

status ottl_any(const ottl_list *l, const ottl_row *row, ottl_error_mode mode, arena *scratch,
                bool *ret, uint64_t *ret_errors, error *err)
{
    *ret = false;
    for (uint32_t i = 0; i < l->count && !*ret; i++) {
        status st = ottl_test(l->items[i], row, scratch, ret, err);
        if (st == STATUS_OK)
            continue;
        ++*ret_errors;
        if (mode == OTTL_PROPAGATE)
            return st;
        *ret = false;
    }
    return STATUS_OK;
}
