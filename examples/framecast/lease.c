// SPDX-License-Identifier: Apache-2.0
/* Generations that nobody works on any more, because a pod or an API died, or whose event was never
 * sent: their heartbeat, a number in their row, stands still. Each API watches the numbers by its
 * own clock, so that no two clocks are compared, and starts anew when the database was away. */
#include "examples/common/config.h"
#include "examples/framecast/app.h"

#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MOST = 4096, SWEEP_MS = 500 };

typedef struct {
    generation_pulse pulse;
    int64_t since_ms; /* since when it has this heartbeat */
} watched;

struct lease {
    app *app;
    pthread_t thread;
    size_t count;
    watched list[MOST]; /* by id */
    generation_pulse seen[MOST];
};

static int by_id(const void *a, const void *b)
{
    return strcmp(((const watched *)a)->pulse.id, ((const watched *)b)->pulse.id);
}

/* Why it ended, by what it was waiting for. */
static const char *failure_of(const generation_pulse *pulse)
{
    if (pulse->processing)
        return "pod_lost";
    return pulse->heartbeat ? "queue_timeout" : "queue";
}

/* Ends it as failed, in the trace and with the context of the request that made it. */
static void give_up(app *a, const watched *w)
{
    generation g;
    const char *type = failure_of(&w->pulse);
    if (generation_find(a->database, w->pulse.id, &g) != FOUND)
        return;
    sonde_context from = sonde_extract_json(g.trace, strlen(g.trace));
    SONDE_WITH (from)
        SONDE_CONTEXT (sonde_kv("user_id", (const char *)g.user_id),
                       sonde_kv("team_id", *g.team_id ? (const char *)g.team_id : NULL),
                       sonde_kv("generation_id", (const char *)w->pulse.id))
            SONDE_SPAN ("expire_generation", sonde_kv("failure_type", type)) {
                sonde_span_error(type, "nobody has worked on the generation for too long");
                app_end(a, &(generation_key){ .id = w->pulse.id },
                        &(generation_ending){ "failed", type, NULL }, &g);
            }
}

/* Puts what was read in place of the list; who still has the same heartbeat keeps its time. */
static void compare(lease *l, size_t count, int64_t now)
{
    static const size_t size = sizeof(watched);
    watched *fresh = calloc(count ? count : 1, size);
    if (!fresh)
        return;
    for (size_t i = 0; i < count; i++) {
        fresh[i] = (watched){ .pulse = l->seen[i], .since_ms = now };
        const watched *old = bsearch(&fresh[i], l->list, l->count, size, by_id);
        if (old && old->pulse.heartbeat == fresh[i].pulse.heartbeat &&
            old->pulse.processing == fresh[i].pulse.processing)
            fresh[i].since_ms = old->since_ms;
    }
    qsort(fresh, count, size, by_id);
    memcpy(l->list, fresh, count * size);
    l->count = count;
    free(fresh);
}

static void *sweep(void *user)
{
    lease *l = user;
    const app *a = l->app;
    while (!config_wait(SWEEP_MS)) {
        long count = generation_pulses(a->database, l->seen, MOST);
        int64_t now = config_now_ms();
        if (count < 0) {
            l->count = 0; /* nobody could report meanwhile */
            continue;
        }
        compare(l, (size_t)count, now);
        for (size_t i = 0; i < l->count; i++) {
            const watched *w = &l->list[i];
            bool waits = !w->pulse.processing && w->pulse.heartbeat;
            long limit = waits ? a->queue_seconds : a->lease_seconds;
            if (now - w->since_ms > limit * 1000)
                give_up(l->app, w);
        }
    }
    return NULL;
}

lease *lease_start(app *a)
{
    lease *l = calloc(1, sizeof(*l));
    if (!l)
        return NULL;
    l->app = a;
    if (pthread_create(&l->thread, NULL, sweep, l) == 0)
        return l;
    free(l);
    return NULL;
}

void lease_stop(lease *l)
{
    if (!l)
        return;
    pthread_join(l->thread, NULL);
    free(l);
}
