// SPDX-License-Identifier: Apache-2.0
/* Changes to metrics; see changes.h. A change is noted after it became visible: who took the
 * generation before the note may or may not have seen it, and is told that there was one. */
#include "store/changes.h"

#include "base/clock.h"
#include "store/store_internal.h"

void changes_init(changes *c)
{
    *c = (changes){ .generation = 1 };
    pthread_mutex_init(&c->lock, NULL);
}

void changes_done(changes *c)
{
    pthread_mutex_destroy(&c->lock);
}

void changes_note(changes *c, int64_t oldest_ms)
{
    int64_t now = clock_mono_ns();
    pthread_mutex_lock(&c->lock);
    change_stretch *s = &c->stretches[(c->count + CHANGE_STRETCHES - 1) % CHANGE_STRETCHES];
    if (c->count == 0 || now - s->began_ns > CHANGE_STRETCH_S * NS_PER_S) {
        s = &c->stretches[c->count++ % CHANGE_STRETCHES];
        if (c->count > CHANGE_STRETCHES)
            c->forgotten = s->last;
        *s = (change_stretch){ .oldest_ms = oldest_ms, .began_ns = now };
    }
    s->last = ++c->generation;
    s->oldest_ms = MIN(s->oldest_ms, oldest_ms);
    pthread_mutex_unlock(&c->lock);
}

uint64_t store_generation(store *s)
{
    changes *c = &s->changes;
    pthread_mutex_lock(&c->lock);
    uint64_t generation = c->generation;
    pthread_mutex_unlock(&c->lock);
    return generation;
}

bool store_changed_since(store *s, uint64_t generation, int64_t time_ms)
{
    changes *c = &s->changes;
    pthread_mutex_lock(&c->lock);
    bool changed = generation < c->forgotten;
    uint64_t kept = MIN(c->count, (uint64_t)CHANGE_STRETCHES);
    for (uint64_t i = 1; i <= kept && !changed; i++) {
        const change_stretch *x = &c->stretches[(c->count - i) % CHANGE_STRETCHES];
        if (x->last <= generation)
            break;
        changed = x->oldest_ms <= time_ms;
    }
    pthread_mutex_unlock(&c->lock);
    return changed;
}
