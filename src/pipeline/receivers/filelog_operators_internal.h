// SPDX-License-Identifier: Apache-2.0
/* What filelog_build.c makes of the options and filelog_operators.c runs. */
#ifndef SONDE_PIPELINE_FILELOG_OPERATORS_INTERNAL_H
#define SONDE_PIPELINE_FILELOG_OPERATORS_INTERNAL_H

#include "pipeline/receivers/filelog_operators.h"

/* Groups of options that an operator has beside type, id, output, if, on_error. */
enum {
    HAS_FROM = 1,
    HAS_TO = 2, /* parse_to, body, and the blocks timestamp, severity, trace, scope_name */
    HAS_REGEX = 4,
    HAS_PAIRS = 8,
    HAS_LAYOUT = 16,
    HAS_LEVELS = 32,
    HAS_TRACE = 64,
    HAS_MOVE = 128,
    HAS_FIELD = 256,
    HAS_VALUE = 512,
    HAS_FIELDS = 1024,
    HAS_EXPR = 2048,
    HAS_RECOMBINE = 4096,
    PARSER = HAS_FROM | HAS_TO
};

typedef struct filelog_operator filelog_operator;

typedef struct {
    const char *name;
    unsigned has;
    bool (*run)(const filelog_operator *o, filelog_entry *e, int64_t now_ns, filelog_trouble *t);
} operator_kind;
extern const operator_kind filelog_operator_kinds[]; /* ended by a NULL name */

typedef struct {
    filelog_field from;
    filelog_layout layout;
} time_step;

typedef struct {
    uint8_t severity;
    str text;         /* or, where it is empty: */
    int64_t min, max; /* numbers, both inclusive */
} severity_mapping;

enum { MAPPINGS_MAX = 64, RETAIN_MAX = 64 };

typedef struct {
    filelog_field from;
    bool names; /* the usual names of levels count as well */
    bool overwrite_text;
    severity_mapping *mapping;
    uint32_t mapping_count;
} severity_step;

typedef struct {
    filelog_field trace_id, span_id, flags;
} trace_step;

struct filelog_operator {
    const operator_kind *kind;
    filelog_expr *condition, *expr;
    bool quiet, drop_on_error;
    filelog_field from, to, body, scope;
    pattern *regex;
    str delimiter, pair_delimiter;
    bool has_time, has_severity, has_trace;
    time_step time;
    severity_step severity;
    trace_step trace;
    value value;
    filelog_field *fields;
    uint32_t field_count;
    double drop_ratio;
};

struct filelog_operators {
    arena arena;
    filelog_operator *items;
    uint32_t count;
    bool has_recombine;
    filelog_recombine recombine;
};

#endif
