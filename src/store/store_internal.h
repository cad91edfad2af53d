// SPDX-License-Identifier: Apache-2.0
/* The store's inside. Lock order: manifest_lock, then lock, then metrics_lock; none is held over a
 * write or a sync but manifest_lock, which no sender and no reader takes. */
#ifndef SONDE_STORE_STORE_INTERNAL_H
#define SONDE_STORE_STORE_INTERNAL_H

#include "store/changes.h"
#include "store/dedup.h"
#include "store/intake.h"
#include "store/mem.h"
#include "store/part_cache.h"
#include "store/store.h"

enum {
    MEMS_MAX = 4,      /* parts in memory: one receives, the others wait to be sealed */
    WATCHERS_MAX = 256 /* live tails at a time */
};

typedef struct {
    int handle; /* 0: free */
    void (*wake)(void *user, const batch *rows);
    void *user;
} watcher;

struct store {
    store_options options;
    char *dir;
    int lock_fd;
    intake *intake;

    pthread_mutex_t lock;
    pthread_cond_t changed;   /* a record was applied, a part was sealed, stop */
    mem_part *mems[MEMS_MAX]; /* oldest first; the last one receives */
    uint32_t mem_count;
    uint64_t generation;
    part **parts; /* by (signal, last, n) */
    uint32_t part_count, part_capacity;
    dedup seen;
    bool stop, threads_run;
    atomic_bool stopping;   /* stop, for those who hold no lock */
    bool merge_now;         /* the maintenance thread has something to look at */
    uint64_t seal_wanted;   /* generations up to this one shall be sealed */
    bool sealing;           /* the sealer is at it */
    uint64_t seal_failures; /* attempts that failed so far */
    error seal_trouble;     /* of the newest attempt */
    store_stats stats;

    pthread_mutex_t metrics_lock; /* series, and the receiving part's metrics */
    series_table series;
    atomic_size_t metrics_bytes; /* of the receiving part, readable without the lock */

    pthread_mutex_t manifest_lock;
    uint64_t cursor; /* all records up to it are in sealed parts */
    atomic_ullong next_part;
    buf dedup_state; /* as of cursor */

    pthread_mutex_t watch_lock;
    watcher watchers[WATCHERS_MAX];
    int next_watcher;
    atomic_int watcher_count;

    pthread_mutex_t readers_lock; /* before lock, and before the intake log's */
    log_reader *readers;          /* open ones, and places of names that nobody has opened */

    part_cache open_parts; /* its lock is taken last */
    changes changes;       /* to metrics */

    pthread_t sealer, maintainer;
    atomic_ullong corrupt_blocks;
};

/* ---- snapshots for readers ---- */

/* What one reader sees of one part in memory. */
typedef struct {
    mem_part *mem;
    const row_chunk *first;
    uint32_t chunk_count;
    mem_series **series;
    uint32_t series_count;
    bool receiving;
} mem_view;

typedef struct {
    mem_view mems[MEMS_MAX];
    uint32_t mem_count;
    part **parts; /* oldest first */
    uint32_t part_count;
} snapshot;

/* Parts whose times meet [from, to] (the part's unit, both inclusive). */
MUST_USE status snapshot_take(store *s, signal_kind signal, int64_t from, int64_t to, snapshot *ret,
                              error *err);
void snapshot_done(snapshot *sn);

/* ---- sealing (seal.c) ---- */

/* Freezes the receiving part when it has rows; the caller holds s->lock. False when the queue of
 * parts to seal is full or there is no memory. */
bool mem_rotate(store *s);
/* Seals the oldest frozen part. */
MUST_USE status seal_oldest(store *s, error *err);
void *sealer_main(void *store);

/* ---- keeping (maintain.c) ---- */

void *maintainer_main(void *store);
/* One merge if one is due; *ret_did tells. */
MUST_USE status merge_one(store *s, bool *ret_did, error *err);
MUST_USE status retention_apply(store *s, int64_t now_ns, error *err);

/* ---- the manifest (manifest.c) ---- */

typedef struct {
    part **added;
    uint32_t added_count;
    part **removed;
    uint32_t removed_count;
    mem_part *sealed; /* the oldest part in memory, which `added` replaces; NULL: none */
} part_change;

/* Makes a change durable, then visible, all at once. Takes the references of `added` over, also
 * when it fails; files of removed parts go when their last reader is done. Not with any lock held.
 */
MUST_USE status manifest_change(store *s, const part_change *change, error *err);
MUST_USE status manifest_open(store *s, error *err);

/* ---- readers of the log (log_reader.c) ---- */

/* Loads all places; *ret_keep is the oldest, *ret_highest the newest (0: none). */
MUST_USE status log_readers_load(store *s, uint64_t *ret_keep, uint64_t *ret_highest, error *err);
void log_readers_done(store *s);
/* Deletes what neither the store (up to its cursor) nor any reader needs. */
void log_trim(store *s);

/* Applies one record's rows to m; used by senders and by replay. */
MUST_USE status store_apply(store *s, mem_part *m, const batch *b, const uint8_t *skip,
                            row_chunk *chunk, int64_t received_ns, ingest_result *result,
                            error *err);
int64_t day_of_ns(int64_t time_ns);
/* What is kept of a record from `origin`; store_release follows. */
MUST_USE status store_route(store *s, const store_sender *from, const batch *b, store_routed *ret,
                            error *err);
void store_release(store *s, const store_sender *from, store_routed *r);

#endif
