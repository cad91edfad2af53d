// SPDX-License-Identifier: Apache-2.0
/* Metrics inside the library; see sonde/metric.h for what users see.
 *
 * A process keeps one registry of metrics and their series, in its own memory. Values are in cells,
 * which lie in the recorder while one is open, and in private memory before that. A series has a
 * cell for each shard that touched it; twelve shards belong to one thread each, which updates them
 * by plain instructions, four are shared and updated atomically.
 *
 * Lock order: metric_collect's lock, then the registry's. The recorder is attached by a hook of
 * lib/state.h, also in the child of a fork. */
#ifndef SONDE_LIB_METRIC_H
#define SONDE_LIB_METRIC_H

#include "codec/recorder_metric_format.h"
#include "sonde/metric.h"

#include "base/str.h"

#include <stdatomic.h>

#define METRIC_SHARDS       RECORDER_METRIC_SHARDS
#define METRIC_OWNED_SHARDS 12u           /* numbers 1 to 12; the others are shared */
#define METRIC_FOLD_SHARD   METRIC_SHARDS /* shared; takes what was counted before the recorder */
#define METRIC_SERIES_LIMIT 2000u
/* The second word of a gauge's cell, beside 1 for a value: it was set since the last look. */
#define METRIC_GAUGE_TOUCHED UINT64_C(2)

struct settings;
typedef struct metric metric;
typedef struct metric_series metric_series;
typedef struct metric_table metric_table;

/* What a handle of sonde/metric.h points to. */
struct metric_series {
    /* By shard number; [0] is always NULL, which sends a thread without a shard to the slow path. A
     * gauge uses [1] only, for all threads. */
    _Atomic(uint64_t *) cell[METRIC_SHARDS + 1];
    /* Explicit histogram: rising, filled up with +Inf to a multiple of 8; NULL: exponential. */
    const double *bounds;
    uint32_t bounds_padded;
    bool falls; /* an up-down counter */
    bool overflow;
    bool exponential;
    bool expired; /* registry locked */
    metric *metric;
    _Atomic(recorder_exemplar *) exemplars;
    recorder_series_row *row; /* NULL while no recorder has it */
    metric_series *next;
    uint64_t hash;
    int64_t start_ns;
    uint64_t last_words; /* digest of its cells when it was last looked at for expiry */
    int64_t changed_ns;  /* monotonic: when that was last another */
    uint32_t text_bytes;
    char text[]; /* label values as in recorder_series_row */
};

struct metric {
    metric *next; /* made before it; metrics are never taken out */
    metric_series *series;
    metric_series *_Atomic only; /* of a metric without labels */
    metric_series *_Atomic overflow;
    metric_table *_Atomic table;
    recorder_metric_row *row; /* NULL while no recorder has it */
    recorder_metric_kind kind;
    uint32_t label_count;
    uint32_t bound_count;
    uint32_t bounds_padded;
    double *bounds;
    int exp_scale; /* the highest */
    uint32_t exemplar_count;
    int64_t expire_ns;          /* 0: never */
    _Atomic uint32_t row_count; /* series that were ever made */
    uint32_t cell_bytes;
    uint32_t series_limit;
    _Atomic uint32_t series_count; /* that are not expired */
    _Atomic uint32_t flags;        /* as in recorder_metric_row */
    uint32_t references;
    sonde_gauge_read *_Atomic read;
    void *read_user;
    uint32_t name_bytes; /* at the start of `text`, behind its length */
    uint32_t text_bytes;
    char text[]; /* as in recorder_metric_row */
};

/* ---- for sonde_start and sonde_stop ---- */

/* Default aggregation and exemplars. Before metrics are made. */
void metric_configure(const struct settings *s);

/* Moves metrics and early values into the recorder that is current. Done by a hook of lib/state.h
 * already when metrics exist; twice does nothing. */
void metric_attach(void);
/* After state_disable: what comes now is kept in private memory until the next start, and counts
 * from zero. */
void metric_detach(void);

/* ---- for whoever collects ---- */

/* Runs the callbacks and brings process metrics and early values into the recorder: call it before
 * reading metrics from it. Any thread; one at a time goes through. */
void metric_collect(void);
/* process_cpu_seconds_total and its like, read at each metric_collect from then on. Once, at start.
 */
void process_metrics_register(void);

/* ---- between the files of this module ---- */

/* The series of these label values; made when new; the overflow series beyond the limit. NULL,
 * counted as dropped, when it cannot be had. */
metric_series *metric_lookup(metric *m, const char *const *labels, size_t count);
/* Makes the one series of a metric without labels. Registry locked. */
metric_series *metric_series_only(metric *m);
/* Forgets what lies in an earlier recorder. Registry locked. */
void metric_series_detach(metric *m);
/* Writes the rows of a metric's series into the recorder that has the metric's; they count from
 * `start_ns`, or since they were made when that is 0. Registry locked. */
void metric_series_attach(metric *m, int64_t start_ns);
/* The calling thread's cell, made when it has none. NULL, counted as dropped, when there is no
 * room. */
uint64_t *metric_cell_slow(metric_series *s);
/* The cell of the fold shard, which all threads may update atomically. */
uint64_t *metric_cell_shared(metric_series *s);
/* The cell of one shard, made when there is none. Registry locked. */
uint64_t *metric_cell_in(metric_series *s, uint32_t shard);
/* Adds now - before to a cell that all threads may update, word by word. */
void metric_add_words(uint64_t *cell, const metric *m, const uint64_t *now, const uint64_t *before,
                      uint32_t words);
/* Adds to the recorder what was counted in private cells since the last call. Registry locked. */
void metric_fold(void);
/* Leaves out of later folds what was counted so far. */
void metric_fold_forget(void);
/* In the child of a fork: begins anew, with the child's recorder. Not locked; metric_lock calls it.
 */
void metric_check_fork(void);
/* The recorder takes rows and cells. Registry locked. */
bool metric_is_attached(void);

/* A counter's whole value, for one that is read from elsewhere. One thread at a time. */
void metric_set_total(sonde_counter *c, double total);
/* The same for a counter with one label, in whole numbers. */
void metric_set_whole(sonde_counter *c, const char *label, uint64_t total);

typedef enum { METRIC_DROP_INVALID, METRIC_DROP_FULL, METRIC_DROP_SERIES } metric_drop;
void metric_count_dropped(metric_drop reason);

/* The registry's lock; false when the calling thread holds it already (a signal handler that came
 * in between). */
MUST_USE bool metric_lock(void);
void metric_unlock(void);

/* Zeroed space in the recorder on a multiple of 64; NULL when it is full. Registry locked. */
void *metric_area_alloc(size_t bytes, uint64_t *ret_offset);

#endif
