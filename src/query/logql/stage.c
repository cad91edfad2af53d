// SPDX-License-Identifier: Apache-2.0
/* Runs a pipeline's stages over one record. */
#include "query/logql/entry.h"

#include "base/clock.h"
#include "query/promql/lex.h"

#define TRY(expression) \
    do { \
        status try_status_ = (expression); \
        if (try_status_ != STATUS_OK) \
            return try_status_; \
    } while (0)

static status line_filter_holds(const logql_line_filter *f, str line, bool *ret, error *err)
{
    bool found = false;
    bool negative = f->op == LINE_NOT_CONTAINS || f->op == LINE_NOT_MATCHES;
    for (uint32_t i = 0; i < f->count && !found; i++) {
        if (f->patterns[i].re)
            TRY(regex_match(f->patterns[i].re, line, &found, err));
        else
            found = str_contains(line, f->patterns[i].text);
    }
    *ret = found != negative;
    return STATUS_OK;
}

static status text_matches(match_op op, const logql_pattern *p, str text, bool *ret, error *err)
{
    bool matched;
    if (p->re)
        TRY(regex_match(p->re, text, &matched, err));
    else
        matched = str_eq(p->text, text);
    *ret = matched == (op == MATCH_EQ || op == MATCH_RE);
    return STATUS_OK;
}

static bool number_of(str text, logql_unit unit, double *ret)
{
    int64_t ns;
    switch (unit) {
    case UNIT_DURATION:
        if (!clock_parse_duration(text, &ns))
            return false;
        *ret = (double)ns / 1e9;
        return true;
    case UNIT_BYTES:
        return lex_bytes(text, ret) || str_to_f64(text, ret);
    default:
        return str_to_f64(text, ret);
    }
}

static bool compare(promql_op op, double a, double b)
{
    switch (op) {
    case OP_EQ:
        return a == b;
    case OP_NE:
        return a != b;
    case OP_GT:
        return a > b;
    case OP_LT:
        return a < b;
    case OP_GE:
        return a >= b;
    default:
        return a <= b;
    }
}

/* An absent label holds no comparison; one that is no number passes and is marked, as in Loki. */
static bool number_filter_holds(logql_entry *e, const logql_filter *f)
{
    double number;
    str text = entry_field(e, f->name);
    if (!text.len)
        return false;
    if (number_of(text, f->unit, &number))
        return compare(f->op, number, f->number);
    entry_set(e, ERROR_LABEL, STR("LabelFilterErr"));
    return true;
}

static status filter_holds(logql_entry *e, const logql_filter *f, bool *ret, error *err)
{
    switch (f->kind) {
    case FILTER_AND:
        TRY(filter_holds(e, f->left, ret, err));
        return *ret ? filter_holds(e, f->right, ret, err) : STATUS_OK;
    case FILTER_OR:
        TRY(filter_holds(e, f->left, ret, err));
        return *ret ? STATUS_OK : filter_holds(e, f->right, ret, err);
    case FILTER_TEXT:
        return text_matches(f->match, &f->pattern, entry_field(e, f->name), ret, err);
    case FILTER_NUMBER:
        *ret = number_filter_holds(e, f);
        return STATUS_OK;
    }
    return STATUS_OK;
}

static void hide(logql_entry *e, const logql_stage *s)
{
    name_list names = { s->names, s->name_count };
    uint32_t n = 0;
    for (uint32_t i = 0; i < e->parsed_count; i++)
        if (name_list_has(names, e->parsed[i].name) != (s->kind == STAGE_DROP))
            e->parsed[n++] = e->parsed[i];
    e->parsed_count = n;
    e->hiding = s;
}

status entry_run(logql_entry *e, const logql_pipeline *pipeline, uint32_t first, bool *ret,
                 error *err)
{
    *ret = true;
    for (uint32_t i = first; i < pipeline->stage_count && *ret; i++) {
        const logql_stage *s = &pipeline->stages[i];
        switch (s->kind) {
        case STAGE_LINE:
            TRY(line_filter_holds(&s->line, e->line, ret, err));
            break;
        case STAGE_JSON:
            extract_json(e);
            break;
        case STAGE_LOGFMT:
            extract_logfmt(e);
            break;
        case STAGE_FILTER:
            TRY(filter_holds(e, s->filter, ret, err));
            break;
        case STAGE_DROP:
        case STAGE_KEEP:
            hide(e, s);
            break;
        }
    }
    return STATUS_OK;
}

status entry_selected(const logql_entry *e, const logql_pipeline *pipeline, bool *ret, error *err)
{
    *ret = true;
    for (uint32_t i = 0; i < pipeline->matcher_count && *ret; i++) {
        const matcher *m = &pipeline->matchers[i];
        TRY(text_matches(m->op, &pipeline->matcher_patterns[i], entry_field(e, m->name), ret, err));
    }
    return STATUS_OK;
}
