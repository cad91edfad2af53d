// SPDX-License-Identifier: Apache-2.0
/* Binds a query to its time range: durations are computed, start(), end(), range() and step()
 * become numbers, "@ start()" and "@ end()" become times. The tree itself stays as it is: what
 * changes is copied, with the nodes above it. */
#include "query/promql/parse.h"

#include <math.h>

typedef struct {
    const promql_range_bounds *bounds;
    arena *arena;
    error *err;
} binder;

#define LARGEST_SECONDS 9223372036.854775807 /* as nanoseconds it fits into int64 */

static status bind_node(binder *b, const promql_node *n, const promql_node **ret);

static status no_memory(binder *b)
{
    fail(b->err, STATUS_LIMIT, "the query is too large for its memory limit");
    return STATUS_LIMIT;
}

/* ---- durations ---- */

static double query_range(const binder *b)
{
    return (double)(b->bounds->end_ms - b->bounds->start_ms) / 1000;
}

static status duration_error(binder *b, const promql_duration *d, const char *what)
{
    return fail(b->err, STATUS_INVALID, "%u:%u: %s", d->start, d->end, what);
}

static status compute(binder *b, const promql_duration *d, double *ret)
{
    double left = 0, right = 0;
    if (d->left)
        TRY(compute(b, d->left, &left));
    if (d->right)
        TRY(compute(b, d->right, &right));
    switch (d->kind) {
    case DURATION_LITERAL:
        *ret = d->number;
        break;
    case DURATION_STEP:
        *ret = (double)b->bounds->step_ms / 1000;
        break;
    case DURATION_RANGE:
        *ret = query_range(b);
        break;
    case DURATION_MIN_OF:
        *ret = isnan(left) || isnan(right) ? (double)NAN : fmin(left, right);
        break;
    case DURATION_MAX_OF:
        *ret = isnan(left) || isnan(right) ? (double)NAN : fmax(left, right);
        break;
    case DURATION_PLUS:
        *ret = right;
        break;
    case DURATION_MINUS:
        *ret = -right;
        break;
    case DURATION_ADD:
        *ret = left + right;
        break;
    case DURATION_SUB:
        *ret = left - right;
        break;
    case DURATION_MUL:
        *ret = left * right;
        break;
    case DURATION_DIV:
        if (right == 0)
            return duration_error(b, d, "division by zero");
        *ret = left / right;
        break;
    case DURATION_MOD:
        if (right == 0)
            return duration_error(b, d, "modulo by zero");
        *ret = fmod(left, right);
        break;
    case DURATION_POW:
        *ret = pow(left, right);
        break;
    }
    return STATUS_OK;
}

static status milliseconds(binder *b, const promql_duration *d, bool is_offset, int64_t *ret)
{
    double seconds = 0;
    if (!d)
        return STATUS_OK;
    TRY(compute(b, d, &seconds));
    if (!isfinite(seconds))
        return duration_error(b, d, "duration is NaN or infinite");
    if (seconds <= 0 && !is_offset)
        return duration_error(b, d, "duration must be greater than 0");
    if (fabs(seconds) > LARGEST_SECONDS)
        return duration_error(b, d, "duration is out of range");
    *ret = (int64_t)(seconds * 1000);
    return STATUS_OK;
}

/* ---- nodes ---- */

static bool shift_is_bound(const promql_shift *s)
{
    return !s->offset && s->at != AT_START && s->at != AT_END;
}

static status bind_shift(binder *b, promql_shift *s)
{
    TRY(milliseconds(b, s->offset, true, &s->offset_ms));
    s->offset = NULL;
    if (s->at == AT_START)
        s->at_ms = b->bounds->start_ms;
    else if (s->at == AT_END)
        s->at_ms = b->bounds->end_ms;
    s->at = s->at == AT_NONE ? AT_NONE : AT_TIME;
    return STATUS_OK;
}

static promql_node *copy_node(binder *b, const promql_node *n)
{
    promql_node *copy = ARENA_NEW(b->arena, promql_node);
    if (copy)
        *copy = *n;
    return copy;
}

static status bind_selector(binder *b, const promql_node *n, const promql_node **ret)
{
    if (!n->selector.range && shift_is_bound(&n->selector.shift))
        return STATUS_OK;
    promql_node *copy = copy_node(b, n);
    if (!copy)
        return no_memory(b);
    TRY(milliseconds(b, copy->selector.range, false, &copy->selector.range_ms));
    TRY(bind_shift(b, &copy->selector.shift));
    copy->selector.range = NULL;
    *ret = copy;
    return STATUS_OK;
}

static status bind_subquery(binder *b, const promql_node *n, const promql_node **ret)
{
    const promql_subquery *s = &n->subquery;
    const promql_node *inner;
    TRY(bind_node(b, s->inner, &inner));
    if (inner == s->inner && !s->range && !s->step && shift_is_bound(&s->shift))
        return STATUS_OK;
    promql_node *copy = copy_node(b, n);
    if (!copy)
        return no_memory(b);
    TRY(milliseconds(b, s->range, false, &copy->subquery.range_ms));
    TRY(milliseconds(b, s->step, false, &copy->subquery.step_ms));
    TRY(bind_shift(b, &copy->subquery.shift));
    copy->subquery.range = copy->subquery.step = NULL;
    copy->subquery.inner = (promql_node *)inner;
    *ret = copy;
    return STATUS_OK;
}

/* start(), end(), range() and step() take no argument, so only their name tells them. */
static bool context_number(const binder *b, const promql_node *n, double *ret)
{
    str name = str_c(n->call.function->name);
    if (str_is(name, "start"))
        *ret = (double)b->bounds->start_ms / 1000;
    else if (str_is(name, "end"))
        *ret = (double)b->bounds->end_ms / 1000;
    else if (str_is(name, "range"))
        *ret = query_range(b);
    else if (str_is(name, "step"))
        *ret = b->bounds->start_ms == b->bounds->end_ms ? 0 : (double)b->bounds->step_ms / 1000;
    else
        return false;
    return true;
}

static status bind_call(binder *b, const promql_node *n, const promql_node **ret)
{
    double number;
    promql_node *copy = NULL;
    if (n->call.arg_count == 0 && context_number(b, n, &number)) {
        copy = ARENA_NEW(b->arena, promql_node);
        if (!copy)
            return no_memory(b);
        *copy = (promql_node){
            .kind = NODE_NUMBER, .type = PROMQL_SCALAR, .start = n->start, .end = n->end
        };
        copy->number = number;
        *ret = copy;
        return STATUS_OK;
    }
    for (uint32_t i = 0; i < n->call.arg_count; i++) {
        const promql_node *arg;
        TRY(bind_node(b, n->call.args[i], &arg));
        if (arg == n->call.args[i])
            continue;
        if (!copy) {
            copy = copy_node(b, n);
            promql_node **args = ARENA_ARRAY(b->arena, promql_node *, n->call.arg_count);
            if (!copy || !args)
                return no_memory(b);
            memcpy(args, n->call.args, n->call.arg_count * sizeof(void *));
            copy->call.args = args;
        }
        copy->call.args[i] = (promql_node *)arg;
    }
    if (copy)
        *ret = copy;
    return STATUS_OK;
}

/* Where a node keeps its children, when it has at most two. */
static uint32_t children(promql_node *n, promql_node ***ret)
{
    uint32_t count = 0;
    if (n->kind == NODE_UNARY)
        ret[count++] = &n->unary.operand;
    if (n->kind == NODE_PAREN)
        ret[count++] = &n->paren;
    if (n->kind == NODE_BINARY) {
        ret[count++] = &n->binary.left;
        ret[count++] = &n->binary.right;
    }
    if (n->kind == NODE_AGGREGATE) {
        ret[count++] = &n->aggregate.inner;
        if (n->aggregate.param)
            ret[count++] = &n->aggregate.param;
    }
    return count;
}

static status bind_children(binder *b, const promql_node *n, const promql_node **ret)
{
    promql_node changed = *n, **child[2];
    uint32_t count = children(&changed, child);
    bool same = true;
    for (uint32_t i = 0; i < count; i++) {
        const promql_node *bound;
        TRY(bind_node(b, *child[i], &bound));
        same = same && bound == *child[i];
        *child[i] = (promql_node *)bound;
    }
    if (!same) {
        *ret = copy_node(b, &changed);
        if (!*ret)
            return no_memory(b);
    }
    return STATUS_OK;
}

static status bind_node(binder *b, const promql_node *n, const promql_node **ret)
{
    *ret = n;
    if (n->kind == NODE_VECTOR || n->kind == NODE_MATRIX)
        return bind_selector(b, n, ret);
    if (n->kind == NODE_SUBQUERY)
        return bind_subquery(b, n, ret);
    if (n->kind == NODE_CALL)
        return bind_call(b, n, ret);
    return bind_children(b, n, ret);
}

status promql_bind(const promql_node **ret, const promql_node *query,
                   const promql_range_bounds *bounds, arena *a, error *err)
{
    binder b = { bounds, a, err };
    return bind_node(&b, query, ret);
}
