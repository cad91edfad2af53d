// SPDX-License-Identifier: Apache-2.0
/* `sonde query promql --reference`: the tables of the language as Markdown, from which
 * tools/reference.py makes a page. */
#include "cmd/query.h"

#include "query/promql/ast.h"

#define FLAG " Behind `promql-experimental-functions`."

/* How an argument of a type is called in a signature. */
static const char *const argument_names[] = {
    [PROMQL_NONE] = "",    [PROMQL_SCALAR] = "s", [PROMQL_VECTOR] = "v",
    [PROMQL_MATRIX] = "r", [PROMQL_STRING] = "t",
};

static void write_signature(const promql_function *f, buf *out)
{
    unsigned stated = 0;
    while (stated < PROMQL_MAX_ARGS && f->args[stated] != PROMQL_NONE)
        stated++;
    bool endless = f->max_args > stated; /* the last one repeats */
    unsigned count = endless ? stated : MIN((unsigned)f->max_args, stated);
    buf_fmt(out, "`%s(", f->name);
    for (unsigned i = 0; i < count; i++)
        buf_fmt(out, "%s%s%s", i >= f->min_args ? "[" : "", i ? ", " : "",
                argument_names[f->args[i]]);
    if (endless)
        buf_str(out, count && f->min_args < count ? STR(", …") : STR("[, …]"));
    for (unsigned i = f->min_args; i < count; i++)
        buf_char(out, ']');
    buf_lit(out, ")`");
}

static void write_functions(buf *out)
{
    size_t count;
    const promql_function *all = promql_function_list(&count);
    buf_lit(out, "\n## Functions\n\n"
                 "`v` is an instant vector, `r` a range vector, `s` a scalar, `t` a text; what "
                 "stands in brackets may be left out.\n\n"
                 "| function | gives | meaning |\n|---|---|---|\n");
    for (size_t i = 0; i < count; i++) {
        buf_lit(out, "| ");
        write_signature(&all[i], out);
        buf_fmt(out, " | %s | %s%s%s |\n",
                all[i].returns == PROMQL_VECTOR ? "vector" : promql_type_name(all[i].returns),
                all[i].help, all[i].keeps_name ? " Keeps the metric's name." : "",
                all[i].feature ? FLAG : "");
    }
}

static void write_aggregations(buf *out)
{
    size_t count;
    const promql_aggregation *all = promql_aggregation_list(&count);
    buf_lit(out, "\n## Aggregations\n\n"
                 "With `by (label, …)` or `without (label, …)`, before or after the arguments.\n\n"
                 "| aggregation | meaning |\n|---|---|\n");
    for (size_t i = 0; i < count; i++) {
        const char *param = argument_names[all[i].param];
        buf_fmt(out, "| `%s(%s%sv)` | %s%s |\n", all[i].name, param, *param ? ", " : "",
                all[i].help, all[i].feature ? FLAG : "");
    }
}

static void write_operators(buf *out)
{
    unsigned most = 0;
    for (unsigned op = OP_NONE + 1; op < OP_COUNT; op++)
        most = MAX(most, promql_operators[op].precedence);
    buf_lit(out,
            "\n## Operators\n\n"
            "From the ones that bind tightest; those of one level from left to right, `^` from "
            "right to left.\n\n| level | operator | meaning |\n|---|---|---|\n");
    for (unsigned level = most; level > 0; level--) {
        for (unsigned i = OP_NONE + 1; i < OP_COUNT; i++) {
            const promql_operator *op = &promql_operators[i];
            if (op->precedence == level)
                buf_fmt(out, "| %u | `%s` | %s%s |\n", most - level + 1, op->text, op->help,
                        op->comparison ? " With `bool`: 0 or 1." : "");
        }
    }
}

void query_write_reference(buf *out)
{
    buf_lit(out, "# Reference of PromQL\n\n"
                 "Made by `tools/reference.py` from the tables in `src/query/promql/`, as `sonde "
                 "query promql --reference` prints them.\nThe language as a whole, and its limits: "
                 "[../query.md](../query.md). What is behind a feature is switched on by\n"
                 "`sonde serve --enable-feature NAME`.\n");
    write_functions(out);
    write_aggregations(out);
    write_operators(out);
}
