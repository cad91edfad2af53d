// SPDX-License-Identifier: Apache-2.0
/* Operations on histograms as the evaluator needs them: with the warnings and infos that users see.
 * The texts are those of Prometheus, for dashboards know them. */
#include "query/promql/histogram.h"

static void note_findings(promql_engine *e, const promql_node *at, const histogram_findings *f,
                          const char *operation)
{
    if (f->collision)
        promql_note(e, true, at, NOTE_COLLISION "%s", operation);
    if (f->reconciled)
        promql_note(e, false, at, NOTE_RECONCILED "%s", operation);
}

void promql_note_total(promql_engine *e, const promql_node *at, const histogram_total *t)
{
    histogram_findings f = t->found;
    f.collision = f.collision || (t->restarted && t->not_restarted);
    note_findings(e, at, &f, "aggregation");
}

static const char *type_of(promql_cell c)
{
    return c.histogram ? "histogram" : "float";
}

static status not_for_types(promql_engine *e, const promql_node *at, promql_op op, promql_cell left,
                            promql_cell right)
{
    const char *text = promql_operators[op].text;
    promql_note(e, false, at,
                "incompatible sample types encountered for binary operator \"%s\": %s %s %s", text,
                type_of(left), text, type_of(right));
    return STATUS_OK;
}

/* Addition and subtraction. */
static status combine(promql_engine *e, const promql_node *at, promql_op op, const histogram *x,
                      const histogram *y, histogram_binary_result *ret)
{
    histogram_findings found = { 0 };
    const histogram *h;
    status st = (op == OP_ADD ? histogram_add : histogram_subtract)(e->arena, x, y, &found, &h);
    if (st == STATUS_INVALID) {
        promql_note(e, true, at, "incompatible bucket layout encountered for binary operator %s",
                    promql_operators[op].text);
        return STATUS_OK;
    }
    if (st != STATUS_OK ||
        (op == OP_SUB && !(h = histogram_with_hint(e->arena, h, HISTOGRAM_GAUGE))))
        return promql_no_memory(e);
    note_findings(e, at, &found, op == OP_ADD ? "addition" : "subtraction");
    *ret = (histogram_binary_result){ { .histogram = h }, true };
    return STATUS_OK;
}

static status scale(promql_engine *e, promql_op op, const histogram *h, double by,
                    histogram_binary_result *ret)
{
    const histogram *result = NULL;
    if (op == OP_MUL || op == OP_DIV) {
        result = (op == OP_MUL ? histogram_multiply : histogram_divide)(e->arena, h, by);
        if (result)
            result = histogram_compact(e->arena, result);
    } else {
        result = histogram_trim(e->arena, h, by, op == OP_TRIM_UPPER);
    }
    *ret = (histogram_binary_result){ { .histogram = result }, true };
    return result ? STATUS_OK : promql_no_memory(e);
}

status promql_histogram_binary(promql_engine *e, const promql_node *at, promql_op op,
                               promql_cell left, promql_cell right, histogram_binary_result *ret)
{
    const histogram *x = left.histogram, *y = right.histogram;
    *ret = (histogram_binary_result){ left, false };
    if (x && y) {
        if (op == OP_ADD || op == OP_SUB)
            return combine(e, at, op, x, y, ret);
        if (op != OP_EQ && op != OP_NE)
            return not_for_types(e, at, op, left, right);
        ret->keep = histogram_equal(x, y) == (op == OP_EQ);
        return STATUS_OK;
    }
    if (y && op == OP_MUL)
        return scale(e, op, y, left.value, ret);
    if (x && (op == OP_MUL || op == OP_DIV || op == OP_TRIM_UPPER || op == OP_TRIM_LOWER))
        return scale(e, op, x, right.value, ret);
    return not_for_types(e, at, op, left, right);
}
