// SPDX-License-Identifier: Apache-2.0
/* store_series: finds series by their labels in sealed parts (label index) and in memory, then
 * gathers the samples of each. Where a time occurs twice the sample that came in last counts. */
#include "store/label_index.h"
#include "store/part_series.h"
#include "store/store_internal.h"

#include <stdlib.h>
#include <xxhash.h>

#define SAMPLE_LIMIT_DEFAULT 50000000u
enum { CONTROL_EVERY = 256 };

/* Where samples of one series are; in the order in which they came in. */
typedef struct piece {
    struct piece *next;
    const sample *samples; /* in memory, or NULL: a block of a part */
    uint32_t count;
    uint32_t part, block;
} piece;

typedef struct {
    str key;
    piece *first, **end;
    uint64_t samples; /* at most */
} found_series;

typedef struct {
    store *s;
    const series_query *q;
    match_set set;
    snapshot sn;
    part_series *open_parts;
    arena *a;      /* the answer */
    arena scratch; /* directories, pieces */
    map by_key;
    found_series *found;
    uint32_t count, capacity;
    uint64_t samples;
    buf key;
} series_scan;

static status no_memory(error *err)
{
    return fail(err, STATUS_LIMIT,
                "the query needs more memory than it may use; narrow the selector or the range");
}

static status find_or_add(series_scan *sc, str key, found_series **ret, error *err)
{
    uint64_t *slot = map_get(&sc->by_key, key);
    if (slot) {
        *ret = &sc->found[*slot];
        return STATUS_OK;
    }
    if (sc->q->series_limit && sc->count >= sc->q->series_limit)
        return fail(err, STATUS_LIMIT, "the query finds more than %u series; narrow the selector",
                    sc->q->series_limit);
    if (sc->count == sc->capacity) {
        uint32_t capacity = sc->capacity ? sc->capacity * 2 : 64;
        found_series *grown = arena_grow(&sc->scratch, sc->found, sc->count * sizeof(found_series),
                                         capacity * sizeof(found_series));
        if (!grown)
            return no_memory(err);
        for (uint32_t i = 0; i < sc->count; i++) {
            if (!grown[i].first)
                grown[i].end = &grown[i].first; /* it pointed into the old array */
        }
        sc->found = grown;
        sc->capacity = capacity;
    }
    str copy = arena_str(sc->a, key);
    if (!copy.ptr || !map_put(&sc->by_key, copy, sc->count, NULL))
        return no_memory(err);
    found_series *f = &sc->found[sc->count++];
    *f = (found_series){ .key = copy };
    f->end = &f->first;
    *ret = f;
    return STATUS_OK;
}

static status add_piece(series_scan *sc, found_series *f, piece p, error *err)
{
    uint64_t limit = sc->q->sample_limit ? sc->q->sample_limit : SAMPLE_LIMIT_DEFAULT;
    if ((sc->samples += p.count) > limit)
        return fail(err, STATUS_LIMIT,
                    "the query reads more than %llu samples; narrow the selector or the range",
                    (unsigned long long)limit);
    piece *copy = arena_alloc(&sc->scratch, sizeof(piece));
    if (!copy)
        return no_memory(err);
    *copy = p;
    *f->end = copy;
    f->end = &copy->next;
    f->samples += p.count;
    return STATUS_OK;
}

/* ---- sealed parts ---- */

static roaring_bitmap_t *match_part(series_scan *sc, const part_series *ps)
{
    roaring_bitmap_t *all = roaring_bitmap_create();
    if (all)
        roaring_bitmap_add_range(all, 0, ps->count);
    for (uint32_t i = 0; all && i < sc->set.count; i++) {
        roaring_bitmap_t *one =
            label_index_match(ps->index, &sc->set, &sc->set.items[i], ps->count);
        if (!one) {
            roaring_bitmap_free(all);
            return NULL;
        }
        roaring_bitmap_and_inplace(all, one);
        roaring_bitmap_free(one);
        if (roaring_bitmap_is_empty(all))
            break;
    }
    return all;
}

static status add_part_series(series_scan *sc, uint32_t part_index, uint32_t series, error *err)
{
    const part_series *ps = &sc->open_parts[part_index];
    found_series *f = NULL;
    status st = STATUS_OK;
    for (uint32_t b = ps->block_start[series]; b < ps->block_start[series + 1]; b++) {
        const series_block *block = &ps->blocks[b];
        if (block->max_ms < sc->q->from_ms || block->min_ms > sc->q->to_ms)
            continue;
        if (!f) {
            buf_clear(&sc->key);
            part_series_key(ps, series, &sc->key);
            st = find_or_add(sc, buf_view(&sc->key), &f, err);
        }
        if (st == STATUS_OK && !sc->q->labels_only)
            st = add_piece(sc, f,
                           (piece){ .count = block->samples, .part = part_index, .block = b }, err);
        if (st != STATUS_OK)
            return st;
    }
    return STATUS_OK;
}

static status scan_part(series_scan *sc, uint32_t index, error *err)
{
    part_series *ps = &sc->open_parts[index];
    status st = part_series_open(ps, sc->sn.parts[index], &sc->scratch, err);
    if (st != STATUS_OK)
        return st;
    roaring_bitmap_t *members = match_part(sc, ps);
    if (!members)
        return part_damage(ps->part, err, "the label index");
    uint64_t before = sc->samples;
    roaring_uint32_iterator_t it;
    roaring_init_iterator(members, &it);
    for (uint32_t n = 0; it.has_value && st == STATUS_OK; n++) {
        if (it.current_value < ps->count)
            st = add_part_series(sc, index, it.current_value, err);
        if (st == STATUS_OK && n % CONTROL_EVERY == 0)
            st = control_check(sc->q->control, err);
        roaring_advance_uint32_iterator(&it);
    }
    roaring_bitmap_free(members);
    if (sc->samples == before)
        part_series_release(ps); /* nothing more of it will be read */
    return st;
}

/* ---- memory ---- */

static bool match_key(series_scan *sc, str key)
{
    for (uint32_t i = 0; i < sc->set.count; i++) {
        const match_item *m = &sc->set.items[i];
        if (!match_value(&sc->set, m, label_key_get(key, m->name)))
            return false;
    }
    return true;
}

/* Chunks do not move and what is in them stays; only the counts need the lock. */
static status add_mem_series(series_scan *sc, const mem_view *v, const mem_series *ms, error *err)
{
    found_series *f = NULL;
    status st = STATUS_OK;
    str key = str_n(ms->key->key, ms->key->key_len);
    if (v->receiving)
        pthread_mutex_lock(&sc->s->metrics_lock);
    if (ms->max_ms >= sc->q->from_ms && ms->min_ms <= sc->q->to_ms)
        st = find_or_add(sc, key, &f, err);
    for (const sample_chunk *c = f && !sc->q->labels_only ? ms->first : NULL; c && st == STATUS_OK;
         c = c->next)
        st = add_piece(sc, f, (piece){ .samples = c->samples, .count = c->count }, err);
    if (v->receiving)
        pthread_mutex_unlock(&sc->s->metrics_lock);
    return st;
}

static status scan_mem(series_scan *sc, const mem_view *v, error *err)
{
    status st = STATUS_OK;
    for (uint32_t i = 0; i < v->series_count && st == STATUS_OK; i++) {
        const mem_series *ms = v->series[i];
        if (match_key(sc, str_n(ms->key->key, ms->key->key_len)))
            st = add_mem_series(sc, v, ms, err);
        if (st == STATUS_OK && i % CONTROL_EVERY == 0)
            st = control_check(sc->q->control, err);
    }
    return st;
}

/* ---- samples ---- */

typedef struct {
    int64_t *times;
    double *values;
    uint32_t count;
    bool sorted;
} gathered;

static void keep_sample(gathered *g, const series_query *q, int64_t t, double v)
{
    if (t < q->from_ms || t > q->to_ms)
        return;
    if (g->count && t <= g->times[g->count - 1]) {
        if (t == g->times[g->count - 1]) {
            g->values[g->count - 1] = v; /* the later one counts */
            return;
        }
        g->sorted = false;
    }
    g->times[g->count] = t;
    g->values[g->count++] = v;
}

typedef struct {
    int64_t time;
    double value;
    uint32_t order;
} ordered_sample;

static int by_time_then_order(const void *a, const void *b)
{
    const ordered_sample *x = a, *y = b;
    if (x->time != y->time)
        return x->time < y->time ? -1 : 1;
    return x->order < y->order ? -1 : x->order > y->order;
}

static status sort_samples(gathered *g, error *err)
{
    ordered_sample *all = malloc(g->count * sizeof(*all));
    if (!all)
        return fail(err, STATUS_NO_MEMORY, "no memory to sort %u samples", g->count);
    for (uint32_t i = 0; i < g->count; i++)
        all[i] = (ordered_sample){ g->times[i], g->values[i], i };
    qsort(all, g->count, sizeof(*all), by_time_then_order);
    uint32_t kept = 0;
    for (uint32_t i = 0; i < g->count; i++) {
        if (kept && g->times[kept - 1] == all[i].time)
            kept--;
        g->times[kept] = all[i].time;
        g->values[kept++] = all[i].value;
    }
    g->count = kept;
    free(all);
    return STATUS_OK;
}

static status gather(series_scan *sc, const found_series *f, series *ret, error *err)
{
    int64_t times[PART_BLOCK_ROWS];
    double values[PART_BLOCK_ROWS];
    gathered g = { .sorted = true };
    if (f->samples > UINT32_MAX)
        return fail(err, STATUS_LIMIT, "a series with more than 4 billion samples");
    g.times = arena_alloc(sc->a, MAX(f->samples, UINT64_C(1)) * sizeof(int64_t));
    g.values = arena_alloc(sc->a, MAX(f->samples, UINT64_C(1)) * sizeof(double));
    if (!g.times || !g.values)
        return no_memory(err);
    for (const piece *p = f->first; p; p = p->next) {
        if (p->samples) {
            for (uint32_t i = 0; i < p->count; i++)
                keep_sample(&g, sc->q, p->samples[i].time_ms, p->samples[i].value);
            continue;
        }
        status st = part_series_read(&sc->open_parts[p->part], p->block, times, values, err);
        if (st == STATUS_CORRUPT)
            continue; /* counted; the block is left out */
        if (st != STATUS_OK)
            return st;
        for (uint32_t i = 0; i < p->count; i++)
            keep_sample(&g, sc->q, times[i], values[i]);
    }
    if (!g.sorted) {
        status st = sort_samples(&g, err);
        if (st != STATUS_OK)
            return st;
    }
    ret->time_ms = g.times;
    ret->value = g.values;
    ret->sample_count = g.count;
    return STATUS_OK;
}

static int by_labels(const void *a, const void *b)
{
    return label_key_cmp(((const found_series *)a)->key, ((const found_series *)b)->key);
}

static status build_answer(series_scan *sc, series_set *ret, error *err)
{
    if (sc->count)
        qsort(sc->found, sc->count, sizeof(found_series), by_labels);
    series *items = ARENA_ARRAY(sc->a, series, MAX(sc->count, 1u));
    if (!items)
        return no_memory(err);
    uint32_t kept = 0;
    for (uint32_t i = 0; i < sc->count; i++) {
        const found_series *f = &sc->found[i];
        series *s = &items[kept];
        *s = (series){ .hash = XXH3_64bits(f->key.ptr, f->key.len) };
        if (!label_key_labels(f->key, sc->a, &s->labels, &s->label_count))
            return no_memory(err);
        status st = STATUS_OK;
        if (!sc->q->labels_only)
            st = gather(sc, f, s, err);
        if (st == STATUS_OK && i % CONTROL_EVERY == 0)
            st = control_check(sc->q->control, err);
        if (st != STATUS_OK)
            return st;
        kept += sc->q->labels_only || s->sample_count > 0;
    }
    *ret = (series_set){ items, kept };
    return STATUS_OK;
}

static status scan_all(series_scan *sc, error *err)
{
    sc->open_parts = ARENA_ARRAY(&sc->scratch, part_series, MAX(sc->sn.part_count, 1u));
    if (!sc->open_parts)
        return no_memory(err);
    for (uint32_t i = 0; i < sc->sn.part_count; i++)
        sc->open_parts[i].fd = -1;
    status st = STATUS_OK;
    for (uint32_t i = 0; i < sc->sn.part_count && st == STATUS_OK; i++) {
        st = scan_part(sc, i, err);
        if (st == STATUS_CORRUPT)
            st = STATUS_OK; /* counted by the part; the others still answer */
    }
    for (uint32_t i = 0; i < sc->sn.mem_count && st == STATUS_OK; i++)
        st = scan_mem(sc, &sc->sn.mems[i], err);
    return st == STATUS_OK ? match_set_trouble(&sc->set, err) : st;
}

status store_series(store *s, const series_query *q, arena *a, series_set *ret, error *err)
{
    series_scan sc = { .s = s, .q = q, .a = a };
    status st = match_set_init(&sc.set, q->matchers, q->matcher_count, NULL, 0, err);
    if (st != STATUS_OK)
        return st;
    arena_init(&sc.scratch, s->options.query_memory);
    map_init(&sc.by_key);
    buf_init(&sc.key, MiB(16));
    st = snapshot_take(s, SIGNAL_METRICS, q->from_ms, q->to_ms, &sc.sn, err);
    if (st == STATUS_OK)
        st = scan_all(&sc, err);
    if (st == STATUS_OK)
        st = build_answer(&sc, ret, err);
    for (uint32_t i = 0; sc.open_parts && i < sc.sn.part_count; i++) {
        if (sc.open_parts[i].part)
            part_series_close(&sc.open_parts[i]);
    }
    snapshot_done(&sc.sn);
    buf_done(&sc.key);
    map_done(&sc.by_key);
    arena_done(&sc.scratch);
    match_set_done(&sc.set);
    return st;
}
