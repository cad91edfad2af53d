// SPDX-License-Identifier: Apache-2.0
/* OTLP metric points to Prometheus samples. Histograms give _bucket{le}, _count and _sum, summaries
 * quantile series, _count and _sum; exponential histograms give _count and _sum (their buckets are
 * native histograms, which the store does not have yet); deltas are added up to cumulative values,
 * which begin at zero again with each start of the server, as a counter does. */
#include "store/enc.h"
#include "store/series_internal.h"

#include "codec/prom_name.h"

#include <stdio.h>

enum { POINT_VALUES_MAX = 4096 }; /* series of one histogram or summary point */

typedef struct {
    uint32_t id;
    prom_labels labels;
    series_key *target_info; /* NULL: nothing to say */
    int64_t target_time_ms;
} known_resource;

typedef struct {
    uint32_t id;
    str family;
    prom_type type;
    str unit, help;
    uint64_t generation; /* in which its family was noted */
} known_metric;

/* The series of one point: one for gauge and sum; for histograms the buckets, +Inf, count, sum. */
typedef struct {
    uint32_t count;
    double *sums; /* delta temporality: what was added up so far */
    series_key *series[];
} identity;

typedef struct {
    series_table *t;
    mem_metrics *m;
    const batch *b;
    int64_t received_ns;
    known_resource **resources; /* by the batch's index, NULL until met */
    known_metric **metrics;
    int64_t *target_ms; /* newest point of each resource */
    arena memory;       /* of this call */
    uint64_t samples;
    uint32_t refused;
    char *reason;
    size_t reason_size;
} appender;

static double stale_marker(void)
{
    uint64_t bits = STALE_NAN_BITS;
    double d;
    memcpy(&d, &bits, 8);
    return d;
}

static int64_t to_ms(int64_t ns)
{
    int64_t ms = ns / NS_PER_MS;
    return ns % NS_PER_MS < 0 ? ms - 1 : ms;
}

/* ---- labels ---- */

static bool sort_in(arena *a, const prom_labels *base, label *extra, uint32_t extra_count,
                    label **ret, uint32_t *ret_count)
{
    label *out = ARENA_ARRAY(a, label, base->count + extra_count);
    if (!out)
        return false;
    uint32_t n = 0;
    for (uint32_t i = 0; i < base->count; i++) {
        bool replaced = false;
        for (uint32_t k = 0; k < extra_count; k++)
            replaced |= str_eq(base->items[i].name, extra[k].name);
        if (!replaced)
            out[n++] = (label){ base->items[i].name, base->items[i].value };
    }
    for (uint32_t k = 0; k < extra_count; k++) {
        uint32_t at = n++;
        for (; at > 0 && str_cmp(out[at - 1].name, extra[k].name) > 0; at--)
            out[at] = out[at - 1];
        out[at] = extra[k];
    }
    *ret = out;
    *ret_count = n;
    return true;
}

/* The series of these labels with a metric name and perhaps one label more (name.len 0: none). */
static series_key *make_series(appender *ap, const prom_labels *base, str family, str suffix,
                               label more)
{
    label extra[2] = { { STR("__name__"),
                         arena_fmt(&ap->memory, "%.*s%.*s", STR_ARG(family), STR_ARG(suffix)) },
                       more };
    label *labels;
    uint32_t count;
    if (!extra[0].value.ptr ||
        !sort_in(&ap->memory, base, extra, more.name.len ? 2 : 1, &labels, &count))
        return NULL;
    buf *out = &ap->t->label_scratch;
    buf_clear(out);
    label_key_write(out, labels, count);
    return out->failed ? NULL : series_key_intern(ap->t, buf_view(out));
}

/* ---- what is known already ---- */

static known_resource *find_resource(appender *ap, uint32_t index)
{
    if (ap->resources[index])
        return ap->resources[index];
    series_table *t = ap->t;
    const attrs *a = &ap->b->resources[index].attributes;
    buf_clear(&t->scratch);
    enc_attrs(&t->scratch, a);
    uint64_t *found = map_get(&t->resources, buf_view(&t->scratch));
    if (found)
        return ap->resources[index] = (known_resource *)(uintptr_t)*found;
    known_resource *r = ARENA_NEW(&t->memory, known_resource);
    str key = arena_str(&t->memory, buf_view(&t->scratch));
    attrs copy;
    prom_labels info;
    if (!r || !key.ptr || !attrs_copy(&t->memory, &copy, a) ||
        !prom_resource_labels(&t->memory, &copy, &r->labels) ||
        !prom_target_info(&ap->memory, &copy, true, &info))
        return NULL;
    r->id = t->next_id++;
    r->target_time_ms = INT64_MIN;
    if (info.count)
        r->target_info = make_series(ap, &info, STR("target_info"), STR(""), (label){ 0 });
    if (!map_put(&t->resources, key, (uint64_t)(uintptr_t)r, NULL))
        return NULL;
    return ap->resources[index] = r;
}

static known_metric *new_metric(appender *ap, const batch_metric *m)
{
    series_table *t = ap->t;
    known_metric *k = ARENA_NEW(&t->memory, known_metric);
    str key = arena_str(&t->memory, buf_view(&t->scratch));
    buf *name = &t->label_scratch;
    buf_clear(name);
    if (!k || !key.ptr || !prom_metric_name(name, m) || name->failed)
        return NULL;
    k->family = arena_str(&t->memory, buf_view(name));
    buf_clear(name);
    prom_unit_name(name, m->unit);
    k->unit = arena_str(&t->memory, buf_view(name));
    k->help = arena_str(&t->memory, m->description);
    k->type = prom_type_of(m);
    k->id = t->next_id++;
    if (!k->family.ptr || !k->help.ptr || !map_put(&t->metrics, key, (uint64_t)(uintptr_t)k, NULL))
        return NULL;
    return k;
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
    family f = { arena_str(&m->memory, k->family), str_c(prom_type_name(k->type)),
                 arena_str(&m->memory, k->unit), arena_str(&m->memory, k->help) };
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
    put_varint(key, (uint64_t)m->type << 8 | (uint64_t)m->temporality << 1 | m->monotonic);
    put_text(key, m->name);
    put_text(key, m->unit);
    put_text(key, m->description);
    uint64_t *found = map_get(&ap->t->metrics, buf_view(key));
    known_metric *k = found ? (known_metric *)(uintptr_t)*found : new_metric(ap, m);
    if (k)
        note_family(ap->m, k);
    return ap->metrics[index] = k;
}

/* ---- a point's series, the first time ---- */

static str le_text(appender *ap, double bound)
{
    buf text;
    buf_init(&text, 64);
    buf_f64(&text, bound);
    str s = arena_str(&ap->memory, buf_view(&text));
    buf_done(&text);
    return s;
}

static bool histogram_series(appender *ap, identity *id, const prom_labels *base,
                             const known_metric *k, const histogram_value *h)
{
    uint32_t n = 0;
    for (uint32_t i = 0; i < h->bound_count; i++) {
        label le = { STR("le"), le_text(ap, h->bounds[i]) };
        id->series[n++] =
            le.value.ptr ? make_series(ap, base, k->family, STR("_bucket"), le) : NULL;
    }
    id->series[n++] =
        make_series(ap, base, k->family, STR("_bucket"), (label){ STR("le"), STR("+Inf") });
    id->series[n++] = make_series(ap, base, k->family, STR("_count"), (label){ 0 });
    id->series[n++] = make_series(ap, base, k->family, STR("_sum"), (label){ 0 });
    return n == id->count;
}

static bool summary_series(appender *ap, identity *id, const prom_labels *base,
                           const known_metric *k, const summary_value *s)
{
    uint32_t n = 0;
    for (uint32_t i = 0; i < s->quantile_count; i++) {
        label q = { STR("quantile"), le_text(ap, s->quantiles[i].quantile) };
        id->series[n++] = q.value.ptr ? make_series(ap, base, k->family, STR(""), q) : NULL;
    }
    id->series[n++] = make_series(ap, base, k->family, STR("_count"), (label){ 0 });
    id->series[n++] = make_series(ap, base, k->family, STR("_sum"), (label){ 0 });
    return n == id->count;
}

static uint32_t series_per_point(metric_type type, const point_value *v)
{
    switch (type) {
    case METRIC_HISTOGRAM:
        return v->histogram->bound_count + 3;
    case METRIC_EXP_HISTOGRAM:
        return 2;
    case METRIC_SUMMARY:
        return v->summary->quantile_count + 2;
    default:
        return 1;
    }
}

static identity *new_identity(appender *ap, const batch_metric *bm, const known_metric *k,
                              const known_resource *r, uint32_t i)
{
    const point_rows *p = &ap->b->points;
    uint32_t count = series_per_point(bm->type, &p->value[i]);
    str key = arena_str(&ap->t->memory, buf_view(&ap->t->scratch));
    prom_labels base;
    if (count > POINT_VALUES_MAX || !key.ptr ||
        !prom_point_labels(&ap->memory, &p->attributes[i], &r->labels, &base))
        return NULL;
    identity *id = arena_calloc(&ap->t->memory, 1, sizeof(identity) + count * sizeof(series_key *));
    if (!id)
        return NULL;
    id->count = count;
    if (bm->temporality == TEMPORALITY_DELTA &&
        !(id->sums = ARENA_ARRAY(&ap->t->memory, double, count)))
        return NULL;
    if (bm->type == METRIC_HISTOGRAM) {
        histogram_series(ap, id, &base, k, p->value[i].histogram);
    } else if (bm->type == METRIC_SUMMARY) {
        summary_series(ap, id, &base, k, p->value[i].summary);
    } else if (bm->type == METRIC_EXP_HISTOGRAM) {
        id->series[0] = make_series(ap, &base, k->family, STR("_count"), (label){ 0 });
        id->series[1] = make_series(ap, &base, k->family, STR("_sum"), (label){ 0 });
    } else {
        id->series[0] = make_series(ap, &base, k->family, STR(""), (label){ 0 });
    }
    for (uint32_t s = 0; s < count; s++) {
        if (!id->series[s])
            return NULL;
    }
    if (!map_put(&ap->t->identities, key, (uint64_t)(uintptr_t)id, NULL))
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
    if (bm->type == METRIC_HISTOGRAM) {
        const histogram_value *h = p->value[i].histogram;
        buf_add(key, h->bounds, h->bound_count * sizeof(double));
    } else if (bm->type == METRIC_SUMMARY) {
        const summary_value *s = p->value[i].summary;
        for (uint32_t q = 0; q < s->quantile_count; q++)
            buf_add(key, &s->quantiles[q].quantile, sizeof(double));
    }
}

/* ---- samples ---- */

static bool add_value(appender *ap, identity *id, uint32_t n, int64_t time_ms, bool stale, double v)
{
    if (stale)
        v = stale_marker();
    else if (id->sums)
        v = id->sums[n] += v;
    ap->samples++;
    return series_sample_add(ap->m, id->series[n], time_ms, v);
}

static bool add_histogram(appender *ap, identity *id, int64_t t, bool stale,
                          const histogram_value *h)
{
    uint64_t sum = 0;
    bool ok = true;
    uint32_t n = 0;
    for (; n < h->bound_count; n++) {
        sum += n < h->bucket_count ? h->buckets[n] : 0;
        ok &= add_value(ap, id, n, t, stale, (double)sum);
    }
    ok &= add_value(ap, id, n, t, stale, (double)h->count);
    ok &= add_value(ap, id, n + 1, t, stale, (double)h->count);
    if (h->has_sum)
        ok &= add_value(ap, id, n + 2, t, stale, h->sum);
    return ok;
}

static bool add_point(appender *ap, identity *id, metric_type type, uint32_t i)
{
    const point_rows *p = &ap->b->points;
    const point_value *v = &p->value[i];
    int64_t t = to_ms(p->time_ns[i] ? p->time_ns[i] : ap->received_ns);
    bool stale = p->flags[i] & POINT_FLAG_NO_RECORDED_VALUE, ok = true;
    uint32_t resource = ap->b->scopes[ap->b->metrics[p->metric[i]].scope].resource;
    ap->target_ms[resource] = MAX(ap->target_ms[resource], t);
    switch (type) {
    case METRIC_HISTOGRAM:
        return add_histogram(ap, id, t, stale, v->histogram);
    case METRIC_EXP_HISTOGRAM:
        ok = add_value(ap, id, 0, t, stale, (double)v->exp->count);
        return v->exp->has_sum ? ok & add_value(ap, id, 1, t, stale, v->exp->sum) : ok;
    case METRIC_SUMMARY: {
        const summary_value *s = v->summary;
        uint32_t n = 0;
        for (; n < s->quantile_count; n++)
            ok &= add_value(ap, id, n, t, stale, s->quantiles[n].value);
        ok &= add_value(ap, id, n, t, stale, (double)s->count);
        return ok & add_value(ap, id, n + 1, t, stale, s->sum);
    }
    default:
        return add_value(ap, id, 0, t, stale, v->is_int ? (double)v->i64 : v->f64);
    }
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
    const batch_metric *bm = &b->metrics[metric];
    known_metric *k = find_metric(ap, metric);
    known_resource *r = find_resource(ap, b->scopes[bm->scope].resource);
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
    else if (!add_point(ap, id, bm->type, i))
        refuse(ap, "no memory for its samples", bm->name);
}

static void add_target_info(appender *ap)
{
    for (uint32_t i = 0; i < ap->b->resource_count; i++) {
        known_resource *r = ap->resources[i];
        if (!r || !r->target_info || ap->target_ms[i] <= r->target_time_ms)
            continue;
        r->target_time_ms = ap->target_ms[i];
        series_sample_add(ap->m, r->target_info, r->target_time_ms, 1);
    }
}

bool series_point_acceptable(const batch *b, uint32_t metric, buf *scratch)
{
    buf_clear(scratch);
    return b->metrics[metric].type != METRIC_NONE && prom_metric_name(scratch, &b->metrics[metric]);
}

status series_append(series_table *t, mem_metrics *m, const batch *b, const uint8_t *skip,
                     int64_t received_ns, uint64_t *ret_samples, uint32_t *ret_refused,
                     char *reason, size_t reason_size, error *err)
{
    appender ap = { .t = t,
                    .m = m,
                    .b = b,
                    .received_ns = received_ns,
                    .reason = reason,
                    .reason_size = reason_size };
    arena_init(&ap.memory, GiB(1));
    ap.resources = ARENA_ARRAY(&ap.memory, known_resource *, b->resource_count);
    ap.metrics = ARENA_ARRAY(&ap.memory, known_metric *, b->metric_count);
    ap.target_ms = ARENA_ARRAY(&ap.memory, int64_t, b->resource_count);
    status st = STATUS_OK;
    if (!ap.target_ms || !ap.metrics || !ap.resources) {
        if (b->points.count)
            st = fail(err, STATUS_NO_MEMORY, "no memory for a batch of metrics");
    } else {
        for (uint32_t i = 0; i < b->resource_count; i++)
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
