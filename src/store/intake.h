// SPDX-License-Identifier: Apache-2.0
/* The intake log: what has to survive is appended here and acknowledged after fdatasync. One
 * committer thread writes what all waiting senders queued with one write and one fdatasync (group
 * commit). Layout and rules: docs/format/intake.md. */
#ifndef SONDE_STORE_INTAKE_H
#define SONDE_STORE_INTAKE_H

#include "codec/batch.h"

#include "base/buf.h"

#include <pthread.h>
#include <stdatomic.h>

enum { INTAKE_FORMAT_OTLP = 1 };
#define INTAKE_PAYLOAD_MAX MiB(256)

typedef struct intake intake;

/* One record on its way; lives on the sender's stack until intake_append returns. */
typedef struct intake_entry {
    signal_kind signal;
    uint16_t origin;
    bool inner; /* may exceed the limit by a quarter */
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
    uint16_t origin;
    int64_t received_ns;
    str payload;
} intake_record;
typedef status intake_reader(void *user, const intake_record *r, error *err);

typedef struct {
    size_t limit;     /* bytes of all segments */
    uint64_t cursor;  /* records after it are replayed */
    uint64_t keep;    /* records after it are not deleted; at most `cursor` */
    uint64_t highest; /* sequence numbers up to it are taken, also when no segment has them */
} intake_options;

/* Replays every record after the cursor through `reader`, cuts a torn tail off, deletes segments
 * that nobody needs, and starts the committer. */
MUST_USE status intake_open(intake **ret, const char *dir, const intake_options *options,
                            intake_reader *reader, intake_hook *hook, void *user, error *err);
/* Commits what is queued and stops. NULL is fine. */
void intake_close(intake *in);

/* Queues e and blocks until it is durable and the hook has seen it. */
MUST_USE status intake_append(intake *in, intake_entry *e, error *err);
/* STATUS_BUSY when `extra` more bytes would not fit; the newest write error while it lasts. */
MUST_USE status intake_ready(intake *in, size_t extra, error *err);
/* Deletes segments all of whose records are at or before `cursor`. `holder`: who needs what
 * follows, for the error at the limit. */
void intake_trim(intake *in, uint64_t cursor, const char *holder);

/* ---- reading while it is written ---- */

/* Where a reader stands; starts as { .fd = -1, .after = N }. One thread at a time. */
typedef struct {
    int fd;
    uint64_t segment; /* that fd is of */
    uint64_t offset;  /* of the next record there */
    uint64_t after;   /* the newest record that was read */
} intake_place;
void intake_place_done(intake_place *p);

/* The next durable record after p->after; its payload lies in `payload`. STATUS_NOT_FOUND: there is
 * none yet. What does not check out is counted as corrupt and passed over. */
MUST_USE status intake_next(intake *in, intake_place *p, buf *payload, intake_record *ret,
                            error *err);
/* Waits until there is a record after `after`, the time has come, or intake_wake; true: there is.
 */
bool intake_wait(intake *in, uint64_t after, int64_t until_mono_ns, const atomic_int *canceled);
/* Lets every waiting reader look at its `canceled`. */
void intake_wake(intake *in);
/* Bytes of the log that a reader at p has not read. */
uint64_t intake_behind(intake *in, const intake_place *p);

typedef struct {
    uint64_t bytes, segments, fsyncs, fsync_ns;
    uint64_t corrupt; /* records or stretches that did not check out at open */
    uint64_t replayed;
    uint64_t last_sequence;
} intake_stats;
void intake_get_stats(intake *in, intake_stats *ret);

#endif
