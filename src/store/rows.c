// SPDX-License-Identifier: Apache-2.0
/* store_rows and store_trace: scans that build batches. */
#include "store/row_scan.h"

enum { SINK_ROWS = 512, SINK_BYTES = 4 << 20 };

typedef struct {
    batch out;
    row_builder builder;
    row_sink *sink;
    void *user;
    bool ended; /* the sink wants no more */
} rows_call;

static bool flush(rows_call *c)
{
    if (batch_row_count(&c->out) == 0)
        return true;
    c->ended = !c->sink(c->user, &c->out);
    batch_clear(&c->out);
    row_builder_clear(&c->builder);
    return !c->ended;
}

static status on_row(void *user, const row *r, const row_names *names, bool *ret_more, error *err)
{
    rows_call *c = user;
    *ret_more = true;
    if (batch_row_count(&c->out) >= SINK_ROWS || c->out.arena.used >= SINK_BYTES)
        *ret_more = flush(c);
    return *ret_more ? row_builder_add(&c->builder, r, names, err) : STATUS_OK;
}

status store_rows(store *s, const row_query *q, row_sink *sink, void *user, error *err)
{
    rows_call c = { .sink = sink, .user = user };
    batch_init(&c.out, q->signal, s->options.query_memory);
    row_builder_init(&c.builder, &c.out);
    status st = row_scan(s, q, COLUMNS_ALL, on_row, &c, err);
    if (st == STATUS_OK && !c.ended)
        flush(&c);
    row_builder_done(&c.builder);
    batch_done(&c.out);
    return st;
}

static status on_span(void *user, const row *r, const row_names *names, bool *ret_more, error *err)
{
    *ret_more = true;
    return row_builder_add(user, r, names, err);
}

status store_trace(store *s, trace_id id, batch *ret, error *err)
{
    char hex[32];
    str_to_hex(id.bytes, 16, hex);
    matcher m = { STR("trace_id"), MATCH_EQ, str_n(hex, 32) };
    row_query q = { .signal = SIGNAL_TRACES,
                    .from_ns = INT64_MIN,
                    .to_ns = INT64_MAX,
                    .matchers = &m,
                    .matcher_count = 1 };
    row_builder builder;
    row_builder_init(&builder, ret);
    status st = row_scan(s, &q, COLUMNS_ALL, on_span, &builder, err);
    row_builder_done(&builder);
    if (st == STATUS_OK && batch_row_count(ret) == 0)
        st = fail(err, STATUS_NOT_FOUND, "no trace %.*s", 32, hex);
    return st;
}
