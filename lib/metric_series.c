// SPDX-License-Identifier: Apache-2.0
/* Series: found by their label values in a hash table that readers walk without a lock, made under
 * the registry's lock, and given cells as threads come to touch them. */
#include "lib/metric.h"

#include "lib/metric_exp.h"
#include "lib/metric_expire.h"
#include "lib/metric_shard.h"

#include "base/clock.h"

#include <stdlib.h>
#include <string.h>

/* Grows by copying; readers of the old one miss at most what they then find under the lock. Old
 * tables are kept: together they are smaller than the newest. */
struct metric_table {
    metric_table *older;
    uint32_t mask;
    metric_series *_Atomic slots[];
};

/* A cell in private memory: what was counted while no recorder was open. `folded` is what has been
 * added to a recorder already; a thread that still held the address may add more. */
typedef struct private_cell {
    struct private_cell *next;
    metric_series *series;
    uint32_t words;
    uint32_t shard;
    uint64_t *cell;
    uint64_t folded[];
} private_cell;

/* Space for small cells of one shard, so that no two threads' cells share a cache line. */
typedef struct {
    char *at;
    size_t left;
    uint64_t offset;
} slab;
#define SLAB_BYTES 1024u

/* All under the registry's lock. */
static private_cell *private_cells;
static slab slabs[METRIC_SHARDS + 1];

/* ---- finding ---- */

static inline uint64_t load_u64(const char *p)
{
    uint64_t v;
    memcpy(&v, p, sizeof(v));
    return v;
}

static inline uint64_t load_u32(const char *p)
{
    uint32_t v;
    memcpy(&v, p, sizeof(v));
    return v;
}

static inline uint64_t fold(uint64_t a, uint64_t b)
{
    __uint128_t product = (__uint128_t)a * b;
    return (uint64_t)product ^ (uint64_t)(product >> 64);
}

/* wyhash's construction: overlapping loads for the ends, one multiplication for 16 bytes. */
static inline uint64_t hash_more(uint64_t h, const char *p, size_t n)
{
    const uint64_t k0 = UINT64_C(0xa0761d6478bd642f), k1 = UINT64_C(0xe7037ed1a0b428db);
    uint64_t a, b;
    size_t left = n;
    for (; left > 16; p += 16, left -= 16)
        h = fold(load_u64(p) ^ k1, load_u64(p + 8) ^ h);
    if (left >= 8) {
        a = load_u64(p);
        b = load_u64(p + left - 8);
    } else if (left >= 4) {
        a = load_u32(p);
        b = load_u32(p + left - 4);
    } else if (left > 0) {
        a = (uint64_t)(uint8_t)p[0] << 16 | (uint64_t)(uint8_t)p[left >> 1] << 8 |
            (uint8_t)p[left - 1];
        b = 0;
    } else {
        a = b = 0;
    }
    return fold(a ^ k1 ^ n, b ^ h ^ k0);
}

static inline size_t label_length(const char *text)
{
    return text ? strnlen(text, RECORDER_METRIC_VALUE_MAX) : 0;
}

static inline bool same_labels(const metric_series *s, const char *const *labels,
                               const uint16_t *lengths, size_t count)
{
    const char *at = s->text;
    for (size_t i = 0; i < count; i++) {
        uint16_t n;
        memcpy(&n, at, sizeof(n));
        if (n != lengths[i] || (n > 0 && memcmp(at + 2, labels[i], n) != 0))
            return false;
        at += 2 + n;
    }
    return true;
}

static inline metric_series *find(const metric_table *t, uint64_t hash, const char *const *labels,
                                  const uint16_t *lengths, size_t count)
{
    if (!t)
        return NULL;
    for (uint32_t i = (uint32_t)hash & t->mask;; i = (i + 1) & t->mask) {
        metric_series *s = atomic_load_explicit(&t->slots[i], memory_order_acquire);
        if (!s)
            return NULL;
        if (s->hash == hash && same_labels(s, labels, lengths, count))
            return s;
    }
}

/* ---- making ---- */

static void table_put(metric_table *t, metric_series *s)
{
    uint32_t i = (uint32_t)s->hash & t->mask;
    while (atomic_load_explicit(&t->slots[i], memory_order_relaxed))
        i = (i + 1) & t->mask;
    atomic_store_explicit(&t->slots[i], s, memory_order_release);
}

/* Room for one more at a load of at most one half. */
static metric_table *table_reserve(metric *m)
{
    metric_table *old = atomic_load_explicit(&m->table, memory_order_relaxed);
    uint32_t count = atomic_load_explicit(&m->row_count, memory_order_relaxed);
    if (old && 2 * (count + 1) <= old->mask + 1)
        return old;
    uint32_t slots = old ? 2 * (old->mask + 1) : 16;
    metric_table *t = calloc(1, sizeof(*t) + slots * sizeof(t->slots[0]));
    if (!t)
        return NULL;
    t->mask = slots - 1;
    t->older = old;
    for (uint32_t i = 0; old && i <= old->mask; i++) {
        metric_series *s = atomic_load_explicit(&old->slots[i], memory_order_relaxed);
        if (s)
            table_put(t, s);
    }
    atomic_store_explicit(&m->table, t, memory_order_release);
    return t;
}

static void write_row(metric *m, metric_series *s)
{
    if (!m->row || s->row)
        return;
    uint64_t offset;
    recorder_series_row *row = metric_area_alloc(sizeof(*row) + s->text_bytes, &offset);
    if (!row)
        return;
    row->magic = RECORDER_SERIES_MAGIC;
    row->flags =
        (s->overflow ? RECORDER_SERIES_OVERFLOW : 0) | (s->expired ? RECORDER_SERIES_EXPIRED : 0);
    row->start_ns = s->start_ns;
    row->text_bytes = s->text_bytes;
    memcpy(row + 1, s->text, s->text_bytes);
    row->next = m->row->series;
    s->row = row;
    __atomic_store_n(&m->row->series, offset, __ATOMIC_RELEASE);
}

/* A new series, in the metric's list but not in its table. Registry locked. */
static metric_series *series_new(metric *m, uint64_t hash, const char *const *labels,
                                 const uint16_t *lengths, size_t count, bool overflow)
{
    size_t text = 0;
    for (size_t i = 0; i < count; i++)
        text += 2 + (size_t)lengths[i];
    size_t bytes = (sizeof(metric_series) + text + 63) & ~(size_t)63;
    metric_series *s = aligned_alloc(64, bytes);
    if (!s)
        return NULL;
    memset(s, 0, bytes);
    s->metric = m;
    s->bounds = m->bounds;
    s->bounds_padded = m->kind == RECORDER_EXPONENTIAL ? m->bound_count : m->bounds_padded;
    s->falls = m->kind == RECORDER_UPDOWN;
    s->overflow = overflow;
    s->hash = hash;
    s->start_ns = clock_now_ns();
    char *at = s->text;
    for (size_t i = 0; i < count; i++) {
        memcpy(at, &lengths[i], 2);
        if (lengths[i] > 0)
            memcpy(at + 2, labels[i], lengths[i]);
        at += 2 + lengths[i];
    }
    s->text_bytes = (uint32_t)text;
    s->next = m->series;
    m->series = s;
    write_row(m, s);
    return s;
}

metric_series *metric_series_only(metric *m)
{
    metric_series *s = atomic_load(&m->only);
    if (!s) {
        s = series_new(m, 0, NULL, NULL, 0, false);
        atomic_store(&m->only, s);
    }
    return s;
}

static metric_series *overflow_series(metric *m)
{
    metric_series *s = atomic_load_explicit(&m->overflow, memory_order_acquire);
    metric_count_dropped(METRIC_DROP_SERIES);
    if (s || !metric_lock())
        return s;
    s = atomic_load(&m->overflow);
    if (!s) {
        s = series_new(m, 0, NULL, NULL, 0, true);
        atomic_store_explicit(&m->overflow, s, memory_order_release);
    }
    metric_unlock();
    return s;
}

/* Expired series make room for others, but not for ever: their labels are kept. */
static bool is_full(const metric *m)
{
    static const uint32_t rows_for_one = 8;
    return atomic_load_explicit(&m->series_count, memory_order_relaxed) >= m->series_limit ||
           atomic_load_explicit(&m->row_count, memory_order_relaxed) / rows_for_one >=
               m->series_limit;
}

static metric_series *make(metric *m, uint64_t hash, const char *const *labels,
                           const uint16_t *lengths, size_t count)
{
    if (!metric_lock()) {
        metric_count_dropped(METRIC_DROP_FULL);
        return NULL;
    }
    metric_series *s = find(atomic_load(&m->table), hash, labels, lengths, count);
    if (!s && !is_full(m)) {
        metric_table *t = table_reserve(m);
        s = t ? series_new(m, hash, labels, lengths, count, false) : NULL;
        if (s) {
            table_put(t, s);
            atomic_fetch_add(&m->series_count, 1);
            atomic_fetch_add(&m->row_count, 1);
        } else {
            metric_count_dropped(METRIC_DROP_FULL);
        }
    }
    metric_unlock();
    return s;
}

/* What a thread found last, by the addresses of metric and labels: those of literals are the same
 * at each call. They only choose the place; whether it is the series is told by the texts. */
enum { RECENT = 16 };
static _Thread_local metric_series *recent[RECENT] __attribute__((tls_model("initial-exec")));

static inline metric_series **recent_place(const metric *m, const char *const *labels, size_t count)
{
    uint64_t h = (uintptr_t)m;
    for (size_t i = 0; i < count; i++)
        h = (h ^ (uintptr_t)labels[i]) * UINT64_C(0x9e3779b97f4a7c15);
    return &recent[h >> 60];
}

/* As same_labels, without asking for the labels' lengths first. */
static inline bool has_labels(const metric_series *s, const char *const *labels, size_t count)
{
    const char *at = s->text;
    for (size_t i = 0; i < count; i++) {
        uint16_t n;
        memcpy(&n, at, sizeof(n));
        if (UNLIKELY(!labels[i]) || strncmp(labels[i], at + 2, n) != 0 ||
            (n < RECORDER_METRIC_VALUE_MAX && labels[i][n]))
            return false;
        at += 2 + n;
    }
    return true;
}

static metric_series *lookup(metric *m, const char *const *labels, size_t count)
{
    uint16_t lengths[RECORDER_METRIC_LABELS_MAX];
    uint64_t hash = 0;
    for (size_t i = 0; i < count; i++) {
        lengths[i] = (uint16_t)label_length(labels[i]);
        hash = hash_more(hash, labels[i], lengths[i]);
    }
    metric_series *s =
        find(atomic_load_explicit(&m->table, memory_order_acquire), hash, labels, lengths, count);
    if (LIKELY(s))
        return s;
    if (is_full(m))
        return overflow_series(m);
    s = make(m, hash, labels, lengths, count);
    return s || !is_full(m) ? s : overflow_series(m);
}

metric_series *metric_lookup(metric *m, const char *const *labels, size_t count)
{
    if (UNLIKELY(!m))
        return NULL;
    if (UNLIKELY(count != m->label_count)) {
        metric_count_dropped(METRIC_DROP_INVALID);
        return NULL;
    }
    if (count == 0)
        return atomic_load_explicit(&m->only, memory_order_acquire);
    metric_series **place = recent_place(m, labels, count), *s = *place;
    if (LIKELY(s && s->metric == m && has_labels(s, labels, count)))
        return s;
    s = lookup(m, labels, count);
    if (s && !s->overflow)
        *place = s;
    return s;
}

/* ---- cells ---- */

static uint64_t *slab_alloc(uint32_t shard, size_t bytes, uint64_t *ret_offset)
{
    bytes = (bytes + RECORDER_CELL_UNIT - 1) & ~(size_t)(RECORDER_CELL_UNIT - 1);
    if (bytes > SLAB_BYTES / 4)
        return metric_area_alloc(bytes, ret_offset);
    slab *s = &slabs[shard];
    if (s->left < bytes) {
        s->at = metric_area_alloc(SLAB_BYTES, &s->offset);
        s->left = s->at ? SLAB_BYTES : 0;
        if (!s->at)
            return NULL;
    }
    uint64_t *cell = (uint64_t *)s->at;
    *ret_offset = s->offset;
    s->at += bytes;
    s->offset += bytes;
    s->left -= bytes;
    return cell;
}

static uint64_t *recorded_cell(metric_series *s, uint32_t shard)
{
    write_row(s->metric, s);
    uint64_t offset = 0;
    if (!s->row)
        return NULL;
    uint64_t *cell = metric_retired_take(shard, s->metric->cell_bytes, &offset);
    if (!cell)
        cell = slab_alloc(shard, s->metric->cell_bytes, &offset);
    if (!cell)
        return NULL;
    if (s->metric->kind == RECORDER_EXPONENTIAL)
        ((recorder_exp_cell *)cell)->is_shared = shard > METRIC_OWNED_SHARDS;
    __atomic_store_n(&s->row->cells[shard - 1], (uint32_t)(offset / RECORDER_CELL_UNIT),
                     __ATOMIC_RELEASE);
    return cell;
}

static uint64_t *unrecorded_cell(metric_series *s, uint32_t shard)
{
    uint32_t words = s->metric->cell_bytes / 8;
    size_t bytes = ((size_t)words * 8 + 63) & ~(size_t)63;
    bool exponential = s->metric->kind == RECORDER_EXPONENTIAL;
    private_cell *p = calloc(1, sizeof(*p) + (size_t)words * 8);
    uint64_t *cell = p ? aligned_alloc(64, exponential ? 2 * bytes : bytes) : NULL;
    if (!cell) {
        free(p);
        return NULL;
    }
    memset(cell, 0, exponential ? 2 * bytes : bytes);
    if (exponential) {
        ((recorder_exp_cell *)cell)->is_shared = 1;
        ((recorder_exp_cell *)cell)->negative = (int64_t)bytes; /* the second half */
    }
    p->series = s;
    p->words = words;
    p->shard = shard;
    p->cell = cell;
    p->next = private_cells;
    private_cells = p;
    return cell;
}

uint64_t *metric_cell_in(metric_series *s, uint32_t shard)
{
    uint64_t *cell = atomic_load(&s->cell[shard]);
    if (cell)
        return cell;
    cell = metric_is_attached() ? recorded_cell(s, shard) : unrecorded_cell(s, shard);
    if (!cell) {
        metric_count_dropped(METRIC_DROP_FULL);
        return NULL;
    }
    if (s->expired)
        metric_revive(s);
    atomic_store_explicit(&s->cell[shard], cell, memory_order_release);
    return cell;
}

uint64_t *metric_cell_slow(metric_series *s)
{
    metric_shard_take();
    if (!metric_lock()) {
        metric_count_dropped(METRIC_DROP_FULL);
        return NULL;
    }
    uint32_t shard = s->metric->kind == RECORDER_GAUGE ? 1 : metric_thread_shard;
    uint64_t *cell = metric_cell_in(s, shard);
    metric_unlock();
    return cell;
}

uint64_t *metric_cell_shared(metric_series *s)
{
    if (!metric_lock())
        return NULL;
    uint64_t *cell = metric_cell_in(s, METRIC_FOLD_SHARD);
    metric_unlock();
    return cell;
}

/* ---- recorders come and go ---- */

void metric_series_detach(metric *m)
{
    m->row = NULL;
    metric_retired_forget();
    for (metric_series *s = m->series; s; s = s->next) {
        s->row = NULL;
        s->changed_ns = 0;
        for (uint32_t i = 0; i <= METRIC_SHARDS; i++)
            atomic_store_explicit(&s->cell[i], NULL, memory_order_release);
        atomic_store_explicit(&s->exemplars, NULL, memory_order_release);
    }
    memset(slabs, 0, sizeof(slabs));
}

void metric_series_attach(metric *m, int64_t start_ns)
{
    /* The list is from new to old and so are the rows' links: written in reverse, a reader sees the
     * order of making. Series are few at a start, so the list is turned over in place, twice. */
    metric_series *turned = NULL;
    for (metric_series *s = m->series, *next; s; s = next) {
        next = s->next;
        s->next = turned;
        turned = s;
    }
    m->series = NULL;
    for (metric_series *s = turned, *next; s; s = next) {
        next = s->next;
        if (start_ns != 0)
            s->start_ns = start_ns;
        write_row(m, s);
        s->next = m->series;
        m->series = s;
    }
}

static double f64_of(uint64_t bits)
{
    double v;
    memcpy(&v, &bits, sizeof(v));
    return v;
}

void metric_add_words(uint64_t *cell, const metric *m, const uint64_t *now, const uint64_t *folded,
                      uint32_t words)
{
    uint32_t f64_word = m->kind == RECORDER_HISTOGRAM ? 0 : 1;
    for (uint32_t i = 0; i < words; i++) {
        if (i != f64_word) {
            __atomic_fetch_add(&cell[i], now[i] - folded[i], __ATOMIC_RELAXED);
            continue;
        }
        double more = f64_of(now[i]) - f64_of(folded[i]);
        uint64_t old = __atomic_load_n(&cell[i], __ATOMIC_RELAXED), sum;
        do {
            double v = f64_of(old) + more;
            memcpy(&sum, &v, sizeof(sum));
        } while (!__atomic_compare_exchange_n(&cell[i], &old, sum, true, __ATOMIC_RELAXED,
                                              __ATOMIC_RELAXED));
    }
}

/* What was counted in a private cell since it was last folded goes to the recorder. */
static void fold_one(private_cell *p)
{
    const metric *m = p->series->metric;
    uint64_t now[2 + RECORDER_METRIC_BOUNDS_MAX];
    for (uint32_t i = 0; i < p->words; i++)
        now[i] = __atomic_load_n(&p->cell[i], __ATOMIC_RELAXED);
    if (memcmp(now, p->folded, (size_t)p->words * 8) == 0)
        return;
    uint64_t *cell = metric_cell_in(p->series, m->kind == RECORDER_GAUGE ? 1 : METRIC_FOLD_SHARD);
    if (!cell)
        return;
    if (m->kind == RECORDER_GAUGE)
        for (uint32_t i = 0; i < p->words; i++)
            __atomic_store_n(&cell[i], now[i], __ATOMIC_RELAXED);
    else
        metric_add_words(cell, m, now, p->folded, p->words);
    memcpy(p->folded, now, (size_t)p->words * 8);
}

static void fold_exponential(private_cell *p)
{
    recorder_exp_cell *from = (recorder_exp_cell *)p->cell;
    uint64_t *to = NULL;
    if (metric_exp_is_used(from))
        to = metric_cell_in(p->series, METRIC_FOLD_SHARD);
    if (to)
        metric_exp_move((recorder_exp_cell *)to, from, p->series->metric);
}

void metric_fold(void)
{
    if (!metric_is_attached())
        return;
    for (private_cell *p = private_cells; p; p = p->next) {
        if (p->series->metric->kind == RECORDER_EXPONENTIAL)
            fold_exponential(p);
        else
            fold_one(p);
    }
}

void metric_fold_forget(void)
{
    for (private_cell *p = private_cells; p; p = p->next) {
        const metric *m = p->series->metric;
        if (m->kind == RECORDER_EXPONENTIAL) {
            metric_exp_clear((recorder_exp_cell *)p->cell, m->bound_count);
            ((recorder_exp_cell *)p->cell)->lock = 0; /* its holder stayed in the parent */
        } else {
            for (uint32_t i = 0; i < p->words; i++)
                p->folded[i] = __atomic_load_n(&p->cell[i], __ATOMIC_RELAXED);
        }
    }
}
