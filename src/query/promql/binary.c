// SPDX-License-Identifier: Apache-2.0
/* Binary operators. Vectors are matched by their signature labels once; then each pair of rows is
 * computed for all steps. What Prometheus checks at every step (unique matches) is checked at every
 * step here too. */
#include "query/promql/eval.h"

#include <math.h>

/* The result of one cell; false: a comparison that does not hold. */
static bool compute(promql_op op, double a, double b, double *ret)
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

static bool drops_name(const promql_binary *b)
{
    return b->returns_bool || !promql_operators[b->op].comparison;
}

static status scalar_scalar(promql_engine *e, const promql_grid *g, const promql_binary *b,
                            const promql_value *left, const promql_value *right, promql_value *ret)
{
    ret->type = PROMQL_SCALAR;
    ret->scalar = promql_alloc(e, g->steps, sizeof(double));
    if (!ret->scalar)
        return STATUS_LIMIT;
    for (uint32_t i = 0; i < g->steps; i++) {
        bool keep = compute(b->op, left->scalar[i], right->scalar[i], &ret->scalar[i]);
        if (promql_operators[b->op].comparison)
            ret->scalar[i] = keep;
    }
    return STATUS_OK;
}

/* `flipped`: the scalar stands on the left; a comparison keeps the vector's value all the same. */
static status vector_scalar(promql_engine *e, const promql_grid *g, const promql_binary *b,
                            promql_value *v, const double *scalar, bool flipped, promql_value *ret)
{
    for (uint32_t r = 0; r < v->row_count; r++) {
        double *cells = v->rows[r].cells;
        TRY(promql_check_time(e));
        for (uint32_t i = 0; i < g->steps; i++) {
            double x = cells[i], result;
            if (is_absent(x))
                continue;
            bool keep = flipped ? compute(b->op, scalar[i], x, &result)
                                : compute(b->op, x, scalar[i], &result);
            if (b->returns_bool)
                cells[i] = keep;
            else if (!keep)
                set_absent(&cells[i]);
            else if (!promql_operators[b->op].comparison)
                cells[i] = result;
        }
        if (drops_name(b) && !labels_drop_metric(e->arena, v->rows[r].labels, &v->rows[r].labels))
            return promql_no_memory(e);
    }
    *ret = *v;
    ret->ordered = false;
    return promql_merge_rows(e, g, ret, SAME_LABELSET);
}

/* ---- matching ---- */

typedef struct {
    const promql_value *value;
    uint32_t *members; /* row numbers, group after group */
    uint32_t *first;   /* of each group; one entry more than groups */
} side;

typedef struct {
    promql_engine *e;
    const promql_grid *g;
    const promql_node *node;
    const promql_binary *b;
    label_groups groups;
    side many, one;   /* for one-to-one: left and right */
    bool flipped;     /* many is the right operand */
    bool *many_any;   /* per step: has that side any value at all? */
    uint32_t *chosen; /* per step: the row of the one side + 1, 0: none */
    bool *taken;      /* per step, one-to-one: the group was matched already */
} matching;

static status signature(const matching *m, labels row, labels *ret)
{
    name_list names = { m->b->names, m->b->name_count };
    arena *a = m->e->arena;
    bool ok = m->b->on ? labels_keep(a, row, names, ret)
                       : labels_drop(a, row, names, ret) && labels_drop_metric(a, *ret, ret);
    return ok ? STATUS_OK : promql_no_memory(m->e);
}

static status put_groups(matching *m, const promql_value *v, uint32_t *group_of)
{
    for (uint32_t i = 0; i < v->row_count; i++) {
        labels key;
        TRY(promql_check_time(m->e));
        TRY(signature(m, v->rows[i].labels, &key));
        group_of[i] = groups_put(&m->groups, key, NULL);
        if (group_of[i] == UINT32_MAX)
            return promql_no_memory(m->e);
    }
    return STATUS_OK;
}

static status sort_side(matching *m, const promql_value *v, const uint32_t *group_of, side *ret)
{
    ret->value = v;
    ret->members = promql_alloc(m->e, v->row_count, sizeof(uint32_t));
    ret->first = promql_alloc(m->e, (size_t)m->groups.count + 2, sizeof(uint32_t));
    if (!ret->members || !ret->first)
        return STATUS_LIMIT;
    for (uint32_t i = 0; i < v->row_count; i++)
        ret->first[group_of[i] + 2]++;
    for (uint32_t k = 2; k < m->groups.count + 2; k++)
        ret->first[k] += ret->first[k - 1];
    for (uint32_t i = 0; i < v->row_count; i++)
        ret->members[ret->first[group_of[i] + 1]++] = i;
    return STATUS_OK;
}

static status match(matching *m, const promql_value *many, const promql_value *one)
{
    uint32_t *many_groups = promql_alloc(m->e, many->row_count, sizeof(uint32_t));
    uint32_t *one_groups = promql_alloc(m->e, one->row_count, sizeof(uint32_t));
    m->many_any = promql_alloc(m->e, m->g->steps, sizeof(bool));
    m->chosen = promql_alloc(m->e, m->g->steps, sizeof(uint32_t));
    m->taken = promql_alloc(m->e, m->g->steps, sizeof(bool));
    if (!many_groups || !one_groups || !m->many_any || !m->chosen || !m->taken)
        return STATUS_LIMIT;
    groups_init(&m->groups, m->e->arena);
    TRY(put_groups(m, many, many_groups));
    TRY(put_groups(m, one, one_groups));
    TRY(sort_side(m, many, many_groups, &m->many));
    TRY(sort_side(m, one, one_groups, &m->one));
    for (uint32_t r = 0; r < many->row_count; r++)
        for (uint32_t i = 0; i < m->g->steps; i++)
            m->many_any[i] = m->many_any[i] || !is_absent(many->rows[r].cells[i]);
    return STATUS_OK;
}

/* ---- arithmetic and comparison between vectors ---- */

static status duplicate_match(const matching *m, uint32_t group, const promql_row *a,
                              const promql_row *b)
{
    char memory[4][100];
    const labels sets[] = { m->groups.items[group], a->labels, b->labels };
    for (int i = 0; i < 3; i++) {
        buf text;
        buf_init(&text, KiB(64));
        labels_print(&text, sets[i]);
        str_copy_c(memory[i], sizeof(memory[i]), buf_view(&text));
        buf_done(&text);
    }
    return PROMQL_FAIL(
        m->e,
        "found duplicate series for the match group %s on the %s hand-side of the "
        "operation: [%s, %s];many-to-many matching not allowed: matching labels must "
        "be unique on one side",
        memory[0], m->flipped ? "left" : "right", memory[2], memory[1]);
}

/* Which row of the one side counts at each step. */
static status choose(matching *m, uint32_t group)
{
    memset(m->chosen, 0, m->g->steps * sizeof(*m->chosen));
    memset(m->taken, 0, m->g->steps * sizeof(*m->taken));
    for (uint32_t k = m->one.first[group]; k < m->one.first[group + 1]; k++) {
        const promql_row *row = &m->one.value->rows[m->one.members[k]];
        for (uint32_t i = 0; i < m->g->steps; i++) {
            if (is_absent(row->cells[i]) || !m->many_any[i])
                continue;
            if (m->chosen[i])
                return duplicate_match(m, group, &m->one.value->rows[m->chosen[i] - 1], row);
            m->chosen[i] = m->one.members[k] + 1;
        }
    }
    return STATUS_OK;
}

static status result_labels(const matching *m, labels many, labels one, labels *ret)
{
    const promql_binary *b = m->b;
    arena *a = m->e->arena;
    name_list names = { b->names, b->name_count };
    *ret = many;
    bool ok = !drops_name(b) || labels_drop_metric(a, *ret, ret);
    if (ok && b->cardinality == MATCH_ONE_TO_ONE)
        ok = b->on ? labels_keep(a, *ret, names, ret) : labels_drop(a, *ret, names, ret);
    for (uint32_t i = 0; ok && i < b->include_count; i++)
        ok = labels_set(a, *ret, b->include[i], labels_get(one, b->include[i]), ret);
    return ok ? STATUS_OK : promql_no_memory(m->e);
}

static status one_cell(matching *m, double many, double one, uint32_t step, double *ret)
{
    double result;
    bool keep =
        m->flipped ? compute(m->b->op, one, many, &result) : compute(m->b->op, many, one, &result);
    if (m->b->returns_bool)
        result = keep;
    else if (!keep)
        return STATUS_OK;
    if (m->b->cardinality == MATCH_ONE_TO_ONE && m->taken[step])
        return PROMQL_FAIL(m->e,
                           "multiple matches for labels: many-to-one matching must be explicit "
                           "(group_left/group_right)");
    m->taken[step] = true;
    *ret = result;
    return STATUS_OK;
}

/* One row of the many side against one row of the one side. */
static status pair(matching *m, const promql_row *many, uint32_t one_index, promql_value *ret)
{
    const promql_row *one = &m->one.value->rows[one_index];
    promql_row *row = &ret->rows[ret->row_count];
    *row = (promql_row){ .cells = promql_values(m->e, m->g) };
    if (!row->cells)
        return STATUS_LIMIT;
    for (uint32_t i = 0; i < m->g->steps; i++)
        if (m->chosen[i] == one_index + 1 && !is_absent(many->cells[i]))
            TRY(one_cell(m, many->cells[i], one->cells[i], i, &row->cells[i]));
    ret->row_count++;
    return result_labels(m, many->labels, one->labels, &row->labels);
}

static status vector_vector(matching *m, promql_value *ret)
{
    uint64_t pairs = 0;
    for (uint32_t k = 0; k < m->groups.count; k++)
        pairs += (uint64_t)(m->many.first[k + 1] - m->many.first[k]) *
                 (m->one.first[k + 1] - m->one.first[k]);
    ret->rows = promql_alloc(m->e, pairs, sizeof(promql_row));
    if (!ret->rows)
        return STATUS_LIMIT;
    for (uint32_t k = 0; k < m->groups.count; k++) {
        if (m->one.first[k + 1] == m->one.first[k])
            continue;
        TRY(choose(m, k));
        for (uint32_t i = m->many.first[k]; i < m->many.first[k + 1]; i++) {
            TRY(promql_check_time(m->e));
            for (uint32_t j = m->one.first[k]; j < m->one.first[k + 1]; j++)
                TRY(pair(m, &m->many.value->rows[m->many.members[i]], m->one.members[j], ret));
        }
    }
    return promql_merge_rows(
        m->e, m->g, ret,
        m->b->cardinality == MATCH_ONE_TO_ONE
            ? SAME_LABELSET
            : "multiple matches for labels: grouping labels must ensure unique "
              "matches");
}

/* ---- and, or, unless ---- */

/* Per step: has the group a value on this side? */
static void group_present(const matching *m, const side *s, uint32_t group, bool *ret)
{
    memset(ret, 0, m->g->steps * sizeof(*ret));
    for (uint32_t k = s->first[group]; k < s->first[group + 1]; k++) {
        const double *cells = s->value->rows[s->members[k]].cells;
        for (uint32_t i = 0; i < m->g->steps; i++)
            ret[i] = ret[i] || !is_absent(cells[i]);
    }
}

/* Moves the rows of one group, without the cells where `where` is not `keep`. */
static void filter_group(const matching *m, const side *s, uint32_t group, const bool *where,
                         bool keep, promql_value *ret)
{
    for (uint32_t k = s->first[group]; k < s->first[group + 1]; k++) {
        const promql_row *row = &s->value->rows[s->members[k]];
        for (uint32_t i = 0; i < m->g->steps; i++)
            if (where[i] != keep)
                set_absent(&row->cells[i]);
        ret->rows[ret->row_count++] = *row;
    }
}

static status set_operation(matching *m, promql_value *ret)
{
    const promql_value *left = m->many.value, *right = m->one.value;
    bool *present = m->taken;
    ret->rows = promql_alloc(m->e, (size_t)left->row_count + right->row_count, sizeof(promql_row));
    if (!ret->rows)
        return STATUS_LIMIT;
    if (m->b->op == OP_OR && left->row_count) {
        memcpy(ret->rows, left->rows, left->row_count * sizeof(promql_row));
        ret->row_count = left->row_count;
    }
    for (uint32_t k = 0; k < m->groups.count; k++) {
        TRY(promql_check_time(m->e));
        group_present(m, m->b->op == OP_OR ? &m->many : &m->one, k, present);
        if (m->b->op == OP_OR)
            filter_group(m, &m->one, k, present, false, ret);
        else
            filter_group(m, &m->many, k, present, m->b->op == OP_AND, ret);
    }
    return promql_merge_rows(m->e, m->g, ret, SAME_LABELSET);
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
        return vector_scalar(e, g, b, &left, right.scalar, false, ret);
    if (left.type == PROMQL_SCALAR)
        return vector_scalar(e, g, b, &right, left.scalar, true, ret);
    matching m = { .e = e, .g = g, .node = n, .b = b };
    m.flipped = b->cardinality == MATCH_ONE_TO_MANY;
    TRY(match(&m, m.flipped ? &right : &left, m.flipped ? &left : &right));
    return promql_operators[b->op].set ? set_operation(&m, ret) : vector_vector(&m, ret);
}
