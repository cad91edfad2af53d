// SPDX-License-Identifier: Apache-2.0
/* A tree back to text, in Prometheus's canonical form: what format_query answers. */
#include "base/clock.h"
#include "query/labels.h"
#include "query/promql/ast.h"

#include <ctype.h>
#include <math.h>

static void print_name(buf *out, str name)
{
    bool plain = name.len > 0;
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
static void print_duration(buf *out, int64_t ms)
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

static void print_shift(buf *out, const promql_shift *s)
{
    if (s->at == AT_TIME)
        buf_fmt(out, " @ %.3f", (double)s->at_ms / 1000);
    else if (s->at != AT_NONE)
        buf_fmt(out, " @ %s()", s->at == AT_START ? "start" : "end");
    if (s->offset_ms) {
        buf_lit(out, " offset ");
        print_duration(out, s->offset_ms);
    }
}

/* Without quotes; words that mean something else where a name may stand need them. */
static bool is_metric_name(str name)
{
    static const char *const words[] = { "on",   "ignoring", "group_left", "group_right",
                                         "bool", "inf",      "nan" };
    for (size_t i = 0; i < ARRAY_LEN(words); i++)
        if (str_eq_nocase(name, str_c(words[i])))
            return false;
    for (size_t i = 0; i < name.len; i++) {
        unsigned char c = (unsigned char)name.ptr[i];
        if (!(isalpha(c) || c == '_' || c == ':' || (i > 0 && isdigit(c))))
            return false;
    }
    return name.len > 0;
}

static void print_selector(buf *out, const promql_selector *s)
{
    static const char *const ops[] = { "=", "!=", "=~", "!~" };
    bool open = false, plain = is_metric_name(s->name);
    if (plain) {
        buf_str(out, s->name);
    } else if (s->name.len) {
        buf_char(out, '{');
        print_quoted(out, s->name);
        open = true;
    }
    for (uint32_t i = 0; i < s->matcher_count; i++) {
        const matcher *m = &s->matchers[i];
        if (s->name.len && m->op == MATCH_EQ && str_is(m->name, "__name__") &&
            str_eq(m->value, s->name))
            continue;
        buf_str(out, open ? STR(",") : STR("{"));
        open = true;
        print_name(out, m->name);
        buf_str(out, str_c(ops[m->op]));
        print_quoted(out, m->value);
    }
    if (open)
        buf_char(out, '}');
    if (s->range_ms) {
        buf_char(out, '[');
        print_duration(out, s->range_ms);
        buf_char(out, ']');
    }
    print_shift(out, &s->shift);
}

static void print_binary(buf *out, const promql_binary *b)
{
    /* A sign binds looser than a power: "+Inf ^ 2" would be read as +(Inf ^ 2). */
    if (b->op == OP_POW && b->left->kind == NODE_NUMBER && b->left->number == (double)INFINITY)
        buf_lit(out, "Inf");
    else
        promql_print(out, b->left);
    buf_fmt(out, " %s ", promql_operators[b->op].text);
    if (b->returns_bool)
        buf_lit(out, "bool ");
    if (b->stated && (b->on || b->name_count)) {
        buf_str(out, b->on ? STR("on ") : STR("ignoring "));
        print_names(out, b->names, b->name_count);
        buf_char(out, ' ');
    }
    if (b->cardinality != MATCH_ONE_TO_ONE) {
        buf_str(out,
                b->cardinality == MATCH_MANY_TO_ONE ? STR("group_left ") : STR("group_right "));
        print_names(out, b->include, b->include_count);
        buf_char(out, ' ');
    }
    promql_print(out, b->right);
}

static void print_aggregate(buf *out, const promql_aggregate *a)
{
    buf_str(out, str_c(a->aggregation->name));
    if (a->without || a->name_count) {
        buf_str(out, a->without ? STR(" without ") : STR(" by "));
        print_names(out, a->names, a->name_count);
        buf_char(out, ' ');
    }
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

static void print_subquery(buf *out, const promql_subquery *s)
{
    promql_print(out, s->inner);
    buf_char(out, '[');
    print_duration(out, s->range_ms);
    buf_char(out, ':');
    if (s->step_ms)
        print_duration(out, s->step_ms);
    buf_char(out, ']');
    print_shift(out, &s->shift);
}

void promql_print(buf *out, const promql_node *n)
{
    switch (n->kind) {
    case NODE_NUMBER:
        if (n->is_duration)
            print_duration(out, (int64_t)round(n->number * 1000));
        else
            buf_f64(out, n->number);
        break;
    case NODE_STRING:
        print_quoted(out, n->string);
        break;
    case NODE_VECTOR:
    case NODE_MATRIX:
        print_selector(out, &n->selector);
        break;
    case NODE_SUBQUERY:
        print_subquery(out, &n->subquery);
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
