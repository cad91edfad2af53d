// SPDX-License-Identifier: Apache-2.0
/* Calls from templates: arguments are counted and checked against the function's parameters as Go's
 * types would be, then the function runs. */
#include "rules/template_execute.h"

#define ARGUMENT_LIMIT 1000

typedef template_node node;
typedef template_value any;

static const struct {
    char letter;
    const char *name;
    bool nil; /* takes nil */
} parameter_types[] = {
    { 'a', "interface {}", true },     { 's', "string", false },
    { 'l', "[]string", true },         { 'q', "template.queryResult", true },
    { 'p', "*template.sample", true }, { 't', "time.Time", false },
    { 'd', "time.Duration", false },   { 'i', "int", false },
};

static size_t parameter_type(char letter)
{
    size_t i = 0;
    while (i + 1 < ARRAY_LEN(parameter_types) && parameter_types[i].letter != letter)
        i++;
    return i;
}

static bool fits(const any *v, char letter)
{
    switch (letter) {
    case 's':
        return v->kind == TEMPLATE_STRING && !v->type;
    case 'l':
        return v->kind == TEMPLATE_LIST && (!v->type || v->type == &template_type_strings);
    case 'q':
        return v->kind == TEMPLATE_LIST && v->type == &template_type_samples;
    case 'p':
        return v->kind == TEMPLATE_STRUCT && v->type == &template_type_sample;
    case 't':
        return v->kind == TEMPLATE_TIME;
    case 'd':
        return v->kind == TEMPLATE_DURATION;
    case 'i':
        return v->kind == TEMPLATE_INT;
    default:
        return true;
    }
}

static status check_type(execution *x, const any *v, char letter)
{
    size_t type = parameter_type(letter);
    if (fits(v, letter) || (v->kind == TEMPLATE_NIL && parameter_types[type].nil))
        return STATUS_OK;
    if (v->kind == TEMPLATE_NIL)
        return execution_fail(x, "invalid value; expected %s", parameter_types[type].name);
    return execution_fail(x, "wrong type for value; expected %s; got %s",
                          parameter_types[type].name, template_type_name(v));
}

static status literal_fail(execution *x, const node *n, char letter)
{
    size_t type = parameter_type(letter);
    buf text;
    buf_init(&text, 1024);
    template_print_node(&text, n);
    str part = buf_view(&text);
    part = str_slice(part, 0, 120);
    status st;
    if (letter == 's' || letter == 'i' || letter == 'd')
        st = execution_fail(x, "expected %s; found %.*s", letter == 's' ? "string" : "integer",
                            STR_ARG(part));
    else
        st = execution_fail(x, "can't handle %.*s for arg of type %s", STR_ARG(part),
                            parameter_types[type].name);
    buf_done(&text);
    return st;
}

static bool literal_fits(const node *n, char letter)
{
    if (letter == 's')
        return n->kind == PART_STRING;
    if (letter == 'i' || letter == 'd')
        return n->kind == PART_NUMBER && n->is_int;
    return letter == 'a';
}

static status eval_argument(execution *x, const any *dot, const node *n, char letter, any *ret)
{
    x->node = n;
    if (n->kind == PART_NIL) {
        *ret = (any){ 0 };
        if (parameter_types[parameter_type(letter)].nil)
            return STATUS_OK;
        return execution_fail(x, "cannot assign nil to %s",
                              parameter_types[parameter_type(letter)].name);
    }
    bool literal = n->kind == PART_STRING || n->kind == PART_NUMBER || n->kind == PART_BOOL;
    if (literal && !literal_fits(n, letter))
        return literal_fail(x, n, letter);
    status st = execution_operand(x, dot, n, ret);
    if (st != STATUS_OK)
        return st;
    if (literal && letter == 'd')
        *ret = (any){ .kind = TEMPLATE_DURATION, .integer = n->integer };
    return literal ? STATUS_OK : check_type(x, ret, letter);
}

/* The letter of the parameter that takes argument `i`. */
static char parameter(const char *params, size_t i)
{
    size_t n = strlen(params);
    bool variadic = n && params[n - 1] == '.';
    size_t fixed = n - (variadic ? 2 : 0);
    return i < fixed ? params[i] : params[n - (variadic ? 2 : 1)];
}

static status check_count(execution *x, const execution_callee *callee, size_t given)
{
    const char *params = callee->function->params;
    size_t n = strlen(params);
    bool variadic = n && params[n - 1] == '.';
    size_t fixed = n - (variadic ? 2 : 0);
    if (variadic && given < fixed)
        return execution_fail(x, "wrong number of args for %.*s: want at least %zu got %zu",
                              STR_ARG(callee->name), fixed, given);
    if (!variadic && given != n)
        return execution_fail(x, "wrong number of args for %.*s: want %zu got %zu",
                              STR_ARG(callee->name), n, given);
    if (given > ARGUMENT_LIMIT)
        return execution_fail(x, "%zu args for %.*s, the limit is %d", given, STR_ARG(callee->name),
                              ARGUMENT_LIMIT);
    return STATUS_OK;
}

/* `and` and `or` evaluate no argument behind the one that decides. */
static status call_logic(execution *x, const any *dot, bool is_or, const node *args,
                         const any *final, any *ret)
{
    for (const node *n = args; n; n = n->next) {
        status st = eval_argument(x, dot, n, 'a', ret);
        if (st != STATUS_OK || template_truth(ret) == is_or)
            return st;
    }
    if (final)
        *ret = *final;
    return STATUS_OK;
}

static status run(execution *x, const execution_callee *callee, const any *args, size_t count,
                  any *ret)
{
    error problem = { 0 };
    template_call call = { .x = x,
                           .memory = x->memory,
                           .context = x->context,
                           .args = args,
                           .count = count,
                           .ret = ret,
                           .err = &problem };
    *ret = (any){ 0 };
    status st = callee->function->run(&call);
    if (st == STATUS_OK)
        return st;
    if (st != STATUS_INVALID) {
        if (x->err)
            *x->err = problem;
        return st;
    }
    x->node = callee->at;
    return execution_fail(x, "error calling %.*s: %s", STR_ARG(callee->name), problem.message);
}

status execution_call(execution *x, const any *dot, const execution_callee *callee,
                      const node *args, const any *final, any *ret)
{
    size_t count = final != NULL;
    for (const node *n = args; n; n = n->next)
        count++;
    status st = check_count(x, callee, count);
    if (st != STATUS_OK)
        return st;
    bool is_or = str_is(callee->name, "or");
    if (!callee->receiver && (is_or || str_is(callee->name, "and")))
        return call_logic(x, dot, is_or, args, final, ret);
    any *values = ARENA_ARRAY(x->memory, any, count + 1);
    if (!values)
        return fail(x->err, STATUS_LIMIT, "template: %.*s: no memory", STR_ARG(x->name));
    size_t filled = 0;
    if (callee->receiver)
        values[filled++] = *callee->receiver;
    const char *params = callee->function->params;
    size_t index = 0;
    for (const node *n = args; n && st == STATUS_OK; n = n->next)
        st = eval_argument(x, dot, n, parameter(params, index++), &values[filled++]);
    if (final && st == STATUS_OK) {
        values[filled++] = *final;
        st = check_type(x, final, parameter(params, index));
    }
    return st == STATUS_OK ? run(x, callee, values, filled, ret) : st;
}
