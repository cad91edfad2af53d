// SPDX-License-Identifier: Apache-2.0
/* What the files of `sonde query` share. */
#ifndef SONDE_CMD_QUERY_H
#define SONDE_CMD_QUERY_H

#include "cmd/client.h"
#include "cmd/table.h"

typedef enum { OUTPUT_TABLE, OUTPUT_JSON, OUTPUT_JSONL, OUTPUT_CSV } query_output;

#define QUERY_ATTRIBUTES 32

typedef struct {
    const char *language; /* "promql", "logql", "traces" */
    const char *expression;
    const char *addr;
    const char *at, *since, *start, *end, *step; /* as given; NULL: not given */
    const char *service, *operation, *min_duration;
    const char *attributes[QUERY_ATTRIBUTES]; /* K=V */
    uint32_t attribute_count;
    uint32_t limit;
    query_output output;
    bool plot, help;
    bool reference; /* instead of a query */
    /* From the times above: */
    int64_t now_ns, from_ns, to_ns, step_ns;
    bool range; /* a range was asked for, else one time (to_ns) */
} query_options;

/* Each asks the server and writes what it answered to `out`. */
MUST_USE status query_promql(const query_options *o, arena *a, buf *out, error *err);
MUST_USE status query_logql(const query_options *o, arena *a, buf *out, error *err);
MUST_USE status query_traces(const query_options *o, arena *a, buf *out, error *err);

/* Vectors, matrices and scalars of both languages; `data` is the answer's member of that name. */
void query_write_metrics(const query_options *o, const value *data, arena *a, buf *out);

/* The functions, aggregations and operators of PromQL as Markdown. */
void query_write_reference(buf *out);

void query_write_table(const query_options *o, const table *t, buf *out);
/* The elements one a line. */
void query_write_jsonl(values items, buf *out);
/* 2026-11-22T15:00:00.125Z */
str query_time_text(arena *a, int64_t time_ns);
/* name{a="b"} of an object of labels. */
str query_labels_text(arena *a, const value *metric);

/* One point of a series. */
typedef struct {
    int64_t time_ns;
    const value *sample; /* a text, or a map with the members of a histogram */
} query_point;

/* The floats and histograms of a series in order of time, in `a`; NULL where it has no memory. */
query_point *query_points(arena *a, const value *series, uint32_t *ret_count);
/* As the server wrote it; {count:4, sum:2.5, (0.5,1]:4} of a histogram. */
str query_sample_text(arena *a, const value *sample);

typedef enum { AXIS_NONE, AXIS_SECONDS, AXIS_BYTES, AXIS_BYTES_RATE, AXIS_RATE } query_unit;

/* What the values of a PromQL expression are in; histograms: the means of its histograms. */
query_unit query_unit_of(str expression, bool histograms, arena *a);

/* All series as curves in one chart; see query_plot.c. */
void query_plot(const query_options *o, values series, arena *a, buf *out);

#endif
