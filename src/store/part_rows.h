// SPDX-License-Identifier: Apache-2.0
/* Sealed parts of logs and traces: writing rows in (stream, time) order, and reading blocks,
 * filters and streams back. Layout: docs/format/part.md. One thread per writer and per reader. */
#ifndef SONDE_STORE_PART_ROWS_H
#define SONDE_STORE_PART_ROWS_H

#include "store/part_file.h"
#include "store/row.h"

enum { ROW_COLUMNS = 16 };

typedef enum {
    COLUMN_TIME = 1,
    COLUMN_EXTRA,
    COLUMN_LEVEL,
    COLUMN_STATUS,
    COLUMN_FLAGS,
    COLUMN_SCOPE,
    COLUMN_TRACE,
    COLUMN_SPAN,
    COLUMN_PARENT,
    COLUMN_TEXT /* and the row_texts after it */
} row_column;

#define COLUMN_BIT(c) (1u << (c))
#define COLUMNS_ALL   0xFFFFu

/* ---- reading ---- */

typedef struct {
    uint32_t stream;
    uint32_t rows;
    int64_t min_time_ns, max_time_ns;
    int64_t min_extra, max_extra; /* of column 2: spans' duration */
    uint32_t levels;              /* set of column 3 */
    uint64_t offset;
    uint32_t length[ROW_COLUMNS]; /* 0: not stored */
    uint64_t sum[ROW_COLUMNS];
} row_block;

typedef struct {
    part *part;
    int fd;
    arena *memory;
    row_names names; /* resources are the streams */
    row_block *blocks;
    uint32_t block_count;
    str *filters; /* of tokens, per block; NULL until they are needed */
} part_rows;

/* Reads streams, scopes and the block directory into `a`. */
MUST_USE status part_rows_open(part_rows *ret, part *p, arena *a, error *err);
void part_rows_close(part_rows *pr);
/* Decodes the wanted columns of a block into rows (the array has block->rows elements, zeroed by
 * the caller before the first call). Texts live in `a`. STATUS_CORRUPT marks the part. */
MUST_USE status part_rows_read(part_rows *pr, uint32_t block, uint32_t columns, arena *a, row *rows,
                               error *err);
/* Clears keep[block] of blocks of that stream (UINT32_MAX: of all) that lack one of the tokens. */
MUST_USE status part_rows_tokens(part_rows *pr, uint32_t stream, const uint64_t *hashes,
                                 uint32_t count, uint8_t *keep, error *err);
/* Sets hit[block] of the blocks that may hold the trace. */
MUST_USE status part_rows_trace(part_rows *pr, trace_id id, uint8_t *hit, error *err);

/* ---- writing ---- */

typedef struct part_rows_writer part_rows_writer;

/* Streams (resources) must be given in byte order; the writer keeps views of them. */
MUST_USE status part_rows_create(part_rows_writer **ret, const part_identity *id,
                                 const str *streams, uint32_t stream_count, error *err);
/* Rows in order of (stream, time); r->resource is the stream, r->scope an index into `names`.
 * Nothing is kept of the arguments but the streams. */
MUST_USE status part_rows_add(part_rows_writer *w, const row *r, const row_names *names,
                              error *err);
/* Writes the rest, syncs, renames into place and syncs the directory; frees w in any case. */
MUST_USE status part_rows_finish(part_rows_writer *w, part **ret, error *err);
void part_rows_abort(part_rows_writer *w); /* NULL is fine */

#endif
