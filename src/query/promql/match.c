// SPDX-License-Identifier: Apache-2.0
/* Operators between two vectors. Rows are put into groups by their signature once; within a group
 * the rows of the "one" side are chosen step by step, and each row of the "many" side is computed
 * against what was chosen. What Prometheus checks at every step (unique matches) is checked at
 * every step here too. For one-to-one and set operators "many" is the left side. */
#include "query/promql/binary.h"

#include <assert.h>

typedef struct {
    promql_value *value;
    uint32_t *members;  /* row numbers, group after group */
    uint32_t *first;    /* of each group; one entry more than groups */
    bool *any;          /* per step: has this side any value at all? */
    const double *fill; /* stands for a row that is missing; NULL: nothing does */
} side;

typedef struct {
    promql_engine *e;
    const promql_grid *g;
    const promql_node *node;
    const promql_binary *b;
    label_groups groups;
    side many, one;
    bool flipped;     /* many is the right operand */
    uint32_t *chosen; /* per step: the row of the one side + 1, 0: none */
    bool *taken;      /* per step: the group has been matched */
    step_notes notes;
    uint32_t capacity;
} matching;

/* ---- groups ---- */

static status signature(const matching *m, labels row, labels *ret)
{
    name_list names = { m->b->names, m->b->name_count };
    arena *a = m->e->arena;
    bool ok = m->b->on ? labels_keep(a, row, names, ret)
                       : labels_drop(a, row, names, ret) && labels_drop_metric(a, *ret, ret);
    return ok ? STATUS_OK : promql_no_memory(m->e);
}

static status put_groups(matching *m, side *s, uint32_t *group_of)
{
    s->any = promql_alloc(m->e, m->g->steps, sizeof(bool));
    if (!s->any)
        return STATUS_LIMIT;
    for (uint32_t r = 0; r < s->value->row_count; r++) {
        const promql_row *row = &s->value->rows[r];
        labels key;
        TRY(promql_check_time(m->e));
        TRY(signature(m, row->labels, &key));
        group_of[r] = groups_put(&m->groups, key, NULL);
        if (group_of[r] == UINT32_MAX)
            return promql_no_memory(m->e);
        for (uint32_t i = 0; i < m->g->steps; i++)
            s->any[i] = s->any[i] || row_has(row, i);
    }
    return STATUS_OK;
}

static status sort_side(matching *m, side *s, const uint32_t *group_of)
{
    s->members = promql_alloc(m->e, s->value->row_count, sizeof(uint32_t));
    s->first = promql_alloc(m->e, (size_t)m->groups.count + 2, sizeof(uint32_t));
    if (!s->members || !s->first)
        return STATUS_LIMIT;
    for (uint32_t i = 0; i < s->value->row_count; i++)
        s->first[group_of[i] + 2]++;
    for (uint32_t k = 2; k < m->groups.count + 2; k++)
        s->first[k] += s->first[k - 1];
    for (uint32_t i = 0; i < s->value->row_count; i++)
        s->members[s->first[group_of[i] + 1]++] = i;
    return STATUS_OK;
}

static status match(matching *m)
{
    uint32_t *many_groups = promql_alloc(m->e, m->many.value->row_count, sizeof(uint32_t));
    uint32_t *one_groups = promql_alloc(m->e, m->one.value->row_count, sizeof(uint32_t));
    m->chosen = promql_alloc(m->e, m->g->steps, sizeof(uint32_t));
    m->taken = promql_alloc(m->e, m->g->steps, sizeof(bool));
    if (!many_groups || !one_groups || !m->chosen || !m->taken)
        return STATUS_LIMIT;
    groups_init(&m->groups, m->e->arena);
    TRY(put_groups(m, &m->many, many_groups));
    TRY(put_groups(m, &m->one, one_groups));
    TRY(sort_side(m, &m->many, many_groups));
    return sort_side(m, &m->one, one_groups);
}

/* ---- arithmetic and comparison ---- */

static status duplicate_match(const matching *m, uint32_t group, const promql_row *a,
                              const promql_row *b)
{
    char memory[3][120];
    const labels sets[] = { m->groups.items[group], a->labels, b->labels };
    for (int i = 0; i < 3; i++) {
        buf text;
        buf_init(&text, KiB(64));
        labels_print_all(&text, sets[i]);
        str_copy_c(memory[i], sizeof(memory[i]), buf_view(&text));
        buf_done(&text);
    }
    bool swap = strcmp(memory[1], memory[2]) > 0;
    return PROMQL_FAIL(
        m->e,
        "found duplicate series for the match group %s on the %s hand-side of the "
        "operation: [%s, %s];many-to-many matching not allowed: matching labels must "
        "be unique on one side",
        memory[0], m->flipped ? "left" : "right", memory[swap ? 2 : 1], memory[swap ? 1 : 2]);
}

/* Which row of the one side counts at each step. Where the other side is empty as a whole, nothing
 * is looked at. */
static status choose(matching *m, uint32_t group)
{
    bool always = m->many.fill || m->one.fill;
    memset(m->chosen, 0, m->g->steps * sizeof(*m->chosen));
    memset(m->taken, 0, m->g->steps * sizeof(*m->taken));
    for (uint32_t k = m->one.first[group]; k < m->one.first[group + 1]; k++) {
        const promql_row *row = &m->one.value->rows[m->one.members[k]];
        for (uint32_t i = 0; i < m->g->steps; i++) {
            if (!row_has(row, i) || !(always || m->many.any[i]))
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
    bool drops_name = binary_changes_metric(b->op) || (b->returns_bool && !delays_names(m->e));
    *ret = many;
    bool ok = !drops_name || labels_drop_metric(a, *ret, ret);
    if (ok && b->cardinality == MATCH_ONE_TO_ONE)
        ok = b->on ? labels_keep(a, *ret, names, ret) : labels_drop(a, *ret, names, ret);
    for (uint32_t i = 0; ok && i < b->include_count; i++)
        ok = labels_set(a, *ret, b->include[i], labels_get(one, b->include[i]), ret);
    return ok ? STATUS_OK : promql_no_memory(m->e);
}

/* The result's row at place `slot`, or behind all places when another with other labels is there
 * already: one row of the many side has several when what it takes from the one side changes. */
static status result_row(matching *m, promql_value *ret, uint32_t slot, labels l, promql_row **row)
{
    uint32_t places = m->many.value->row_count + m->one.value->row_count;
    promql_row *own = &ret->rows[slot];
    if (own->cells && !labels_eq(own->labels, l)) {
        if (ret->row_count == m->capacity) {
            uint32_t bigger = MAX(m->capacity * 2, places + 16);
            promql_row *grown =
                arena_grow(m->e->arena, ret->rows, ret->row_count * sizeof(promql_row),
                           bigger * sizeof(promql_row));
            if (!grown)
                return promql_no_memory(m->e);
            ret->rows = grown;
            m->capacity = bigger;
        }
        own = &ret->rows[ret->row_count++];
        *own = (promql_row){ 0 };
    }
    if (!own->cells) {
        own->labels = l;
        own->drop_name = m->b->returns_bool;
        if (!(own->cells = promql_values(m->e, m->g)))
            return STATUS_LIMIT;
    }
    *row = own;
    return STATUS_OK;
}

typedef struct {
    const promql_row *many, *one; /* NULL: the fill value */
    uint32_t wanted;              /* what `chosen` says of the one side */
    bool untaken;                 /* only where the group has not been matched */
} pair;

static bool pair_meets(const matching *m, const pair *p, uint32_t step)
{
    if (p->many && !row_has(p->many, step))
        return false;
    return m->chosen[step] == p->wanted && !(p->untaken && m->taken[step]);
}

static status multiple_matches(const matching *m)
{
    return PROMQL_FAIL(m->e, "multiple matches for labels: many-to-one matching must be explicit "
                             "(group_left/group_right)");
}

static status pair_step(matching *m, const pair *p, uint32_t step, uint32_t order, pair_result *ret)
{
    promql_cell many = { .value = m->many.fill ? *m->many.fill : 0 };
    promql_cell one = { .value = m->one.fill ? *m->one.fill : 0 };
    if (p->many)
        many = row_cell(p->many, step);
    if (p->one)
        one = row_cell(p->one, step);
    TRY(binary_noted(m->e, m->g, m->node, &m->notes, step, order, m->flipped ? one : many,
                     m->flipped ? many : one, ret));
    if (!ret->valid)
        return STATUS_OK;
    if (m->b->cardinality == MATCH_ONE_TO_ONE && m->taken[step])
        return multiple_matches(m);
    m->taken[step] = true;
    return STATUS_OK;
}

/* Whether it is arithmetic of two rows of floats: without annotations, and without a result that is
 * dropped. */
static bool is_plain(const matching *m, const pair *p)
{
    return m->b->op >= OP_ADD && m->b->op <= OP_DIV && p->many && p->one && !p->untaken &&
           !p->many->histograms && !p->one->histograms;
}

static inline double arithmetic(promql_op op, double a, double b)
{
    return op == OP_ADD ? a + b : op == OP_SUB ? a - b : op == OP_MUL ? a * b : a / b;
}

/* Called with an operator that the compiler knows. False: two rows of the many side meet one. */
static inline __attribute__((always_inline)) bool plain_steps(matching *m, const pair *p,
                                                              promql_op op, double *cells)
{
    const double *many = p->many->cells, *one = p->one->cells;
    const uint32_t *chosen = m->chosen, steps = m->g->steps;
    bool flipped = m->flipped, single = m->b->cardinality == MATCH_ONE_TO_ONE, *taken = m->taken;
    for (uint32_t i = 0; i < steps; i++) {
        if (is_absent(many[i]) || chosen[i] != p->wanted)
            continue;
        if (single && taken[i])
            return false;
        taken[i] = true;
        cells[i] = arithmetic(op, flipped ? one[i] : many[i], flipped ? many[i] : one[i]);
    }
    return true;
}

static status compute_plain(matching *m, const pair *p, uint32_t slot, labels l, promql_value *ret)
{
    promql_row *row;
    uint32_t first = 0;
    while (first < m->g->steps && !pair_meets(m, p, first))
        first++;
    if (first == m->g->steps)
        return STATUS_OK;
    TRY(result_row(m, ret, slot, l, &row));
    bool ok = m->b->op == OP_ADD   ? plain_steps(m, p, OP_ADD, row->cells)
              : m->b->op == OP_SUB ? plain_steps(m, p, OP_SUB, row->cells)
              : m->b->op == OP_MUL ? plain_steps(m, p, OP_MUL, row->cells)
                                   : plain_steps(m, p, OP_DIV, row->cells);
    return ok ? STATUS_OK : multiple_matches(m);
}

/* All steps at which the two meet. */
static status compute_pair(matching *m, const pair *p, uint32_t slot, labels l, promql_value *ret)
{
    promql_row *row = NULL;
    if (is_plain(m, p))
        return compute_plain(m, p, slot, l, ret);
    for (uint32_t i = 0; i < m->g->steps; i++) {
        pair_result r;
        if (!pair_meets(m, p, i))
            continue;
        TRY(pair_step(m, p, i, slot, &r));
        if (!r.valid || !r.keep)
            continue;
        if (!row)
            TRY(result_row(m, ret, slot, l, &row));
        TRY(row_set(m->e, m->g, row, i, r.cell));
    }
    return STATUS_OK;
}

/* The many side's rows of a group against one row of the other side (NULL: its fill value). */
static status many_with_one(matching *m, uint32_t group, const promql_row *one, uint32_t wanted,
                            promql_value *ret)
{
    uint32_t begin = m->many.first[group], end = m->many.first[group + 1];
    for (uint32_t k = begin; k < end; k++) {
        uint32_t index = m->many.members[k];
        pair p = { .many = &m->many.value->rows[index], .one = one, .wanted = wanted };
        labels l;
        TRY(promql_check_time(m->e));
        TRY(result_labels(m, p.many->labels, one ? one->labels : m->groups.items[group], &l));
        TRY(compute_pair(m, &p, index, l, ret));
    }
    return STATUS_OK;
}

/* Rows of the one side that nothing was found for, with the other side's fill value. */
static status fill_many(matching *m, uint32_t group, promql_value *ret)
{
    for (uint32_t k = m->one.first[group]; k < m->one.first[group + 1]; k++) {
        uint32_t index = m->one.members[k];
        pair p = { .one = &m->one.value->rows[index], .wanted = index + 1, .untaken = true };
        labels l;
        TRY(promql_check_time(m->e));
        TRY(result_labels(m, m->groups.items[group], p.one->labels, &l));
        TRY(compute_pair(m, &p, m->many.value->row_count + index, l, ret));
    }
    return STATUS_OK;
}

static status vector_vector(matching *m, promql_value *ret)
{
    ret->row_count = m->many.value->row_count + m->one.value->row_count;
    m->capacity = ret->row_count;
    ret->rows = promql_alloc(m->e, ret->row_count, sizeof(promql_row));
    if (!ret->rows)
        return STATUS_LIMIT;
    for (uint32_t k = 0; k < m->groups.count; k++) {
        if (m->one.first[k + 1] == m->one.first[k] && !m->one.fill)
            continue;
        TRY(choose(m, k));
        for (uint32_t j = m->one.first[k]; j < m->one.first[k + 1]; j++) {
            uint32_t index = m->one.members[j];
            TRY(many_with_one(m, k, &m->one.value->rows[index], index + 1, ret));
        }
        if (m->one.fill)
            TRY(many_with_one(m, k, NULL, 0, ret));
        if (m->many.fill)
            TRY(fill_many(m, k, ret));
    }
    binary_tell(m->e, m->g, &m->notes);
    ret->row_count = promql_pack_rows(ret->rows, ret->row_count);
    /* Rows that give the same labels must not both have a value at one step. */
    return promql_merge_rows(m->e, m->g, ret,
                             m->b->cardinality == MATCH_ONE_TO_ONE
                                 ? SAME_LABELSET
                                 : "multiple matches for labels: grouping labels must ensure "
                                   "unique matches");
}

/* ---- and, or, unless ---- */

/* Per step: has the group a value on this side? */
static void group_present(const matching *m, const side *s, uint32_t group, bool *ret)
{
    memset(ret, 0, m->g->steps * sizeof(*ret));
    for (uint32_t k = s->first[group]; k < s->first[group + 1]; k++) {
        const promql_row *row = &s->value->rows[s->members[k]];
        for (uint32_t i = 0; i < m->g->steps; i++)
            ret[i] = ret[i] || row_has(row, i);
    }
}

/* Takes out the cells of one group where `where` is not `keep`. */
static void filter_group(const matching *m, const side *s, uint32_t group, const bool *where,
                         bool keep)
{
    for (uint32_t k = s->first[group]; k < s->first[group + 1]; k++) {
        promql_row *row = &s->value->rows[s->members[k]];
        for (uint32_t i = 0; i < m->g->steps; i++)
            if (where[i] != keep)
                row_clear(row, i);
    }
}

static status set_operation(matching *m, promql_value *ret)
{
    promql_value *left = m->many.value, *right = m->one.value;
    uint32_t left_count = left->row_count, right_count = m->b->op == OP_OR ? right->row_count : 0;
    bool *present = m->taken;
    for (uint32_t k = 0; k < m->groups.count; k++) {
        TRY(promql_check_time(m->e));
        group_present(m, m->b->op == OP_OR ? &m->many : &m->one, k, present);
        if (m->b->op == OP_OR)
            filter_group(m, &m->one, k, present, false);
        else
            filter_group(m, &m->many, k, present, m->b->op == OP_AND);
    }
    ret->rows = promql_alloc(m->e, (size_t)left_count + right_count, sizeof(promql_row));
    if (!ret->rows)
        return STATUS_LIMIT;
    if (left_count)
        memcpy(ret->rows, left->rows, left_count * sizeof(promql_row));
    if (right_count)
        memcpy(ret->rows + left_count, right->rows, right_count * sizeof(promql_row));
    ret->row_count = left_count + right_count;
    return promql_merge_rows(m->e, m->g, ret, SAME_LABELSET);
}

status promql_match_vectors(promql_engine *e, const promql_grid *g, const promql_node *n,
                            promql_value *left, promql_value *right, promql_value *ret)
{
    const promql_binary *b = &n->binary;
    matching m = { .e = e, .g = g, .node = n, .b = b };
    const double *fill_left = b->has_fill_left ? &b->fill_left : NULL;
    const double *fill_right = b->has_fill_right ? &b->fill_right : NULL;
    m.flipped = b->cardinality == MATCH_ONE_TO_MANY;
    m.many =
        (side){ .value = m.flipped ? right : left, .fill = m.flipped ? fill_right : fill_left };
    m.one = (side){ .value = m.flipped ? left : right, .fill = m.flipped ? fill_left : fill_right };
    TRY(match(&m));
    return promql_operators[b->op].set ? set_operation(&m, ret) : vector_vector(&m, ret);
}
