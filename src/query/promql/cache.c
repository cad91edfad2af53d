// SPDX-License-Identifier: Apache-2.0
/* The cache of range queries; see cache.h. An entry is immutable and counted: queries share its
 * labels and numbers until their arena ends. Its key is the query as it is printed, with all that a
 * result depends on; the range's length is in it, so that dashboards of an hour and of a day that
 * ask the same do not take turns. */
#include "query/promql/cache.h"

#include "query/promql/eval.h"

#include "base/clock.h"
#include "base/map.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>

#define LIMIT_DEFAULT  MiB(64)
#define UNSETTLED_MS   (2 * 60 * 1000) /* rows of the last minutes are still coming */
#define RENEW_STEPS    8               /* new steps that are worth another entry */
#define PARTS_OF_LIMIT 8               /* one entry takes at most so much of it */
#define NO_MEMORY      "the result needs more memory than the query may use"
#define FAR_MS         (INT64_MAX / 64) /* times and offsets beyond are not calculated with */

typedef struct entry {
    atomic_uint refs;
    struct entry *older, *newer;
    str key;
    str text; /* of the query, which the places of notes are in */
    uint64_t generation;
    int64_t first_ms, last_ms; /* steps that it has */
    promql_series *series;
    uint32_t count;
    promql_notes notes; /* all that its steps have */
    bool notes_exact;   /* and no other; else later steps may have had some of them */
    arena memory;
} entry;

struct promql_cache {
    pthread_mutex_t lock;
    map entries; /* by key */
    entry *newest, *oldest;
    size_t limit;
    promql_cache_stats stats;
};

/* ---- entries ---- */

static void entry_unref(void *user)
{
    entry *e = user;
    if (atomic_fetch_sub_explicit(&e->refs, 1, memory_order_acq_rel) != 1)
        return;
    arena_done(&e->memory);
    free(e);
}

/* The caller holds the lock, and gives up the cache's reference afterwards. */
static void unlink_entry(promql_cache *c, entry *e)
{
    *(e->newer ? &e->newer->older : &c->newest) = e->older;
    *(e->older ? &e->older->newer : &c->oldest) = e->newer;
    map_remove(&c->entries, e->key);
    c->stats.bytes -= e->memory.used;
    c->stats.entries--;
}

static bool link_newest(promql_cache *c, entry *e)
{
    if (!map_put(&c->entries, e->key, (uint64_t)(uintptr_t)e, NULL))
        return false;
    e->older = c->newest;
    e->newer = NULL;
    *(c->newest ? &c->newest->newer : &c->oldest) = e;
    c->newest = e;
    c->stats.bytes += e->memory.used;
    c->stats.entries++;
    return true;
}

static entry *take(promql_cache *c, str key)
{
    pthread_mutex_lock(&c->lock);
    uint64_t *found = map_get(&c->entries, key);
    entry *e = found ? (entry *)(uintptr_t)*found : NULL;
    if (e) {
        atomic_fetch_add_explicit(&e->refs, 1, memory_order_relaxed);
        unlink_entry(c, e);
        if (!link_newest(c, e)) { /* no memory: it is the query's alone now */
            atomic_fetch_sub_explicit(&e->refs, 1, memory_order_relaxed);
        }
    }
    pthread_mutex_unlock(&c->lock);
    return e;
}

static void drop(promql_cache *c, entry *e)
{
    pthread_mutex_lock(&c->lock);
    uint64_t *found = map_get(&c->entries, e->key);
    bool there = found && *found == (uint64_t)(uintptr_t)e;
    if (there)
        unlink_entry(c, e);
    pthread_mutex_unlock(&c->lock);
    if (there)
        entry_unref(e);
}

/* Takes e over. */
static void put(promql_cache *c, entry *e)
{
    pthread_mutex_lock(&c->lock);
    uint64_t *found = map_get(&c->entries, e->key);
    entry *gone = found ? (entry *)(uintptr_t)*found : NULL, *list = NULL;
    if (gone) {
        unlink_entry(c, gone);
        gone->older = list;
        list = gone;
    }
    while (c->oldest && c->stats.bytes + e->memory.used > c->limit) {
        entry *last = c->oldest;
        unlink_entry(c, last);
        c->stats.evictions++;
        last->older = list;
        list = last;
    }
    if (!link_newest(c, e)) {
        e->older = list;
        list = e;
    }
    pthread_mutex_unlock(&c->lock);
    while (list) {
        entry *next = list->older;
        entry_unref(list);
        list = next;
    }
}

status promql_cache_new(promql_cache **ret, size_t limit, error *err)
{
    promql_cache *c = calloc(1, sizeof(*c));
    if (!c)
        return fail(err, STATUS_NO_MEMORY, "no memory for the cache of query results");
    pthread_mutex_init(&c->lock, NULL);
    map_init(&c->entries);
    c->limit = limit ? limit : LIMIT_DEFAULT;
    *ret = c;
    return STATUS_OK;
}

void promql_cache_free(promql_cache *c)
{
    if (!c)
        return;
    while (c->oldest) {
        entry *e = c->oldest;
        unlink_entry(c, e);
        entry_unref(e);
    }
    map_done(&c->entries);
    pthread_mutex_destroy(&c->lock);
    free(c);
}

void promql_cache_get_stats(promql_cache *c, promql_cache_stats *ret)
{
    pthread_mutex_lock(&c->lock);
    *ret = c->stats;
    pthread_mutex_unlock(&c->lock);
}

/* ---- what may be cached ---- */

/* How far a query looks beyond a step: rows up to MAX(step, fixed_ms) + ahead_ms count. */
typedef struct {
    int64_t fixed_ms, ahead_ms, lookback_ms;
    bool cacheable;
} reach;

static void reach_of_shift(const promql_shift *s, reach *r)
{
    if (s->offset || s->at == AT_START || s->at == AT_END)
        r->cacheable = false;
    if (s->at == AT_TIME)
        r->fixed_ms = MAX(r->fixed_ms, s->at_ms);
    if (s->offset_ms < -FAR_MS || r->ahead_ms > FAR_MS || r->fixed_ms > FAR_MS)
        r->cacheable = false;
    else
        r->ahead_ms += MAX(-s->offset_ms, 0);
}

/* info() chooses series by what it meets in the whole range. */
static bool sees_the_whole_range(const promql_node *call)
{
    return str_is(str_c(call->call.function->name), "info");
}

/* A parameter that changes: that of the range's first step holds beside what does not change, and
 * some warn of the extremes of all steps. */
static bool param_sees_the_whole_range(const promql_aggregate *a)
{
    if (!a->param || a->param->type != PROMQL_SCALAR || promql_same_at_all_steps(a->param))
        return false;
    str name = str_c(a->aggregation->name);
    return str_is(name, "quantile") || str_is(name, "limit_ratio") ||
           promql_same_at_all_steps(a->inner);
}

static void reach_of(const promql_node *n, reach *r)
{
    if (!n || !r->cacheable)
        return;
    switch (n->kind) {
    case NODE_NUMBER:
    case NODE_STRING:
        break;
    case NODE_VECTOR:
    case NODE_MATRIX:
        reach_of_shift(&n->selector.shift, r);
        r->ahead_ms += n->selector.smoothed ? r->lookback_ms : 0;
        break;
    case NODE_SUBQUERY:
        reach_of_shift(&n->subquery.shift, r);
        reach_of(n->subquery.inner, r);
        break;
    case NODE_UNARY:
        reach_of(n->unary.operand, r);
        break;
    case NODE_BINARY:
        reach_of(n->binary.left, r);
        reach_of(n->binary.right, r);
        break;
    case NODE_PAREN:
        reach_of(n->paren, r);
        break;
    case NODE_CALL:
        r->cacheable = !sees_the_whole_range(n);
        for (uint32_t i = 0; i < n->call.arg_count; i++)
            reach_of(n->call.args[i], r);
        break;
    case NODE_AGGREGATE:
        if (param_sees_the_whole_range(&n->aggregate))
            r->cacheable = false;
        reach_of(n->aggregate.param, r);
        reach_of(n->aggregate.inner, r);
        break;
    case NODE_EXTERNAL:
        r->cacheable = false;
        break;
    }
}

static int64_t last_row(const reach *r, int64_t step_ms)
{
    return MAX(step_ms, r->fixed_ms) + r->ahead_ms;
}

/* One range query on its way through the cache. */
typedef struct {
    promql_cache *cache;
    store *store;
    const promql_node *query;
    str text;
    promql_options options;
    int64_t last_ms; /* its last step */
    reach reach;
    str key;
    uint64_t generation;
    arena *a;
    error *err;
} cached_query;

static bool may_be_cached(cached_query *q)
{
    const promql_options *o = &q->options;
    if (!q->cache || o->step_ms < 1 || o->end_ms <= o->start_ms || o->start_ms < -FAR_MS ||
        o->end_ms > FAR_MS)
        return false;
    q->last_ms = o->end_ms - (o->end_ms - o->start_ms) % o->step_ms;
    q->reach = (reach){ .fixed_ms = INT64_MIN / 4,
                        .lookback_ms = o->lookback_ms ? o->lookback_ms : PROMQL_LOOKBACK_MS,
                        .cacheable = true };
    reach_of(q->query, &q->reach);
    if (!q->reach.cacheable)
        return false;
    const promql_node *bound;
    promql_range_bounds bounds = { o->start_ms, o->end_ms, o->step_ms };
    return promql_bind(&bound, q->query, &bounds, q->a, NULL) == STATUS_OK && bound == q->query;
}

/* False without memory. */
static bool make_key(cached_query *q)
{
    const promql_options *o = &q->options;
    int64_t phase = o->start_ms % o->step_ms;
    const int64_t facts[] = { o->step_ms,
                              phase,
                              q->last_ms - o->start_ms,
                              q->reach.lookback_ms,
                              o->default_step_ms,
                              (int64_t)o->features };
    buf key;
    buf_init(&key, MiB(1));
    buf_add(&key, facts, sizeof(facts));
    promql_print(&key, q->query);
    q->key = key.failed ? (str){ NULL, 0 } : arena_str(q->a, buf_view(&key));
    buf_done(&key);
    return q->key.ptr != NULL;
}

/* ---- joining ---- */

/* The points of a series from … to, both inclusive. */
static promql_series cut(const promql_series *s, int64_t from_ms, int64_t to_ms)
{
    promql_series ret = *s;
    uint32_t from = 0, to = s->count;
    while (from < to && s->time_ms[from] < from_ms)
        from++;
    while (to > from && s->time_ms[to - 1] > to_ms)
        to--;
    ret.time_ms += from;
    ret.value += from;
    ret.histograms = s->histograms ? s->histograms + from : NULL;
    ret.count = to - from;
    return ret;
}

static int by_labels(const void *x, const void *y, void *series)
{
    const promql_series *all = series;
    uint32_t a = *(const uint32_t *)x, b = *(const uint32_t *)y;
    int c = labels_cmp(all[a].labels, all[b].labels);
    return c ? c : a < b ? -1 : a > b;
}

/* Series with the same labels, which follow one another in time, as one. */
static bool join_run(arena *a, const promql_series *all, const uint32_t *order, uint32_t n,
                     promql_series *ret)
{
    *ret = all[order[0]];
    if (n == 1)
        return true;
    uint32_t count = 0;
    bool histograms = false;
    for (uint32_t i = 0; i < n; i++) {
        count += all[order[i]].count;
        histograms |= all[order[i]].histograms != NULL;
    }
    int64_t *times = arena_alloc(a, count * sizeof(int64_t));
    double *values = arena_alloc(a, count * sizeof(double));
    const histogram **list = histograms ? ARENA_ARRAY(a, const histogram *, count) : NULL;
    if (!times || !values || (histograms && !list))
        return false;
    uint32_t at = 0;
    for (uint32_t i = 0; i < n; i++) {
        const promql_series *s = &all[order[i]];
        memcpy(times + at, s->time_ms, s->count * sizeof(int64_t));
        memcpy(values + at, s->value, s->count * sizeof(double));
        if (s->histograms)
            memcpy(list + at, s->histograms, s->count * sizeof(void *));
        at += s->count;
    }
    *ret = (promql_series){ ret->labels, times, values, list, count };
    return true;
}

/* Rows of the pieces, which are in order of time, by labels. */
static status join(cached_query *q, const promql_result *pieces, uint32_t count, promql_result *ret)
{
    uint32_t total = 0, n = 0;
    for (uint32_t i = 0; i < count; i++)
        total += pieces[i].count;
    promql_series *all = ARENA_ARRAY(q->a, promql_series, MAX(total, 1u));
    promql_series *rows = ARENA_ARRAY(q->a, promql_series, MAX(total, 1u));
    uint32_t *order = ARENA_ARRAY(q->a, uint32_t, MAX(total, 1u));
    if (!all || !rows || !order)
        return fail(q->err, STATUS_LIMIT, NO_MEMORY);
    for (uint32_t i = 0; i < count; i++) {
        for (uint32_t k = 0; k < pieces[i].count; k++, n++) {
            all[n] = pieces[i].series[k];
            order[n] = n;
        }
    }
    if (n)
        qsort_r(order, n, sizeof(uint32_t), by_labels, all);
    uint32_t kept = 0;
    for (uint32_t i = 0, to; i < n; i = to) {
        for (to = i + 1; to < n && labels_eq(all[order[i]].labels, all[order[to]].labels);)
            to++;
        if (!join_run(q->a, all, order + i, to - i, &rows[kept++]))
            return fail(q->err, STATUS_LIMIT, NO_MEMORY);
    }
    ret->series = rows;
    ret->count = kept;
    return STATUS_OK;
}

/* ---- notes ---- */

/* Whether it is there. *whole: it is, with another place in the query: which one is the last, only
 * the evaluation of all steps tells. */
static bool has_note(const promql_notes *notes, str text, bool *whole)
{
    for (uint32_t i = 0; i < notes->count; i++) {
        if (!promql_same_note(notes->items[i], text))
            continue;
        *whole |= !str_eq(notes->items[i], text);
        return true;
    }
    return false;
}

/* Adds those of `from`. */
static status unite_notes(cached_query *q, promql_notes *notes, const promql_notes *from,
                          bool *whole)
{
    *whole |= from->of_all_steps || from->omitted;
    for (uint32_t i = 0; i < from->count; i++) {
        if (has_note(notes, from->items[i], whole))
            continue;
        if (notes->count == PROMQL_NOTES_KEPT) {
            *whole = true;
            return STATUS_OK;
        }
        if (!notes->items) {
            notes->items = ARENA_ARRAY(q->a, str, PROMQL_NOTES_KEPT);
            notes->warning = ARENA_ARRAY(q->a, bool, PROMQL_NOTES_KEPT);
        }
        if (!notes->items || !notes->warning)
            return fail(q->err, STATUS_LIMIT, NO_MEMORY);
        notes->items[notes->count] = from->items[i];
        notes->warning[notes->count++] = from->warning[i];
    }
    return STATUS_OK;
}

/* The notes of the query: `notes` has those of the steps that were evaluated now. Those of the
 * entry count when all of its steps are wanted; else nobody knows which steps they are of, and it
 * has to have none but the same ones. */
static status add_notes_of_entry(cached_query *q, const entry *e, bool all_of_it,
                                 promql_notes *notes, bool *whole)
{
    if (all_of_it && e->notes_exact)
        return unite_notes(q, notes, &e->notes, whole);
    for (uint32_t i = 0; i < e->notes.count; i++)
        if (!has_note(notes, e->notes.items[i], whole))
            *whole = true;
    return STATUS_OK;
}

/* ---- extending ---- */

/* Steps before or behind those of the entry, and one of its own beside a single one where notes
 * count: what is evaluated for one moment only has no warnings of ranges. */
static status evaluate(cached_query *q, const entry *e, int64_t from_ms, int64_t to_ms,
                       promql_result *ret)
{
    promql_options o = q->options;
    bool one_more = from_ms == to_ms && e->notes.count > 0;
    o.start_ms = from_ms - (one_more && from_ms > e->last_ms ? o.step_ms : 0);
    o.end_ms = to_ms + (one_more && from_ms < e->first_ms ? o.step_ms : 0);
    status st = promql_range_query(q->store, q->query, q->text, &o, q->a, ret, q->err);
    if (st != STATUS_OK || !one_more)
        return st;
    uint32_t n = 0;
    for (uint32_t i = 0; i < ret->count; i++) {
        ret->series[n] = cut(&ret->series[i], from_ms, to_ms);
        n += ret->series[n].count > 0;
    }
    ret->count = n;
    return STATUS_OK;
}

static status from_entry(cached_query *q, const entry *e, int64_t from_ms, int64_t to_ms,
                         promql_result *ret)
{
    *ret = (promql_result){ .type = PROMQL_MATRIX };
    ret->series = ARENA_ARRAY(q->a, promql_series, MAX(e->count, 1u));
    if (!ret->series)
        return fail(q->err, STATUS_LIMIT, NO_MEMORY);
    for (uint32_t i = 0; i < e->count; i++) {
        promql_series s = cut(&e->series[i], from_ms, to_ms);
        if (s.count)
            ret->series[ret->count++] = s;
    }
    return STATUS_OK;
}

/* What the entry has of the query's steps, and what stands before and behind it. *whole: the notes
 * say that the query has to be evaluated at once. *partial: some steps were evaluated. */
static status extend(cached_query *q, const entry *e, promql_result *ret, bool *whole,
                     bool *partial)
{
    int64_t from = MAX(q->options.start_ms, e->first_ms), to = MIN(q->last_ms, e->last_ms);
    int64_t step = q->options.step_ms;
    promql_result pieces[3];
    uint32_t count = 0;
    status st = STATUS_OK;
    if (q->options.start_ms < from)
        st = evaluate(q, e, q->options.start_ms, from - step, &pieces[count++]);
    if (st == STATUS_OK)
        st = from_entry(q, e, from, to, &pieces[count++]);
    if (st == STATUS_OK && to < q->last_ms)
        st = evaluate(q, e, to + step, q->last_ms, &pieces[count++]);
    *ret = (promql_result){ .type = PROMQL_MATRIX };
    for (uint32_t i = 0; i < count && st == STATUS_OK; i++) {
        st = unite_notes(q, &ret->notes, &pieces[i].notes, whole);
        ret->samples += pieces[i].samples;
        ret->read += pieces[i].read;
        ret->touched += pieces[i].touched;
        ret->sort_ns += pieces[i].sort_ns;
    }
    *partial = count > 1;
    bool all_of_it = from == e->first_ms && to == e->last_ms;
    if (st == STATUS_OK && !*whole)
        st = add_notes_of_entry(q, e, all_of_it, &ret->notes, whole);
    promql_sort_notes(&ret->notes);
    return st == STATUS_OK && !*whole ? join(q, pieces, count, ret) : st;
}

/* ---- keeping ---- */

static bool copy_labels(arena *a, labels from, labels *ret)
{
    label *items = ARENA_ARRAY(a, label, MAX(from.count, 1u));
    for (uint32_t i = 0; items && i < from.count; i++) {
        items[i].name = arena_str(a, from.items[i].name);
        items[i].value = arena_str(a, from.items[i].value);
        if (!items[i].name.ptr || !items[i].value.ptr)
            return false;
    }
    *ret = (labels){ items, from.count };
    return items != NULL;
}

/* Steps that have the same histogram share it here as well. */
static bool copy_histograms(entry *e, const promql_series *from, promql_series *to)
{
    const histogram **list = NULL;
    for (uint32_t i = 0; from->histograms && i < from->count; i++) {
        const histogram *h = from->histograms[i];
        if (!h)
            continue;
        if (!list && !(list = ARENA_ARRAY(&e->memory, const histogram *, from->count)))
            return false;
        bool again = i > 0 && h == from->histograms[i - 1];
        list[i] = again ? list[i - 1] : histogram_copy(&e->memory, h);
        if (!list[i])
            return false;
    }
    to->histograms = list;
    return true;
}

static bool copy_notes(entry *e, const promql_notes *from)
{
    promql_notes *to = &e->notes;
    to->items = ARENA_ARRAY(&e->memory, str, MAX(from->count, 1u));
    to->warning = ARENA_ARRAY(&e->memory, bool, MAX(from->count, 1u));
    for (uint32_t i = 0; to->items && to->warning && i < from->count; i++, to->count++) {
        to->items[i] = arena_str(&e->memory, from->items[i]);
        to->warning[i] = from->warning[i];
        if (!to->items[i].ptr)
            return false;
    }
    return to->count == from->count && !from->omitted && !from->of_all_steps;
}

static bool copy_series(entry *e, const promql_series *from)
{
    promql_series s = cut(from, e->first_ms, e->last_ms);
    if (s.count == 0)
        return true;
    promql_series *to = &e->series[e->count];
    size_t size = s.count * sizeof(int64_t);
    *to = (promql_series){ .count = s.count };
    if (!copy_histograms(e, &s, to))
        return false;
    to->time_ms = arena_grow(&e->memory, s.time_ms, size, size);
    to->value = arena_grow(&e->memory, s.value, size, size);
    if (!to->time_ms || !to->value || !copy_labels(&e->memory, s.labels, &to->labels))
        return false;
    e->count++;
    return true;
}

/* The last step whose rows are all there, as far as time tells. */
static int64_t settled(const cached_query *q)
{
    const promql_options *o = &q->options;
    int64_t until = clock_now_ns() / NS_PER_MS - UNSETTLED_MS - q->reach.ahead_ms;
    if (until < o->start_ms || last_row(&q->reach, o->start_ms) > until + q->reach.ahead_ms)
        return o->start_ms - 1;
    until = MIN(until, q->last_ms);
    return until - (until - o->start_ms) % o->step_ms;
}

static void keep(cached_query *q, const promql_result *result, int64_t last_ms)
{
    entry *e = calloc(1, sizeof(*e));
    if (!e)
        return;
    atomic_init(&e->refs, 1);
    arena_init(&e->memory, q->cache->limit / PARTS_OF_LIMIT);
    e->generation = q->generation;
    e->first_ms = q->options.start_ms;
    e->last_ms = last_ms;
    e->key = arena_str(&e->memory, q->key);
    e->text = arena_str(&e->memory, q->text);
    e->series = ARENA_ARRAY(&e->memory, promql_series, MAX(result->count, 1u));
    e->notes_exact = last_ms == q->last_ms;
    bool ok = e->key.ptr && e->text.ptr && e->series && copy_notes(e, &result->notes);
    for (uint32_t i = 0; i < result->count && ok; i++)
        ok = copy_series(e, &result->series[i]);
    if (ok)
        put(q->cache, e);
    else
        entry_unref(e);
}

/* An entry that still holds, referenced; NULL: none. */
static entry *find(cached_query *q)
{
    promql_cache *c = q->cache;
    entry *e = take(c, q->key);
    bool stale = e && store_changed_since(q->store, e->generation, last_row(&q->reach, e->last_ms));
    bool apart = e && (e->first_ms > q->last_ms || e->last_ms < q->options.start_ms ||
                       (e->notes.count && !str_eq(e->text, q->text)));
    if (stale)
        drop(c, e);
    if (stale || apart) {
        entry_unref(e);
        e = NULL;
    }
    if (stale) {
        pthread_mutex_lock(&c->lock);
        c->stats.stale++;
        pthread_mutex_unlock(&c->lock);
    }
    return e;
}

static void count_outcome(promql_cache *c, bool hit, bool partial)
{
    pthread_mutex_lock(&c->lock);
    c->stats.hits += hit;
    c->stats.partial += hit && partial;
    c->stats.misses += !hit;
    pthread_mutex_unlock(&c->lock);
}

status promql_cached_range(promql_cache *c, store *s, const promql_node *query, str text,
                           const promql_options *options, arena *a, promql_result *ret, error *err)
{
    cached_query q = { .cache = c,
                       .store = s,
                       .query = query,
                       .text = text,
                       .options = *options,
                       .a = a,
                       .err = err };
    if (!may_be_cached(&q) || !make_key(&q))
        return promql_range_query(s, query, text, options, a, ret, err);
    q.generation =
        store_generation(s); /* before anything is read, and before the entry is checked */
    entry *e = find(&q);
    if (e && !arena_at_end(a, entry_unref, e)) {
        entry_unref(e);
        e = NULL;
    }
    bool whole = e == NULL, partial = false;
    status st = e ? extend(&q, e, ret, &whole, &partial) : STATUS_OK;
    count_outcome(c, !whole, partial);
    if (st == STATUS_OK && whole)
        st = promql_range_query(s, query, text, options, a, ret, err);
    if (st != STATUS_OK)
        return st;
    int64_t last_ms = settled(&q);
    bool covered = e && !whole && e->first_ms <= options->start_ms;
    if (last_ms > options->start_ms &&
        (!covered || last_ms - e->last_ms >= RENEW_STEPS * options->step_ms))
        keep(&q, ret, last_ms);
    return STATUS_OK;
}
