// SPDX-License-Identifier: Apache-2.0
/* The built-in alertmanager as a whole: opened, fed, reloaded, stopped. One thread makes
 * notifications of the groups that are due, a few send them. */
#include "rules/notify/state.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

enum { SWEEP_MS = 60000, WAIT_MAX_MS = 5000, OTHER_THREADS = 2 };

/* ---- telling the operator, transactions ---- */

void am_say(const alertmanager *am, bool warning, const char *event, const char *format, ...)
{
    char text[1024];
    va_list list;
    if (!am->options.say)
        return;
    va_start(list, format);
    vsnprintf(text, sizeof(text), format, list);
    va_end(list);
    am->options.say(am->options.user, warning, event, text);
}

void am_begin(alertmanager *am)
{
    error err;
    if (am->begun)
        return;
    am->begun = true;
    am->in_transaction = db_begin(am->db, &err) == STATUS_OK;
    am->counters.database_errors += !am->in_transaction;
}

status am_commit(alertmanager *am, error *err)
{
    error own;
    if (!am->begun)
        return STATUS_OK;
    status st = am->in_transaction ? db_commit(am->db, &own) : STATUS_OK;
    am->begun = am->in_transaction = false;
    atomic_fetch_add(&am->committed, 1);
    am_sync_wake(am);
    pending_committed(am, st == STATUS_OK);
    if (st != STATUS_OK) {
        am->counters.database_errors++;
        am_say(am, true, "alertmanager_not_stored", "%s", own.message);
        return fail(err, st, "%s", own.message);
    }
    return st;
}

/* ---- alerts come ---- */

static status put_one(alertmanager *am, const alert *given, int64_t now_ms, error *err)
{
    kept_alert *a = NULL;
    status st = alerts_put(am, given, now_ms, &a, err);
    if (st == STATUS_OK)
        return groups_route(am, a, now_ms, err);
    if (st == STATUS_INVALID)
        am->counters.invalid++;
    else
        am->counters.refused++;
    return st;
}

static status put_alerts(void *user, const alert *alerts, uint32_t count, error *err)
{
    alertmanager *am = user;
    status first = STATUS_OK;
    pthread_mutex_lock(&am->lock);
    int64_t now = am_now(am);
    am_begin(am);
    for (uint32_t i = 0; i < count; i++) {
        error own;
        status st = put_one(am, &alerts[i], now, &own);
        if (st != STATUS_OK && (first == STATUS_OK || first == STATUS_INVALID))
            first = fail(err, st, "%s", own.message);
    }
    error own;
    status st = am_commit(am, &own);
    if (st != STATUS_OK)
        first = fail(err, st, "%s", own.message);
    uint64_t number = atomic_load(&am->committed);
    pthread_cond_broadcast(&am->wake);
    pthread_mutex_unlock(&am->lock);
    st = am_durable(am, number, &own);
    if (st != STATUS_OK)
        first = fail(err, st, "%s", own.message);
    return first;
}

const alert_sink *alertmanager_sink(alertmanager *am)
{
    return &am->sink;
}

/* ---- running ---- */

static void sweep(alertmanager *am, int64_t now_ms)
{
    if (now_ms - am->swept_ms < SWEEP_MS)
        return;
    am->swept_ms = now_ms;
    silences_sweep(am, now_ms);
    slots_sweep(am, now_ms);
    /* Alerts that no group took, and that are over. */
    kept_alert **over = malloc((am->alerts.count + 1) * sizeof(void *));
    size_t n = 0;
    for (map_slot *s = NULL; over && (s = map_next(&am->alerts, s));) {
        kept_alert *a = (kept_alert *)(uintptr_t)s->value;
        if (!a->groups && is_resolved(a, now_ms))
            over[n++] = a;
    }
    for (size_t i = 0; i < n; i++)
        alerts_release(am, over[i], now_ms);
    free(over);
}

static void wait_until(alertmanager *am, int64_t time_ms)
{
    struct timespec until;
    int64_t pause = time_ms - am_now(am);
    if (pause <= 0)
        return;
    clock_gettime(CLOCK_MONOTONIC, &until);
    int64_t ns = until.tv_nsec + MIN(pause, (int64_t)WAIT_MAX_MS) * NS_PER_MS;
    until.tv_sec += (time_t)(ns / NS_PER_S);
    until.tv_nsec = (long)(ns % NS_PER_S);
    (void)pthread_cond_timedwait(&am->wake, &am->lock, &until);
}

static void *dispatch(void *user)
{
    alertmanager *am = user;
    pthread_mutex_lock(&am->lock);
    while (!atomic_load(&am->stopping)) {
        int64_t now = am_now(am);
        uint32_t before = am->pending_count;
        groups_follow_clock(am, now);
        int64_t next = groups_flush_due(am, now);
        sweep(am, now);
        (void)am_commit(am, NULL);
        if (am->pending_count > before)
            pthread_cond_broadcast(&am->wake);
        wait_until(am, next);
    }
    pthread_mutex_unlock(&am->lock);
    return NULL;
}

static void *deliver(void *user)
{
    alertmanager *am = user;
    while (!atomic_load(&am->stopping)) {
        if (sender_step(am))
            continue;
        pthread_mutex_lock(&am->lock);
        int64_t next = sender_next_ms(am);
        if (!atomic_load(&am->stopping))
            wait_until(am, next);
        pthread_mutex_unlock(&am->lock);
    }
    return NULL;
}

static int start_thread(alertmanager *am, void *(*run)(void *))
{
    int code = pthread_create(&am->threads[am->thread_count], NULL, run, am);
    am->thread_count += code == 0;
    return code;
}

/* Without a thread for it the ones that are there go on. */
void am_add_sender(alertmanager *am)
{
    if (am->thread_count >= OTHER_THREADS && am->sending >= am->thread_count - OTHER_THREADS &&
        am->thread_count < ARRAY_LEN(am->threads) && !atomic_load(&am->stopping))
        (void)start_thread(am, deliver);
}

status alertmanager_start(alertmanager *am, error *err)
{
    pthread_mutex_lock(&am->lock);
    int code = start_thread(am, dispatch);
    if (!code)
        code = start_thread(am, am_sync_run);
    for (unsigned i = 0; !code && i < SENDERS; i++)
        code = start_thread(am, deliver);
    pthread_mutex_unlock(&am->lock);
    return code ? fail_errno(err, code, "a thread of the alertmanager") : STATUS_OK;
}

void alertmanager_stop(alertmanager *am)
{
    if (!am)
        return;
    pthread_mutex_lock(&am->lock);
    atomic_store(&am->stopping, 1);
    pthread_cond_broadcast(&am->wake);
    pthread_mutex_unlock(&am->lock);
    am_sync_wake(am);
    for (unsigned i = 0; i < am->thread_count; i++)
        pthread_join(am->threads[i], NULL);
    am->thread_count = 0;
}

/* ---- configuration ---- */

static void say_issue(void *user, bool warning, const char *text)
{
    const alertmanager *am = user;
    am_say(am, true, warning ? "alertmanager_config_warning" : "alertmanager_config_error", "%s",
           text);
}

void am_drop_orphans(alertmanager *am, int64_t now_ms)
{
    for (pending *p = am->first, *next; p; p = next) {
        str group_key;
        next = p->next;
        if (p->running || slot_integration(am->config, p->slot, &group_key))
            continue;
        str rest, name = str_cut(str_c(p->slot->text), '\n', &rest);
        am_say(am, true, "notification_dropped",
               "receiver %.*s: it is not configured any more, and was not told of %.*s",
               STR_ARG(name), STR_ARG(str_slice(rest, 0, 200)));
        for (int kind = 0; kind < NOTIFY_KINDS; kind++)
            am->counters.dropped[kind] += str_starts(rest, str_c(notify_kind_names[kind]));
        pending_done(am, p, false, now_ms);
    }
}

status alertmanager_reload(alertmanager *am, const char *path, error *err)
{
    config *next;
    char *copy = path ? strdup(path) : NULL;
    status st = notify_config_read(&next, path, say_issue, am, err);
    pthread_mutex_lock(&am->lock);
    int64_t now = am_now(am);
    am->counters.reload_good = st == STATUS_OK;
    am->counters.reloads_failed += st != STATUS_OK;
    if (st == STATUS_OK) {
        am->counters.reload_ms = now;
        inhibit_done(am);
        config *old = am->config;
        am->config = next;
        am->config_version++;
        groups_rebuild(am, now);
        am_drop_orphans(am, now);
        (void)am_commit(am, NULL);
        notify_config_unref(old);
        free(am->config_path);
        am->config_path = copy;
        copy = NULL;
        pthread_cond_broadcast(&am->wake);
    } else {
        am->config->watched = notify_config_watch(am->config); /* the same mistake is told once */
    }
    pthread_mutex_unlock(&am->lock);
    free(copy);
    return st;
}

void alertmanager_set_external_url(alertmanager *am, const char *url)
{
    char *copy = strdup(url);
    pthread_mutex_lock(&am->lock);
    if (copy) {
        free(am->external_url);
        am->external_url = copy;
    }
    pthread_mutex_unlock(&am->lock);
}

bool alertmanager_changed(alertmanager *am)
{
    pthread_mutex_lock(&am->lock);
    config *c = notify_config_ref(am->config);
    uint64_t watched = c->watched;
    pthread_mutex_unlock(&am->lock);
    bool changed = notify_config_watch(c) != watched;
    notify_config_unref(c);
    return changed;
}

status alertmanager_check(const char *path, config_issue *issue, void *user, buf *out, error *err)
{
    config *c;
    status st = notify_config_read(&c, path, issue, user, err);
    if (st == STATUS_OK) {
        notify_config_describe(c, out);
        notify_config_unref(c);
    }
    return st;
}

/* ---- opening ---- */

static status load_alert(void *user, const db_alert *a, error *err)
{
    return alerts_load(user, a, err);
}

static status load_silence(void *user, const db_silence *s, error *err)
{
    return silences_load(user, s, err);
}

static status load_log(void *user, const db_log *l, error *err)
{
    return slots_load_log(user, l, err);
}

static status load_pending(void *user, const db_pending *p, error *err)
{
    return slots_load_pending(user, p, err);
}

static void set_options(alertmanager *am, const alertmanager_options *o)
{
    static const alertmanager_options defaults = {
        .max_alerts = 100000, .max_groups = 20000, .max_pending = 10000, .max_silences = 10000
    };
    am->options = *o;
    am->options.max_alerts = o->max_alerts ? o->max_alerts : defaults.max_alerts;
    am->options.max_groups = o->max_groups ? o->max_groups : defaults.max_groups;
    am->options.max_pending = o->max_pending ? o->max_pending : defaults.max_pending;
    am->options.max_silences = o->max_silences ? o->max_silences : defaults.max_silences;
    am->data = strdup(o->data);
    am->external_url = strdup(o->external_url ? o->external_url : "http://127.0.0.1:4319");
    am->config_path = o->config ? strdup(o->config) : NULL;
    am->options.data = am->options.config = am->options.external_url = NULL;
}

static status init(alertmanager *am, error *err)
{
    pthread_condattr_t attributes;
    uint64_t seed;
    (void)random_seed(&seed, sizeof(seed));
    random_init(&am->random, seed);
    pthread_mutex_init(&am->lock, NULL);
    pthread_condattr_init(&attributes);
    pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    pthread_cond_init(&am->wake, &attributes);
    pthread_condattr_destroy(&attributes);
    am_sync_init(am);
    map_init(&am->alerts);
    map_init(&am->groups);
    map_init(&am->slots);
    am->silences_version = am->alerts_version = am->config_version = 1;
    am->send = notify_send;
    am->sink = (alert_sink){ put_alerts, am };
    am->started_ms = am_now(am);
    return am->data && am->external_url ? STATUS_OK
                                        : fail(err, STATUS_NO_MEMORY, "no memory for alerts");
}

status alertmanager_open(alertmanager **ret, const alertmanager_options *options, error *err)
{
    alertmanager *am = calloc(1, sizeof(*am));
    if (!am)
        return fail(err, STATUS_NO_MEMORY, "no memory for the alertmanager");
    set_options(am, options);
    status st = init(am, err);
    const db_visitor visitor = { load_alert, load_silence, load_log, load_pending, am };
    if (st == STATUS_OK)
        st = notify_config_read(&am->config, am->config_path, say_issue, am, err);
    if (st == STATUS_OK)
        st = db_open(&am->db, am->data, err);
    if (st == STATUS_OK)
        st = db_read_all(am->db, &visitor, err);
    if (st == STATUS_OK) {
        am->counters.reload_good = true;
        am->counters.reload_ms = am_now(am);
        alerts_outlast(am, alerts_last_known(am), am_now(am));
        groups_rebuild(am, am_now(am));
        am_drop_orphans(am, am_now(am));
        st = am_commit(am, err);
    }
    if (st != STATUS_OK) {
        alertmanager_free(am);
        return st;
    }
    *ret = am;
    return STATUS_OK;
}

void alertmanager_free(alertmanager *am)
{
    if (!am)
        return;
    alertmanager_stop(am);
    if (am->config)
        inhibit_done(am);
    groups_done(am);
    slots_done(am);
    alerts_done(am);
    silences_done(am);
    db_close(am->db);
    notify_config_unref(am->config);
    pthread_cond_destroy(&am->wake);
    pthread_mutex_destroy(&am->lock);
    am_sync_done(am);
    free(am->data);
    free(am->external_url);
    free(am->config_path);
    free(am);
}
