// SPDX-License-Identifier: Apache-2.0
/* The queue; see queue.h. Here is what both engines share: the news of an outage, and the keeper, a
 * thread that tells that a handle which pops is alive and puts back the jobs of those that died. */
#include "examples/common/queue_engine.h"

#include "examples/common/config.h"
#include "examples/common/startup.h"

#include <pthread.h>
#include <sonde/sonde.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { MAX_NAMES = 16 };

/* What the handles of one name in this program know together, so that an outage is told once. */
typedef struct {
    char name[64];
    unsigned away; /* handles that found it away */
    int64_t since;
} queue_news;

static struct {
    pthread_mutex_t lock;
    queue_news names[MAX_NAMES]; /* more names share the last */
} news = { .lock = PTHREAD_MUTEX_INITIALIZER };

struct queue {
    const queue_engine *engine;
    queue_news *news;
    void *state;
    char name[64];
    int64_t lease_ms;
    pthread_mutex_t lock; /* of what follows */
    bool away;
    uint64_t begun, good; /* calls so far; the last of them that went well */
    int64_t steady_since; /* all consumers could say that they live since then */
    pthread_cond_t ends;
    bool ending;
    queue_consumer consumer; /* changed by the popping thread only */
    /* The popping thread's. */
    bool keeping, known, holds;
    pthread_t keeper;
};

static queue_news *find_news(const char *name)
{
    queue_news *n = news.names;
    pthread_mutex_lock(&news.lock);
    while (n < &news.names[MAX_NAMES - 1] && *n->name && strcmp(n->name, name) != 0)
        n++;
    snprintf(n->name, sizeof(n->name), "%s", name);
    pthread_mutex_unlock(&news.lock);
    return n;
}

/* A handle finds the queue away, or back; logs when it is the first, or the last. */
static void tell(queue_news *n, bool back, const char *why)
{
    int64_t now = config_now_ms();
    pthread_mutex_lock(&news.lock);
    bool is_news = back ? --n->away == 0 : n->away++ == 0;
    int64_t away_ms = now - n->since;
    if (is_news)
        n->since = now;
    pthread_mutex_unlock(&news.lock);
    if (is_news && back)
        sonde_info("Queue is back", sonde_kv("queue", (const char *)n->name),
                   sonde_kv("away_seconds", (double)away_ms / 1e3));
    else if (is_news)
        sonde_error("Queue is unreachable", sonde_kv("queue", (const char *)n->name),
                    sonde_kv("error", why));
}

/* In place of a number: the popping thread waits in its own connection, while others go well, and
 * its failure is never old news. */
#define POPPING UINT64_MAX

/* The number of a call, before it begins. */
static uint64_t begin(queue *q)
{
    pthread_mutex_lock(&q->lock);
    uint64_t number = ++q->begun;
    pthread_mutex_unlock(&q->lock);
    return number;
}

/* Keeps what a call tells about the queue. That it failed is old news when one that began later
 * went well meanwhile: of an outage that is over, nobody is told again. */
static bool note(queue *q, uint64_t number, bool good, const char *why)
{
    int64_t now = config_now_ms();
    pthread_mutex_lock(&q->lock);
    bool is_news = good || number > q->good, changed = is_news && good == q->away;
    if (good && number > q->good && number != POPPING)
        q->good = number;
    if (is_news)
        q->away = !good;
    if (changed || !good)
        q->steady_since = now;
    if (changed)
        tell(q->news, good, why);
    pthread_mutex_unlock(&q->lock);
    return good;
}

/* ---- the keeper ---- */

static bool keep(queue *q)
{
    char why[QUEUE_TEXT] = "";
    long back = 0;
    pthread_mutex_lock(&q->lock);
    bool steady = config_now_ms() - q->steady_since > q->lease_ms;
    queue_consumer c = q->consumer;
    pthread_mutex_unlock(&q->lock);
    uint64_t number = begin(q);
    bool good =
        note(q, number, q->engine->keep(q->state, &c, steady ? q->lease_ms : 0, &back, why), why);
    if (back > 0)
        sonde_warn("Jobs of a program that died were put back",
                   sonde_kv("queue", (const char *)q->name), sonde_kv("jobs", back));
    return good;
}

static void *run_keeper(void *user)
{
    queue *q = user;
    pthread_mutex_lock(&q->lock);
    while (!q->ending) {
        int64_t until = config_now_ms() + q->lease_ms / 3;
        struct timespec t = { until / 1000, until % 1000 * 1000000 };
        pthread_cond_timedwait(&q->ends, &q->lock, &t);
        if (q->ending)
            break;
        pthread_mutex_unlock(&q->lock);
        keep(q);
        pthread_mutex_lock(&q->lock);
    }
    pthread_mutex_unlock(&q->lock);
    return NULL;
}

/* ---- the handle ---- */

static bool answers(void *user, char *why, size_t size)
{
    queue *q = user;
    char text[QUEUE_TEXT] = "";
    bool good = q->engine->prepare(q->state, text);
    snprintf(why, size, "%s", text);
    return good;
}

queue *queue_open(const char *redis_url, database *d, const char *name)
{
    pthread_condattr_t monotonic;
    queue_options options = { .database = d, .url = redis_url };
    queue *q = calloc(1, sizeof(*q));
    if (!q)
        return NULL;
    q->engine = redis_url && *redis_url ? &queue_redis : &queue_table;
    q->lease_ms = config_number("QUEUE_LEASE_S", 15, 1, 3600) * 1000;
    q->steady_since = config_now_ms();
    snprintf(q->name, sizeof(q->name), "%s", name);
    q->news = find_news(q->name);
    snprintf(options.name, sizeof(options.name), "%s", name);
    config_new_id("consumer_", q->consumer.id);
    pthread_mutex_init(&q->lock, NULL);
    pthread_condattr_init(&monotonic);
    pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    pthread_cond_init(&q->ends, &monotonic);
    q->state = q->engine->open(&options);
    if (q->state && startup_wait(queue_system(q), answers, q))
        return q;
    queue_close(q);
    return NULL;
}

void queue_close(queue *q)
{
    if (!q)
        return;
    if (q->keeping) {
        pthread_mutex_lock(&q->lock);
        q->ending = true;
        pthread_cond_signal(&q->ends);
        pthread_mutex_unlock(&q->lock);
        pthread_join(q->keeper, NULL);
    }
    if (q->holds)
        queue_done(q);
    if (q->away) {
        pthread_mutex_lock(&news.lock);
        q->news->away--;
        pthread_mutex_unlock(&news.lock);
    }
    if (q->known && !q->holds && q->engine->leave)
        q->engine->leave(q->state, &q->consumer);
    if (q->state)
        q->engine->close(q->state);
    pthread_cond_destroy(&q->ends);
    pthread_mutex_destroy(&q->lock);
    free(q);
}

const char *queue_system(const queue *q)
{
    return q->engine->system ? q->engine->system : database_system(*(database **)q->state);
}

bool queue_push(queue *q, const char *job)
{
    char why[QUEUE_TEXT] = "";
    uint64_t number = begin(q);
    return note(q, number, q->engine->push(q->state, job, why), why);
}

bool queue_done(queue *q)
{
    char why[QUEUE_TEXT] = "";
    uint64_t number = begin(q);
    if (q->holds && note(q, number, q->engine->done(q->state, &q->consumer, why), why))
        q->holds = false;
    return !q->holds;
}

/* Before a consumer's first job: that it lives, from now on. */
static bool start_keeping(queue *q)
{
    if (!q->keeping)
        q->keeping = pthread_create(&q->keeper, NULL, run_keeper, q) == 0;
    if (!q->known)
        q->known = keep(q);
    return q->keeping && q->known;
}

static void renew_consumer(queue *q)
{
    pthread_mutex_lock(&q->lock);
    config_new_id("consumer_", q->consumer.id);
    pthread_mutex_unlock(&q->lock);
    q->known = false;
}

bool queue_return(queue *q)
{
    char why[QUEUE_TEXT] = "";
    uint64_t number = begin(q);
    bool good = !q->holds || note(q, number, q->engine->put_back(q->state, &q->consumer, why), why);
    if (!good)
        renew_consumer(q);
    q->holds = false;
    return good;
}

char *queue_pop(queue *q, int timeout_ms)
{
    char why[QUEUE_TEXT] = "", *job = NULL;
    int64_t end = config_now_ms() + timeout_ms;
    if (queue_done(q) && start_keeping(q)) {
        if (note(q, POPPING, q->engine->pop(q->state, &q->consumer, timeout_ms, &job, why), why)) {
            q->holds = job != NULL;
            return job;
        }
        renew_consumer(q);
    }
    int64_t left = end - config_now_ms();
    if (left > 0)
        config_wait((int)left);
    return NULL;
}

long queue_length(queue *q)
{
    char why[QUEUE_TEXT] = "";
    long n = -1;
    uint64_t number = begin(q);
    return note(q, number, q->engine->length(q->state, &n, why), why) ? n : -1;
}

bool queue_ping(queue *q, char *detail, size_t size)
{
    char why[QUEUE_TEXT] = "";
    uint64_t number = begin(q);
    bool good = note(q, number, q->engine->ping(q->state, why), why);
    if (!good)
        snprintf(detail, size, "%s", why);
    return good;
}
