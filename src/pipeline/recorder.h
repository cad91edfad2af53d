// SPDX-License-Identifier: Apache-2.0
/* The recorder receiver: reads the recorders of a directory, of living processes that have no
 * drainer of their own (SONDE_DRAIN=server, or auto) and of dead ones, and gives what they hold to
 * the store, as if it had come by OTLP. A file belongs to whoever holds the drainer's lock in it,
 * so nothing is read twice; a cursor moves when the intake log has the rows. The file of a dead
 * process is removed when all of it was taken.
 *
 * One thread of its own reads everything. */
#ifndef SONDE_PIPELINE_RECORDER_H
#define SONDE_PIPELINE_RECORDER_H

#include "store/store.h"

enum { RECORDER_DIRS_MAX = 16 };

typedef struct recorder_receiver recorder_receiver;

typedef enum {
    RECORDER_SAYS_FOUND,    /* a file that is read from now on */
    RECORDER_SAYS_FINISHED, /* that of a dead process was read to its end */
    RECORDER_SAYS_PUT_OFF,  /* the store or the file did not let it go on; tried again */
    RECORDER_SAYS_REFUSED,  /* the store will never take some rows: they are counted as dropped */
    RECORDER_SAYS_NOT_READ  /* the file's version is not known */
} recorder_news;

/* What happens, for the server's log; on the receiver's thread. `detail` may be empty. */
typedef void recorder_report(recorder_news news, const char *path, const char *detail);

typedef struct {
    recorder_report *report; /* NULL: nobody wants to know */
    const char *dirs[RECORDER_DIRS_MAX];
    unsigned dir_count;
    int64_t metric_interval_ns; /* between two readings of a process's metrics; 0: 15 s */
} recorder_receiver_options;

/* Makes the directories that are missing (mode 0700) and takes the lock by which programs know that
 * a server reads there: STATUS_BUSY when another one does. The store must outlive it. */
MUST_USE status recorder_receiver_new(recorder_receiver **ret, store *s,
                                      const recorder_receiver_options *options, error *err);
/* Ends the thread; what was not taken stays in the files. NULL is fine. */
void recorder_receiver_free(recorder_receiver *r);

typedef struct {
    uint64_t files;                  /* recorders read now */
    uint64_t received[SIGNAL_COUNT]; /* items that became durable */
    uint64_t refused[SIGNAL_COUNT];  /* items that the store would not take */
    uint64_t failed;                 /* tries that the store put off, or errors of reading */
    uint64_t finished;               /* files of dead processes that were read to their end */
} recorder_receiver_counts;
void recorder_receiver_get_counts(const recorder_receiver *r, recorder_receiver_counts *ret);

#endif
