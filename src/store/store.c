// SPDX-License-Identifier: Apache-2.0
/* Opening and closing the store, snapshots for readers, figures about itself; see store.h. */
#include "store/store_internal.h"

#include "base/clock.h"
#include "base/file.h"
#include "codec/otlp.h"
#include "store/durable.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/file.h>
#include <unistd.h>

#define INTAKE_LIMIT_DEFAULT GiB(1)
#define INTAKE_LIMIT_MIN     MiB(1)
#define MEMORY_LIMIT_DEFAULT MiB(64)
#define SEAL_AFTER_DEFAULT   (60 * NS_PER_S)
#define QUERY_MEMORY_DEFAULT MiB(512)
#define PART_CACHE_DEFAULT   MiB(128)

int64_t day_of_ns(int64_t time_ns)
{
    const int64_t day = 86400 * NS_PER_S;
    return time_ns / day - (time_ns % day < 0);
}

/* ---- snapshots ---- */

static void view_mem(mem_view *v, mem_part *m, signal_kind signal, bool receiving)
{
    mem_part_ref(m);
    *v = (mem_view){ .mem = m, .receiving = receiving };
    if (signal == SIGNAL_METRICS) {
        v->series = m->metrics.series;
        v->series_count = m->metrics.count;
    } else {
        v->first = m->first[signal];
        v->chunk_count = m->chunk_count[signal];
    }
}

status snapshot_take(store *s, signal_kind signal, int64_t from, int64_t to, snapshot *ret,
                     error *err)
{
    snapshot sn = { 0 };
    pthread_mutex_lock(&s->lock);
    sn.parts = calloc(MAX(s->part_count, 1u), sizeof(part *));
    if (!sn.parts) {
        pthread_mutex_unlock(&s->lock);
        return fail(err, STATUS_NO_MEMORY, "no memory for a query");
    }
    for (uint32_t i = 0; i < s->part_count; i++) {
        part *p = s->parts[i];
        if (p->signal == signal && p->min_time <= to && p->max_time >= from) {
            part_ref(p);
            sn.parts[sn.part_count++] = p;
        }
    }
    if (signal == SIGNAL_METRICS)
        pthread_mutex_lock(&s->metrics_lock);
    for (uint32_t i = 0; i < s->mem_count; i++)
        view_mem(&sn.mems[sn.mem_count++], s->mems[i], signal, i + 1 == s->mem_count);
    if (signal == SIGNAL_METRICS)
        pthread_mutex_unlock(&s->metrics_lock);
    pthread_mutex_unlock(&s->lock);
    *ret = sn;
    return STATUS_OK;
}

void snapshot_done(snapshot *sn)
{
    for (uint32_t i = 0; i < sn->mem_count; i++)
        mem_part_unref(sn->mems[i].mem);
    for (uint32_t i = 0; i < sn->part_count; i++)
        part_unref(sn->parts[i]);
    free(sn->parts);
    *sn = (snapshot){ 0 };
}

/* ---- opening ---- */

static status take_lock(store *s, error *err)
{
    char path[PATH_MAX];
    snprintf(path, sizeof(path), "%s/LOCK", s->dir);
    s->lock_fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (s->lock_fd < 0)
        return fail_errno(err, errno, "opening %s", path);
    if (flock(s->lock_fd, LOCK_EX | LOCK_NB) != 0)
        return errno == EWOULDBLOCK
                   ? fail(err, STATUS_BUSY, "the directory %s is in use by another sonde", s->dir)
                   : fail_errno(err, errno, "locking %s", path);
    return STATUS_OK;
}

/* Seals inline while the log is replayed, so that memory stays bounded. */
static status make_room(store *s, error *err)
{
    status st = STATUS_OK;
    mem_part *m = s->mems[s->mem_count - 1];
    if (mem_part_bytes(m) < s->options.memory_limit && m->log_bytes < s->options.intake_limit / 4)
        return STATUS_OK;
    pthread_mutex_lock(&s->lock);
    bool rotated = mem_rotate(s);
    pthread_mutex_unlock(&s->lock);
    if (!rotated)
        return fail(err, STATUS_NO_MEMORY, "no memory for a new part");
    while (st == STATUS_OK && s->mem_count > 1)
        st = seal_oldest(s, err);
    return st;
}

static status replay_rows(store *s, mem_part *m, const batch *b, int64_t received_ns, error *err)
{
    row_chunk *chunk = NULL;
    ingest_result ignored = { 0 };
    status st = STATUS_OK;
    if (b->signal != SIGNAL_METRICS)
        st = row_chunk_build(&chunk, b, NULL, received_ns, err);
    return st == STATUS_OK ? store_apply(s, m, b, NULL, chunk, received_ns, &ignored, err) : st;
}

static status replay_record(void *user, const intake_record *r, error *err)
{
    store *s = user;
    status st = make_room(s, err);
    if (st != STATUS_OK)
        return st;
    batch b;
    batch_init(&b, r->signal, GiB(4));
    error why;
    store_routed kept;
    store_sender from = { .origin = r->origin };
    mem_part *m = s->mems[s->mem_count - 1];
    st = otlp_decode(&b, r->payload, NULL, NULL, &why);
    if (st == STATUS_OK)
        st = store_route(s, &from, &b, &kept, &why);
    if (st == STATUS_OK) {
        for (uint32_t i = 0; i < kept.count && st == STATUS_OK; i++)
            st = replay_rows(s, m, kept.batches[i], r->received_ns, &why);
        store_release(s, &from, &kept);
    }
    batch_done(&b);
    if (m->first_sequence == 0) {
        m->first_sequence = r->sequence;
        m->began_mono_ns = clock_mono_ns();
    }
    m->last_sequence = r->sequence;
    m->log_bytes += sizeof(((intake_entry *)0)->header) + r->payload.len;
    if (st == STATUS_OK)
        return STATUS_OK;
    return fail(err, st, "replaying record %llu of the intake log: %s",
                (unsigned long long)r->sequence, why.message);
}

/* Called by the committer: names the part in memory that takes each record. */
static void on_commit(void *user, intake_entry *entries)
{
    store *s = user;
    pthread_mutex_lock(&s->lock);
    mem_part *m = s->mems[s->mem_count - 1];
    size_t bytes = m->chunk_bytes + atomic_load(&s->metrics_bytes);
    bool large = bytes >= s->options.memory_limit || m->log_bytes >= s->options.intake_limit / 4;
    if (large && mem_rotate(s))
        pthread_cond_broadcast(&s->changed);
    m = s->mems[s->mem_count - 1];
    for (intake_entry *e = entries; e; e = e->next) {
        if (m->first_sequence == 0) {
            m->first_sequence = e->sequence;
            m->began_mono_ns = clock_mono_ns();
        }
        m->last_sequence = e->sequence;
        m->log_bytes += sizeof(e->header) + e->payload.len;
        m->pending++;
        e->target = m;
    }
    pthread_mutex_unlock(&s->lock);
}

static status start_threads(store *s, error *err)
{
    sigset_t all, old;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &old);
    int rc = pthread_create(&s->sealer, NULL, sealer_main, s);
    if (rc == 0) {
        rc = pthread_create(&s->maintainer, NULL, maintainer_main, s);
        if (rc != 0) {
            pthread_mutex_lock(&s->lock);
            s->stop = true;
            pthread_cond_broadcast(&s->changed);
            pthread_mutex_unlock(&s->lock);
            pthread_join(s->sealer, NULL);
        }
    }
    pthread_sigmask(SIG_SETMASK, &old, NULL);
    if (rc != 0)
        return fail_errno(err, rc, "starting the store's threads");
    s->threads_run = true;
    return STATUS_OK;
}

static void set_defaults(store_options *o)
{
    o->intake_limit =
        o->intake_limit ? MAX(o->intake_limit, INTAKE_LIMIT_MIN) : INTAKE_LIMIT_DEFAULT;
    o->memory_limit = o->memory_limit ? o->memory_limit : MEMORY_LIMIT_DEFAULT;
    o->seal_after_ns = o->seal_after_ns ? o->seal_after_ns : SEAL_AFTER_DEFAULT;
    o->query_memory = o->query_memory ? o->query_memory : QUERY_MEMORY_DEFAULT;
}

static status open_all(store *s, error *err)
{
    char path[PATH_MAX];
    status st = make_dirs_durably(s->dir, err);
    if (st == STATUS_OK)
        st = take_lock(s, err);
    if (st == STATUS_OK)
        st = manifest_open(s, err);
    s->generation = 1;
    s->mems[0] = mem_part_new(s->generation);
    s->mem_count = s->mems[0] ? 1 : 0;
    if (st == STATUS_OK && !s->mems[0])
        st = fail(err, STATUS_NO_MEMORY, "no memory for the store");
    if (st == STATUS_OK && snprintf(path, sizeof(path), "%s/intake", s->dir) >= (int)sizeof(path))
        st = fail(err, STATUS_INVALID, "the path %s is too long", s->dir);
    intake_options log = { .limit = s->options.intake_limit, .cursor = s->cursor };
    if (st == STATUS_OK)
        st = log_readers_load(s, &log.keep, &log.highest, err);
    log.keep = MIN(log.keep, s->cursor);
    if (st == STATUS_OK)
        st = intake_open(&s->intake, path, &log, replay_record, on_commit, s, err);
    if (st == STATUS_OK)
        st = file_sync_dir(s->dir, err);
    if (st == STATUS_OK)
        st = start_threads(s, err);
    return st;
}

status store_open(store **ret, const store_options *options, error *err)
{
    if (!options->dir || !options->dir[0] || strlen(options->dir) > PATH_MAX - 256)
        return fail(err, STATUS_INVALID, "the store needs a directory with a path of 1 to %d bytes",
                    PATH_MAX - 256);
    store *s = calloc(1, sizeof(*s));
    if (!s)
        return fail(err, STATUS_NO_MEMORY, "no memory for the store");
    s->options = *options;
    set_defaults(&s->options);
    s->lock_fd = -1;
    pthread_mutex_init(&s->lock, NULL);
    pthread_mutex_init(&s->metrics_lock, NULL);
    pthread_mutex_init(&s->manifest_lock, NULL);
    pthread_mutex_init(&s->watch_lock, NULL);
    pthread_mutex_init(&s->readers_lock, NULL);
    pthread_condattr_t monotonic;
    pthread_condattr_init(&monotonic);
    pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    pthread_cond_init(&s->changed, &monotonic);
    pthread_condattr_destroy(&monotonic);
    part_cache_init(&s->open_parts, PART_CACHE_DEFAULT);
    changes_init(&s->changes);
    dedup_init(&s->seen);
    series_table_init(&s->series);
    buf_init(&s->dedup_state, 0);
    s->dir = strdup(options->dir);
    status st = s->dir ? open_all(s, err) : fail(err, STATUS_NO_MEMORY, "no memory for the store");
    if (st != STATUS_OK) {
        store_close(s);
        return st;
    }
    *ret = s;
    return STATUS_OK;
}

static void stop_threads(store *s)
{
    atomic_store(&s->stopping, true);
    pthread_mutex_lock(&s->lock);
    s->stop = true;
    pthread_cond_broadcast(&s->changed);
    pthread_mutex_unlock(&s->lock);
    if (s->threads_run) {
        pthread_join(s->sealer, NULL);
        pthread_join(s->maintainer, NULL);
    }
}

void store_close(store *s)
{
    if (!s)
        return;
    stop_threads(s);
    log_readers_done(s);
    intake_close(s->intake);
    for (uint32_t i = 0; i < s->mem_count; i++)
        mem_part_unref(s->mems[i]);
    for (uint32_t i = 0; i < s->part_count; i++)
        part_unref(s->parts[i]);
    free(s->parts);
    part_cache_done(&s->open_parts);
    changes_done(&s->changes);
    dedup_done(&s->seen);
    series_table_done(&s->series);
    buf_done(&s->dedup_state);
    pthread_cond_destroy(&s->changed);
    pthread_mutex_destroy(&s->lock);
    pthread_mutex_destroy(&s->metrics_lock);
    pthread_mutex_destroy(&s->manifest_lock);
    pthread_mutex_destroy(&s->watch_lock);
    pthread_mutex_destroy(&s->readers_lock);
    if (s->lock_fd >= 0)
        close(s->lock_fd);
    free(s->dir);
    free(s);
}

/* ---- about itself ---- */

static size_t memory_bytes(store *s)
{
    size_t bytes = 0;
    for (uint32_t i = 0; i < s->mem_count; i++)
        bytes += mem_part_bytes(s->mems[i]);
    return bytes;
}

void store_get_stats(store *s, store_stats *ret)
{
    intake_stats in;
    intake_get_stats(s->intake, &in);
    pthread_mutex_lock(&s->lock);
    pthread_mutex_lock(&s->metrics_lock);
    *ret = s->stats;
    ret->memory_bytes = memory_bytes(s);
    ret->series = s->series.keys.count;
    for (uint32_t i = 0; i < s->mem_count; i++) {
        ret->rows[SIGNAL_LOGS] += s->mems[i]->rows[SIGNAL_LOGS];
        ret->rows[SIGNAL_TRACES] += s->mems[i]->rows[SIGNAL_TRACES];
        ret->rows[SIGNAL_METRICS] += s->mems[i]->metrics.samples;
    }
    pthread_mutex_unlock(&s->metrics_lock);
    for (uint32_t i = 0; i < s->part_count; i++) {
        const part *p = s->parts[i];
        ret->rows[p->signal] += p->rows;
        ret->parts[p->signal]++;
        ret->part_bytes[p->signal] += p->bytes;
        ret->corrupt_parts += atomic_load(&p->damaged);
    }
    pthread_mutex_unlock(&s->lock);
    ret->intake_bytes = in.bytes;
    ret->intake_segments = in.segments;
    ret->fsyncs = in.fsyncs;
    ret->fsync_ns = in.fsync_ns;
}

int store_watch_logs(store *s, void (*wake)(void *user, const batch *rows), void *user)
{
    int handle = 0;
    pthread_mutex_lock(&s->watch_lock);
    for (int i = 0; i < WATCHERS_MAX && !handle; i++) {
        if (s->watchers[i].handle)
            continue;
        handle = ++s->next_watcher;
        s->watchers[i] = (watcher){ handle, wake, user };
        atomic_fetch_add(&s->watcher_count, 1);
    }
    pthread_mutex_unlock(&s->watch_lock);
    return handle;
}

void store_unwatch_logs(store *s, int handle)
{
    pthread_mutex_lock(&s->watch_lock);
    for (int i = 0; i < WATCHERS_MAX && handle; i++) {
        if (s->watchers[i].handle == handle) {
            s->watchers[i].handle = 0;
            atomic_fetch_sub(&s->watcher_count, 1);
        }
    }
    pthread_mutex_unlock(&s->watch_lock);
}
