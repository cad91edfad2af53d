// SPDX-License-Identifier: Apache-2.0
/* Binary operators: pairs of values, and vectors with scalars. Two vectors are matched in match.c.
 */
#include "query/promql/binary.h"

#include "query/promql/histogram.h"

#include <math.h>

bool binary_floats(promql_op op, double a, double b, double *ret)
{
    *ret = a;
    switch (op) {
    case OP_ADD:
        *ret = a + b;
        return true;
    case OP_SUB:
        *ret = a - b;
        return true;
    case OP_MUL:
        *ret = a * b;
        return true;
    case OP_DIV:
        *ret = a / b;
        return true;
    case OP_MOD:
        *ret = fmod(a, b);
        return true;
    case OP_POW:
        *ret = pow(a, b);
        return true;
    case OP_ATAN2:
        *ret = atan2(a, b);
        return true;
    case OP_EQ:
        return a == b;
    case OP_NE:
        return a != b;
    case OP_GT:
        return a > b;
    case OP_LT:
        return a < b;
    case OP_GE:
        return a >= b;
    case OP_LE:
        return a <= b;
    default:
        return false;
    }
}

bool binary_changes_metric(promql_op op)
{
    return op >= OP_ADD && op <= OP_ATAN2;
}

static bool is_trim(promql_op op)
{
    return op == OP_TRIM_UPPER || op == OP_TRIM_LOWER;
}

status binary_cells(promql_engine *e, const promql_node *n, promql_cell left, promql_cell right,
                    pair_result *ret)
{
    const promql_binary *b = &n->binary;
    bool both = left.histogram && right.histogram;
    *ret = (pair_result){ .valid = true };
    if (left.histogram || right.histogram) {
        histogram_binary_result r;
        TRY(promql_histogram_binary(e, n, b->op, left, right, &r));
        ret->cell = r.cell;
        ret->keep = r.keep;
        /* Only == and != compare histograms, and those only with each other. */
        ret->valid = r.keep || (both && (b->op == OP_EQ || b->op == OP_NE));
    } else if (is_trim(b->op)) {
        const char *text = promql_operators[b->op].text;
        promql_note(e, false, n,
                    "incompatible sample types encountered for binary operator \"%s\": "
                    "float %s float",
                    text, text);
        ret->valid = false;
    } else {
        ret->keep = binary_floats(b->op, left.value, right.value, &ret->cell.value);
    }
    if (b->returns_bool && ret->valid) {
        ret->cell = (promql_cell){ .value = ret->keep };
        ret->keep = true;
    }
    return STATUS_OK;
}

status binary_noted(promql_engine *e, const promql_grid *g, const promql_node *n, step_notes *notes,
                    uint32_t step, uint32_t order, promql_cell left, promql_cell right,
                    pair_result *ret)
{
    promql_notes *whole = e->notes;
    uint32_t noted = notes->notes.noted;
    e->notes = &notes->notes;
    status st = binary_cells(e, n, left, right, ret);
    e->notes = whole;
    if (st != STATUS_OK || notes->notes.noted == noted)
        return st;
    if (!notes->last && !(notes->last = promql_alloc(e, g->steps, sizeof(*notes->last))))
        return STATUS_LIMIT;
    if (order + 1 >= notes->last[step].order) {
        notes->last[step].order = order + 1;
        notes->last[step].note = notes->notes.last;
    }
    return STATUS_OK;
}

void binary_tell(promql_engine *e, const promql_grid *g, const step_notes *notes)
{
    for (uint32_t k = 0; notes->last && k < notes->notes.count; k++) {
        bool counts = false;
        for (uint32_t i = 0; i < g->steps && !counts; i++)
            counts = notes->last[i].order && notes->last[i].note == k;
        if (counts)
            promql_note_text(e, notes->notes.warning[k], notes->notes.items[k]);
    }
}

/* ---- scalars ---- */

static status scalar_scalar(promql_engine *e, const promql_grid *g, const promql_binary *b,
                            const promql_value *left, const promql_value *right, promql_value *ret)
{
    ret->type = PROMQL_SCALAR;
    ret->scalar = promql_alloc(e, g->steps, sizeof(double));
    if (!ret->scalar)
        return STATUS_LIMIT;
    for (uint32_t i = 0; i < g->steps; i++) {
        bool keep = binary_floats(b->op, left->scalar[i], right->scalar[i], &ret->scalar[i]);
        if (promql_operators[b->op].comparison)
            ret->scalar[i] = keep;
    }
    return STATUS_OK;
}

/* A row without histograms. `flipped`: the scalar stands on the left; a comparison keeps the
 * vector's value all the same. */
static void float_row(const promql_binary *b, uint32_t steps, double *cells, const double *scalar,
                      bool flipped)
{
    bool comparison = promql_operators[b->op].comparison;
    for (uint32_t i = 0; i < steps; i++) {
        double x = cells[i], result;
        if (is_absent(x))
            continue;
        bool keep = flipped ? binary_floats(b->op, scalar[i], x, &result)
                            : binary_floats(b->op, x, scalar[i], &result);
        if (b->returns_bool)
            cells[i] = keep;
        else if (!keep)
            set_absent(&cells[i]);
        else if (!comparison)
            cells[i] = result;
    }
}

static status mixed_row(promql_engine *e, const promql_grid *g, const promql_node *n,
                        step_notes *notes, uint32_t order, promql_row *row, const double *scalar,
                        bool flipped)
{
    for (uint32_t i = 0; i < g->steps; i++) {
        promql_cell x = row_cell(row, i), s = { .value = scalar[i] };
        pair_result r;
        if (!row_has(row, i))
            continue;
        TRY(binary_noted(e, g, n, notes, i, order, flipped ? s : x, flipped ? x : s, &r));
        if (!r.valid || !r.keep)
            row_clear(row, i);
        else if (n->binary.returns_bool || !promql_operators[n->binary.op].comparison)
            TRY(row_set(e, g, row, i, r.cell));
    }
    return STATUS_OK;
}

static status vector_scalar(promql_engine *e, const promql_grid *g, const promql_node *n,
                            promql_value *v, const double *scalar, bool flipped, promql_value *ret)
{
    const promql_binary *b = &n->binary;
    bool drops_name = b->returns_bool || binary_changes_metric(b->op);
    step_notes notes = { 0 };
    for (uint32_t r = 0; r < v->row_count; r++) {
        promql_row *row = &v->rows[r];
        TRY(promql_check_time(e));
        if (row->histograms || is_trim(b->op))
            TRY(mixed_row(e, g, n, &notes, r, row, scalar, flipped));
        else
            float_row(b, g->steps, row->cells, scalar, flipped);
        if (drops_name)
            TRY(row_drop_name(e, row));
    }
    binary_tell(e, g, &notes);
    *ret = *v;
    return promql_merge_rows(e, g, ret, SAME_LABELSET);
}

static status negate_row(promql_engine *e, const promql_grid *g, promql_row *row)
{
    TRY(promql_check_time(e));
    for (uint32_t i = 0; i < g->steps; i++) {
        const histogram *h = row_histogram(row, i);
        if (!is_absent(row->cells[i]))
            row->cells[i] = -row->cells[i];
        if (h && !(row->histograms[i] = histogram_multiply(e->arena, h, -1)))
            return promql_no_memory(e);
    }
    return row_drop_name(e, row);
}

status promql_negate(promql_engine *e, const promql_grid *g, promql_value *v)
{
    for (uint32_t i = 0; v->type == PROMQL_SCALAR && i < g->steps; i++)
        v->scalar[i] = -v->scalar[i];
    if (v->type == PROMQL_SCALAR)
        return STATUS_OK;
    for (uint32_t r = 0; r < v->row_count; r++)
        TRY(negate_row(e, g, &v->rows[r]));
    return promql_merge_rows(e, g, v, SAME_LABELSET);
}

status promql_eval_binary(promql_engine *e, const promql_grid *g, const promql_node *n,
                          promql_value *ret)
{
    const promql_binary *b = &n->binary;
    promql_value left, right;
    TRY(promql_eval_node(e, g, b->left, &left));
    TRY(promql_eval_node(e, g, b->right, &right));
    *ret = (promql_value){ .type = PROMQL_VECTOR };
    if (left.type == PROMQL_SCALAR && right.type == PROMQL_SCALAR)
        return scalar_scalar(e, g, b, &left, &right, ret);
    if (right.type == PROMQL_SCALAR)
        return vector_scalar(e, g, n, &left, right.scalar, false, ret);
    if (left.type == PROMQL_SCALAR)
        return vector_scalar(e, g, n, &right, left.scalar, true, ret);
    return promql_match_vectors(e, g, n, &left, &right, ret);
}
