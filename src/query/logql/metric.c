// SPDX-License-Identifier: Apache-2.0
/* count_over_time and its siblings. Every line is looked at once: it is added to all steps whose
 * window holds it by two entries of a difference array, which is summed up at the end. */
#include "query/logql/metric.h"

#include "query/logql/entry.h"

#define SCRATCH_LIMIT MiB(8)                 /* for one record */
#define LARGEST_MS    INT64_C(7000000000000) /* with range and offset it fits as nanoseconds */

typedef struct {
    double *lines; /* differences, one per step and one more */
    double *bytes; /* NULL where only lines are counted */
} counts;

typedef struct {
    promql_engine *e;
    const promql_grid *g;
    const logql_range *range;
    uint32_t first_stage;
    int64_t start_ns; /* of the first step, offset applied */
    label_groups groups;
    counts *counts;
    uint32_t capacity;
    arena scratch;
    logql_entry *entry;
    status failed;
} collector;

bool logql_plan(const logql_pipeline *pipeline, arena *a, row_query *ret, uint32_t *ret_first)
{
    line_filter *lines = ARENA_ARRAY(a, line_filter, MAX(pipeline->stage_count, 1));
    uint32_t n = 0;
    if (!lines)
        return false;
    while (n < pipeline->stage_count && pipeline->stages[n].kind == STAGE_LINE &&
           pipeline->stages[n].line.count == 1) {
        const logql_line_filter *f = &pipeline->stages[n].line;
        lines[n++] = (line_filter){ f->op, f->patterns[0].text };
    }
    ret->signal = SIGNAL_LOGS;
    ret->matchers = pipeline->matchers;
    ret->matcher_count = pipeline->matcher_count;
    ret->lines = lines;
    ret->line_count = n;
    *ret_first = n;
    return true;
}

/* The labels that the row counts under; in the scratch arena. */
static bool key_labels(collector *c, labels *ret)
{
    labels stream = { 0 }, parsed = { 0 };
    const logql_range *range = c->range;
    bool narrow = range->only_by;
    if (!narrow && (!entry_stream_labels(c->entry, &c->scratch, &stream) ||
                    !entry_parsed(c->entry, &c->scratch, &parsed)))
        return false;
    label *items =
        ARENA_ARRAY(&c->scratch, label, (size_t)stream.count + parsed.count + range->by_count + 1);
    uint32_t n = 0;
    if (!items)
        return false;
    for (uint32_t i = 0; i < range->by_count; i++)
        items[n++] = (label){ range->by[i], entry_field(c->entry, range->by[i]) };
    for (uint32_t i = 0; i < stream.count; i++)
        items[n++] = stream.items[i];
    for (uint32_t i = 0; i < parsed.count; i++)
        items[n++] = parsed.items[i];
    *ret = labels_sort(items, n);
    return true;
}

static bool copy_labels(arena *a, labels from, labels *ret)
{
    label *items = ARENA_ARRAY(a, label, MAX(from.count, 1));
    if (!items)
        return false;
    for (uint32_t i = 0; i < from.count; i++) {
        items[i] = (label){ arena_str(a, from.items[i].name), arena_str(a, from.items[i].value) };
        if (!items[i].name.ptr || !items[i].value.ptr)
            return false;
    }
    *ret = (labels){ items, from.count };
    return true;
}

static status new_group(collector *c, labels key, uint32_t *ret)
{
    promql_engine *e = c->e;
    labels own;
    if (!copy_labels(e->arena, key, &own))
        return promql_no_memory(e);
    if (c->groups.count == c->capacity) {
        uint32_t bigger = MAX(16, c->capacity * 2);
        c->counts =
            arena_grow(e->arena, c->counts, c->capacity * sizeof(counts), bigger * sizeof(counts));
        if (!c->counts)
            return promql_no_memory(e);
        c->capacity = bigger;
    }
    *ret = groups_put(&c->groups, own, NULL);
    if (*ret == UINT32_MAX)
        return promql_no_memory(e);
    TRY(promql_count_samples(e, c->g->steps));
    counts *n = &c->counts[*ret];
    n->lines = promql_alloc(e, (size_t)c->g->steps + 1, sizeof(double));
    n->bytes =
        c->range->function->bytes ? promql_alloc(e, (size_t)c->g->steps + 1, sizeof(double)) : NULL;
    return n->lines && (n->bytes || !c->range->function->bytes) ? STATUS_OK : STATUS_LIMIT;
}

/* Steps T with T - range < time <= T; false when there are none. */
static bool steps_of(const collector *c, int64_t time_ns, uint32_t *ret_from, uint32_t *ret_to)
{
    int64_t step = c->g->step_ms * NS_PER_MS, range = c->range->range_ms * NS_PER_MS;
    int64_t since = time_ns - c->start_ns, until = since + range - 1;
    int64_t from = since <= 0 ? 0 : (since + step - 1) / step;
    if (until < 0)
        return false;
    int64_t to = MIN(until / step, (int64_t)c->g->steps - 1);
    *ret_from = (uint32_t)MIN(from, UINT32_MAX);
    *ret_to = (uint32_t)to;
    return from <= to;
}

static status take_row(collector *c, const batch *rows, uint32_t row)
{
    uint32_t from, to, group;
    bool accepted;
    labels key;
    if (!steps_of(c, entry_time(rows, row), &from, &to))
        return STATUS_OK;
    arena_clear(&c->scratch);
    if (!entry_init(c->entry, rows, row, &c->scratch))
        return promql_no_memory(c->e);
    TRY(entry_run(c->entry, c->range->pipeline, c->first_stage, &accepted, c->e->err));
    if (!accepted)
        return STATUS_OK;
    if (c->entry->parsed_count && entry_field(c->entry, ERROR_LABEL).len) {
        str error_kind = entry_field(c->entry, ERROR_LABEL);
        return PROMQL_FAIL(c->e,
                           "pipeline error: '%.*s'; use a label filter to skip such lines, like "
                           "| __error__=\"\"",
                           STR_ARG(error_kind));
    }
    if (!key_labels(c, &key))
        return promql_no_memory(c->e);
    group = groups_find(&c->groups, key);
    if (group == UINT32_MAX)
        TRY(new_group(c, key, &group));
    counts *n = &c->counts[group];
    n->lines[from] += 1;
    n->lines[to + 1] -= 1;
    if (n->bytes) {
        n->bytes[from] += (double)c->entry->line.len;
        n->bytes[to + 1] -= (double)c->entry->line.len;
    }
    return STATUS_OK;
}

static bool take_rows(void *user, const batch *rows)
{
    collector *c = user;
    for (uint32_t i = 0; i < rows->logs.count && c->failed == STATUS_OK; i++)
        c->failed = take_row(c, rows, i);
    if (c->failed == STATUS_OK)
        c->failed = promql_check_time(c->e);
    return c->failed == STATUS_OK;
}

static status finish(collector *c, promql_value *ret)
{
    const logql_range *range = c->range;
    double divisor = range->function->per_second ? (double)range->range_ms / 1000 : 1;
    ret->rows = promql_alloc(c->e, c->groups.count, sizeof(promql_row));
    if (!ret->rows)
        return STATUS_LIMIT;
    for (uint32_t k = 0; k < c->groups.count; k++) {
        double lines = 0, bytes = 0;
        promql_row *row = &ret->rows[ret->row_count++];
        *row = (promql_row){ c->groups.items[k], promql_values(c->e, c->g) };
        if (!row->cells)
            return STATUS_LIMIT;
        for (uint32_t i = 0; i < c->g->steps; i++) {
            lines += c->counts[k].lines[i];
            bytes += range->function->bytes ? c->counts[k].bytes[i] : 0;
            if (lines > 0)
                row->cells[i] = (range->function->bytes ? bytes : lines) / divisor;
        }
    }
    return STATUS_OK;
}

status logql_eval_range(promql_engine *e, const promql_grid *g, const promql_node *n,
                        promql_value *ret)
{
    const logql_range *range = n->external.user;
    collector c = { .e = e, .g = g, .range = range };
    if (g->start_ms < -LARGEST_MS || grid_time(g, g->steps - 1) > LARGEST_MS)
        return PROMQL_FAIL(e, "the query's time is out of range");
    c.start_ns = (g->start_ms - range->offset_ms) * NS_PER_MS;
    row_query q = { .from_ns = c.start_ns - range->range_ms * NS_PER_MS + 1,
                    .to_ns = (grid_time(g, g->steps - 1) - range->offset_ms) * NS_PER_MS + 1,
                    .control = e->options->control };
    *ret = (promql_value){ .type = PROMQL_VECTOR };
    c.entry = promql_alloc(e, 1, sizeof(logql_entry));
    if (!c.entry || !logql_plan(range->pipeline, e->arena, &q, &c.first_stage))
        return promql_no_memory(e);
    groups_init(&c.groups, e->arena);
    arena_init(&c.scratch, SCRATCH_LIMIT);
    status st = store_rows(e->store, &q, take_rows, &c, e->err);
    arena_done(&c.scratch);
    if (c.failed != STATUS_OK)
        return c.failed;
    TRY(st);
    return finish(&c, ret);
}

/* ---- queries ---- */

status logql_instant(store *s, const logql_query *query, str text, const promql_options *options,
                     arena *a, promql_result *ret, error *err)
{
    return promql_instant(s, query->root, text, options, a, ret, err);
}

status logql_range_query(store *s, const logql_query *query, str text,
                         const promql_options *options, arena *a, promql_result *ret, error *err)
{
    return promql_range_query(s, query->root, text, options, a, ret, err);
}
