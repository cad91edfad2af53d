// SPDX-License-Identifier: Apache-2.0
/* Status providers, queues and pools. A run of one has a detached thread of its own, so that a
 * callback that hangs costs one thread and an error in the answer. The lock is never held while a
 * callback runs. */
#include "lib/debug_internal.h"

#include "base/clock.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>

enum { ANSWER_MS = 2000 };

static struct {
    pthread_mutex_t lock;
    pthread_once_t once;
    pthread_cond_t changed;
    sonde_debug_provider *list[PROVIDE_COUNT][DEBUG_KIND_MAX];
    size_t count[PROVIDE_COUNT];
} registry = { .lock = PTHREAD_MUTEX_INITIALIZER, .once = PTHREAD_ONCE_INIT };

static _Thread_local const sonde_debug_provider *running_here;

/* One run. Whoever comes last, the thread or the request that waits, frees it. */
typedef struct {
    sonde_debug_provider *provider; /* NULL: not started yet */
    buf out;
    bool done, abandoned;
} provider_run;

static void registry_init(void)
{
    pthread_condattr_t attributes;
    pthread_condattr_init(&attributes);
    pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    pthread_cond_init(&registry.changed, &attributes);
    pthread_condattr_destroy(&attributes);
}

static void registry_lock(void)
{
    pthread_once(&registry.once, registry_init);
    pthread_mutex_lock(&registry.lock);
}

void debug_registry_forked(void)
{
    registry.lock = (pthread_mutex_t)PTHREAD_MUTEX_INITIALIZER;
    registry.once = (pthread_once_t)PTHREAD_ONCE_INIT;
    for (int k = 0; k < PROVIDE_COUNT; k++)
        for (size_t i = 0; i < registry.count[k]; i++)
            registry.list[k][i]->running = false;
    debug_workflow_forked();
    debug_artifacts_forked();
    debug_config_forked();
}

/* ---- registration ---- */

sonde_debug_provider *debug_provider_new(const sonde_debug_provider *like, const char *name)
{
    sonde_debug_provider *p = like->fn.status ? malloc(sizeof(*p)) : NULL;
    if (!p)
        return NULL;
    *p = *like;
    str_copy_c(p->name, sizeof(p->name), str_c(name));
    registry_lock();
    size_t *count = &registry.count[p->kind];
    bool good = *count < DEBUG_KIND_MAX && (p->name[0] || p->kind == PROVIDE_STATUS);
    if (good)
        registry.list[p->kind][(*count)++] = p;
    pthread_mutex_unlock(&registry.lock);
    if (!good) {
        free(p);
        return NULL;
    }
    return p;
}

sonde_debug_provider *sonde_debug_status(const char *name, sonde_debug_status_fn *fn, void *user)
{
    sonde_debug_provider like = { .kind = PROVIDE_STATUS, .fn.status = fn, .user = user };
    return debug_provider_new(&like, name);
}

sonde_debug_provider *sonde_debug_queue(const char *name, sonde_debug_queue_fn *fn, void *user)
{
    sonde_debug_provider like = { .kind = PROVIDE_QUEUE, .fn.queue = fn, .user = user };
    return debug_provider_new(&like, name);
}

sonde_debug_provider *sonde_debug_pool(const char *name, sonde_debug_pool_fn *fn, void *user)
{
    sonde_debug_provider like = { .kind = PROVIDE_POOL, .fn.pool = fn, .user = user };
    return debug_provider_new(&like, name);
}

void sonde_debug_provider_free(sonde_debug_provider *provider)
{
    if (!provider)
        return;
    registry_lock();
    size_t *count = &registry.count[provider->kind], i = 0;
    sonde_debug_provider **list = registry.list[provider->kind];
    while (i < *count && list[i] != provider)
        i++;
    if (i < *count) {
        memmove(&list[i], &list[i + 1], (*count - i - 1) * sizeof(void *));
        (*count)--;
    }
    bool inside = running_here == provider;
    provider->freed = inside;
    while (provider->running && !inside)
        pthread_cond_wait(&registry.changed, &registry.lock);
    pthread_mutex_unlock(&registry.lock);
    if (!inside)
        free(provider);
}

/* ---- running ---- */

static void put_counts(json_writer *w, const char *const *keys, const int64_t *values, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (values[i] != -1) {
            json_key(w, str_c(keys[i]));
            json_i64(w, values[i]);
        }
}

static void call_queue(const sonde_debug_provider *p, sonde_json *json)
{
    static const char *const keys[] = { "depth", "processing", "capacity" };
    sonde_queue_state s = { -1, -1, -1, -1 };
    p->fn.queue(p->user, &s);
    const int64_t values[] = { s.depth, s.processing, s.capacity };
    put_counts(&json->w, keys, values, ARRAY_LEN(values));
    if (s.oldest_age_s >= 0)
        JSON_PUT(&json->w, f64, "oldest_age_seconds", s.oldest_age_s);
}

/* The numbers come first in the answer, but are known last. */
static void call_pool(const sonde_debug_provider *p, sonde_json *json)
{
    static const char *const keys[] = { "max", "idle", "in_use", "waiting" };
    sonde_pool_state s = { -1, -1, -1, -1 };
    sonde_json list;
    buf rows;
    buf_init(&rows, DEBUG_ANSWER_MAX);
    debug_json_init(&list, &rows, true);
    p->fn.pool(p->user, &s, &list);
    debug_json_finish(&list);
    const int64_t values[] = { s.max, s.idle, s.in_use, s.waiting };
    put_counts(&json->w, keys, values, ARRAY_LEN(values));
    json_key(&json->w, STR("connections"));
    json_begin_array(&json->w);
    buf_str(json->w.out, buf_view(&rows));
    json_end_array(&json->w);
    json->w.out->failed = json->w.out->failed || rows.failed;
    buf_done(&rows);
}

static void *run_provider(void *arg)
{
    provider_run *run = arg;
    sonde_debug_provider *p = run->provider;
    sonde_json json;
    debug_json_init(&json, &run->out, false);
    running_here = p;
    if (p->kind == PROVIDE_STATUS)
        p->fn.status(p->user, &json);
    else if (p->kind == PROVIDE_QUEUE)
        call_queue(p, &json);
    else
        call_pool(p, &json);
    running_here = NULL;
    debug_json_finish(&json);
    registry_lock();
    p->running = false;
    run->done = true;
    bool free_run = run->abandoned, free_provider = p->freed;
    pthread_cond_broadcast(&registry.changed);
    pthread_mutex_unlock(&registry.lock);
    if (free_provider)
        free(p);
    if (free_run) {
        buf_done(&run->out);
        free(run);
    }
    return NULL;
}

/* Under the lock. The program's signal handlers run on its own threads. */
static bool start_run(provider_run *run, sonde_debug_provider *p)
{
    pthread_attr_t attributes;
    pthread_t thread;
    sigset_t all, before;
    pthread_attr_init(&attributes);
    pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
    sigfillset(&all);
    run->provider = p;
    p->running = true;
    pthread_sigmask(SIG_SETMASK, &all, &before);
    bool started = pthread_create(&thread, &attributes, run_provider, run) == 0;
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    pthread_attr_destroy(&attributes);
    if (!started) {
        run->provider = NULL;
        p->running = false;
    }
    return started;
}

static bool is_registered(provider_kind kind, const sonde_debug_provider *p)
{
    for (size_t i = 0; i < registry.count[kind]; i++)
        if (registry.list[kind][i] == p)
            return true;
    return false;
}

/* Under the lock. Starts what can be started; true while there is something to wait for. */
static bool advance(provider_kind kind, provider_run **runs, sonde_debug_provider *const *wanted,
                    size_t count)
{
    bool waits = false;
    for (size_t i = 0; i < count; i++) {
        provider_run *run = runs[i];
        if (!run || run->done)
            continue;
        if (!run->provider && is_registered(kind, wanted[i]) && !wanted[i]->running)
            start_run(run, wanted[i]);
        waits = waits || run->provider || is_registered(kind, wanted[i]);
    }
    return waits;
}

static void take_answer(provider_answer *a, provider_run *run)
{
    if (!run || !run->done) {
        a->late = run ? "no answer within 2 s" : "no memory for the answer";
        return;
    }
    a->memory = run->out;
    a->members = buf_view(&a->memory);
    if (a->memory.failed)
        a->late = "the answer is larger than 1 MiB, or there is no memory for it";
}

size_t debug_ask_providers(provider_kind kind, provider_answer *answers)
{
    sonde_debug_provider *wanted[DEBUG_KIND_MAX];
    provider_run *runs[DEBUG_KIND_MAX];
    int64_t until_ns = clock_mono_ns() + ANSWER_MS * NS_PER_MS;
    struct timespec until = { until_ns / NS_PER_S, until_ns % NS_PER_S };
    registry_lock();
    size_t count = registry.count[kind];
    memcpy(wanted, registry.list[kind], count * sizeof(void *));
    for (size_t i = 0; i < count; i++) {
        answers[i] = (provider_answer){ .members = STR_EMPTY };
        memcpy(answers[i].name, wanted[i]->name, sizeof(answers[i].name));
        runs[i] = calloc(1, sizeof(provider_run));
        if (runs[i])
            buf_init(&runs[i]->out, DEBUG_ANSWER_MAX);
    }
    while (advance(kind, runs, wanted, count) &&
           pthread_cond_timedwait(&registry.changed, &registry.lock, &until) == 0)
        ;
    for (size_t i = 0; i < count; i++) {
        take_answer(&answers[i], runs[i]);
        if (runs[i] && runs[i]->provider && !runs[i]->done)
            runs[i]->abandoned = true;
        else
            free(runs[i]);
    }
    pthread_mutex_unlock(&registry.lock);
    return count;
}

/* ---- pages ---- */

void debug_put_members(json_writer *w, const provider_answer *a)
{
    if (a->late) {
        JSON_PUT(w, str, "error", str_c(a->late));
        return;
    }
    if (a->members.len && w->comma)
        buf_char(w->out, ',');
    buf_str(w->out, a->members);
    w->comma = w->comma || a->members.len;
}

int debug_provider_list(page *p, provider_kind kind, const char *list)
{
    provider_answer answers[DEBUG_KIND_MAX];
    size_t count = p->head ? 0 : debug_ask_providers(kind, answers);
    json_writer w = debug_begin_json(p);
    json_key(&w, str_c(list));
    json_begin_array(&w);
    for (size_t i = 0; i < count; i++) {
        json_begin_object(&w);
        JSON_PUT(&w, str, "name", str_c(answers[i].name));
        debug_put_members(&w, &answers[i]);
        json_end_object(&w);
        buf_done(&answers[i].memory);
    }
    json_end_array(&w);
    return debug_end_json(p, &w);
}

int debug_queue_page(page *p)
{
    return debug_provider_list(p, PROVIDE_QUEUE, "queues");
}
