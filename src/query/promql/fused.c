// SPDX-License-Identifier: Apache-2.0
/* Aggregations over what a selector's series become, without keeping a row of each. It goes in
 * waves: all cores make the rows of some hundred series, then each core adds them to their groups
 * for a range of the steps. So the numbers are added in the same order as without waves, and the
 * answer is the same to the last bit, whatever the threads do. Where histograms turn up, or names
 * could make two series equal, the usual way is gone. */
#include "query/promql/aggregate.h"
#include "query/promql/extended.h"
#include "query/workers.h"

#define WAVE_BYTES     MiB(2) /* of the cells of a wave: they stay in the cache */
#define WAVE_MIN       64     /* series */
#define WAVE_MAX       2048
#define GROUP_BYTES    29      /* of the intermediate results of a group at one step */
#define GROUPS_MAX     MiB(64) /* bytes of all of them */
#define STEPS_AT_ONCE  64      /* that a thread adds up */
#define ROWS_AHEAD     3       /* whose cells are on their way while a row is added */
#define SERIES_A_GROUP 2       /* fewer are not worth it */

typedef struct {
    const promql_grid *g;
    promql_row_maker maker;
    uint8_t kind;
    uint32_t wave;            /* series in one */
    double *cells;            /* of the wave, row by row */
    const uint32_t *group_of; /* by series */
    accumulators *groups;
    uint32_t first, end; /* of the wave that is added up */
} fused;

/* Whether one metric name is asked for, so that series differ without it, too. */
static bool has_one_name(const promql_selector *s)
{
    for (uint32_t i = 0; i < s->matcher_count; i++)
        if (s->matchers[i].op == MATCH_EQ && str_eq(s->matchers[i].name, LABEL_NAME) &&
            s->matchers[i].value.len)
            return true;
    return false;
}

/* The selector of the rows, or NULL where the usual way is to be gone. */
static const promql_node *selector_of(const promql_engine *e, const promql_node *n)
{
    const promql_node *inner = promql_bare(n->aggregate.inner);
    if (n->aggregate.aggregation->kind > AGG_STDDEV || e->shared || delays_names(e))
        return NULL;
    if (inner->kind == NODE_VECTOR)
        return inner->selector.smoothed ? NULL : inner;
    if (inner->kind != NODE_CALL || !inner->call.function->range || inner->call.arg_count != 1)
        return NULL;
    const promql_node *matrix = promql_bare(inner->call.args[0]);
    if (matrix->kind != NODE_MATRIX || promql_is_extended(matrix) ||
        !has_one_name(&matrix->selector))
        return NULL;
    return matrix;
}

/* Labels of metadata go with the name, so that series may become equal. */
static bool has_metadata(const series_head *h)
{
    for (uint32_t i = 0; i < h->label_count; i++)
        if (!str_eq(h->labels[i].name, LABEL_NAME) && label_is_metadata(h->labels[i].name))
            return true;
    return false;
}

/* The groups of what is found, by labels alone. */
static status group_heads(promql_engine *e, const promql_node *n, const promql_found *f,
                          bool *ret_fits, grouping *ret)
{
    bool keeps_name = promql_bare(n->aggregate.inner)->kind == NODE_VECTOR;
    promql_value v = { .type = PROMQL_VECTOR, .row_count = f->count };
    *ret_fits = false;
    if (!(v.rows = promql_alloc(e, f->count, sizeof(promql_row))))
        return STATUS_LIMIT;
    for (uint32_t i = 0; i < f->count; i++) {
        labels l = { f->heads[i].labels, f->heads[i].label_count };
        if (!keeps_name && has_metadata(&f->heads[i]))
            return STATUS_OK;
        if (!keeps_name && !labels_drop_metric(e->arena, l, &l))
            return promql_no_memory(e);
        v.rows[i].labels = l;
    }
    *ret_fits = true;
    return aggregate_group(e, &n->aggregate, STR_EMPTY, &v, ret);
}

static status add_row(promql_engine *e, void *user, uint32_t slot, uint32_t index,
                      const promql_samples *s)
{
    fused *f = user;
    promql_row row = { .labels = s->labels };
    row.cells = f->cells + (size_t)(index % f->wave) * f->g->steps;
    if (s->histograms)
        return STATUS_UNSUPPORTED;
    TRY(f->maker.make(e, f->maker.user, slot, s, &row));
    return row.histograms ? STATUS_UNSUPPORTED : STATUS_OK;
}

/* What is read for these steps lies a row apart, which processors do not foresee. */
static void expect_cells(const fused *f, uint32_t row, uint32_t first, uint32_t end)
{
    const double *cells = f->cells + (size_t)(row % f->wave) * f->g->steps;
    for (uint32_t i = first; i < end && row < f->end; i += 64 / sizeof(double))
        __builtin_prefetch(&cells[i]);
}

/* Adds the wave's rows to their groups, for some steps. */
static status add_steps(void *user, uint32_t slot, uint32_t first, uint32_t end)
{
    fused *f = user;
    (void)slot;
    for (uint32_t i = f->first; i < f->end; i++) {
        const accumulators *group = &f->groups[f->group_of[i]];
        accumulators part = { .value = group->value + first,
                              .lost = group->lost + first,
                              .mean = group->mean + first,
                              .count = group->count + first,
                              .incremental = group->incremental + first };
        double *cells = f->cells + (size_t)(i % f->wave) * f->g->steps + first;
        expect_cells(f, i + ROWS_AHEAD, first, end);
        aggregate_add(f->kind, &part, cells, end - first);
        for (uint32_t k = 0; k < end - first; k++)
            set_absent(&cells[k]); /* for the next wave */
    }
    return STATUS_OK;
}

static status add_wave(promql_engine *e, void *user, uint32_t first, uint32_t end)
{
    fused *f = user;
    f->first = first;
    f->end = end;
    TRY(promql_check_time(e));
    return workers_run(f->g->steps, STEPS_AT_ONCE, add_steps, f);
}

static status make_room(promql_engine *e, fused *f, const grouping *by)
{
    uint32_t steps = f->g->steps;
    size_t row = steps * sizeof(double);
    f->wave = (uint32_t)MAX(MIN(WAVE_BYTES / row, (size_t)WAVE_MAX), (size_t)WAVE_MIN);
    f->cells = promql_alloc(e, f->wave, row);
    f->groups = promql_alloc(e, by->groups.count, sizeof(accumulators));
    f->group_of = by->group_of;
    if (!f->cells || !f->groups)
        return STATUS_LIMIT;
    for (size_t i = 0; i < (size_t)f->wave * steps; i++)
        set_absent(&f->cells[i]);
    for (uint32_t k = 0; k < by->groups.count; k++) {
        TRY(aggregate_accumulators(e, steps, &f->groups[k]));
        if (!(f->groups[k].value = promql_values(e, f->g)))
            return STATUS_LIMIT;
    }
    return STATUS_OK;
}

/* STATUS_UNSUPPORTED: the usual way is to be gone. */
static status aggregate_found(promql_engine *e, fused *f, const promql_node *n,
                              const promql_found *found, promql_value *ret)
{
    grouping by;
    bool fits;
    TRY(group_heads(e, n, found, &fits, &by));
    if (!fits || found->count < SERIES_A_GROUP * by.groups.count ||
        (uint64_t)by.groups.count * f->g->steps * GROUP_BYTES > GROUPS_MAX)
        return STATUS_UNSUPPORTED;
    TRY(make_room(e, f, &by));
    TRY(promql_each_wave(e, found, f->maker.keep_stale, f->wave, add_row, add_wave, f));
    *ret = (promql_value){ .type = PROMQL_VECTOR };
    if (!(ret->rows = promql_alloc(e, by.groups.count, sizeof(promql_row))))
        return STATUS_LIMIT;
    for (uint32_t k = 0; k < by.groups.count; k++) {
        aggregate_finish(f->kind, &f->groups[k], f->g->steps);
        ret->rows[ret->row_count++] =
            (promql_row){ .labels = by.groups.items[k], .cells = f->groups[k].value };
    }
    return promql_merge_rows(e, f->g, ret, SAME_LABELSET);
}

status promql_fused_aggregate(promql_engine *e, const promql_grid *g, const promql_node *n,
                              promql_value *ret, bool *ret_done)
{
    const promql_node *selector = selector_of(e, n);
    uint64_t samples = e->samples;
    promql_found found;
    fused f = { .g = g, .kind = n->aggregate.aggregation->kind };
    *ret_done = false;
    if (!selector)
        return STATUS_OK;
    if (selector->kind == NODE_VECTOR)
        TRY(promql_instant_maker(e, g, selector, false, &f.maker));
    else
        TRY(promql_window_maker(e, g, promql_bare(n->aggregate.inner), selector, &f.maker));
    TRY(promql_find(e, g, selector, f.maker.back_ms, 0, &found));
    status st = aggregate_found(e, &f, n, &found, ret);
    promql_found_done(&found);
    if (st == STATUS_UNSUPPORTED) {
        e->samples = samples;
        if (e->err)
            *e->err = (error){ 0 };
        return STATUS_OK;
    }
    *ret_done = st == STATUS_OK;
    return st;
}
