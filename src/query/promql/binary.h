// SPDX-License-Identifier: Apache-2.0
/* What the two files of the binary operators share: one pair of values, and two vectors. */
#ifndef SONDE_QUERY_PROMQL_BINARY_H
#define SONDE_QUERY_PROMQL_BINARY_H

#include "query/promql/rows.h"

typedef struct {
    promql_cell cell;
    bool valid; /* the operator is defined for these types */
    bool keep;  /* of a comparison: it holds */
} pair_result;

/* Of floats; false: a comparison that does not hold. The value of a comparison is the left side. */
bool binary_floats(promql_op op, double a, double b, double *ret);
/* Of any two values, with the annotations of the expression n. A comparison with bool gives 0 or 1
 * and is kept always. */
MUST_USE status binary_cells(promql_engine *e, const promql_node *n, promql_cell left,
                             promql_cell right, pair_result *ret);
/* Of all that one step of an operator notes, the note of the last pair counts. */
typedef struct {
    promql_notes notes;
    struct {
        uint32_t order; /* of the pair that noted, from 1; 0: none */
        uint32_t note;
    } * last; /* per step; NULL: nothing was noted yet */
} step_notes;

/* As binary_cells; `order` rises in the order in which Prometheus goes through the pairs. */
MUST_USE status binary_noted(promql_engine *e, const promql_grid *g, const promql_node *n,
                             step_notes *notes, uint32_t step, uint32_t order, promql_cell left,
                             promql_cell right, pair_result *ret);
/* Notes what counts. */
void binary_tell(promql_engine *e, const promql_grid *g, const step_notes *notes);

/* Whether the result is something else than its left operand: arithmetic. */
bool binary_changes_metric(promql_op op);

/* -v of a vector or scalar, in place. */
MUST_USE status promql_negate(promql_engine *e, const promql_grid *g, promql_value *v);

/* Two vectors (match.c): labels are matched, then each pair of rows is computed for all steps. */
MUST_USE status promql_match_vectors(promql_engine *e, const promql_grid *g, const promql_node *n,
                                     promql_value *left, promql_value *right, promql_value *ret);

#endif
