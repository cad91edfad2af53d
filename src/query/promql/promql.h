// SPDX-License-Identifier: Apache-2.0
/* PromQL: evaluates a parsed query over a store. Used by the Prometheus API and by rules.
 * A query needs nothing but its arena; any number may run at once, each on its own thread. */
#ifndef SONDE_QUERY_PROMQL_PROMQL_H
#define SONDE_QUERY_PROMQL_PROMQL_H

#include "query/labels.h"
#include "query/promql/ast.h"

typedef struct promql_engine promql_engine;
typedef struct promql_window promql_window;
typedef struct promql_value promql_value;

#define PROMQL_LOOKBACK_MS (5 * 60 * 1000)

typedef struct {
    int64_t start_ms, end_ms; /* both inclusive; equal for an instant query */
    int64_t step_ms;          /* at least 1 */
    int64_t lookback_ms;      /* 0: PROMQL_LOOKBACK_MS */
    int64_t default_step_ms;  /* of subqueries that name none; 0: 1 min */
    uint64_t sample_limit;    /* 0: 50 million, read and produced */
    uint32_t features;        /* PROMQL_… of ast.h */
    const query_control *control;
} promql_options;

typedef struct {
    labels labels;
    const int64_t *time_ms;
    const double *value;
    const histogram *const *histograms; /* NULL: all floats; else NULL where the sample is one */
    uint32_t count;
} promql_series;

#define PROMQL_NOTES_KEPT 50u /* with their texts; the rest is counted */

/* Warnings and infos for the user ("PromQL info: …"). */
typedef struct {
    str *items; /* in the order of their texts */
    bool *warning;
    uint32_t count;
    uint32_t last, noted;      /* the note made last, and how often one was made, doubles too */
    uint32_t omitted_count[2]; /* infos and warnings beside these, whose texts are not kept */
    struct hash_set *omitted;  /* which; NULL: none */
    bool of_all_steps;         /* one counts over the whole range */
} promql_notes;

typedef struct {
    promql_type type;
    promql_series *series; /* vector and matrix: one or many points each; scalar: one series */
    uint32_t count;
    str string;
    promql_notes notes;
    uint64_t samples; /* read and produced on the way; from the cache nothing was */
    uint64_t read;    /* of these: read from the store */
    uint64_t touched; /* series that were read, once for each selector */
    int64_t sort_ns;  /* that putting the result in order took */
} promql_result;

/* Instant query: vector (one point per series), scalar, string or matrix (the samples themselves).
 * Range query (start_ms < end_ms or `range`): always matrix.
 * STATUS_INVALID and STATUS_LIMIT are errors of the query, STATUS_CANCELED of its deadline;
 * anything else is the store's. Everything returned lives in `a`, whose limit is the query's. */
MUST_USE status promql_instant(store *s, const promql_node *query, str text,
                               const promql_options *options, arena *a, promql_result *ret,
                               error *err);
MUST_USE status promql_range_query(store *s, const promql_node *query, str text,
                                   const promql_options *options, arena *a, promql_result *ret,
                                   error *err);

#endif
