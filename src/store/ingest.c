// SPDX-License-Identifier: Apache-2.0
/* From a batch to durable and visible rows. A sender prepares its rows, waits in the intake log's
 * group commit, and adds them to the part in memory that the commit named. */
#include "store/series_before.h"

#include "base/clock.h"
#include "codec/batch_rows.h"
#include "codec/otlp.h"

#include <stdio.h>
#include <stdlib.h>

/* Unsealed rows may take this many times the memory limit before senders are told to wait. */
enum { MEMORY_SLACK = 4 };

/* ---- rows that are refused ---- */

typedef struct {
    uint8_t *skip; /* NULL until the first refusal */
    uint32_t refused;
} refusals;

static status refuse_row(refusals *r, uint32_t i, uint32_t count, error *err)
{
    if (!r->skip && !(r->skip = calloc(count, 1)))
        return fail(err, STATUS_NO_MEMORY, "no memory for a batch of %u rows", count);
    r->skip[i] = 1;
    r->refused++;
    return STATUS_OK;
}

static void reason_old(ingest_result *ret, int64_t time_ns, int64_t retention_ns)
{
    buf text;
    buf_init(&text, 200);
    buf_lit(&text, "older than the retention of ");
    clock_format_duration(&text, retention_ns);
    buf_lit(&text, ": ");
    clock_format_rfc3339(&text, time_ns, 3);
    str_copy_c(ret->reason, sizeof(ret->reason), buf_view(&text));
    buf_done(&text);
}

/* The time by which a row is kept; `now` where it gets the time of arrival. */
static int64_t row_time(const batch *b, uint32_t i, int64_t now)
{
    if (b->signal == SIGNAL_TRACES)
        return b->spans.start_ns[i];
    int64_t t = b->signal == SIGNAL_LOGS ? b->logs.time_ns[i] : b->points.time_ns[i];
    if (t == 0 && b->signal == SIGNAL_LOGS)
        t = b->logs.observed_ns[i];
    return t ? t : now;
}

static status find_refusals(const store *s, const batch *b, refusals *r, ingest_result *ret,
                            error *err)
{
    uint32_t count = batch_row_count(b);
    int64_t now = clock_now_ns();
    int64_t oldest = s->options.retention_ns ? now - s->options.retention_ns : INT64_MIN;
    bool metrics = b->signal == SIGNAL_METRICS;
    buf name;
    buf_init(&name, KiB(64));
    uint32_t checked = UINT32_MAX;
    bool usable = true;
    status st = STATUS_OK;
    for (uint32_t i = 0; i < count && st == STATUS_OK; i++) {
        int64_t time_ns = row_time(b, i, now);
        bool old = time_ns < oldest;
        if (metrics && b->points.metric[i] != checked) {
            checked = b->points.metric[i];
            usable = series_point_acceptable(b, checked, &name);
        }
        if (!old && usable)
            continue;
        if (r->refused == 0 && old)
            reason_old(ret, time_ns, s->options.retention_ns);
        else if (r->refused == 0)
            snprintf(ret->reason, sizeof(ret->reason),
                     "metric %u has no type, or no letter or digit in its name", checked);
        st = refuse_row(r, i, count, err);
    }
    buf_done(&name);
    return st;
}

/* ---- applying ---- */

/* Takes second copies out of a chunk that nobody else sees yet; the caller holds s->lock. */
static uint32_t drop_duplicates(store *s, row_chunk *c)
{
    uint32_t kept = 0;
    for (uint32_t i = 0; i < c->count; i++) {
        record_id id;
        if (row_record_id(&c->rows[i], &id) && dedup_seen(&s->seen, id.ring, id.sequence))
            continue;
        if (kept != i)
            c->rows[kept] = c->rows[i];
        kept++;
    }
    uint32_t dropped = c->count - kept;
    c->count = kept;
    return dropped;
}

static void apply_rows(store *s, mem_part *m, signal_kind signal, row_chunk *c)
{
    pthread_mutex_lock(&s->lock);
    uint32_t dropped = drop_duplicates(s, c);
    s->stats.duplicates[signal] += dropped;
    s->stats.ingested[signal] += c->count;
    if (c->count)
        mem_part_add_chunk(m, signal, c);
    pthread_mutex_unlock(&s->lock);
    if (!c->count)
        row_chunk_free(c);
}

/* The oldest time of a batch of points, as their samples have it or a millisecond earlier. */
static int64_t oldest_ms(const batch *b, int64_t received_ns)
{
    int64_t oldest = received_ns;
    for (uint32_t i = 0; i < b->points.count; i++) {
        if (b->points.time_ns[i])
            oldest = MIN(oldest, b->points.time_ns[i]);
    }
    return oldest / NS_PER_MS - 1;
}

status store_apply(store *s, mem_part *m, const batch *b, const uint8_t *skip, row_chunk *chunk,
                   int64_t received_ns, ingest_result *result, error *err)
{
    if (b->signal != SIGNAL_METRICS) {
        apply_rows(s, m, b->signal, chunk);
        return STATUS_OK;
    }
    uint64_t samples;
    uint32_t refused;
    char reason[200] = "";
    series_before before;
    bool deltas = series_has_deltas(b);
    status st = deltas ? series_before_take(s, oldest_ms(b, received_ns), &before, err) : STATUS_OK;
    if (st != STATUS_OK)
        return st;
    if (!deltas)
        pthread_mutex_lock(&s->metrics_lock);
    st = series_append(&s->series, &m->metrics, b, skip, deltas ? &before : NULL, received_ns,
                       &samples, &refused, reason, sizeof(reason), err);
    atomic_store(&s->metrics_bytes, m->metrics.memory.used);
    pthread_mutex_unlock(&s->metrics_lock);
    if (deltas)
        series_before_give(&before);
    changes_note(&s->changes, oldest_ms(b, received_ns));
    if (st != STATUS_OK)
        return st;
    if (refused && !result->rejected)
        str_copy_c(result->reason, sizeof(result->reason), str_c(reason));
    result->rejected += refused;
    pthread_mutex_lock(&s->lock);
    s->stats.ingested[SIGNAL_METRICS] += samples;
    pthread_mutex_unlock(&s->lock);
    return STATUS_OK;
}

/* ---- ingest ---- */

static void wake_watchers(store *s, const batch *b)
{
    if (b->signal != SIGNAL_LOGS || atomic_load(&s->watcher_count) == 0)
        return;
    pthread_mutex_lock(&s->watch_lock);
    for (int i = 0; i < WATCHERS_MAX; i++) {
        if (s->watchers[i].handle)
            s->watchers[i].wake(s->watchers[i].user, b);
    }
    pthread_mutex_unlock(&s->watch_lock);
}

static status check_memory(store *s, error *err)
{
    pthread_mutex_lock(&s->lock);
    size_t bytes = atomic_load(&s->metrics_bytes);
    for (uint32_t i = 0; i < s->mem_count; i++) {
        bytes += s->mems[i]->chunk_bytes;
        if (i + 1 < s->mem_count)
            bytes += s->mems[i]->metrics.memory.used;
    }
    error trouble = s->seal_trouble;
    pthread_mutex_unlock(&s->lock);
    if (bytes <= s->options.memory_limit * MEMORY_SLACK)
        return STATUS_OK;
    if (trouble.code == STATUS_FULL)
        return fail(err, STATUS_FULL, "rows in memory cannot be sealed: %s", trouble.message);
    return fail(err, STATUS_BUSY, "%zu bytes of rows wait to be sealed%s%s; try again later", bytes,
                trouble.code ? ": " : "", trouble.code ? trouble.message : "");
}

static void applied(store *s, mem_part *m)
{
    pthread_mutex_lock(&s->lock);
    if (--m->pending == 0)
        pthread_cond_broadcast(&s->changed);
    pthread_mutex_unlock(&s->lock);
}

/* ---- what the store keeps ---- */

static const store_router *router_of(const store *s, const store_sender *from)
{
    if (from->origin == 0)
        return NULL;
    return from->router ? from->router : s->options.router;
}

status store_route(store *s, const store_sender *from, const batch *b, store_routed *ret,
                   error *err)
{
    *ret = (store_routed){ .batches = { b }, .count = 1 };
    const store_router *r = router_of(s, from);
    if (!r)
        return STATUS_OK;
    *ret = (store_routed){ 0 };
    return r->route(r->user, from->origin, b, ret, err);
}

void store_release(store *s, const store_sender *from, store_routed *r)
{
    const store_router *router = router_of(s, from);
    if (router)
        router->release(router->user, r);
}

typedef struct {
    row_chunk *chunks[STORE_ROUTED_MAX];
} routed_rows;

static status build_chunks(const store_routed *kept, routed_rows *ret, int64_t received_ns,
                           error *err)
{
    status st = STATUS_OK;
    for (uint32_t i = 0; i < kept->count && st == STATUS_OK; i++)
        if (kept->batches[i]->signal != SIGNAL_METRICS)
            st = row_chunk_build(&ret->chunks[i], kept->batches[i], NULL, received_ns, err);
    return st;
}

static status apply_kept(store *s, mem_part *m, const store_routed *kept, routed_rows *rows,
                         int64_t received_ns, ingest_result *ret, error *err)
{
    status st = STATUS_OK;
    for (uint32_t i = 0; i < kept->count && st == STATUS_OK; i++) {
        row_chunk *chunk = rows->chunks[i];
        rows->chunks[i] = NULL;
        st = store_apply(s, m, kept->batches[i], NULL, chunk, received_ns, ret, err);
        if (st == STATUS_OK)
            wake_watchers(s, kept->batches[i]);
    }
    return st;
}

/* `b` holds accepted rows only. */
static status make_durable(store *s, const store_sender *from, const batch *b,
                           const store_routed *kept, str encoded, ingest_result *ret, error *err)
{
    intake_entry e = { .signal = b->signal,
                       .origin = from->origin,
                       .inner = from->inner,
                       .received_ns = clock_now_ns(),
                       .payload = encoded };
    routed_rows rows = { 0 };
    buf own;
    buf_init(&own, INTAKE_PAYLOAD_MAX);
    status st = encoded.len ? STATUS_OK : otlp_encode_own(b, &own, err);
    if (st == STATUS_OK)
        st = build_chunks(kept, &rows, e.received_ns, err);
    if (st == STATUS_OK) {
        if (!encoded.len)
            e.payload = buf_view(&own);
        st = intake_append(s->intake, &e, err);
    }
    if (st == STATUS_OK) {
        mem_part *m = e.target;
        st = apply_kept(s, m, kept, &rows, e.received_ns, ret, err);
        applied(s, m);
    }
    for (uint32_t i = 0; i < ARRAY_LEN(rows.chunks); i++)
        row_chunk_free(rows.chunks[i]);
    buf_done(&own);
    return st;
}

/* The same for the rows that were not refused. */
static status make_rest_durable(store *s, const store_sender *from, const batch *b,
                                const refusals *refused, ingest_result *ret, error *err)
{
    batch accepted;
    store_routed kept;
    batch_init(&accepted, b->signal, 0); /* no larger than b */
    status st = batch_append_rows(&accepted, b, refused->skip)
                    ? store_route(s, from, &accepted, &kept, err)
                    : fail(err, STATUS_NO_MEMORY, "no memory for the rows that are not refused");
    if (st == STATUS_OK) {
        st = make_durable(s, from, &accepted, &kept, STR_EMPTY, ret, err);
        store_release(s, from, &kept);
    }
    batch_done(&accepted);
    return st;
}

static void count_rejected(store *s, signal_kind signal, uint32_t n)
{
    if (n == 0)
        return;
    pthread_mutex_lock(&s->lock);
    s->stats.rejected[signal] += n;
    pthread_mutex_unlock(&s->lock);
}

static status ingest_kept(store *s, const store_sender *from, const batch *b,
                          const store_routed *kept, str encoded, ingest_result *ret, error *err)
{
    ingest_result result = { 0 };
    refusals refused = { 0 };
    uint32_t count = batch_row_count(b);
    status st = kept->count ? check_memory(s, err) : STATUS_OK;
    if (st == STATUS_OK && kept->count)
        st = find_refusals(s, b, &refused, &result, err);
    result.rejected = refused.refused;
    if (st == STATUS_OK && refused.refused && refused.refused < count)
        st = make_rest_durable(s, from, b, &refused, &result, err);
    else if (st == STATUS_OK && refused.refused < count)
        st = make_durable(s, from, b, kept, encoded, &result, err);
    free(refused.skip);
    if (st != STATUS_OK)
        return st;
    /* Rows that a connector made of these, or two ways to the store, may be refused as well. */
    result.rejected = MIN(result.rejected, count);
    count_rejected(s, b->signal, result.rejected);
    result.accepted = count - result.rejected;
    *ret = result;
    return STATUS_OK;
}

status store_ingest_from(store *s, const store_sender *from, const batch *b, str encoded,
                         ingest_result *ret, error *err)
{
    store_routed kept;
    status st = store_route(s, from, b, &kept, err);
    if (st != STATUS_OK)
        return st;
    st = ingest_kept(s, from, b, &kept, encoded, ret, err);
    store_release(s, from, &kept);
    return st;
}

status store_ingest(store *s, const batch *b, str encoded, ingest_result *ret, error *err)
{
    return store_ingest_from(s, &(store_sender){ 0 }, b, encoded, ret, err);
}

status store_ready(store *s, error *err)
{
    status st = check_memory(s, err);
    return st == STATUS_OK ? intake_ready(s->intake, KiB(64), err) : st;
}
