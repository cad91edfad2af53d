// SPDX-License-Identifier: Apache-2.0
/* A bounded store on disk for what a receiver that is away could not be given and the recorder has
 * no more room for: OTLP request bodies (protobuf), sent later in the order in which they came.
 * Segments that are only appended to; byte layout: docs/format/spool.md. What is in it survives the
 * process, not the power cut: nothing is synced. At the limit the oldest segment goes, and its rows
 * are reported as dropped.
 *
 * A segment belongs to the process that holds the lock on it. A start takes over those of dead
 * processes of the same service; their bytes count to its limit. Drainer's thread only. */
#ifndef SONDE_LIB_SPOOL_H
#define SONDE_LIB_SPOOL_H

#include "lib/export.h"

typedef struct spool spool;

typedef void spool_dropped_fn(void *user, lane_id lane, uint64_t rows);

typedef struct {
    str dir;
    uint64_t bytes; /* limit of all segments, headers included */
    str service;
    uint64_t id; /* of this process: its recorder's */
    bool adopt;  /* take over what dead processes left */
    spool_dropped_fn *dropped;
    void *user;
} spool_options;

/* Creates the directory (mode 0700) where it is missing. */
MUST_USE status spool_open(spool **ret, const spool_options *options, error *err);
/* Keeps the segments in which something is unsent. NULL is fine. */
void spool_close(spool *s);

/* Appends a body. Drops the oldest segments to make room; a body that is too large for the limit is
 * STATUS_LIMIT. After a failure nothing was kept. */
MUST_USE status spool_add(spool *s, lane_id lane, str body, uint32_t rows, error *err);

/* Whether something is there for the lane. NULL: no. */
bool spool_has(const spool *s, lane_id lane);
/* The oldest body of the lane, appended to `body`. It stays the oldest until spool_done. A damaged
 * one is reported as dropped, and the next one given; STATUS_NOT_FOUND: nothing is left. */
MUST_USE status spool_peek(spool *s, lane_id lane, buf *body, uint32_t *ret_rows, error *err);
/* The body that spool_peek gave last was taken, or refused for good. */
void spool_done(spool *s, lane_id lane);

typedef struct {
    uint64_t bytes, limit;
    uint64_t rows[LANE_COUNT]; /* unsent */
} spool_report;
spool_report spool_state(const spool *s); /* NULL: all zero */

#endif
