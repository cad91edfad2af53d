// SPDX-License-Identifier: Apache-2.0
/* Health checks: a list of at most 64, one lock. Each run of a check has a detached thread of its
 * own, started by the report that wants a fresh result; the report waits for all of them at most
 * until their time limits. A check's memory lives until it was freed and no run is under way. */
#include "lib/health.h"

#include "base/clock.h"
#include "codec/json.h"
#include "sonde/health.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

enum { CHECKS_MAX = 64, NAME_SIZE = 64, DETAIL_SIZE = 160 };

struct sonde_health_check {
    char name[NAME_SIZE];
    sonde_health_fn *fn;
    void *user;
    uint32_t timeout_ms;
    bool running;
    bool has_result;
    bool good;
    int64_t started_ns, finished_ns; /* monotonic */
    int64_t duration_ns;
    char detail[DETAIL_SIZE];
};

/* What a report shows of one check, copied under the lock. */
typedef struct {
    char name[NAME_SIZE];
    char detail[DETAIL_SIZE];
    bool good;
    int64_t duration_ns;
} check_view;

static struct {
    pthread_mutex_t lock;
    pthread_cond_t changed;
    pthread_once_t once;
    sonde_health_check *checks[CHECKS_MAX];
    size_t count;
    sonde_health_options options;
    char version[64];
    int64_t zero_ns; /* monotonic */
} health = { .lock = PTHREAD_MUTEX_INITIALIZER, .once = PTHREAD_ONCE_INIT };

static void health_init(void)
{
    pthread_condattr_t attributes;
    pthread_condattr_init(&attributes);
    pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    pthread_cond_init(&health.changed, &attributes);
    pthread_condattr_destroy(&attributes);
    health.zero_ns = clock_mono_ns();
}

static void health_lock(void)
{
    pthread_once(&health.once, health_init);
    pthread_mutex_lock(&health.lock);
}

void health_configure(const sonde_health_options *options, str version)
{
    health_lock();
    health.options = *options;
    if (health.options.cache_ms == 0)
        health.options.cache_ms = 1000;
    str_copy_c(health.version, sizeof(health.version), version);
    health.zero_ns = clock_mono_ns();
    pthread_mutex_unlock(&health.lock);
}

void health_forked(void)
{
    health.lock = (pthread_mutex_t)PTHREAD_MUTEX_INITIALIZER;
    health.once = (pthread_once_t)PTHREAD_ONCE_INIT;
    for (size_t i = 0; i < health.count; i++)
        health.checks[i]->running = false;
}

sonde_health_check *sonde_health_check_new(const char *name, sonde_health_fn *fn, void *user,
                                           uint32_t timeout_ms)
{
    sonde_health_check *check = fn ? calloc(1, sizeof(*check)) : NULL;
    if (!check)
        return NULL;
    str_copy_c(check->name, sizeof(check->name), str_c(name));
    check->fn = fn;
    check->user = user;
    check->timeout_ms = timeout_ms ? timeout_ms : 1000;
    health_lock();
    bool good = health.count < CHECKS_MAX && check->name[0];
    for (size_t i = 0; i < health.count && good; i++)
        good = strcmp(health.checks[i]->name, check->name) != 0;
    if (good)
        health.checks[health.count++] = check;
    pthread_mutex_unlock(&health.lock);
    if (!good) {
        free(check);
        return NULL;
    }
    return check;
}

void sonde_health_check_free(sonde_health_check *check)
{
    if (!check)
        return;
    health_lock();
    for (size_t i = 0; i < health.count; i++)
        if (health.checks[i] == check) {
            health.checks[i] = health.checks[--health.count];
            break;
        }
    while (check->running)
        pthread_cond_wait(&health.changed, &health.lock);
    pthread_mutex_unlock(&health.lock);
    free(check);
}

/* ---- running ---- */

static void *check_run(void *arg)
{
    sonde_health_check *check = arg;
    char detail[DETAIL_SIZE] = "";
    bool good = check->fn(check->user, detail, sizeof(detail));
    detail[DETAIL_SIZE - 1] = '\0';
    health_lock();
    check->finished_ns = clock_mono_ns();
    check->duration_ns = check->finished_ns - check->started_ns;
    check->good = good;
    check->has_result = true;
    check->running = false;
    str_copy_c(check->detail, sizeof(check->detail), str_c(detail));
    pthread_cond_broadcast(&health.changed);
    pthread_mutex_unlock(&health.lock);
    return NULL;
}

/* Under the lock. */
static void check_start(sonde_health_check *check, int64_t now)
{
    if (check->running ||
        (check->has_result && now - check->finished_ns < health.options.cache_ms * NS_PER_MS))
        return;
    pthread_attr_t attributes;
    pthread_t thread;
    pthread_attr_init(&attributes);
    pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
    check->started_ns = now;
    check->running = true;
    if (pthread_create(&thread, &attributes, check_run, check) != 0) {
        check->running = false;
        check->has_result = true;
        check->good = false;
        check->finished_ns = now;
        check->duration_ns = 0;
        str_copy_c(check->detail, sizeof(check->detail), STR("no thread for the check"));
    }
    pthread_attr_destroy(&attributes);
}

/* Under the lock. The time when waiting for the slowest check ends; 0: nothing to wait for. */
static int64_t checks_deadline(int64_t now)
{
    int64_t deadline = 0;
    for (size_t i = 0; i < health.count; i++) {
        const sonde_health_check *c = health.checks[i];
        if (!c->running)
            continue;
        int64_t ends = c->started_ns + c->timeout_ms * NS_PER_MS;
        if (ends > now)
            deadline = MAX(deadline, ends);
    }
    return deadline;
}

/* Fills at most CHECKS_MAX views; true when every check passed. */
static bool checks_collect(check_view *views, size_t *ret_count)
{
    bool all_good = true;
    health_lock();
    int64_t now = clock_mono_ns(), deadline;
    for (size_t i = 0; i < health.count; i++)
        check_start(health.checks[i], now);
    while ((deadline = checks_deadline(clock_mono_ns())) != 0) {
        struct timespec until = { deadline / NS_PER_S, deadline % NS_PER_S };
        pthread_cond_timedwait(&health.changed, &health.lock, &until);
    }
    *ret_count = health.count;
    for (size_t i = 0; i < health.count; i++) {
        const sonde_health_check *c = health.checks[i];
        check_view *v = &views[i];
        *v = (check_view){ .good = c->good, .duration_ns = c->duration_ns };
        memcpy(v->name, c->name, sizeof(v->name));
        memcpy(v->detail, c->detail, sizeof(v->detail));
        if (c->running) {
            v->good = false;
            v->duration_ns = clock_mono_ns() - c->started_ns;
            snprintf(v->detail, sizeof(v->detail), "no answer within %u ms", c->timeout_ms);
        }
        all_good = all_good && v->good;
    }
    pthread_mutex_unlock(&health.lock);
    return all_good;
}

bool sonde_health_ready(void)
{
    check_view views[CHECKS_MAX];
    size_t count;
    return checks_collect(views, &count);
}

/* ---- reports ---- */

/* How each shape says things. */
typedef struct {
    const char *good, *bad;             /* of the whole */
    const char *check_good, *check_bad; /* of a check without words of its own */
    bool objects;                       /* a check is an object with status, duration and detail */
    bool nested;                        /* the checks are members of "checks" */
    bool bare_live;                     /* alive without checks: nothing but the status */
    bool version, uptime;
} report_shape;

static const report_shape shapes[] = {
    [SONDE_HEALTH_CHECKS] = { "ok", "failed", "ok", "failed", .objects = true, .nested = true,
                              .version = true, .uptime = true },
    [SONDE_HEALTH_FLAT] = { "healthy", "unhealthy", "connected", "disconnected", .uptime = true },
    [SONDE_HEALTH_WORDS] = { "ok", "degraded", "ok", "failed", .nested = true, .bare_live = true,
                             .version = true },
};

static void write_check(json_writer *w, const check_view *v, const report_shape *shape)
{
    const char *word = v->good ? shape->check_good : shape->check_bad;
    json_key(w, str_c(v->name));
    if (!shape->objects) {
        /* What a check says of itself when all is well has no place in the shape of words. */
        bool own = v->detail[0] && !(v->good && shape->nested);
        json_str(w, str_c(own ? v->detail : word));
        return;
    }
    json_begin_object(w);
    JSON_PUT(w, str, "status", str_c(word));
    JSON_PUT(w, f64, "duration_ms", (double)v->duration_ns / (double)NS_PER_MS);
    if (v->detail[0])
        JSON_PUT(w, str, "detail", str_c(v->detail));
    json_end_object(w);
}

int health_report(health_kind kind, buf *out)
{
    check_view views[CHECKS_MAX];
    size_t count = 0;
    health_lock();
    sonde_health_options o = health.options;
    char version[sizeof(health.version)];
    memcpy(version, health.version, sizeof(version));
    int64_t uptime_s = (clock_mono_ns() - health.zero_ns) / NS_PER_S;
    pthread_mutex_unlock(&health.lock);

    const report_shape *shape = &shapes[(size_t)o.shape < ARRAY_LEN(shapes) ? o.shape : 0];
    bool with_checks = kind == HEALTH_READY || o.health_has_checks;
    bool bare = shape->bare_live && !with_checks;
    bool good = with_checks ? checks_collect(views, &count) : true;
    json_writer w = json_write(out);
    json_begin_object(&w);
    JSON_PUT(&w, str, "status", str_c(good ? shape->good : shape->bad));
    if (with_checks && shape->nested) {
        json_key(&w, STR("checks"));
        json_begin_object(&w);
    }
    for (size_t i = 0; i < count; i++)
        write_check(&w, &views[i], shape);
    if (with_checks && shape->nested)
        json_end_object(&w);
    if (version[0] && shape->version && !bare)
        JSON_PUT(&w, str, "version", str_c(version));
    if (shape->uptime)
        JSON_PUT(&w, i64, "uptime_seconds", uptime_s);
    json_end_object(&w);
    buf_char(out, '\n');
    return good || kind == HEALTH_LIVE || o.ready_always_200 ? 200 : 503;
}
