// SPDX-License-Identifier: Apache-2.0
/* Functions that look at labels: label_replace, label_join, absent. */
#include "query/promql/extended.h"
#include "query/promql/rows.h"
#include "query/regex.h"

#include <math.h>
#include <stdlib.h>

#define LABEL_VALUE_LIMIT KiB(64)

static status relabel(promql_engine *e, promql_row *row, str name, const buf *text)
{
    str copy = arena_str(e->arena, buf_view(text));
    if (text->failed)
        return PROMQL_FAIL(e, "a label value longer than %zu bytes", LABEL_VALUE_LIMIT);
    if (!copy.ptr || !labels_set(e->arena, row->labels, name, copy, &row->labels))
        return promql_no_memory(e);
    if (str_eq(name, LABEL_NAME))
        row->drop_name = false; /* it was named anew */
    return STATUS_OK;
}

static status valid_label_name(promql_engine *e, str name, const char *role, const char *function)
{
    if (name.len && utf8_valid_prefix(name) == name.len)
        return STATUS_OK;
    return PROMQL_FAIL(e, "invalid %s label name in %s(): %.*s", role, function,
                       STR_ARG(str_slice(name, 0, 80)));
}

static status replace_rows(promql_engine *e, const promql_node *n, regex *re, buf *scratch,
                           promql_value *ret)
{
    str to = promql_bare(n->call.args[1])->string,
        replacement = promql_bare(n->call.args[2])->string;
    str from = promql_bare(n->call.args[3])->string;
    for (uint32_t i = 0; i < ret->row_count; i++) {
        bool matched;
        str subject = labels_get(ret->rows[i].labels, from);
        TRY(promql_check_time(e));
        TRY(regex_match(re, subject, &matched, e->err));
        if (!matched)
            continue;
        buf_clear(scratch);
        regex_expand(re, subject, replacement, scratch);
        TRY(relabel(e, &ret->rows[i], to, scratch));
    }
    return STATUS_OK;
}

status promql_fn_label_replace(promql_engine *e, const promql_grid *g, const promql_node *n,
                               promql_value *ret)
{
    regex *re;
    error cause;
    str pattern = promql_bare(n->call.args[4])->string;
    status st = regex_compile(&re, pattern, REGEX_WHOLE, e->arena, &cause);
    if (st == STATUS_INVALID)
        return PROMQL_FAIL(e, "invalid regular expression in label_replace(): %.*s",
                           STR_ARG(str_slice(pattern, 0, 200)));
    if (st != STATUS_OK)
        return fail(e->err, st, "%s", cause.message);
    TRY(valid_label_name(e, promql_bare(n->call.args[1])->string, "destination", "label_replace"));
    TRY(promql_eval_node(e, g, n->call.args[0], ret));
    buf scratch;
    buf_init(&scratch, LABEL_VALUE_LIMIT);
    st = replace_rows(e, n, re, &scratch, ret);
    buf_done(&scratch);
    TRY(st);
    return promql_finish_call(e, g, n, ret);
}

static status join_rows(promql_engine *e, const promql_node *n, buf *scratch, promql_value *ret)
{
    str to = promql_bare(n->call.args[1])->string, separator = promql_bare(n->call.args[2])->string;
    for (uint32_t i = 0; i < ret->row_count; i++) {
        buf_clear(scratch);
        for (uint32_t k = 3; k < n->call.arg_count; k++) {
            if (k > 3)
                buf_str(scratch, separator);
            buf_str(scratch, labels_get(ret->rows[i].labels, promql_bare(n->call.args[k])->string));
        }
        TRY(promql_check_time(e));
        TRY(relabel(e, &ret->rows[i], to, scratch));
    }
    return STATUS_OK;
}

status promql_fn_label_join(promql_engine *e, const promql_grid *g, const promql_node *n,
                            promql_value *ret)
{
    for (uint32_t k = 3; k < n->call.arg_count; k++)
        TRY(valid_label_name(e, promql_bare(n->call.args[k])->string, "source", "label_join"));
    TRY(valid_label_name(e, promql_bare(n->call.args[1])->string, "destination", "label_join"));
    TRY(promql_eval_node(e, g, n->call.args[0], ret));
    buf scratch;
    buf_init(&scratch, LABEL_VALUE_LIMIT);
    status st = join_rows(e, n, &scratch, ret);
    buf_done(&scratch);
    TRY(st);
    return promql_finish_call(e, g, n, ret);
}

/* ---- absent ---- */

/* Whether the matcher only takes series away; Prometheus looks at those behind all others. */
static bool takes_away(const matcher *m)
{
    return (m->op == MATCH_NE || m->op == MATCH_NRE) && m->value.len;
}

/* What the selector says about the series that are missing: its = matchers. A second matcher of a
 * label takes it out again, unless the first was another kind of matcher. */
static status absent_labels(promql_engine *e, const promql_node *arg, labels *ret)
{
    *ret = (labels){ 0 };
    arg = promql_bare(arg);
    if (arg->kind != NODE_VECTOR && arg->kind != NODE_MATRIX)
        return STATUS_OK;
    const promql_selector *s = &arg->selector;
    label *items = promql_alloc(e, s->matcher_count, sizeof(label));
    if (!items)
        return STATUS_LIMIT;
    for (uint32_t i = 0; i < s->matcher_count; i++) {
        const matcher *m = &s->matchers[i];
        bool had = false;
        if (label_is_metadata(m->name))
            continue;
        for (uint32_t k = 0; k < s->matcher_count; k++) {
            const matcher *other = &s->matchers[k];
            bool equal = k < i && other->op == MATCH_EQ;
            had = had || ((equal || takes_away(other)) && str_eq(other->name, m->name));
        }
        items[i] = (label){ m->name, m->op == MATCH_EQ && !had ? m->value : STR_EMPTY };
    }
    *ret = labels_sort(items, s->matcher_count);
    return STATUS_OK;
}

/* One row with 1 where `present` says false. */
static status absent_row(promql_engine *e, const promql_grid *g, const promql_node *n,
                         const bool *present, promql_value *ret)
{
    *ret = (promql_value){ .type = PROMQL_VECTOR, .row_count = 1 };
    ret->rows = promql_alloc(e, 1, sizeof(promql_row));
    if (!ret->rows || !(ret->rows[0].cells = promql_values(e, g)))
        return STATUS_LIMIT;
    for (uint32_t i = 0; i < g->steps; i++)
        if (!present[i])
            ret->rows[0].cells[i] = 1;
    return absent_labels(e, n->call.args[0], &ret->rows[0].labels);
}

status promql_fn_absent(promql_engine *e, const promql_grid *g, const promql_node *n,
                        promql_value *ret)
{
    promql_value v;
    bool *present = promql_alloc(e, g->steps, sizeof(bool));
    if (!present)
        return STATUS_LIMIT;
    TRY(promql_eval_node(e, g, n->call.args[0], &v));
    for (uint32_t r = 0; r < v.row_count; r++)
        for (uint32_t i = 0; i < g->steps; i++)
            present[i] = present[i] || row_has(&v.rows[r], i);
    return absent_row(e, g, n, present, ret);
}

status promql_fn_absent_over_time(promql_engine *e, const promql_grid *g, const promql_node *n,
                                  promql_value *ret)
{
    promql_value v;
    const promql_node *arg = promql_bare(n->call.args[0]);
    bool *present = promql_alloc(e, g->steps, sizeof(bool));
    if (!present)
        return STATUS_LIMIT;
    if (arg->kind == NODE_MATRIX && promql_is_extended(arg))
        return promql_call_extended(e, g, n, arg, ret); /* which refuses it */
    TRY(promql_eval_node(e, g, arg, &v));
    for (uint32_t s = 0; s < v.series_count; s++) {
        const promql_samples *samples = &v.series[s];
        uint32_t next = 0;
        for (uint32_t i = 0; i < g->steps; i++) {
            int64_t end = promql_shifted_time(e, &v.shift, grid_time(g, i));
            while (next < samples->count && samples->time_ms[next] <= end)
                next++;
            if (next > 0 && samples->time_ms[next - 1] > end - v.range_ms)
                present[i] = true;
        }
    }
    return absent_row(e, g, n, present, ret);
}
