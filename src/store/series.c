// SPDX-License-Identifier: Apache-2.0
/* Series in memory: keys, sample chunks, label bytes; see series.h. */
#include "store/series.h"

#include "store/exemplars.h"
#include "store/series_internal.h"

#include <stdlib.h>

enum { CHUNK_FIRST = 4, CHUNK_MAX = 512 };

void mem_metrics_init(mem_metrics *m, uint64_t generation)
{
    *m = (mem_metrics){ .generation = generation };
    map_init(&m->names);
    arena_init(&m->memory, 0); /* bounded by the sealing of what reached the memory limit */
}

static void key_unref(series_key *k)
{
    if (atomic_fetch_sub_explicit(&k->refs, 1, memory_order_acq_rel) == 1) {
        free(k->delta_histogram);
        free(k);
    }
}

void mem_metrics_done(mem_metrics *m)
{
    for (uint32_t i = 0; i < m->count; i++)
        key_unref(m->series[i]->key);
    map_done(&m->names);
    arena_done(&m->memory);
}

void series_table_init(series_table *t)
{
    *t = (series_table){ 0 };
    map_init(&t->keys);
    map_init(&t->identities);
    map_init(&t->resources);
    map_init(&t->metrics);
    arena_init(&t->memory, 0); /* bounded by SERIES_MAX */
    buf_init(&t->scratch, 0);
    buf_init(&t->label_scratch, 0);
}

static void drop_keys(series_table *t)
{
    for (map_slot *s = NULL; (s = map_next(&t->keys, s));)
        key_unref((series_key *)(uintptr_t)s->value);
}

void series_table_done(series_table *t)
{
    drop_keys(t);
    map_done(&t->keys);
    map_done(&t->identities);
    map_done(&t->resources);
    map_done(&t->metrics);
    arena_done(&t->memory);
    buf_done(&t->scratch);
    buf_done(&t->label_scratch);
}

void series_table_trim(series_table *t, uint32_t live, uint64_t unsealed)
{
    if (t->keys.count < 10000 || t->keys.count / 4 < live)
        return;
    series_table fresh;
    series_table_init(&fresh);
    fresh.next_id = t->next_id;
    fresh.trims = t->trims + 1;
    for (map_slot *s = NULL; (s = map_next(&t->keys, s));) {
        series_key *k = (series_key *)(uintptr_t)s->value;
        if (k->delta_known && k->generation >= unsealed &&
            map_put(&fresh.keys, s->key, s->value, NULL))
            atomic_fetch_add_explicit(&k->refs, 1, memory_order_relaxed);
    }
    series_table_done(t);
    *t = fresh;
}

series_key *series_key_intern(series_table *t, str bytes)
{
    uint64_t *found = map_get(&t->keys, bytes);
    if (found)
        return (series_key *)(uintptr_t)*found;
    if (t->keys.count >= SERIES_MAX)
        return NULL;
    series_key *k = malloc(sizeof(*k) + bytes.len);
    if (!k)
        return NULL;
    atomic_init(&k->refs, 1);
    k->key_len = (uint32_t)bytes.len;
    k->generation = 0;
    k->newest = NULL;
    k->delta_known = false;
    k->delta_sum = 0;
    k->delta_histogram = NULL;
    memcpy(k->key, bytes.ptr, bytes.len);
    if (!map_put(&t->keys, str_n(k->key, k->key_len), (uint64_t)(uintptr_t)k, NULL)) {
        free(k);
        return NULL;
    }
    return k;
}

static mem_series *place_in(mem_metrics *m, series_key *k)
{
    if (m->count == m->capacity) {
        uint32_t capacity = m->capacity ? m->capacity * 2 : 64;
        mem_series **grown = arena_grow(&m->memory, m->series, m->count * sizeof(mem_series *),
                                        capacity * sizeof(mem_series *));
        if (!grown)
            return NULL;
        m->series = grown;
        m->capacity = capacity;
    }
    mem_series *s = ARENA_NEW(&m->memory, mem_series);
    str name = label_key_get(str_n(k->key, k->key_len), STR("__name__"));
    uint64_t *newest = s ? map_put(&m->names, name, 0, NULL) : NULL;
    if (!newest)
        return NULL;
    s->same_name = (mem_series *)(uintptr_t)*newest;
    *newest = (uint64_t)(uintptr_t)s;
    s->key = k;
    s->min_ms = INT64_MAX;
    s->max_ms = INT64_MIN;
    atomic_fetch_add_explicit(&k->refs, 1, memory_order_relaxed);
    m->series[m->count++] = s;
    k->generation = m->generation;
    k->newest = s;
    return s;
}

static inline mem_series *series_in(mem_metrics *m, series_key *k)
{
    return k->generation == m->generation ? k->newest : place_in(m, k);
}

static inline bool add_sample(mem_metrics *m, mem_series *s, int64_t time_ms, double value)
{
    sample_chunk *c = s->last;
    if (UNLIKELY(!c || c->count == c->capacity)) {
        uint32_t capacity = c ? MIN(c->capacity * 2u, (uint32_t)CHUNK_MAX) : CHUNK_FIRST;
        sample_chunk *fresh =
            arena_alloc_aligned(&m->memory, sizeof(sample_chunk) + capacity * sizeof(sample), 8);
        if (!fresh)
            return false;
        fresh->next = NULL;
        fresh->count = 0;
        fresh->capacity = capacity;
        fresh->histograms = false;
        if (c)
            c->next = fresh;
        else
            s->first = fresh;
        s->last = c = fresh;
    }
    c->samples[c->count++] = (sample){ time_ms, value };
    s->count++;
    s->min_ms = MIN(s->min_ms, time_ms);
    s->max_ms = MAX(s->max_ms, time_ms);
    m->samples++;
    return true;
}

bool series_sample_add(mem_metrics *m, series_key *k, int64_t time_ms, double value)
{
    mem_series *s = series_in(m, k);
    return LIKELY(s != NULL) && add_sample(m, s, time_ms, value_tamed(value));
}

/* ---- histograms ---- */

/* The list of the one before where it is the same, else a copy. NULL: no memory. */
static const void *share_list(arena *a, const void *list, size_t bytes, const void *before,
                              size_t bytes_before)
{
    if (before && bytes == bytes_before && (bytes == 0 || memcmp(list, before, bytes) == 0))
        return before;
    void *copy = arena_alloc_aligned(a, MAX(bytes, (size_t)1), 8);
    if (copy && bytes)
        memcpy(copy, list, bytes);
    return copy;
}

static bool share_side(arena *a, histogram_side *s, const histogram_side *before)
{
    s->spans = share_list(a, s->spans, s->span_count * sizeof(native_span), before->spans,
                          before->span_count * sizeof(native_span));
    s->counts = share_list(a, s->counts, s->count * sizeof(double), before->counts,
                           before->count * sizeof(double));
    return s->spans && s->counts;
}

/* Histograms of one series mostly have the same spans and bounds, and many the same counts. */
static const histogram *keep_histogram(arena *a, const histogram *h, const histogram *before)
{
    histogram *copy = arena_alloc_aligned(a, sizeof(histogram), 8);
    if (!copy)
        return NULL;
    *copy = *h;
    copy->custom = share_list(a, h->custom, h->custom_count * sizeof(double), before->custom,
                              before->custom_count * sizeof(double));
    if (!copy->custom || !share_side(a, &copy->positive, &before->positive) ||
        !share_side(a, &copy->negative, &before->negative))
        return NULL;
    return copy;
}

bool series_histogram_add(mem_metrics *m, series_key *k, int64_t time_ms, const histogram *h)
{
    static const histogram none;
    mem_series *s = series_in(m, k);
    if (!s)
        return false;
    const sample_chunk *c = s->last;
    const sample *newest = c && c->count ? &c->samples[c->count - 1] : NULL;
    const histogram *before =
        newest && value_is_histogram(newest->value) ? value_histogram(newest->value) : NULL;
    histogram known = *h;
    if (before && newest->time_ms == time_ms)
        known.hint = before->hint; /* the same again */
    else
        known.hint = histogram_hint_after(newest && newest->time_ms < time_ms ? before : NULL, h);
    /* As in Prometheus a restart is not kept, only that there was none: the sample before may
     * be gone or come late, so queries compare the counts. */
    if (known.hint == HISTOGRAM_RESET)
        known.hint = HISTOGRAM_RESET_UNKNOWN;
    const histogram *kept = keep_histogram(&m->memory, &known, before ? before : &none);
    if (!kept || !add_sample(m, s, time_ms, histogram_boxed(kept)))
        return false;
    s->last->histograms = true;
    return true;
}

/* ---- exemplars ---- */

bool series_exemplar_add(mem_metrics *m, series_key *k, int64_t time_ms, double value,
                         const label *labels, uint32_t count, buf *scratch)
{
    if (k->generation != m->generation)
        return false;
    mem_series *s = k->newest;
    buf_clear(scratch);
    label_key_write(scratch, labels, count);
    if (scratch->failed || scratch->len > EXEMPLAR_LABELS_MAX)
        return false;
    if (!s->exemplars && !(s->exemplars = ARENA_NEW(&m->memory, exemplar_ring)))
        return false;
    return exemplar_ring_add(s->exemplars, &m->memory,
                             &(kept_exemplar){ time_ms, value, buf_view(scratch) });
}

/* ---- label bytes ---- */

void label_key_write(buf *out, const label *labels, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        put_text(out, labels[i].name);
        put_text(out, labels[i].value);
    }
}

str label_key_get(str key, str name)
{
    bytes_reader r = bytes_read(key);
    while (r.at < r.end) {
        str n = get_text(&r), v = get_text(&r);
        if (str_eq(n, name))
            return v;
    }
    return STR_EMPTY;
}

bool label_key_labels(str key, arena *a, const label **ret, uint32_t *ret_count)
{
    uint32_t count = 0;
    for (bytes_reader r = bytes_read(key); r.at < r.end; count++) {
        get_text(&r);
        get_text(&r);
    }
    label *labels = ARENA_ARRAY(a, label, count);
    if (count && !labels)
        return false;
    bytes_reader r = bytes_read(key);
    for (uint32_t i = 0; i < count; i++) {
        labels[i].name = get_text(&r);
        labels[i].value = get_text(&r);
    }
    *ret = labels;
    *ret_count = count;
    return true;
}

int label_key_cmp(str a, str b)
{
    bytes_reader x = bytes_read(a), y = bytes_read(b);
    while (x.at < x.end && y.at < y.end) {
        int c = str_cmp(get_text(&x), get_text(&y));
        if (c == 0)
            c = str_cmp(get_text(&x), get_text(&y));
        if (c != 0)
            return c;
    }
    return (x.at < x.end) - (y.at < y.end);
}
