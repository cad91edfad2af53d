// SPDX-License-Identifier: Apache-2.0
/* Which streams there are, and how much is in them. */
#include "query/logql/entry.h"
#include "query/logql/metric.h"

#define SCRATCH_LIMIT MiB(8) /* for one record */

typedef struct {
    const logql_pipeline *pipeline;
    uint32_t first_stage;
    logql_streams *streams;
    arena scratch;
    logql_entry *entry;
    error *err;
    status failed;
} counter;

void logql_streams_init(logql_streams *s, arena *a)
{
    *s = (logql_streams){ 0 };
    groups_init(&s->groups, a);
}

static status count_row(counter *c, const batch *rows, uint32_t row)
{
    bool accepted = true;
    labels stream;
    arena_clear(&c->scratch);
    if (!entry_init(c->entry, rows, row, &c->scratch))
        return fail(c->err, STATUS_LIMIT, "a record of more than %zu MiB", SCRATCH_LIMIT / MiB(1));
    if (c->pipeline)
        TRY(entry_run(c->entry, c->pipeline, c->first_stage, &accepted, c->err));
    if (!accepted)
        return STATUS_OK;
    c->streams->entries++;
    c->streams->bytes += c->entry->line.len;
    bool ok = entry_stream_labels(c->entry, &c->scratch, &stream);
    if (ok && groups_find(&c->streams->groups, stream) == UINT32_MAX)
        ok = entry_stream_labels(c->entry, c->streams->groups.arena, &stream) &&
             groups_put(&c->streams->groups, stream, NULL) != UINT32_MAX;
    return ok ? STATUS_OK : fail(c->err, STATUS_LIMIT, "too many streams for the query's memory");
}

static bool count_rows(void *user, const batch *rows)
{
    counter *c = user;
    for (uint32_t i = 0; i < rows->logs.count && c->failed == STATUS_OK; i++)
        c->failed = count_row(c, rows, i);
    return c->failed == STATUS_OK;
}

status logql_count_streams(store *s, const logql_pipeline *pipeline, int64_t from_ns, int64_t to_ns,
                           const query_control *control, logql_streams *streams, error *err)
{
    arena *a = streams->groups.arena;
    counter c = { .pipeline = pipeline, .streams = streams, .err = err };
    row_query q = { .signal = SIGNAL_LOGS, .from_ns = from_ns, .to_ns = to_ns, .control = control };
    c.entry = ARENA_NEW(a, logql_entry);
    if (!c.entry || (pipeline && !logql_plan(pipeline, a, &q, &c.first_stage)))
        return fail(err, STATUS_LIMIT, "no memory for the query");
    arena_init(&c.scratch, SCRATCH_LIMIT);
    status st = store_rows(s, &q, count_rows, &c, err);
    arena_done(&c.scratch);
    return c.failed != STATUS_OK ? c.failed : st;
}
