// SPDX-License-Identifier: Apache-2.0
/* Expressions that stand in a query more than once ("errors / all" over the same selector, or the
 * same rate twice) are evaluated once. Before the evaluation the printed forms of all nodes that
 * read the store are counted; a value is kept for the ones that come again, and the last to ask
 * gets it without a copy. What made annotations is not kept: each place has its own. */
#include "query/promql/shared.h"

#define SHARED_NODES_MAX 256     /* nodes looked at; larger queries share nothing */
#define SHARED_TEXT_MAX  KiB(32) /* of all printed forms */
#define SHARED_BYTES_MAX MiB(64) /* of one kept value */

typedef struct {
    const promql_node *node;
    uint32_t form; /* index of the first entry with the same printed form */
    str text;
    uint32_t uses; /* of the form, in its first entry: that are still to come */
    bool kept;
    promql_grid grid;
    promql_value value;
} entry;

struct promql_shared {
    entry *entries;
    uint32_t count;
    buf text;
    bool full;
};

/* Whether evaluating the node reads the store and yields rows. */
static bool is_candidate(const promql_node *n)
{
    return n->type == PROMQL_VECTOR &&
           (n->kind == NODE_VECTOR || n->kind == NODE_CALL || n->kind == NODE_AGGREGATE);
}

/* Whether the form is new. */
static bool put(promql_shared *s, const promql_node *n, arena *a)
{
    buf_clear(&s->text);
    promql_print(&s->text, n);
    str text = s->text.failed ? (str){ NULL, 0 } : arena_str(a, buf_view(&s->text));
    if (!text.ptr || s->count == SHARED_NODES_MAX) {
        s->full = true;
        return true;
    }
    entry *new = &s->entries[s->count];
    *new = (entry){ .node = n, .form = s->count, .text = text };
    for (uint32_t i = 0; i < s->count; i++) {
        if (s->entries[i].form == i && str_eq(s->entries[i].text, text)) {
            new->form = i;
            break;
        }
    }
    s->entries[new->form].uses++;
    return new->form == s->count++;
}

static void collect(promql_shared *s, const promql_node *n, arena *a);

static void collect_children(promql_shared *s, const promql_node *n, arena *a)
{
    switch (n->kind) {
    case NODE_SUBQUERY:
        collect(s, n->subquery.inner, a);
        break;
    case NODE_UNARY:
        collect(s, n->unary.operand, a);
        break;
    case NODE_BINARY:
        collect(s, n->binary.left, a);
        collect(s, n->binary.right, a);
        break;
    case NODE_PAREN:
        collect(s, n->paren, a);
        break;
    case NODE_CALL:
        for (uint32_t i = 0; i < n->call.arg_count; i++)
            collect(s, n->call.args[i], a);
        break;
    case NODE_AGGREGATE:
        if (n->aggregate.param)
            collect(s, n->aggregate.param, a);
        collect(s, n->aggregate.inner, a);
        break;
    case NODE_EXTERNAL: /* of another language: it has no printed form */
        s->full = true;
        break;
    default:
        break;
    }
}

static void collect(promql_shared *s, const promql_node *n, arena *a)
{
    if (s->full)
        return;
    /* What stands within a form that was met before will not be evaluated again. */
    if (!is_candidate(n) || put(s, n, a))
        collect_children(s, n, a);
}

promql_shared *promql_shared_find(const promql_node *query, arena *a)
{
    if (query->kind == NODE_VECTOR || query->kind == NODE_MATRIX)
        return NULL;
    promql_shared *s = ARENA_NEW(a, promql_shared);
    if (!s || !(s->entries = ARENA_ARRAY(a, entry, SHARED_NODES_MAX)))
        return NULL;
    buf_init(&s->text, SHARED_TEXT_MAX);
    collect(s, query, a);
    buf_done(&s->text);
    for (uint32_t i = 0; i < s->count && !s->full; i++)
        if (s->entries[i].uses > 1)
            return s;
    return NULL;
}

/* The form of a node that stands in the query more than once. */
static entry *find(promql_shared *s, const promql_node *n)
{
    for (uint32_t i = 0; i < s->count; i++) {
        if (s->entries[i].node != n)
            continue;
        entry *form = &s->entries[s->entries[i].form];
        return form->uses ? form : NULL;
    }
    return NULL;
}

static bool same_grid(const promql_grid *a, const promql_grid *b)
{
    return a->start_ms == b->start_ms && a->step_ms == b->step_ms && a->steps == b->steps;
}

static status copy_value(promql_engine *e, const promql_grid *g, const promql_value *v,
                         promql_value *ret)
{
    *ret = *v;
    ret->rows = promql_alloc(e, v->row_count, sizeof(promql_row));
    if (!ret->rows)
        return STATUS_LIMIT;
    for (uint32_t r = 0; r < v->row_count; r++) {
        promql_row *row = &ret->rows[r];
        size_t bytes = g->steps * sizeof(double);
        *row = v->rows[r];
        TRY(promql_count_samples(e, g->steps));
        if (!(row->cells = arena_alloc(e->arena, bytes)))
            return promql_no_memory(e);
        memcpy(row->cells, v->rows[r].cells, bytes);
        if (!row->histograms)
            continue;
        if (!(row->histograms = promql_alloc(e, g->steps, sizeof(histogram *))))
            return STATUS_LIMIT;
        memcpy(row->histograms, v->rows[r].histograms, g->steps * sizeof(histogram *));
    }
    return STATUS_OK;
}

bool promql_shared_take(promql_engine *e, const promql_grid *g, const promql_node *n,
                        promql_value *ret, status *ret_status)
{
    entry *form = find(e->shared, n);
    if (!form || !form->kept || !same_grid(&form->grid, g))
        return false;
    *ret_status = STATUS_OK;
    if (--form->uses)
        *ret_status = copy_value(e, g, &form->value, ret);
    else
        *ret = form->value;
    form->kept = form->uses > 0;
    return true;
}

status promql_shared_keep(promql_engine *e, const promql_grid *g, const promql_node *n,
                          const promql_value *v)
{
    entry *form = find(e->shared, n);
    if (!form || form->kept || form->uses < 2 || v->type != PROMQL_VECTOR ||
        (uint64_t)v->row_count * g->steps * sizeof(double) > SHARED_BYTES_MAX)
        return STATUS_OK;
    form->uses--;
    form->grid = *g;
    form->kept = true;
    return copy_value(e, g, v, &form->value);
}
