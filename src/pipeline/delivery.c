// SPDX-License-Identifier: Apache-2.0
/* A reader of the intake log for one exporter, or for one processor that waits: a thread that
 * decodes records, gathers rows, runs the path's stages over them, gives them to the component, and
 * moves its place in the log when the component has taken them. What the far side does not take now
 * is offered again, for as long as retry_on_failure says; nothing is read meanwhile, so that order
 * is kept and the log's limit holds the senders back. */
#include "pipeline/pipelines_internal.h"

#include "base/clock.h"
#include "base/random.h"
#include "codec/batch_rows.h"
#include "codec/otlp.h"

#include <stdio.h>
#include <stdlib.h>

enum { ROWS_DEFAULT = 8192, TICK_MS = 100, IDLE_MS = 1000, PAUSE_MS = 200 };
#define GATHER_BYTES  MiB(8) /* at which rows go out, however few they are */
#define GATHER_LIMIT  GiB(1) /* one record of the largest size, decoded */
#define SAVE_INTERVAL NS_PER_S

typedef struct {
    const path *way;
    batch rows; /* as received; texts lie in its arena */
} gathered;

struct delivery {
    component *sink;
    log_reader *reader;
    gathered *ways;
    uint32_t way_count;
    exporter_settings settings;
    uint32_t send_size;  /* rows at which they go out */
    uint32_t most;       /* rows of one request; 0: any */
    int64_t hold_ns;     /* how long rows wait for others; 0: not at all */
    int64_t due_mono_ns; /* of what is gathered; 0: nothing is */
    uint64_t read;       /* newest record read */
    uint64_t committed;
    int64_t saved_mono_ns;
    random_state random;
    pthread_t thread;
    atomic_bool done;
};

/* ---- gathering ---- */

static uint32_t gathered_rows(const delivery *d)
{
    uint32_t rows = 0;
    for (uint32_t i = 0; i < d->way_count; i++)
        rows += batch_row_count(&d->ways[i].rows);
    return rows;
}

static bool gathered_enough(const delivery *d)
{
    size_t bytes = 0;
    for (uint32_t i = 0; i < d->way_count; i++)
        bytes += d->ways[i].rows.arena.used;
    return gathered_rows(d) >= d->send_size || bytes >= GATHER_BYTES;
}

/* What is in the log was decoded once before: it can fail for want of memory only, or by damage. */
static status gather(gathered *g, const log_record *r, error *err)
{
    str payload = arena_str(&g->rows.arena, r->payload);
    if (!payload.ptr)
        return fail(err, STATUS_NO_MEMORY, "no memory for a record of %zu bytes", r->payload.len);
    return otlp_decode(&g->rows, payload, NULL, NULL, err);
}

static void forget_gathered(delivery *d)
{
    for (uint32_t i = 0; i < d->way_count; i++)
        batch_clear(&d->ways[i].rows);
    d->due_mono_ns = 0;
}

/* ---- sending ---- */

static bool is_canceled(const delivery *d)
{
    return atomic_load(component_canceled(d->sink));
}

static void pause_ns(const delivery *d, int64_t ns)
{
    int64_t until = clock_mono_ns() + ns;
    const struct timespec step = { .tv_nsec = 20 * NS_PER_MS };
    while (clock_mono_ns() < until && !is_canceled(d))
        nanosleep(&step, NULL);
}

static bool may_retry(status st)
{
    return st == STATUS_BUSY || st == STATUS_IO || st == STATUS_FULL || st == STATUS_NO_MEMORY ||
           st == STATUS_CANCELED;
}

static void lose(delivery *d, const batch *b, uint32_t rows, const char *reason, const char *why)
{
    component_drop(d->sink, b->signal, reason, rows);
    component_warn(d->sink, "items_dropped", "%u %s: %s", rows, signal_name(b->signal), why);
}

/* The interval, spread by chance so that many senders do not come back together, or what the far
 * side asked for. */
static int64_t retry_wait(delivery *d, int64_t interval, const send_result *result)
{
    double spread = d->settings.retry.randomization_factor;
    double chance = (double)(random_next(&d->random) >> 11) * 0x1p-53; /* [0, 1) */
    double by = 1 - spread + 2 * spread * chance;
    return MAX((int64_t)((double)interval * by), result->retry_after_ns);
}

/* STATUS_OK: sent, or dropped and counted. STATUS_CANCELED: neither. */
static status send(delivery *d, const batch *b, error *err)
{
    const retry_settings *retry = &d->settings.retry;
    int64_t interval = retry->initial_interval, began = clock_mono_ns();
    uint32_t rows = batch_row_count(b);
    for (;;) {
        send_result result = { 0 };
        status st = d->sink->type->send(d->sink->self, b, &result, err);
        if (st == STATUS_OK) {
            uint32_t left_out = MIN(rows, result.left_out);
            uint32_t rejected = MIN(rows - left_out, result.rejected);
            counts_add(d->sink->counts, COUNT_SENT, b->signal, "", rows - left_out - rejected);
            if (rejected)
                lose(d, b, rejected, "rejected by the receiver", result.reason);
            return STATUS_OK;
        }
        if (is_canceled(d))
            return STATUS_CANCELED;
        int64_t spent = clock_mono_ns() - began;
        if (!may_retry(st)) {
            lose(d, b, rows, "refused by the receiver", err->message);
            return STATUS_OK;
        }
        if (!retry->enabled || (retry->max_elapsed_time && spent > retry->max_elapsed_time)) {
            lose(d, b, rows, retry->enabled ? "retried for too long" : "retries are switched off",
                 err->message);
            return STATUS_OK;
        }
        counts_add(d->sink->counts, COUNT_RETRIES, b->signal, "", 1);
        component_warn(d->sink, "send_retried", "%u %s: %s", rows, signal_name(b->signal),
                       err->message);
        pause_ns(d, retry_wait(d, interval, &result));
        interval = MIN((int64_t)((double)interval * retry->multiplier), retry->max_interval);
    }
}

/* In requests of at most d->most rows. */
static status send_parts(delivery *d, const batch *b, error *err)
{
    uint32_t rows = batch_row_count(b);
    if (rows == 0)
        return STATUS_OK;
    if (d->most == 0 || rows <= d->most)
        return send(d, b, err);
    status st = STATUS_OK;
    uint8_t *skip = malloc(rows);
    if (!skip)
        return fail(err, STATUS_NO_MEMORY, "no memory for a part of %u rows", rows);
    for (uint32_t from = 0; from < rows && st == STATUS_OK; from += d->most) {
        batch part;
        batch_init(&part, b->signal, GATHER_LIMIT);
        memset(skip, 1, rows);
        memset(skip + from, 0, MIN(d->most, rows - from));
        st = batch_append_rows(&part, b, skip)
                 ? send(d, &part, err)
                 : fail(err, STATUS_NO_MEMORY, "no memory for a part of %u rows", rows);
        batch_done(&part);
    }
    free(skip);
    return st;
}

static status run_and_send(delivery *d, gathered *g, error *err)
{
    path_result result;
    if (batch_row_count(&g->rows) == 0)
        return STATUS_OK;
    status st = path_run(g->way, &g->rows, &result, err);
    if (st != STATUS_OK)
        return st == STATUS_NO_MEMORY ? st : STATUS_OK; /* counted */
    st = send_parts(d, result.rows, err);
    path_done(&result);
    return st;
}

/* Sends all that is gathered and moves on; for want of memory it is tried again. */
static status flush(delivery *d, error *err)
{
    status st = STATUS_OK;
    for (uint32_t i = 0; i < d->way_count && st != STATUS_CANCELED; i++) {
        st = run_and_send(d, &d->ways[i], err);
        while (st != STATUS_OK && st != STATUS_CANCELED) {
            component_warn(d->sink, "delivery_waits", "%s", err->message);
            pause_ns(d, PAUSE_MS * NS_PER_MS);
            st = is_canceled(d) ? STATUS_CANCELED : run_and_send(d, &d->ways[i], err);
        }
    }
    if (st != STATUS_OK)
        return st;
    forget_gathered(d);
    return STATUS_OK;
}

static void commit(delivery *d)
{
    error err;
    if (d->committed == d->read)
        return;
    if (log_reader_commit(d->reader, d->read, &err) == STATUS_OK)
        d->committed = d->read;
    else
        component_warn(d->sink, "place_not_kept", "%s", err.message);
}

/* A record that could not be added to others: they go out, then it is tried alone. Want of memory
 * passes; what cannot be read even so is damage, and counted. */
static status gather_alone(delivery *d, gathered *g, const log_record *r, uint32_t before,
                           error *err)
{
    batch_truncate(&g->rows, before);
    status st = flush(d, err);
    while (st == STATUS_OK) {
        st = gather(g, r, err);
        if (st == STATUS_OK)
            return st;
        batch_clear(&g->rows);
        if (st != STATUS_NO_MEMORY) {
            lose(d, &g->rows, 1, "a record of the log cannot be read", err->message);
            return STATUS_OK;
        }
        component_warn(d->sink, "delivery_waits", "%s", err->message);
        pause_ns(d, PAUSE_MS * NS_PER_MS);
        st = is_canceled(d) ? STATUS_CANCELED : STATUS_OK;
    }
    return st;
}

static status take_record(delivery *d, const log_record *r, error *err)
{
    for (uint32_t i = 0; i < d->way_count; i++) {
        gathered *g = &d->ways[i];
        if (!path_takes(g->way, r->origin, r->signal))
            continue;
        uint32_t before = batch_row_count(&g->rows);
        status st = gather(g, r, err);
        if (st != STATUS_OK)
            st = gather_alone(d, g, r, before, err);
        if (st != STATUS_OK)
            return st;
        if (d->due_mono_ns == 0)
            d->due_mono_ns = clock_mono_ns() + d->hold_ns;
    }
    d->read = r->sequence;
    return gathered_enough(d) ? flush(d, err) : STATUS_OK;
}

static int64_t wait_for_more(const delivery *d)
{
    if (d->due_mono_ns == 0)
        return IDLE_MS * NS_PER_MS;
    return MAX(d->due_mono_ns - clock_mono_ns(), 0);
}

static void *deliver(void *arg)
{
    delivery *d = arg;
    status st = STATUS_OK;
    error err;
    while (st != STATUS_CANCELED) {
        log_record r;
        st = log_reader_next(d->reader, wait_for_more(d), &r, &err);
        if (st == STATUS_OK)
            st = take_record(d, &r, &err);
        else if (st == STATUS_CANCELED)
            break;
        else if (st != STATUS_NOT_FOUND) {
            component_warn(d->sink, "log_not_read", "%s", err.message);
            pause_ns(d, PAUSE_MS * NS_PER_MS);
        }
        if (st != STATUS_CANCELED && d->due_mono_ns && clock_mono_ns() >= d->due_mono_ns)
            st = flush(d, &err);
        if (d->due_mono_ns == 0)
            commit(d);
    }
    if (flush(d, &err) == STATUS_OK) /* being stopped: what is there goes out, if it can */
        commit(d);
    atomic_store(&d->done, true);
    return NULL;
}

/* ---- a processor that waits ---- */

static void save(delivery *d)
{
    error err;
    buf state;
    component *c = d->sink;
    uint64_t needs = c->type->needs(c->self), done = d->read;
    if (needs != UINT64_MAX && needs <= done)
        done = needs - 1;
    buf_init(&state, MiB(64));
    status st = c->type->save ? c->type->save(c->self, &state, &err) : STATUS_OK;
    if (st == STATUS_OK)
        st = log_reader_save(d->reader, done, buf_view(&state), &err);
    if (st != STATUS_OK)
        component_warn(c, "place_not_kept", "%s", err.message);
    buf_done(&state);
    d->saved_mono_ns = clock_mono_ns();
    d->committed = done;
}

/* Records are offered again while the processor has no room for them. */
static status offer(delivery *d, const log_record *r, gathered *g, error *err)
{
    path_result result;
    status st = gather(g, r, err);
    if (st == STATUS_OK)
        st = path_run(g->way, &g->rows, &result, err);
    if (st == STATUS_OK) {
        st = d->sink->type->take(d->sink->self, r->sequence, result.rows, err);
        path_done(&result);
    }
    batch_clear(&g->rows);
    return st;
}

static void take_waiting(delivery *d, const log_record *r)
{
    error err;
    for (uint32_t i = 0; i < d->way_count; i++) {
        gathered *g = &d->ways[i];
        if (!path_takes(g->way, r->origin, r->signal))
            continue;
        status st = offer(d, r, g, &err);
        while (st != STATUS_OK && may_retry(st) && !is_canceled(d)) {
            component_warn(d->sink, "delivery_waits", "%s", err.message);
            pause_ns(d, PAUSE_MS * NS_PER_MS);
            (void)d->sink->type->tick(d->sink->self, clock_now_ns(), &err);
            st = offer(d, r, g, &err);
        }
        if (st != STATUS_OK && !may_retry(st))
            lose(d, &g->rows, 1, "a record of the log cannot be read", err.message);
        if (st != STATUS_OK && is_canceled(d))
            return;
    }
    d->read = r->sequence;
}

static void *deliver_waiting(void *arg)
{
    delivery *d = arg;
    component *c = d->sink;
    error err;
    int64_t ticked = 0;
    for (;;) {
        log_record r;
        status st = log_reader_next(d->reader, TICK_MS * NS_PER_MS, &r, &err);
        if (st == STATUS_CANCELED)
            break;
        if (st == STATUS_OK)
            take_waiting(d, &r);
        int64_t now = clock_mono_ns();
        if (now - ticked >= TICK_MS * NS_PER_MS) {
            ticked = now;
            if (c->type->tick(c->self, clock_now_ns(), &err) != STATUS_OK)
                component_warn(c, "decision_put_off", "%s", err.message);
        }
        if (now - d->saved_mono_ns >= SAVE_INTERVAL && d->committed != d->read)
            save(d);
    }
    save(d);
    atomic_store(&d->done, true);
    return NULL;
}

/* ---- life ---- */

static void delivery_free(delivery *d)
{
    log_reader_close(d->reader);
    for (uint32_t i = 0; i < d->way_count; i++)
        batch_done(&d->ways[i].rows);
    free(d->ways);
    free(d);
}

static void read_settings(delivery *d)
{
    static const exporter_settings defaults = { .retry = { .enabled = true,
                                                           .initial_interval = 5 * NS_PER_S,
                                                           .max_interval = 30 * NS_PER_S,
                                                           .multiplier = 1.5,
                                                           .randomization_factor = 0.5 } };
    const option_table *table = &d->sink->type->options;
    const char *settings = d->sink->settings;
    d->settings = defaults;
    for (size_t i = 0; i < table->count; i++)
        if (table->rows[i].type == OPTION_INLINE && table->rows[i].table == &exporter_options)
            memcpy(&d->settings, settings + table->rows[i].offset, sizeof(d->settings));
    const batch_settings *wish = d->settings.has_batch ? &d->settings.batch : NULL;
    for (uint32_t i = 0; i < d->way_count && !wish; i++)
        wish = d->ways[i].way->has_batching ? &d->ways[i].way->batching : NULL;
    d->send_size = ROWS_DEFAULT;
    if (!wish)
        return;
    d->hold_ns = wish->timeout;
    d->send_size = wish->send_batch_size > 0 ? (uint32_t)MIN(wish->send_batch_size, 1 << 20) : 1;
    d->most = (uint32_t)MIN(wish->send_batch_max_size, 1 << 20);
}

bool delivery_keeps_place(const component *sink)
{
    return !sink->type->ephemeral;
}

void delivery_name(const component *sink, char *ret, size_t size)
{
    snprintf(ret, size, "%s %s", component_kind_name(sink->type->kind), sink->id);
}

status delivery_begin(const component *sink, error *err)
{
    char name[DELIVERY_NAME];
    log_reader *r = NULL;
    delivery_name(sink, name, sizeof(name));
    status st = log_reader_open(&r, sink->owner->owner->store, name, false, err);
    if (st == STATUS_OK)
        log_reader_close(r);
    return st == STATUS_BUSY ? STATUS_OK : st;
}

static status open_reader(delivery *d, error *err)
{
    char name[DELIVERY_NAME];
    const component *c = d->sink;
    delivery_name(c, name, sizeof(name));
    status st =
        log_reader_open(&d->reader, c->owner->owner->store, name, !delivery_keeps_place(c), err);
    if (st == STATUS_OK && c->type->load && log_reader_state(d->reader).len)
        st = c->type->load(c->self, log_reader_state(d->reader), err);
    if (st == STATUS_OK)
        d->read = d->committed = log_reader_position(d->reader);
    return st;
}

status delivery_start(delivery **ret, component *sink, const path *const *paths, uint32_t count,
                      error *err)
{
    delivery *d = calloc(1, sizeof(*d));
    if (d)
        d->ways = calloc(count + 1, sizeof(gathered));
    if (!d || !d->ways) {
        free(d);
        return fail(err, STATUS_NO_MEMORY, "no memory for the thread of %s", sink->id);
    }
    d->sink = sink;
    random_init(&d->random, (uint64_t)clock_mono_ns());
    for (uint32_t i = 0; i < count; i++) {
        d->ways[d->way_count].way = paths[i];
        batch_init(&d->ways[d->way_count++].rows, paths[i]->signal, GATHER_LIMIT);
    }
    read_settings(d);
    status st = open_reader(d, err);
    if (st == STATUS_OK &&
        pthread_create(&d->thread, NULL, sink->type->take ? deliver_waiting : deliver, d) != 0)
        st = fail(err, STATUS_NO_MEMORY, "the thread of %s cannot be started", sink->id);
    if (st != STATUS_OK) {
        delivery_free(d);
        return st;
    }
    *ret = d;
    return STATUS_OK;
}

void delivery_drain(delivery *d)
{
    log_reader_cancel(d->reader);
}

bool delivery_is_done(const delivery *d)
{
    return atomic_load(&d->done);
}

void delivery_stop(delivery *d)
{
    if (!d)
        return;
    log_reader_cancel(d->reader);
    pthread_join(d->thread, NULL);
    delivery_free(d);
}

log_behind delivery_behind(const delivery *d)
{
    return log_reader_behind(d->reader);
}

const component *delivery_sink(const delivery *d)
{
    return d->sink;
}
