// SPDX-License-Identifier: Apache-2.0
/* Threads that work off a queue; see work.h. */
#include "examples/common/work.h"

#include "examples/common/config.h"
#include "examples/common/queue.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

enum { MAX_THREADS = 16, POP_MS = 1000 };

typedef struct {
    const work_options *options;
    queue *queue;
    web_client *client;
    pthread_t thread;
} lane;

struct work {
    work_options options;
    unsigned count;
    lane lanes[MAX_THREADS];
};

static void *run_lane(void *user)
{
    lane *l = user;
    while (!config_stopping()) {
        char *text = queue_pop(l->queue, POP_MS);
        json_t *job = text ? json_loads(text, 0, NULL) : NULL;
        if (text)
            l->options->handler(text, job, l->client, l->options->user);
        json_decref(job);
        free(text);
    }
    return NULL;
}

static bool start_lane(lane *l, const work_options *options)
{
    *l = (lane){ .options = options, .client = web_client_new() };
    l->queue = queue_open(config_text("REDIS_URL", NULL), options->database, options->queue);
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
        if (!start_lane(&w->lanes[w->count], &w->options)) {
            fprintf(stderr, "cannot start a thread for the queue '%s'\n", options->queue);
            return NULL; /* the program ends */
        }
    return w;
}

void work_stop(work *w)
{
    for (unsigned i = 0; w && i < w->count; i++) {
        pthread_join(w->lanes[i].thread, NULL);
        queue_close(w->lanes[i].queue);
        web_client_free(w->lanes[i].client);
    }
    free(w);
}
