// SPDX-License-Identifier: Apache-2.0
/* The operators of filelog: what is done with an entry before it becomes a record. They run in the
 * order of the list; recombine waits for more entries of the same file and is kept by the reader.
 */
#ifndef SONDE_PIPELINE_FILELOG_OPERATORS_H
#define SONDE_PIPELINE_FILELOG_OPERATORS_H

#include "pipeline/pattern.h"
#include "pipeline/receivers/filelog_entry.h"

/* ---- options ---- */

typedef struct {
    str parse_from, layout, location;
    int layout_type;
} filelog_time_settings;

typedef struct {
    str parse_from, preset;
    value mapping;
    bool overwrite_text;
} filelog_severity_settings;

typedef struct {
    str trace_id, span_id, trace_flags; /* parse_from of each */
} filelog_trace_settings;

/* Of all operators together; which of them one has is checked. */
typedef struct {
    str type, id, output, condition;
    int on_error;
    str parse_from, parse_to, body;
    str regex, delimiter, pair_delimiter;
    str layout, location;
    int layout_type;
    str preset;
    value mapping;
    bool overwrite_text;
    bool has_timestamp, has_severity, has_trace, has_scope_name;
    filelog_time_settings timestamp;
    filelog_severity_settings severity;
    filelog_trace_settings trace;
    str trace_id, span_id, trace_flags, scope_name;
    str from, to, field;
    text_list fields;
    value value;
    str expr;
    double drop_ratio;
    str combine_field, combine_with, is_first_entry, is_last_entry, overwrite_with;
    int64_t max_batch_size, max_log_size, force_flush_period;
} filelog_operator_settings;

extern const option_table filelog_operator_options;

/* ---- running ---- */

typedef struct filelog_operators filelog_operators;

/* An error names the operator: *ret_where is "operators[2].regex". */
MUST_USE status filelog_operators_new(filelog_operators **ret, const section_list *list,
                                      char *ret_where, size_t where_size, error *err);
void filelog_operators_free(filelog_operators *o); /* NULL is fine */

typedef enum {
    ENTRY_PASS,
    ENTRY_DROP,   /* filtered, or on_error: drop */
    ENTRY_COMBINE /* stands before the recombine operator, which `from` then passes */
} entry_fate;

typedef struct {
    uint64_t failures; /* entries that an operator could not do its work on */
    char reason[200];  /* the newest */
} filelog_trouble;

/* Runs the operators from number `from` on; ENTRY_COMBINE when recombine is met. */
entry_fate filelog_operators_run(const filelog_operators *o, uint32_t from, filelog_entry *e,
                                 int64_t now_ns, filelog_trouble *trouble);

/* The recombine operator, if there is one. */
typedef struct {
    uint32_t index; /* of the operator; the next one is where what was combined goes on */
    filelog_field field;
    str with;
    bool by_first;    /* `edge` tells the first entry of a group, else the last */
    bool keep_newest; /* overwrite_with: newest */
    filelog_expr *edge;
    uint32_t max_entries;
    size_t max_bytes;
    int64_t flush_ns;
} filelog_recombine;
const filelog_recombine *filelog_operators_recombine(const filelog_operators *o);

#endif
