// SPDX-License-Identifier: Apache-2.0
/* A query's tree as JSON: what /api/v1/parse_query answers. Two queries are the same when their
 * trees are. */
#include "query/promql/print.h"

#include "codec/json.h"

static void put_node(json_writer *w, const promql_node *n);

static const char *const type_names[] = { "none", "scalar", "vector", "matrix", "string" };

#define PUT_NODE(w, name, node) (json_key((w), STR(name)), put_node((w), (node)))
#define PUT_TYPE(w, name)       JSON_PUT(w, str, "type", STR(name))

static void put_number(json_writer *w, double v)
{
    buf text;
    buf_init(&text, KiB(1));
    promql_print_number(&text, v);
    json_key(w, STR("val"));
    json_str(w, buf_view(&text));
    buf_done(&text);
}

static void put_names(json_writer *w, const str *names, uint32_t count)
{
    json_begin_array(w);
    for (uint32_t i = 0; i < count; i++)
        json_str(w, names[i]);
    json_end_array(w);
}

static void put_duration(json_writer *w, const promql_duration *d)
{
    if (!d) {
        json_null(w);
        return;
    }
    json_begin_object(w);
    if (d->kind == DURATION_LITERAL) {
        PUT_TYPE(w, "numberLiteral");
        put_number(w, d->number);
        JSON_PUT(w, bool, "duration", d->is_duration);
    } else {
        PUT_TYPE(w, "durationExpr");
        JSON_PUT(w, str, "op", str_c(promql_duration_operator(d->kind)));
        json_key(w, STR("lhs"));
        put_duration(w, d->left);
        json_key(w, STR("rhs"));
        put_duration(w, d->right);
        JSON_PUT(w, bool, "wrapped", d->parens);
    }
    json_end_object(w);
}

static void put_shift(json_writer *w, const promql_shift *s)
{
    JSON_PUT(w, i64, "offset", s->offset ? 0 : s->offset_ms);
    json_key(w, STR("offsetExpr"));
    put_duration(w, s->offset);
    json_key(w, STR("timestamp"));
    if (s->at == AT_TIME)
        json_i64(w, s->at_ms);
    else
        json_null(w);
    json_key(w, STR("startOrEnd"));
    if (s->at == AT_START || s->at == AT_END)
        json_str(w, s->at == AT_START ? STR("start") : STR("end"));
    else
        json_null(w);
}

static void put_range(json_writer *w, const promql_duration *computed, int64_t ms)
{
    JSON_PUT(w, i64, "range", computed ? 0 : ms);
    json_key(w, STR("rangeExpr"));
    put_duration(w, computed);
}

static void put_selector(json_writer *w, const promql_node *n)
{
    const promql_selector *s = &n->selector;
    JSON_PUT(w, str, "type",
             n->kind == NODE_MATRIX ? STR("matrixSelector") : STR("vectorSelector"));
    JSON_PUT(w, str, "name", s->name);
    if (n->kind == NODE_MATRIX)
        put_range(w, s->range, s->range_ms);
    put_shift(w, &s->shift);
    json_key(w, STR("matchers"));
    json_begin_array(w);
    for (uint32_t i = 0; i < s->matcher_count; i++) {
        json_begin_object(w);
        JSON_PUT(w, str, "name", s->matchers[i].name);
        JSON_PUT(w, str, "value", s->matchers[i].value);
        JSON_PUT(w, str, "type", str_c(promql_match_name(s->matchers[i].op)));
        json_end_object(w);
    }
    json_end_array(w);
    JSON_PUT(w, bool, "anchored", s->anchored);
    JSON_PUT(w, bool, "smoothed", s->smoothed);
}

static void put_subquery(json_writer *w, const promql_subquery *s)
{
    PUT_TYPE(w, "subquery");
    PUT_NODE(w, "expr", s->inner);
    put_range(w, s->range, s->range_ms);
    put_shift(w, &s->shift);
    JSON_PUT(w, i64, "step", s->step ? 0 : s->step_ms);
    json_key(w, STR("stepExpr"));
    put_duration(w, s->step);
}

static const char *cardinality(const promql_binary *b)
{
    static const char *const names[] = { "one-to-one", "many-to-one", "one-to-many" };
    return promql_operators[b->op].set ? "many-to-many" : names[b->cardinality];
}

static void put_fill(json_writer *w, str side, bool has, double value)
{
    json_key(w, side);
    if (has)
        json_f64(w, value);
    else
        json_null(w);
}

static void put_binary(json_writer *w, const promql_binary *b)
{
    PUT_TYPE(w, "binaryExpr");
    JSON_PUT(w, str, "op", str_c(promql_operators[b->op].text));
    PUT_NODE(w, "lhs", b->left);
    PUT_NODE(w, "rhs", b->right);
    JSON_PUT(w, bool, "bool", b->returns_bool);
    json_key(w, STR("matching"));
    if (b->left->type != PROMQL_VECTOR || b->right->type != PROMQL_VECTOR) {
        json_null(w);
        return;
    }
    json_begin_object(w);
    JSON_PUT(w, str, "card", str_c(cardinality(b)));
    json_key(w, STR("labels"));
    put_names(w, b->names, b->name_count);
    JSON_PUT(w, bool, "on", b->on);
    json_key(w, STR("include"));
    put_names(w, b->include, b->include_count);
    json_key(w, STR("fillValues"));
    json_begin_object(w);
    put_fill(w, STR("lhs"), b->has_fill_left, b->fill_left);
    put_fill(w, STR("rhs"), b->has_fill_right, b->fill_right);
    json_end_object(w);
    json_end_object(w);
}

static void put_call(json_writer *w, const promql_call *c)
{
    const promql_function *f = c->function;
    int variadic = f->max_args == UINT8_MAX ? -1 : f->max_args - f->min_args;
    uint32_t types = f->min_args + (variadic ? 1u : 0u), last = 0;
    PUT_TYPE(w, "call");
    json_key(w, STR("func"));
    json_begin_object(w);
    JSON_PUT(w, str, "name", str_c(f->name));
    json_key(w, STR("argTypes"));
    json_begin_array(w);
    for (uint32_t i = 0; i < types; i++) {
        if (i < PROMQL_MAX_ARGS && f->args[i] != PROMQL_NONE)
            last = i;
        json_str(w, str_c(type_names[f->args[last]]));
    }
    json_end_array(w);
    JSON_PUT(w, i64, "variadic", variadic);
    JSON_PUT(w, str, "returnType", str_c(type_names[f->returns]));
    json_end_object(w);
    json_key(w, STR("args"));
    json_begin_array(w);
    for (uint32_t i = 0; i < c->arg_count; i++)
        put_node(w, c->args[i]);
    json_end_array(w);
}

static void put_aggregate(json_writer *w, const promql_aggregate *a)
{
    PUT_TYPE(w, "aggregation");
    JSON_PUT(w, str, "op", str_c(a->aggregation->name));
    PUT_NODE(w, "expr", a->inner);
    json_key(w, STR("param"));
    if (a->param)
        put_node(w, a->param);
    else
        json_null(w);
    json_key(w, STR("grouping"));
    put_names(w, a->names, a->name_count);
    JSON_PUT(w, bool, "without", a->without);
}

static void put_members(json_writer *w, const promql_node *n)
{
    switch (n->kind) {
    case NODE_NUMBER:
        PUT_TYPE(w, "numberLiteral");
        put_number(w, n->number);
        break;
    case NODE_STRING:
        PUT_TYPE(w, "stringLiteral");
        JSON_PUT(w, str, "val", n->string);
        break;
    case NODE_VECTOR:
    case NODE_MATRIX:
        put_selector(w, n);
        break;
    case NODE_SUBQUERY:
        put_subquery(w, &n->subquery);
        break;
    case NODE_UNARY:
        PUT_TYPE(w, "unaryExpr");
        JSON_PUT(w, str, "op", str_c(promql_operators[n->unary.op].text));
        PUT_NODE(w, "expr", n->unary.operand);
        break;
    case NODE_BINARY:
        put_binary(w, &n->binary);
        break;
    case NODE_PAREN:
        PUT_TYPE(w, "parenExpr");
        PUT_NODE(w, "expr", n->paren);
        break;
    case NODE_CALL:
        put_call(w, &n->call);
        break;
    case NODE_AGGREGATE:
        put_aggregate(w, &n->aggregate);
        break;
    case NODE_EXTERNAL:
        break;
    }
}

static void put_node(json_writer *w, const promql_node *n)
{
    json_begin_object(w);
    put_members(w, n);
    json_end_object(w);
}

void promql_print_json(buf *out, const promql_node *node)
{
    json_writer w = json_write(out);
    put_node(&w, node);
}
