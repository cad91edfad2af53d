// SPDX-License-Identifier: Apache-2.0
/* One log record or span as the store handles it, the same for rows in memory and rows of a sealed
 * block: fixed fields, and texts that are views into bytes that somebody else owns. */
#ifndef SONDE_STORE_ROW_H
#define SONDE_STORE_ROW_H

#include "base/map.h"
#include "store/enc.h"

/*            logs             spans */
typedef enum {
    ROW_MAIN,   /* body, a value    name */
    ROW_ATTRS,  /* attributes       attributes */
    ROW_INFO,   /* severity text    status message */
    ROW_TAG,    /* event name       trace state */
    ROW_EVENTS, /* -                events */
    ROW_LINKS,  /* -                links */
    ROW_TEXTS
} row_text;

typedef struct {
    int64_t time_ns;   /* logs: time; spans: start */
    int64_t extra_ns;  /* logs: observed; spans: end */
    uint32_t resource; /* index into the rows' row_names */
    uint32_t scope;    /* likewise */
    uint32_t flags;
    uint8_t level;  /* logs: severity number; spans: kind */
    uint8_t status; /* spans */
    trace_id trace;
    span_id span;
    span_id parent;
    str text[ROW_TEXTS];
} row;

/* What rows refer to by index: encoded resources and scopes. */
typedef struct {
    const str *resources;
    const str *scopes;
    uint32_t resource_count;
    uint32_t scope_count;
} row_names;

/* The rows of one ingested batch. Immutable once others can see it. */
typedef struct row_chunk {
    struct row_chunk *next;
    row_names names;
    row *rows;
    uint32_t count;
    int64_t min_time_ns, max_time_ns;
    size_t bytes; /* memory taken */
    arena memory; /* owns everything, this struct included */
} row_chunk;

typedef struct {
    str ring; /* "<recorder>:<ring>" */
    uint64_t sequence;
} record_id;

/* Builds a chunk from a batch of logs or spans. Rows whose `skip` byte is set are left out (NULL:
 * none). received_ns: the time of log records that have none. */
MUST_USE status row_chunk_build(row_chunk **ret, const batch *b, const uint8_t *skip,
                                int64_t received_ns, error *err);
void row_chunk_free(row_chunk *c);

/* The row's sonde.record.id, if it has one that can be read. */
bool row_record_id(const row *r, record_id *ret);

/* Builds rows of a batch (logs or traces) from rows of any source; resources and scopes are
 * interned by content. Texts are copied into the batch's arena. */
typedef struct {
    batch *out;
    map interned;
    buf key;
    const char *last_resource, *last_scope; /* by address, while a source is read */
    uint32_t last_index;
} row_builder;
void row_builder_init(row_builder *rb, batch *out);
void row_builder_done(row_builder *rb);
void row_builder_clear(row_builder *rb); /* after the batch was cleared */
MUST_USE status row_builder_add(row_builder *rb, const row *r, const row_names *names, error *err);

#endif
