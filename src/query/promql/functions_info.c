// SPDX-License-Identifier: Apache-2.0
/* info(v, selector): adds to each series the labels of the info metrics (target_info, unless the
 * selector names others) with the same job and instance. Info series are selected for the same time
 * as the argument where that has one time; of two with the same name, the newer sample counts. */
#include "query/promql/rows.h"
#include "query/regex.h"

static const str identifying[] = { { "instance", 8 }, { "job", 3 } };
#define IDENTIFYING      ARRAY_LEN(identifying)
#define ALTERNATIVES_MAX KiB(2) /* of a regular expression; more values are looked up */

typedef struct {
    promql_engine *e;
    const promql_grid *g;
    const promql_value *base;
    const matcher *data; /* of labels, without those of the name */
    uint32_t data_count;
    const matcher *names; /* of the info metrics' names */
    uint32_t name_matcher_count;
    promql_shift shift;  /* of the info series */
    promql_value series; /* the info series; a cell is the sample's time */
    label_groups by_name;
    uint32_t *name_of; /* of each info series: which of the names */
    label_groups by_key;
    uint32_t *first, *next; /* of each job and instance, of each info series: series + 1, 0: none */
    bool needs_match;       /* a series without an info metric is left out */
    promql_value *ret;
    uint32_t capacity;
} info;

/* ---- the time of the argument's selectors ---- */

typedef struct path {
    const promql_subquery *subquery;
    const struct path *up;
} path;

typedef struct {
    promql_shift first;
    bool found, uniform;
} reference;

static bool same_time(const promql_shift *a, const promql_shift *b)
{
    if (a->at == AT_NONE || b->at == AT_NONE)
        return a->at == b->at && a->offset_ms == b->offset_ms;
    return a->at == b->at && a->at_ms - a->offset_ms == b->at_ms - b->offset_ms;
}

/* Subqueries around the selector shift it, too, until an @ says its time. */
static void refer(reference *r, promql_shift shift, const path *up)
{
    for (; up && shift.at == AT_NONE; up = up->up) {
        shift.offset_ms += up->subquery->shift.offset_ms;
        shift.at = up->subquery->shift.at;
        shift.at_ms = up->subquery->shift.at_ms;
    }
    if (!r->found)
        r->first = shift;
    else if (!same_time(&r->first, &shift))
        r->uniform = false;
    r->found = true;
}

static bool inspect(reference *r, const promql_node *n, const path *up);

static bool inspect_children(reference *r, const promql_node *n, const path *up)
{
    path below = { &n->subquery, up };
    bool any = false;
    switch (n->kind) {
    case NODE_SUBQUERY:
        return inspect(r, n->subquery.inner, &below);
    case NODE_UNARY:
        return inspect(r, n->unary.operand, up);
    case NODE_PAREN:
        return inspect(r, n->paren, up);
    case NODE_BINARY:
        any = inspect(r, n->binary.left, up);
        return inspect(r, n->binary.right, up) || any;
    case NODE_AGGREGATE:
        any = inspect(r, n->aggregate.inner, up);
        return (n->aggregate.param && inspect(r, n->aggregate.param, up)) || any;
    case NODE_CALL:
        for (uint32_t i = 0; i < n->call.arg_count; i++) {
            if (i == 1 && n->call.function->general == promql_fn_info)
                break; /* a selector that is not evaluated */
            any = inspect(r, n->call.args[i], up) || any;
        }
        return any;
    default:
        return false;
    }
}

/* Whether there is a selector in the expression. A vector without one has the time of the step. */
static bool inspect(reference *r, const promql_node *n, const path *up)
{
    if (n->type != PROMQL_VECTOR && n->type != PROMQL_MATRIX)
        return false;
    if (n->kind == NODE_VECTOR || n->kind == NODE_MATRIX) {
        refer(r, n->selector.shift, up);
        return true;
    }
    if (inspect_children(r, n, up))
        return true;
    r->uniform = false;
    return false;
}

static promql_shift reference_of(const promql_node *argument)
{
    reference r = { .uniform = true };
    inspect(&r, argument, NULL);
    return r.found && r.uniform ? r.first : (promql_shift){ .at = AT_NONE };
}

/* ---- matchers ---- */

static status matches(promql_engine *e, const matcher *m, str text, bool *ret)
{
    bool equal = str_eq(m->value, text);
    if (m->op == MATCH_EQ || m->op == MATCH_NE) {
        *ret = equal == (m->op == MATCH_EQ);
        return STATUS_OK;
    }
    regex *re;
    TRY(regex_compile(&re, m->value, REGEX_WHOLE, e->arena, e->err));
    TRY(regex_match(re, text, ret, e->err));
    *ret = *ret == (m->op == MATCH_RE);
    return STATUS_OK;
}

/* Sorts the selector's matchers into those of names and of labels. Without one that says which
 * names are meant: target_info, or whatever ends in _info. */
static status split_matchers(info *x, const promql_node *selector)
{
    uint32_t count = selector ? selector->selector.matcher_count : 0;
    matcher *data = promql_alloc(x->e, count, sizeof(matcher));
    matcher *names = promql_alloc(x->e, (size_t)count + 1, sizeof(matcher));
    bool positive = false;
    if (!data || !names)
        return STATUS_LIMIT;
    for (uint32_t i = 0; i < count; i++) {
        matcher m = selector->selector.matchers[i];
        bool empty = false;
        if (str_eq(m.name, LABEL_NAME)) {
            names[x->name_matcher_count++] = m;
            positive = positive || m.op == MATCH_EQ || m.op == MATCH_RE;
            continue;
        }
        TRY(matches(x->e, &m, STR_EMPTY, &empty));
        x->needs_match = x->needs_match || !empty;
        data[x->data_count++] = m;
    }
    if (!x->name_matcher_count)
        names[x->name_matcher_count++] = (matcher){ LABEL_NAME, MATCH_EQ, STR("target_info") };
    else if (!positive)
        names[x->name_matcher_count++] = (matcher){ LABEL_NAME, MATCH_RE, STR(".+_info") };
    x->data = data;
    x->names = names;
    return STATUS_OK;
}

/* Info metrics themselves are not enriched. */
static status is_info(info *x, str name, bool *ret)
{
    *ret = true;
    for (uint32_t i = 0; i < x->name_matcher_count && *ret; i++)
        TRY(matches(x->e, &x->names[i], name, ret));
    return STATUS_OK;
}

/* ---- selecting info series ---- */

static void quote_regex(buf *out, str s)
{
    for (size_t i = 0; i < s.len; i++) {
        if (strchr("\\.+*?()|[]{}^$", s.ptr[i]) && s.ptr[i])
            buf_char(out, '\\');
        buf_char(out, s.ptr[i]);
    }
}

/* All values of an identifying label among the rows with these labels present. */
static status gather_values(info *x, const uint8_t *presence, uint8_t wanted, str name,
                            label_groups *ret)
{
    groups_init(ret, x->e->arena);
    for (uint32_t r = 0; r < x->base->row_count; r++) {
        labels one = { 0 };
        if (presence[r] == wanted &&
            (!labels_keep(x->e->arena, x->base->rows[r].labels, (name_list){ &name, 1 }, &one) ||
             groups_put(ret, one, NULL) == UINT32_MAX))
            return promql_no_memory(x->e);
    }
    return STATUS_OK;
}

/* As alternatives; of many values, whether there is one: drop_others does the rest. */
static status match_values(info *x, const label_groups *values, matcher *ret)
{
    buf text;
    buf_init(&text, ALTERNATIVES_MAX);
    for (uint32_t i = 0; i < values->count && !text.failed; i++) {
        if (i)
            buf_char(&text, '|');
        quote_regex(&text, labels_get(values->items[i], ret->name));
    }
    ret->op = text.failed ? MATCH_NE : MATCH_RE;
    ret->value = text.failed ? STR_EMPTY : arena_str(x->e->arena, buf_view(&text));
    buf_done(&text);
    return ret->op == MATCH_NE || ret->value.ptr ? STATUS_OK : promql_no_memory(x->e);
}

/* Takes out the rows whose label `name` has none of the values. */
static status drop_others(info *x, promql_value *v, str name, const label_groups *values)
{
    uint32_t n = 0;
    for (uint32_t r = 0; r < v->row_count; r++) {
        labels one;
        TRY(promql_check_time(x->e));
        if (!labels_keep(x->e->arena, v->rows[r].labels, (name_list){ &name, 1 }, &one))
            return promql_no_memory(x->e);
        if (groups_find(values, one) != UINT32_MAX)
            v->rows[n++] = v->rows[r];
    }
    v->row_count = n;
    return STATUS_OK;
}

static status not_info(const info *x, labels l)
{
    buf text;
    buf_init(&text, KiB(64));
    labels_print_all(&text, l);
    fail(x->e->err, STATUS_INVALID, "this should be an info metric, with float samples: %.*s",
         STR_ARG(str_slice(buf_view(&text), 0, 300)));
    buf_done(&text);
    return STATUS_INVALID;
}

/* Info series for the rows that have just these of the identifying labels. */
static status fetch_some(info *x, const uint8_t *presence, uint8_t wanted)
{
    uint32_t count = IDENTIFYING + x->data_count + x->name_matcher_count, n = 0;
    matcher *all = promql_alloc(x->e, count, sizeof(matcher));
    label_groups values[IDENTIFYING];
    promql_value v;
    if (!all)
        return STATUS_LIMIT;
    for (uint32_t i = 0; i < IDENTIFYING; i++, n++) {
        all[n] = (matcher){ identifying[i], MATCH_EQ, STR_EMPTY };
        if (!(wanted & 1u << i))
            continue;
        TRY(gather_values(x, presence, wanted, identifying[i], &values[i]));
        TRY(match_values(x, &values[i], &all[n]));
    }
    for (uint32_t i = 0; i < x->data_count; i++)
        all[n++] = x->data[i];
    for (uint32_t i = 0; i < x->name_matcher_count; i++)
        all[n++] = x->names[i];
    promql_node selector = { .kind = NODE_VECTOR, .type = PROMQL_VECTOR };
    selector.selector = (promql_selector){ .matchers = all, .matcher_count = n, .shift = x->shift };
    TRY(promql_select_instant(x->e, x->g, &selector, true, &v));
    for (uint32_t i = 0; i < IDENTIFYING; i++)
        if (all[i].op == MATCH_NE)
            TRY(drop_others(x, &v, identifying[i], &values[i]));
    for (uint32_t r = 0; r < v.row_count; r++)
        if (v.rows[r].histograms)
            return not_info(x, v.rows[r].labels);
    promql_row *grown =
        promql_alloc(x->e, (size_t)x->series.row_count + v.row_count, sizeof(promql_row));
    if (!grown)
        return STATUS_LIMIT;
    if (x->series.row_count)
        memcpy(grown, x->series.rows, x->series.row_count * sizeof(promql_row));
    if (v.row_count)
        memcpy(grown + x->series.row_count, v.rows, v.row_count * sizeof(promql_row));
    x->series.rows = grown;
    x->series.row_count += v.row_count;
    return STATUS_OK;
}

static uint8_t presence_of(labels l)
{
    uint8_t present = 0;
    for (uint32_t i = 0; i < IDENTIFYING; i++)
        if (labels_get(l, identifying[i]).len)
            present |= (uint8_t)(1u << i);
    return present;
}

static bool key_of(const info *x, labels l, labels *ret)
{
    return labels_keep(x->e->arena, l, (name_list){ identifying, IDENTIFYING }, ret);
}

/* Chains the info series of each job and instance, in their order. */
static status index_series(info *x)
{
    size_t count = x->series.row_count;
    groups_init(&x->by_key, x->e->arena);
    x->first = promql_alloc(x->e, count, sizeof(uint32_t));
    x->next = promql_alloc(x->e, count, sizeof(uint32_t));
    if (!x->first || !x->next)
        return STATUS_LIMIT;
    for (uint32_t s = (uint32_t)count; s-- > 0;) {
        labels key;
        uint32_t group;
        if (!key_of(x, x->series.rows[s].labels, &key) ||
            (group = groups_put(&x->by_key, key, NULL)) == UINT32_MAX)
            return promql_no_memory(x->e);
        x->next[s] = x->first[group];
        x->first[group] = s + 1;
    }
    return STATUS_OK;
}

static status fetch(info *x, const bool *ignored)
{
    uint8_t *presence = promql_alloc(x->e, x->base->row_count, 1);
    bool wanted[1 << IDENTIFYING] = { false };
    if (!presence)
        return STATUS_LIMIT;
    for (uint32_t r = 0; r < x->base->row_count; r++) {
        presence[r] = ignored[r] ? 0 : presence_of(x->base->rows[r].labels);
        wanted[presence[r]] = true;
    }
    for (uint8_t p = 1; p < 1 << IDENTIFYING; p++)
        if (wanted[p])
            TRY(fetch_some(x, presence, p));
    groups_init(&x->by_name, x->e->arena);
    x->name_of = promql_alloc(x->e, x->series.row_count, sizeof(uint32_t));
    if (!x->name_of)
        return STATUS_LIMIT;
    for (uint32_t s = 0; s < x->series.row_count; s++) {
        labels name;
        if (!labels_keep(x->e->arena, x->series.rows[s].labels, (name_list){ &LABEL_NAME, 1 },
                         &name) ||
            (x->name_of[s] = groups_put(&x->by_name, name, NULL)) == UINT32_MAX)
            return promql_no_memory(x->e);
    }
    return index_series(x);
}

/* ---- combining ---- */

typedef struct {
    uint32_t *candidates; /* info series with this row's job and instance */
    uint32_t candidate_count;
    uint32_t *chosen, *before; /* by name, of this step and the last: series + 1, 0: none */
    uint32_t first_row;        /* of the result */
    promql_row *row;           /* what `before` gave; NULL: the value is left out */
    bool has_row;
} enrichment;

static status conflict(const info *x, uint32_t a, uint32_t b, double seconds)
{
    char memory[2][160];
    const labels sets[] = { x->series.rows[a].labels, x->series.rows[b].labels };
    for (int i = 0; i < 2; i++) {
        buf text;
        buf_init(&text, KiB(64));
        labels_print_all(&text, sets[i]);
        str_copy_c(memory[i], sizeof(memory[i]), buf_view(&text));
        buf_done(&text);
    }
    long long ms = (long long)(seconds * 1000 + 0.5);
    return PROMQL_FAIL(x->e,
                       "found duplicate series for info metric: existing %s @ %lld, new %s @ %lld",
                       memory[0], ms, memory[1], ms);
}

/* Of each name the series whose sample is the newest at this step. */
static status choose(const info *x, enrichment *en, uint32_t step)
{
    memset(en->chosen, 0, x->by_name.count * sizeof(*en->chosen));
    for (uint32_t c = 0; c < en->candidate_count; c++) {
        uint32_t s = en->candidates[c], *slot = &en->chosen[x->name_of[s]];
        double at = x->series.rows[s].cells[step];
        if (is_absent(at))
            continue;
        double known = *slot ? x->series.rows[*slot - 1].cells[step] : -1e300;
        if (at == known)
            return conflict(x, *slot - 1, s, at);
        if (at > known)
            *slot = s + 1;
    }
    return STATUS_OK;
}

static bool is_wanted(const info *x, str name)
{
    for (uint32_t i = 0; i < x->data_count; i++)
        if (str_eq(x->data[i].name, name))
            return true;
    return x->data_count == 0;
}

/* The labels of the chosen info series that the row has not. False in *ret_any: none was chosen. */
static status combine(const info *x, const enrichment *en, labels base, labels *ret, bool *ret_any)
{
    labels added = { 0 };
    *ret = base;
    *ret_any = false;
    for (uint32_t k = 0; k < x->by_name.count; k++) {
        if (!en->chosen[k])
            continue;
        labels from = x->series.rows[en->chosen[k] - 1].labels;
        *ret_any = true;
        for (uint32_t i = 0; i < from.count; i++) {
            str name = from.items[i].name, known = labels_get(added, name);
            if (label_is_metadata(name) || !is_wanted(x, name))
                continue;
            if (known.len && !str_eq(known, from.items[i].value))
                return PROMQL_FAIL(x->e, "conflicting label: %.*s", STR_ARG(name));
            if (labels_get(base, name).len)
                continue;
            if (!labels_set(x->e->arena, added, name, from.items[i].value, &added) ||
                !labels_set(x->e->arena, *ret, name, from.items[i].value, ret))
                return promql_no_memory(x->e);
        }
    }
    return STATUS_OK;
}

/* The row of the result with these labels that came of the same base row. */
static status result_row(info *x, enrichment *en, const promql_row *base, labels l)
{
    promql_value *ret = x->ret;
    for (uint32_t r = en->first_row; r < ret->row_count; r++)
        if (labels_eq(ret->rows[r].labels, l)) {
            en->row = &ret->rows[r];
            return STATUS_OK;
        }
    if (ret->row_count == x->capacity) {
        uint32_t bigger = MAX(x->capacity * 2, x->base->row_count + 16);
        ret->rows = arena_grow(x->e->arena, ret->rows, ret->row_count * sizeof(promql_row),
                               bigger * sizeof(promql_row));
        if (!ret->rows)
            return promql_no_memory(x->e);
        x->capacity = bigger;
    }
    en->row = &ret->rows[ret->row_count++];
    *en->row = (promql_row){ .labels = l, .drop_name = base->drop_name };
    return (en->row->cells = promql_values(x->e, x->g)) ? STATUS_OK : STATUS_LIMIT;
}

static status find_candidates(const info *x, labels base, enrichment *en)
{
    labels key;
    en->candidate_count = 0;
    if (!key_of(x, base, &key))
        return promql_no_memory(x->e);
    uint32_t group = groups_find(&x->by_key, key);
    for (uint32_t s = group == UINT32_MAX ? 0 : x->first[group]; s; s = x->next[s - 1])
        en->candidates[en->candidate_count++] = s - 1;
    return promql_check_time(x->e);
}

static status enrich(info *x, const promql_row *base, enrichment *en)
{
    size_t size = x->by_name.count * sizeof(*en->chosen);
    TRY(find_candidates(x, base->labels, en));
    en->first_row = x->ret->row_count;
    en->has_row = false;
    for (uint32_t i = 0; i < x->g->steps; i++) {
        labels l;
        bool any;
        if (!row_has(base, i))
            continue;
        TRY(choose(x, en, i));
        if (!en->has_row || (size && memcmp(en->chosen, en->before, size) != 0)) {
            if (size)
                memcpy(en->before, en->chosen, size);
            en->has_row = true;
            en->row = NULL;
            TRY(combine(x, en, base->labels, &l, &any));
            if (any || !x->needs_match)
                TRY(result_row(x, en, base, l));
        }
        if (en->row)
            TRY(row_set(x->e, x->g, en->row, i, row_cell(base, i)));
    }
    return STATUS_OK;
}

static status enrich_all(info *x, const bool *ignored)
{
    enrichment en = { 0 };
    en.candidates = promql_alloc(x->e, x->series.row_count, sizeof(uint32_t));
    en.chosen = promql_alloc(x->e, x->by_name.count, sizeof(uint32_t));
    en.before = promql_alloc(x->e, x->by_name.count, sizeof(uint32_t));
    x->capacity = x->base->row_count;
    x->ret->rows = promql_alloc(x->e, x->capacity, sizeof(promql_row));
    if (!en.candidates || !en.chosen || !en.before || !x->ret->rows)
        return STATUS_LIMIT;
    for (uint32_t r = 0; r < x->base->row_count; r++) {
        const promql_row *base = &x->base->rows[r];
        if (!ignored[r]) {
            TRY(enrich(x, base, &en));
            continue;
        }
        en.first_row = x->ret->row_count;
        TRY(result_row(x, &en, base, base->labels));
        *en.row = *base;
    }
    return STATUS_OK;
}

status promql_fn_info(promql_engine *e, const promql_grid *g, const promql_node *n,
                      promql_value *ret)
{
    promql_value base;
    info x = { .e = e, .g = g, .base = &base, .ret = ret };
    x.shift = reference_of(n->call.args[0]);
    *ret = (promql_value){ .type = PROMQL_VECTOR };
    TRY(promql_eval_node(e, g, n->call.args[0], &base));
    TRY(split_matchers(&x, n->call.arg_count > 1 ? n->call.args[1] : NULL));
    bool *ignored = promql_alloc(e, base.row_count, sizeof(bool));
    if (!ignored)
        return STATUS_LIMIT;
    for (uint32_t r = 0; r < base.row_count; r++) {
        str name = labels_get(base.rows[r].labels, LABEL_NAME);
        if (r && str_eq(name, labels_get(base.rows[r - 1].labels, LABEL_NAME)))
            ignored[r] = ignored[r - 1];
        else
            TRY(is_info(&x, name, &ignored[r]));
    }
    TRY(fetch(&x, ignored));
    TRY(enrich_all(&x, ignored));
    return promql_merge_rows(e, g, ret, SAME_LABELSET);
}
