// SPDX-License-Identifier: Apache-2.0
/* Worker threads; see pool.h. One mutex guards the ring of waiting jobs and the counts. */
#include "net/pool.h"

#include "base/clock.h"
#include "base/str.h"

#include <pthread.h>
#include <signal.h>
#include <stdlib.h>

struct pool {
    pthread_mutex_t lock;
    pthread_cond_t work;  /* jobs wait, or the pool stops */
    pthread_cond_t ended; /* a thread has ended */
    pool_options options;
    pool_job *job;
    void **ring;
    unsigned head;
    _Atomic unsigned waiting; /* changed under the lock */
    unsigned threads, idle;
    bool stopping;
};

status pool_new(pool **ret, const pool_options *options, pool_job *job, error *err)
{
    pool *p = calloc(1, sizeof(*p));
    void **ring = calloc(options->queue, sizeof(void *));
    if (!p || !ring) {
        free(p);
        free(ring);
        return fail(err, STATUS_NO_MEMORY, "no memory for the queue of %s", options->name);
    }
    p->options = *options;
    p->job = job;
    p->ring = ring;
    pthread_condattr_t mono;
    pthread_condattr_init(&mono);
    pthread_condattr_setclock(&mono, CLOCK_MONOTONIC);
    pthread_mutex_init(&p->lock, NULL);
    pthread_cond_init(&p->work, NULL);
    pthread_cond_init(&p->ended, &mono);
    pthread_condattr_destroy(&mono);
    *ret = p;
    return STATUS_OK;
}

static void *pool_thread(void *arg)
{
    pool *p = arg;
    pthread_mutex_lock(&p->lock);
    for (;;) {
        while (!p->waiting && !p->stopping) {
            p->idle++;
            pthread_cond_wait(&p->work, &p->lock);
            p->idle--;
        }
        if (!p->waiting)
            break;
        void *job = p->ring[p->head];
        p->head = (p->head + 1) % p->options.queue;
        p->waiting--;
        pthread_mutex_unlock(&p->lock);
        p->job(job);
        pthread_mutex_lock(&p->lock);
    }
    p->threads--;
    pthread_cond_signal(&p->ended);
    pthread_mutex_unlock(&p->lock);
    return NULL;
}

/* With the lock held. Signals stay with the thread that waits for them. */
static void pool_add_thread(pool *p)
{
    pthread_t thread;
    pthread_attr_t attr;
    sigset_t all, before;
    pthread_attr_init(&attr);
    pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
    pthread_attr_setstacksize(&attr, p->options.stack_bytes);
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    if (pthread_create(&thread, &attr, pool_thread, p) == 0) {
        p->threads++;
        pthread_setname_np(thread, p->options.name);
    }
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    pthread_attr_destroy(&attr);
}

bool pool_submit(pool *p, void *arg)
{
    bool taken = false;
    pthread_mutex_lock(&p->lock);
    if (!p->stopping && p->waiting < p->options.queue) {
        if (p->idle <= p->waiting && p->threads < p->options.threads)
            pool_add_thread(p);
        if (p->threads) {
            p->ring[(p->head + p->waiting) % p->options.queue] = arg;
            p->waiting++;
            taken = true;
        }
    }
    pthread_mutex_unlock(&p->lock);
    if (taken) /* after the lock is free, since the thread that wakes takes it first */
        pthread_cond_signal(&p->work);
    return taken;
}

unsigned pool_waiting(const pool *p)
{
    return p->waiting;
}

bool pool_stop(pool *p, unsigned limit_ms)
{
    int64_t until = clock_mono_ns() + (int64_t)limit_ms * NS_PER_MS;
    struct timespec at = { .tv_sec = until / NS_PER_S, .tv_nsec = until % NS_PER_S };
    pthread_mutex_lock(&p->lock);
    p->stopping = true;
    pthread_cond_broadcast(&p->work);
    while (p->threads)
        if (pthread_cond_timedwait(&p->ended, &p->lock, &at) != 0)
            break;
    bool ended = p->threads == 0;
    pthread_mutex_unlock(&p->lock);
    return ended;
}

void pool_free(pool *p)
{
    if (!p)
        return;
    pthread_cond_destroy(&p->work);
    pthread_cond_destroy(&p->ended);
    pthread_mutex_destroy(&p->lock);
    free(p->ring);
    free(p);
}
