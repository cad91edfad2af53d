// SPDX-License-Identifier: Apache-2.0
/* Aggregations that make one row of a group. Floats are added up row by row, all steps of a row in
 * a run, in the order and with the compensation that Prometheus uses; groups with histograms go
 * step by step. The arrays of a group's intermediate results are used again for the next. */
#include "query/promql/aggregate.h"

#include "query/promql/histogram.h"
#include "query/promql/wide.h"

#include <math.h>

typedef void add_row(accumulators *a, const double *cells, uint32_t steps);
/* Cells without NaN, so that none is absent, for steps that all have a value; `count` is the
 * caller's. False: nothing was done. */
typedef bool add_full_row(accumulators *a, const double *cells, uint32_t steps);
typedef void finish_row(accumulators *a, uint32_t steps);

static void compensated(double *sum, double *lost, double x)
{
    kahan k = { *sum, *lost };
    kahan_add(&k, x);
    *sum = k.sum;
    *lost = k.lost;
}

static void add_sum(accumulators *a, const double *cells, uint32_t steps)
{
    for (uint32_t i = 0; i < steps; i++) {
        if (is_absent(cells[i]))
            continue;
        if (a->count[i]++)
            compensated(&a->value[i], &a->lost[i], cells[i]);
        else
            a->value[i] = cells[i];
    }
}

/* As kahan_add, two steps at once. */
static bool add_sum_full(accumulators *a, const double *cells, uint32_t steps)
{
    uint32_t i = 0;
    for (; i + WIDE <= steps; i += WIDE) {
        wide sum = wide_load(a->value + i), x = wide_load(cells + i), t = sum + x, part = t - sum;
        wide lost = wide_load(a->lost + i) + ((sum - (t - part)) + (x - part));
        wide_store(a->lost + i, (wide)(~wide_is_infinite(t) & (wide_mask)lost));
        wide_store(a->value + i, t);
    }
    for (; i < steps; i++)
        compensated(&a->value[i], &a->lost[i], cells[i]);
    return true;
}

static void finish_sum(accumulators *a, uint32_t steps)
{
    for (uint32_t i = 0; i < steps; i++)
        if (a->count[i])
            a->value[i] += a->lost[i];
}

static void add_mean(accumulators *a, uint32_t i, double x)
{
    double n = ++a->count[i];
    if (!a->incremental[i]) {
        double sum = a->value[i], lost = a->lost[i];
        compensated(&sum, &lost, x);
        if (!isinf(sum)) {
            a->value[i] = sum;
            a->lost[i] = lost;
            return;
        }
        a->incremental[i] = true;
        a->mean[i] = a->value[i] / (n - 1);
        a->lost[i] /= n - 1;
    }
    double q = (n - 1) / n;
    a->mean[i] *= q;
    a->lost[i] *= q;
    compensated(&a->mean[i], &a->lost[i], x / n);
}

static void add_avg(accumulators *a, const double *cells, uint32_t steps)
{
    for (uint32_t i = 0; i < steps; i++) {
        if (is_absent(cells[i]))
            continue;
        if (a->count[i]) {
            add_mean(a, i, cells[i]);
        } else {
            a->count[i] = 1;
            a->value[i] = cells[i];
        }
    }
}

/* Where a sum would overflow, a running mean takes over. */
static bool add_avg_full(accumulators *a, const double *cells, uint32_t steps)
{
    bool special = memchr(a->incremental, true, steps) != NULL;
    wide_mask infinite = { 0 };
    uint32_t i = 0;
    for (; i + WIDE <= steps; i += WIDE)
        infinite |= wide_is_infinite(wide_load(a->value + i) + wide_load(cells + i));
    special |= wide_any(infinite);
    for (; i < steps; i++)
        special |= isinf(a->value[i] + cells[i]) != 0;
    return !special && add_sum_full(a, cells, steps);
}

static void finish_avg(accumulators *a, uint32_t steps)
{
    for (uint32_t i = 0; i < steps; i++) {
        double n = a->count[i];
        if (a->incremental[i])
            a->value[i] = a->mean[i] + a->lost[i];
        else if (a->count[i])
            a->value[i] = a->value[i] / n + a->lost[i] / n;
    }
}

static void add_min(accumulators *a, const double *cells, uint32_t steps)
{
    for (uint32_t i = 0; i < steps; i++)
        if (!is_absent(cells[i]) &&
            (!a->count[i]++ || a->value[i] > cells[i] || isnan(a->value[i])))
            a->value[i] = cells[i];
}

static void add_max(accumulators *a, const double *cells, uint32_t steps)
{
    for (uint32_t i = 0; i < steps; i++)
        if (!is_absent(cells[i]) &&
            (!a->count[i]++ || a->value[i] < cells[i] || isnan(a->value[i])))
            a->value[i] = cells[i];
}

/* A NaN goes for any number. */
static bool add_min_full(accumulators *a, const double *cells, uint32_t steps)
{
    double *restrict value = a->value;
    for (uint32_t i = 0; i < steps; i++)
        value[i] = value[i] <= cells[i] ? value[i] : cells[i];
    return true;
}

static bool add_max_full(accumulators *a, const double *cells, uint32_t steps)
{
    double *restrict value = a->value;
    for (uint32_t i = 0; i < steps; i++)
        value[i] = value[i] >= cells[i] ? value[i] : cells[i];
    return true;
}

static bool add_count_full(accumulators *a, const double *cells, uint32_t steps)
{
    (void)a, (void)cells, (void)steps;
    return true;
}

static void add_count(accumulators *a, const double *cells, uint32_t steps)
{
    for (uint32_t i = 0; i < steps; i++)
        a->count[i] += !is_absent(cells[i]);
}

static void finish_count(accumulators *a, uint32_t steps)
{
    for (uint32_t i = 0; i < steps; i++)
        if (a->count[i])
            a->value[i] = a->count[i];
}

static void finish_group(accumulators *a, uint32_t steps)
{
    for (uint32_t i = 0; i < steps; i++)
        if (a->count[i])
            a->value[i] = 1;
}

/* Welford's running variance. */
static void add_variance(accumulators *a, const double *cells, uint32_t steps)
{
    for (uint32_t i = 0; i < steps; i++) {
        double x = cells[i];
        if (is_absent(x))
            continue;
        if (!a->count[i]++) {
            a->mean[i] = x;
            a->value[i] = isfinite(x) ? 0 : NAN;
            continue;
        }
        double delta = x - a->mean[i];
        a->mean[i] += delta / a->count[i];
        a->value[i] += delta * (x - a->mean[i]);
    }
}

static void finish_stdvar(accumulators *a, uint32_t steps)
{
    for (uint32_t i = 0; i < steps; i++)
        if (a->count[i])
            a->value[i] /= a->count[i];
}

static void finish_stddev(accumulators *a, uint32_t steps)
{
    for (uint32_t i = 0; i < steps; i++)
        if (a->count[i])
            a->value[i] = sqrt(a->value[i] / a->count[i]);
}

/* By kind; quantile needs all values of a step at once. */
static const struct {
    add_row *add;
    add_full_row *add_full; /* NULL: there is none */
    finish_row *finish;
    bool ignores_histograms;
    bool of_histograms; /* they are added up, too */
} reducers[] = {
    [AGG_SUM] = { add_sum, add_sum_full, finish_sum, false, true },
    [AGG_AVG] = { add_avg, add_avg_full, finish_avg, false, true },
    [AGG_MIN] = { add_min, add_min_full, NULL, true, false },
    [AGG_MAX] = { add_max, add_max_full, NULL, true, false },
    [AGG_COUNT] = { add_count, add_count_full, finish_count, false, false },
    [AGG_GROUP] = { add_count, add_count_full, finish_group, false, false },
    [AGG_STDVAR] = { add_variance, NULL, finish_stdvar, true, false },
    [AGG_STDDEV] = { add_variance, NULL, finish_stddev, true, false },
    [AGG_QUANTILE] = { NULL, NULL, NULL, true, false },
};

status aggregate_accumulators(promql_engine *e, uint32_t steps, accumulators *ret)
{
    ret->lost = promql_alloc(e, steps, sizeof(double));
    ret->mean = promql_alloc(e, steps, sizeof(double));
    ret->count = promql_alloc(e, steps, sizeof(uint32_t));
    ret->incremental = promql_alloc(e, steps, sizeof(bool));
    return ret->lost && ret->mean && ret->count && ret->incremental ? STATUS_OK : STATUS_LIMIT;
}

static bool any_zero(const uint32_t *v, uint32_t n)
{
    typedef uint32_t four __attribute__((vector_size(16)));
    four zeros = { 0 }, x;
    bool any = false;
    uint32_t i = 0;
    for (; i + 4 <= n; i += 4) {
        memcpy(&x, v + i, sizeof(x));
        zeros |= (four)(x == 0);
    }
    for (; i < n; i++)
        any |= v[i] == 0;
    return any || (zeros[0] | zeros[1] | zeros[2] | zeros[3]);
}

void aggregate_add(uint8_t kind, accumulators *a, const double *cells, uint32_t steps)
{
    if (reducers[kind].add_full && !any_zero(a->count, steps) && !wide_any_nan(cells, steps) &&
        reducers[kind].add_full(a, cells, steps)) {
        uint32_t *count = a->count;
        for (uint32_t i = 0; i < steps; i++)
            count[i]++;
        return;
    }
    reducers[kind].add(a, cells, steps);
}

void aggregate_finish(uint8_t kind, accumulators *a, uint32_t steps)
{
    if (reducers[kind].finish)
        reducers[kind].finish(a, steps);
}

typedef struct {
    promql_engine *e;
    const promql_grid *g;
    const promql_node *n;
    const promql_value *v;
    const grouping *by;
    const double *param;
    accumulators scratch;
    double *cells; /* of one step, for quantiles */
    histogram_total total;
    promql_row *row; /* the group's result */
    uint32_t group;
    uint8_t kind;
} reduction;

static const promql_row *member(const reduction *r, uint32_t k)
{
    return &r->v->rows[r->by->members[k]];
}

/* ---- groups with histograms ---- */

static status note_mixed_schemas(reduction *r, const promql_row *row)
{
    buf name;
    buf_init(&name, KiB(4));
    print_quoted(&name, labels_get(row->labels, LABEL_NAME));
    promql_note(r->e, true, aggregate_argument(r->n), NOTE_MIXED_SCHEMAS "%.*s",
                STR_ARG(buf_view(&name)));
    buf_done(&name);
    return STATUS_OK;
}

/* One step of sum or avg that meets histograms; floats among them spoil it. */
static status total_step(reduction *r, uint32_t step)
{
    bool floats = false, histograms = false, incompatible = false;
    histogram_total_clear(&r->total);
    for (uint32_t k = r->by->first[r->group]; k < r->by->first[r->group + 1]; k++) {
        const promql_row *row = member(r, k);
        const histogram *h = row_histogram(row, step);
        if (!row_has(row, step) || incompatible)
            continue;
        floats = floats || !h;
        histograms = histograms || h;
        if (!h || (floats && !r->total.added))
            continue;
        status st = histogram_total_add(&r->total, h);
        if (st == STATUS_NO_MEMORY)
            return promql_no_memory(r->e);
        incompatible = st == STATUS_INVALID;
        if (incompatible)
            TRY(note_mixed_schemas(r, row));
    }
    if (floats && histograms)
        promql_note(r->e, true, aggregate_argument(r->n), NOTE_MIXED_AGGREGATION);
    if (histograms)
        set_absent(&r->row->cells[step]);
    if (r->total.found.reconciled && (floats || incompatible))
        promql_note(r->e, false, aggregate_argument(r->n), NOTE_RECONCILED "aggregation");
    if (!histograms || floats || incompatible)
        return STATUS_OK;
    promql_note_total(r->e, aggregate_argument(r->n), &r->total);
    const histogram *sum = histogram_total_result(&r->total, r->e->arena, true);
    if (!sum)
        return promql_no_memory(r->e);
    return row_set(r->e, r->g, r->row, step, (promql_cell){ .histogram = sum });
}

static status with_histograms(reduction *r, bool *met)
{
    for (uint32_t i = 0; i < r->g->steps; i++) {
        TRY(promql_check_time(r->e));
        if (met[i])
            TRY(total_step(r, i));
    }
    return STATUS_OK;
}

/* What histograms mean for this group; floats are done already. */
static status meet_histograms(reduction *r)
{
    bool *met = NULL;
    for (uint32_t k = r->by->first[r->group]; k < r->by->first[r->group + 1]; k++) {
        const promql_row *row = member(r, k);
        for (uint32_t i = 0; row->histograms && i < r->g->steps; i++) {
            if (!row->histograms[i])
                continue;
            if (!met && !(met = promql_alloc(r->e, r->g->steps, sizeof(bool))))
                return STATUS_LIMIT;
            met[i] = true;
        }
    }
    if (!met)
        return STATUS_OK;
    if (reducers[r->kind].ignores_histograms)
        promql_note(r->e, false, aggregate_argument(r->n), "ignored histogram in %s aggregation",
                    r->n->aggregate.aggregation->name);
    return reducers[r->kind].of_histograms ? with_histograms(r, met) : STATUS_OK;
}

/* count and group take histograms for what they count, too. */
static void count_histograms(reduction *r, accumulators *a)
{
    for (uint32_t k = r->by->first[r->group]; k < r->by->first[r->group + 1]; k++) {
        const promql_row *row = member(r, k);
        for (uint32_t i = 0; row->histograms && i < r->g->steps; i++)
            a->count[i] += row->histograms[i] != NULL;
    }
}

/* ---- all groups ---- */

static status reduce_quantile(reduction *r)
{
    for (uint32_t i = 0; i < r->g->steps; i++) {
        uint32_t present = 0;
        for (uint32_t k = r->by->first[r->group]; k < r->by->first[r->group + 1]; k++) {
            double x = member(r, k)->cells[i];
            if (!is_absent(x))
                r->cells[present++] = x;
        }
        TRY(promql_check_time(r->e));
        if (present)
            r->row->cells[i] = promql_quantile(r->param[i], r->cells, present);
    }
    return STATUS_OK;
}

static status reduce_floats(reduction *r)
{
    accumulators a = r->scratch;
    uint32_t steps = r->g->steps;
    a.value = r->row->cells;
    memset(a.count, 0, steps * sizeof(*a.count));
    memset(a.lost, 0, steps * sizeof(*a.lost));
    memset(a.incremental, 0, steps * sizeof(*a.incremental));
    for (uint32_t k = r->by->first[r->group]; k < r->by->first[r->group + 1]; k++) {
        TRY(promql_check_time(r->e));
        aggregate_add(r->kind, &a, member(r, k)->cells, steps);
    }
    if (r->kind == AGG_COUNT || r->kind == AGG_GROUP)
        count_histograms(r, &a);
    aggregate_finish(r->kind, &a, steps);
    return STATUS_OK;
}

static status reduce_group(reduction *r, promql_value *ret)
{
    r->row = &ret->rows[ret->row_count++];
    *r->row = (promql_row){ .labels = r->by->groups.items[r->group] };
    if (!(r->row->cells = promql_values(r->e, r->g)))
        return STATUS_LIMIT;
    for (uint32_t k = r->by->first[r->group]; k < r->by->first[r->group + 1]; k++)
        r->row->drop_name = r->row->drop_name || member(r, k)->drop_name;
    TRY(r->kind == AGG_QUANTILE ? reduce_quantile(r) : reduce_floats(r));
    return meet_histograms(r);
}

/* A number that is out of bounds, as Go prints it. */
static void note_quantile(const reduction *r, double q)
{
    char text[40];
    buf number = { .ptr = text, .cap = sizeof(text), .limit = sizeof(text) };
    histogram_print_number(&number, q);
    promql_note(r->e, true, r->n->aggregate.param,
                "quantile value should be between 0 and 1, got %.*s", STR_ARG(buf_view(&number)));
}

static void warn_of_quantiles(const reduction *r)
{
    double least = INFINITY, most = -INFINITY;
    bool nan = false;
    for (uint32_t i = 0; i < r->g->steps; i++) {
        nan = nan || isnan(r->param[i]);
        least = fmin(least, r->param[i]);
        most = fmax(most, r->param[i]);
    }
    /* Beside a NaN, only what is infinite is said. */
    if (nan)
        note_quantile(r, NAN);
    if (nan ? most == INFINITY : most > 1)
        note_quantile(r, most);
    if (nan ? least == -INFINITY : least < 0)
        note_quantile(r, least);
}

static status reduce_groups(reduction *r, promql_value *ret)
{
    for (r->group = 0; r->group < r->by->groups.count; r->group++)
        TRY(reduce_group(r, ret));
    return STATUS_OK;
}

status aggregate_reduce(promql_engine *e, const promql_grid *g, const promql_node *n,
                        const promql_value *v, const grouping *by, const double *param,
                        promql_value *ret)
{
    reduction r = { .e = e, .g = g, .n = n, .v = v, .by = by, .param = param };
    accumulators *a = &r.scratch;
    r.kind = n->aggregate.aggregation->kind;
    ret->rows = promql_alloc(e, by->groups.count, sizeof(promql_row));
    r.cells = promql_alloc(e, r.kind == AGG_QUANTILE ? v->row_count : 0, sizeof(double));
    if (!ret->rows || !r.cells)
        return STATUS_LIMIT;
    TRY(aggregate_accumulators(e, g->steps, a));
    if (r.kind == AGG_QUANTILE)
        warn_of_quantiles(&r);
    histogram_total_init(&r.total, r.kind == AGG_AVG);
    status st = reduce_groups(&r, ret);
    histogram_total_done(&r.total);
    return st;
}
