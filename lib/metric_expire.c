// SPDX-License-Identifier: Apache-2.0
/* Expiry of series; see metric_expire.h. A thread may have read a cell's address just before the
 * cell was taken away: what it adds is found by comparing the cell with what it held then, for long
 * enough that no thread can still be at it. */
#include "lib/metric_expire.h"

#include "lib/metric_exp.h"

#include "base/clock.h"

#include <stdlib.h>

#define RETIRED_KEEP_NS (60 * NS_PER_S)

typedef struct retired {
    struct retired *next;
    metric_series *series; /* whose it was; NULL: free to be taken */
    uint64_t *cell;
    uint64_t offset;
    uint32_t shard;
    uint32_t bytes;
    int64_t since_ns;
    uint64_t held[]; /* the cell's words when it was taken away */
} retired;

static retired *retired_cells;

static uint64_t digest_of(const uint64_t *cell, size_t words, uint64_t h)
{
    for (size_t i = 0; i < words; i++)
        h = (h ^ __atomic_load_n(&cell[i], __ATOMIC_RELAXED)) * UINT64_C(0x9e3779b97f4a7c15);
    return h ^ h >> 29;
}

/* Whether it was updated since the last look. */
static bool has_changed(metric_series *s)
{
    uint64_t digest = 0;
    if (s->metric->kind == RECORDER_GAUGE) {
        uint64_t *cell = atomic_load(&s->cell[1]);
        return cell && (__atomic_fetch_and(&cell[1], ~METRIC_GAUGE_TOUCHED, __ATOMIC_RELAXED) &
                        METRIC_GAUGE_TOUCHED);
    }
    for (uint32_t i = 1; i <= METRIC_SHARDS; i++) {
        uint64_t *cell = atomic_load(&s->cell[i]);
        if (cell)
            digest = digest_of(cell, s->metric->cell_bytes / 8, digest);
    }
    bool changed = digest != s->last_words;
    s->last_words = digest;
    return changed;
}

static void retire_cell(metric_series *s, uint32_t shard, int64_t now_ns)
{
    uint64_t *cell = atomic_load(&s->cell[shard]);
    uint32_t bytes = s->metric->cell_bytes;
    if (!cell)
        return;
    retired *r = calloc(1, sizeof(*r) + bytes);
    if (!r)
        return; /* it stays where it is, and goes on from its value */
    *r = (retired){ .next = retired_cells, .series = s, .cell = cell, .shard = shard };
    r->bytes = bytes;
    r->since_ns = now_ns;
    r->offset = (uint64_t)s->row->cells[shard - 1] * RECORDER_CELL_UNIT;
    atomic_store_explicit(&s->cell[shard], NULL, memory_order_release);
    __atomic_store_n(&s->row->cells[shard - 1], 0, __ATOMIC_RELEASE);
    memcpy(r->held, cell, bytes);
    retired_cells = r;
}

static bool is_counted(const metric_series *s)
{
    return !s->overflow && s->metric->label_count > 0;
}

static void expire(metric_series *s, int64_t now_ns)
{
    s->expired = true;
    __atomic_or_fetch(&s->row->flags, RECORDER_SERIES_EXPIRED, __ATOMIC_RELEASE);
    for (uint32_t i = 1; i <= METRIC_SHARDS; i++)
        retire_cell(s, i, now_ns);
    if (is_counted(s))
        atomic_fetch_sub(&s->metric->series_count, 1);
}

void metric_expire(metric *m, int64_t now_ns)
{
    if (m->expire_ns == 0)
        return;
    for (metric_series *s = m->series; s; s = s->next) {
        if (s->expired || !s->row)
            continue;
        if (has_changed(s) || s->changed_ns == 0)
            s->changed_ns = now_ns;
        else if (now_ns - s->changed_ns >= m->expire_ns)
            expire(s, now_ns);
    }
}

void metric_revive(metric_series *s)
{
    s->expired = false;
    s->changed_ns = 0;
    s->last_words = 0;
    s->start_ns = clock_now_ns();
    if (s->row) {
        __atomic_store_n(&s->row->start_ns, s->start_ns, __ATOMIC_RELAXED);
        __atomic_and_fetch(&s->row->flags, ~RECORDER_SERIES_EXPIRED, __ATOMIC_RELEASE);
    }
    if (is_counted(s))
        atomic_fetch_add(&s->metric->series_count, 1);
}

/* ---- cells that were taken away ---- */

static void move_late(retired *r)
{
    metric_series *s = r->series;
    const metric *m = s->metric;
    bool gauge = m->kind == RECORDER_GAUGE;
    uint64_t *to = metric_cell_in(s, gauge ? 1 : METRIC_FOLD_SHARD);
    if (!to)
        return;
    if (gauge)
        memcpy(to, r->cell, r->bytes);
    else if (m->kind != RECORDER_EXPONENTIAL)
        metric_add_words(to, m, r->cell, r->held, r->bytes / 8);
    memcpy(r->held, r->cell, r->bytes);
}

void metric_expire_late(int64_t now_ns)
{
    for (retired *r = retired_cells; r; r = r->next) {
        if (!r->series)
            continue;
        if (memcmp(r->held, r->cell, r->bytes) != 0)
            move_late(r);
        if (now_ns - r->since_ns < RETIRED_KEEP_NS)
            continue;
        memset(r->cell, 0, r->bytes);
        r->series = NULL;
    }
}

uint64_t *metric_retired_take(uint32_t shard, size_t bytes, uint64_t *ret_offset)
{
    for (retired **at = &retired_cells; *at; at = &(*at)->next) {
        retired *r = *at;
        if (r->series || r->shard != shard || r->bytes != bytes)
            continue;
        uint64_t *cell = r->cell;
        *ret_offset = r->offset;
        *at = r->next;
        free(r);
        return cell;
    }
    return NULL;
}

void metric_retired_forget(void)
{
    while (retired_cells) {
        retired *r = retired_cells;
        retired_cells = r->next;
        free(r);
    }
}
