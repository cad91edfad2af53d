// SPDX-License-Identifier: Apache-2.0
/* Merges parts of logs or traces, stream by stream, by time. */
#include "store/merge.h"

#include <stdlib.h>

#define BLOCK_MEMORY MiB(256) /* one decoded block; it was at most 2 MiB of texts when written */

/* One part being read in order of (stream, time). */
typedef struct {
    part_rows pr;
    uint32_t *stream_to; /* its streams in the output */
    uint32_t block;      /* the one that is decoded, or block_count */
    arena memory;
    row *rows;
    uint32_t next;
} input;

typedef struct {
    store *s;
    input *inputs;
    uint32_t count;
    arena directories;
    str *streams;
    uint32_t stream_count;
} row_merge;

static status load_block(row_merge *m, input *in, error *err)
{
    arena_clear(&in->memory);
    in->next = 0;
    if (in->block == in->pr.block_count)
        return STATUS_OK;
    status st = merge_continues(m->s, err);
    in->rows = ARENA_ARRAY(&in->memory, row, in->pr.blocks[in->block].rows);
    if (st == STATUS_OK && !in->rows)
        st = fail(err, STATUS_NO_MEMORY, "no memory to merge parts");
    return st == STATUS_OK
               ? part_rows_read(&in->pr, in->block, COLUMNS_ALL, &in->memory, in->rows, err)
               : st;
}

static int by_text(const void *a, const void *b)
{
    return str_cmp(*(const str *)a, *(const str *)b);
}

static uint32_t find_stream(const row_merge *m, str stream)
{
    const str *at = bsearch(&stream, m->streams, m->stream_count, sizeof(str), by_text);
    return at ? (uint32_t)(at - m->streams) : 0;
}

static status union_streams(row_merge *m, error *err)
{
    uint32_t all = 0;
    for (uint32_t i = 0; i < m->count; i++)
        all += m->inputs[i].pr.names.resource_count;
    m->streams = ARENA_ARRAY(&m->directories, str, MAX(all, 1u));
    if (!m->streams)
        return fail(err, STATUS_NO_MEMORY, "no memory to merge parts");
    uint32_t n = 0;
    for (uint32_t i = 0; i < m->count; i++) {
        const row_names *names = &m->inputs[i].pr.names;
        for (uint32_t k = 0; k < names->resource_count; k++)
            m->streams[n++] = names->resources[k];
    }
    qsort(m->streams, n, sizeof(str), by_text);
    for (uint32_t i = 0; i < n; i++) {
        if (i == 0 || !str_eq(m->streams[i], m->streams[m->stream_count - 1]))
            m->streams[m->stream_count++] = m->streams[i];
    }
    for (uint32_t i = 0; i < m->count; i++) {
        input *in = &m->inputs[i];
        in->stream_to =
            ARENA_ARRAY(&m->directories, uint32_t, MAX(in->pr.names.resource_count, 1u));
        if (!in->stream_to)
            return fail(err, STATUS_NO_MEMORY, "no memory to merge parts");
        for (uint32_t k = 0; k < in->pr.names.resource_count; k++)
            in->stream_to[k] = find_stream(m, in->pr.names.resources[k]);
    }
    return STATUS_OK;
}

static bool before(const input *a, const input *b)
{
    const row *x = &a->rows[a->next], *y = &b->rows[b->next];
    uint32_t sx = a->stream_to[x->resource], sy = b->stream_to[y->resource];
    if (sx != sy)
        return sx < sy;
    return x->time_ns < y->time_ns;
}

static status merge_all(row_merge *m, part_rows_writer *w, error *err)
{
    for (;;) {
        input *first = NULL;
        for (uint32_t i = 0; i < m->count; i++) {
            input *in = &m->inputs[i];
            if (in->block < in->pr.block_count && (!first || before(in, first)))
                first = in;
        }
        if (!first)
            return STATUS_OK;
        row r = first->rows[first->next++];
        r.resource = first->stream_to[r.resource];
        status st = part_rows_add(w, &r, &first->pr.names, err);
        if (st == STATUS_OK && first->next == first->pr.blocks[first->block].rows) {
            first->block++;
            st = load_block(m, first, err);
        }
        if (st != STATUS_OK)
            return st;
    }
}

static status open_inputs(row_merge *m, part *const *inputs, error *err)
{
    for (uint32_t i = 0; i < m->count; i++) {
        m->inputs[i].pr.fd = -1;
        arena_init(&m->inputs[i].memory, BLOCK_MEMORY);
    }
    for (uint32_t i = 0; i < m->count; i++) {
        status st = part_rows_open(&m->inputs[i].pr, inputs[i], &m->directories, err);
        if (st == STATUS_OK)
            st = load_block(m, &m->inputs[i], err);
        if (st != STATUS_OK)
            return st;
    }
    return union_streams(m, err);
}

status merge_rows(store *s, part *const *inputs, uint32_t count, part **ret, error *err)
{
    row_merge m = { .s = s, .count = count };
    m.inputs = calloc(count, sizeof(input));
    if (!m.inputs)
        return fail(err, STATUS_NO_MEMORY, "no memory to merge parts");
    arena_init(&m.directories, MERGE_MEMORY);
    part_rows_writer *w = NULL;
    part_identity id = merged_identity(s, inputs, count);
    status st = open_inputs(&m, inputs, err);
    if (st == STATUS_OK)
        st = part_rows_create(&w, &id, m.streams, m.stream_count, err);
    if (st == STATUS_OK) {
        st = merge_all(&m, w, err);
        if (st == STATUS_OK)
            st = part_rows_finish(w, ret, err);
        else
            part_rows_abort(w);
    }
    for (uint32_t i = 0; i < count; i++) {
        part_rows_close(&m.inputs[i].pr);
        arena_done(&m.inputs[i].memory);
    }
    free(m.inputs);
    arena_done(&m.directories);
    return st;
}
