// SPDX-License-Identifier: Apache-2.0
/* Samples to points. A run of samples that are one histogram or summary, with all its parts, in
 * order and consistent, is one point; anything else stays as it is, each sample a point of its own
 * by its full name. Both ways give the same series in the end. */
#include "codec/exposition_internal.h"

#include "codec/native_convert.h"
#include "codec/prom_series.h"
#include "codec/prometheus_scope.h"

#include <math.h>

typedef struct {
    const exposition_page *p;
    batch *to;
    int64_t time_ns;
    map scopes, metrics; /* what was added by this call; keys in the batch's arena */
    bool has_scope, has_metric;
    str job, instance; /* of the last scope */
    uint32_t scope, metric;
    str metric_name; /* of the last metric */
    metric_type metric_type;
    uint32_t metric_family;
} writer;

/* Parts of one histogram or summary: samples[from] to samples[to - 1]. */
typedef struct {
    str base; /* the name without the suffix */
    family_type type;
    uint32_t from, to, values; /* values: buckets or quantiles */
    const exposition_sample *count, *sum;
    int64_t created_ns;
} group;

/* ---- tables ---- */

static bool text_attribute(writer *w, attrs *list, uint32_t *capacity, str key, str text)
{
    return text.len == 0 || attrs_append(&w->to->arena, list, capacity, key, VALUE_S(text));
}

static bool new_scope(writer *w, str job, str instance, uint32_t *ret)
{
    uint32_t resource = batch_add_resource(w->to), capacity = 0;
    if (resource == BATCH_FULL)
        return false;
    attrs *list = &w->to->resources[resource].attributes;
    if (!text_attribute(w, list, &capacity, STR("service.name"), job) ||
        !text_attribute(w, list, &capacity, STR("service.instance.id"), instance))
        return false;
    *ret = batch_add_scope(w->to, resource);
    if (*ret == BATCH_FULL)
        return false;
    w->to->scopes[*ret].name = STR(PROMETHEUS_SCOPE);
    return true;
}

static bool use_scope(writer *w, const exposition_sample *s)
{
    str job = exposition_label(s, STR("job")), instance = exposition_label(s, STR("instance"));
    bool added;
    if (w->has_scope && str_eq(job, w->job) && str_eq(instance, w->instance))
        return true;
    str key = arena_fmt(&w->to->arena, "%zu:%.*s%.*s", job.len, STR_ARG(job), STR_ARG(instance));
    uint64_t *known = key.ptr ? map_put(&w->scopes, key, 0, &added) : NULL;
    if (!known)
        return false;
    if (added) {
        if (!new_scope(w, job, instance, &w->scope))
            return false;
        *known = w->scope;
    }
    w->scope = (uint32_t)*known;
    w->job = job;
    w->instance = instance;
    w->has_scope = true;
    w->has_metric = false;
    return true;
}

static bool use_metric(writer *w, str name, metric_type type, uint32_t family)
{
    bool added;
    if (w->has_metric && type == w->metric_type && family == w->metric_family &&
        str_eq(name, w->metric_name))
        return true;
    str key = arena_fmt(&w->to->arena, "%u:%d:%.*s", w->scope, (int)type, STR_ARG(name));
    uint64_t *known = key.ptr ? map_put(&w->metrics, key, 0, &added) : NULL;
    if (!known)
        return false;
    if (added) {
        uint32_t index = batch_add_metric(w->to, w->scope);
        if (index == BATCH_FULL)
            return false;
        *known = index;
        batch_metric *m = &w->to->metrics[index];
        m->type = type;
        m->name = name;
        m->monotonic = type == METRIC_SUM;
        if (type != METRIC_GAUGE && type != METRIC_SUMMARY)
            m->temporality = TEMPORALITY_CUMULATIVE;
        if (family != EXPOSITION_NO_FAMILY) {
            m->description = w->p->families[family].help;
            m->unit = w->p->families[family].unit;
        }
    }
    w->metric = (uint32_t)*known;
    w->metric_name = name;
    w->metric_type = type;
    w->metric_family = family;
    w->has_metric = true;
    return true;
}

/* ---- one point ---- */

static bool point_attributes(writer *w, const exposition_sample *s, str left_out, attrs *ret)
{
    *ret = (attrs){ 0 };
    if (s->label_count == 0)
        return true;
    ret->items = arena_alloc(&w->to->arena, s->label_count * sizeof(attr));
    if (!ret->items)
        return false;
    for (uint32_t i = 0; i < s->label_count; i++) {
        const prom_label *l = &s->labels[i];
        if (l->value.len == 0 || str_is(l->name, "job") || str_is(l->name, "instance") ||
            (left_out.len && str_eq(l->name, left_out)))
            continue;
        ret->items[ret->count++] = (attr){ l->name, VALUE_S(l->value) };
    }
    return true;
}

/* Adds the row; *ret is its index. */
static bool add_point(writer *w, const exposition_sample *s, str name, metric_type type,
                      str left_out, uint32_t *ret)
{
    if (!use_scope(w, s) || !use_metric(w, name, type, s->family))
        return false;
    uint32_t row = batch_add_point(w->to, w->metric);
    if (row == BATCH_FULL)
        return false;
    point_rows *rows = &w->to->points;
    rows->time_ns[row] = s->has_time ? prom_ns(s->time_ms) : w->time_ns;
    rows->start_ns[row] = s->created_ns;
    rows->flags[row] = s->stale ? POINT_FLAG_NO_RECORDED_VALUE : 0;
    rows->exemplars[row] = (exemplars){ s->exemplars, s->exemplar_count };
    *ret = row;
    return point_attributes(w, s, left_out, &rows->attributes[row]);
}

static metric_type type_alone(const writer *w, const exposition_sample *s)
{
    family_type family =
        s->family == EXPOSITION_NO_FAMILY ? FAMILY_UNKNOWN : w->p->families[s->family].type;
    bool counts = s->part == PART_BUCKET || s->part == PART_COUNT;
    if (s->part == PART_NATIVE)
        return METRIC_EXP_HISTOGRAM;
    return s->part == PART_TOTAL || (counts && family != FAMILY_GAUGE_HISTOGRAM) ? METRIC_SUM
                                                                                 : METRIC_GAUGE;
}

static bool add_alone(writer *w, const exposition_sample *s)
{
    static const exp_histogram_value nothing;
    uint32_t row;
    metric_type type = type_alone(w, s);
    if (!add_point(w, s, s->name, type, STR_EMPTY, &row))
        return false;
    point_value *v = &w->to->points.value[row];
    if (type != METRIC_EXP_HISTOGRAM) {
        v->f64 = s->stale ? 0 : s->value;
        return true;
    }
    if (!s->stale) {
        v->exp = s->native;
        return true;
    }
    v->exp = ARENA_NEW(&w->to->arena, exp_histogram_value);
    if (v->exp)
        *v->exp = nothing;
    return v->exp != NULL;
}

/* ---- histograms and summaries ---- */

static str group_label(family_type type)
{
    return type == FAMILY_HISTOGRAM ? STR("le") : STR("quantile");
}

static const char *const part_suffixes[] = {
    [PART_BUCKET] = "_bucket", [PART_SUM] = "_sum",         [PART_COUNT] = "_count",
    [PART_QUANTILE] = "",      [PART_CREATED] = "_created", [PART_NATIVE] = NULL,
};

/* The family and the name without suffix of a sample that may be part of a group. */
static bool part_of_group(const writer *w, const exposition_sample *s, family_type *ret_type,
                          str *ret_base)
{
    if (s->family == EXPOSITION_NO_FAMILY || s->part < PART_BUCKET || s->part == PART_NATIVE)
        return false;
    *ret_type = w->p->families[s->family].type;
    str suffix = str_c(part_suffixes[s->part]);
    if ((*ret_type != FAMILY_HISTOGRAM && *ret_type != FAMILY_SUMMARY) ||
        !str_ends(s->name, suffix) || s->name.len == suffix.len)
        return false;
    *ret_base = str_slice(s->name, 0, s->name.len - suffix.len);
    return true;
}

static bool same_labels(const exposition_sample *a, const exposition_sample *b, str left_out)
{
    uint32_t i = 0, k = 0;
    for (;; i++, k++) {
        if (i < a->label_count && str_eq(a->labels[i].name, left_out))
            i++;
        if (k < b->label_count && str_eq(b->labels[k].name, left_out))
            k++;
        if (i == a->label_count || k == b->label_count)
            return i == a->label_count && k == b->label_count;
        if (!str_eq(a->labels[i].value, b->labels[k].value) ||
            !str_eq(a->labels[i].name, b->labels[k].name))
            return false;
    }
}

static bool same_group(const writer *w, const exposition_sample *a, const exposition_sample *b,
                       str base)
{
    family_type type;
    str other;
    return b->family == a->family && part_of_group(w, b, &type, &other) && str_eq(other, base) &&
           b->has_time == a->has_time && b->time_ms == a->time_ms && b->stale == a->stale &&
           same_labels(a, b, group_label(type));
}

/* Whole numbers that a double holds exactly. */
static bool is_count(double v)
{
    return v >= 0 && v <= 9007199254740992.0 && v == floor(v);
}

/* The bound or quantile that a sample's label says, written as it is written again later. */
static bool group_number(writer *w, const exposition_sample *s, str label, double *ret)
{
    str text = exposition_label(s, label);
    return exposition_parse_number(text, ret) && !isnan(*ret) &&
           str_eq(exposition_canonical(&w->to->arena, text), text);
}

static void measure(writer *w, const exposition_sample *samples, uint32_t count, uint32_t from,
                    group *g)
{
    *g = (group){ .from = from, .to = from };
    if (!part_of_group(w, &samples[from], &g->type, &g->base))
        return;
    for (; g->to < count && same_group(w, &samples[from], &samples[g->to], g->base); g->to++) {
        const exposition_sample *s = &samples[g->to];
        bool again = (s->part == PART_COUNT && g->count) || (s->part == PART_SUM && g->sum);
        if (again)
            break;
        g->values += s->part == PART_BUCKET || s->part == PART_QUANTILE;
        g->count = s->part == PART_COUNT ? s : g->count;
        g->sum = s->part == PART_SUM ? s : g->sum;
        if (s->created_ns)
            g->created_ns = s->created_ns;
        else if (s->part == PART_CREATED && !s->stale && s->value > 0 && s->value < 9e9)
            g->created_ns = (int64_t)(s->value * 1e9);
    }
}

/* NULL: not whole, or no memory. */
static histogram_value *make_histogram(writer *w, const exposition_sample *samples, const group *g,
                                       exemplars *ret_exemplars)
{
    arena *a = &w->to->arena;
    histogram_value *h = ARENA_NEW(a, histogram_value);
    double *bounds = ARENA_ARRAY(a, double, g->values);
    uint64_t *buckets = ARENA_ARRAY(a, uint64_t, g->values);
    exemplar *list = NULL;
    uint32_t n = 0, shown = 0;
    double below = 0;
    if (!h || !bounds || !buckets)
        return NULL;
    for (uint32_t i = g->from; i < g->to; i++) {
        const exposition_sample *s = &samples[i];
        double v = s->stale ? 0 : s->value;
        if (s->part != PART_BUCKET)
            continue;
        if (!group_number(w, s, STR("le"), &bounds[n]) || !is_count(v) || v < below ||
            (n > 0 && bounds[n] <= bounds[n - 1]))
            return NULL;
        buckets[n++] = (uint64_t)(v - below);
        below = v;
        if (s->exemplar_count == 0)
            continue;
        if (!list && !(list = ARENA_ARRAY(a, exemplar, g->values)))
            return NULL;
        list[shown++] = s->exemplars[0];
    }
    bool infinite = n > 0 && isinf(bounds[n - 1]) && bounds[n - 1] > 0;
    if (!infinite || (!g->count->stale && g->count->value != below))
        return NULL;
    *h = (histogram_value){ .count = (uint64_t)below,
                            .sum = g->sum->stale ? 0 : g->sum->value,
                            .has_sum = true,
                            .bucket_count = n,
                            .bound_count = n - 1,
                            .buckets = buckets,
                            .bounds = bounds };
    *ret_exemplars = (exemplars){ list, shown };
    return !w->p->customs || native_from_classic(a, h) ? h : NULL;
}

static summary_value *make_summary(writer *w, const exposition_sample *samples, const group *g)
{
    arena *a = &w->to->arena;
    summary_value *v = ARENA_NEW(a, summary_value);
    if (!v || (!g->count->stale && !is_count(g->count->value)))
        return NULL;
    v->quantiles = g->values ? ARENA_ARRAY(a, quantile_value, g->values) : NULL;
    if (g->values && !v->quantiles)
        return NULL;
    v->count = g->count->stale ? 0 : (uint64_t)g->count->value;
    v->sum = g->sum->stale ? 0 : g->sum->value;
    for (uint32_t i = g->from; i < g->to; i++) {
        const exposition_sample *s = &samples[i];
        if (s->part != PART_QUANTILE)
            continue;
        quantile_value *q = &v->quantiles[v->quantile_count];
        if (!group_number(w, s, STR("quantile"), &q->quantile))
            return NULL;
        q->value = s->stale ? 0 : s->value;
        if (v->quantile_count > 0 && q->quantile <= q[-1].quantile)
            return NULL;
        v->quantile_count++;
    }
    return v;
}

/* Writes the group as one point, where it is whole; *ret_done tells. */
static bool add_group(writer *w, const exposition_sample *samples, const group *g, bool *ret_done)
{
    uint32_t row;
    exemplars list = { 0 };
    histogram_value *h = NULL;
    summary_value *v = NULL;
    *ret_done = false;
    if (!g->count || !g->sum)
        return true;
    if (g->type == FAMILY_HISTOGRAM && g->values > 0)
        h = make_histogram(w, samples, g, &list);
    else if (g->type == FAMILY_SUMMARY)
        v = make_summary(w, samples, g);
    if (!h && !v)
        return true;
    if (!add_point(w, g->count, g->base, h ? METRIC_HISTOGRAM : METRIC_SUMMARY,
                   group_label(g->type), &row))
        return false;
    point_rows *rows = &w->to->points;
    rows->start_ns[row] = g->created_ns;
    if (h) {
        rows->value[row].histogram = h;
        rows->exemplars[row] = list;
    } else {
        rows->value[row].summary = v;
    }
    *ret_done = !h || !h->native || !w->p->classic; /* else its parts follow one by one */
    return true;
}

static bool append_all(writer *w, const exposition_sample *samples, uint32_t count)
{
    for (uint32_t i = 0; i < count;) {
        group g;
        bool done;
        measure(w, samples, count, i, &g);
        if (!add_group(w, samples, &g, &done))
            return false;
        uint32_t end = MAX(g.to, i + 1);
        for (; i < end; i++)
            if ((!done || samples[i].part == PART_CREATED) && !add_alone(w, &samples[i]))
                return false;
    }
    return true;
}

bool exposition_append(const exposition_page *p, const exposition_sample *samples, uint32_t count,
                       int64_t time_ns, batch *to)
{
    writer w = { .p = p, .to = to, .time_ns = time_ns };
    map_init(&w.scopes);
    map_init(&w.metrics);
    bool ok = append_all(&w, samples, count);
    map_done(&w.scopes);
    map_done(&w.metrics);
    return ok;
}
