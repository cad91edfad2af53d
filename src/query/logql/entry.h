// SPDX-License-Identifier: Apache-2.0
/* One log record while a pipeline looks at it: its fields by LogQL's names, and what stages have
 * extracted. Texts live in the row's batch or in `scratch`, which is cleared for the next row. */
#ifndef SONDE_QUERY_LOGQL_ENTRY_H
#define SONDE_QUERY_LOGQL_ENTRY_H

#include "codec/batch.h"
#include "query/labels.h"
#include "query/logql/ast.h"

#define ENTRY_PARSED_LIMIT 256 /* labels that stages may add */

typedef struct {
    const batch *rows;
    uint32_t row;
    str line;
    arena *scratch;
    label parsed[ENTRY_PARSED_LIMIT];
    uint32_t parsed_count;
    const logql_stage *hiding; /* the newest drop or keep, which also hides stream labels */
} logql_entry;

/* The time that queries go by: the record's own, else when it was observed. */
int64_t entry_time(const batch *rows, uint32_t row);

/* False when there is no memory. */
MUST_USE bool entry_init(logql_entry *e, const batch *rows, uint32_t row, arena *scratch);

/* The field of that name: extracted, built in (level, service_name, trace_id, …), resource
 * attribute, log attribute, field of a body that is a map. Empty when absent. */
str entry_field(const logql_entry *e, str name);

/* Sets an extracted label; one that a stream label has already becomes NAME_extracted. */
void entry_extract(logql_entry *e, str name, str text);
void entry_set(logql_entry *e, str name, str text);

/* Copies in the given arena. False when there is no memory. */
MUST_USE bool entry_stream_labels(const logql_entry *e, arena *a, labels *ret);
MUST_USE bool entry_structured(const logql_entry *e, arena *a, labels *ret);
MUST_USE bool entry_parsed(const logql_entry *e, arena *a, labels *ret);

/* "http.status_code" -> "http_status_code", as a label name may be. */
str label_name_of(arena *a, str name);

/* Runs the stages from number `first` on. False in *ret: the record was filtered out. */
MUST_USE status entry_run(logql_entry *e, const logql_pipeline *pipeline, uint32_t first, bool *ret,
                          error *err);
/* The stream selector, for records that no store has filtered. */
MUST_USE status entry_selected(const logql_entry *e, const logql_pipeline *pipeline, bool *ret,
                               error *err);

void extract_json(logql_entry *e);
void extract_logfmt(logql_entry *e);

#define ERROR_LABEL STR("__error__")

#endif
