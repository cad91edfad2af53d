// SPDX-License-Identifier: Apache-2.0
/* Finds series by their labels in sealed parts (label index) and in memory, and where the samples
 * of each are. Series of several places meet in a table by the hash of their labels; what one place
 * has is in order already, so that the runs of places are merged and not sorted. */
#include "store/label_index.h"
#include "store/series_found.h"

#include <stdlib.h>
#include <xxhash.h>

#define SAMPLE_LIMIT_DEFAULT 50000000u
enum { CONTROL_EVERY = 256, TABLE_MIN = 256 };

typedef struct {
    series_found *f;
    store *s;
    const series_query *q;
    match_set set;
    arena *a;        /* the answer */
    uint32_t *table; /* 1 + index of a series, by hash; 0: free */
    uint32_t table_mask;
    bool one_place; /* no series can come twice */
    label *labels;  /* of the series that is looked for */
    uint32_t label_capacity;
    uint64_t samples;
    arena scratch;
} series_scan;

static status no_memory(error *err)
{
    return fail(err, STATUS_LIMIT,
                "the query needs more memory than it may use; narrow the selector or the range");
}

/* ---- labels ---- */

static bool same_labels(const series_head *x, const series_head *y)
{
    if (x->label_count != y->label_count)
        return false;
    for (uint32_t i = 0; i < x->label_count; i++) {
        if (!str_eq(x->labels[i].value, y->labels[i].value) ||
            !str_eq(x->labels[i].name, y->labels[i].name))
            return false;
    }
    return true;
}

/* Name by name, value by value. */
static int compare_labels(const series_head *x, const series_head *y)
{
    for (uint32_t i = 0; i < x->label_count && i < y->label_count; i++) {
        int c = str_cmp(x->labels[i].name, y->labels[i].name);
        if (c == 0)
            c = str_cmp(x->labels[i].value, y->labels[i].value);
        if (c != 0)
            return c;
    }
    return (x->label_count > y->label_count) - (x->label_count < y->label_count);
}

/* Room for the labels of one series. */
static label *label_room(series_scan *sc, uint32_t count)
{
    if (count > sc->label_capacity) {
        sc->labels = ARENA_ARRAY(&sc->scratch, label, (size_t)count * 2);
        sc->label_capacity = sc->labels ? count * 2 : 0;
    }
    return sc->labels;
}

/* ---- the table ---- */

static status grow_table(series_scan *sc, error *err)
{
    uint32_t size = sc->table_mask ? (sc->table_mask + 1) * 4 : TABLE_MIN;
    uint32_t *table = ARENA_ARRAY(&sc->scratch, uint32_t, size);
    if (!table)
        return no_memory(err);
    for (uint32_t i = 0; i < sc->f->count; i++) {
        uint32_t at = (uint32_t)sc->f->heads[i].hash & (size - 1);
        while (table[at])
            at = (at + 1) & (size - 1);
        table[at] = i + 1;
    }
    sc->table = table;
    sc->table_mask = size - 1;
    return STATUS_OK;
}

static status grow_series(series_scan *sc, error *err)
{
    series_found *f = sc->f;
    uint32_t capacity = f->capacity ? f->capacity * 4 : 64;
    found_series *series = arena_grow(&f->memory, f->series, f->count * sizeof(found_series),
                                      capacity * sizeof(found_series));
    series_head *heads =
        arena_grow(sc->a, f->heads, f->count * sizeof(series_head), capacity * sizeof(series_head));
    if (!series || !heads)
        return no_memory(err);
    f->series = series;
    f->heads = heads;
    f->capacity = capacity;
    return STATUS_OK;
}

static status add_series(series_scan *sc, const series_head *h, error *err)
{
    series_found *f = sc->f;
    if (sc->q->series_limit && f->count >= sc->q->series_limit)
        return fail(err, STATUS_LIMIT, "the query finds more than %u series; narrow the selector",
                    sc->q->series_limit);
    if (f->count == f->capacity) {
        status st = grow_series(sc, err);
        if (st != STATUS_OK)
            return st;
    }
    label *labels = arena_grow(sc->a, h->labels, h->label_count * sizeof(label),
                               h->label_count * sizeof(label));
    if (!labels)
        return no_memory(err);
    f->heads[f->count] = *h;
    f->heads[f->count].labels = labels;
    f->series[f->count++] = (found_series){ 0 };
    return STATUS_OK;
}

/* The index of the series of that head, which is added when it is new. */
static status find_or_add(series_scan *sc, const series_head *h, uint32_t *ret, error *err)
{
    series_found *f = sc->f;
    uint32_t at = 0;
    if (!sc->one_place) {
        status st = f->count * 2 >= sc->table_mask ? grow_table(sc, err) : STATUS_OK;
        if (st != STATUS_OK)
            return st;
        for (at = (uint32_t)h->hash & sc->table_mask; sc->table[at];
             at = (at + 1) & sc->table_mask) {
            *ret = sc->table[at] - 1;
            if (f->heads[*ret].hash == h->hash && same_labels(&f->heads[*ret], h))
                return STATUS_OK;
        }
    }
    *ret = f->count;
    status st = add_series(sc, h, err);
    if (st == STATUS_OK && !sc->one_place)
        sc->table[at] = f->count;
    return st;
}

/* `samples`: those within the range, about. */
static status add_piece(series_scan *sc, uint32_t index, const piece *p, uint64_t samples,
                        error *err)
{
    found_series *f = &sc->f->series[index];
    piece *copy = arena_alloc(&sc->f->memory, sizeof(piece));
    if (!copy || UINT32_MAX - f->most < p->count)
        return no_memory(err);
    *copy = *p;
    *(f->last ? &f->last->next : &f->first) = copy;
    f->last = copy;
    f->most += p->count;
    sc->f->heads[index].samples += samples;
    sc->samples += samples;
    return STATUS_OK;
}

/* ---- sealed parts ---- */

static roaring_bitmap_t *match_part(series_scan *sc, const open_part *o)
{
    uint32_t total = o->series.count;
    roaring_bitmap_t *all = NULL;
    for (uint32_t i = 0; i < sc->set.count; i++) {
        roaring_bitmap_t *one = label_table_match(&o->table, &sc->set, &sc->set.items[i], total);
        if (one && all)
            roaring_bitmap_and_inplace(all, one);
        if (!one || all) {
            roaring_bitmap_free(one ? one : all);
            if (!one)
                return NULL;
        } else {
            all = one;
        }
        if (roaring_bitmap_is_empty(all))
            break;
    }
    return all ? all : roaring_bitmap_from_range(0, total, 1);
}

static uint64_t within(const series_block *b, const series_query *q)
{
    uint64_t from = (uint64_t)MAX(b->min_ms, q->from_ms), to = (uint64_t)MIN(b->max_ms, q->to_ms);
    uint64_t span = (uint64_t)b->max_ms - (uint64_t)b->min_ms;
    if (span == 0 || to - from >= span)
        return b->samples;
    return MIN((uint64_t)b->samples,
               (uint64_t)((double)b->samples * (double)(to - from) / (double)span) + 1);
}

static status head_of_part(series_scan *sc, const open_part *o, uint32_t series, series_head *ret,
                           error *err)
{
    const part_series *ps = &o->series;
    const uint32_t *pair = ps->pairs + ps->label_start[series];
    uint32_t count = (ps->label_start[series + 1] - ps->label_start[series]) / 2;
    label *labels = label_room(sc, count);
    if (count && !labels)
        return no_memory(err);
    for (uint32_t i = 0; i < count; i++)
        labels[i] = (label){ ps->symbols[pair[2 * i]], ps->symbols[pair[2 * i + 1]] };
    *ret = (series_head){ .labels = labels, .label_count = count, .hash = o->hashes[series] };
    return STATUS_OK;
}

static status add_part_series(series_scan *sc, uint32_t part_index, uint32_t series, error *err)
{
    const open_part *o = sc->f->parts[part_index];
    const part_series *ps = &o->series;
    uint32_t index = UINT32_MAX;
    status st = STATUS_OK;
    for (uint32_t b = ps->block_start[series]; b < ps->block_start[series + 1]; b++) {
        const series_block *block = &ps->blocks[b];
        if (block->max_ms < sc->q->from_ms || block->min_ms > sc->q->to_ms)
            continue;
        if (index == UINT32_MAX) {
            series_head h;
            st = head_of_part(sc, o, series, &h, err);
            if (st == STATUS_OK)
                st = find_or_add(sc, &h, &index, err);
        }
        if (st == STATUS_OK && !sc->q->labels_only)
            st = add_piece(sc, index,
                           &(piece){ .count = block->samples,
                                     .part = part_index,
                                     .block = b,
                                     .histograms = block->histograms },
                           within(block, sc->q), err);
        if (st != STATUS_OK)
            return st;
    }
    return STATUS_OK;
}

static status scan_part(series_scan *sc, uint32_t index, error *err)
{
    series_found *f = sc->f;
    status st = part_cache_take(&sc->s->open_parts, f->sn.parts[index], &f->parts[index], err);
    if (st != STATUS_OK)
        return st;
    roaring_bitmap_t *members = match_part(sc, f->parts[index]);
    if (!members)
        return part_damage(f->sn.parts[index], err, "the label index");
    roaring_uint32_iterator_t it;
    roaring_init_iterator(members, &it);
    for (uint32_t n = 0; it.has_value && st == STATUS_OK; n++) {
        if (it.current_value < f->parts[index]->series.count)
            st = add_part_series(sc, index, it.current_value, err);
        if (st == STATUS_OK && n % CONTROL_EVERY == 0)
            st = control_check(sc->q->control, err);
        roaring_advance_uint32_iterator(&it);
    }
    roaring_bitmap_free(members);
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

static status head_of_key(series_scan *sc, str key, series_head *ret, error *err)
{
    uint32_t count = 0;
    for (bytes_reader r = bytes_read(key); r.at < r.end; count++) {
        get_text(&r);
        get_text(&r);
    }
    label *labels = label_room(sc, count);
    if (count && !labels)
        return no_memory(err);
    bytes_reader r = bytes_read(key);
    for (uint32_t i = 0; i < count; i++) {
        labels[i].name = get_text(&r);
        labels[i].value = get_text(&r);
    }
    *ret = (series_head){ .labels = labels,
                          .label_count = count,
                          .hash = XXH3_64bits(key.ptr, key.len) };
    return STATUS_OK;
}

/* Chunks do not move and what is in them stays; only the counts need the lock. */
static status add_mem_chunks(series_scan *sc, const mem_view *v, const mem_series *ms,
                             uint32_t index, error *err)
{
    status st = STATUS_OK;
    if (v->receiving)
        pthread_mutex_lock(&sc->s->metrics_lock);
    for (const sample_chunk *c = ms->first; c && st == STATUS_OK; c = c->next)
        st = add_piece(sc, index,
                       &(piece){ .chunk = c, .count = c->count, .histograms = c->histograms },
                       c->count, err);
    if (v->receiving)
        pthread_mutex_unlock(&sc->s->metrics_lock);
    return st;
}

static bool in_range(series_scan *sc, const mem_view *v, const mem_series *ms)
{
    if (v->receiving)
        pthread_mutex_lock(&sc->s->metrics_lock);
    bool in = ms->max_ms >= sc->q->from_ms && ms->min_ms <= sc->q->to_ms;
    if (v->receiving)
        pthread_mutex_unlock(&sc->s->metrics_lock);
    return in;
}

static status scan_mem_series(series_scan *sc, const mem_view *v, const mem_series *ms, error *err)
{
    str key = str_n(ms->key->key, ms->key->key_len);
    if (!match_key(sc, key) || !in_range(sc, v, ms))
        return STATUS_OK;
    series_head h;
    uint32_t index;
    status st = head_of_key(sc, key, &h, err);
    if (st == STATUS_OK)
        st = find_or_add(sc, &h, &index, err);
    if (st == STATUS_OK && !sc->q->labels_only)
        st = add_mem_chunks(sc, v, ms, index, err);
    return st;
}

/* The metric's name that the matchers ask for; empty: there is none. */
static str wanted_name(const series_scan *sc)
{
    for (uint32_t i = 0; i < sc->set.count; i++) {
        const match_item *m = &sc->set.items[i];
        if (m->op == MATCH_EQ && str_eq(m->name, STR("__name__")))
            return m->value;
    }
    return STR_EMPTY;
}

/* The list only grows in front, so that it can be followed without the lock. */
static const mem_series *newest_of_name(series_scan *sc, const mem_view *v, str name)
{
    if (v->receiving)
        pthread_mutex_lock(&sc->s->metrics_lock);
    const uint64_t *found = map_get(&v->mem->metrics.names, name);
    const mem_series *newest = found ? (const mem_series *)(uintptr_t)*found : NULL;
    if (v->receiving)
        pthread_mutex_unlock(&sc->s->metrics_lock);
    return newest;
}

static status scan_mem(series_scan *sc, const mem_view *v, error *err)
{
    status st = STATUS_OK;
    str name = wanted_name(sc);
    if (v->series_count == 0)
        return STATUS_OK; /* what came later is not counted as a place */
    const mem_series *ms = name.len ? newest_of_name(sc, v, name) : NULL;
    for (uint32_t i = 0; st == STATUS_OK && (name.len ? ms != NULL : i < v->series_count); i++) {
        st = scan_mem_series(sc, v, name.len ? ms : v->series[i], err);
        ms = ms ? ms->same_name : NULL;
        if (st == STATUS_OK && i % CONTROL_EVERY == 0)
            st = control_check(sc->q->control, err);
    }
    return st;
}

/* ---- order ---- */

static int by_labels(const void *a, const void *b, void *heads)
{
    const series_head *all = heads;
    return compare_labels(&all[*(const uint32_t *)a], &all[*(const uint32_t *)b]);
}

static bool is_sorted(const series_found *f)
{
    for (uint32_t i = 1; i < f->count; i++) {
        if (compare_labels(&f->heads[i - 1], &f->heads[i]) > 0)
            return false;
    }
    return true;
}

/* glibc's qsort_r is a merge sort, which passes over runs that are in order. */
static status sort_series(series_scan *sc, error *err)
{
    series_found *f = sc->f;
    if (is_sorted(f))
        return STATUS_OK;
    uint32_t *order = arena_alloc(&sc->scratch, f->count * sizeof(uint32_t));
    series_head *heads = arena_alloc(sc->a, f->count * sizeof(series_head));
    found_series *series = arena_alloc(&f->memory, f->count * sizeof(found_series));
    if (!order || !heads || !series)
        return no_memory(err);
    for (uint32_t i = 0; i < f->count; i++)
        order[i] = i;
    qsort_r(order, f->count, sizeof(uint32_t), by_labels, f->heads);
    for (uint32_t i = 0; i < f->count; i++) {
        heads[i] = f->heads[order[i]];
        series[i] = f->series[order[i]];
    }
    f->heads = heads;
    f->series = series;
    return STATUS_OK;
}

/* ---- all of it ---- */

static status check_cost(const series_scan *sc, error *err)
{
    uint64_t limit = sc->q->sample_limit ? sc->q->sample_limit : SAMPLE_LIMIT_DEFAULT;
    if (sc->samples <= limit)
        return STATUS_OK;
    return fail(err, STATUS_LIMIT,
                "the query would read about %llu samples of %u series; the limit is %llu; narrow "
                "the selector or the range",
                (unsigned long long)sc->samples, sc->f->count, (unsigned long long)limit);
}

static status scan_all(series_scan *sc, error *err)
{
    series_found *f = sc->f;
    uint32_t places = f->sn.part_count;
    for (uint32_t i = 0; i < f->sn.mem_count; i++)
        places += f->sn.mems[i].series_count > 0;
    sc->one_place = places == 1;
    f->parts = ARENA_ARRAY(&f->memory, open_part *, MAX(f->sn.part_count, 1u));
    if (!f->parts)
        return no_memory(err);
    status st = STATUS_OK;
    for (uint32_t i = 0; i < f->sn.part_count && st == STATUS_OK; i++) {
        st = scan_part(sc, i, err);
        if (st == STATUS_CORRUPT)
            st = STATUS_OK; /* counted by the part; the others still answer */
    }
    for (uint32_t i = 0; i < f->sn.mem_count && st == STATUS_OK; i++)
        st = scan_mem(sc, &f->sn.mems[i], err);
    if (st == STATUS_OK)
        st = match_set_trouble(&sc->set, err);
    if (st == STATUS_OK)
        st = check_cost(sc, err);
    return st == STATUS_OK ? sort_series(sc, err) : st;
}

/* The end of the arena in which the labels are, views into parts and keys. */
static void free_found(void *user)
{
    series_found *f = user;
    for (uint32_t i = 0; f->parts && i < f->sn.part_count; i++)
        part_cache_give(f->parts[i]);
    snapshot_done(&f->sn);
    arena_done(&f->memory);
    free(f);
}

status store_find(store *s, const series_query *q, arena *a, series_found **ret, error *err)
{
    series_found *f = calloc(1, sizeof(*f));
    if (!f)
        return fail(err, STATUS_NO_MEMORY, "no memory for a query");
    if (!arena_at_end(a, free_found, f)) {
        free(f);
        return no_memory(err);
    }
    f->s = s;
    f->q = *q;
    f->q.matchers = NULL;
    f->q.matcher_count = 0;
    arena_init(&f->memory, s->options.query_memory);
    series_scan sc = { .f = f, .s = s, .q = q, .a = a };
    arena_init(&sc.scratch, s->options.query_memory);
    status st = match_set_init(&sc.set, q->matchers, q->matcher_count, NULL, 0, err);
    if (st == STATUS_OK)
        st = snapshot_take(s, SIGNAL_METRICS, q->from_ms, q->to_ms, &f->sn, err);
    if (st == STATUS_OK)
        st = scan_all(&sc, err);
    arena_done(&sc.scratch);
    match_set_done(&sc.set);
    if (st == STATUS_OK)
        *ret = f;
    return st;
}

const series_head *series_found_heads(const series_found *f, uint32_t *ret_count)
{
    *ret_count = f->count;
    return f->heads;
}

void series_found_done(series_found *f)
{
    (void)f; /* labels are views into what it holds: it ends with the arena */
}
