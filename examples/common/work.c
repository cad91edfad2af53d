// SPDX-License-Identifier: Apache-2.0
/* Threads that work off a queue; see work.h. */
#include "examples/common/work.h"

#include "examples/common/config.h"
#include "examples/common/queue.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>

enum { MAX_THREADS = 16, POP_MS = 1000, PUT_BACK_PAUSE_MS = 500 };

/* What the handler that runs on this thread asked for. */
static _Thread_local bool put_back;

typedef struct {
    work *work;
    queue *queue;
    web_client *client;
    pthread_t thread;
} lane;

struct work {
    work_options options;
    atomic_bool ending;
    unsigned count;
    lane lanes[MAX_THREADS];
};

void work_put_back(void)
{
    put_back = true;
}

static void finish(queue *q)
{
    if (!put_back) {
        queue_done(q);
        return;
    }
    queue_return(q);
    config_wait(PUT_BACK_PAUSE_MS);
}

static void *run_lane(void *user)
{
    lane *l = user;
    const work_options *options = &l->work->options;
    while (!config_stopping() && !l->work->ending) {
        char *text = queue_pop(l->queue, POP_MS);
        json_t *job = text ? json_loads(text, 0, NULL) : NULL;
        if (text) {
            put_back = false;
            options->handler(text, job, l->client, options->user);
            finish(l->queue);
        }
        json_decref(job);
        free(text);
    }
    return NULL;
}

static bool start_lane(lane *l, work *w)
{
    *l = (lane){ .work = w, .client = web_client_new() };
    l->queue = queue_open(config_text("REDIS_URL", NULL), w->options.database, w->options.queue);
    if (l->client && l->queue && pthread_create(&l->thread, NULL, run_lane, l) == 0)
        return true;
    queue_close(l->queue);
    web_client_free(l->client);
    return false;
}

work *work_start(const work_options *options)
{
    work *w = calloc(1, sizeof(*w));
    if (!w)
        return NULL;
    w->options = *options;
    for (; w->count < options->threads && w->count < MAX_THREADS; w->count++)
        if (!start_lane(&w->lanes[w->count], w)) {
            fprintf(stderr, "cannot start a thread for the queue '%s'\n", options->queue);
            work_stop(w);
            return NULL;
        }
    return w;
}

void work_stop(work *w)
{
    if (w)
        w->ending = true;
    for (unsigned i = 0; w && i < w->count; i++) {
        pthread_join(w->lanes[i].thread, NULL);
        queue_close(w->lanes[i].queue);
        web_client_free(w->lanes[i].client);
    }
    free(w);
}
