// SPDX-License-Identifier: Apache-2.0
/* The last value of each series; see prom_values.h. A series is one entry of malloc, with its
 * labels behind it, in a map by name and labels and in a list by age of its first point, so that it
 * stays at its place on the page. Values that are larger than a number have a block of their own.
 * One lock guards all. */
#include "pipeline/exporters/prom_values.h"

#include "base/map.h"
#include "codec/exp_histogram.h"
#include "codec/histogram.h"
#include "codec/prometheus_scope.h"

#include <pthread.h>
#include <stdlib.h>

enum { SERIES_MAX = 500000, EXEMPLARS_MAX = 16 };
static const size_t bytes_max = MiB(512);

/* A family's name and type: what its page entry is made of. */
typedef struct {
    batch_metric metric; /* texts are behind the structure */
    uint32_t series;
    uint32_t index; /* on the page that is being made */
    char text[];
} family;

typedef struct entry {
    struct entry *before, *after;
    family *family;
    int64_t updated_ns; /* monotonic */
    int64_t time_ns, start_ns;
    point_value value;
    exemplars exemplars; /* one block */
    size_t bytes;        /* of all blocks */
    attrs labels;
    str key;
} entry;

struct prom_values {
    pthread_mutex_t lock;
    prom_values_options o;
    map series;   /* -> entry */
    map families; /* -> family */
    entry *first, *last;
    uint32_t count;
    size_t bytes;
    buf key;
};

status prom_values_new(prom_values **ret, const prom_values_options *options, error *err)
{
    prom_values *v = calloc(1, sizeof(*v));
    if (!v)
        return fail(err, STATUS_NO_MEMORY, "no memory for the values of series");
    v->o = *options;
    v->o.max_series = options->max_series ? options->max_series : SERIES_MAX;
    v->o.max_bytes = options->max_bytes ? options->max_bytes : bytes_max;
    pthread_mutex_init(&v->lock, NULL);
    buf_init(&v->key, MiB(16));
    *ret = v;
    return STATUS_OK;
}

/* ---- entries ---- */

/* The block of a value that is no number; all kinds begin their only block. */
static void *value_block(const entry *e)
{
    switch (e->family->metric.type) {
    case METRIC_HISTOGRAM:
        return e->value.histogram;
    case METRIC_EXP_HISTOGRAM:
        return e->value.exp;
    case METRIC_SUMMARY:
        return e->value.summary;
    default:
        return NULL;
    }
}

static void family_unref(prom_values *v, family *f)
{
    if (--f->series > 0)
        return;
    (void)map_remove(&v->families, str_n(f->text, f->metric.name.len + 3));
    free(f);
}

static void remove_entry(prom_values *v, entry *e)
{
    (void)map_remove(&v->series, e->key);
    *(e->before ? &e->before->after : &v->first) = e->after;
    *(e->after ? &e->after->before : &v->last) = e->before;
    v->count--;
    v->bytes -= e->bytes;
    free(value_block(e));
    free(e->exemplars.items);
    family_unref(v, e->family);
    free(e);
}

static void expire(prom_values *v, int64_t now_ns)
{
    for (entry *e = v->first, *next; e; e = next) {
        next = e->after;
        if (v->o.expiration_ns && now_ns - e->updated_ns > v->o.expiration_ns)
            remove_entry(v, e);
    }
}

void prom_values_free(prom_values *v)
{
    if (!v)
        return;
    while (v->first)
        remove_entry(v, v->first);
    map_done(&v->series);
    map_done(&v->families);
    buf_done(&v->key);
    pthread_mutex_destroy(&v->lock);
    free(v);
}

/* Texts one after the other behind `at`. */
static str put_text(char **at, str s)
{
    char *to = *at;
    if (s.len)
        memcpy(to, s.ptr, s.len);
    *at += s.len;
    return str_n(to, s.len);
}

/* The family, which counts one more series. Its key is the name and what it is; the first help
 * stands. */
static family *family_of(prom_values *v, const batch_metric *m, const prom_series_family *f)
{
    char kind[3] = { 0, (char)('a' + m->type), m->monotonic ? '+' : '-' };
    buf_clear(&v->key);
    buf_str(&v->key, f->name);
    buf_add(&v->key, kind, sizeof(kind));
    uint64_t *found = map_get(&v->families, buf_view(&v->key));
    if (found) {
        family *known = (family *)(uintptr_t)*found;
        known->series++;
        return known;
    }
    family *n = calloc(1, sizeof(*n) + v->key.len + f->help.len + f->unit.len);
    if (!n || v->key.failed)
        return free(n), NULL;
    char *at = n->text;
    str key = put_text(&at, buf_view(&v->key));
    n->metric = *m;
    n->metric.name = str_slice(key, 0, f->name.len);
    n->metric.description = put_text(&at, f->help);
    n->metric.unit = put_text(&at, f->unit);
    n->metric.temporality = TEMPORALITY_CUMULATIVE;
    n->metric.scope = 0;
    n->series = 1;
    if (!map_put(&v->families, key, (uint64_t)(uintptr_t)n, NULL))
        return free(n), NULL;
    return n;
}

static void series_key(buf *key, const batch_metric *m, str name, const prom_labels *labels)
{
    buf_clear(key);
    buf_str(key, name);
    buf_char(key, 0);
    buf_char(key, (char)('a' + m->type));
    for (uint32_t i = 0; i < labels->count; i++) {
        uint32_t sizes[2] = { (uint32_t)labels->items[i].name.len,
                              (uint32_t)labels->items[i].value.len };
        buf_add(key, sizes, sizeof(sizes));
        buf_str(key, labels->items[i].name);
        buf_str(key, labels->items[i].value);
    }
}

static bool has_room(const prom_values *v, size_t bytes)
{
    return v->count < v->o.max_series && v->bytes + bytes <= v->o.max_bytes;
}

/* A series that was not there; v->key is its key. NULL at the limits, and without memory. */
static entry *new_entry(prom_values *v, const batch_metric *m, const prom_series_family *f,
                        const prom_labels *labels)
{
    str key = buf_view(&v->key);
    size_t text = key.len, at_labels = sizeof(entry);
    for (uint32_t i = 0; i < labels->count; i++)
        text += labels->items[i].name.len + labels->items[i].value.len;
    size_t bytes = at_labels + labels->count * sizeof(attr) + text;
    if (!has_room(v, bytes) || v->key.failed)
        return NULL;
    entry *e = calloc(1, bytes);
    if (!e)
        return NULL;
    e->labels.items = (attr *)(void *)(e + 1);
    char *at = (char *)(e->labels.items + labels->count);
    e->key = put_text(&at, key);
    for (uint32_t i = 0; i < labels->count; i++) {
        attr *a = &e->labels.items[e->labels.count++];
        a->key = put_text(&at, labels->items[i].name);
        a->value = VALUE_S(put_text(&at, labels->items[i].value));
    }
    e->bytes = bytes + sizeof(map_slot);
    e->time_ns = INT64_MIN;
    e->family = family_of(v, m, f);
    if (!e->family)
        return free(e), NULL;
    if (!map_put(&v->series, e->key, (uint64_t)(uintptr_t)e, NULL)) {
        family_unref(v, e->family);
        return free(e), NULL;
    }
    e->before = v->last;
    *(v->last ? &v->last->after : &v->first) = e;
    v->last = e;
    v->count++;
    v->bytes += e->bytes;
    return e;
}

/* ---- values ---- */

/* Another block in place of the value's; NULL, and the old one stays, without memory. */
static void *new_block(prom_values *v, entry *e, size_t size, size_t old_size)
{
    if (v->bytes + size > v->o.max_bytes)
        return NULL;
    void *block = calloc(1, size);
    if (block) {
        free(value_block(e));
        e->bytes += size - old_size;
        v->bytes += size - old_size;
    }
    return block;
}

static size_t explicit_size(const histogram_value *h)
{
    return h ? sizeof(*h) + h->bucket_count * sizeof(uint64_t) + h->bound_count * sizeof(double)
             : 0;
}

static bool set_histogram(prom_values *v, entry *e, const histogram_value *h, bool add)
{
    histogram_value *old = e->value.histogram;
    bool same = old && old->bound_count == h->bound_count && old->bucket_count == h->bucket_count &&
                (h->bound_count == 0 ||
                 memcmp(old->bounds, h->bounds, h->bound_count * sizeof(double)) == 0);
    if (same && add) {
        for (uint32_t i = 0; i < h->bucket_count; i++)
            old->buckets[i] += h->buckets[i];
        old->count += h->count;
        old->sum += h->sum;
        old->has_sum &= h->has_sum;
        return true;
    }
    histogram_value *n = same ? old : new_block(v, e, explicit_size(h), explicit_size(old));
    if (!n)
        return false;
    uint64_t *buckets = (uint64_t *)(void *)(n + 1);
    double *bounds = (double *)(void *)(buckets + h->bucket_count);
    *n = *h;
    n->native = NULL; /* exposition knows no native histograms with bounds of their own */
    n->buckets = buckets;
    n->bounds = bounds;
    if (h->bucket_count)
        memcpy(buckets, h->buckets, h->bucket_count * sizeof(uint64_t));
    if (h->bound_count)
        memcpy(bounds, h->bounds, h->bound_count * sizeof(double));
    e->value.histogram = n;
    return true;
}

/* The value, behind it its counts, then its native histogram. */
static size_t exp_size(const exp_histogram_value *h)
{
    if (!h)
        return 0;
    size_t counts = ((size_t)h->positive.count + h->negative.count) * sizeof(uint64_t);
    return sizeof(*h) + counts + (h->native ? histogram_size(h->native) : 0);
}

static bool store_exp(prom_values *v, entry *e, const exp_histogram_value *h)
{
    exp_histogram_value *n = new_block(v, e, exp_size(h), exp_size(e->value.exp));
    if (!n)
        return false;
    *n = *h;
    n->positive.counts = (uint64_t *)(void *)(n + 1);
    n->negative.counts = n->positive.counts + h->positive.count;
    if (h->positive.count)
        memcpy(n->positive.counts, h->positive.counts, h->positive.count * sizeof(uint64_t));
    if (h->negative.count)
        memcpy(n->negative.counts, h->negative.counts, h->negative.count * sizeof(uint64_t));
    if (h->native)
        n->native = histogram_copy_to(n->negative.counts + h->negative.count, h->native);
    e->value.exp = n;
    return true;
}

/* The sum of two, at the scale at which both fit. */
static bool add_exp(prom_values *v, entry *e, const exp_histogram_value *h)
{
    const exp_histogram_value *old = e->value.exp;
    const exp_histogram_value *both[] = { old, h };
    exp_sum positive = { .count = 0 }, negative = { .count = 0 };
    for (size_t i = 0; i < 2; i++) {
        exp_sum_add(&positive, EXP_SIZE_MAX, both[i]->scale, both[i]->positive.offset,
                    both[i]->positive.counts, both[i]->positive.count);
        exp_sum_add(&negative, EXP_SIZE_MAX, both[i]->scale, both[i]->negative.offset,
                    both[i]->negative.counts, both[i]->negative.count);
    }
    int scale = MIN(old->scale, h->scale);
    scale = positive.count ? MIN(scale, positive.scale) : scale;
    scale = negative.count ? MIN(scale, negative.scale) : scale;
    exp_sum_downscale(&positive, scale);
    exp_sum_downscale(&negative, scale);
    exp_histogram_value sum = *h;
    sum.native = NULL;
    sum.scale = scale;
    sum.count += old->count;
    sum.sum += old->sum;
    sum.has_sum &= old->has_sum;
    sum.zero_count += old->zero_count;
    sum.zero_threshold = MAX(old->zero_threshold, h->zero_threshold);
    sum.positive = (exp_buckets){ positive.start, positive.count, positive.counts };
    sum.negative = (exp_buckets){ negative.start, negative.count, negative.counts };
    return store_exp(v, e, &sum);
}

static size_t summary_size(const summary_value *s)
{
    return s ? sizeof(*s) + s->quantile_count * sizeof(quantile_value) : 0;
}

static bool set_summary(prom_values *v, entry *e, const summary_value *s)
{
    summary_value *n = new_block(v, e, summary_size(s), summary_size(e->value.summary));
    if (!n)
        return false;
    *n = *s;
    n->quantiles = (quantile_value *)(void *)(n + 1);
    if (s->quantile_count)
        memcpy(n->quantiles, s->quantiles, s->quantile_count * sizeof(quantile_value));
    e->value.summary = n;
    return true;
}

static void set_number(entry *e, const point_value *p, bool add)
{
    if (!add)
        e->value = *p;
    else if (e->value.is_int && p->is_int)
        e->value.i64 = (int64_t)((uint64_t)e->value.i64 + (uint64_t)p->i64);
    else
        e->value = (point_value){ .f64 = prom_number(&e->value) + prom_number(p) };
}

/* add: to what is there already. */
static bool set_value(prom_values *v, entry *e, const point_value *p, bool add)
{
    switch (e->family->metric.type) {
    case METRIC_HISTOGRAM:
        return set_histogram(v, e, p->histogram, add);
    case METRIC_EXP_HISTOGRAM:
        return add ? add_exp(v, e, p->exp) : store_exp(v, e, p->exp);
    case METRIC_SUMMARY:
        return set_summary(v, e, p->summary);
    default:
        set_number(e, p, add);
        return true;
    }
}

/* The newest few, without attributes: they are for finding a trace. */
static void set_exemplars(prom_values *v, entry *e, const exemplars *list)
{
    uint32_t count = MIN(list->count, (uint32_t)EXEMPLARS_MAX);
    if (count == 0)
        return;
    if (e->exemplars.count != count) {
        size_t size = count * sizeof(exemplar), old = e->exemplars.count * sizeof(exemplar);
        exemplar *items = v->bytes + size <= v->o.max_bytes ? malloc(size) : NULL;
        if (!items)
            return;
        free(e->exemplars.items);
        e->exemplars = (exemplars){ items, count };
        e->bytes += size - old;
        v->bytes += size - old;
    }
    for (uint32_t i = 0; i < count; i++) {
        e->exemplars.items[i] = list->items[list->count - count + i];
        e->exemplars.items[i].filtered_attributes = (attrs){ 0 };
    }
}

/* ---- points ---- */

typedef struct {
    prom_values *v;
    const batch *b;
    arena memory;
    prom_series_tables tables;
    int64_t now_ns;
    prom_values_refused *ret;
} putting;

/* Another one's labels, when there is a scope to speak of. */
static bool add_scope(putting *p, const batch_scope *s, prom_labels *l)
{
    prom_label *items = ARENA_ARRAY(&p->memory, prom_label, (size_t)l->count + 3);
    if (!items)
        return false;
    if (l->count)
        memcpy(items, l->items, l->count * sizeof(items[0]));
    l->items = items;
    prom_labels_put(l, (prom_label){ STR("otel_scope_name"), s->name }, false);
    prom_labels_put(l, (prom_label){ STR("otel_scope_version"), s->version }, false);
    prom_labels_put(l, (prom_label){ STR("otel_scope_schema_url"), s->schema_url }, false);
    return true;
}

/* The entry of a series, made when there is room. */
static entry *entry_of(putting *p, const batch_metric *m, const prom_series_family *f,
                       const prom_labels *labels)
{
    prom_values *v = p->v;
    series_key(&v->key, m, f->name, labels);
    uint64_t *found = map_get(&v->series, buf_view(&v->key));
    if (found)
        return (entry *)(uintptr_t)*found;
    return new_entry(v, m, f, labels);
}

static void update(putting *p, entry *e, uint32_t row, temporality t)
{
    const point_rows *rows = &p->b->points;
    int64_t time_ns = rows->time_ns[row];
    bool is_new = e->time_ns == INT64_MIN, add = t == TEMPORALITY_DELTA && !is_new;
    if (rows->flags[row] & POINT_FLAG_NO_RECORDED_VALUE) {
        remove_entry(p->v, e);
        return;
    }
    e->updated_ns = p->now_ns;
    if (!add && time_ns < e->time_ns)
        return; /* late: a newer one was seen */
    if (!set_value(p->v, e, &rows->value[row], add)) {
        p->ret->over_limit++;
        if (is_new)
            remove_entry(p->v, e);
        return;
    }
    if (!add)
        e->start_ns = rows->start_ns[row];
    e->time_ns = MAX(e->time_ns, time_ns);
    if (e->family->metric.type == METRIC_HISTOGRAM || e->family->metric.monotonic ||
        e->family->metric.type == METRIC_EXP_HISTOGRAM)
        set_exemplars(p->v, e, &rows->exemplars[row]);
}

static bool put_point(putting *p, uint32_t row)
{
    const batch *b = p->b;
    uint32_t metric = b->points.metric[row];
    const batch_metric *m = &b->metrics[metric];
    const prom_series_family *f = &p->tables.families[metric];
    bool native = p->tables.native[metric];
    prom_labels labels;
    if (f->name.len == 0 || prom_series_count(m->type, &b->points.value[row]) == 0) {
        p->ret->unusable++;
        return true;
    }
    if (!prom_series_point(&p->memory, &b->points.attributes[row], native, &p->v->o.series,
                           &p->tables.resources[prom_series_resource_at(&p->tables, b, metric)],
                           &labels))
        return false;
    if (p->v->o.scope_labels && !native && !add_scope(p, &b->scopes[m->scope], &labels))
        return false;
    bool stale = b->points.flags[row] & POINT_FLAG_NO_RECORDED_VALUE;
    entry *e = entry_of(p, m, f, &labels);
    if (e)
        update(p, e, row, m->temporality);
    else if (!stale)
        p->ret->over_limit++;
    return true;
}

/* target_info of the resources that have points in scopes other than Prometheus's. */
static bool put_target_info(putting *p)
{
    const batch *b = p->b;
    static const batch_metric gauge = { .type = METRIC_GAUGE };
    static const prom_series_family info = { .name = STR_INIT("target_info"),
                                             .type = PROM_GAUGE,
                                             .help = STR_INIT("What reports these metrics.") };
    bool *wanted = ARENA_ARRAY(&p->memory, bool, (size_t)b->resource_count + 1);
    if (!wanted)
        return false;
    for (uint32_t i = 0; i < b->points.count; i++) {
        uint32_t metric = b->points.metric[i];
        if (!p->tables.native[metric])
            wanted[b->scopes[b->metrics[metric].scope].resource] = true;
    }
    for (uint32_t i = 0; i < b->resource_count; i++) {
        prom_labels labels;
        if (!wanted[i])
            continue;
        if (!prom_series_target_info(&p->memory, &b->resources[i].attributes, false,
                                     &p->v->o.series, &labels))
            return false;
        entry *e = labels.count ? entry_of(p, &gauge, &info, &labels) : NULL;
        if (!e)
            continue;
        e->value = (point_value){ .is_int = true, .i64 = 1 };
        e->updated_ns = p->now_ns;
        e->time_ns = 0;
    }
    return true;
}

status prom_values_put(prom_values *v, const batch *b, int64_t now_ns, prom_values_refused *ret,
                       error *err)
{
    putting p = { .v = v, .b = b, .now_ns = now_ns, .ret = ret };
    *ret = (prom_values_refused){ 0 };
    arena_init(&p.memory, GiB(1));
    bool ok = prom_series_tables_make(&p.memory, b, &v->o.series, &p.tables);
    pthread_mutex_lock(&v->lock);
    if (v->count >= v->o.max_series || v->bytes >= v->o.max_bytes / 2)
        expire(v, now_ns);
    for (uint32_t i = 0; ok && i < b->points.count; i++)
        ok = put_point(&p, i);
    if (ok && v->o.target_info)
        ok = put_target_info(&p);
    pthread_mutex_unlock(&v->lock);
    arena_done(&p.memory);
    return ok ? STATUS_OK
              : fail(err, STATUS_NO_MEMORY, "no memory for the labels of %u points",
                     b->points.count);
}

/* ---- the page ---- */

/* A batch whose texts, labels and values are the entries'. */
static bool view(prom_values *v, batch *b)
{
    uint32_t resource = batch_add_resource(b);
    if (resource == BATCH_FULL || batch_add_scope(b, resource) == BATCH_FULL ||
        !batch_reserve(b, v->count))
        return false;
    b->scopes[0].name = STR(PROMETHEUS_SCOPE);
    for (map_slot *s = NULL; (s = map_next(&v->families, s));)
        ((family *)(uintptr_t)s->value)->index = BATCH_FULL;
    for (entry *e = v->first; e; e = e->after) {
        family *f = e->family;
        if (f->index == BATCH_FULL) {
            if ((f->index = batch_add_metric(b, 0)) == BATCH_FULL)
                return false;
            b->metrics[f->index] = f->metric;
        }
        uint32_t p = batch_add_point(b, f->index);
        if (p == BATCH_FULL)
            return false;
        b->points.attributes[p] = e->labels;
        b->points.value[p] = e->value;
        b->points.exemplars[p] = e->exemplars;
        b->points.time_ns[p] = MAX(e->time_ns, 0);
        b->points.start_ns[p] = e->start_ns;
    }
    return true;
}

status prom_values_page(prom_values *v, const prom_choice *choice, bool timestamps, int64_t now_ns,
                        buf *out, error *err)
{
    batch b;
    prom_text_options o = { .timestamps = timestamps };
    batch_init(&b, SIGNAL_METRICS, GiB(1));
    pthread_mutex_lock(&v->lock);
    expire(v, now_ns);
    status st = view(v, &b)
                    ? prom_write(&b, choice, &o, out, NULL, err)
                    : fail(err, STATUS_NO_MEMORY, "no memory for a page of %u series", v->count);
    pthread_mutex_unlock(&v->lock);
    batch_done(&b);
    return st;
}

uint32_t prom_values_count(prom_values *v)
{
    pthread_mutex_lock(&v->lock);
    uint32_t n = v->count;
    pthread_mutex_unlock(&v->lock);
    return n;
}
