// SPDX-License-Identifier: Apache-2.0
/* Reads the samples of series that were found, by any number of threads, each with a reader of its
 * own. Where a time occurs twice the sample that came in last counts. */
#include "store/series_found.h"

#include <stdlib.h>
#include <xxhash.h>

enum { CONTROL_EVERY = 256, TIMES_KEPT = 64, TIMES_MIN = 512, PARTS_KNOWN = 8 };
enum { HASHED = 64 }; /* bytes of a column of times; those that differ behind them share a place */

/* Times that were decoded; series of one scrape have the same bytes for them. */
typedef struct {
    int_column column; /* in a part's page */
    uint32_t capacity;
    int64_t *times;
} kept_times;

/* Samples being gathered, in order of time when `sorted`. */
typedef struct {
    int64_t *times;
    double *values;
    uint32_t count, capacity;
    bool sorted;
} gathered;

struct series_reader {
    series_found *f;
    gathered out;
    kept_times kept[TIMES_KEPT];
    known_times known[PARTS_KNOWN]; /* by part */
    uint32_t reads;
    arena histograms; /* of the series read last, as far as they come from parts */
};

status series_reader_new(series_reader **ret, series_found *f, error *err)
{
    series_reader *r = calloc(1, sizeof(*r));
    if (!r)
        return fail(err, STATUS_NO_MEMORY, "no memory for a query");
    r->f = f;
    arena_init(&r->histograms, f->s->options.query_memory);
    *ret = r;
    return STATUS_OK;
}

void series_reader_free(series_reader *r)
{
    if (!r)
        return;
    for (int i = 0; i < TIMES_KEPT; i++)
        free(r->kept[i].times);
    arena_done(&r->histograms);
    free(r->out.times);
    free(r->out.values);
    free(r);
}

static status room(gathered *g, uint32_t count, error *err)
{
    if (count <= g->capacity)
        return STATUS_OK;
    uint32_t capacity = MAX(count, MIN(g->capacity, UINT32_MAX / 2) * 2);
    int64_t *times = realloc(g->times, capacity * sizeof(int64_t));
    g->times = times ? times : g->times;
    double *values = realloc(g->values, capacity * sizeof(double));
    g->values = values ? values : g->values;
    if (!times || !values)
        return fail(err, STATUS_NO_MEMORY, "no memory for %u samples of a series", count);
    g->capacity = capacity;
    return STATUS_OK;
}

/* ---- times ---- */

/* The first index whose time is not below t. */
static uint32_t first_at(const int64_t *times, uint32_t count, int64_t t)
{
    uint32_t from = 0, to = count;
    while (from < to) {
        uint32_t middle = from + (to - from) / 2;
        if (times[middle] < t)
            from = middle + 1;
        else
            to = middle;
    }
    return from;
}

/* Index of the first time that is not below t, of times that rise by a fixed step. */
static uint32_t linear_at(const int_column *c, int64_t t)
{
    if (t <= c->first)
        return 0;
    if (c->step <= 0)
        return c->count;
    uint64_t away = (uint64_t)t - (uint64_t)c->first;
    uint64_t at = (away - 1) / (uint64_t)c->step + 1;
    return (uint32_t)MIN(at, (uint64_t)c->count);
}

static bool same_column(const int_column *x, const int_column *y)
{
    size_t size = (size_t)(x->behind - x->groups);
    return x->count == y->count && x->encoding == y->encoding && x->first == y->first &&
           x->step == y->step && size == (size_t)(y->behind - y->groups) &&
           memcmp(x->groups, y->groups, size) == 0;
}

/* All times of a block, decoded or kept from another one; NULL without memory. */
static const int64_t *all_times(series_reader *r, const int_column *c)
{
    size_t size = (size_t)(c->behind - c->groups);
    uint64_t hash = XXH3_64bits(c->groups, MIN(size, (size_t)HASHED)) ^ (uint64_t)c->first;
    kept_times *k = &r->kept[hash % TIMES_KEPT];
    if (k->column.count == c->count &&
        (k->column.groups == c->groups || same_column(&k->column, c)))
        return k->times;
    k->column.count = 0;
    if (k->capacity < c->count) {
        free(k->times);
        k->capacity = MAX(c->count, (uint32_t)TIMES_MIN);
        k->times = malloc(k->capacity * sizeof(int64_t));
        if (!k->times) {
            k->capacity = 0;
            return NULL;
        }
    }
    column_ints_part(c, 0, c->count, k->times);
    k->column = *c;
    return k->times;
}

/* ---- blocks ---- */

/* The part of a block that is in the range: its times, and where its values begin. */
typedef struct {
    const int64_t *times; /* NULL: they are linear */
    uint32_t from, to;
} block_window;

static status find_window(series_reader *r, const series_block_view *v, block_window *ret,
                          error *err)
{
    const int_column *c = &v->times;
    const series_query *q = &r->f->q;
    int64_t behind = q->to_ms == INT64_MAX ? INT64_MAX : q->to_ms + 1;
    *ret = (block_window){ NULL, linear_at(c, q->from_ms), linear_at(c, behind) };
    if (c->linear && !v->times_again)
        return STATUS_OK;
    const int64_t *times = all_times(r, c);
    if (!times)
        return fail(err, STATUS_NO_MEMORY, "no memory for the times of a series");
    if (!c->linear) {
        ret->from = first_at(times, c->count, q->from_ms);
        ret->to = first_at(times, c->count, behind);
    }
    ret->times = times + ret->from;
    return STATUS_OK;
}

/* Appends the block's samples of the range; *ret_times: where they are, when they could stay where
 * they were decoded. */
static status read_block(series_reader *r, const piece *p, const int64_t **ret_times, error *err)
{
    gathered *g = &r->out;
    const part_series *ps = &r->f->parts[p->part]->series;
    series_block_view v;
    block_window w = { 0 };
    status st = part_series_view(ps, p->block, &r->known[p->part % PARTS_KNOWN], &v, err);
    if (st == STATUS_OK)
        st = find_window(r, &v, &w, err);
    if (st != STATUS_OK || w.from >= w.to)
        return st;
    uint32_t n = w.to - w.from;
    st = room(g, g->count + n, err);
    if (st != STATUS_OK)
        return st;
    if (!column_get_doubles_part(&v.values, g->values + g->count, v.count, w.from, w.to))
        return part_damage(ps->part, err, "a block of samples");
    if (ret_times && w.times) {
        *ret_times = w.times;
    } else if (w.times) {
        memcpy(g->times + g->count, w.times, n * sizeof(int64_t));
    } else {
        column_ints_part(&v.times, w.from, w.to, g->times + g->count);
    }
    if (!ret_times && g->count && g->times[g->count] <= g->times[g->count - 1])
        g->sorted = false;
    g->count += n;
    return STATUS_OK;
}

static void keep_sample(gathered *g, const series_query *q, int64_t t, double v)
{
    if (t < q->from_ms || t > q->to_ms)
        return;
    if (g->count && t <= g->times[g->count - 1])
        g->sorted = false;
    g->times[g->count] = t;
    g->values[g->count++] = v;
}

/* As read_block, of a series that has histograms: values hold them until the series is complete. */
static status read_mixed(series_reader *r, const piece *p, error *err)
{
    int64_t times[PART_BLOCK_ROWS];
    double values[PART_BLOCK_ROWS];
    gathered *g = &r->out;
    status st = part_series_read_any(&r->f->parts[p->part]->series, p->block, times, values,
                                     &r->histograms, err);
    if (st == STATUS_OK)
        st = room(g, g->count + p->count, err);
    for (uint32_t i = 0; i < p->count && st == STATUS_OK; i++)
        keep_sample(g, &r->f->q, times[i], values[i]);
    return st;
}

static status histograms_too_large(uint32_t count, error *err)
{
    return fail(err, STATUS_LIMIT, "%u histograms need more memory than the query may use", count);
}

/* The histograms beside their sums. */
static status take_out(series_reader *r, series *ret, error *err)
{
    gathered *g = &r->out;
    const histogram **list = ARENA_ARRAY(&r->histograms, const histogram *, MAX(g->count, 1u));
    if (!list)
        return histograms_too_large(g->count, err);
    for (uint32_t i = 0; i < g->count; i++) {
        if (!value_is_histogram(g->values[i]))
            continue;
        list[i] = value_histogram(g->values[i]);
        if (!g->sorted && list[i]->hint == HISTOGRAM_NO_RESET) {
            /* It follows another sample than when it came. */
            histogram *copy = ARENA_NEW(&r->histograms, histogram);
            if (!copy)
                return histograms_too_large(g->count, err);
            *copy = *list[i];
            copy->hint = HISTOGRAM_RESET_UNKNOWN;
            list[i] = copy;
        }
        g->values[i] = list[i]->sum;
        ret->histograms = list;
    }
    return STATUS_OK;
}

/* ---- memory ---- */

static status read_chunk(series_reader *r, const piece *p, error *err)
{
    const series_query *q = &r->f->q;
    gathered *g = &r->out;
    status st = room(g, g->count + p->count, err);
    for (uint32_t i = 0; i < p->count && st == STATUS_OK; i++)
        keep_sample(g, q, p->chunk->samples[i].time_ms, p->chunk->samples[i].value);
    return st;
}

/* ---- a series ---- */

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

/* Of samples with the same time the last one that came stays. */
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

static status gather(series_reader *r, const found_series *f, series *ret, error *err)
{
    gathered *g = &r->out;
    const int64_t *elsewhere = NULL;
    bool one = f->first && !f->first->next, histograms = false;
    g->count = 0;
    g->sorted = true;
    for (const piece *p = f->first; p; p = p->next)
        histograms |= p->histograms;
    if (histograms)
        arena_clear(&r->histograms);
    for (const piece *p = f->first; p; p = p->next) {
        status st = p->chunk     ? read_chunk(r, p, err)
                    : histograms ? read_mixed(r, p, err)
                                 : read_block(r, p, one ? &elsewhere : NULL, err);
        if (st != STATUS_OK && st != STATUS_CORRUPT)
            return st; /* a damaged block is counted and left out */
    }
    if (!g->sorted) {
        status st = sort_samples(g, err);
        if (st != STATUS_OK)
            return st;
    }
    ret->time_ms = elsewhere ? elsewhere : g->times;
    ret->value = g->values;
    ret->sample_count = g->count;
    return histograms ? take_out(r, ret, err) : STATUS_OK;
}

/* Readers go through series one after the other. */
static void expect(const series_reader *r, uint32_t index)
{
    if (index >= r->f->count)
        return;
    for (const piece *p = r->f->series[index].first; p; p = p->next)
        if (!p->chunk)
            part_series_expect(&r->f->parts[p->part]->series, p->block);
}

status series_read(series_reader *r, uint32_t index, series *ret, error *err)
{
    expect(r, index + 1);
    const series_head *h = &r->f->heads[index];
    *ret = (series){ .labels = h->labels, .label_count = h->label_count, .hash = h->hash };
    status st = r->reads++ % CONTROL_EVERY == 0 ? control_check(r->f->q.control, err) : STATUS_OK;
    return st == STATUS_OK ? gather(r, &r->f->series[index], ret, err) : st;
}

/* ---- everything at once ---- */

static bool copy_histograms(arena *a, series *s)
{
    const histogram **list = ARENA_ARRAY(a, const histogram *, s->sample_count);
    for (uint32_t i = 0; list && i < s->sample_count; i++)
        if (s->histograms[i] && !(list[i] = histogram_copy(a, s->histograms[i])))
            return false;
    s->histograms = list;
    return list != NULL;
}

static status read_into(series_reader *r, uint32_t index, arena *a, series *ret, error *err)
{
    status st = series_read(r, index, ret, err);
    if (st != STATUS_OK || ret->sample_count == 0)
        return st;
    size_t size = ret->sample_count * sizeof(int64_t);
    ret->time_ms = arena_grow(a, ret->time_ms, size, size);
    ret->value = arena_grow(a, ret->value, size, size);
    if (!ret->time_ms || !ret->value || (ret->histograms && !copy_histograms(a, ret)))
        return fail(err, STATUS_LIMIT,
                    "the query needs more memory than it may use; narrow the "
                    "selector or the range");
    return STATUS_OK;
}

status store_series(store *s, const series_query *q, arena *a, series_set *ret, error *err)
{
    series_found *f;
    series_reader *r = NULL;
    status st = store_find(s, q, a, &f, err);
    if (st != STATUS_OK)
        return st;
    series *items = ARENA_ARRAY(a, series, MAX(f->count, 1u));
    if (!items)
        return fail(err, STATUS_LIMIT, "%u series need more memory than the query may use",
                    f->count);
    if (!q->labels_only)
        st = series_reader_new(&r, f, err);
    uint32_t kept = 0;
    for (uint32_t i = 0; i < f->count && st == STATUS_OK; i++) {
        const series_head *h = &f->heads[i];
        items[kept] =
            (series){ .labels = h->labels, .label_count = h->label_count, .hash = h->hash };
        if (r)
            st = read_into(r, i, a, &items[kept], err);
        kept += !r || items[kept].sample_count > 0;
    }
    series_reader_free(r);
    series_found_done(f);
    if (st == STATUS_OK)
        *ret = (series_set){ items, kept };
    return st;
}
