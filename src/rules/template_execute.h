// SPDX-License-Identifier: Apache-2.0
/* The state of an execution, and calls of functions and methods in it. Lives on the stack of
 * template_execute; one thread. */
#ifndef SONDE_RULES_TEMPLATE_EXECUTE_H
#define SONDE_RULES_TEMPLATE_EXECUTE_H

#include "rules/template_internal.h"

#include <inttypes.h>

typedef struct {
    str name;
    template_value value;
} execution_variable;

struct execution {
    const template_set *set;
    const template_context *context;
    arena *memory;
    buf *out;
    size_t out_start, output_limit;
    uint64_t step_limit, steps_left;
    uint32_t depth;
    str name;                  /* of the template that runs */
    const template_node *node; /* where it stands, for errors */
    execution_variable *variables;
    size_t variable_count, variable_capacity, variable_base;
    enum { JUMP_NONE, JUMP_BREAK, JUMP_CONTINUE } jump; /* on the way to the innermost range */
    error *err;
};

/* Always STATUS_INVALID: "template: NAME:1:2: executing "NAME" at <PART>: …". */
status execution_fail(execution *x, const char *format, ...) PRINTF_LIKE(2, 3);

/* An argument or the operand of a chain, where nothing is given to it. */
status execution_operand(execution *x, const template_value *dot, const template_node *n,
                         template_value *ret);

typedef struct {
    const template_function *function;
    const template_node *at; /* of errors */
    str name;
    const template_value *receiver; /* of a method */
} execution_callee;

/* `args`: the first argument's node, its siblings follow; `final`: what the pipeline gives as the
 * last one, or NULL. */
status execution_call(execution *x, const template_value *dot, const execution_callee *callee,
                      const template_node *args, const template_value *final, template_value *ret);

#endif
