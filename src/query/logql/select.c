// SPDX-License-Identifier: Apache-2.0
/* Log queries: lines that pass the pipeline, with their labels, up to a limit. */
#include "query/logql/entry.h"
#include "query/logql/metric.h"

#define SCRATCH_LIMIT MiB(8) /* for one record */

typedef struct {
    const logql_pipeline *pipeline;
    uint32_t first_stage;
    bool check_selector; /* the rows come from no store */
    uint32_t limit;
    arena *arena;
    error *err;
    arena scratch;
    logql_entry *entry;
    label_groups streams;
    uint32_t capacity;
    logql_lines *ret;
    status failed;
} reader;

static status no_memory(reader *r)
{
    return fail(r->err, STATUS_LIMIT,
                "the lines need more than the query's memory limit of %zu MiB",
                r->arena->limit / MiB(1));
}

static status keep_line(reader *r, int64_t time_ns)
{
    logql_lines *out = r->ret;
    labels stream;
    if (out->count == r->capacity) {
        uint32_t bigger = MIN(MAX(64, r->capacity * 2), MAX(r->limit, 1));
        out->lines = arena_grow(r->arena, out->lines, r->capacity * sizeof(logql_line),
                                bigger * sizeof(logql_line));
        if (!out->lines)
            return no_memory(r);
        r->capacity = bigger;
    }
    logql_line *line = &out->lines[out->count];
    if (!entry_stream_labels(r->entry, &r->scratch, &stream))
        return no_memory(r);
    line->stream = groups_find(&r->streams, stream);
    if (line->stream == UINT32_MAX) {
        if (!entry_stream_labels(r->entry, r->arena, &stream))
            return no_memory(r);
        line->stream = groups_put(&r->streams, stream, NULL);
    }
    line->time_ns = time_ns;
    line->line = arena_str(r->arena, r->entry->line);
    if (line->stream == UINT32_MAX || !line->line.ptr ||
        !entry_structured(r->entry, r->arena, &line->structured) ||
        !entry_parsed(r->entry, r->arena, &line->parsed))
        return no_memory(r);
    out->count++;
    return STATUS_OK;
}

static status take_row(reader *r, const batch *rows, uint32_t row)
{
    bool accepted = true;
    arena_clear(&r->scratch);
    if (!entry_init(r->entry, rows, row, &r->scratch))
        return no_memory(r);
    r->ret->scanned++;
    r->ret->bytes += r->entry->line.len;
    if (r->check_selector)
        TRY(entry_selected(r->entry, r->pipeline, &accepted, r->err));
    if (accepted)
        TRY(entry_run(r->entry, r->pipeline, r->first_stage, &accepted, r->err));
    return accepted ? keep_line(r, entry_time(rows, row)) : STATUS_OK;
}

static bool take_rows(void *user, const batch *rows)
{
    reader *r = user;
    for (uint32_t i = 0; i < rows->logs.count && r->failed == STATUS_OK; i++) {
        if (r->ret->count == r->limit)
            return false;
        r->failed = take_row(r, rows, i);
    }
    return r->failed == STATUS_OK && r->ret->count < r->limit;
}

static status reader_init(reader *r, const logql_pipeline *pipeline, uint32_t limit, arena *a,
                          logql_lines *ret, error *err)
{
    *ret = (logql_lines){ 0 };
    *r = (reader){ .pipeline = pipeline, .limit = limit, .arena = a, .err = err, .ret = ret };
    r->entry = ARENA_NEW(a, logql_entry);
    if (!r->entry)
        return no_memory(r);
    groups_init(&r->streams, a);
    arena_init(&r->scratch, SCRATCH_LIMIT);
    return STATUS_OK;
}

static status reader_done(reader *r, status st)
{
    arena_done(&r->scratch);
    r->ret->streams = r->streams.items;
    r->ret->stream_count = r->streams.count;
    return r->failed != STATUS_OK ? r->failed : st;
}

status logql_select(store *s, const logql_pipeline *pipeline, const logql_options *options,
                    arena *a, logql_lines *ret, error *err)
{
    reader r;
    row_query q = { .from_ns = options->from_ns,
                    .to_ns = options->to_ns,
                    .newest_first = options->newest_first,
                    .control = options->control };
    TRY(reader_init(&r, pipeline, options->limit, a, ret, err));
    if (!logql_plan(pipeline, a, &q, &r.first_stage))
        return no_memory(&r);
    if (r.first_stage == pipeline->stage_count)
        q.limit = options->limit;
    status st = options->limit ? store_rows(s, &q, take_rows, &r, err) : STATUS_OK;
    return reader_done(&r, st);
}

status logql_accept(const logql_pipeline *pipeline, const batch *rows, uint32_t limit, arena *a,
                    logql_lines *ret, error *err)
{
    reader r;
    TRY(reader_init(&r, pipeline, limit, a, ret, err));
    r.check_selector = true;
    take_rows(&r, rows);
    return reader_done(&r, STATUS_OK);
}
