// SPDX-License-Identifier: Apache-2.0
/* When committed transactions are on the disk. One thread syncs at a time, for all that was
 * committed before it began; who waits for less is served by it, who waits for more is next. Nobody
 * holds the alertmanager's lock meanwhile, so a slow disk makes none of the others slow. */
#include "rules/notify/state.h"

static const int64_t again_ns = NS_PER_S; /* after the disk failed */

void am_sync_init(alertmanager *am)
{
    pthread_condattr_t attributes;
    pthread_mutex_init(&am->sync_lock, NULL);
    pthread_condattr_init(&attributes);
    pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    pthread_cond_init(&am->sync_wake, &attributes);
    pthread_condattr_destroy(&attributes);
    atomic_store(&am->committed, 1); /* what is found in the file may be in memory only */
}

void am_sync_done(alertmanager *am)
{
    pthread_cond_destroy(&am->sync_wake);
    pthread_mutex_destroy(&am->sync_lock);
}

void am_sync_wake(alertmanager *am)
{
    pthread_mutex_lock(&am->sync_lock);
    pthread_cond_broadcast(&am->sync_wake);
    pthread_mutex_unlock(&am->sync_lock);
}

status am_durable(alertmanager *am, uint64_t number, error *err)
{
    status st = STATUS_OK;
    pthread_mutex_lock(&am->sync_lock);
    while (st == STATUS_OK && am->durable < number) {
        if (am->syncing) {
            pthread_cond_wait(&am->sync_wake, &am->sync_lock);
            continue;
        }
        am->syncing = true;
        uint64_t newest = atomic_load(&am->committed);
        pthread_mutex_unlock(&am->sync_lock);
        st = db_sync(am->db, err);
        pthread_mutex_lock(&am->sync_lock);
        am->syncing = false;
        if (st == STATUS_OK)
            am->durable = newest;
        pthread_cond_broadcast(&am->sync_wake);
    }
    pthread_mutex_unlock(&am->sync_lock);
    return st;
}

static void wait_for_more(alertmanager *am, bool failed)
{
    struct timespec until;
    clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_sec += (time_t)(again_ns / NS_PER_S);
    pthread_mutex_lock(&am->sync_lock);
    if (failed)
        (void)pthread_cond_timedwait(&am->sync_wake, &am->sync_lock, &until);
    else if (am->durable >= atomic_load(&am->committed) && !atomic_load(&am->stopping))
        pthread_cond_wait(&am->sync_wake, &am->sync_lock);
    pthread_mutex_unlock(&am->sync_lock);
}

void *am_sync_run(void *user)
{
    alertmanager *am = user;
    bool failed = false;
    while (!atomic_load(&am->stopping)) {
        error err;
        wait_for_more(am, failed);
        bool was = failed;
        failed = am_durable(am, atomic_load(&am->committed), &err) != STATUS_OK;
        if (!failed)
            continue;
        pthread_mutex_lock(&am->lock);
        am->counters.database_errors++;
        pthread_mutex_unlock(&am->lock);
        if (!was)
            am_say(am, true, "alertmanager_not_stored", "%s", err.message);
    }
    return NULL;
}
