// SPDX-License-Identifier: Apache-2.0
/* The collector's life: configurations come and go, the log and the ports stay. Senders and readers
 * see the current configuration under a lock that only a reload writes. */
#include "pipeline/pipelines_internal.h"

#include "base/clock.h"
#include "base/file.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

enum { DRAIN_MS = 2000 };

/* ---- components ---- */

static status in_component(const component *c, status st, error *err)
{
    error why = *err;
    return fail(err, st, "%s %s: %s", component_kind_name(c->type->kind), c->id, why.message);
}

static status open_components(pipelines *p, error *err)
{
    for (; p->opened < p->count; p->opened++) {
        component *c = &p->components[p->opened];
        status st = c->type->open ? c->type->open(&c->self, c, err) : STATUS_OK;
        if (st != STATUS_OK)
            return in_component(c, st, err);
    }
    return STATUS_OK;
}

static void close_components(pipelines *p)
{
    while (p->opened > 0) {
        component *c = &p->components[--p->opened];
        if (c->type->close)
            c->type->close(c->self);
    }
}

/* In the order of opening, so that receivers come last. What cannot be started keeps nothing else
 * from running; the first failure is returned. */
static status start_components(pipelines *p, error *err)
{
    status result = STATUS_OK;
    for (uint32_t i = 0; i < p->count; i++) {
        error why;
        component *c = &p->components[i];
        status st = c->type->start ? c->type->start(c->self, &why) : STATUS_OK;
        c->running = st == STATUS_OK;
        if (st != STATUS_OK && result == STATUS_OK) {
            *err = why;
            result = in_component(c, st, err);
        }
    }
    return result;
}

static void stop_components(pipelines *p, component_kind kind)
{
    for (uint32_t i = p->count; i > 0; i--) {
        component *c = &p->components[i - 1];
        if (c->type->kind != kind || !c->running)
            continue;
        c->running = false;
        if (c->type->stop)
            c->type->stop(c->self);
    }
}

status component_dir(component *c, const char **ret, error *err)
{
    char path[4096], name[200];
    size_t n = 0;
    if (!c->dir) {
        for (const char *at = c->id; *at && n + 1 < sizeof(name); at++, n++)
            name[n] = strchr("/\\", *at) || (*at == '.' && n == 0) ? '-' : *at;
        name[n] = 0;
        if (snprintf(path, sizeof(path), "%s/pipeline/%s-%s", c->owner->owner->options.data,
                     component_kind_name(c->type->kind), name) >= (int)sizeof(path))
            return fail(err, STATUS_INVALID, "the data directory's path is too long");
        status st = file_make_dirs(path, 0750, err);
        if (st != STATUS_OK)
            return st;
        c->dir = strdup(path);
    }
    *ret = c->dir;
    return c->dir ? STATUS_OK : fail(err, STATUS_NO_MEMORY, "no memory for a path");
}

/* ---- deliveries ---- */

static status start_delivery(pipelines *p, component *sink, delivery **ret, error *err)
{
    const path **ways = calloc(p->path_count + 1, sizeof(path *));
    uint32_t count = 0;
    for (uint32_t i = 0; ways && i < p->path_count; i++)
        if (p->paths[i].sink == sink)
            ways[count++] = &p->paths[i];
    status st = ways ? delivery_start(ret, sink, ways, count, err)
                     : fail(err, STATUS_NO_MEMORY, "no memory for the ways of rows");
    free(ways);
    return st == STATUS_OK ? st : in_component(sink, st, err);
}

static bool wants_delivery(const component *c)
{
    return c->type->send || c->type->take;
}

/* The places of new exporters, before anything comes that is theirs. */
static status begin_deliveries(pipelines *p, error *err)
{
    status st = STATUS_OK;
    for (uint32_t i = 0; i < p->count && st == STATUS_OK; i++) {
        const component *c = &p->components[i];
        if (wants_delivery(c) && delivery_keeps_place(c) &&
            (st = delivery_begin(c, err)) != STATUS_OK)
            st = in_component(c, st, err);
    }
    return st;
}

/* All that can be started; the first failure is returned. */
static status start_deliveries(pipelines *p, error *err)
{
    delivery **list = calloc(p->count + 1, sizeof(delivery *));
    uint32_t count = 0;
    status result = STATUS_OK;
    if (!list)
        return fail(err, STATUS_NO_MEMORY, "no memory for the exporters' threads");
    for (uint32_t i = 0; i < p->count; i++) {
        error why;
        component *c = &p->components[i];
        status st = wants_delivery(c) ? start_delivery(p, c, &list[count], &why) : STATUS_OK;
        count += wants_delivery(c) && st == STATUS_OK;
        if (st != STATUS_OK && result == STATUS_OK)
            *err = why;
        result = result == STATUS_OK ? st : result;
    }
    pthread_rwlock_wrlock(&p->owner->lock); /* collector_behind looks at them */
    p->deliveries = list;
    p->delivery_count = count;
    pthread_rwlock_unlock(&p->owner->lock);
    return result;
}

static bool all_done(const pipelines *p)
{
    for (uint32_t i = 0; i < p->delivery_count; i++)
        if (!delivery_is_done(p->deliveries[i]))
            return false;
    return true;
}

/* They may send what they hold, for a while; what is left stays in the log. */
static void stop_deliveries(pipelines *p)
{
    const struct timespec step = { .tv_nsec = 5 * NS_PER_MS };
    int64_t until = clock_mono_ns() + DRAIN_MS * NS_PER_MS;
    for (uint32_t i = 0; i < p->delivery_count; i++)
        delivery_drain(p->deliveries[i]);
    while (!all_done(p) && clock_mono_ns() < until)
        nanosleep(&step, NULL);
    atomic_store(&p->canceled, 1);
    pthread_rwlock_wrlock(&p->owner->lock); /* collector_behind looks at them */
    delivery **list = p->deliveries;
    uint32_t count = p->delivery_count;
    p->deliveries = NULL;
    p->delivery_count = 0;
    pthread_rwlock_unlock(&p->owner->lock);
    while (count > 0)
        delivery_stop(list[--count]);
    free(list);
}

/* ---- one configuration ---- */

static void forgot(void *user, const char *name, uint64_t records)
{
    collector *c = user;
    char text[200];
    snprintf(text, sizeof(text), "no longer configured; %llu records of the log were not sent",
             (unsigned long long)records);
    if (c->options.say)
        c->options.say(true, name, "exporter_forgotten", text);
}

/* Places of what p does not have hold the log no more; `tell`: they had a configuration. */
static status forget_others(collector *c, const pipelines *p, bool tell, error *err)
{
    char(*names)[DELIVERY_NAME] = calloc(p->count + 1, sizeof(*names));
    const char **list = calloc(p->count + 1, sizeof(char *));
    uint32_t count = 0;
    for (uint32_t i = 0; names && list && i < p->count; i++) {
        if (!wants_delivery(&p->components[i]))
            continue;
        delivery_name(&p->components[i], names[count], sizeof(*names));
        list[count] = names[count];
        count++;
    }
    status st = names && list
                    ? log_readers_keep(c->store, list, count, tell ? forgot : NULL, c, err)
                    : fail(err, STATUS_NO_MEMORY, "no memory for the names of exporters");
    free(names);
    free(list);
    return st;
}

static status pipelines_new(pipelines **ret, collector *c, config *file, error *err)
{
    pipelines *p = calloc(1, sizeof(*p));
    if (!p) {
        config_done(file);
        return fail(err, STATUS_NO_MEMORY, "no memory for the pipelines");
    }
    p->owner = c;
    p->file = *file;
    flow_init(p);
    status st = graph_build(p, err);
    if (st == STATUS_OK)
        st = open_components(p, err);
    if (st != STATUS_OK) {
        close_components(p);
        graph_free(p);
        return st;
    }
    *ret = p;
    return STATUS_OK;
}

static void pipelines_free(pipelines *p)
{
    if (!p)
        return;
    close_components(p);
    graph_free(p);
}

static void stop_behind_receivers(pipelines *p)
{
    for (int k = 0; k < COMPONENT_KINDS; k++)
        if (k != COMPONENT_RECEIVER)
            stop_components(p, (component_kind)k);
}

/* Frees what no request is on its way to any more. */
static void sweep_retired(collector *c, bool all)
{
    pipelines **at = &c->retired;
    while (*at) {
        pipelines *p = *at;
        if (!all && atomic_load(&p->routes_in_use)) {
            at = &p->next_retired;
            continue;
        }
        *at = p->next_retired;
        pipelines_free(p);
    }
}

static void retire(collector *c, pipelines *p)
{
    p->next_retired = c->retired;
    c->retired = p;
    sweep_retired(c, false);
}

static void make_current(collector *c, pipelines *p)
{
    pthread_rwlock_wrlock(&c->lock);
    c->current = p;
    pthread_rwlock_unlock(&c->lock);
}

/* ---- the collector ---- */

status collector_new(collector **ret, const collector_options *options, error *err)
{
    collector *c = calloc(1, sizeof(*c));
    if (!c)
        return fail(err, STATUS_NO_MEMORY, "no memory for the collector");
    c->options = *options;
    pthread_rwlock_init(&c->lock, NULL);
    pthread_mutex_init(&c->counts_lock, NULL);
    status st = origins_load(c, err);
    if (st != STATUS_OK) {
        collector_free(c);
        return st;
    }
    *ret = c;
    return STATUS_OK;
}

void collector_free(collector *c)
{
    if (!c)
        return;
    sweep_retired(c, true);
    pipelines_free(c->current);
    while (c->counts) {
        component_counts *next = *counts_next(c->counts);
        counts_free(c->counts);
        c->counts = next;
    }
    for (uint32_t i = 0; i < c->origin_count; i++)
        free(c->origins[i]);
    free(c->origins);
    listen_forget(c);
    pthread_rwlock_destroy(&c->lock);
    pthread_mutex_destroy(&c->counts_lock);
    free(c);
}

status collector_configure(collector *c, config *file, error *err)
{
    pipelines *p;
    status st = pipelines_new(&p, c, file, err);
    if (st == STATUS_OK)
        make_current(c, p);
    return st;
}

const void *collector_settings(const collector *c, component_kind kind, const char *type)
{
    const pipelines *p = c->current;
    for (uint32_t i = 0; i < p->count; i++)
        if (p->components[i].type->kind == kind && strcmp(p->components[i].type->type, type) == 0)
            return p->components[i].settings;
    return NULL;
}

status collector_start(collector *c, store *s, http_server *server, const collector_web *web,
                       error *err)
{
    pipelines *p = c->current;
    c->store = s;
    c->server = server;
    c->web = *web;
    status st = origins_save(c, err);
    if (st == STATUS_OK)
        st = start_deliveries(p, err);
    if (st == STATUS_OK)
        st = forget_others(c, p, true, err);
    if (st == STATUS_OK)
        st = listen_switch(c, p, err);
    return st == STATUS_OK ? start_components(p, err) : st;
}

static status switch_to(collector *c, pipelines *fresh, const collector_web *web, error *err)
{
    collector_web before = c->web;
    c->web = *web;
    status st = origins_save(c, err);
    if (st == STATUS_OK)
        st = begin_deliveries(fresh, err);
    if (st == STATUS_OK)
        st = listen_switch(c, fresh, err);
    if (st != STATUS_OK) {
        error ignored;
        c->web = before;
        listen_restore(c, c->current);
        (void)forget_others(c, c->current, false, &ignored);
    }
    listen_settle(c);
    return st;
}

/* The log is replayed through the configuration of the day: what came under another one is in parts
 * before that. */
static void seal_kept(collector *c)
{
    error err;
    if (store_seal(c->store, &err) != STATUS_OK && c->options.say)
        c->options.say(true, "store", "rows_not_sealed", err.message);
}

static void note_trouble(collector *c, const error *err)
{
    pthread_rwlock_wrlock(&c->lock);
    c->trouble = *err;
    pthread_rwlock_unlock(&c->lock);
}

/* What fails here leaves the rest running, and the server not ready. */
static void start_fresh(collector *c, pipelines *fresh)
{
    error first = { 0 }, err;
    status st = start_deliveries(fresh, &first);
    if (forget_others(c, fresh, true, &err) != STATUS_OK && st == STATUS_OK)
        st = (first = err).code;
    if (start_components(fresh, &err) != STATUS_OK && st == STATUS_OK)
        st = (first = err).code;
    first.code = st;
    note_trouble(c, &first);
}

/* The ports lead to the new components before the old ones stop, so that no sender is turned away;
 * what comes meanwhile waits in the log. Exporters of the old ones end before what only the new
 * ones take is let in, since they would pass it over. A request that takes its time keeps the
 * components that it is on its way to. */
status collector_reload(collector *c, config *file, const collector_web *web, error *err)
{
    pipelines *fresh, *old = c->current;
    sweep_retired(c, false);
    status st = pipelines_new(&fresh, c, file, err);
    if (st != STATUS_OK)
        return st;
    st = switch_to(c, fresh, web, err);
    if (st != STATUS_OK) {
        retire(c, fresh);
        return st;
    }
    stop_components(old, COMPONENT_RECEIVER);
    stop_deliveries(old);
    make_current(c, fresh);
    stop_behind_receivers(old);
    retire(c, old);
    start_fresh(c, fresh);
    seal_kept(c);
    return STATUS_OK;
}

status collector_complete(collector *c, error *err)
{
    pthread_rwlock_rdlock(&c->lock);
    error trouble = c->trouble;
    pthread_rwlock_unlock(&c->lock);
    return trouble.code == STATUS_OK ? STATUS_OK : fail(err, trouble.code, "%s", trouble.message);
}

void collector_stop(collector *c)
{
    if (!c || !c->current || !c->store)
        return;
    stop_components(c->current, COMPONENT_RECEIVER);
    stop_deliveries(c->current);
    stop_behind_receivers(c->current);
    seal_kept(c);
}

void collector_behind(collector *c, collector_behind_sink *sink, void *user)
{
    pthread_rwlock_rdlock(&c->lock);
    const pipelines *p = c->current;
    for (uint32_t i = 0; i < p->delivery_count; i++)
        sink(user, delivery_sink(p->deliveries[i])->id, delivery_behind(p->deliveries[i]));
    pthread_rwlock_unlock(&c->lock);
}

const component *collector_component(collector *c, component_kind kind, const char *type,
                                     const component *after)
{
    const pipelines *p = c->current;
    for (uint32_t i = after ? (uint32_t)(after - p->components) + 1 : 0; i < p->count; i++)
        if (p->components[i].type->kind == kind && strcmp(p->components[i].type->type, type) == 0)
            return &p->components[i];
    return NULL;
}
