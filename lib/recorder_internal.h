// SPDX-License-Identifier: Apache-2.0
/* The recorder's inside, shared by lib/recorder*.c, ring.c, site.c and span.c.
 *
 * Blocks are claimed and published without locks, so everything here may run in a signal handler.
 * A `recorder` is never freed: a thread that is inside a call when another one stops the library
 * may still hold it. It costs two pages. */
#ifndef SONDE_LIB_RECORDER_INTERNAL_H
#define SONDE_LIB_RECORDER_INTERNAL_H

#include "lib/recorder.h"
#include "lib/ring.h"

#include <limits.h>

#define RECORDER_STEP_BLOCKS 16u /* space is taken from the file system in steps of 256 KiB */

struct recorder {
    char *base;
    size_t bytes;
    recorder_header *header;
    _Atomic uint64_t *table;
    _Atomic uint32_t claims, claim_next; /* so far; where the next one looks first */
    char *blocks;
    uint32_t block_count;
    _Atomic uint32_t limit; /* blocks that may be used; less than block_count after ENOSPC */
    int fd;                 /* -1: private memory */
    uint64_t id;
    _Atomic bool closed;
    uint32_t full_wait_ms;
    _Atomic bool said_full;

    ring *rings; /* RECORDER_RINGS_MAX, touched as they are used */
    _Atomic(recorder_ring_row *) ring_rows[RECORDER_RINGS_MAX / 128];

    _Atomic(char *) live[RECORDER_LIVE_BLOCKS_MAX];
    _Atomic uint32_t live_free[RECORDER_LIVE_BLOCKS_MAX]; /* bit set: the slot is free */
    _Atomic uint32_t live_count;
    _Atomic uint32_t tentative; /* slots of unsampled spans that wait for their local root */

    _Atomic(char *) sites[RECORDER_SITE_BLOCKS_MAX];
    _Atomic uint64_t site_end; /* block index << 32 | bytes used in it */
    _Atomic uint32_t metric_count;
    _Atomic uint64_t area; /* file offset of the metric run << 24 | bytes left in it */

    uint64_t calibrated_ticks;
    int64_t calibrated_mono_ns;
    char path[PATH_MAX];
};

_Static_assert(sizeof(recorder_ring_row) == 128, "ring_rows is sized by it");

static inline _Atomic uint64_t *atomic_u64(void *p)
{
    return (_Atomic uint64_t *)p;
}
static inline _Atomic uint32_t *atomic_u32(void *p)
{
    return (_Atomic uint32_t *)p;
}

static inline char *recorder_block(const recorder *r, uint32_t block)
{
    return r->blocks + (size_t)block * RECORDER_BLOCK_BYTES;
}

/* Claims a run of `count` neighbouring blocks; their number, or UINT32_MAX when there is none.
 * Their content is what it was. */
uint32_t recorder_claim(recorder *r, uint32_t count);
/* Says what a claimed run is, from when on readers look at it. */
void recorder_publish(recorder *r, uint32_t block, uint32_t count, recorder_block_kind kind,
                      uint32_t ring_id, uint32_t index);
void recorder_unclaim(recorder *r, uint32_t block, uint32_t count);

/* The reader, which gives blocks back, does so by system calls on the file. The thread sanitizer
 * does not see that a block's last writer comes before its next one by that way, and is told. */
#ifdef __SANITIZE_THREAD__
#include <sanitizer/tsan_interface.h>
#define TELL_TSAN(what, r, block, count) \
    for (uint32_t i_ = 0; i_ < (count); i_++) \
    what(recorder_block(r, (block) + i_))
#define recorder_left(r, block, count)  TELL_TSAN(__tsan_release, r, block, count)
#define recorder_taken(r, block, count) TELL_TSAN(__tsan_acquire, r, block, count)
#else
#define recorder_left(r, block, count)  ((void)0)
#define recorder_taken(r, block, count) ((void)0)
#endif

/* lib/recorder_file.c: the file with its full length, empty and locked; *ret_bytes may be less than
 * asked for. */
MUST_USE status recorder_file_create(const recorder_options *options, uint64_t id,
                                     size_t *inout_bytes, char path[PATH_MAX], int *ret_fd,
                                     error *err);
/* Takes space for bytes [from, to) and touches it; false when the file system has none. */
/* Says once, on stderr, when the file system has less room than the recorder may come to need. */
void recorder_note_room(recorder *r);
bool recorder_file_reserve(recorder *r, size_t from, size_t to);

/* lib/recorder_header.c */
void recorder_header_fill(recorder *r, const recorder_options *options);
void recorder_clock_add(recorder *r);

#endif
