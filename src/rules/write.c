// SPDX-License-Identifier: Apache-2.0
/* What rules give, into the store: as series of Prometheus, whose names stay as they are
 * (codec/prometheus_scope.h). */
#include "rules/group_internal.h"

#include "base/map.h"
#include "codec/prometheus_scope.h"

#include <stdlib.h>

enum { BATCH_MEMORY = 256 << 20 };

bool rule_samples_add(arena *a, rule_samples *list, rule_sample s)
{
    if (list->count == list->capacity) {
        uint32_t more = list->capacity ? list->capacity * 2 : 16;
        rule_sample *grown =
            arena_grow(a, list->items, list->count * sizeof(*grown), more * sizeof(*grown));
        if (!grown)
            return false;
        list->items = grown;
        list->capacity = more;
    }
    list->items[list->count++] = s;
    return true;
}

static int compare_samples(const void *a, const void *b)
{
    return labels_cmp(((const rule_sample *)a)->labels, ((const rule_sample *)b)->labels);
}

bool rule_samples_sort(rule_samples *list)
{
    if (list->count > 1)
        qsort(list->items, list->count, sizeof(*list->items), compare_samples);
    for (uint32_t i = 1; i < list->count; i++)
        if (labels_eq(list->items[i - 1].labels, list->items[i].labels))
            return false;
    return true;
}

/* ---- batches ---- */

typedef struct {
    batch *b;
    arena *a; /* of keys */
    map resources, metrics;
} writer;

/* The value of a key that is made of texts; *ret_new: it has none yet. NULL without memory. */
static uint64_t *slot_of(writer *w, map *m, uint32_t number, str one, str two, bool *ret_new)
{
    str key = arena_fmt(w->a, "%u %zu %.*s%.*s", number, one.len, STR_ARG(one), STR_ARG(two));
    return key.ptr ? map_put(m, key, BATCH_FULL, ret_new) : NULL;
}

static uint32_t scope_of(writer *w, str job, str instance)
{
    bool is_new;
    uint64_t *slot = slot_of(w, &w->resources, 0, job, instance, &is_new);
    if (!slot || !is_new)
        return slot ? (uint32_t)*slot : BATCH_FULL;
    uint32_t resource = batch_add_resource(w->b);
    uint32_t scope = resource == BATCH_FULL ? resource : batch_add_scope(w->b, resource);
    attr *items = scope == BATCH_FULL ? NULL : ARENA_ARRAY(&w->b->arena, attr, 2);
    if (!items)
        return BATCH_FULL;
    attrs *to = &w->b->resources[resource].attributes;
    to->items = items;
    if (job.len)
        items[to->count++] = (attr){ STR("service.name"), VALUE_S(job) };
    if (instance.len)
        items[to->count++] = (attr){ STR("service.instance.id"), VALUE_S(instance) };
    w->b->scopes[scope].name = STR(PROMETHEUS_SCOPE);
    *slot = scope;
    return scope;
}

static uint32_t metric_of(writer *w, uint32_t scope, str name, metric_type type)
{
    bool is_new;
    uint64_t *slot = slot_of(w, &w->metrics, scope * 8 + (uint32_t)type, name, STR_EMPTY, &is_new);
    if (!slot || !is_new)
        return slot ? (uint32_t)*slot : BATCH_FULL;
    uint32_t metric = batch_add_metric(w->b, scope);
    if (metric == BATCH_FULL)
        return metric;
    w->b->metrics[metric].name = name;
    w->b->metrics[metric].type = type;
    if (type == METRIC_EXP_HISTOGRAM)
        w->b->metrics[metric].temporality = TEMPORALITY_CUMULATIVE;
    *slot = metric;
    return metric;
}

/* The fields beside `native` are what the exporters of this data that know no other form send. */
static exp_histogram_value *histogram_point(arena *a, const histogram *h)
{
    exp_histogram_value *v = ARENA_NEW(a, exp_histogram_value);
    if (!v)
        return NULL;
    v->count = h->count >= 0 && h->count < 0x1p63 ? (uint64_t)h->count : 0;
    v->sum = h->sum;
    v->has_sum = true;
    v->scale = histogram_is_custom(h) ? 0 : h->schema;
    v->zero_count = h->zero_count >= 0 && h->zero_count < 0x1p63 ? (uint64_t)h->zero_count : 0;
    v->zero_threshold = h->zero_threshold;
    v->native = h;
    return v;
}

static bool add_point(writer *w, const rule_sample *s, int64_t time_ns)
{
    arena *a = &w->b->arena;
    labels l = s->labels;
    uint32_t scope = scope_of(w, labels_get(l, STR("job")), labels_get(l, STR("instance")));
    uint32_t metric = scope == BATCH_FULL
                          ? scope
                          : metric_of(w, scope, labels_get(l, LABEL_NAME),
                                      s->histogram ? METRIC_EXP_HISTOGRAM : METRIC_GAUGE);
    attr *items = metric == BATCH_FULL ? NULL : ARENA_ARRAY(a, attr, (size_t)l.count + 1);
    uint32_t p = items ? batch_add_point(w->b, metric) : BATCH_FULL;
    if (p == BATCH_FULL)
        return false;
    point_rows *rows = &w->b->points;
    attrs *to = &rows->attributes[p];
    to->items = items;
    for (uint32_t i = 0; i < l.count; i++)
        if (!str_eq(l.items[i].name, LABEL_NAME) && !str_is(l.items[i].name, "job") &&
            !str_is(l.items[i].name, "instance"))
            items[to->count++] = (attr){ l.items[i].name, VALUE_S(l.items[i].value) };
    rows->time_ns[p] = time_ns ? time_ns : 1; /* 0 would be the time of arrival */
    if (s->stale)
        rows->flags[p] = POINT_FLAG_NO_RECORDED_VALUE;
    else if (s->histogram)
        return (rows->value[p].exp = histogram_point(a, s->histogram)) != NULL;
    else
        rows->value[p].f64 = s->value;
    return true;
}

status rule_write(store *s, const rule_samples *list, int64_t time_ms, error *err)
{
    batch b;
    arena keys;
    ingest_result result = { 0 };
    if (list->count == 0)
        return STATUS_OK;
    batch_init(&b, SIGNAL_METRICS, BATCH_MEMORY);
    arena_init(&keys, BATCH_MEMORY);
    writer w = { .b = &b, .a = &keys };
    map_init(&w.resources);
    map_init(&w.metrics);
    bool ok = true;
    for (uint32_t i = 0; ok && i < list->count; i++)
        ok = add_point(&w, &list->items[i], time_ms * NS_PER_MS);
    status st =
        ok ? store_ingest(s, &b, STR_EMPTY, &result, err)
           : fail(err, STATUS_LIMIT, "the result takes more than %d MiB", BATCH_MEMORY >> 20);
    if (st == STATUS_OK && result.rejected)
        st = fail(err, STATUS_INVALID, "%u of %u samples were refused: %s", result.rejected,
                  list->count, result.reason);
    map_done(&w.metrics);
    map_done(&w.resources);
    arena_done(&keys);
    batch_done(&b);
    return st;
}

/* ---- series ---- */

static bool same_series(const rule_series *s, const rule_samples *list)
{
    uint32_t n = 0;
    for (uint32_t i = 0; i < list->count; i++) {
        if (list->items[i].stale)
            continue;
        if (n == s->count || !labels_eq(s->items[n], list->items[i].labels))
            return false;
        n++;
    }
    return n == s->count;
}

bool rule_labels_copy(arena *a, labels from, labels *ret)
{
    label *items = ARENA_ARRAY(a, label, (size_t)from.count + 1);
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

bool rule_series_set(rule_series *s, const rule_samples *list, int64_t time_ms)
{
    if (same_series(s, list)) {
        s->time_ms = time_ms;
        return true;
    }
    rule_series made = { .time_ms = time_ms };
    arena_init(&made.memory, BATCH_MEMORY);
    made.items = ARENA_ARRAY(&made.memory, labels, (size_t)list->count + 1);
    bool ok = made.items != NULL;
    for (uint32_t i = 0; ok && i < list->count; i++)
        if (!list->items[i].stale)
            ok = rule_labels_copy(&made.memory, list->items[i].labels, &made.items[made.count++]);
    if (!ok) {
        arena_done(&made.memory);
        return false;
    }
    rule_series_done(s);
    *s = made;
    return true;
}

bool rule_series_has(const rule_series *s, labels l)
{
    uint32_t from = 0, to = s->count;
    while (from < to) {
        uint32_t middle = from + (to - from) / 2;
        int order = labels_cmp(s->items[middle], l);
        if (order == 0)
            return true;
        if (order < 0)
            from = middle + 1;
        else
            to = middle;
    }
    return false;
}

void rule_series_done(rule_series *s)
{
    arena_done(&s->memory);
    *s = (rule_series){ 0 };
}
