// SPDX-License-Identifier: Apache-2.0
/* The intake log: what has to survive is appended here and acknowledged after fdatasync. One
 * committer thread writes what all waiting senders queued with one write and one fdatasync (group
 * commit). Layout and rules: docs/format/intake.md. */
#ifndef SONDE_STORE_INTAKE_H
#define SONDE_STORE_INTAKE_H

#include "codec/batch.h"

#include <pthread.h>

enum { INTAKE_FORMAT_OTLP = 1 };
#define INTAKE_PAYLOAD_MAX MiB(256)

typedef struct intake intake;

/* One record on its way; lives on the sender's stack until intake_append returns. */
typedef struct intake_entry {
    signal_kind signal;
    int64_t received_ns;
    str payload;
    uint64_t sequence; /* set when it was committed */
    void *target;      /* for the commit hook */
    /* the log's own: */
    struct intake_entry *next;
    char header[40];
    pthread_cond_t done_cond;
    bool done;
    error result;
} intake_entry;

/* Called by the committer with entries that are durable, in order of sequence, before their
 * senders wake. */
typedef void intake_hook(void *user, intake_entry *entries);

typedef struct {
    uint64_t sequence;
    signal_kind signal;
    int64_t received_ns;
    str payload;
} intake_record;
typedef status intake_reader(void *user, const intake_record *r, error *err);

/* Replays every record after `cursor` through `reader`, cuts a torn tail off, deletes segments that
 * the cursor covers, and starts the committer. limit: bytes of all segments. */
MUST_USE status intake_open(intake **ret, const char *dir, size_t limit, uint64_t cursor,
                            intake_reader *reader, intake_hook *hook, void *user, error *err);
/* Commits what is queued and stops. NULL is fine. */
void intake_close(intake *in);

/* Queues e and blocks until it is durable and the hook has seen it. */
MUST_USE status intake_append(intake *in, intake_entry *e, error *err);
/* STATUS_BUSY when `extra` more bytes would not fit; the newest write error while it lasts. */
MUST_USE status intake_ready(intake *in, size_t extra, error *err);
/* Deletes segments all of whose records are at or before `cursor`. */
void intake_trim(intake *in, uint64_t cursor);

typedef struct {
    uint64_t bytes, segments, fsyncs, fsync_ns;
    uint64_t corrupt; /* records or stretches that did not check out at open */
    uint64_t replayed;
    uint64_t last_sequence;
} intake_stats;
void intake_get_stats(intake *in, intake_stats *ret);

#endif
