// SPDX-License-Identifier: Apache-2.0
/* The syntax of LogQL beyond what it shares with PromQL: a stream selector with its pipeline.
 * Metric queries are PromQL trees whose leaves are range aggregations over such a pipeline. Built
 * by logql_parse in an arena; regular expressions inside make a tree good for one thread at a time.
 */
#ifndef SONDE_QUERY_LOGQL_AST_H
#define SONDE_QUERY_LOGQL_AST_H

#include "query/promql/ast.h"
#include "query/regex.h"

typedef enum {
    STAGE_LINE,   /* |= != |~ !~, with `or` */
    STAGE_JSON,   /* | json */
    STAGE_LOGFMT, /* | logfmt */
    STAGE_FILTER, /* | level="error" and duration_ms > 40 */
    STAGE_DROP,   /* | drop a, b */
    STAGE_KEEP    /* | keep a, b */
} logql_stage_kind;

typedef struct {
    str text;
    regex *re; /* for the regular expression operators */
} logql_pattern;

/* A line filter: any of the patterns counts ("or"). */
typedef struct {
    line_op op;
    logql_pattern *patterns;
    uint32_t count;
} logql_line_filter;

typedef enum { FILTER_AND, FILTER_OR, FILTER_TEXT, FILTER_NUMBER } logql_filter_kind;
typedef enum { UNIT_NONE, UNIT_DURATION, UNIT_BYTES } logql_unit;

typedef struct logql_filter logql_filter;
struct logql_filter {
    logql_filter_kind kind;
    logql_filter *left, *right; /* and, or */
    str name;
    match_op match; /* FILTER_TEXT */
    logql_pattern pattern;
    promql_op op; /* FILTER_NUMBER: a comparison */
    double number;
    logql_unit unit;
};

typedef struct {
    logql_stage_kind kind;
    logql_line_filter line;
    logql_filter *filter;
    str *names;
    uint32_t name_count;
} logql_stage;

typedef struct logql_pipeline {
    matcher *matchers;
    logql_pattern *matcher_patterns; /* compiled, for what is not asked of the store (live tail) */
    uint32_t matcher_count;
    logql_stage *stages;
    uint32_t stage_count;
} logql_pipeline;

typedef struct {
    const char *name;
    bool per_second;
    bool bytes; /* counts bytes of lines, else lines */
    const char *help;
} logql_range_function;
const logql_range_function *logql_range_list(size_t *ret_count);

/* A leaf of a metric query. */
typedef struct {
    const logql_range_function *function;
    logql_pipeline *pipeline;
    int64_t range_ms, offset_ms;
    /* What the aggregation right above wants, if it names labels with `by`. */
    str *by;
    uint32_t by_count;
    bool only_by; /* a sum: the other labels need not be told apart */
} logql_range;

#endif
