// SPDX-License-Identifier: Apache-2.0
/* Goes through the series of a selector with all cores. Each thread has a lane: an engine with an
 * arena, notes and a reader of its own; afterwards the query takes over the arenas and the notes.
 * Series are read into memory that is used again for the next one, so that a query holds only its
 * results. */
#include "query/promql/eval.h"
#include "query/promql/wide.h"
#include "query/workers.h"

#include <stdlib.h>

#define SERIES_AT_ONCE 32 /* that a thread takes from the common list, at most */
#define TURNS          32 /* in which the list is taken at least, so that threads end together */

typedef struct {
    promql_engine engine;
    arena arena;
    error err;
    promql_notes notes;
    series_reader *reader;
    /* samples without stale markers */
    int64_t *times;
    double *values;
    const histogram **histograms;
    uint32_t capacity;
} lane;

typedef struct {
    promql_engine *e;
    const promql_found *found;  /* series to be read, or */
    const promql_value *ranges; /* series in memory */
    uint32_t first;             /* of the wave */
    bool keep_stale;
    promql_each *fn;
    void *user;
    lane *lanes[WORKERS_MAX]; /* each made and written by its own thread */
} walk;

static status lane_new(walk *w, lane **ret)
{
    const arena *whole = w->e->arena;
    lane *l = calloc(1, sizeof(*l));
    if (!l)
        return STATUS_NO_MEMORY;
    size_t left = whole->limit > whole->used ? whole->limit - whole->used : 1;
    arena_init(&l->arena, whole->limit ? left : 0);
    l->engine = *w->e;
    l->engine.arena = &l->arena;
    l->engine.err = &l->err;
    l->engine.notes = &l->notes;
    l->engine.read = l->engine.touched = 0;
    l->engine.scratch = NULL;
    l->engine.scratch_capacity = 0;
    *ret = l;
    return w->found ? series_reader_new(&l->reader, w->found->series, &l->err) : STATUS_OK;
}

static status lane_reserve(lane *l, uint32_t count)
{
    if (count <= l->capacity)
        return STATUS_OK;
    free(l->times);
    free(l->values);
    free(l->histograms);
    l->capacity = 0;
    l->times = calloc(count, sizeof(*l->times));
    l->values = calloc(count, sizeof(*l->values));
    l->histograms = calloc(count, sizeof(void *));
    if (!l->times || !l->values || !l->histograms)
        return fail(&l->err, STATUS_NO_MEMORY, "no memory for %u samples", count);
    l->capacity = count;
    return STATUS_OK;
}

static uint32_t count_stale(const series *s)
{
    uint32_t stale = 0;
    if (!wide_any_nan(s->value, s->sample_count))
        return 0;
    for (uint32_t i = 0; i < s->sample_count; i++)
        stale += is_absent(s->value[i]);
    return stale;
}

/* A stale marker is a float, in series of histograms too. */
static status without_stale(lane *l, const series *from, promql_samples *s)
{
    if (!count_stale(from))
        return STATUS_OK;
    TRY(lane_reserve(l, from->sample_count));
    uint32_t n = 0;
    for (uint32_t i = 0; i < from->sample_count; i++) {
        const histogram *h = from->histograms ? from->histograms[i] : NULL;
        if (!h && is_absent(from->value[i]))
            continue;
        l->times[n] = from->time_ms[i];
        l->values[n] = from->value[i];
        l->histograms[n++] = h;
    }
    s->time_ms = l->times;
    s->value = l->values;
    s->histograms = from->histograms ? l->histograms : NULL;
    s->count = n;
    return STATUS_OK;
}

static status read_one(walk *w, lane *l, uint32_t slot, uint32_t index)
{
    series from;
    TRY(series_read(l->reader, index, &from, &l->err));
    TRY(promql_count_samples(&l->engine, from.sample_count));
    l->engine.read += from.sample_count;
    l->engine.touched++;
    TRY(promql_check_time(&l->engine));
    promql_samples s = { .labels = { from.labels, from.label_count },
                         .time_ms = from.time_ms,
                         .value = from.value,
                         .histograms = from.histograms,
                         .count = from.sample_count };
    if (!w->keep_stale)
        TRY(without_stale(l, &from, &s));
    return s.count ? w->fn(&l->engine, w->user, slot, index, &s) : STATUS_OK;
}

static status run_items(void *user, uint32_t slot, uint32_t first, uint32_t end)
{
    walk *w = user;
    if (!w->lanes[slot])
        TRY(lane_new(w, &w->lanes[slot]));
    lane *l = w->lanes[slot];
    first += w->first;
    end += w->first;
    for (uint32_t i = first; i < end; i++) {
        if (w->found) {
            TRY(read_one(w, l, slot, i));
            continue;
        }
        TRY(promql_check_time(&l->engine));
        TRY(w->fn(&l->engine, w->user, slot, i, &w->ranges->series[i]));
    }
    return STATUS_OK;
}

/* Takes over what the lane made; the first lane with an error says it. */
static void lane_finish(walk *w, lane *l, status st)
{
    promql_engine *e = w->e;
    if (st != STATUS_OK && l->err.code == st && e->err && e->err->code != st)
        *e->err = l->err;
    arena_adopt(e->arena, &l->arena);
    promql_take_notes(e, &l->notes);
    e->read += l->engine.read;
    e->touched += l->engine.touched;
    series_reader_free(l->reader);
    free(l->times);
    free(l->values);
    free(l->histograms);
    free(l);
}

/* `after` is called between waves, on the calling thread; NULL: all is one wave. */
static status run_waves(walk *w, uint32_t count, uint32_t wave, promql_wave *after)
{
    status st = STATUS_OK;
    for (uint64_t first = 0; first < count && st == STATUS_OK; first += wave) {
        uint32_t size = (uint32_t)MIN(wave, count - first);
        w->first = (uint32_t)first;
        st = workers_run(size, MIN(SERIES_AT_ONCE, size / TURNS), run_items, w);
        if (st == STATUS_OK && after)
            st = after(w->e, w->user, w->first, w->first + size);
    }
    return st;
}

static status walk_all(walk *w, uint32_t count, uint32_t wave, promql_wave *after)
{
    promql_engine *e = w->e;
    uint64_t before = e->samples, added = 0;
    if (e->err)
        *e->err = (error){ 0 };
    status st = run_waves(w, count, wave, after);
    for (uint32_t i = 0; i < WORKERS_MAX; i++) {
        if (!w->lanes[i])
            continue;
        added += w->lanes[i]->engine.samples - before;
        lane_finish(w, w->lanes[i], st);
    }
    if (st != STATUS_OK)
        return e->err && e->err->code == st ? st : fail(e->err, st, "no memory for the query");
    if (e->arena->limit && e->arena->used > e->arena->limit)
        return promql_no_memory(e);
    return promql_count_samples(e, added);
}

status promql_each_series(promql_engine *e, const promql_found *f, bool keep_stale, promql_each *fn,
                          void *user)
{
    walk w = { .e = e, .found = f, .keep_stale = keep_stale, .fn = fn, .user = user };
    return walk_all(&w, f->count, UINT32_MAX, NULL);
}

status promql_each_wave(promql_engine *e, const promql_found *f, bool keep_stale, uint32_t wave,
                        promql_each *fn, promql_wave *after, void *user)
{
    walk w = { .e = e, .found = f, .keep_stale = keep_stale, .fn = fn, .user = user };
    return walk_all(&w, f->count, MAX(wave, 1u), after);
}

status promql_each_samples(promql_engine *e, const promql_value *ranges, promql_each *fn,
                           void *user)
{
    walk w = { .e = e, .ranges = ranges, .fn = fn, .user = user };
    return walk_all(&w, ranges->series_count, UINT32_MAX, NULL);
}
