// SPDX-License-Identifier: Apache-2.0
/* A tree back to text, in Prometheus's canonical form: what format_query answers. */
#include "query/promql/print.h"
#include "base/clock.h"
#include "query/labels.h"

#include <ctype.h>
#include <math.h>
#include <stdlib.h>

static void print_name(buf *out, str name)
{
    bool plain = name.len > 0 && promql_word_is_label(name);
    for (size_t i = 0; i < name.len; i++) {
        unsigned char c = (unsigned char)name.ptr[i];
        plain = plain && (isalpha(c) || c == '_' || (i > 0 && isdigit(c)));
    }
    if (plain)
        buf_str(out, name);
    else
        print_quoted(out, name);
}

static void print_names(buf *out, const str *names, uint32_t count)
{
    buf_char(out, '(');
    for (uint32_t i = 0; i < count; i++) {
        if (i)
            buf_lit(out, ", ");
        print_name(out, names[i]);
    }
    buf_char(out, ')');
}

/* 90061000 as 1d1h1m1s; exact, unlike clock_format_duration. */
void promql_print_milliseconds(buf *out, int64_t ms)
{
    static const struct {
        const char *unit;
        int64_t ms;
        bool only_exact; /* years and weeks only where nothing remains */
    } units[] = { { "y", 31536000000, true }, { "w", 604800000, true }, { "d", 86400000, false },
                  { "h", 3600000, false },    { "m", 60000, false },    { "s", 1000, false },
                  { "ms", 1, false } };
    if (ms == 0)
        buf_lit(out, "0s");
    if (ms < 0)
        buf_char(out, '-');
    ms = ms < 0 ? -ms : ms;
    for (size_t i = 0; i < ARRAY_LEN(units); i++) {
        if (ms < units[i].ms || (units[i].only_exact && ms % units[i].ms))
            continue;
        buf_fmt(out, "%lld%s", (long long)(ms / units[i].ms), units[i].unit);
        ms %= units[i].ms;
    }
}

/* Without an exponent, as Prometheus prints numbers of queries. */
void promql_print_number(buf *out, double v)
{
    char plain[360];
    buf text;
    buf_init(&text, 64);
    buf_f64(&text, v);
    str s = buf_view(&text);
    size_t e = str_find_char(s, 'e');
    int64_t exponent = 0;
    if (e == SIZE_MAX ||
        !str_to_i64(str_slice(s, e + (s.ptr[e + 1] == '+' ? 2 : 1), s.len), &exponent)) {
        buf_str(out, s);
        buf_done(&text);
        return;
    }
    size_t n = 0, whole = 0;
    bool point = false;
    for (size_t i = s.ptr[0] == '-' ? 1 : 0; i < e; i++) {
        point = point || s.ptr[i] == '.';
        if (s.ptr[i] == '.')
            continue;
        plain[n++] = s.ptr[i];
        whole += point ? 0 : 1;
    }
    if (s.ptr[0] == '-')
        buf_char(out, '-');
    int64_t at = (int64_t)whole + exponent; /* where the point stands */
    if (at <= 0)
        buf_lit(out, "0.");
    for (int64_t i = at; i < 0; i++)
        buf_char(out, '0');
    for (int64_t i = 0; i < (int64_t)n || i < at; i++) {
        if (i == at && i > 0)
            buf_char(out, '.');
        buf_char(out, i < (int64_t)n ? plain[i] : '0');
    }
    buf_done(&text);
}

static void print_literal(buf *out, double number, bool is_duration)
{
    if (is_duration)
        promql_print_milliseconds(out, (int64_t)round(number * 1000));
    else
        promql_print_number(out, number);
}

/* ---- durations that are computed ---- */

const char *promql_duration_operator(promql_duration_kind kind)
{
    static const char *const names[] = {
        [DURATION_LITERAL] = "",      [DURATION_STEP] = "step",     [DURATION_RANGE] = "range",
        [DURATION_MIN_OF] = "min_of", [DURATION_MAX_OF] = "max_of", [DURATION_PLUS] = "+",
        [DURATION_MINUS] = "-",       [DURATION_ADD] = "+",         [DURATION_SUB] = "-",
        [DURATION_MUL] = "*",         [DURATION_DIV] = "/",         [DURATION_MOD] = "%",
        [DURATION_POW] = "^"
    };
    return names[kind];
}

static void print_computed(buf *out, const promql_duration *d)
{
    const char *op = promql_duration_operator(d->kind);
    if (d->parens)
        buf_char(out, '(');
    if (d->kind == DURATION_LITERAL) {
        print_literal(out, d->number, d->is_duration);
    } else if (d->kind <= DURATION_MAX_OF) {
        buf_fmt(out, "%s(", op);
        if (d->left) {
            print_computed(out, d->left);
            buf_lit(out, ", ");
            print_computed(out, d->right);
        }
        buf_char(out, ')');
    } else if (!d->left) {
        if (d->kind == DURATION_MINUS)
            buf_char(out, '-');
        print_computed(out, d->right);
    } else {
        print_computed(out, d->left);
        buf_fmt(out, " %s ", op);
        print_computed(out, d->right);
    }
    if (d->parens)
        buf_char(out, ')');
}

static void print_duration(buf *out, const promql_duration *computed, int64_t ms)
{
    if (computed)
        print_computed(out, computed);
    else
        promql_print_milliseconds(out, ms);
}

static void print_at(buf *out, const promql_shift *s)
{
    if (s->at == AT_TIME)
        buf_fmt(out, " @ %.3f", (double)s->at_ms / 1000);
    else if (s->at != AT_NONE)
        buf_fmt(out, " @ %s()", s->at == AT_START ? "start" : "end");
}

static void print_offset(buf *out, const promql_shift *s)
{
    if (!s->offset && !s->offset_ms)
        return;
    buf_lit(out, " offset ");
    print_duration(out, s->offset, s->offset_ms);
}

/* ---- selectors ---- */

const char *promql_match_name(match_op op)
{
    static const char *const ops[] = { "=", "!=", "=~", "!~" };
    return ops[op];
}

typedef struct {
    size_t at, length;
} piece;

static int order_pieces(const void *a, const void *b, void *base)
{
    const piece *x = a, *y = b;
    int order = memcmp((char *)base + x->at, (char *)base + y->at, MIN(x->length, y->length));
    return order ? order : (x->length > y->length) - (x->length < y->length);
}

/* The matchers in the order of their texts. */
static void print_matchers(buf *out, const promql_selector *s)
{
    buf text, pieces;
    buf_init(&text, MiB(4));
    buf_init(&pieces, MiB(4));
    uint32_t count = 0;
    for (uint32_t i = 0; i < s->matcher_count; i++) {
        const matcher *m = &s->matchers[i];
        if (m->op == MATCH_EQ && m->value.len && str_is(m->name, "__name__") &&
            str_eq(m->value, s->name))
            continue;
        piece p = { .at = buf_view(&text).len };
        print_name(&text, m->name);
        buf_str(&text, str_c(promql_match_name(m->op)));
        print_quoted(&text, m->value);
        p.length = buf_view(&text).len - p.at;
        buf_str(&pieces, str_n((const char *)&p, sizeof(p)));
        count++;
    }
    str base = buf_view(&text);
    piece *sorted = (piece *)(void *)buf_view(&pieces).ptr;
    if (count > 1)
        qsort_r(sorted, count, sizeof(piece), order_pieces, (void *)base.ptr);
    for (uint32_t i = 0; i < count; i++) {
        buf_char(out, i ? ',' : '{');
        buf_str(out, str_n(base.ptr + sorted[i].at, sorted[i].length));
    }
    if (count)
        buf_char(out, '}');
    buf_done(&text);
    buf_done(&pieces);
}

static void print_selector(buf *out, const promql_node *n)
{
    const promql_selector *s = &n->selector;
    bool range = n->kind == NODE_MATRIX;
    buf_str(out, s->name);
    print_matchers(out, s);
    if (!s->name.len && !s->matcher_count)
        buf_lit(out, "{}");
    if (range) {
        buf_char(out, '[');
        print_duration(out, s->range, s->range_ms);
        buf_char(out, ']');
    } else {
        print_at(out, &s->shift);
    }
    if (s->anchored || s->smoothed)
        buf_str(out, s->anchored ? STR(" anchored") : STR(" smoothed"));
    if (range)
        print_at(out, &s->shift);
    print_offset(out, &s->shift);
}

/* ---- operators, calls ---- */

static void print_fill(buf *out, const promql_binary *b)
{
    bool same = b->has_fill_left && b->has_fill_right && b->fill_left == b->fill_right;
    if (b->has_fill_left) {
        buf_str(out, same ? STR(" fill (") : STR(" fill_left ("));
        buf_f64(out, b->fill_left);
        buf_char(out, ')');
    }
    if (b->has_fill_right && !same) {
        buf_lit(out, " fill_right (");
        buf_f64(out, b->fill_right);
        buf_char(out, ')');
    }
}

void promql_print_operator(buf *out, const promql_binary *b)
{
    buf_str(out, str_c(promql_operators[b->op].text));
    if (b->returns_bool)
        buf_lit(out, " bool");
    if (b->left->type != PROMQL_VECTOR || b->right->type != PROMQL_VECTOR)
        return;
    if (b->on || b->name_count || b->cardinality != MATCH_ONE_TO_ONE) {
        buf_str(out, b->on ? STR(" on ") : STR(" ignoring "));
        print_names(out, b->names, b->name_count);
    }
    if (b->cardinality != MATCH_ONE_TO_ONE) {
        buf_str(out,
                b->cardinality == MATCH_MANY_TO_ONE ? STR(" group_left ") : STR(" group_right "));
        print_names(out, b->include, b->include_count);
    }
    print_fill(out, b);
}

bool promql_is_infinite_base(const promql_binary *b)
{
    return b->op == OP_POW && b->left->kind == NODE_NUMBER && b->left->number == (double)INFINITY;
}

static void print_binary(buf *out, const promql_binary *b)
{
    if (promql_is_infinite_base(b))
        buf_lit(out, "Inf");
    else
        promql_print(out, b->left);
    buf_char(out, ' ');
    promql_print_operator(out, b);
    buf_char(out, ' ');
    promql_print(out, b->right);
}

void promql_print_aggregation(buf *out, const promql_aggregate *a)
{
    buf_str(out, str_c(a->aggregation->name));
    if (a->without || a->name_count) {
        buf_str(out, a->without ? STR(" without ") : STR(" by "));
        print_names(out, a->names, a->name_count);
        buf_char(out, ' ');
    }
}

static void print_aggregate(buf *out, const promql_aggregate *a)
{
    promql_print_aggregation(out, a);
    buf_char(out, '(');
    if (a->param) {
        promql_print(out, a->param);
        buf_lit(out, ", ");
    }
    promql_print(out, a->inner);
    buf_char(out, ')');
}

static void print_call(buf *out, const promql_call *c)
{
    buf_str(out, str_c(c->function->name));
    buf_char(out, '(');
    for (uint32_t i = 0; i < c->arg_count; i++) {
        if (i)
            buf_lit(out, ", ");
        promql_print(out, c->args[i]);
    }
    buf_char(out, ')');
}

void promql_print_window(buf *out, const promql_subquery *s)
{
    buf_char(out, '[');
    print_duration(out, s->range, s->range_ms);
    buf_char(out, ':');
    if (s->step || s->step_ms)
        print_duration(out, s->step, s->step_ms);
    buf_char(out, ']');
    print_at(out, &s->shift);
    print_offset(out, &s->shift);
}

void promql_print(buf *out, const promql_node *n)
{
    switch (n->kind) {
    case NODE_NUMBER:
        print_literal(out, n->number, n->is_duration);
        break;
    case NODE_STRING:
        print_quoted(out, n->string);
        break;
    case NODE_VECTOR:
    case NODE_MATRIX:
        print_selector(out, n);
        break;
    case NODE_SUBQUERY:
        promql_print(out, n->subquery.inner);
        promql_print_window(out, &n->subquery);
        break;
    case NODE_UNARY:
        buf_str(out, str_c(promql_operators[n->unary.op].text));
        promql_print(out, n->unary.operand);
        break;
    case NODE_BINARY:
        print_binary(out, &n->binary);
        break;
    case NODE_PAREN:
        buf_char(out, '(');
        promql_print(out, n->paren);
        buf_char(out, ')');
        break;
    case NODE_CALL:
        print_call(out, &n->call);
        break;
    case NODE_AGGREGATE:
        print_aggregate(out, &n->aggregate);
        break;
    case NODE_EXTERNAL:
        break;
    }
}
