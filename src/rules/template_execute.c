// SPDX-License-Identifier: Apache-2.0
/* Execution of templates: walks the parts, evaluates pipelines, prints what actions yield. Depth,
 * steps and output are limited, so that a template can neither hang nor exhaust its server. */
#include "rules/template_execute.h"

#include <stdarg.h>
#include <stdio.h>

#define DEPTH_LIMIT 400 /* of lists and pipelines inside each other, called templates included */

typedef template_node node;
typedef template_value any;

/* ---- state ---- */

status execution_fail(execution *x, const char *format, ...)
{
    char message[400];
    va_list args;
    va_start(args, format);
    vsnprintf(message, sizeof(message), format, args);
    va_end(args);
    if (!x->node)
        return fail(x->err, STATUS_INVALID, "template: %.*s: %s", STR_ARG(x->name), message);
    const template_source *source = x->node->source;
    size_t line = 1, start = 0;
    for (size_t i = 0; i < x->node->offset; i++)
        if (source->text.ptr[i] == '\n') {
            line++;
            start = i + 1;
        }
    buf part, name;
    buf_init(&part, KiB(4));
    buf_init(&name, KiB(1));
    template_print_node(&part, x->node);
    print_quoted(&name, x->name);
    fail(x->err, STATUS_INVALID, "template: %.*s:%zu:%zu: executing %.*s at <%.*s>: %s",
         (int)MIN(source->name.len, 100), source->name.ptr, line, x->node->offset - start,
         (int)MIN(name.len, 100), name.ptr ? name.ptr : "", (int)MIN(part.len, 120),
         part.ptr ? part.ptr : "", message);
    buf_done(&part);
    buf_done(&name);
    return STATUS_INVALID;
}

static status limit_fail(execution *x, const char *what, uint64_t limit)
{
    return fail(x->err, STATUS_LIMIT, "template: %.*s: %s, the limit is %" PRIu64,
                (int)MIN(x->name.len, 200), x->name.ptr, what, limit);
}

static status no_memory(execution *x)
{
    return fail(x->err, STATUS_LIMIT, "template: %.*s: no memory", (int)MIN(x->name.len, 200),
                x->name.ptr);
}

static status step(execution *x)
{
    if (x->steps_left-- > 0)
        return STATUS_OK;
    x->steps_left = 0;
    return limit_fail(x, "too many steps", x->step_limit);
}

static status enter(execution *x)
{
    if (x->depth >= DEPTH_LIMIT)
        return execution_fail(x, "exceeded maximum template depth (%d)", DEPTH_LIMIT);
    x->depth++;
    return STATUS_OK;
}

static status push_variable(execution *x, str name, const any *v)
{
    if (x->variable_count == x->variable_capacity) {
        size_t capacity = x->variable_capacity ? x->variable_capacity * 2 : 8;
        execution_variable *grown = arena_grow(
            x->memory, x->variables, x->variable_count * sizeof(*grown), capacity * sizeof(*grown));
        if (!grown)
            return no_memory(x);
        x->variables = grown;
        x->variable_capacity = capacity;
    }
    x->variables[x->variable_count++] = (execution_variable){ name, *v };
    return STATUS_OK;
}

/* Variables of the caller are not seen by a called template: they lie below variable_base. */
static execution_variable *find_variable(execution *x, str name)
{
    for (size_t i = x->variable_count; i-- > x->variable_base;)
        if (str_eq(x->variables[i].name, name))
            return &x->variables[i];
    return NULL;
}

/* ---- operands ---- */

static status eval_pipeline(execution *x, const any *dot, const node *pipe, any *ret);

static status eval_member(execution *x, const any *receiver, str name, any *ret)
{
    const any *found = template_member_find(receiver, name);
    if (found)
        *ret = *found;
    else if (receiver->kind == TEMPLATE_STRUCT)
        return execution_fail(x, "can't evaluate field %.*s in type %s", STR_ARG(name),
                              template_type_name(receiver));
    else if (receiver->type && receiver->type->strings)
        *ret = template_text(STR_EMPTY);
    else
        *ret = (any){ 0 };
    return STATUS_OK;
}

/* `args` is the command's node list behind the name, of a method that is called. */
static status eval_field(execution *x, const any *dot, str name, const node *n, const node *args,
                         const any *final, const any *receiver, any *ret)
{
    if (receiver->kind == TEMPLATE_NIL) {
        *ret = (any){ 0 };
        return STATUS_OK;
    }
    const template_function *method = template_method(receiver, name);
    if (method)
        return execution_call(x, dot, &(execution_callee){ method, n, name, receiver }, args, final,
                              ret);
    if (receiver->kind != TEMPLATE_MAP && receiver->kind != TEMPLATE_STRUCT)
        return execution_fail(x, "can't evaluate field %.*s in type %s", STR_ARG(name),
                              template_type_name(receiver));
    if (args || final) {
        if (receiver->kind == TEMPLATE_MAP)
            return execution_fail(x, "%.*s is not a method but has arguments", STR_ARG(name));
        if (template_member_find(receiver, name))
            return execution_fail(x, "%.*s has arguments but cannot be invoked as function",
                                  STR_ARG(name));
    }
    return eval_member(x, receiver, name, ret);
}

static status eval_fields(execution *x, const any *dot, const node *n, uint32_t from,
                          const node *args, const any *final, const any *receiver, any *ret)
{
    any at = *receiver;
    for (uint32_t i = from; i < n->field_count; i++) {
        bool last = i + 1 == n->field_count;
        status st =
            eval_field(x, dot, n->fields[i], n, last ? args : NULL, last ? final : NULL, &at, ret);
        if (st != STATUS_OK)
            return st;
        at = *ret;
    }
    return STATUS_OK;
}

static status not_a_function(execution *x, const node *first, const node *args, const any *final)
{
    if (!args && !final)
        return STATUS_OK;
    buf text;
    buf_init(&text, KiB(1));
    template_print_node(&text, first);
    status st =
        execution_fail(x, "can't give argument to non-function %.*s", STR_ARG(buf_view(&text)));
    buf_done(&text);
    return st;
}

static status eval_variable(execution *x, const any *dot, const node *n, const node *args,
                            const any *final, any *ret)
{
    x->node = n;
    execution_variable *variable = find_variable(x, n->fields[0]);
    if (!variable)
        return execution_fail(x, "undefined variable: %.*s", STR_ARG(n->fields[0]));
    *ret = variable->value;
    if (n->field_count == 1)
        return not_a_function(x, n, args, final);
    any receiver = *ret;
    return eval_fields(x, dot, n, 1, args, final, &receiver, ret);
}

static status eval_chain(execution *x, const any *dot, const node *n, const node *args,
                         const any *final, any *ret)
{
    x->node = n;
    any receiver = { 0 };
    status st = execution_operand(x, dot, n->operand, &receiver);
    return st != STATUS_OK ? st : eval_fields(x, dot, n, 0, args, final, &receiver, ret);
}

static any constant(const node *n)
{
    if (n->kind == PART_BOOL)
        return template_bool(n->boolean);
    if (n->kind == PART_STRING)
        return template_text(n->text);
    return n->is_fraction ? template_number(n->number) : template_int(n->integer);
}

/* The first word of a command with its arguments, or an argument alone (args and final NULL). */
static status eval_word(execution *x, const any *dot, const node *n, const node *command,
                        const node *args, const any *final, any *ret)
{
    switch (n->kind) {
    case PART_FIELD:
        x->node = n;
        return eval_fields(x, dot, n, 0, args, final, dot, ret);
    case PART_CHAIN:
        return eval_chain(x, dot, n, args, final, ret);
    case PART_VARIABLE:
        return eval_variable(x, dot, n, args, final, ret);
    case PART_IDENTIFIER:
        x->node = n;
        return execution_call(x, dot, &(execution_callee){ n->function, command, n->text, NULL },
                              args, final, ret);
    case PART_PIPE: {
        status st = not_a_function(x, n, args, final);
        return st != STATUS_OK ? st : eval_pipeline(x, dot, n, ret);
    }
    case PART_DOT:
        x->node = n;
        *ret = *dot;
        return not_a_function(x, n, args, final);
    case PART_NIL:
        x->node = n;
        return execution_fail(x, "nil is not a command");
    default:
        x->node = n;
        if (n->kind == PART_NUMBER && !n->is_int && !n->is_fraction)
            return execution_fail(x, "%.*s overflows int", STR_ARG(n->text));
        *ret = constant(n);
        return not_a_function(x, n, args, final);
    }
}

status execution_operand(execution *x, const any *dot, const node *n, any *ret)
{
    return eval_word(x, dot, n, n, NULL, NULL, ret);
}

static status eval_commands(execution *x, const any *dot, const node *pipe, any *ret)
{
    any previous;
    for (const node *c = pipe->children.first; c; c = c->next) {
        const node *first = c->children.first;
        status st = eval_word(x, dot, first, c, first->next,
                              c == pipe->children.first ? NULL : &previous, ret);
        if (st != STATUS_OK)
            return st;
        previous = *ret;
    }
    return STATUS_OK;
}

static status eval_pipeline(execution *x, const any *dot, const node *pipe, any *ret)
{
    *ret = (any){ 0 };
    if (!pipe)
        return STATUS_OK;
    x->node = pipe;
    status st = enter(x);
    if (st != STATUS_OK)
        return st;
    st = eval_commands(x, dot, pipe, ret);
    x->depth--;
    for (const node *v = pipe->variables.first; v && st == STATUS_OK; v = v->next) {
        execution_variable *known = pipe->assigns ? find_variable(x, v->fields[0]) : NULL;
        if (known)
            known->value = *ret;
        else if (pipe->assigns)
            st = execution_fail(x, "undefined variable: %.*s", STR_ARG(v->fields[0]));
        else
            st = push_variable(x, v->fields[0], ret);
    }
    return st;
}

/* ---- walking ---- */

static status walk_list(execution *x, const any *dot, const part_list *list);

static status check_output(execution *x)
{
    if (x->out->failed || x->out->len - x->out_start > x->output_limit)
        return limit_fail(x, "too much output", x->output_limit);
    return STATUS_OK;
}

static status print_action(execution *x, const any *dot, const node *n)
{
    any v;
    status st = eval_pipeline(x, dot, n->pipe, &v);
    if (st != STATUS_OK || n->pipe->variables.count)
        return st;
    x->node = n;
    if (!x->context->html || (v.type && v.type->safe)) {
        template_print(x->out, &v);
        return check_output(x);
    }
    buf text;
    buf_init(&text, x->output_limit);
    template_print(&text, &v);
    bool failed = text.failed;
    template_escape_html(x->out, buf_view(&text), true);
    buf_done(&text);
    return failed ? limit_fail(x, "too much output", x->output_limit) : check_output(x);
}

static status walk_condition(execution *x, const any *dot, const node *n)
{
    size_t mark = x->variable_count;
    any v;
    status st = eval_pipeline(x, dot, n->pipe, &v);
    if (st != STATUS_OK)
        return st;
    if (template_truth(&v))
        st = walk_list(x, n->kind == PART_WITH ? &v : dot, &n->children);
    else if (n->has_else)
        st = walk_list(x, dot, &n->otherwise);
    x->variable_count = mark;
    return st;
}

/* The range's own variables: the last one takes the element, the one before it the index. */
static status set_range_variables(execution *x, const node *pipe, size_t top, const any *index,
                                  const any *item)
{
    const node *first = pipe->variables.first;
    if (!first)
        return STATUS_OK;
    if (!pipe->assigns) {
        x->variables[top - 1].value = *item;
        if (pipe->variables.count > 1)
            x->variables[top - 2].value = *index;
        return STATUS_OK;
    }
    for (const node *v = first; v; v = v->next) {
        execution_variable *known = find_variable(x, v->fields[0]);
        if (!known)
            return execution_fail(x, "undefined variable: %.*s", STR_ARG(v->fields[0]));
        known->value = v->next ? *index : *item;
    }
    return STATUS_OK;
}

static status iterate(execution *x, const node *n, size_t top, const any *index, const any *item)
{
    status st = step(x);
    if (st == STATUS_OK)
        st = set_range_variables(x, n->pipe, top, index, item);
    if (st == STATUS_OK)
        st = walk_list(x, item, &n->children);
    x->variable_count = top;
    return st;
}

/* How often the range goes round; SIZE_MAX: it cannot. */
static size_t range_count(const any *over)
{
    switch (over->kind) {
    case TEMPLATE_NIL:
        return 0;
    case TEMPLATE_INT:
        return over->integer > 0 ? (size_t)over->integer : 0;
    case TEMPLATE_LIST:
        return over->list.count;
    case TEMPLATE_MAP:
        return over->map.count;
    default:
        return SIZE_MAX;
    }
}

static status range_fail(execution *x, const char *what, const any *over, const char *how)
{
    buf text;
    buf_init(&text, KiB(1));
    template_print(&text, over);
    status st = execution_fail(x, "%s %.*s%s", what, STR_ARG(buf_view(&text)), how);
    buf_done(&text);
    return st;
}

static status walk_items(execution *x, const node *n, const any *over, size_t count)
{
    const template_member *members = NULL;
    if (over->kind == TEMPLATE_MAP) {
        members = template_sorted(x->memory, over);
        if (!members)
            return no_memory(x);
    }
    size_t top = x->variable_count;
    status st = STATUS_OK;
    for (size_t i = 0; i < count && st == STATUS_OK && x->jump != JUMP_BREAK; i++) {
        any index = template_int((int64_t)i);
        any item = index;
        if (members) {
            index = template_text(members[i].name);
            item = members[i].value;
        } else if (over->kind == TEMPLATE_LIST) {
            item = over->list.items[i];
        }
        x->jump = JUMP_NONE;
        st = iterate(x, n, top, &index, &item);
    }
    x->jump = JUMP_NONE;
    return st;
}

static status walk_range(execution *x, const any *dot, const node *n)
{
    size_t mark = x->variable_count;
    any over;
    status st = eval_pipeline(x, dot, n->pipe, &over);
    if (st != STATUS_OK)
        return st;
    size_t count = range_count(&over);
    if (count == SIZE_MAX)
        return range_fail(x, "range can't iterate over", &over, "");
    if (over.kind == TEMPLATE_INT && n->pipe->variables.count > 1)
        return range_fail(x, "can't use", &over, " to iterate over more than one variable");
    if (count)
        st = walk_items(x, n, &over, count);
    else if (n->has_else)
        st = walk_list(x, dot, &n->otherwise);
    x->variable_count = mark;
    return st;
}

/* Another template of the set, with `dot` as its data and variables of its own. */
static status run_entry(execution *x, const template_entry *entry, const any *dot)
{
    str name = x->name;
    size_t base = x->variable_base, count = x->variable_count;
    x->name = entry->name;
    x->variable_base = count;
    status st = push_variable(x, STR("$"), dot);
    if (st == STATUS_OK)
        st = walk_list(x, dot, &entry->root->children);
    x->variable_count = count;
    x->variable_base = base;
    if (st == STATUS_OK)
        x->name = name;
    return st;
}

static status walk_template(execution *x, const any *dot, const node *n)
{
    const template_entry *entry = template_find(x->set, n->text);
    if (!entry)
        return execution_fail(x, "template \"%.*s\" not defined", (int)MIN(n->text.len, 200),
                              n->text.ptr);
    any data;
    status st = eval_pipeline(x, dot, n->pipe, &data);
    if (st != STATUS_OK)
        return st;
    x->node = n;
    return run_entry(x, entry, &data);
}

static status walk_node(execution *x, const any *dot, const node *n)
{
    x->node = n;
    status st = step(x);
    if (st != STATUS_OK)
        return st;
    switch (n->kind) {
    case PART_TEXT:
        buf_str(x->out, n->text);
        return check_output(x);
    case PART_ACTION:
        return print_action(x, dot, n);
    case PART_IF:
    case PART_WITH:
        return walk_condition(x, dot, n);
    case PART_RANGE:
        return walk_range(x, dot, n);
    case PART_TEMPLATE:
        return walk_template(x, dot, n);
    default: /* break and continue */
        x->jump = n->kind == PART_BREAK ? JUMP_BREAK : JUMP_CONTINUE;
        return STATUS_OK;
    }
}

static status walk_list(execution *x, const any *dot, const part_list *list)
{
    status st = enter(x);
    if (st != STATUS_OK)
        return st;
    for (const node *n = list->first; n && st == STATUS_OK && x->jump == JUMP_NONE; n = n->next)
        st = walk_node(x, dot, n);
    x->depth--;
    return st;
}

/* ---- entry ---- */

status template_execute(const template_set *set, str name, const any *data,
                        const template_context *context, arena *a, buf *out, error *err)
{
    const template_entry *entry = template_find(set, name);
    if (!entry)
        return fail(err, STATUS_INVALID, "template: \"%.*s\" is not defined",
                    (int)MIN(name.len, 200), name.ptr);
    execution x = { .set = set,
                    .context = context,
                    .memory = a,
                    .out = out,
                    .out_start = out->len,
                    .output_limit = context->output_limit ? context->output_limit : MiB(1),
                    .step_limit = context->step_limit ? context->step_limit : 1000000,
                    .name = entry->name,
                    .err = err };
    x.steps_left = x.step_limit;
    size_t start = out->len;
    status st = run_entry(&x, entry, data);
    if (st != STATUS_OK)
        out->len = start;
    return st;
}
