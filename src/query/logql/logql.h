// SPDX-License-Identifier: Apache-2.0
/* LogQL: lines and metrics from logs. Used by the Loki API and live tail. A parsed query serves one
 * thread at a time. Errors read "parse error at line 1, col 5: …" as Loki's do. */
#ifndef SONDE_QUERY_LOGQL_LOGQL_H
#define SONDE_QUERY_LOGQL_LOGQL_H

#include "query/groups.h"
#include "query/logql/ast.h"
#include "query/promql/promql.h"

typedef struct {
    const promql_node *root;        /* a metric query; else NULL */
    const logql_pipeline *pipeline; /* a log query; else NULL */
} logql_query;

/* Texts may point into `text`, which must live as long as the query. */
MUST_USE status logql_parse(logql_query *ret, str text, arena *a, error *err);

/* ---- log queries ---- */

typedef struct {
    int64_t from_ns, to_ns; /* from inclusive, to exclusive */
    uint32_t limit;         /* lines */
    bool newest_first;
    const query_control *control;
} logql_options;

typedef struct {
    uint32_t stream; /* index into logql_lines.streams */
    int64_t time_ns;
    str line;
    labels structured; /* structured metadata: trace_id, attributes, … */
    labels parsed;     /* what the pipeline extracted */
} logql_line;

typedef struct {
    labels *streams; /* the small fixed set of stream labels */
    uint32_t stream_count;
    logql_line *lines; /* in the order asked for */
    uint32_t count;
    uint64_t bytes;   /* of lines looked at */
    uint64_t scanned; /* lines looked at */
} logql_lines;

MUST_USE status logql_select(store *s, const logql_pipeline *pipeline, const logql_options *options,
                             arena *a, logql_lines *ret, error *err);

/* Adds the rows of a batch that the query accepts, matchers included; for live tail. */
MUST_USE status logql_accept(const logql_pipeline *pipeline, const batch *rows, uint32_t limit,
                             arena *a, logql_lines *ret, error *err);

/* The distinct streams of rows, counted; init once, then any number of selectors. */
typedef struct {
    label_groups groups;
    uint64_t entries, bytes;
} logql_streams;
void logql_streams_init(logql_streams *s, arena *a);
/* pipeline NULL: all rows. */
MUST_USE status logql_count_streams(store *s, const logql_pipeline *pipeline, int64_t from_ns,
                                    int64_t to_ns, const query_control *control,
                                    logql_streams *streams, error *err);

/* ---- metric queries: as promql_instant and promql_range_query ---- */

MUST_USE status logql_instant(store *s, const logql_query *query, str text,
                              const promql_options *options, arena *a, promql_result *ret,
                              error *err);
MUST_USE status logql_range_query(store *s, const logql_query *query, str text,
                                  const promql_options *options, arena *a, promql_result *ret,
                                  error *err);

#endif
