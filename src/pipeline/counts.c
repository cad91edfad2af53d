// SPDX-License-Identifier: Apache-2.0
/* Counting by component; see counts.h. Slots are found without a lock: `used` is raised after a
 * slot was filled. */
#include "pipeline/counts.h"

#include "base/clock.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>

enum { SLOTS = 128, DETAIL_BYTES = 48, WARNINGS = 8 };

typedef struct {
    count_kind what;
    signal_kind signal;
    char detail[DETAIL_BYTES];
    atomic_uint_fast64_t value;
} slot;

typedef struct {
    const char *event; /* static text */
    int64_t told_ns;
    uint64_t missed;
} warning;

struct component_counts {
    component_counts *next;
    component_kind kind;
    char *id;
    pthread_mutex_t lock; /* new slots, warnings */
    atomic_uint used;
    slot slots[SLOTS];
    warning warnings[WARNINGS];
};

component_counts *counts_new(component_kind kind, const char *id)
{
    component_counts *c = calloc(1, sizeof(*c));
    if (!c)
        return NULL;
    c->kind = kind;
    c->id = strdup(id);
    pthread_mutex_init(&c->lock, NULL);
    if (c->id)
        return c;
    counts_free(c);
    return NULL;
}

void counts_free(component_counts *c)
{
    if (!c)
        return;
    pthread_mutex_destroy(&c->lock);
    free(c->id);
    free(c);
}

bool counts_are_of(const component_counts *c, component_kind kind, const char *id)
{
    return c->kind == kind && strcmp(c->id, id) == 0;
}

component_counts **counts_next(component_counts *c)
{
    return &c->next;
}

static slot *find(component_counts *c, count_kind what, signal_kind signal, const char *detail)
{
    unsigned used = atomic_load_explicit(&c->used, memory_order_acquire);
    for (unsigned i = 0; i < used; i++) {
        slot *s = &c->slots[i];
        if (s->what == what && s->signal == signal &&
            strncmp(s->detail, detail, DETAIL_BYTES - 1) == 0)
            return s;
    }
    return NULL;
}

/* The last slots are for "other", one for each kind and signal. */
static slot *make(component_counts *c, count_kind what, signal_kind signal, const char *detail)
{
    pthread_mutex_lock(&c->lock);
    slot *s = find(c, what, signal, detail);
    unsigned used = atomic_load(&c->used);
    if (!s && used >= SLOTS - COUNT_KINDS * SIGNAL_COUNT) {
        detail = "other";
        s = find(c, what, signal, detail);
    }
    if (!s && used < SLOTS) {
        s = &c->slots[used];
        s->what = what;
        s->signal = signal;
        str_copy_c(s->detail, sizeof(s->detail), str_c(detail));
        atomic_store_explicit(&c->used, used + 1, memory_order_release);
    }
    pthread_mutex_unlock(&c->lock);
    return s;
}

void counts_add(component_counts *c, count_kind what, signal_kind signal, const char *detail,
                uint64_t n)
{
    slot *s = find(c, what, signal, detail);
    if (!s)
        s = make(c, what, signal, detail);
    if (s)
        atomic_fetch_add_explicit(&s->value, n, memory_order_relaxed);
}

uint64_t counts_sum(component_counts *c, count_kind what, signal_kind signal)
{
    uint64_t sum = 0;
    unsigned used = atomic_load_explicit(&c->used, memory_order_acquire);
    for (unsigned i = 0; i < used; i++)
        if (c->slots[i].what == what && c->slots[i].signal == signal)
            sum += atomic_load(&c->slots[i].value);
    return sum;
}

bool counts_may_warn(component_counts *c, const char *event, uint64_t *ret_missed)
{
    int64_t now = clock_mono_ns();
    bool may = false;
    *ret_missed = 0;
    pthread_mutex_lock(&c->lock);
    for (unsigned i = 0; i < WARNINGS; i++) {
        warning *w = &c->warnings[i];
        if (w->event && strcmp(w->event, event) != 0)
            continue;
        may = !w->event || now - w->told_ns >= NS_PER_S;
        w->event = event;
        w->missed += !may;
        if (may) {
            *ret_missed = w->missed;
            w->told_ns = now;
            w->missed = 0;
        }
        break;
    }
    pthread_mutex_unlock(&c->lock);
    return may;
}

void counts_each(component_counts *c, count_kind what, count_sink *sink, void *user)
{
    unsigned used = atomic_load_explicit(&c->used, memory_order_acquire);
    for (unsigned i = 0; i < used; i++) {
        slot *s = &c->slots[i];
        if (s->what == what)
            sink(user, &(count_line){ what, c->kind, c->id, s->signal, s->detail,
                                      atomic_load(&s->value) });
    }
}
