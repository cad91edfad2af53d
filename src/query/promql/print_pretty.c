// SPDX-License-Identifier: Apache-2.0
/* A query over several lines: what takes more than 100 characters is cut at its parentheses and
 * operators, two spaces deeper each time. */
#include "query/promql/print.h"

enum { LINE_LENGTH = 100 };

static void pretty(buf *out, const promql_node *n, int level);

static void indent(buf *out, int level)
{
    for (int i = 0; i < level; i++)
        buf_lit(out, "  ");
}

static bool needs_split(const promql_node *n)
{
    buf line;
    buf_init(&line, MiB(4));
    promql_print(&line, n);
    bool yes = line.failed || buf_view(&line).len > LINE_LENGTH;
    buf_done(&line);
    return yes;
}

static void pretty_aggregate(buf *out, const promql_aggregate *a, int level)
{
    promql_print_aggregation(out, a);
    buf_lit(out, "(\n");
    if (a->param) {
        pretty(out, a->param, level + 1);
        buf_lit(out, ",\n");
    }
    pretty(out, a->inner, level + 1);
    buf_char(out, '\n');
    indent(out, level);
    buf_char(out, ')');
}

static void pretty_call(buf *out, const promql_call *c, int level)
{
    buf_fmt(out, "%s(\n", c->function->name);
    for (uint32_t i = 0; i < c->arg_count; i++) {
        if (i)
            buf_lit(out, ",\n");
        pretty(out, c->args[i], level + 1);
    }
    buf_char(out, '\n');
    indent(out, level);
    buf_char(out, ')');
}

static void pretty_binary(buf *out, const promql_binary *b, int level)
{
    if (promql_is_infinite_base(b)) {
        indent(out, level + 1);
        buf_lit(out, "Inf");
    } else {
        pretty(out, b->left, level + 1);
    }
    buf_char(out, '\n');
    indent(out, level);
    promql_print_operator(out, b);
    buf_char(out, '\n');
    pretty(out, b->right, level + 1);
}

/* The sign stands where the operand's own indent would. */
static void pretty_unary(buf *out, const promql_node *n, int level)
{
    buf operand;
    buf_init(&operand, MiB(4));
    pretty(&operand, n->unary.operand, level);
    indent(out, level);
    buf_str(out, str_c(promql_operators[n->unary.op].text));
    buf_str(out, str_trim(buf_view(&operand)));
    buf_done(&operand);
}

static void pretty(buf *out, const promql_node *n, int level)
{
    if (n->kind == NODE_UNARY) {
        pretty_unary(out, n, level);
        return;
    }
    bool split = needs_split(n);
    bool cut = n->kind == NODE_AGGREGATE || n->kind == NODE_CALL || n->kind == NODE_PAREN;
    if (n->kind == NODE_SUBQUERY && split) {
        pretty(out, n->subquery.inner, level);
        promql_print_window(out, &n->subquery);
        return;
    }
    if (n->kind == NODE_BINARY && split) {
        pretty_binary(out, &n->binary, level);
        return;
    }
    if (n->kind != NODE_SUBQUERY)
        indent(out, level);
    if (!split || !cut) {
        promql_print(out, n);
    } else if (n->kind == NODE_AGGREGATE) {
        pretty_aggregate(out, &n->aggregate, level);
    } else if (n->kind == NODE_CALL) {
        pretty_call(out, &n->call, level);
    } else {
        buf_lit(out, "(\n");
        pretty(out, n->paren, level + 1);
        buf_char(out, '\n');
        indent(out, level);
        buf_char(out, ')');
    }
}

void promql_print_pretty(buf *out, const promql_node *node)
{
    pretty(out, node, 0);
}
