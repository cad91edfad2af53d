// SPDX-License-Identifier: Apache-2.0
/* Scraped samples on their way into the intake log. While a batch is being written the next one is
 * gathered, so that many pages share one; when the log takes nothing for long, pages are dropped
 * and counted. */
#include "base/clock.h"
#include "pipeline/receivers/prometheus_internal.h"

#include <stdlib.h>

static const size_t batch_memory = MiB(256);
enum { ROWS_MAX = 100000 }; /* of a batch that others may still join */
static const size_t bytes_max = MiB(64);
static const int64_t retry_first = 100 * NS_PER_MS, retry_most = NS_PER_S,
                     give_up_after = 30 * NS_PER_S, give_up_stopping = NS_PER_S;

/* A batch and what its texts are in. */
typedef struct {
    batch batch;
    scraped *pages;
    uint32_t count, capacity;
    size_t bytes;
} parcel;

struct sender {
    component *c;
    pthread_t thread;
    bool runs;
    pthread_mutex_t lock;
    pthread_cond_t wake;
    bool stop;
    parcel waiting;
};

/* ---- parcels ---- */

static void parcel_init(parcel *p)
{
    *p = (parcel){ 0 };
    batch_init(&p->batch, SIGNAL_METRICS, batch_memory);
}

static void parcel_done(parcel *p)
{
    batch_done(&p->batch);
    for (uint32_t i = 0; i < p->count; i++)
        scraped_done(&p->pages[i]);
    free(p->pages);
    *p = (parcel){ 0 };
}

static bool parcel_room(parcel *p)
{
    if (p->count == p->capacity) {
        uint32_t wanted = p->capacity ? p->capacity * 2 : 16;
        scraped *more = realloc(p->pages, wanted * sizeof(*more));
        if (!more)
            return false;
        p->pages = more;
        p->capacity = wanted;
    }
    return batch_row_count(&p->batch) < ROWS_MAX && p->bytes < bytes_max;
}

static bool parcel_add(parcel *p, scraped *x, int64_t time_ns)
{
    uint32_t before = batch_row_count(&p->batch);
    if (!parcel_room(p))
        return false;
    bool good =
        exposition_append(&x->page, x->page.samples, x->page.sample_count, time_ns, &p->batch);
    if (!good) /* what was added of it stays out */
        p->batch.points.count = before;
    free(x->page.samples);
    free(x->page.families);
    x->page.samples = NULL;
    x->page.families = NULL;
    p->bytes += x->page.arena.used + x->body.cap;
    p->pages[p->count++] = *x;
    *x = (scraped){ 0 };
    return good;
}

bool sender_add(sender *s, scraped *x, int64_t time_ns)
{
    uint32_t samples = x->page.sample_count;
    bool good = true;
    if (samples > 0) {
        pthread_mutex_lock(&s->lock);
        good = parcel_add(&s->waiting, x, time_ns);
        pthread_cond_signal(&s->wake);
        pthread_mutex_unlock(&s->lock);
    }
    if (!good)
        component_drop(s->c, SIGNAL_METRICS, "intake log behind", samples);
    scraped_done(x);
    return good;
}

/* ---- the thread ---- */

static bool is_passing(status st)
{
    return st == STATUS_BUSY || st == STATUS_FULL || st == STATUS_IO || st == STATUS_NO_MEMORY;
}

/* True: stopping. */
static bool pause_for(sender *s, int64_t ns)
{
    int64_t until = clock_now_ns() + ns;
    struct timespec at = { until / NS_PER_S, until % NS_PER_S };
    pthread_mutex_lock(&s->lock);
    int rc = 0;
    while (!s->stop && rc == 0)
        rc = pthread_cond_timedwait(&s->wake, &s->lock, &at);
    bool stop = s->stop;
    pthread_mutex_unlock(&s->lock);
    return stop;
}

static void send_parcel(sender *s, const parcel *p)
{
    int64_t began = clock_mono_ns(), wait = retry_first;
    ingest_result result;
    error err;
    for (bool stopping = false;;) {
        result = (ingest_result){ 0 };
        status st = component_ingest(s->c, "scrape", &p->batch, STR_EMPTY, &result, &err);
        if (st == STATUS_OK) {
            if (result.rejected)
                component_warn(s->c, "scrape", "%u samples were not taken: %s", result.rejected,
                               result.reason);
            return;
        }
        int64_t limit = stopping ? give_up_stopping : give_up_after;
        if (!is_passing(st) || clock_mono_ns() - began > limit)
            break;
        stopping = pause_for(s, wait);
        wait = MIN(wait * 2, retry_most);
        if (stopping)
            began = MIN(began, clock_mono_ns() - give_up_stopping);
    }
    component_drop(s->c, SIGNAL_METRICS, "refused by the intake log", batch_row_count(&p->batch));
    component_warn(s->c, "scrape", "%u samples were dropped: %s", batch_row_count(&p->batch),
                   err.message);
}

static void *run(void *user)
{
    sender *s = user;
    for (;;) {
        parcel p;
        pthread_mutex_lock(&s->lock);
        while (!s->stop && s->waiting.count == 0)
            pthread_cond_wait(&s->wake, &s->lock);
        p = s->waiting;
        bool last = s->stop;
        parcel_init(&s->waiting);
        pthread_mutex_unlock(&s->lock);
        if (batch_row_count(&p.batch) > 0)
            send_parcel(s, &p);
        parcel_done(&p);
        if (last)
            return NULL;
    }
}

/* ---- life ---- */

status sender_new(sender **ret, component *c, error *err)
{
    sender *s = calloc(1, sizeof(*s));
    if (!s)
        return fail(err, STATUS_NO_MEMORY, "no memory for a sender");
    s->c = c;
    pthread_mutex_init(&s->lock, NULL);
    pthread_cond_init(&s->wake, NULL);
    parcel_init(&s->waiting);
    *ret = s;
    return STATUS_OK;
}

status sender_start(sender *s, error *err)
{
    int rc = pthread_create(&s->thread, NULL, run, s);
    if (rc)
        return fail_errno(err, rc, "no thread to send scraped samples");
    s->runs = true;
    return STATUS_OK;
}

void sender_stop(sender *s)
{
    if (!s->runs)
        return;
    pthread_mutex_lock(&s->lock);
    s->stop = true;
    pthread_cond_broadcast(&s->wake);
    pthread_mutex_unlock(&s->lock);
    pthread_join(s->thread, NULL);
    s->runs = false;
}

void sender_free(sender *s)
{
    if (!s)
        return;
    parcel_done(&s->waiting);
    pthread_mutex_destroy(&s->lock);
    pthread_cond_destroy(&s->wake);
    free(s);
}
