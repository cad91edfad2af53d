// SPDX-License-Identifier: Apache-2.0
/* What the drainer's files share: drain.c (thread and loop), drain_lines.c (JSON lines),
 * drain_lanes.c (over the network), drain_room.c (receivers that are away). Everything but the part
 * under `lock` belongs to the drainer's thread. */
#ifndef SONDE_LIB_DRAIN_INTERNAL_H
#define SONDE_LIB_DRAIN_INTERNAL_H

#include "codec/log_format.h"
#include "lib/drain.h"
#include "lib/drain_source.h"
#include "lib/export.h"
#include "lib/metric_delta.h"
#include "lib/sink_lines.h"
#include "lib/spool.h"

#include <pthread.h>

#define LINES_ROWS_MAX   1024u
#define DRAIN_BATCH_MAX  MiB(8)
#define ADOPTED_PATH_MAX 4096

/* What a lane of the exporter is sending. */
typedef struct {
    source *owner; /* NULL: nothing */
    bool live;     /* open spans of a dead process, which no cursor covers */
    bool spooled;  /* a body from the spool; then there is no owner */
    bool released; /* its rows are in no recorder any more; then there is no owner */
    uint32_t rows;
    int64_t sent_ns; /* monotonic: when the body was given to the exporter */
    int64_t due_ns;  /* monotonic: next poll, if no flush comes before */
} lane_work;

struct drainer {
    const settings *settings;
    recorder *recorder;
    unsigned adoptions_left;
    int64_t adopt_due_ns; /* monotonic: the next look for what siblings left */
    feed_plan plan;
    source *own;
    source *dead; /* list */
    line_sink lines;
    log_format format; /* of log lines */
    bool colour;
    int64_t lines_room_check_ns; /* monotonic, like room_check_ns, for the lines */
    source *lines_owner;         /* whose rows are pending in `lines` */
    uint32_t lines_rows;
    exporter *exporter; /* NULL: nothing goes over the network */
    lane_work work[LANE_COUNT];
    spool *spool;            /* NULL: none */
    int64_t spool_warned_ns; /* monotonic */
    int64_t report_due_ns;   /* monotonic */
    bool reads;              /* this pass reads the recorder; else it goes on with what was begun */
    bool lines_more;         /* the last poll for lines left some */
    int64_t read_due_ns;     /* monotonic: the next pass that reads */
    int64_t paced_ns;        /* monotonic: the last one */
    uint64_t paced_bytes;    /* what the writers had taken then */
    batch logs, spans, points;
    metric_delta *delta; /* NULL: metrics are sent cumulative */
    buf body;
    int64_t metrics_due_ns;       /* monotonic */
    int64_t metrics_collected_ns; /* wall: the newest collection */
    int64_t metrics_sent_ns;      /* wall: the newest one that ended, taken or refused */
    int64_t warned_ns;            /* monotonic */
    int64_t room_check_ns;        /* monotonic: next look at how full the recorder is */
    bool at_rest;                 /* the writers were stopped */
    int64_t pass_since_ns;        /* wall: a flush wants everything up to here; 0: none */

    pthread_t thread;
    pthread_mutex_t lock;
    pthread_cond_t changed;
    /* under the lock */
    int64_t flush_wanted_ns; /* wall; grows */
    int64_t flush_done_ns;
    bool stop;
    int64_t stop_deadline_ns; /* monotonic */
    bool finished;
    bool empty;
    drain_report report; /* but for the lanes, which the exporter has */
};

/* Each returns true when it moved something. *ret_more is set when it should be called again at
 * once. */
MUST_USE status drain_lines_open(drainer *d, error *err);
bool drain_lines_step(drainer *d, bool *ret_more);
bool drain_lanes_step(drainer *d, bool *ret_more);
void drain_lane_done(void *user, lane_id lane, const export_result *result);

/* LANE_METRICS has none (FEED_COUNT): its values are cells, not rows. */
feed drain_feed_of(lane_id lane);
batch *drain_batch_of(drainer *d, lane_id lane);
/* The next rows for a lane into its batch. */
status drain_poll_lane(drainer *d, lane_id lane, source *s, uint32_t max_rows, bool *ret_live,
                       bool *ret_more, error *err);
/* Opens the spool where the settings name one; without it the drainer works, and says so. */
void drain_spool_open(drainer *d);
/* Sends the oldest body that the spool has for an idle lane. */
bool drain_spool_send(drainer *d, lane_id lane);
/* From lanes whose receivers are away to the spool, or to nowhere, when the recorder needs room. */
void drain_make_room(drainer *d);

/* Everything recorded up to `wall_ns` in the own recorder was taken, by every feed. */
bool drain_reached(const drainer *d, int64_t wall_ns);
/* Whose rows a feed takes next: the own recorder's first while stopping, else the dead ones' first;
 * NULL: every source is at its end. */
source *drain_next_source(drainer *d, feed f);
/* Counts rows that a sink will never get. */
void drain_count_drop(source *s, signal_kind signal, recorder_drop reason, uint64_t rows);
/* Moves the feed's cursor in the file to where its polls have come; false, with a warning, when it
 * cannot be written. */
bool drain_commit(source *s, feed f);
/* After a read error: one warning a minute; a dead source is given up. */
void drain_read_failed(drainer *d, source *s, feed f, const error *err);
/* Cuts attributes to the configured number and length. */
void drain_limit_attributes(const settings *s, batch *b);

#endif
