// SPDX-License-Identifier: Apache-2.0
/* What receivers have of each series, by name and attributes; see metric_delta.h. */
#include "lib/metric_delta.h"

#include "base/arena.h"
#include "base/map.h"
#include "codec/exp_histogram.h"
#include "codec/json_value.h"

#include <stdlib.h>

/* A cumulative value at a time. */
typedef struct {
    int64_t time_ns; /* 0: none */
    int64_t start_ns;
    int64_t i64;
    double f64; /* a sum's value, or a histogram's sum */
    uint64_t zeroes;
    uint32_t buckets;
    uint64_t *counts;             /* explicit histogram */
    exp_sum *positive, *negative; /* exponential histogram */
} total;

typedef struct {
    uint64_t round; /* of the apply that set `pending` */
    total taken, pending;
} series;

struct metric_delta {
    map by_key;
    arena arena;
    series *items; /* grows; map values are indexes */
    uint32_t count, capacity;
    uint64_t round;
    buf key;
};

metric_delta *metric_delta_new(temporality_preference preference)
{
    metric_delta *d = preference == PREFER_CUMULATIVE ? NULL : calloc(1, sizeof(*d));
    if (!d)
        return NULL;
    map_init(&d->by_key);
    arena_init(&d->arena, 0);
    buf_init(&d->key, MiB(1));
    return d;
}

void metric_delta_free(metric_delta *d)
{
    if (!d)
        return;
    map_done(&d->by_key);
    arena_done(&d->arena);
    buf_done(&d->key);
    free(d->items);
    free(d);
}

/* ---- finding ---- */

static void make_key(metric_delta *d, const batch *b, uint32_t row)
{
    const batch_metric *m = &b->metrics[b->points.metric[row]];
    const attrs *list = &b->points.attributes[row];
    buf_clear(&d->key);
    buf_str(&d->key, m->name);
    buf_char(&d->key, (char)m->type);
    for (uint32_t i = 0; i < list->count; i++) {
        const attr *a = &list->items[i];
        buf_char(&d->key, '\0');
        buf_str(&d->key, a->key);
        buf_char(&d->key, '\0');
        value_to_text(&a->value, &d->key);
    }
}

static bool room_for_one(metric_delta *d)
{
    if (d->count < d->capacity)
        return true;
    uint32_t capacity = MAX(64, 2 * d->capacity);
    series *grown = realloc(d->items, capacity * sizeof(*grown));
    if (!grown)
        return false;
    d->items = grown;
    d->capacity = capacity;
    return true;
}

static series *find(metric_delta *d, const batch *b, uint32_t row)
{
    make_key(d, b, row);
    if (d->key.failed)
        return NULL;
    uint64_t *at = map_get(&d->by_key, buf_view(&d->key));
    if (at)
        return &d->items[*at];
    str key = arena_str(&d->arena, buf_view(&d->key));
    if (!key.ptr || !room_for_one(d) || !map_put(&d->by_key, key, d->count, NULL))
        return NULL;
    d->items[d->count] = (series){ 0 };
    return &d->items[d->count++];
}

/* ---- remembering ---- */

static bool set_counts(arena *a, total *t, const histogram_value *h)
{
    if (!t->counts || t->buckets != h->bucket_count)
        t->counts = ARENA_ARRAY(a, uint64_t, (size_t)h->bucket_count + 1);
    if (!t->counts)
        return false;
    t->buckets = h->bucket_count;
    memcpy(t->counts, h->buckets, h->bucket_count * sizeof(t->counts[0]));
    t->f64 = h->sum;
    return true;
}

static bool set_exponential(arena *a, total *t, const exp_histogram_value *h)
{
    if (!t->positive)
        t->positive = ARENA_NEW(a, exp_sum);
    if (!t->negative)
        t->negative = ARENA_NEW(a, exp_sum);
    if (!t->positive || !t->negative)
        return false;
    t->f64 = h->sum;
    t->zeroes = h->zero_count;
    return exp_sum_of(t->positive, &h->positive, h->scale, h->scale) &&
           exp_sum_of(t->negative, &h->negative, h->scale, h->scale);
}

static bool set_pending(metric_delta *d, series *s, const batch *b, uint32_t row)
{
    const point_value *v = &b->points.value[row];
    total *t = &s->pending;
    t->time_ns = b->points.time_ns[row];
    t->start_ns = b->points.start_ns[row];
    switch (b->metrics[b->points.metric[row]].type) {
    case METRIC_HISTOGRAM:
        return set_counts(&d->arena, t, v->histogram);
    case METRIC_EXP_HISTOGRAM:
        return set_exponential(&d->arena, t, v->exp);
    default:
        t->i64 = v->is_int ? v->i64 : 0;
        t->f64 = v->is_int ? 0 : v->f64;
        return true;
    }
}

/* ---- subtracting ---- */

/* Each returns false, and changes nothing, when the series has begun anew since. */

static bool subtract_number(point_value *v, const total *t)
{
    double before = (double)t->i64 + t->f64;
    if ((v->is_int ? (double)v->i64 : v->f64) < before)
        return false;
    if (v->is_int && t->f64 == 0)
        v->i64 -= t->i64;
    else
        *v = (point_value){ .f64 = (v->is_int ? (double)v->i64 : v->f64) - before };
    return true;
}

static bool subtract_counts(histogram_value *h, const total *t)
{
    if (t->buckets != h->bucket_count)
        return false;
    for (uint32_t i = 0; i < h->bucket_count; i++)
        if (h->buckets[i] < t->counts[i])
            return false;
    h->count = 0;
    for (uint32_t i = 0; i < h->bucket_count; i++)
        h->count += h->buckets[i] -= t->counts[i];
    h->sum -= t->f64;
    h->has_min = h->has_max = false; /* of the time since then they are not known */
    return true;
}

static bool subtract_buckets(exp_buckets *b, const exp_sum *before, uint64_t *count)
{
    for (uint32_t i = 0; i < before->count; i++) {
        int64_t at = (int64_t)before->start + i - b->offset;
        uint64_t n = before->counts[i];
        if (n > 0 && (at < 0 || at >= b->count || b->counts[at] < n))
            return false;
    }
    for (uint32_t i = 0; i < before->count; i++) {
        if (before->counts[i] == 0)
            continue;
        b->counts[(int64_t)before->start + i - b->offset] -= before->counts[i];
        *count -= before->counts[i];
    }
    return true;
}

/* Scales only fall: what was taken is brought down to the scale of now. */
static bool subtract_exponential(exp_histogram_value *h, total *t)
{
    if (h->zero_count < t->zeroes)
        return false;
    exp_sum_downscale(t->positive, h->scale);
    exp_sum_downscale(t->negative, h->scale);
    if (!subtract_buckets(&h->positive, t->positive, &h->count) ||
        !subtract_buckets(&h->negative, t->negative, &h->count))
        return false;
    h->zero_count -= t->zeroes;
    h->count -= t->zeroes;
    h->sum -= t->f64;
    h->has_min = h->has_max = false;
    return true;
}

static bool subtract(metric_type type, point_value *v, total *t)
{
    switch (type) {
    case METRIC_HISTOGRAM:
        return subtract_counts(v->histogram, t);
    case METRIC_EXP_HISTOGRAM:
        return subtract_exponential(v->exp, t);
    default:
        return subtract_number(v, t);
    }
}

/* ---- a batch ---- */

static bool is_delta(const batch_metric *m)
{
    return m->type == METRIC_HISTOGRAM || m->type == METRIC_EXP_HISTOGRAM ||
           (m->type == METRIC_SUM && m->monotonic);
}

/* Exemplars of what was taken already are left out; they are in the order of time. */
static void keep_newer(exemplars *list, int64_t time_ns)
{
    while (list->count > 0 && list->items[0].time_ns <= time_ns) {
        list->items++;
        list->count--;
    }
}

static void apply_to_row(metric_delta *d, batch *b, uint32_t row)
{
    metric_type type = b->metrics[b->points.metric[row]].type;
    series *s = find(d, b, row);
    if (!s || !set_pending(d, s, b, row))
        return;
    s->round = d->round;
    total *taken = &s->taken;
    if (taken->time_ns == 0 || taken->start_ns != b->points.start_ns[row] ||
        !subtract(type, &b->points.value[row], taken))
        return;
    b->points.start_ns[row] = taken->time_ns;
    keep_newer(&b->points.exemplars[row], taken->time_ns);
}

void metric_delta_apply(metric_delta *d, batch *b)
{
    if (!d)
        return;
    d->round++;
    for (uint32_t row = 0; row < b->points.count; row++)
        if (is_delta(&b->metrics[b->points.metric[row]]))
            apply_to_row(d, b, row);
    for (uint32_t i = 0; i < b->metric_count; i++)
        if (is_delta(&b->metrics[i]))
            b->metrics[i].temporality = TEMPORALITY_DELTA;
}

void metric_delta_commit(metric_delta *d)
{
    for (uint32_t i = 0; d && i < d->count; i++) {
        series *s = &d->items[i];
        if (s->round != d->round)
            continue;
        total before = s->taken;
        s->taken = s->pending;
        s->pending = before; /* its memory is used again */
    }
}
