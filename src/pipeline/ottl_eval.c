// SPDX-License-Identifier: Apache-2.0
/* OTTL's evaluation of a tree on one row: comparison, arithmetic, indexes, logic. */
#include "pipeline/ottl_internal.h"
#include "pipeline/trace_state.h"

const char *ottl_value_kind(const ottl_value *v)
{
    static const char *const kinds[] = {
        [VALUE_EMPTY] = "nil",   [VALUE_STR] = "string", [VALUE_BOOL] = "bool",
        [VALUE_I64] = "integer", [VALUE_F64] = "float",  [VALUE_BYTES] = "bytes",
        [VALUE_ARRAY] = "list",  [VALUE_MAP] = "map",
    };
    if (v->unit != UNIT_NONE)
        return v->unit == UNIT_TIME ? "time" : "duration";
    return kinds[v->v.type];
}

/* ---- comparison ---- */

static bool values_equal(const value *a, const value *b, unsigned depth);

static bool arrays_equal(const values *a, const values *b, unsigned depth)
{
    if (a->count != b->count)
        return false;
    for (uint32_t i = 0; i < a->count; i++)
        if (!values_equal(&a->items[i], &b->items[i], depth + 1))
            return false;
    return true;
}

static bool maps_equal(const attrs *a, const attrs *b, unsigned depth)
{
    if (a->count != b->count)
        return false;
    for (uint32_t i = 0; i < a->count; i++) {
        const value *other = attrs_get(b, a->items[i].key);
        if (!other || !values_equal(&a->items[i].value, other, depth + 1))
            return false;
    }
    return true;
}

static bool is_number(const value *v)
{
    return v->type == VALUE_I64 || v->type == VALUE_F64;
}

static double as_double(const value *v)
{
    return v->type == VALUE_I64 ? (double)v->i64 : v->f64;
}

static bool values_equal(const value *a, const value *b, unsigned depth)
{
    if (depth > OTTL_DEPTH_LIMIT)
        return false;
    if (is_number(a) && is_number(b) && a->type != b->type)
        return as_double(a) == as_double(b);
    if (a->type != b->type)
        return false;
    switch (a->type) {
    case VALUE_EMPTY:
        return true;
    case VALUE_STR:
    case VALUE_BYTES:
        return str_eq(a->s, b->s);
    case VALUE_BOOL:
        return a->b == b->b;
    case VALUE_I64:
        return a->i64 == b->i64;
    case VALUE_F64:
        return a->f64 == b->f64;
    case VALUE_ARRAY:
        return arrays_equal(&a->array, &b->array, depth);
    case VALUE_MAP:
        return maps_equal(&a->map, &b->map, depth);
    }
    return false;
}

bool ottl_equal(const ottl_value *a, const ottl_value *b)
{
    return a->unit == b->unit && values_equal(&a->v, &b->v, 0);
}

bool ottl_order(const ottl_value *a, const ottl_value *b, int *ret)
{
    if (a->unit != b->unit)
        return false;
    if (is_number(&a->v) && is_number(&b->v)) {
        if (a->v.type == VALUE_I64 && b->v.type == VALUE_I64) {
            *ret = (a->v.i64 > b->v.i64) - (a->v.i64 < b->v.i64);
            return true;
        }
        double x = as_double(&a->v), y = as_double(&b->v);
        *ret = (x > y) - (x < y);
        return x == x && y == y;
    }
    if (a->v.type != b->v.type)
        return false;
    if (a->v.type == VALUE_STR || a->v.type == VALUE_BYTES) {
        *ret = str_cmp(a->v.s, b->v.s);
        return true;
    }
    if (a->v.type == VALUE_BOOL) {
        *ret = a->v.b - b->v.b;
        return true;
    }
    return false;
}

static bool compare(ottl_op op, const ottl_value *a, const ottl_value *b)
{
    int order;
    if (op == OP_EQ || op == OP_NE)
        return ottl_equal(a, b) == (op == OP_EQ);
    if (!ottl_order(a, b, &order))
        return false;
    switch (op) {
    case OP_LT:
        return order < 0;
    case OP_LE:
        return order <= 0;
    case OP_GT:
        return order > 0;
    default:
        return order >= 0;
    }
}

/* ---- arithmetic ---- */

static status arithmetic_int(const ottl_run *run, const ottl_node *n, int64_t a, int64_t b,
                             value *ret)
{
    int64_t result = 0;
    bool over = false;
    switch (n->op) {
    case OP_ADD:
        over = __builtin_add_overflow(a, b, &result);
        break;
    case OP_SUB:
        over = __builtin_sub_overflow(a, b, &result);
        break;
    case OP_MUL:
        over = __builtin_mul_overflow(a, b, &result);
        break;
    default:
        if (b == 0)
            return ottl_fail(run->err, n->at, "division by zero");
        over = a == INT64_MIN && b == -1;
        result = over ? 0 : a / b;
        break;
    }
    if (over)
        return ottl_fail(run->err, n->at, "the result does not fit into 64 bits");
    *ret = VALUE_I(result);
    return STATUS_OK;
}

static value arithmetic_double(ottl_op op, double a, double b)
{
    switch (op) {
    case OP_ADD:
        return VALUE_D(a + b);
    case OP_SUB:
        return VALUE_D(a - b);
    case OP_MUL:
        return VALUE_D(a * b);
    default:
        return VALUE_D(a / b);
    }
}

/* What time and duration give; false when it makes no sense. */
static bool result_unit(ottl_op op, ottl_unit a, ottl_unit b, ottl_unit *ret)
{
    *ret = UNIT_NONE;
    if (a == UNIT_NONE && b == UNIT_NONE)
        return true;
    if (a == UNIT_NONE || b == UNIT_NONE || (op != OP_ADD && op != OP_SUB))
        return false;
    if (a == UNIT_TIME && b == UNIT_TIME) {
        *ret = UNIT_DURATION;
        return op == OP_SUB;
    }
    *ret = a == UNIT_TIME || b == UNIT_TIME ? UNIT_TIME : UNIT_DURATION;
    return a != UNIT_DURATION || b != UNIT_TIME || op == OP_ADD;
}

static status arithmetic(const ottl_run *run, const ottl_node *n, const ottl_value *a,
                         const ottl_value *b, ottl_value *ret)
{
    ottl_unit unit;
    if (!is_number(&a->v) || !is_number(&b->v) || !result_unit(n->op, a->unit, b->unit, &unit))
        return ottl_fail(run->err, n->at, "%s and %s cannot be calculated with", ottl_value_kind(a),
                         ottl_value_kind(b));
    status st = STATUS_OK;
    if (a->v.type == VALUE_I64 && b->v.type == VALUE_I64)
        st = arithmetic_int(run, n, a->v.i64, b->v.i64, &ret->v);
    else if (n->op == OP_DIV && as_double(&b->v) == 0)
        st = ottl_fail(run->err, n->at, "division by zero");
    else
        ret->v = arithmetic_double(n->op, as_double(&a->v), as_double(&b->v));
    ret->unit = unit;
    return st;
}

static status negate(const ottl_run *run, const ottl_node *n, const ottl_value *a, ottl_value *ret)
{
    *ret = *a;
    if (a->v.type == VALUE_F64)
        ret->v.f64 = -a->v.f64;
    else if (a->v.type == VALUE_I64 && a->v.i64 != INT64_MIN && a->unit != UNIT_TIME)
        ret->v.i64 = -a->v.i64;
    else
        return ottl_fail(run->err, n->at, "a %s cannot be negated", ottl_value_kind(a));
    return STATUS_OK;
}

/* ---- indexes, lists, calls ---- */

static status element(const ottl_run *run, const ottl_node *key, ottl_value *v)
{
    const value *k = &key->literal.v, *found = NULL;
    if (v->v.type == VALUE_EMPTY)
        return STATUS_OK; /* a key of nothing is nothing */
    if (v->v.type == VALUE_MAP && k->type == VALUE_STR)
        found = attrs_get(&v->v.map, k->s);
    else if (v->v.type == VALUE_ARRAY && k->type == VALUE_I64)
        found = k->i64 >= 0 && k->i64 < v->v.array.count ? &v->v.array.items[k->i64] : NULL;
    else
        return ottl_fail(run->err, key->at, "a %s has no such key", ottl_value_kind(v));
    v->v = found ? *found : (value){ .type = VALUE_EMPTY };
    return STATUS_OK;
}

static status eval_index(const ottl_run *run, const ottl_node *n, ottl_value *ret)
{
    status st = ottl_eval(run, n->items[0], ret);
    uint32_t i = 1;
    if (st == STATUS_OK && n->items[0]->type == NODE_PATH &&
        ottl_path_is_trace_state(n->items[0]->path) && n->items[1]->literal.v.type == VALUE_STR) {
        str found = trace_state_get(ret->v.s, n->items[1]->literal.v.s);
        ret->v = found.ptr ? VALUE_S(found) : (value){ .type = VALUE_EMPTY };
        i = 2;
    }
    for (; st == STATUS_OK && i < n->item_count; i++)
        st = element(run, n->items[i], ret);
    return st;
}

static status eval_list(const ottl_run *run, const ottl_node *n, ottl_value *ret)
{
    value *items = ARENA_ARRAY(run->memory, value, MAX(n->item_count, 1u));
    if (!items)
        return fail(run->err, STATUS_NO_MEMORY, "no memory for a condition");
    for (uint32_t i = 0; i < n->item_count; i++) {
        ottl_value v = { 0 };
        status st = ottl_eval(run, n->items[i], &v);
        if (st != STATUS_OK)
            return st;
        items[i] = v.v;
    }
    ret->v = (value){ .type = VALUE_ARRAY, .array = { items, n->item_count } };
    return STATUS_OK;
}

static status eval_call(const ottl_run *run, const ottl_node *n, ottl_value *ret)
{
    ottl_value args[OTTL_ARGS] = { 0 };
    for (uint32_t i = 0; i < n->item_count; i++) {
        status st = ottl_eval(run, n->items[i], &args[i]);
        if (st != STATUS_OK)
            return st;
    }
    return n->function->call(run, n, args, ret);
}

static status eval_bool(const ottl_run *run, const ottl_node *n, bool *ret)
{
    ottl_value v = { 0 };
    status st = ottl_eval(run, n, &v);
    if (st == STATUS_OK && v.v.type != VALUE_BOOL)
        return ottl_fail(run->err, n->at, "this gives a %s, and a condition needs a bool",
                         ottl_value_kind(&v));
    *ret = st == STATUS_OK && v.v.b;
    return st;
}

static status eval_logic(const ottl_run *run, const ottl_node *n, ottl_value *ret)
{
    bool truth = false;
    status st = eval_bool(run, n->items[0], &truth);
    if (st == STATUS_OK && n->type == NODE_NOT)
        truth = !truth;
    else if (st == STATUS_OK && truth == (n->type == NODE_AND))
        st = eval_bool(run, n->items[1], &truth);
    ret->v = VALUE_B(truth);
    return st;
}

static status eval_two(const ottl_run *run, const ottl_node *n, ottl_value *ret)
{
    ottl_value a = { 0 }, b = { 0 };
    status st = ottl_eval(run, n->items[0], &a);
    if (st == STATUS_OK && n->type == NODE_NEGATE)
        return negate(run, n, &a, ret);
    if (st == STATUS_OK)
        st = ottl_eval(run, n->items[1], &b);
    if (st == STATUS_OK && n->type == NODE_ARITHMETIC)
        return arithmetic(run, n, &a, &b, ret);
    if (st == STATUS_OK)
        ret->v = VALUE_B(compare(n->op, &a, &b));
    return st;
}

status ottl_eval(const ottl_run *run, const ottl_node *n, ottl_value *ret)
{
    *ret = (ottl_value){ 0 };
    switch (n->type) {
    case NODE_LITERAL:
        *ret = n->literal;
        return STATUS_OK;
    case NODE_LIST:
        return eval_list(run, n, ret);
    case NODE_PATH:
        return ottl_path_get(run, n->path, ret);
    case NODE_INDEX:
        return eval_index(run, n, ret);
    case NODE_CALL:
        return eval_call(run, n, ret);
    case NODE_NOT:
    case NODE_AND:
    case NODE_OR:
        return eval_logic(run, n, ret);
    case NODE_COMPARE:
    case NODE_ARITHMETIC:
    case NODE_NEGATE:
        return eval_two(run, n, ret);
    }
    return STATUS_OK;
}
