// SPDX-License-Identifier: Apache-2.0
/* What a series had last in sealed parts: where the sum of its deltas goes on after a start, or
 * after its key was forgotten. Looked up once per series, from the newest part backwards; parts
 * that cannot be read are passed over, as by queries. */
#include "store/series_before.h"

#include "codec/prom_series.h"

#include <math.h>
#include <stdlib.h>
#include <xxhash.h>

/* Points of one series come a little out of order where several senders add to it. */
#define DISORDER_MS (5 * 60 * 1000)

typedef struct {
    str key;
    int64_t from_ms, to_ms;
    bool farthest; /* else the newest */
    bool found;
    sample best;
    arena *a; /* of histograms */
} search;

static double extent(double v)
{
    return value_is_histogram(v) ? value_histogram(v)->count : fabs(v);
}

static void offer(search *q, int64_t time_ms, double v)
{
    bool number =
        value_is_histogram(v) || !isnan(v); /* else a stale marker, or nothing to add to */
    if (!number || time_ms < q->from_ms || time_ms > q->to_ms)
        return;
    if (q->found && (q->farthest ? extent(v) <= extent(q->best.value) : time_ms <= q->best.time_ms))
        return;
    q->found = true;
    q->best = (sample){ time_ms, v };
}

static void search_block(search *q, const part_series *ps, uint32_t block)
{
    uint32_t count = ps->blocks[block].samples;
    int64_t *times = calloc(count, sizeof(*times));
    double *values = calloc(count, sizeof(*values));
    if (times && values && part_series_read_any(ps, block, times, values, q->a, NULL) == STATUS_OK)
        for (uint32_t i = count; i-- > 0;)
            offer(q, times[i], values[i]);
    free(times);
    free(values);
}

/* The newest block first: the newest sample is in it, unless all of them are stale markers. */
static void search_series(search *q, const part_series *ps, uint32_t series)
{
    for (uint32_t b = ps->block_start[series + 1]; b-- > ps->block_start[series];) {
        const series_block *block = &ps->blocks[b];
        if (block->max_ms < q->from_ms || (q->found && !q->farthest))
            break;
        if (block->min_ms <= q->to_ms)
            search_block(q, ps, b);
    }
}

static void search_part(search *q, store *s, part *p)
{
    open_part *o;
    if (part_cache_take(&s->open_parts, p, &o, NULL) != STATUS_OK)
        return;
    uint64_t hash = XXH3_64bits(q->key.ptr, q->key.len);
    search here = *q;
    here.found = false;
    buf key;
    buf_init(&key, 0);
    for (uint32_t i = 0; i < o->series.count && !here.found; i++) {
        if (o->hashes[i] != hash)
            continue;
        buf_clear(&key);
        part_series_key(&o->series, i, &key);
        if (!key.failed && str_eq(buf_view(&key), q->key))
            search_series(&here, &o->series, i);
    }
    buf_done(&key);
    part_cache_give(o);
    if (here.found)
        offer(q, here.best.time_ms, here.best.value);
}

static int newest_first(const void *x, const void *y)
{
    const part *a = *(part *const *)x, *b = *(part *const *)y;
    if (a->max_time != b->max_time)
        return a->max_time > b->max_time ? -1 : 1;
    return a->last > b->last ? -1 : a->last < b->last;
}

static void search_parts(search *q, store *s, const snapshot *sn)
{
    for (uint32_t i = 0; i < sn->part_count; i++) {
        const part *p = sn->parts[i];
        if (p->max_time < q->from_ms || (q->found && !q->farthest && p->max_time < q->best.time_ms))
            break;
        if (p->min_time <= q->to_ms)
            search_part(q, s, sn->parts[i]);
    }
}

bool series_before_last(series_before *b, str key, bool monotone, arena *a, sample *ret)
{
    search q = { .key = key, .from_ms = INT64_MIN, .to_ms = INT64_MAX, .a = a };
    search_parts(&q, b->s, &b->parts);
    if (q.found && monotone) {
        search far = { .key = key,
                       .from_ms = q.best.time_ms - DISORDER_MS,
                       .to_ms = q.best.time_ms,
                       .farthest = true,
                       .a = a };
        search_parts(&far, b->s, &b->parts);
        q.best = far.found ? far.best : q.best;
    }
    *ret = q.best;
    return q.found;
}

status series_before_take(store *s, series_before *ret, error *err)
{
    *ret = (series_before){ .s = s };
    for (;
         ;) { /* until no key was forgotten meanwhile, whose newest samples the parts do not have */
        pthread_mutex_lock(&s->metrics_lock);
        uint64_t trims = s->series.trims;
        pthread_mutex_unlock(&s->metrics_lock);
        status st = snapshot_take(s, SIGNAL_METRICS, INT64_MIN, INT64_MAX, &ret->parts, err);
        if (st != STATUS_OK)
            return st;
        if (ret->parts.part_count)
            qsort(ret->parts.parts, ret->parts.part_count, sizeof(part *), newest_first);
        pthread_mutex_lock(&s->metrics_lock);
        if (s->series.trims == trims)
            return STATUS_OK;
        pthread_mutex_unlock(&s->metrics_lock);
        snapshot_done(&ret->parts);
    }
}

void series_before_give(series_before *b)
{
    snapshot_done(&b->parts);
}
