// SPDX-License-Identifier: Apache-2.0
/* Finds series by their labels in sealed parts (label index) and in memory, then reads the samples
 * of each, by any number of threads. Where a time occurs twice the sample that came in last
 * counts. */
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

/* Immutable once store_find gave it out. */
struct series_found {
    store *s;
    series_query q; /* without its matchers */
    snapshot sn;
    part_series *open_parts;
    arena memory; /* directories, pieces */
    found_series *found;
    series_head *heads;
    uint32_t count, capacity;
};

typedef struct {
    series_found *f;
    store *s;
    const series_query *q;
    match_set set;
    arena *a; /* the answer */
    map by_key;
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
        *ret = &sc->f->found[*slot];
        return STATUS_OK;
    }
    series_found *all = sc->f;
    if (sc->q->series_limit && all->count >= sc->q->series_limit)
        return fail(err, STATUS_LIMIT, "the query finds more than %u series; narrow the selector",
                    sc->q->series_limit);
    if (all->count == all->capacity) {
        uint32_t capacity = all->capacity ? all->capacity * 2 : 64;
        found_series *grown =
            arena_grow(&all->memory, all->found, all->count * sizeof(found_series),
                       capacity * sizeof(found_series));
        if (!grown)
            return no_memory(err);
        for (uint32_t i = 0; i < all->count; i++) {
            if (!grown[i].first)
                grown[i].end = &grown[i].first; /* it pointed into the old array */
        }
        all->found = grown;
        all->capacity = capacity;
    }
    str copy = arena_str(sc->a, key);
    if (!copy.ptr || !map_put(&sc->by_key, copy, all->count, NULL))
        return no_memory(err);
    found_series *f = &all->found[all->count++];
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
    piece *copy = arena_alloc(&sc->f->memory, sizeof(piece));
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
    const part_series *ps = &sc->f->open_parts[part_index];
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
    part_series *ps = &sc->f->open_parts[index];
    status st = part_series_open(ps, sc->f->sn.parts[index], &sc->f->memory, err);
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

static status scan_all(series_scan *sc, error *err)
{
    series_found *f = sc->f;
    f->open_parts = ARENA_ARRAY(&f->memory, part_series, MAX(f->sn.part_count, 1u));
    if (!f->open_parts)
        return no_memory(err);
    for (uint32_t i = 0; i < f->sn.part_count; i++)
        f->open_parts[i].fd = -1;
    status st = STATUS_OK;
    for (uint32_t i = 0; i < f->sn.part_count && st == STATUS_OK; i++) {
        st = scan_part(sc, i, err);
        if (st == STATUS_CORRUPT)
            st = STATUS_OK; /* counted by the part; the others still answer */
    }
    for (uint32_t i = 0; i < f->sn.mem_count && st == STATUS_OK; i++)
        st = scan_mem(sc, &f->sn.mems[i], err);
    return st == STATUS_OK ? match_set_trouble(&sc->set, err) : st;
}

/* ---- heads ---- */

static int by_labels(const void *a, const void *b)
{
    return label_key_cmp(((const found_series *)a)->key, ((const found_series *)b)->key);
}

static status make_heads(series_found *f, arena *a, error *err)
{
    if (f->count)
        qsort(f->found, f->count, sizeof(found_series), by_labels);
    f->heads = ARENA_ARRAY(a, series_head, MAX(f->count, 1u));
    if (!f->heads)
        return no_memory(err);
    for (uint32_t i = 0; i < f->count; i++) {
        const found_series *one = &f->found[i];
        series_head *h = &f->heads[i];
        *h = (series_head){ .hash = XXH3_64bits(one->key.ptr, one->key.len),
                            .samples = one->samples };
        if (!label_key_labels(one->key, a, &h->labels, &h->label_count))
            return no_memory(err);
    }
    return STATUS_OK;
}

status store_find(store *s, const series_query *q, arena *a, series_found **ret, error *err)
{
    series_found *f = calloc(1, sizeof(*f));
    if (!f)
        return fail(err, STATUS_NO_MEMORY, "no memory for a query");
    f->s = s;
    f->q = *q;
    f->q.matchers = NULL;
    f->q.matcher_count = 0;
    arena_init(&f->memory, s->options.query_memory);
    series_scan sc = { .f = f, .s = s, .q = q, .a = a };
    map_init(&sc.by_key);
    buf_init(&sc.key, MiB(16));
    status st = match_set_init(&sc.set, q->matchers, q->matcher_count, NULL, 0, err);
    if (st == STATUS_OK)
        st = snapshot_take(s, SIGNAL_METRICS, q->from_ms, q->to_ms, &f->sn, err);
    if (st == STATUS_OK)
        st = scan_all(&sc, err);
    if (st == STATUS_OK)
        st = make_heads(f, a, err);
    buf_done(&sc.key);
    map_done(&sc.by_key);
    match_set_done(&sc.set);
    if (st != STATUS_OK) {
        series_found_done(f);
        return st;
    }
    *ret = f;
    return STATUS_OK;
}

const series_head *series_found_heads(const series_found *f, uint32_t *ret_count)
{
    *ret_count = f->count;
    return f->heads;
}

void series_found_done(series_found *f)
{
    if (!f)
        return;
    for (uint32_t i = 0; f->open_parts && i < f->sn.part_count; i++) {
        if (f->open_parts[i].part)
            part_series_close(&f->open_parts[i]);
    }
    snapshot_done(&f->sn);
    arena_done(&f->memory);
    free(f);
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

struct series_reader {
    series_found *f;
    part_series *parts; /* those of f, with a page of its own each */
    arena memory;
    int64_t times[PART_BLOCK_ROWS]; /* of one block */
    double values[PART_BLOCK_ROWS];
};

status series_reader_new(series_reader **ret, series_found *f, error *err)
{
    series_reader *r = malloc(sizeof(*r));
    if (!r)
        return fail(err, STATUS_NO_MEMORY, "no memory for a query");
    r->f = f;
    arena_init(&r->memory, f->s->options.query_memory);
    r->parts = calloc(MAX(f->sn.part_count, 1u), sizeof(part_series));
    if (!r->parts) {
        free(r);
        return fail(err, STATUS_NO_MEMORY, "no memory for a query");
    }
    for (uint32_t i = 0; i < f->sn.part_count; i++) {
        r->parts[i] = f->open_parts[i];
        r->parts[i].page_number = UINT32_MAX;
        arena_init(&r->parts[i].page_memory, GiB(1));
    }
    *ret = r;
    return STATUS_OK;
}

void series_reader_free(series_reader *r)
{
    if (!r)
        return;
    for (uint32_t i = 0; i < r->f->sn.part_count; i++)
        arena_done(&r->parts[i].page_memory);
    free(r->parts);
    arena_done(&r->memory);
    free(r);
}

/* With arrays in `a`. */
static status gather(series_reader *r, const found_series *f, arena *a, series *ret, error *err)
{
    const series_query *q = &r->f->q;
    gathered g = { .sorted = true };
    if (f->samples > UINT32_MAX)
        return fail(err, STATUS_LIMIT, "a series with more than 4 billion samples");
    g.times = arena_alloc(a, MAX(f->samples, UINT64_C(1)) * sizeof(int64_t));
    g.values = arena_alloc(a, MAX(f->samples, UINT64_C(1)) * sizeof(double));
    if (!g.times || !g.values)
        return no_memory(err);
    for (const piece *p = f->first; p; p = p->next) {
        if (p->samples) {
            for (uint32_t i = 0; i < p->count; i++)
                keep_sample(&g, q, p->samples[i].time_ms, p->samples[i].value);
            continue;
        }
        status st = part_series_read(&r->parts[p->part], p->block, r->times, r->values, err);
        if (st == STATUS_CORRUPT)
            continue; /* counted; the block is left out */
        if (st != STATUS_OK)
            return st;
        for (uint32_t i = 0; i < p->count; i++)
            keep_sample(&g, q, r->times[i], r->values[i]);
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

static void head_to_series(const series_head *h, series *ret)
{
    *ret = (series){ .labels = h->labels, .label_count = h->label_count, .hash = h->hash };
}

status series_read(series_reader *r, uint32_t index, series *ret, error *err)
{
    head_to_series(&r->f->heads[index], ret);
    arena_clear(&r->memory);
    status st = control_check(r->f->q.control, err);
    return st == STATUS_OK ? gather(r, &r->f->found[index], &r->memory, ret, err) : st;
}

static status read_all(series_found *f, arena *a, series_set *ret, error *err)
{
    series *items = ARENA_ARRAY(a, series, MAX(f->count, 1u));
    if (!items)
        return no_memory(err);
    series_reader *r = NULL;
    status st = f->q.labels_only ? STATUS_OK : series_reader_new(&r, f, err);
    uint32_t kept = 0;
    for (uint32_t i = 0; i < f->count && st == STATUS_OK; i++) {
        series *s = &items[kept];
        head_to_series(&f->heads[i], s);
        if (r)
            st = gather(r, &f->found[i], a, s, err);
        if (st == STATUS_OK && i % CONTROL_EVERY == 0)
            st = control_check(f->q.control, err);
        kept += !r || s->sample_count > 0;
    }
    series_reader_free(r);
    *ret = (series_set){ items, kept };
    return st;
}

status store_series(store *s, const series_query *q, arena *a, series_set *ret, error *err)
{
    series_found *f;
    status st = store_find(s, q, a, &f, err);
    if (st != STATUS_OK)
        return st;
    series_set set;
    st = read_all(f, a, &set, err);
    series_found_done(f);
    if (st == STATUS_OK)
        *ret = set;
    return st;
}
