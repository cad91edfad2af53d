// SPDX-License-Identifier: Apache-2.0
/* histogram_quantile, histogram_quantiles and histogram_fraction over a vector in which classic
 * histograms (cumulative buckets that differ in the label "le") and native ones may meet. The rows
 * are put together to histograms first; each then gives its values step by step. */
#include "query/promql/functions_histogram.h"

#include <math.h>
#include <stdlib.h>

#include "base/clock.h"
#include "query/promql/histogram.h"

typedef struct {
    double bound;
    uint32_t group;
    const promql_row *row;
    bool classic;
} member;

/* What forced monotonicity in the histograms of one name. */
typedef struct {
    str name;
    uint32_t count;
    int64_t first_ms, last_ms;
    classic_fall worst;
} falls;

#define FALLS_MAX 10 /* names; answers show no more infos */

typedef struct {
    promql_engine *e;
    const promql_grid *g;
    const promql_node *vector; /* the argument, for positions */
    label_groups groups;
    member *members; /* by group; classic ones first, by bound */
    uint32_t count;
    classic_bucket *scratch;
    falls falls[FALLS_MAX];
    uint32_t fall_count;
} histograms;

/* One histogram at one step. */
typedef struct {
    const histogram *native; /* or */
    classic_bucket *buckets;
    uint32_t count;
    uint32_t step;
    str name; /* empty unless notes show names */
    bool mended;
    classic_fall fall;
} one_histogram;

static int order_members(const void *a, const void *b)
{
    const member *x = a, *y = b;
    if (x->group != y->group)
        return x->group < y->group ? -1 : 1;
    if (x->classic != y->classic)
        return x->classic ? -1 : 1;
    return x->bound < y->bound ? -1 : x->bound > y->bound;
}

/* Names are shown where they are still there after the function. */
static str shown_name(const promql_engine *e, labels l)
{
    return e->options->features & PROMQL_DELAYED_NAME_REMOVAL
               ? str_slice(labels_get(l, LABEL_NAME), 0, NOTE_NAME_MAX)
               : STR("");
}

#define OF_NAME(name) (name).len ? " for metric name \"" : "", STR_ARG(name), (name).len ? "\"" : ""

static bool has_floats(const promql_row *row, uint32_t steps)
{
    for (uint32_t i = 0; i < steps; i++)
        if (!is_absent(row->cells[i]))
            return true;
    return false;
}

static status put_member(histograms *h, const promql_row *row, labels key, double bound,
                         bool classic)
{
    uint32_t group = groups_put(&h->groups, key, NULL);
    if (group == UINT32_MAX)
        return promql_no_memory(h->e);
    h->members[h->count++] = (member){ bound, group, row, classic };
    return STATUS_OK;
}

static status put_classic(histograms *h, const promql_row *row)
{
    static const str drop[] = { STR_INIT("le") };
    str le = labels_get(row->labels, STR("le")), name = shown_name(h->e, row->labels);
    double bound;
    labels key;
    if (!str_to_f64(le, &bound) || isnan(bound)) {
        promql_note(h->e, true, h->vector,
                    "bucket label \"le\" is missing or has a malformed value of \"%.*s\"%s%.*s%s",
                    STR_ARG(str_slice(le, 0, 60)), OF_NAME(name));
        return STATUS_OK;
    }
    if (!labels_drop(h->e->arena, row->labels, (name_list){ drop, 1 }, &key))
        return promql_no_memory(h->e);
    return put_member(h, row, key, bound, true);
}

/* Two metrics are two histograms: that their results would have the same labels is found out at the
 * end. */
static status collect(histograms *h, promql_engine *e, const promql_grid *g, const promql_node *n,
                      const promql_value *v)
{
    *h = (histograms){ .e = e, .g = g, .vector = n };
    groups_init(&h->groups, e->arena);
    /* A row may have both, at different steps. */
    h->members = promql_alloc(e, (size_t)v->row_count * 2, sizeof(member));
    h->scratch = promql_alloc(e, v->row_count, sizeof(classic_bucket));
    if (!h->members || !h->scratch)
        return STATUS_LIMIT;
    for (uint32_t i = 0; i < v->row_count; i++) {
        const promql_row *row = &v->rows[i];
        TRY(promql_check_time(e));
        if (has_floats(row, g->steps))
            TRY(put_classic(h, row));
        if (row->histograms)
            TRY(put_member(h, row, row->labels, 0, false));
    }
    qsort(h->members, h->count, sizeof(member), order_members);
    return STATUS_OK;
}

/* The members of a group from `first` on. */
static uint32_t group_end(const histograms *h, uint32_t first)
{
    uint32_t end = first;
    while (end < h->count && h->members[end].group == h->members[first].group)
        end++;
    return end;
}

/* False where there is none, or two of different kinds. */
static bool at_step(histograms *h, uint32_t first, uint32_t end, uint32_t step, one_histogram *ret)
{
    *ret = (one_histogram){ .buckets = h->scratch, .step = step };
    for (uint32_t k = first; k < end; k++) {
        const member *m = &h->members[k];
        if (!m->classic)
            ret->native = m->row->histograms[step];
        else if (!is_absent(m->row->cells[step]))
            ret->buckets[ret->count++] = (classic_bucket){ m->bound, m->row->cells[step] };
    }
    ret->name = shown_name(h->e, h->groups.items[h->members[first].group]);
    if (ret->native && ret->count) {
        promql_note(h->e, true, h->vector,
                    "vector contains a mix of classic and native histograms%s%.*s%s",
                    OF_NAME(ret->name));
        return false;
    }
    return ret->native || ret->count;
}

static void note_doubt(histograms *h, const one_histogram *one, histogram_doubt doubt,
                       const char *function, const char *result)
{
    if (doubt != HISTOGRAM_FINE)
        promql_note(h->e, false, h->vector, "input to %s has NaN observations, %s%s%.*s%s",
                    function, result, OF_NAME(one->name));
}

/* ---- quantiles ---- */

static void remember_fall(histograms *h, const one_histogram *one)
{
    int64_t time_ms = grid_time(h->g, one->step);
    uint32_t i = 0;
    while (i < h->fall_count && !str_eq(h->falls[i].name, one->name))
        i++;
    if (i == FALLS_MAX)
        return;
    falls *f = &h->falls[i];
    if (i == h->fall_count) {
        h->fall_count++;
        *f = (falls){
            .name = one->name, .first_ms = time_ms, .last_ms = time_ms, .worst = one->fall
        };
    }
    f->count++;
    f->first_ms = MIN(f->first_ms, time_ms);
    f->last_ms = MAX(f->last_ms, time_ms);
    f->worst.low = MIN(f->worst.low, one->fall.low);
    f->worst.high = MAX(f->worst.high, one->fall.high);
    f->worst.most = MAX(f->worst.most, one->fall.most);
}

static void note_falls(histograms *h)
{
    char low[48], high[48];
    for (uint32_t i = 0; i < h->fall_count; i++) {
        const falls *f = &h->falls[i];
        buf from, to;
        h->e->notes->of_all_steps = true;
        buf_init(&from, 0);
        buf_init(&to, 0);
        clock_format_rfc3339(&from, f->first_ms / 1000 * 1000000000, 0);
        clock_format_rfc3339(&to, f->last_ms / 1000 * 1000000000, 0);
        promql_note(h->e, false, h->vector,
                    "input to histogram_quantile needed to be fixed for monotonicity (see "
                    "https://prometheus.io/docs/prometheus/latest/querying/functions/"
                    "#histogram_quantile)%s%.*s%s, from buckets %s to %s, with a max diff of "
                    "%.2g, over %u samples from %.*s to %.*s",
                    OF_NAME(f->name), histogram_number_text(low, f->worst.low),
                    histogram_number_text(high, f->worst.high), f->worst.most, f->count,
                    STR_ARG(buf_view(&from)), STR_ARG(buf_view(&to)));
        buf_done(&from);
        buf_done(&to);
    }
}

static double quantile_of(histograms *h, one_histogram *one, double q)
{
    histogram_doubt doubt;
    if (!one->native) {
        if (!one->mended && q >= 0 && q <= 1) {
            one->mended = true;
            one->count = classic_join(one->buckets, one->count);
            if (one->count && one->buckets[one->count - 1].bound == INFINITY &&
                classic_mend(one->buckets, one->count, &one->fall))
                remember_fall(h, one);
        }
        return classic_quantile(q, one->buckets, one->count);
    }
    double v = histogram_quantile(one->native, q, &doubt);
    note_doubt(h, one, doubt, "histogram_quantile",
               doubt == HISTOGRAM_NAN_RESULT ? "result is NaN" : "result is skewed higher");
    return v;
}

static void warn_of_quantiles(promql_engine *e, const promql_grid *g, const promql_node *at,
                              const double *q)
{
    char text[48];
    for (uint32_t i = 0; i < g->steps; i++) {
        if ((q[i] >= 0 && q[i] <= 1) || (i > 0 && bits_of(q[i]) == bits_of(q[i - 1])))
            continue;
        promql_note(e, true, at, "quantile value should be between 0 and 1, got %s",
                    histogram_number_text(text, q[i]));
    }
}

/* ---- one value per histogram and step ---- */

typedef double value_of(histograms *h, one_histogram *one, const double *const *params);

static double quantile_at(histograms *h, one_histogram *one, const double *const *params)
{
    return quantile_of(h, one, params[0][one->step]);
}

static double fraction_at(histograms *h, one_histogram *one, const double *const *params)
{
    histogram_doubt doubt;
    double lower = params[0][one->step], upper = params[1][one->step];
    if (!one->native) {
        one->count = classic_join(one->buckets, one->count);
        return classic_fraction(lower, upper, one->buckets, one->count);
    }
    double v = histogram_fraction(one->native, lower, upper, &doubt);
    note_doubt(h, one, doubt, "histogram_fraction", "which are excluded from all fractions");
    return v;
}

static status fill_row(histograms *h, uint32_t first, uint32_t end, const double *const *params,
                       value_of *fn, promql_row *row)
{
    one_histogram one;
    *row = (promql_row){ .labels = h->groups.items[h->members[first].group],
                         .cells = promql_values(h->e, h->g) };
    if (!row->cells)
        return STATUS_LIMIT;
    for (uint32_t i = first; i < end; i++)
        row->drop_name = row->drop_name || h->members[i].row->drop_name;
    for (uint32_t i = 0; i < h->g->steps; i++)
        if (at_step(h, first, end, i, &one))
            row->cells[i] = fn(h, &one, params);
    return promql_check_time(h->e);
}

static status fill_rows(histograms *h, const double *const *params, value_of *fn, promql_value *ret)
{
    *ret = (promql_value){ .type = PROMQL_VECTOR };
    ret->rows = promql_alloc(h->e, h->groups.count, sizeof(promql_row));
    if (!ret->rows)
        return STATUS_LIMIT;
    for (uint32_t first = 0, end; first < h->count; first = end) {
        end = group_end(h, first);
        TRY(fill_row(h, first, end, params, fn, &ret->rows[ret->row_count++]));
    }
    note_falls(h);
    return STATUS_OK;
}

status promql_fn_histogram_quantile(promql_engine *e, const promql_grid *g, const promql_node *n,
                                    promql_value *ret)
{
    promql_value q, v;
    histograms h;
    TRY(promql_eval_node(e, g, n->call.args[0], &q));
    TRY(promql_eval_node(e, g, n->call.args[1], &v));
    warn_of_quantiles(e, g, n->call.args[0], q.scalar);
    TRY(collect(&h, e, g, n->call.args[1], &v));
    TRY(fill_rows(&h, (const double *const[]){ q.scalar }, quantile_at, ret));
    return promql_finish_call(e, g, n, ret);
}

status promql_fn_histogram_fraction(promql_engine *e, const promql_grid *g, const promql_node *n,
                                    promql_value *ret)
{
    promql_value lower, upper, v;
    histograms h;
    TRY(promql_eval_node(e, g, n->call.args[0], &lower));
    TRY(promql_eval_node(e, g, n->call.args[1], &upper));
    TRY(promql_eval_node(e, g, n->call.args[2], &v));
    TRY(collect(&h, e, g, n->call.args[2], &v));
    TRY(fill_rows(&h, (const double *const[]){ lower.scalar, upper.scalar }, fraction_at, ret));
    return promql_finish_call(e, g, n, ret);
}

/* ---- several quantiles, each with its label ---- */

/* A quantile as a label value: with a point, as OpenMetrics writes numbers. */
static str quantile_label(arena *a, double q)
{
    char text[48];
    str s = str_c(histogram_number_text(text, q));
    bool whole = !isnan(q) && !isinf(q) && !memchr(s.ptr, '.', s.len) && !memchr(s.ptr, 'e', s.len);
    return arena_fmt(a, "%.*s%s", STR_ARG(q == 0 ? STR("0") : s), whole ? ".0" : "");
}

typedef struct {
    str label;
    double *const *q; /* one array per quantile */
    uint32_t count;
    struct {
        promql_row *row;
        double q;
    } * current; /* by quantile: the row of its latest value */
    promql_row *rows;
    uint32_t row_count;
} quantiles;

/* A quantile that changes from step to step has a row for each of its values. */
static status row_of(histograms *h, quantiles *qs, uint32_t first, uint32_t k, uint32_t step,
                     promql_row **ret)
{
    double q = qs->q[k][step];
    const member *m = &h->members[first];
    *ret = qs->current[k].row;
    if (*ret && bits_of(qs->current[k].q) == bits_of(q))
        return STATUS_OK;
    str text = quantile_label(h->e->arena, q);
    promql_row *row = *ret = &qs->rows[qs->row_count++];
    *row = (promql_row){ .cells = promql_values(h->e, h->g), .drop_name = m->row->drop_name };
    if (!row->cells)
        return STATUS_LIMIT;
    if (!text.ptr ||
        !labels_set(h->e->arena, h->groups.items[m->group], qs->label, text, &row->labels))
        return promql_no_memory(h->e);
    qs->current[k].row = row;
    qs->current[k].q = q;
    return STATUS_OK;
}

static status fill_quantiles(histograms *h, quantiles *qs, uint32_t first, uint32_t end)
{
    one_histogram one;
    promql_row *row;
    memset(qs->current, 0, qs->count * sizeof(*qs->current));
    for (uint32_t i = 0; i < h->g->steps; i++) {
        bool any = at_step(h, first, end, i, &one);
        for (uint32_t k = 0; any && k < qs->count; k++) {
            TRY(row_of(h, qs, first, k, i, &row));
            row->cells[i] = quantile_of(h, &one, qs->q[k][i]);
        }
    }
    return promql_check_time(h->e);
}

/* How many rows one histogram gives at most. */
static size_t runs_of_quantiles(const promql_grid *g, const quantiles *qs)
{
    size_t runs = 0;
    for (uint32_t k = 0; k < qs->count; k++) {
        runs++;
        for (uint32_t i = 1; i < g->steps; i++)
            runs += bits_of(qs->q[k][i]) != bits_of(qs->q[k][i - 1]);
    }
    return runs;
}

status promql_fn_histogram_quantiles(promql_engine *e, const promql_grid *g, const promql_node *n,
                                     promql_value *ret)
{
    promql_value v;
    histograms h;
    uint32_t count = n->call.arg_count - 2;
    double **q = promql_alloc(e, count, sizeof(*q));
    const promql_node *label = promql_bare(n->call.args[1]);
    quantiles qs = { .label = label->string, .q = q, .count = count };
    TRY(promql_eval_node(e, g, n->call.args[0], &v));
    qs.current = promql_alloc(e, count, sizeof(*qs.current));
    if (!q || !qs.current)
        return STATUS_LIMIT;
    for (uint32_t k = 0; k < count; k++) {
        promql_value scalar;
        TRY(promql_eval_node(e, g, n->call.args[k + 2], &scalar));
        q[k] = scalar.scalar;
        warn_of_quantiles(e, g, n->call.args[k + 2], q[k]);
    }
    TRY(collect(&h, e, g, n->call.args[0], &v));
    size_t capacity = runs_of_quantiles(g, &qs) * h.groups.count;
    if (capacity > UINT32_MAX || !(qs.rows = promql_alloc(e, capacity, sizeof(promql_row))))
        return promql_no_memory(e);
    for (uint32_t first = 0, end; first < h.count; first = end) {
        end = group_end(&h, first);
        TRY(fill_quantiles(&h, &qs, first, end));
    }
    note_falls(&h);
    *ret = (promql_value){ .type = PROMQL_VECTOR, .rows = qs.rows, .row_count = qs.row_count };
    return promql_finish_call(e, g, n, ret);
}
