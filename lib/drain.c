// SPDX-License-Identifier: Apache-2.0
/* The drainer's thread and its loop; see drain.h. The feeds are in drain_lines.c and
 * drain_lanes.c. */
#include "lib/drain_internal.h"

#include "base/clock.h"
#include "lib/ring.h"

#include <limits.h>
#include <signal.h>
#include <stdlib.h>

enum {
    WAIT_MIN_MS = 1,
    WAIT_MAX_MS = 100,
    WAIT_BUSY_MS = 5,
    GRACE_MS = 500,
    ADOPTIONS_MAX = 256,
    ADOPT_EVERY_MS = 10000
};

/* ---- shared by the feeds ---- */

source *drain_next_source(drainer *d, feed f)
{
    if (d->at_rest && !source_feed_done(d->own, f))
        return d->own;
    for (source *s = d->dead; s; s = s->next)
        if (!source_feed_done(s, f))
            return s;
    return d->at_rest ? NULL : d->own;
}

void drain_count_drop(source *s, signal_kind signal, recorder_drop reason, uint64_t rows)
{
    error err;
    if (rows && recorder_drops_add(s->reader, signal, reason, rows, &err) != STATUS_OK)
        lib_warn("%llu dropped %s cannot be counted: %s", (unsigned long long)rows,
                 signal_name(signal), err.message);
}

bool drain_commit(source *s, feed f)
{
    error err;
    if (recorder_cursor_commit(s->reader, s->cursor[f], &err) == STATUS_OK)
        return true;
    lib_warn("a cursor cannot be written: %s", err.message);
    return false;
}

void drain_read_failed(drainer *d, source *s, feed f, const error *err)
{
    int64_t now = clock_mono_ns();
    if (!d->warned_ns || now - d->warned_ns > 60 * NS_PER_S)
        lib_warn("a recorder cannot be read on: %s", err->message);
    d->warned_ns = now;
    if (source_is_dead(s) || d->at_rest)
        s->reached_ns[f] = INT64_MAX;
}

static void limit_list(attrs *a, uint32_t count_max, uint32_t length_max)
{
    uint32_t kept = 0, ours = 0;
    for (uint32_t i = 0; i < a->count; i++) {
        attr *one = &a->items[i];
        bool own = str_starts(one->key, STR("sonde."));
        if (!own && kept - ours >= count_max) {
            a->dropped++;
            continue;
        }
        if (!own && one->value.type == VALUE_STR && one->value.s.len > length_max)
            one->value.s.len = utf8_valid_prefix(str_slice(one->value.s, 0, length_max));
        ours += own;
        a->items[kept++] = *one;
    }
    a->count = kept;
}

/* Events and links beyond the limits go, the last ones first, and the attributes of the others are
 * limited like a span's. */
static void limit_events(const settings *s, span_events *e, uint32_t length_max)
{
    uint32_t kept = MIN(e->count, s->span_event_max);
    e->dropped += e->count - kept;
    e->count = kept;
    for (uint32_t i = 0; i < kept; i++)
        limit_list(&e->items[i].attributes, s->event_attribute_max, length_max);
}

static void limit_links(const settings *s, span_links *l, uint32_t length_max)
{
    uint32_t kept = MIN(l->count, s->span_link_max);
    l->dropped += l->count - kept;
    l->count = kept;
    for (uint32_t i = 0; i < kept; i++)
        limit_list(&l->items[i].attributes, s->link_attribute_max, length_max);
}

void drain_limit_attributes(const settings *s, batch *b)
{
    uint32_t count_max = s->attribute_count_max[b->signal];
    uint32_t length_max = s->attribute_length_max[b->signal];
    uint32_t rows = batch_row_count(b);
    attrs *lists = b->signal == SIGNAL_LOGS ? b->logs.attributes : b->spans.attributes;
    for (uint32_t i = 0; i < rows; i++)
        if (lists[i].count > count_max || length_max != UINT32_MAX)
            limit_list(&lists[i], count_max, length_max);
    for (uint32_t i = 0; b->signal == SIGNAL_TRACES && i < rows; i++) {
        limit_events(s, &b->spans.events[i], length_max);
        limit_links(s, &b->spans.links[i], length_max);
    }
}

/* ---- the loop ---- */

static bool is_busy_with(const drainer *d, const source *s)
{
    bool busy = d->lines_owner == s;
    for (int i = 0; i < LANE_COUNT; i++)
        busy = busy || d->work[i].owner == s;
    return busy;
}

/* Removes the files of dead processes from which every sink has everything. */
static void finish_dead(drainer *d)
{
    bool metrics =
        d->settings->signal[SIGNAL_METRICS].otlp || d->settings->signal[SIGNAL_METRICS].console;
    for (source **at = &d->dead; *at;) {
        source *s = *at;
        bool done = !is_busy_with(d, s) && (!metrics || s->metrics_sent);
        for (int f = 0; f < FEED_COUNT; f++)
            done = done && source_feed_done(s, (feed)f);
        if (done) {
            *at = s->next;
            source_remove(s);
        } else {
            at = &s->next;
        }
    }
}

/* Some at a time, and again when those are finished, until there is none. */
static void adopt(drainer *d)
{
    char dir[ADOPTED_PATH_MAX];
    error err;
    unsigned found = 0;
    if (recorder_directory(d->settings->recorder_dir, dir, sizeof(dir), &err) == STATUS_OK)
        found =
            source_adopt(&d->dead, dir, d->settings->service, recorder_path(d->recorder), &d->plan);
    d->adoptions_left = found ? d->adoptions_left - 1 : 0;
}

/* A sibling may have died since. */
static void adopt_later(drainer *d)
{
    char dir[ADOPTED_PATH_MAX];
    error err;
    int64_t now = clock_mono_ns();
    if (d->at_rest || now < d->adopt_due_ns)
        return;
    d->adopt_due_ns = now + ADOPT_EVERY_MS * NS_PER_MS;
    if (recorder_path(d->recorder)[0] &&
        recorder_directory(d->settings->recorder_dir, dir, sizeof(dir), &err) == STATUS_OK)
        source_adopt_later(&d->dead, dir, d->settings->service, recorder_path(d->recorder),
                           &d->plan);
}

enum { REPORT_EVERY_MS = 50 };

static void publish_report(drainer *d)
{
    drain_report r = { .lines_used = d->plan.in_use[FEED_LINES],
                       .lines_waiting = d->lines.pending.len > 0,
                       .spooling = d->spool != NULL,
                       .spool = spool_state(d->spool) };
    int64_t now = clock_mono_ns();
    if (now < d->report_due_ns)
        return;
    d->report_due_ns = now + REPORT_EVERY_MS * NS_PER_MS;
    recorder_reader *reader = d->own->reader;
    if (d->own->cursor[FEED_LINES])
        r.lines_behind = recorder_cursor_behind_extents(reader, d->own->cursor[FEED_LINES]);
    for (lane_id i = 0; i < LANE_COUNT; i++) {
        feed f = drain_feed_of(i);
        r.lane_used[i] = lane_wanted(d->settings, i);
        if (f != FEED_COUNT && d->own->cursor[f])
            r.lane_behind[i] = recorder_cursor_behind_extents(reader, d->own->cursor[f]);
    }
    for (const source *s = d->dead; s; s = s->next)
        r.dead++;
    pthread_mutex_lock(&d->lock);
    d->report = r;
    pthread_mutex_unlock(&d->lock);
}

void drainer_report(drainer *d, drain_report *ret)
{
    pthread_mutex_lock(&d->lock);
    *ret = d->report;
    pthread_mutex_unlock(&d->lock);
    for (lane_id i = 0; i < LANE_COUNT && d->exporter; i++)
        exporter_report(d->exporter, i, &ret->lane[i]);
}

/* What other threads asked for, and what they get told. Returns true when the loop ends. */
static bool answer_requests(drainer *d)
{
    bool end = false;
    pthread_mutex_lock(&d->lock);
    if (d->pass_since_ns && drain_reached(d, d->at_rest ? INT64_MAX : d->pass_since_ns)) {
        d->flush_done_ns = d->pass_since_ns;
        d->pass_since_ns = 0;
        d->empty = d->at_rest;
        pthread_cond_broadcast(&d->changed);
    }
    bool all = d->empty && !d->dead && d->adoptions_left == 0;
    if (d->at_rest && (all || clock_mono_ns() >= d->stop_deadline_ns))
        end = true;
    if (d->stop && !d->at_rest) {
        d->at_rest = true;
        d->flush_wanted_ns = clock_now_ns();
    }
    if (d->flush_wanted_ns > d->flush_done_ns)
        d->pass_since_ns = d->flush_wanted_ns;
    pthread_mutex_unlock(&d->lock);
    return end;
}

static void wait_for_work(drainer *d, int wait_ms)
{
    if (d->exporter) {
        int next_ms = exporter_next_ms(d->exporter);
        exporter_wait(d->exporter, next_ms >= 0 ? MIN(next_ms, wait_ms) : wait_ms);
        return;
    }
    int64_t until_ns = clock_mono_ns() + wait_ms * NS_PER_MS;
    struct timespec until = { until_ns / NS_PER_S, until_ns % NS_PER_S };
    pthread_mutex_lock(&d->lock);
    /* A request that the loop has not seen yet is not waited over. */
    if ((!d->stop || d->at_rest) && (d->pass_since_ns || d->flush_wanted_ns <= d->flush_done_ns))
        pthread_cond_timedwait(&d->changed, &d->lock, &until);
    pthread_mutex_unlock(&d->lock);
}

/* Until the next pass. A pass costs the same for few records as for many, and what is younger than
 * the window of 100 ms waits anyhow: so it comes when, at the pace since the last one, a quarter of
 * the recorder will have been filled. */
static int pace_ms(drainer *d)
{
    int64_t now = clock_mono_ns();
    uint64_t past_us = (uint64_t)(now - d->paced_ns) / 1000,
             quarter = d->own->info.capacity_bytes / 4;
    uint64_t taken = recorder_taken_bytes(d->own->reader);
    uint64_t grown = taken > d->paced_bytes ? taken - d->paced_bytes : 0;
    d->paced_ns = now;
    d->paced_bytes = taken;
    uint64_t wait_ms = grown ? past_us * quarter / grown / 1000 : WAIT_MAX_MS;
    return (int)MAX(MIN(wait_ms, (uint64_t)WAIT_MAX_MS), (uint64_t)WAIT_MIN_MS);
}

/* A response from a receiver, or room in a pipe, wakes the loop too: that is no reason to read on,
 * for a handful of records each time. */
static bool reads_now(const drainer *d)
{
    return d->dead || d->at_rest || d->pass_since_ns || clock_mono_ns() >= d->read_due_ns;
}

/* How long to wait after a pass. */
static int rest_ms(drainer *d)
{
    int64_t now = clock_mono_ns();
    if (d->reads)
        d->read_due_ns = now + pace_ms(d) * NS_PER_MS;
    int64_t wait_ms = (d->read_due_ns - now + NS_PER_MS - 1) / NS_PER_MS;
    bool busy = d->lines.pending.len || d->pass_since_ns;
    return (int)MAX(MIN(wait_ms, busy ? WAIT_BUSY_MS : WAIT_MAX_MS), WAIT_MIN_MS);
}

static void *drain_run(void *arg)
{
    drainer *d = arg;
    ring_never_wait();
    while (!answer_requests(d)) {
        bool more = false;
        d->reads = reads_now(d);
        if (!d->dead && d->adoptions_left)
            adopt(d);
        recorder_recalibrate(d->recorder);
        adopt_later(d);
        bool moved = drain_lines_step(d, &more);
        moved = drain_lanes_step(d, &more) || moved;
        finish_dead(d);
        recorder_reclaim(d->recorder);
        publish_report(d);
        if (moved && more)
            continue;
        wait_for_work(d, rest_ms(d));
    }
    pthread_mutex_lock(&d->lock);
    d->finished = true;
    pthread_cond_broadcast(&d->changed);
    pthread_mutex_unlock(&d->lock);
    return NULL;
}

/* ---- start and stop ---- */

static void drainer_free(drainer *d)
{
    if (!d)
        return;
    exporter_free(d->exporter);
    metric_delta_free(d->delta);
    spool_close(d->spool);
    while (d->dead) {
        source *next = d->dead->next;
        source_close(d->dead);
        d->dead = next;
    }
    source_close(d->own);
    line_sink_done(&d->lines);
    batch_done(&d->logs);
    batch_done(&d->spans);
    batch_done(&d->points);
    buf_done(&d->body);
    pthread_mutex_destroy(&d->lock);
    pthread_cond_destroy(&d->changed);
    free(d);
}

static status open_sinks(drainer *d, error *err)
{
    const settings *s = d->settings;
    status st = drain_lines_open(d, err);
    if (st != STATUS_OK)
        return st;
    bool remote = false;
    for (lane_id i = 0; i < LANE_COUNT; i++)
        remote = remote || lane_wanted(s, i);
    if (!remote)
        return STATUS_OK;
    drain_spool_open(d);
    if (s->signal[SIGNAL_METRICS].otlp)
        d->delta = metric_delta_new(s->temporality);
    return exporter_new(&d->exporter, s, drain_lane_done, d, err);
}

/* The program's signal handlers run on its own threads, and SIGPIPE never ends it because of us. */
static int start_thread(drainer *d)
{
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    int failed = pthread_create(&d->thread, NULL, drain_run, d);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (!failed)
        pthread_setname_np(d->thread, "sonde-drain");
    return failed;
}

status drainer_start(drainer **ret, const settings *s, recorder *r, bool adopt_dead, error *err)
{
    pthread_condattr_t attributes;
    drainer *d = calloc(1, sizeof(*d));
    if (!d)
        return fail(err, STATUS_NO_MEMORY, "no memory for the drainer");
    pthread_condattr_init(&attributes);
    pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    pthread_cond_init(&d->changed, &attributes);
    pthread_condattr_destroy(&attributes);
    pthread_mutex_init(&d->lock, NULL);
    d->settings = s;
    d->recorder = r;
    d->adoptions_left = adopt_dead ? ADOPTIONS_MAX : 0;
    d->adopt_due_ns = clock_mono_ns() + ADOPT_EVERY_MS * NS_PER_MS;
    d->plan = feed_plan_of(s);
    d->lines.fd = -1;
    d->metrics_due_ns = clock_mono_ns() + s->metric_interval_ms * NS_PER_MS;
    batch_init(&d->logs, SIGNAL_LOGS, DRAIN_BATCH_MAX);
    batch_init(&d->spans, SIGNAL_TRACES, DRAIN_BATCH_MAX);
    batch_init(&d->points, SIGNAL_METRICS, 2 * DRAIN_BATCH_MAX);
    buf_init(&d->body, 8 * DRAIN_BATCH_MAX);
    status st = source_open_own(&d->own, r, &d->plan, err);
    if (st == STATUS_OK)
        st = open_sinks(d, err);
    if (st == STATUS_OK && start_thread(d) != 0)
        st = fail(err, STATUS_NO_MEMORY, "the drainer's thread cannot be started");
    if (st != STATUS_OK) {
        drainer_free(d);
        return st;
    }
    *ret = d;
    return STATUS_OK;
}

static void wake(drainer *d)
{
    pthread_cond_broadcast(&d->changed);
    if (d->exporter)
        exporter_wake(d->exporter);
}

static struct timespec after_ms(uint32_t ms)
{
    int64_t at_ns = clock_mono_ns() + ms * NS_PER_MS;
    return (struct timespec){ at_ns / NS_PER_S, at_ns % NS_PER_S };
}

bool drainer_flush(drainer *d, uint32_t timeout_ms)
{
    struct timespec until = after_ms(timeout_ms);
    int64_t since_ns = clock_now_ns();
    pthread_mutex_lock(&d->lock);
    d->flush_wanted_ns = MAX(d->flush_wanted_ns, since_ns);
    wake(d);
    while (d->flush_done_ns < since_ns && !d->finished &&
           pthread_cond_timedwait(&d->changed, &d->lock, &until) == 0)
        ;
    bool done = d->flush_done_ns >= since_ns;
    pthread_mutex_unlock(&d->lock);
    return done;
}

drain_end drainer_stop(drainer *d, uint32_t timeout_ms)
{
    struct timespec until = after_ms(timeout_ms + GRACE_MS);
    pthread_mutex_lock(&d->lock);
    d->stop_deadline_ns = clock_mono_ns() + timeout_ms * NS_PER_MS;
    d->stop = true;
    wake(d);
    while (!d->finished && pthread_cond_timedwait(&d->changed, &d->lock, &until) == 0)
        ;
    bool finished = d->finished, empty = d->empty;
    pthread_mutex_unlock(&d->lock);
    if (!finished) {
        pthread_detach(d->thread);
        return DRAIN_STUCK;
    }
    pthread_join(d->thread, NULL);
    drainer_free(d);
    return empty ? DRAIN_EMPTY : DRAIN_LEFT;
}
