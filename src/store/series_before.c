// SPDX-License-Identifier: Apache-2.0
/* What a series had last in sealed parts: where the sum of its deltas goes on after a start, or
 * after its key was forgotten. Looked up once per series, from the newest part backwards; parts
 * that cannot be read are passed over, as by queries. */
#include "store/series_before.h"

#include "codec/prom_series.h"

#include <math.h>
#include <stdlib.h>

/* Points of one series come a little out of order where several senders add to it. */
#define DISORDER_MS (5 * 60 * 1000)
/* Who was silent for longer begins at zero, as after a restart of its own. It bounds how many parts
 * a series that is new has to be looked for in. */
#define LOOK_BACK_MS (24 * 60 * 60 * 1000)
/* Of the histograms that are read to find a series' last one. */
#define BLOCKS_BYTES MiB(64)

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

static const open_part *opened(series_before *b, uint32_t n)
{
    if (!b->looked[n] &&
        part_cache_take(&b->s->open_parts, b->parts.parts[n], &b->open[n], NULL) != STATUS_OK)
        b->open[n] = NULL;
    b->looked[n] = true;
    return b->open[n];
}

static void search_part(search *q, const open_part *o)
{
    search here = *q;
    uint32_t series;
    here.found = false;
    if (o && part_cache_find(o, q->key, &series))
        search_series(&here, &o->series, series);
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

static void search_parts(search *q, series_before *b)
{
    for (uint32_t i = 0; i < b->parts.part_count; i++) {
        const part *p = b->parts.parts[i];
        if (p->max_time < q->from_ms || (q->found && !q->farthest && p->max_time < q->best.time_ms))
            break;
        if (p->min_time <= q->to_ms)
            search_part(q, opened(b, i));
    }
}

static bool search_last(series_before *b, str key, bool monotone, arena *a, sample *ret)
{
    search q = { .key = key, .from_ms = b->from_ms, .to_ms = INT64_MAX, .a = a };
    search_parts(&q, b);
    if (q.found && monotone) {
        search far = { .key = key,
                       .from_ms = q.best.time_ms - DISORDER_MS,
                       .to_ms = q.best.time_ms,
                       .farthest = true,
                       .a = a };
        search_parts(&far, b);
        q.best = far.found ? far.best : q.best;
    }
    *ret = q.best;
    return q.found;
}

bool series_before_last(series_before *b, str key, bool monotone, arena *a, sample *ret)
{
    arena blocks; /* of histograms, whole, where one is wanted */
    arena_init(&blocks, BLOCKS_BYTES);
    bool found = search_last(b, key, monotone, &blocks, ret);
    if (found && value_is_histogram(ret->value)) {
        const histogram *h = histogram_copy(a, value_histogram(ret->value));
        found = h != NULL;
        ret->value = h ? histogram_boxed(h) : 0;
    }
    arena_done(&blocks);
    return found;
}

static status make_room(series_before *b, error *err)
{
    b->open = calloc(MAX(b->parts.part_count, 1u), sizeof(open_part *));
    b->looked = calloc(MAX(b->parts.part_count, 1u), sizeof(bool));
    if (b->open && b->looked)
        return STATUS_OK;
    status st = fail(err, STATUS_NO_MEMORY, "no memory for %u parts", b->parts.part_count);
    series_before_give(b);
    return st;
}

status series_before_take(store *s, int64_t oldest_ms, series_before *ret, error *err)
{
    *ret = (series_before){ .s = s, .from_ms = oldest_ms - LOOK_BACK_MS };
    /* Until no key was forgotten meanwhile, whose newest samples the parts do not have. */
    for (;;) {
        pthread_mutex_lock(&s->metrics_lock);
        uint64_t trims = s->series.trims;
        pthread_mutex_unlock(&s->metrics_lock);
        status st = snapshot_take(s, SIGNAL_METRICS, ret->from_ms, INT64_MAX, &ret->parts, err);
        if (st == STATUS_OK)
            st = make_room(ret, err);
        if (st != STATUS_OK)
            return st;
        if (ret->parts.part_count)
            qsort(ret->parts.parts, ret->parts.part_count, sizeof(part *), newest_first);
        pthread_mutex_lock(&s->metrics_lock);
        if (s->series.trims == trims)
            return STATUS_OK;
        pthread_mutex_unlock(&s->metrics_lock);
        series_before_give(ret);
    }
}

void series_before_give(series_before *b)
{
    for (uint32_t i = 0; b->open && i < b->parts.part_count; i++)
        part_cache_give(b->open[i]);
    free(b->open);
    free(b->looked);
    b->open = NULL;
    b->looked = NULL;
    snapshot_done(&b->parts);
}
