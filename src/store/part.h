// SPDX-License-Identifier: Apache-2.0
/* A sealed part as the store knows it: what its footer says, and counted references. The file is
 * opened by whoever reads it. Layout: docs/format/part.md. */
#ifndef SONDE_STORE_PART_H
#define SONDE_STORE_PART_H

#include "codec/batch.h"

#include <stdatomic.h>

/* Parts with histograms are version 2; other parts are written as version 1 still. */
enum { PART_VERSION = 1, PART_VERSION_HISTOGRAMS = 2, PART_BLOCK_ROWS = 8192 };

typedef enum {
    SECTION_STREAMS = 1,
    SECTION_BLOCKS,
    SECTION_INDEX,
    SECTION_SCOPES,
    SECTION_TOKENS,
    SECTION_TRACES,
    SECTION_FAMILIES,
    SECTION_HISTOGRAMS,
    SECTION_EXEMPLARS,
    SECTION_END
} section_kind;

typedef struct {
    uint64_t offset, stored, length, sum; /* length 0 and stored 0: not there */
} part_section;

typedef struct part {
    atomic_uint refs;
    atomic_bool damaged; /* a block did not check out: never merged */
    atomic_bool doomed;  /* its file goes with the last reference */
    atomic_bool merging;
    signal_kind signal;
    int32_t day;
    uint64_t first, last, n;
    uint64_t rows, bytes;
    int64_t min_time, max_time; /* ns; metrics: ms */
    part_section sections[SECTION_END];
    struct open_part *opened;   /* under the cache's lock */
    struct part_cache *open_in; /* NULL: was never open there; part_cache.h */
    char path[];                /* of the file */
} part;

/* Reads and checks header, footer and trailer of DIR/<signal>/<day>/<first>-<last>-<n>.part. */
MUST_USE status part_open(part **ret, const char *dir, signal_kind signal, int32_t day,
                          uint64_t first, uint64_t last, uint64_t n, error *err);
void part_cache_forget(part *p); /* of part_cache.h, for the last reference */
void part_ref(part *p);
void part_unref(part *p);
/* Writes the path of a part's file or, n 0, of its day's directory. */
void part_path(char *ret, size_t size, const char *dir, signal_kind signal, int32_t day,
               uint64_t first, uint64_t last, uint64_t n);
/* Moves a file that cannot be used to DIR/aside/. */
void part_set_aside(const char *dir, const char *path);

/* ---- reading ---- */

/* The file of a part, open. */
MUST_USE status part_file(const part *p, int *ret_fd, error *err);
/* Reads a section, checks and decompresses it into `a`; an absent one is empty. Marks the part as
 * damaged and gives STATUS_CORRUPT when it does not check out. */
MUST_USE status part_section_read(part *p, int fd, section_kind kind, arena *a, str *ret,
                                  error *err);
/* Reads `length` bytes at `offset` and checks them. */
MUST_USE status part_bytes_read(part *p, int fd, uint64_t offset, uint64_t length, uint64_t sum,
                                arena *a, str *ret, error *err);

#endif
