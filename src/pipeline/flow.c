// SPDX-License-Identifier: Apache-2.0
/* Rows on their way: from receivers into the log and the store, and along a path's stages. */
#include "pipeline/pipelines_internal.h"

#include "codec/batch_rows.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

/* A copy of the columns and what processors add to it. */
#define WORK_LIMIT GiB(1)

/* ---- along a path ---- */

/* Each way to a sink runs its stages; those that several ways begin with are counted on one. */
static _Thread_local bool counted_elsewhere;

static void count_stage(component *c, count_kind what, signal_kind signal, const char *detail,
                        uint32_t items)
{
    if (!counted_elsewhere)
        counts_add(c->counts, what, signal, detail, items);
}

/* The two batches take turns: one is read by a connector, the other is written. */
static status run_stage(component *c, path_result *r, unsigned *at, error *err)
{
    batch *b = &r->own[*at];
    signal_kind signal = b->signal;
    uint32_t before = batch_row_count(b);
    count_stage(c, COUNT_INCOMING, signal, "", before);
    status st;
    if (c->type->produce) {
        unsigned other = 1 - *at;
        if (r->used & (1u << other))
            batch_done(&r->own[other]);
        batch_init(&r->own[other], c->type->produces, WORK_LIMIT);
        r->used |= 1u << other;
        st = c->type->produce(c->self, b, &r->own[other], err);
        *at = other;
    } else {
        st = c->type->process(c->self, b, err);
    }
    b = &r->own[*at];
    if (st == STATUS_OK)
        count_stage(c, COUNT_OUTGOING, b->signal, "", batch_row_count(b));
    else if (st != STATUS_NO_MEMORY)
        count_stage(c, COUNT_DROPPED, signal, "the processor failed", before);
    return st;
}

status path_run(const path *p, const batch *in, path_result *ret, error *err)
{
    unsigned at = 0;
    ret->rows = in;
    ret->used = 0;
    if (p->stage_count == 0)
        return STATUS_OK;
    batch_init(&ret->own[0], in->signal, WORK_LIMIT);
    ret->used = 1;
    status st =
        batch_append_view(&ret->own[0], in)
            ? STATUS_OK
            : fail(err, STATUS_NO_MEMORY, "no memory for a batch of %u rows", batch_row_count(in));
    for (uint32_t i = 0; i < p->stage_count && st == STATUS_OK; i++) {
        if (batch_row_count(&ret->own[at]) == 0)
            break;
        counted_elsewhere = i < p->shared;
        st = run_stage(p->stages[i], ret, &at, err);
    }
    counted_elsewhere = false;
    ret->rows = &ret->own[at];
    if (st != STATUS_OK)
        path_done(ret);
    return st;
}

void path_done(path_result *r)
{
    for (unsigned i = 0; i < 2; i++)
        if (r->used & (1u << i))
            batch_done(&r->own[i]);
    r->used = 0;
}

/* ---- what the store keeps ---- */

typedef struct {
    path_result results[STORE_ROUTED_MAX];
    uint32_t count;
} kept;

static void release(void *user, store_routed *r)
{
    kept *k = r->own;
    (void)user;
    for (uint32_t i = 0; k && i < k->count; i++)
        path_done(&k->results[i]);
    free(k);
}

/* A processor that cannot treat a batch costs the batch, which is counted, and not the server. */
static status run_kept(const path *p, const batch *received, kept *k, store_routed *ret, error *err)
{
    path_result *r = &k->results[k->count];
    status st = path_run(p, received, r, err);
    if (st != STATUS_OK)
        return st == STATUS_NO_MEMORY ? st : STATUS_OK;
    k->count++;
    if (batch_row_count(r->rows))
        ret->batches[ret->count++] = r->rows;
    return STATUS_OK;
}

static status route(void *user, uint16_t origin, const batch *received, store_routed *ret,
                    error *err)
{
    const pipelines *all = user;
    status st = STATUS_OK;
    *ret = (store_routed){ 0 };
    for (uint32_t i = 0; i < all->path_count && st == STATUS_OK; i++) {
        const path *p = &all->paths[i];
        kept *k = ret->own;
        if (!p->sink->type->is_store || !path_takes(p, origin, received->signal))
            continue;
        if (p->stage_count == 0 && ret->count < STORE_ROUTED_MAX) {
            ret->batches[ret->count++] = received;
            continue;
        }
        if (!k)
            ret->own = k = calloc(1, sizeof(*k));
        if (!k || k->count == STORE_ROUTED_MAX || ret->count == STORE_ROUTED_MAX)
            st = fail(err, STATUS_NO_MEMORY, "no room for the rows that are to be stored");
        else
            st = run_kept(p, received, k, ret, err);
    }
    if (st != STATUS_OK)
        release(user, ret);
    return st;
}

/* What comes goes the ways of its own sender's configuration, which lives as long as the sender:
 * rows may hold texts of its processors until they are stored. */
static store_sender sender_of(const component *c, bool inner)
{
    return (store_sender){ .origin = c->origin, .inner = inner, .router = &c->owner->router };
}

void flow_init(pipelines *p)
{
    p->router = (store_router){ .route = route, .release = release, .user = p };
}

static status route_replayed(void *user, uint16_t origin, const batch *received, store_routed *ret,
                             error *err)
{
    collector *c = user;
    return route(c->current, origin, received, ret, err);
}

const store_router *collector_router(collector *c)
{
    c->router = (store_router){ .route = route_replayed, .release = release, .user = c };
    return &c->router;
}

/* ---- receivers ---- */

static bool taken_by(const pipelines *all, const component *c, signal_kind signal)
{
    for (uint32_t i = 0; i < all->path_count; i++)
        if (path_takes(&all->paths[i], c->origin, signal))
            return true;
    return false;
}

/* Whether a pipeline takes this, and whether its processors let anything in now. While one
 * configuration follows another, what only one of them takes has to come again: the other one would
 * pass it over. */
static status admitted(const component *c, signal_kind signal, error *err)
{
    const pipelines *all = c->owner;
    if (!taken_by(all, c, signal))
        return fail(err, STATUS_NOT_FOUND, "no pipeline takes %s from the receiver %s",
                    signal_name(signal), c->id);
    pthread_rwlock_rdlock(&all->owner->lock);
    bool now = all->owner->current == all || taken_by(all->owner->current, c, signal);
    pthread_rwlock_unlock(&all->owner->lock);
    if (!now)
        return fail(err, STATUS_BUSY, "the configuration is being changed; try again");
    status st = STATUS_OK;
    for (uint32_t i = 0; i < all->path_count && st == STATUS_OK; i++) {
        const path *p = &all->paths[i];
        if (p->gate && path_takes(p, c->origin, signal))
            st = p->gate->type->admit(p->gate->self, err);
    }
    return st;
}

status component_ingest(component *c, const char *transport, const batch *b, str encoded,
                        ingest_result *ret, error *err)
{
    collector *owner = c->owner->owner;
    store_sender from = sender_of(c, false);
    uint32_t rows = batch_row_count(b);
    *ret = (ingest_result){ 0 };
    status st = admitted(c, b->signal, err);
    if (st == STATUS_OK && rows)
        st = store_ingest_from(owner->store, &from, b, encoded, ret, err);
    if (st != STATUS_OK) {
        component_failed(c, transport, b->signal);
        return st;
    }
    counts_add(c->counts, COUNT_ACCEPTED, b->signal, transport, rows - ret->rejected);
    counts_add(c->counts, COUNT_REFUSED, b->signal, transport, ret->rejected);
    return STATUS_OK;
}

status component_emit(component *c, const batch *b, error *err)
{
    ingest_result result;
    collector *owner = c->owner->owner;
    store_sender from = sender_of(c, true);
    if (batch_row_count(b) == 0)
        return STATUS_OK;
    return store_ingest_from(owner->store, &from, b, STR_EMPTY, &result, err);
}

void component_failed(component *c, const char *transport, signal_kind signal)
{
    counts_add(c->counts, COUNT_FAILED_REQUESTS, signal, transport, 1);
}

void component_refused(component *c, const char *transport, signal_kind signal, uint64_t items)
{
    counts_add(c->counts, COUNT_REFUSED, signal, transport, items);
}

status component_ready(component *c, error *err)
{
    return store_ready(c->owner->owner->store, err);
}

/* ---- all components ---- */

void component_drop(component *c, signal_kind signal, const char *reason, uint64_t items)
{
    if (items && !counted_elsewhere)
        counts_add(c->counts, COUNT_DROPPED, signal, reason, items);
}

const _Atomic int *component_canceled(const component *c)
{
    return &c->owner->canceled;
}

status component_extension(component *c, str id, const component **ret, error *err)
{
    const pipelines *p = c->owner;
    for (uint32_t i = 0; i < p->opened; i++) {
        const component *at = &p->components[i];
        if (at->type->kind == COMPONENT_EXTENSION && str_is(id, at->id)) {
            *ret = at;
            return STATUS_OK;
        }
    }
    return fail(err, STATUS_NOT_FOUND, "%s: there is no extension %.*s in service.extensions",
                c->id, STR_ARG(id));
}

void component_warn(component *c, const char *event, const char *format, ...)
{
    uint64_t missed;
    char name[160], text[600];
    collector *owner = c->owner->owner;
    if (!owner->options.say || !counts_may_warn(c->counts, event, &missed))
        return;
    va_list args;
    va_start(args, format);
    int n = vsnprintf(text, sizeof(text), format, args);
    va_end(args);
    if (missed && n >= 0 && (size_t)n < sizeof(text))
        snprintf(text + n, sizeof(text) - (size_t)n, " (and %llu times since the last line)",
                 (unsigned long long)missed);
    snprintf(name, sizeof(name), "%s %s", component_kind_name(c->type->kind), c->id);
    owner->options.say(true, name, event, text);
}

void component_note(const component *c, const char *event, const char *format, ...)
{
    char name[160], text[600];
    const collector *owner = c->owner->owner;
    va_list args;
    if (!owner->options.say)
        return;
    va_start(args, format);
    vsnprintf(text, sizeof(text), format, args);
    va_end(args);
    snprintf(name, sizeof(name), "%s %s", component_kind_name(c->type->kind), c->id);
    owner->options.say(false, name, event, text);
}

/* ---- counts ---- */

void collector_counts(collector *c, count_kind what, count_sink *sink, void *user)
{
    pthread_mutex_lock(&c->counts_lock);
    for (component_counts *at = c->counts; at; at = *counts_next(at))
        counts_each(at, what, sink, user);
    pthread_mutex_unlock(&c->counts_lock);
}
