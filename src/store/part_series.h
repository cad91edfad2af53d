// SPDX-License-Identifier: Apache-2.0
/* Sealed parts of metrics: writing series in order of labels, and reading them back. Layout:
 * docs/format/part.md. One thread per writer and per reader. */
#ifndef SONDE_STORE_PART_SERIES_H
#define SONDE_STORE_PART_SERIES_H

#include "store/column.h"
#include "store/exemplars.h"
#include "store/part_file.h"
#include "store/series.h"

/* ---- reading ---- */

typedef struct {
    uint32_t series, samples;
    int64_t min_ms, max_ms;
    uint32_t page, offset, length;
    bool histograms; /* else numbers */
} series_block;

typedef struct {
    uint64_t offset, length, sum;
} series_page;

/* Immutable once open, and read by any number of threads. */
typedef struct part_series {
    part *part;
    int fd;
    const char *map; /* of the whole file; a page is looked at once its checksum held */
    size_t map_size;
    arena *memory;
    str *symbols;
    uint32_t *label_start; /* series -> first pair; count + 1 of them */
    uint32_t *pairs;       /* symbol of the name, symbol of the value */
    uint32_t count;        /* series */
    series_block *blocks;  /* rising by series, then time */
    uint32_t *block_start; /* series -> first block; count + 1 of them */
    series_page *pages;
    uint32_t page_count;
    atomic_uchar *page_state; /* 0: not looked at; PAGE_SOUND, PAGE_DAMAGED */
    str index;                /* section, see label_index.h */
} part_series;

/* Reads series, blocks and label index into `a`. */
MUST_USE status part_series_open(part_series *ret, part *p, arena *a, error *err);
void part_series_close(part_series *ps);
/* Reads which blocks hold histograms; of part_series_open. */
MUST_USE status part_series_mark_histograms(part_series *ps, error *err);
/* Appends the label bytes (series.h) of a series. */
void part_series_key(const part_series *ps, uint32_t series, buf *out);
/* Decodes a block into arrays of blocks[block].samples elements. */
MUST_USE status part_series_read(const part_series *ps, uint32_t block, int64_t *times,
                                 double *values, error *err);

/* The same of either kind of block: histograms are in `a`, and values hold them (histogram_boxed);
 * numbers hold none. */
MUST_USE status part_series_read_any(const part_series *ps, uint32_t block, int64_t *times,
                                     double *values, arena *a, error *err);

/* A block that is not decoded yet. */
typedef struct {
    int_column times;
    bytes_reader values; /* a column of doubles */
    uint32_t count;
    bool times_again; /* they are those that `known` had */
} series_block_view;

/* The times of a block that others of its page have, too; zeroed at first. */
typedef struct {
    const char *at; /* in the mapped file */
    int_column column;
} known_times;

/* known: NULL, or what is kept from one block to the next, by one thread, while the part is held.
 */
MUST_USE status part_series_view(const part_series *ps, uint32_t block, known_times *known,
                                 series_block_view *ret, error *err);
/* Says that a block will be read soon. */
void part_series_expect(const part_series *ps, uint32_t block);

/* Families live in `a`. */
MUST_USE status part_families_read(part *p, arena *a, family **ret, uint32_t *ret_count,
                                   error *err);

/* ---- writing ---- */

typedef struct part_series_writer part_series_writer;
MUST_USE status part_series_create(part_series_writer **ret, const part_identity *id, error *err);
/* In order of labels; samples (histograms too) in order of time, no time twice. Nothing is kept of
 * the arguments. */
MUST_USE status part_series_add(part_series_writer *w, str key, const sample *samples, size_t count,
                                error *err);
/* Of the series added last. */
void part_series_exemplars(part_series_writer *w, const exemplar_ring *r);
MUST_USE status part_series_family(part_series_writer *w, const family *f, error *err);
/* Frees w in any case. */
MUST_USE status part_series_finish(part_series_writer *w, part **ret, error *err);
void part_series_abort(part_series_writer *w); /* NULL is fine */

#endif
