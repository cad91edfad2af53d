// SPDX-License-Identifier: Apache-2.0
/* Reads a recorder file (docs/format/recorder.md), of a living or a dead process, with pread only;
 * no offset in it is trusted, and a damaged file is read as far as it is good.
 * One thread per reader. A reader that was opened for writing may commit cursors, by which the
 * writer gets its space back. */
#ifndef SONDE_CODEC_RECORDER_H
#define SONDE_CODEC_RECORDER_H

#include "codec/batch.h"
#include "codec/recorder_format.h"
#include "codec/redact.h"

typedef struct recorder_reader recorder_reader;

typedef struct {
    bool read_only; /* commits are refused; the file is not changed */
    /* Log rows and spans, or log rows alone, carry code.file.path, code.line.number,
     * code.function.name. */
    bool code_attributes, code_on_logs;
} recorder_reader_options;

typedef struct {
    str service;    /* service.name of the resource */
    attrs resource; /* valid until the reader is closed */
    uint64_t id;
    int32_t pid;
    int64_t start_ns;
    bool alive;     /* the process runs and holds the recorder (asked at the call) */
    bool ended;     /* it stopped cleanly: nothing was open */
    bool same_boot; /* written since this machine booted */
    bool external;  /* the process leaves reading to a server, also while it lives */
    uint64_t capacity_bytes, reserved_bytes, used_bytes;
} recorder_info;

/* Whether somebody holds the lock on byte RECORDER_LOCK_ALIVE (the process, or one that got the
 * descriptor by a fork) or RECORDER_LOCK_DRAINER (who drains it); also true when the file cannot be
 * opened. Cheaper than a reader, and enough to look again later. Any thread. */
bool recorder_lock_is_held(const char *path, int byte);

/* STATUS_UNSUPPORTED for a version this build does not know, STATUS_CORRUPT for what is no
 * recorder, STATUS_BUSY for one whose process is just creating it. `options` may be NULL. */
MUST_USE status recorder_reader_open(recorder_reader **ret, const char *path,
                                     const recorder_reader_options *options, error *err);
/* Does not take the descriptor: it must stay open longer than the reader. */
MUST_USE status recorder_reader_open_fd(recorder_reader **ret, int fd,
                                        const recorder_reader_options *options, error *err);
/* A recorder that is memory of this process, not a file. */
MUST_USE status recorder_reader_open_memory(recorder_reader **ret, void *base, size_t bytes,
                                            const recorder_reader_options *options, error *err);
/* The one that this process writes; `fd` is its file, for the locks, or -1. Both must stay longer
 * than the reader. With the drainer's lock, records are read where they lie. */
MUST_USE status recorder_reader_open_own(recorder_reader **ret, void *base, size_t bytes, int fd,
                                         const recorder_reader_options *options, error *err);
void recorder_reader_close(recorder_reader *r); /* NULL is fine */
void recorder_reader_closep(recorder_reader **r);

recorder_info recorder_reader_info(recorder_reader *r);
/* As of the last poll: bytes of its blocks that are in use, and of all that the rings ever took,
 * those of rings that have none now excepted. */
uint64_t recorder_used_bytes(const recorder_reader *r);
uint64_t recorder_taken_bytes(const recorder_reader *r);

/* The one drainer of a file holds this lock until the reader is closed; STATUS_BUSY when another
 * has it. Nothing to lock in memory: done. */
MUST_USE status recorder_reader_lock(recorder_reader *r, error *err);

/* For the reader that has the drainer's lock while the process has no drainer of its own: notes
 * that the process lives, and from time to time what time its clock shows. Call it at each poll
 * while info.alive. */
MUST_USE status recorder_reader_calibrate(recorder_reader *r, error *err);

/* A server that reads all recorders of a directory holds a lock on byte 0 of this file in it. */
#define RECORDER_SERVER_FILE ".sonde-server"
/* Whether one does now. */
bool recorder_server_reads(const char *dir);

/* ---- cursors: how far a named sink has read ---- */

typedef struct recorder_cursor recorder_cursor;

/* Finds the sink's committed position, or begins at the oldest record. `sink`: at most 31 bytes; a
 * new name is entered into the file (unless read_only), of which there are at most 8:
 * STATUS_LIMIT. Belongs to the reader and is freed with it. */
MUST_USE status recorder_cursor_open(recorder_reader *r, recorder_cursor **ret, str sink,
                                     error *err);
/* An own position that the file does not know: begins at the oldest record still there. For
 * listings. recorder_cursor_commit does nothing. */
MUST_USE status recorder_cursor_open_unnamed(recorder_reader *r, recorder_cursor **ret, error *err);
/* Writes the position reached by the polls into the file: call it when the sink took the data. What
 * every named sink has passed is given back to the writer. */
MUST_USE status recorder_cursor_commit(recorder_reader *r, recorder_cursor *c, error *err);
/* Forgets the polls since the last commit. */
void recorder_cursor_rewind(recorder_reader *r, recorder_cursor *c);
/* Records and bytes behind the last poll, as far as is known; for queue displays. */
uint64_t recorder_cursor_behind_bytes(recorder_reader *r, recorder_cursor *c);
/* Bytes of whole extents behind the last commit, as of the reader's last poll with any cursor:
 * reads nothing, cheap enough for every poll. The extent that each thread is writing into does not
 * count. */
uint64_t recorder_cursor_behind_extents(recorder_reader *r, recorder_cursor *c);
/* Takes a sink's name out of the file, so that it no longer holds space. */
MUST_USE status recorder_sink_remove(recorder_reader *r, str sink, error *err);

/* Up to this time everything has surely been committed: now - 100 ms while the process is alive,
 * and no limit (INT64_MAX) when it is dead or its writers are at rest. */
int64_t recorder_horizon(recorder_reader *r);
#define RECORDER_WINDOW_NS (100 * NS_PER_MS)

/* Moves the cursor over committed records up to `horizon_ns`, in the order of time over all
 * threads, and appends them to `logs` and `spans` (either may be NULL: those are passed over), at
 * most max_rows in all. *ret_rows is the number appended; fewer than max_rows means that nothing
 * more is there now, unless *ret_full, which tells that a batch had no room left. Rows carry the
 * attribute sonde.record.id = "<recorder id>:<ring>:<sequence>"; their resource is the process's.
 * Texts live in the batches, those of call sites and the resource in the reader. A batch limited to
 * less than 1 MiB may be too small for a single record: then *ret_full, and no rows. */
MUST_USE status recorder_poll(recorder_reader *r, recorder_cursor *c, int64_t horizon_ns,
                              uint32_t max_rows, batch *logs, batch *spans, uint32_t *ret_rows,
                              bool *ret_full, error *err);

/* ---- spans that were started and not ended ---- */

/* Appends one row per open span; the attribute sonde.record.id names recorder and slot. For a dead
 * process they end at its last sign of life, with status error "process died before the span
 * ended"; for a living one end_ns is now and the status unset. */
MUST_USE status recorder_live_spans(recorder_reader *r, batch *spans, error *err);

/* The value rules that the process chose; rows and points come with them applied. */
const redact_rules *recorder_redact_rules(const recorder_reader *r);

/* ---- what was dropped ---- */

uint64_t recorder_drops(recorder_reader *r, signal_kind signal, recorder_drop reason);
/* Log records or finished spans that were written, drained or not; metrics: 0. Never falls while
 * the reader is open. Reads the extents that are being written into. */
uint64_t recorder_written(recorder_reader *r, signal_kind signal);
const char *recorder_drop_label(recorder_drop reason); /* "recorder_full" */
/* The drainer's own losses. */
MUST_USE status recorder_drops_add(recorder_reader *r, signal_kind signal, recorder_drop reason,
                                   uint64_t n, error *err);

/* ---- for the metric area's reader (codec/recorder_metrics.c) ---- */

/* Copies `n` bytes of the file; STATUS_CORRUPT when they are not inside the reserved part. */
MUST_USE status recorder_read(recorder_reader *r, uint64_t offset, void *ret, size_t n, error *err);
uint64_t recorder_metric_root(recorder_reader *r);
/* Ticks to wall time, by the newest calibration before them. */
int64_t recorder_ticks_to_ns(recorder_reader *r, uint64_t ticks);
/* The last moment at which the process is known to have lived. */
int64_t recorder_last_sign_ns(recorder_reader *r);
/* Adds the process's resource and the scope "sonde" to a batch; BATCH_FULL at its limit. */
uint32_t recorder_batch_scope(recorder_reader *r, batch *b);

#endif
