// SPDX-License-Identifier: Apache-2.0
/* The reader's inside, shared by codec/recorder*.c. Everything that comes out of the file is
 * checked before it is used as an offset, a length or an index. */
#ifndef SONDE_CODEC_RECORDER_READER_H
#define SONDE_CODEC_RECORDER_READER_H

#include "base/map.h"
#include "codec/recorder.h"

/* Where an extent's run lies. */
typedef struct {
    uint32_t ring, index;
    uint32_t block, blocks;
} extent_place;

typedef struct {
    uint32_t id;
    uint8_t severity;
    uint32_t line;
    str name, file, function, logger;
    str keys[RECORDER_SITE_KEYS];
    uint32_t key_count;
} recorder_site;

/* A text that was looked at: valid UTF-8, no secrets. Most texts come again and again. */
typedef struct {
    uint8_t len;
    char bytes[95];
} known_text;

#define KNOWN_TEXTS 256u

/* One ring while it is merged. `bytes` are committed records from sequence (index, offset) on: in
 * `copy`, or where the process wrote them. */
typedef struct {
    uint32_t ring;
    uint32_t index, offset; /* of the next record */
    uint32_t used, len;     /* in bytes */
    uint32_t capacity;
    char *copy;
    const char *bytes;
    extent_place place; /* of `bytes`, when they are read where they lie */
    int64_t time_ns;    /* of the next record */
} ring_stream;

struct recorder_cursor {
    recorder_cursor *next;
    int sink; /* -1: unnamed */
    uint32_t count;
    uint64_t *committed; /* per ring */
    uint64_t *at;
};

struct recorder_reader {
    int fd; /* -1: none, only memory */
    bool owns_fd;
    bool locked;
    bool own;      /* the process reads what it writes itself */
    bool in_place; /* and gives blocks back: it needs no copies */
    bool same_boot;
    char *base; /* NULL: bytes come by pread */
    uint64_t bytes;
    recorder_reader_options options;
    recorder_header header; /* refreshed by recorder_refresh, the resource excepted */
    arena arena;            /* resource and sites */
    attrs resource;
    redact_rules redact; /* the process's own, from the header */
    known_text known[KNOWN_TEXTS];
    map sites;
    const recorder_site *last_site;
    recorder_cursor *cursors;

    uint64_t *table; /* of the reserved blocks */
    uint32_t table_count;
    extent_place *extents; /* by ring, then index */
    uint32_t extent_count, extent_capacity;
    uint32_t *ring_blocks, *site_blocks, *live_blocks; /* by index; UINT32_MAX: absent */
    uint32_t ring_block_count, site_block_count, live_block_count;

    recorder_clock_row clock[RECORDER_CLOCK_ROWS]; /* by ticks */
    uint32_t clock_count;
    uint64_t clock_written; /* header.clock_count when they were read */

    ring_stream *streams;
    uint32_t stream_count;
    uint32_t *heap; /* of stream numbers */
    uint32_t heap_count;
    uint64_t written[2]; /* what recorder_written last found */
};

/* ---- recorder_source.c ---- */
MUST_USE status source_write(recorder_reader *r, uint64_t offset, const void *bytes, size_t n,
                             error *err);
uint64_t block_offset(const recorder_reader *r, uint32_t block);

/* ---- recorder_layout.c ---- */
/* Reads anew what changes while the process runs. */
MUST_USE status recorder_refresh(recorder_reader *r, error *err);
/* The extent with the smallest index that is at least `index`; NULL when there is none. */
const extent_place *recorder_find_extent(const recorder_reader *r, uint32_t ring, uint32_t index);
/* Never NULL: an unknown number gives a site named "unknown". */
const recorder_site *recorder_site_get(recorder_reader *r, uint32_t id);
/* File offset of a ring's row; 0 when it is not there. */
uint64_t recorder_ring_row_offset(const recorder_reader *r, uint32_t ring);
uint32_t recorder_ring_count(const recorder_reader *r);

/* ---- recorder_poll.c ---- */
/* The scope of a logger's records, beside `scope` and of the same resource; `name` lives as long as
 * the batch. BATCH_FULL at its limit. */
uint32_t recorder_logger_scope(recorder_reader *r, batch *b, uint32_t scope, str name);

/* ---- recorder_decode.c ---- */
typedef enum { DECODED, DECODE_BAD, DECODE_FULL } decode_result;
/* Appends one row from a committed record of `size` bytes. */
decode_result recorder_decode_log(recorder_reader *r, batch *b, uint32_t scope, const char *record,
                                  uint32_t size, str record_id);
decode_result recorder_decode_span(recorder_reader *r, batch *b, uint32_t scope, const char *record,
                                   uint32_t size, str record_id);
bool recorder_decode_resource(recorder_reader *r);
#define RECORD_ID_MAX 64
str recorder_record_id(const recorder_reader *r, uint32_t ring, uint64_t sequence,
                       char ret[RECORD_ID_MAX]);

/* ---- recorder_cursor.c ---- */
/* Takes up rings that came since the cursor was opened. */
bool recorder_cursor_follow(recorder_reader *r, recorder_cursor *c);

/* ---- recorder_poll.c ---- */
/* Fills a stream with committed records from its position on, and sets time_ns of the first. False
 * when there is none; *ret_at_end then tells nothing more. */
bool recorder_stream_fill(recorder_reader *r, ring_stream *s);
/* The record at the front of a filled stream. */
const char *recorder_stream_front(const ring_stream *s, uint32_t *ret_size, uint32_t *ret_kind);
/* Passes over it; false when the stream must be filled again. */
bool recorder_stream_step(recorder_reader *r, ring_stream *s);
/* Whether the record that begins at (ring, sequence) was committed, or read and given back. */
bool recorder_is_committed(recorder_reader *r, uint32_t ring, uint64_t sequence);

#endif
