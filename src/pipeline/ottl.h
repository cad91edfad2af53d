// SPDX-License-Identifier: Apache-2.0
/* OTTL, the OpenTelemetry Transformation Language: conditions over rows of a batch, as filter,
 * tail_sampling and count take them. A condition is parsed once, with its paths resolved for the
 * context it stands in, and then evaluated by any number of threads at once: nothing is remembered.
 *
 * What is understood: paths (attributes["k"]["l"], resource.attributes["k"], status.code, …, also
 * with the context in front: span.name), string, integer, float, bool, nil, bytes and list
 * literals, the enums, comparisons, and/or/not, + - * /, parentheses, and the converters of
 * ottl_functions(). */
#ifndef SONDE_PIPELINE_OTTL_H
#define SONDE_PIPELINE_OTTL_H

#include "codec/batch.h"
#include "settings/option.h"

typedef enum {
    OTTL_RESOURCE,
    OTTL_SCOPE,
    OTTL_SPAN,
    OTTL_SPANEVENT,
    OTTL_METRIC,
    OTTL_DATAPOINT,
    OTTL_LOG,
    OTTL_CONTEXTS
} ottl_context;

/* What a condition is evaluated on: a row of the batch (a span, a data point, a log record), for
 * spanevent an event of that span, for metric a metric of the batch. */
typedef struct {
    const batch *b;
    uint32_t row;
    const span_event *event;
    uint32_t event_index;
    uint32_t metric;               /* of a metric, and of a data point */
    uint32_t point_from, point_to; /* OTTL_METRIC: rows among which its points are */
} ottl_row;

typedef struct ottl ottl;

/* STATUS_INVALID with the column in the text: "column 14: …". */
MUST_USE status ottl_parse(ottl **ret, ottl_context c, str text, error *err);
void ottl_free(ottl *o); /* NULL is fine */

/* `scratch` holds what the evaluation makes and may be cleared between calls. Fails when the rows
 * have what the condition does not fit (a number where a map is indexed, division by zero). */
MUST_USE status ottl_test(const ottl *o, const ottl_row *row, arena *scratch, bool *ret,
                          error *err);

/* ---- lists of conditions: one that is true is enough ---- */

typedef enum { OTTL_PROPAGATE, OTTL_IGNORE, OTTL_SILENT } ottl_error_mode;
extern const char *const ottl_error_modes[]; /* choices of the option error_mode */

typedef struct {
    ottl **items;
    uint32_t count;
} ottl_list;

/* NULL items for an empty list. On failure nothing is kept, and *ret_index is the one at fault. */
MUST_USE status ottl_list_parse(ottl_list *ret, ottl_context c, const text_list *texts,
                                uint32_t *ret_index, error *err);
void ottl_list_free(ottl_list *l);
/* For option checks: writes "NAME[2]" into `where`. */
MUST_USE status ottl_list_check(ottl_context c, const text_list *texts, const char *name,
                                char *where, size_t where_size, error *err);
/* Whether any holds. A failed one counts as false, and *ret_errors (added to) counts it, unless the
 * mode is OTTL_PROPAGATE, which ends with the failure. */
MUST_USE status ottl_any(const ottl_list *l, const ottl_row *row, ottl_error_mode mode,
                         arena *scratch, bool *ret, uint64_t *ret_errors, error *err);

/* Name and help of each converter, for documentation and tests. */
typedef struct {
    const char *name;
    const char *help;
} ottl_function_help;
ottl_function_help ottl_function_at(size_t index); /* .name NULL: no more */

#endif
