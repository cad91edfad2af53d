// SPDX-License-Identifier: Apache-2.0
/* OTLP metric points to samples in memory, by codec/prom_series.h; exponential histograms and
 * native ones to histograms. Deltas are added up to cumulative values, which go on from the series'
 * last stored value. */
#include "store/enc.h"
#include "store/series_before.h"
#include "store/series_internal.h"

#include "codec/exp_histogram.h"
#include "codec/native_convert.h"
#include "codec/prom_series.h"

#include <stdio.h>
#include <stdlib.h>

static const prom_series_options translation = { .promote = true };

typedef struct {
    uint32_t id;
    prom_labels labels;
    series_key *target_info; /* NULL: nothing to say */
    int64_t target_time_ms;
} known_resource;

typedef struct {
    uint32_t id;
    bool native;
    prom_series_family family;
    uint64_t generation; /* in which its family was noted */
} known_metric;

/* Deltas of exponential histograms, added up. */
typedef struct delta_histogram {
    exp_sum positive, negative;
    uint64_t count, zero_count;
    double sum, zero_threshold;
    int32_t scale;
} delta_histogram;

/* The series of one point: one for gauge, sum and native histograms; for classic histograms the
 * buckets, +Inf, count, sum. */
typedef struct {
    uint32_t count;
    bool is_delta; /* values are added up by series: several resources may have the same labels */
    bool monotone; /* the sums only rise */
    series_key *series[];
} identity;

typedef struct {
    series_table *t;
    mem_metrics *m;
    const batch *b;
    series_before *before; /* NULL: the batch has no deltas */
    int64_t received_ns;
    known_resource **resources; /* by the batch's index, NULL until met; two of each: native ones */
    known_metric **metrics;
    int64_t *target_ms; /* newest point of each of `resources` */
    arena memory;       /* of this call */
    uint64_t samples;
    uint32_t refused;
    const char *problem; /* of the point that is added, when it is not memory */
    char *reason;
    size_t reason_size;
} appender;

/* ---- labels ---- */

static series_key *intern(appender *ap, const prom_labels *labels)
{
    _Static_assert(sizeof(label) == sizeof(prom_label), "one layout");
    buf *out = &ap->t->label_scratch;
    buf_clear(out);
    label_key_write(out, (const label *)labels->items, labels->count);
    return out->failed ? NULL : series_key_intern(ap->t, buf_view(out));
}

/* The series of these labels with a metric name and what tells it from the point's others. */
static series_key *make_series(appender *ap, const prom_labels *point, str family,
                               const prom_series_part *part)
{
    prom_labels labels;
    return prom_series_labels(&ap->memory, point, family, part, &labels) ? intern(ap, &labels)
                                                                         : NULL;
}

/* ---- what is known already ---- */

static known_resource *new_resource(appender *ap, const attrs *a, bool native)
{
    series_table *t = ap->t;
    known_resource *r = ARENA_NEW(&t->memory, known_resource);
    str key = arena_str(&t->memory, buf_view(&t->scratch));
    attrs copy;
    prom_labels info;
    if (!r || !key.ptr || !attrs_copy(&t->memory, &copy, a) ||
        !prom_series_resource(&t->memory, &copy, native, &translation, &r->labels) ||
        !prom_series_target_info(&ap->memory, &copy, native, &translation, &info))
        return NULL;
    r->id = t->next_id++;
    r->target_time_ms = INT64_MIN;
    if (info.count)
        r->target_info = make_series(ap, &info, STR("target_info"), &(prom_series_part){ 0 });
    return map_put(&t->resources, key, (uint64_t)(uintptr_t)r, NULL) ? r : NULL;
}

/* index: of ap->resources. */
static known_resource *find_resource(appender *ap, uint32_t index)
{
    if (ap->resources[index])
        return ap->resources[index];
    buf *key = &ap->t->scratch;
    const attrs *a = &ap->b->resources[index / 2].attributes;
    buf_clear(key);
    buf_char(key, (char)(index & 1));
    enc_attrs(key, a);
    uint64_t *found = map_get(&ap->t->resources, buf_view(key));
    return ap->resources[index] =
               found ? (known_resource *)(uintptr_t)*found : new_resource(ap, a, index & 1);
}

static known_metric *new_metric(appender *ap, uint32_t index)
{
    series_table *t = ap->t;
    known_metric *k = ARENA_NEW(&t->memory, known_metric);
    str key = arena_str(&t->memory, buf_view(&t->scratch));
    if (!k || !key.ptr ||
        !prom_series_family_of(&t->memory, ap->b, index, &translation, &k->family))
        return NULL;
    k->native = prom_series_is_native(ap->b, index);
    k->id = t->next_id++;
    return map_put(&t->metrics, key, (uint64_t)(uintptr_t)k, NULL) ? k : NULL;
}

/* Notes the family in the part of memory that gets its samples, once. */
static void note_family(mem_metrics *m, known_metric *k)
{
    if (k->generation == m->generation)
        return;
    if (m->family_count == m->family_capacity) {
        uint32_t capacity = m->family_capacity ? m->family_capacity * 2 : 32;
        family *grown = arena_grow(&m->memory, m->families, m->family_count * sizeof(family),
                                   capacity * sizeof(family));
        if (!grown)
            return;
        m->families = grown;
        m->family_capacity = capacity;
    }
    family f = { arena_str(&m->memory, k->family.name), str_c(prom_type_name(k->family.type)),
                 arena_str(&m->memory, k->family.unit), arena_str(&m->memory, k->family.help) };
    if (!f.name.ptr || !f.unit.ptr || !f.help.ptr)
        return;
    m->families[m->family_count++] = f;
    k->generation = m->generation;
}

static known_metric *find_metric(appender *ap, uint32_t index)
{
    if (ap->metrics[index])
        return ap->metrics[index];
    const batch_metric *m = &ap->b->metrics[index];
    buf *key = &ap->t->scratch;
    buf_clear(key);
    put_varint(key, (uint64_t)m->type << 8 | (uint64_t)prom_series_is_native(ap->b, index) << 3 |
                        (uint64_t)m->temporality << 1 | m->monotonic);
    put_text(key, m->name);
    put_text(key, m->unit);
    put_text(key, m->description);
    uint64_t *found = map_get(&ap->t->metrics, buf_view(key));
    known_metric *k = found ? (known_metric *)(uintptr_t)*found : new_metric(ap, index);
    if (k)
        note_family(ap->m, k);
    return ap->metrics[index] = k;
}

/* ---- a point's series, the first time ---- */

static bool point_series(appender *ap, identity *id, metric_type type, const known_metric *k,
                         const known_resource *r, uint32_t i)
{
    const point_rows *p = &ap->b->points;
    prom_labels labels;
    prom_series_part part;
    if (!prom_series_point(&ap->memory, &p->attributes[i], k->native, &translation, &r->labels,
                           &labels))
        return false;
    for (uint32_t n = 0; n < id->count; n++) {
        if (!prom_series_part_of(&ap->memory, type, &p->value[i], n, k->native, &part) ||
            !(id->series[n] = make_series(ap, &labels, k->family.name, &part)))
            return false;
    }
    return true;
}

static identity *new_identity(appender *ap, const batch_metric *bm, const known_metric *k,
                              const known_resource *r, uint32_t i)
{
    arena *memory = &ap->t->memory;
    uint32_t count = prom_series_count(bm->type, &ap->b->points.value[i]);
    str key = arena_str(memory, buf_view(&ap->t->scratch));
    if (count == 0 || !key.ptr)
        return NULL;
    identity *id = arena_calloc(memory, 1, sizeof(identity) + count * sizeof(series_key *));
    if (!id)
        return NULL;
    id->count = count;
    id->is_delta = bm->temporality == TEMPORALITY_DELTA;
    id->monotone = bm->type != METRIC_SUM || bm->monotonic;
    if (!point_series(ap, id, bm->type, k, r, i) ||
        !map_put(&ap->t->identities, key, (uint64_t)(uintptr_t)id, NULL))
        return NULL;
    return id;
}

static void identity_key(buf *key, const batch_metric *bm, const known_metric *k,
                         const known_resource *r, const point_rows *p, uint32_t i)
{
    buf_clear(key);
    put_u32(key, k->id);
    put_u32(key, r->id);
    enc_attrs(key, &p->attributes[i]);
    if (native_is_point(bm->type, &p->value[i])) {
        buf_lit(key, "native");
    } else if (bm->type == METRIC_HISTOGRAM) {
        const histogram_value *h = p->value[i].histogram;
        buf_add(key, h->bounds, h->bound_count * sizeof(double));
    } else if (bm->type == METRIC_SUMMARY) {
        const summary_value *s = p->value[i].summary;
        for (uint32_t q = 0; q < s->quantile_count; q++)
            buf_add(key, &s->quantiles[q].quantile, sizeof(double));
    }
}

/* ---- samples ---- */

/* Whether the series has nothing yet to add to, but *ret in sealed parts, its key's first time. */
static bool had_before(appender *ap, const identity *id, series_key *k, sample *ret)
{
    if (k->delta_known)
        return false;
    k->delta_known = true;
    return ap->before && series_before_last(ap->before, str_n(k->key, k->key_len), id->monotone,
                                            &ap->memory, ret);
}

static bool add_value(appender *ap, identity *id, uint32_t n, int64_t time_ms, double v)
{
    series_key *k = id->series[n];
    sample last;
    if (id->is_delta && had_before(ap, id, k, &last) && !value_is_histogram(last.value))
        k->delta_sum = last.value;
    if (id->is_delta)
        v = k->delta_sum += v;
    ap->samples++;
    return series_sample_add(ap->m, k, time_ms, v);
}

static int32_t joined_scale(int32_t scale, const exp_sum *s)
{
    return s->count ? MIN(scale, s->scale) : scale;
}

/* Adds e to what the series has; *ret lives until the next call. False without memory. */
static bool add_delta(series_key *k, const exp_histogram_value *e, exp_histogram_value *ret)
{
    delta_histogram *d = k->delta_histogram;
    if (!d) {
        if (!(d = calloc(1, sizeof(*d))))
            return false;
        d->scale = e->scale;
        k->delta_histogram = d;
    }
    exp_sum_add(&d->positive, EXP_SIZE_MAX, e->scale, e->positive.offset, e->positive.counts,
                e->positive.count);
    exp_sum_add(&d->negative, EXP_SIZE_MAX, e->scale, e->negative.offset, e->negative.counts,
                e->negative.count);
    d->scale = joined_scale(joined_scale(MIN(d->scale, e->scale), &d->positive), &d->negative);
    exp_sum_downscale(&d->positive, d->scale);
    exp_sum_downscale(&d->negative, d->scale);
    d->count += e->count;
    d->zero_count += e->zero_count;
    d->zero_threshold = MAX(d->zero_threshold, e->zero_threshold);
    d->sum += e->has_sum ? e->sum : 0;
    *ret = (exp_histogram_value){
        .count = d->count,
        .has_sum = true,
        .sum = d->sum,
        .scale = d->scale,
        .zero_count = d->zero_count,
        .zero_threshold = d->zero_threshold,
        .positive = { d->positive.start, d->positive.count, d->positive.counts },
        .negative = { d->negative.start, d->negative.count, d->negative.counts },
    };
    return true;
}

/* Histograms with bounds of their own are no exponential ones that could be added to. */
static bool restore_delta(appender *ap, const identity *id, series_key *k)
{
    sample last;
    metric_type type;
    point_value v;
    exp_histogram_value total;
    if (!had_before(ap, id, k, &last) || !value_is_histogram(last.value) ||
        histogram_is_custom(value_histogram(last.value)))
        return true;
    return native_to_point(&ap->memory, value_histogram(last.value), &type, &v) &&
           add_delta(k, v.exp, &total);
}

static bool add_native(appender *ap, identity *id, metric_type type, const point_value *v,
                       int64_t time_ms)
{
    exp_histogram_value total;
    point_value sum = *v;
    const histogram *h;
    if (id->is_delta && type == METRIC_EXP_HISTOGRAM && !v->exp->native) {
        if (!restore_delta(ap, id, id->series[0]) || !add_delta(id->series[0], v->exp, &total))
            return false;
        sum.exp = &total;
    }
    if (!native_of_point(&ap->memory, type, &sum, &h, &ap->problem))
        return false;
    ap->samples++;
    if (prom_is_stale(h->sum))
        return series_sample_add(ap->m, id->series[0], time_ms, h->sum);
    return series_histogram_add(ap->m, id->series[0], time_ms, h);
}

static void add_exemplars(appender *ap, identity *id, metric_type type, uint32_t i, int64_t time_ms)
{
    _Static_assert(sizeof(label) == sizeof(prom_label), "one layout");
    const exemplars *list = &ap->b->points.exemplars[i];
    for (uint32_t k = 0; k < list->count; k++) {
        const exemplar *x = &list->items[k];
        uint32_t n = prom_series_of_exemplar(type, &ap->b->points.value[i], x);
        prom_labels labels;
        if (n >= id->count || !prom_series_exemplar(&ap->memory, x, &labels))
            continue;
        (void)series_exemplar_add(ap->m, id->series[n], x->time_ns ? prom_ms(x->time_ns) : time_ms,
                                  prom_exemplar_number(x), (const label *)labels.items,
                                  labels.count, &ap->t->label_scratch);
    }
}

static bool add_values(appender *ap, identity *id, metric_type type, uint32_t i, int64_t t)
{
    const point_rows *p = &ap->b->points;
    const point_value *v = &p->value[i];
    bool ok = true;
    if (UNLIKELY(p->flags[i] & POINT_FLAG_NO_RECORDED_VALUE)) {
        ap->samples += id->count;
        for (uint32_t n = 0; n < id->count; n++)
            ok &= series_sample_add(ap->m, id->series[n], t, prom_stale_marker());
        return ok;
    }
    if (type == METRIC_GAUGE || type == METRIC_SUM)
        return add_value(ap, id, 0, t, prom_number(v));
    if (native_is_point(type, v))
        return add_native(ap, id, type, v, t);
    double values[PROM_SERIES_MAX];
    uint32_t count = prom_series_values(type, v, values);
    for (uint32_t n = 0; n < count; n++)
        ok &= add_value(ap, id, n, t, values[n]);
    return ok;
}

static bool add_point(appender *ap, identity *id, metric_type type, uint32_t resource, uint32_t i)
{
    const point_rows *p = &ap->b->points;
    int64_t t = prom_ms(p->time_ns[i] ? p->time_ns[i] : ap->received_ns);
    ap->target_ms[resource] = MAX(ap->target_ms[resource], t);
    if (!add_values(ap, id, type, i, t))
        return false;
    if (UNLIKELY(p->exemplars[i].count))
        add_exemplars(ap, id, type, i, t);
    return true;
}

static void refuse(appender *ap, const char *why, str name)
{
    if (ap->refused++ == 0)
        snprintf(ap->reason, ap->reason_size, "metric \"%.*s\": %s", (int)MIN(name.len, (size_t)80),
                 name.ptr, why);
}

static void append_point(appender *ap, uint32_t i)
{
    const batch *b = ap->b;
    uint32_t metric = b->points.metric[i];
    ap->problem = NULL;
    const batch_metric *bm = &b->metrics[metric];
    known_metric *k = find_metric(ap, metric);
    uint32_t resource = b->scopes[bm->scope].resource * 2 + (k && k->native);
    known_resource *r = find_resource(ap, resource);
    if (!k || !r) {
        refuse(ap, "not a usable name, or no memory for it", bm->name);
        return;
    }
    buf *key = &ap->t->scratch;
    identity_key(key, bm, k, r, &b->points, i);
    uint64_t *found = key->failed ? NULL : map_get(&ap->t->identities, buf_view(key));
    identity *id = found ? (identity *)(uintptr_t)*found : new_identity(ap, bm, k, r, i);
    if (!id)
        refuse(ap, "too many series, or no memory for one more", bm->name);
    else if (!add_point(ap, id, bm->type, resource, i))
        refuse(ap, ap->problem ? ap->problem : "no memory for its samples", bm->name);
}

static void add_target_info(appender *ap)
{
    for (uint32_t i = 0; i < 2 * ap->b->resource_count; i++) {
        known_resource *r = ap->resources[i];
        if (!r || !r->target_info || ap->target_ms[i] <= r->target_time_ms)
            continue;
        r->target_time_ms = ap->target_ms[i];
        series_sample_add(ap->m, r->target_info, r->target_time_ms, 1);
    }
}

bool series_point_acceptable(const batch *b, uint32_t metric, buf *scratch)
{
    return prom_series_acceptable(b, metric, scratch);
}

bool series_has_deltas(const batch *b)
{
    for (uint32_t i = 0; i < b->metric_count; i++)
        if (b->metrics[i].temporality == TEMPORALITY_DELTA)
            return true;
    return false;
}

status series_append(series_table *t, mem_metrics *m, const batch *b, const uint8_t *skip,
                     series_before *before, int64_t received_ns, uint64_t *ret_samples,
                     uint32_t *ret_refused, char *reason, size_t reason_size, error *err)
{
    appender ap = { .t = t,
                    .m = m,
                    .b = b,
                    .before = before,
                    .received_ns = received_ns,
                    .reason = reason,
                    .reason_size = reason_size };
    arena_init(&ap.memory, GiB(1));
    ap.resources = ARENA_ARRAY(&ap.memory, known_resource *, 2 * (size_t)b->resource_count);
    ap.metrics = ARENA_ARRAY(&ap.memory, known_metric *, b->metric_count);
    ap.target_ms = ARENA_ARRAY(&ap.memory, int64_t, 2 * (size_t)b->resource_count);
    status st = STATUS_OK;
    if (!ap.target_ms || !ap.metrics || !ap.resources) {
        if (b->points.count)
            st = fail(err, STATUS_NO_MEMORY, "no memory for a batch of metrics");
    } else {
        for (uint32_t i = 0; i < 2 * b->resource_count; i++)
            ap.target_ms[i] = INT64_MIN;
        for (uint32_t i = 0; i < b->points.count; i++) {
            if (!skip || !skip[i])
                append_point(&ap, i);
        }
        add_target_info(&ap);
    }
    arena_done(&ap.memory);
    *ret_samples = ap.samples;
    *ret_refused = ap.refused;
    return st;
}
