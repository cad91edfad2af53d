// SPDX-License-Identifier: Apache-2.0
/* The pool; see database_pool.h. Connections are opened when they are first needed, and again after
 * a loss. `used` counts those that are given out or being opened, so used + idle <= max. The lock
 * is never held while the network is waited for. */
#include "examples/common/database_pool.h"

#include "examples/common/config.h"

#include <errno.h>
#include <pthread.h>
#include <sonde/sonde.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

enum { MAX_CONNECTIONS = 32 };

struct connection_pool {
    const database_engine *engine;
    char where[1024];
    int max;
    pthread_mutex_t lock;
    pthread_cond_t given_back;
    void *idle[MAX_CONNECTIONS]; /* the last one is taken first */
    int idle_count, used, waiting;
    sonde_db_pool *metrics;
};

connection_pool *pool_new(const database_engine *engine, const char *where, int max)
{
    pthread_condattr_t monotonic;
    connection_pool *p = calloc(1, sizeof(*p));
    if (!p)
        return NULL;
    p->engine = engine;
    p->max = max < MAX_CONNECTIONS ? max : MAX_CONNECTIONS;
    snprintf(p->where, sizeof(p->where), "%s", where);
    pthread_mutex_init(&p->lock, NULL);
    pthread_condattr_init(&monotonic);
    pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    pthread_cond_init(&p->given_back, &monotonic);
    p->metrics = sonde_db_pool_new(engine->system, p->max);
    return p;
}

void pool_free(connection_pool *p)
{
    if (!p)
        return;
    while (p->idle_count)
        p->engine->close(p->idle[--p->idle_count]);
    sonde_db_pool_free(p->metrics);
    pthread_cond_destroy(&p->given_back);
    pthread_mutex_destroy(&p->lock);
    free(p);
}

static void show(connection_pool *p)
{
    sonde_db_pool_set(p->metrics, p->idle_count, p->used, p->waiting);
}

/* With the lock. Waits for a place among the `max`; false at the deadline. */
static bool wait_for_place(connection_pool *p, int64_t deadline_ms)
{
    struct timespec until = { deadline_ms / 1000, deadline_ms % 1000 * 1000000 };
    int64_t begun = config_now_ms();
    int result = 0;
    p->waiting++;
    show(p);
    while (p->used >= p->max && result == 0)
        result = pthread_cond_timedwait(&p->given_back, &p->lock, &until);
    p->waiting--;
    bool good = p->used < p->max && config_now_ms() < deadline_ms;
    if (!good)
        pthread_cond_signal(&p->given_back); /* a place that came too late is somebody else's */
    sonde_db_pool_waited(p->metrics, (double)(config_now_ms() - begun) / 1e3, !good);
    return good;
}

/* A place, and the idle connection that comes with it (or NULL, for a new one). */
static bool take_place(connection_pool *p, int64_t deadline_ms, void **ret, database_error *e)
{
    pthread_mutex_lock(&p->lock);
    bool good = p->used < p->max || wait_for_place(p, deadline_ms);
    if (good) {
        *ret = p->idle_count ? p->idle[--p->idle_count] : NULL;
        p->used++;
    } else {
        snprintf(e->text, sizeof(e->text),
                 "no connection became free in time: all %d are in use, %d more wait", p->max,
                 p->waiting);
        e->type = "pool_timeout";
    }
    show(p);
    pthread_mutex_unlock(&p->lock);
    return good;
}

static void give_place(connection_pool *p, void *connection)
{
    pthread_mutex_lock(&p->lock);
    p->used--;
    if (connection)
        p->idle[p->idle_count++] = connection;
    show(p);
    pthread_cond_signal(&p->given_back);
    pthread_mutex_unlock(&p->lock);
}

/* When no new connection can be had, the idle ones are lost as a rule: none stays that is. */
static void drop_lost(connection_pool *p)
{
    pthread_mutex_lock(&p->lock);
    int kept = 0;
    for (int i = 0; i < p->idle_count; i++)
        if (p->engine->usable(p->idle[i]))
            p->idle[kept++] = p->idle[i];
        else
            p->engine->close(p->idle[i]);
    p->idle_count = kept;
    pthread_mutex_unlock(&p->lock);
}

void *pool_take(connection_pool *p, int64_t deadline_ms, database_error *e)
{
    void *connection;
    if (!take_place(p, deadline_ms, &connection, e))
        return NULL;
    if (connection && !p->engine->usable(connection)) {
        p->engine->close(connection);
        connection = NULL;
    }
    if (!connection && !(connection = p->engine->open(p->where, deadline_ms, e))) {
        drop_lost(p);
        give_place(p, NULL);
    }
    return connection;
}

void pool_give(connection_pool *p, void *connection, bool keep)
{
    if (!keep || !p->engine->usable(connection)) {
        p->engine->close(connection);
        connection = NULL;
    }
    give_place(p, connection);
}

database_pool pool_state(connection_pool *p)
{
    pthread_mutex_lock(&p->lock);
    database_pool state = { p->max, p->idle_count, p->used, p->waiting };
    pthread_mutex_unlock(&p->lock);
    return state;
}
