// SPDX-License-Identifier: Apache-2.0
/* What is remembered of changes to metrics, for caches of results: of each stretch of some seconds
 * the oldest time that rows came or went with. Any thread; its lock is taken last. */
#ifndef SONDE_STORE_CHANGES_H
#define SONDE_STORE_CHANGES_H

#include "base/base.h"

#include <pthread.h>

enum { CHANGE_STRETCHES = 1024, CHANGE_STRETCH_S = 5 }; /* 85 minutes */

typedef struct {
    uint64_t last; /* generation of its newest change */
    int64_t oldest_ms;
    int64_t began_ns; /* monotonic */
} change_stretch;

typedef struct {
    pthread_mutex_t lock;
    uint64_t generation;
    uint64_t forgotten; /* the newest generation of what is not remembered any more */
    uint64_t count;     /* stretches so far; the newest one is at (count - 1) % CHANGE_STRETCHES */
    change_stretch stretches[CHANGE_STRETCHES];
} changes;

void changes_init(changes *c);
void changes_done(changes *c);
/* Rows from that time on came, or went; called once readers see it. */
void changes_note(changes *c, int64_t oldest_ms);

#endif
