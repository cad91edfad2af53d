// SPDX-License-Identifier: Apache-2.0
/* A list of regions (calls of workers_run) in which idle threads look for runs of items that nobody
 * took yet. One lock guards the list and the counts of threads; items are taken by an atomic. */
#include "query/workers.h"

#include "base/base.h"

#include <pthread.h>
#include <stdatomic.h>
#include <unistd.h>

typedef struct region {
    struct region *next;
    workers_job *job;
    void *user;
    uint32_t count, grain;
    atomic_uint_fast64_t taken; /* items given out */
    atomic_int failed;          /* the first status that was not OK */
    uint32_t slots, inside;     /* threads that ever came; that are in it now */
} region;

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t more = PTHREAD_COND_INITIALIZER; /* a region came */
static pthread_cond_t left = PTHREAD_COND_INITIALIZER; /* a thread left one */
static pthread_once_t started = PTHREAD_ONCE_INIT;
static region *regions;
static uint32_t pool_size;

static void work(region *r, uint32_t slot)
{
    while (atomic_load_explicit(&r->failed, memory_order_relaxed) == STATUS_OK) {
        uint64_t first = atomic_fetch_add(&r->taken, r->grain);
        if (first >= r->count)
            return;
        uint64_t end = MIN(first + r->grain, (uint64_t)r->count);
        status st = r->job(r->user, slot, (uint32_t)first, (uint32_t)end);
        int none = STATUS_OK;
        if (st != STATUS_OK)
            atomic_compare_exchange_strong(&r->failed, &none, (int)st);
    }
}

static region *find_work(void)
{
    for (region *r = regions; r; r = r->next)
        if (r->slots < WORKERS_MAX && atomic_load(&r->taken) < r->count)
            return r;
    return NULL;
}

static void *helper(void *unused)
{
    (void)unused;
    pthread_mutex_lock(&lock);
    for (;;) {
        region *r = find_work();
        if (!r) {
            pthread_cond_wait(&more, &lock);
            continue;
        }
        uint32_t slot = r->slots++;
        r->inside++;
        pthread_mutex_unlock(&lock);
        work(r, slot);
        pthread_mutex_lock(&lock);
        if (--r->inside == 0)
            pthread_cond_broadcast(&left);
    }
    return NULL;
}

/* Fewer threads than wanted, or none, is no failure: the caller works alone. */
static void start_pool(void)
{
    long cores = sysconf(_SC_NPROCESSORS_ONLN);
    pthread_attr_t detached;
    if (pthread_attr_init(&detached) != 0)
        return;
    pthread_attr_setdetachstate(&detached, PTHREAD_CREATE_DETACHED);
    for (long i = 1; i < MIN(cores, (long)WORKERS_MAX); i++) {
        pthread_t thread;
        if (pthread_create(&thread, &detached, helper, NULL) != 0)
            break;
        pool_size++;
    }
    pthread_attr_destroy(&detached);
}

static void leave_list(region *r)
{
    for (region **at = &regions; *at; at = &(*at)->next) {
        if (*at == r) {
            *at = r->next;
            return;
        }
    }
}

status workers_run(uint32_t count, uint32_t grain, workers_job *job, void *user)
{
    region r = { .job = job, .user = user, .count = count, .grain = MAX(grain, 1u), .slots = 1 };
    pthread_once(&started, start_pool);
    bool shared = pool_size > 0 && count > r.grain;
    if (shared) {
        pthread_mutex_lock(&lock);
        r.next = regions;
        regions = &r;
        pthread_cond_broadcast(&more);
        pthread_mutex_unlock(&lock);
    }
    work(&r, 0);
    if (shared) {
        pthread_mutex_lock(&lock);
        leave_list(&r);
        while (r.inside)
            pthread_cond_wait(&left, &lock);
        pthread_mutex_unlock(&lock);
    }
    return (status)atomic_load(&r.failed);
}
