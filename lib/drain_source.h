// SPDX-License-Identifier: Apache-2.0
/* A recorder that the drainer reads: its own process's, or one that a dead process of the same
 * service left. For each feed (a sink that takes logs and spans) a source has a named cursor in the
 * file. Drainer's thread only. */
#ifndef SONDE_LIB_DRAIN_SOURCE_H
#define SONDE_LIB_DRAIN_SOURCE_H

#include "lib/env.h"
#include "lib/recorder.h"

typedef enum {
    FEED_LINES,  /* log lines, and spans where the console exporter is on */
    FEED_LOGS,   /* OTLP */
    FEED_TRACES, /* OTLP */
    FEED_ZIPKIN, /* spans */
    FEED_COUNT
} feed;

typedef struct source {
    struct source *next;
    recorder_reader *reader;
    recorder_cursor *cursor[FEED_COUNT]; /* NULL: the feed is not in use */
    int64_t reached_ns[FEED_COUNT];      /* everything up to here was polled and taken */
    bool live_sent[FEED_COUNT];          /* dead: its open spans were sent, too */
    bool metrics_sent;                   /* dead: its last metric values were sent */
    char *path;                          /* dead: the file, to be removed when it is empty */
    recorder_info info;
} source;

typedef struct {
    bool in_use[FEED_COUNT];
    bool console_traces;
    bool code; /* log rows carry the place in the code */
} feed_plan;

/* Which feeds the settings ask for. There is always one, so that space is given back. */
feed_plan feed_plan_of(const settings *s);

/* The own recorder: takes the drainer's lock in it. */
MUST_USE status source_open_own(source **ret, recorder *r, const feed_plan *plan, error *err);

/* Prepends what dead processes of `service` left in `dir` to *list: at most 16 at a time, oldest
 * first. Files that cannot be read are reported on stderr and left alone. `own` is this process's
 * own file, passed over. Returns the number found. */
unsigned source_adopt(source **list, const char *dir, str service, const char *own,
                      const feed_plan *plan);
/* The same for later looks, while the process runs: one open and one lock question for each file of
 * a living process. No two processes get the same file, nor does one get it twice: whoever has the
 * drainer's lock in it has it. */
unsigned source_adopt_later(source **list, const char *dir, str service, const char *own,
                            const feed_plan *plan);

bool source_is_dead(const source *s);
/* Nothing more will come from it through this feed. */
bool source_feed_done(const source *s, feed f);
void source_close(source *s);  /* keeps the file */
void source_remove(source *s); /* a dead process's: removes the file, and closes */

/* The next rows of a feed into `logs` and `spans` (either NULL: those are passed over). For a dead
 * source that is read to its end, its open spans come as the last rows; *ret_live tells. Sets
 * reached_ns when nothing is left for now and nothing was given. *ret_more: call again at once. */
MUST_USE status source_poll(source *s, feed f, bool at_rest, uint32_t max_rows, batch *logs,
                            batch *spans, bool *ret_live, bool *ret_more, error *err);

#endif
