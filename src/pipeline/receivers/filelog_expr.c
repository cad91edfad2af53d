// SPDX-License-Identifier: Apache-2.0
/* Expressions of filelog's operators (if, expr, is_first_entry, is_last_entry): recursive descent
 * to a small tree. What has no value is nil; a comparison of things that do not compare is false.
 */
#include "pipeline/receivers/filelog_entry.h"

#include "pipeline/pattern.h"

#include <ctype.h>
#include <stdlib.h>

enum { EXPR_DEPTH = 32, EXPR_BYTES = 64 << 10 };

typedef enum { X_LITERAL, X_FIELD, X_NOT, X_AND, X_OR, X_COMPARE } node_kind;

typedef enum {
    C_EQ,
    C_NE,
    C_LE,
    C_GE,
    C_LT,
    C_GT,
    C_MATCHES,
    C_CONTAINS,
    C_STARTS,
    C_ENDS,
    C_NONE
} compare_op;

static const char *const ops[C_NONE] = { "==", "!=",      "<=",       ">=",         "<",
                                         ">",  "matches", "contains", "startsWith", "endsWith" };

typedef struct node node;
struct node {
    node_kind kind;
    value literal;
    filelog_field field;
    compare_op op;
    pattern *pattern;
    node *left, *right;
};

struct filelog_expr {
    arena arena;
    node *root;
    pattern *patterns[EXPR_DEPTH];
    uint32_t pattern_count;
};

typedef struct {
    filelog_expr *x;
    str text;
    size_t at;
    unsigned depth;
    error *err;
} parser;

static node *wrong(parser *p, const char *what)
{
    fail(p->err, STATUS_INVALID, "expression \"%.*s\", column %zu: %s", (int)MIN(p->text.len, 200u),
         p->text.ptr, p->at + 1, what);
    return NULL;
}

static node *new_node(parser *p, node_kind kind)
{
    node *n = ARENA_NEW(&p->x->arena, node);
    if (!n)
        return wrong(p, "it is too large");
    n->kind = kind;
    return n;
}

static void blanks(parser *p)
{
    while (p->at < p->text.len && isspace((unsigned char)p->text.ptr[p->at]))
        p->at++;
}

static bool is_word(char c)
{
    return isalnum((unsigned char)c) || c == '_';
}

/* A word must end where it ends. */
static bool take(parser *p, const char *token)
{
    blanks(p);
    str rest = str_slice(p->text, p->at, p->text.len), t = str_c(token);
    if (!str_starts(rest, t) || (is_word(token[0]) && rest.len > t.len && is_word(rest.ptr[t.len])))
        return false;
    p->at += t.len;
    return true;
}

static node *parse_or(parser *p);

static node *text_literal(parser *p, char quote)
{
    static const char plain[] = "nrt\\'\"", bytes[] = "\n\r\t\\'\"";
    node *n = new_node(p, X_LITERAL);
    char *out = n ? arena_alloc_aligned(&p->x->arena, p->text.len - p->at + 1, 1) : NULL;
    size_t len = 0;
    if (!out)
        return NULL;
    while (p->at < p->text.len && p->text.ptr[p->at] != quote) {
        char c = p->text.ptr[p->at++];
        const char *known = NULL;
        if (c == '\\' && quote != '`' && p->at < p->text.len && p->text.ptr[p->at])
            known = strchr(plain, p->text.ptr[p->at]);
        if (known) {
            c = bytes[known - plain];
            p->at++;
        }
        out[len++] = c;
    }
    if (p->at == p->text.len)
        return wrong(p, "a text has no end");
    p->at++;
    n->literal = VALUE_S(str_n(out, len));
    return n;
}

static node *literal(parser *p, value v)
{
    node *n = new_node(p, X_LITERAL);
    if (n)
        n->literal = v;
    return n;
}

static node *number_literal(parser *p)
{
    size_t start = p->at;
    int64_t i64;
    double f64;
    while (p->at < p->text.len &&
           (is_word(p->text.ptr[p->at]) || p->text.ptr[p->at] == '.' || p->text.ptr[p->at] == '-'))
        p->at++;
    str text = str_slice(p->text, start, p->at);
    if (str_to_i64(text, &i64))
        return literal(p, VALUE_I(i64));
    return str_to_f64(text, &f64) ? literal(p, VALUE_D(f64)) : wrong(p, "a number was expected");
}

/* body, attributes.a.b, resource["x"] */
static node *field(parser *p)
{
    size_t start = p->at;
    while (p->at < p->text.len && (is_word(p->text.ptr[p->at]) || p->text.ptr[p->at] == '.' ||
                                   p->text.ptr[p->at] == '$' || p->text.ptr[p->at] == '[')) {
        if (p->text.ptr[p->at++] != '[')
            continue;
        size_t end = str_find_char(str_slice(p->text, p->at, p->text.len), ']');
        if (end == SIZE_MAX)
            return wrong(p, "']' is missing");
        p->at += end + 1;
    }
    node *n = new_node(p, X_FIELD);
    str text = str_slice(p->text, start, p->at);
    if (n && (!text.len || filelog_field_parse(&n->field, text, NULL) != STATUS_OK)) {
        p->at = start;
        return wrong(p, "a field (body, attributes.name, resource.name), a text, a number, true, "
                        "false or nil was expected");
    }
    return n;
}

static node *operand(parser *p)
{
    blanks(p);
    char c = p->at < p->text.len ? p->text.ptr[p->at] : 0;
    if (c == '"' || c == '\'' || c == '`') {
        p->at++;
        return text_literal(p, c);
    }
    if (isdigit((unsigned char)c) || c == '-')
        return number_literal(p);
    if (take(p, "true"))
        return literal(p, VALUE_B(true));
    if (take(p, "false"))
        return literal(p, VALUE_B(false));
    if (take(p, "nil"))
        return literal(p, (value){ 0 });
    if (take(p, "(")) {
        node *n = parse_or(p);
        return n && !take(p, ")") ? wrong(p, "')' is missing") : n;
    }
    return field(p);
}

static bool compile_pattern(parser *p, node *n)
{
    filelog_expr *x = p->x;
    if (n->right->kind != X_LITERAL || n->right->literal.type != VALUE_STR) {
        wrong(p, "matches needs a text with a regular expression");
        return false;
    }
    if (x->pattern_count == ARRAY_LEN(x->patterns)) {
        wrong(p, "too many regular expressions");
        return false;
    }
    if (pattern_new(&n->pattern, n->right->literal.s, false, p->err) != STATUS_OK)
        return false;
    x->patterns[x->pattern_count++] = n->pattern;
    return true;
}

static node *comparison(parser *p)
{
    node *left = operand(p);
    compare_op op = 0;
    while (left && op < C_NONE && !take(p, ops[op]))
        op++;
    if (!left || op == C_NONE)
        return left;
    node *n = new_node(p, X_COMPARE);
    if (!n)
        return NULL;
    n->op = op;
    n->left = left;
    n->right = operand(p);
    if (!n->right || (op == C_MATCHES && !compile_pattern(p, n)))
        return NULL;
    return n;
}

static node *parse_not(parser *p)
{
    blanks(p);
    bool bang =
        p->at + 1 < p->text.len && p->text.ptr[p->at] == '!' && p->text.ptr[p->at + 1] != '=';
    if (bang)
        p->at++;
    if (!bang && !take(p, "not"))
        return comparison(p);
    if (++p->depth > EXPR_DEPTH)
        return wrong(p, "it is nested too deeply");
    node *n = new_node(p, X_NOT);
    if (n && !(n->left = parse_not(p)))
        return NULL;
    p->depth--;
    return n;
}

static node *join(parser *p, node_kind kind, node *left, node *right)
{
    node *n = left && right ? new_node(p, kind) : NULL;
    if (n) {
        n->left = left;
        n->right = right;
    }
    return n;
}

static node *parse_and(parser *p)
{
    node *n = parse_not(p);
    while (n && (take(p, "and") || take(p, "&&")))
        n = join(p, X_AND, n, parse_not(p));
    return n;
}

static node *parse_or(parser *p)
{
    if (++p->depth > EXPR_DEPTH)
        return wrong(p, "it is nested too deeply");
    node *n = parse_and(p);
    while (n && (take(p, "or") || take(p, "||")))
        n = join(p, X_OR, n, parse_and(p));
    p->depth--;
    return n;
}

status filelog_expr_parse(filelog_expr **ret, str text, error *err)
{
    error own;
    filelog_expr *x = calloc(1, sizeof(*x));
    if (!x)
        return fail(err, STATUS_NO_MEMORY, "no memory for an expression");
    arena_init(&x->arena, MiB(1));
    parser p = { .x = x, .text = text, .err = err ? err : &own };
    if (text.len > EXPR_BYTES)
        wrong(&p, "it is too long");
    else
        x->root = parse_or(&p);
    if (x->root && (blanks(&p), p.at < text.len))
        x->root = wrong(&p, "an operator or the end was expected");
    if (!x->root) {
        filelog_expr_free(x);
        return p.err->code;
    }
    *ret = x;
    return STATUS_OK;
}

void filelog_expr_free(filelog_expr *x)
{
    if (!x)
        return;
    for (uint32_t i = 0; i < x->pattern_count; i++)
        pattern_free(x->patterns[i]);
    arena_done(&x->arena);
    free(x);
}

/* ---- evaluation ---- */

static bool is_number(const value *v, double *ret)
{
    *ret = v->type == VALUE_I64 ? (double)v->i64 : v->f64;
    return v->type == VALUE_I64 || v->type == VALUE_F64;
}

static bool equal(const value *a, const value *b)
{
    double x, y;
    if (a->type == VALUE_I64 && b->type == VALUE_I64)
        return a->i64 == b->i64;
    if (is_number(a, &x) && is_number(b, &y))
        return x == y;
    if (a->type != b->type)
        return false;
    return a->type == VALUE_STR    ? str_eq(a->s, b->s)
           : a->type == VALUE_BOOL ? a->b == b->b
                                   : a->type == VALUE_EMPTY;
}

static bool ordered(compare_op op, const value *a, const value *b)
{
    double x, y;
    int order;
    if (is_number(a, &x) && is_number(b, &y))
        order = x < y ? -1 : x > y;
    else if (a->type == VALUE_STR && b->type == VALUE_STR)
        order = str_cmp(a->s, b->s);
    else
        return false;
    return op == C_LT ? order < 0 : op == C_LE ? order <= 0 : op == C_GT ? order > 0 : order >= 0;
}

static bool eval_true(const node *n, const filelog_entry *e);

static value eval(const node *n, const filelog_entry *e)
{
    value v = { 0 };
    if (n->kind == X_LITERAL)
        return n->literal;
    if (n->kind == X_FIELD)
        return filelog_get(e, &n->field, &v) ? v : (value){ 0 };
    return VALUE_B(eval_true(n, e));
}

static bool compare(const node *n, const filelog_entry *e)
{
    value a = eval(n->left, e), b = eval(n->right, e);
    if (n->op == C_EQ || n->op == C_NE)
        return equal(&a, &b) == (n->op == C_EQ);
    if (n->op < C_MATCHES)
        return ordered(n->op, &a, &b);
    if (a.type != VALUE_STR || b.type != VALUE_STR)
        return false;
    switch (n->op) {
    case C_MATCHES:
        return pattern_matches(n->pattern, a.s);
    case C_CONTAINS:
        return str_contains(a.s, b.s);
    case C_STARTS:
        return str_starts(a.s, b.s);
    default:
        return str_ends(a.s, b.s);
    }
}

static bool eval_true(const node *n, const filelog_entry *e)
{
    value v;
    switch (n->kind) {
    case X_NOT:
        return !eval_true(n->left, e);
    case X_AND:
        return eval_true(n->left, e) && eval_true(n->right, e);
    case X_OR:
        return eval_true(n->left, e) || eval_true(n->right, e);
    case X_COMPARE:
        return compare(n, e);
    default:
        v = eval(n, e);
        return v.type == VALUE_BOOL && v.b;
    }
}

bool filelog_expr_true(const filelog_expr *x, const filelog_entry *e)
{
    return eval_true(x->root, e);
}
