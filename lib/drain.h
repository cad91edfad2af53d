// SPDX-License-Identifier: Apache-2.0
/* The drainer: one thread of the process that reads the recorder and feeds the sinks. Each sink has
 * a cursor of its own, moved only after that sink took the data; a slow one holds up no other. When
 * the recorder is three quarters full because an OTLP receiver is away, what it has not taken is
 * dropped and counted, oldest first, so that the writers and the other sinks go on.
 *
 * Reads every 1 to 100 ms, more often when there is more. All signals are blocked in the thread. */
#ifndef SONDE_LIB_DRAIN_H
#define SONDE_LIB_DRAIN_H

#include "lib/env.h"
#include "lib/export.h"
#include "lib/recorder.h"
#include "lib/spool.h"

typedef struct drainer drainer;

typedef enum {
    DRAIN_EMPTY, /* every sink took everything */
    DRAIN_LEFT,  /* time ran out; the rest is in the recorder */
    DRAIN_STUCK  /* the thread does not come back: drainer, recorder and settings must stay */
} drain_end;

/* `s` and `r` must outlive it. `adopt`: also drains what dead processes of the service left. */
MUST_USE status drainer_start(drainer **ret, const settings *s, recorder *r, bool adopt,
                              error *err);

/* Waits until every sink took what was recorded before the call; false when the time ran out. */
bool drainer_flush(drainer *d, uint32_t timeout_ms);

/* After the writers were stopped. Sends what is left and the last metric values, at most for
 * timeout_ms, then ends the thread and frees the drainer (but see DRAIN_STUCK). */
drain_end drainer_stop(drainer *d, uint32_t timeout_ms);

/* What a person wants to know of the sinks, as of some 50 ms ago. */
typedef struct {
    bool lines_used, lines_waiting; /* waiting: the reader of the lines is slow */
    uint64_t lines_behind;          /* bytes of whole extents in the recorder, not yet taken */
    bool lane_used[LANE_COUNT];
    uint64_t lane_behind[LANE_COUNT];
    lane_report lane[LANE_COUNT];
    bool spooling; /* there is a spool */
    spool_report spool;
    unsigned dead; /* recorders of dead processes being read */
} drain_report;
void drainer_report(drainer *d, drain_report *ret); /* any thread */

#endif
