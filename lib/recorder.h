// SPDX-License-Identifier: Apache-2.0
/* The recorder of this process: a shared mapping that threads write logs, spans and metric cells
 * into. Byte layout: codec/recorder_format.h and docs/format/recorder.md.
 *
 * Owner: lib/state.h holds the one that is current. It is never unmapped while threads may still
 * write: recorder_close puts plain memory in its place. All functions here are thread-safe; those
 * marked (S) are also safe in signal handlers. Nothing here logs. */
#ifndef SONDE_LIB_RECORDER_H
#define SONDE_LIB_RECORDER_H

#include "codec/batch.h"
#include "codec/recorder.h"
#include "codec/recorder_format.h"

#include <stdatomic.h>

typedef struct recorder recorder;

typedef struct {
    str service;          /* part of the file's name; service.name comes from `resource` */
    str dir;              /* empty: $STATE_DIRECTORY, else /dev/shm/sonde-$UID */
    size_t bytes;         /* 0: 16 MiB; at least 256 KiB, at most 1 GiB */
    const attr *resource; /* process.pid and service.instance.id are added where missing */
    size_t resource_count;
    bool external; /* a server reads it; the process has no drainer */
    /* How long a call that meets a full recorder waits for room; 0: it drops its record. */
    uint32_t full_wait_ms;
    str redact_values; /* rules that readers apply to values, as redact_rules_init takes them */
    str redact_keys;   /* more keys that name secrets; at most 2 KiB with the rules */
} recorder_options;

/* Creates the file, or private memory where none can be had; then `err` has the reason although the
 * result is STATUS_OK, and recorder_path is empty: say it once. */
MUST_USE status recorder_open(recorder **ret, const recorder_options *options, error *err);
/* Marks a clean end and takes the mapping away from writers. The file is removed when `remove` (its
 * sinks have everything), else it stays for the next start or `sonde recover`. */
void recorder_close(recorder *r, bool remove);
/* In the child of a fork: forgets the parent's recorder without touching its file. */
void recorder_abandon(recorder *r);

/* The directory that recorder_open would use: for picking up what dead processes left. Terminated,
 * not created. */
MUST_USE status recorder_directory(str dir, char *ret, size_t size, error *err);

const char *recorder_path(const recorder *r); /* "" in private memory */
int recorder_fd(const recorder *r);           /* -1 in private memory */
uint64_t recorder_id(const recorder *r);
/* Left to a server; false in private memory, whatever the options said. */
bool recorder_is_external(const recorder *r);
/* A reader on this process's own recorder, by its descriptor or memory. */
MUST_USE status recorder_open_reader(recorder *r, recorder_reader **ret,
                                     const recorder_reader_options *options, error *err);

/* (S) Counts n lost items. */
void recorder_count_drop(recorder *r, signal_kind signal, recorder_drop reason, uint64_t n);

/* Log records or finished spans written so far, as of now; metrics: 0. */
uint64_t recorder_count_written(const recorder *r, signal_kind signal);

/* (S) Append-only zeroed memory in the file, on a multiple of 64, never moved or freed; bytes up to
 * 1 MiB. *ret_offset is its place in the file. NULL when the recorder is full. */
void *recorder_area_alloc(recorder *r, size_t bytes, uint64_t *ret_offset);
/* (S) Where the metric area keeps the file offset of its first object; 0 at first. */
_Atomic uint64_t *recorder_metric_root_ptr(recorder *r);

/* ---- the drainer's duties, about once per poll ---- */

/* Appends a calibration row when the last one is old enough (cheap otherwise) and notes that the
 * process lives. */
void recorder_recalibrate(recorder *r);
/* Gives back blocks of rings whose thread is gone and whose records every sink has read. */
void recorder_reclaim(recorder *r);

/* (S) The clock of records. */
uint64_t recorder_ticks(void);

#endif
