// SPDX-License-Identifier: Apache-2.0
/* Sets of named templates, the functions that they may call, and how the parts of a template are
 * written in errors. */
#include "rules/template_internal.h"

template_set *template_set_new(arena *a, template_dialect dialect)
{
    template_set *set = ARENA_NEW(a, template_set);
    if (set) {
        set->memory = a;
        set->dialect = dialect;
    }
    return set;
}

template_set *template_set_extend(const template_set *base, arena *a)
{
    template_set *set = template_set_new(a, base->dialect);
    if (set)
        set->base = base;
    return set;
}

template_entry *template_find_own(const template_set *set, str name)
{
    for (uint32_t i = 0; i < set->count; i++)
        if (str_eq(set->entries[i].name, name))
            return &set->entries[i];
    return NULL;
}

const template_entry *template_find(const template_set *set, str name)
{
    const template_entry *found = NULL;
    for (; set && !found; set = set->base)
        found = template_find_own(set, name);
    return found;
}

bool template_has(const template_set *set, str name)
{
    return template_find(set, name) != NULL;
}

const template_function_table *const template_tables[TEMPLATE_TABLES] = {
    &template_go_functions,     &template_common_functions,     &template_text_functions,
    &template_number_functions, &template_prometheus_functions, &template_alertmanager_functions,
};

const template_function *template_function_find(template_dialect dialect, str name)
{
    for (size_t i = TEMPLATE_TABLES; i-- > 0;) {
        const template_function_table *t = template_tables[i];
        if (!(dialect == TEMPLATE_PROMETHEUS ? t->prometheus : t->alertmanager))
            continue;
        for (size_t k = 0; k < t->count; k++)
            if (str_is(name, t->items[k].name))
                return &t->items[k];
    }
    return NULL;
}

/* ---- parts as text ---- */

static void print_list(buf *out, const part_list *list, str between)
{
    for (const template_node *n = list->first; n; n = n->next) {
        template_print_node(out, n);
        if (n->next)
            buf_str(out, between);
    }
}

static void print_pipe(buf *out, const template_node *pipe)
{
    print_list(out, &pipe->variables, STR(", "));
    if (pipe->variables.count)
        buf_str(out, pipe->assigns ? STR(" = ") : STR(" := "));
    print_list(out, &pipe->children, STR(" | "));
}

static void print_nested(buf *out, const template_node *n)
{
    bool pipe = n->kind == PART_PIPE;
    if (pipe)
        buf_char(out, '(');
    template_print_node(out, n);
    if (pipe)
        buf_char(out, ')');
}

static void print_fields(buf *out, const template_node *n)
{
    for (uint32_t i = 0; i < n->field_count; i++) {
        if (i || n->kind != PART_VARIABLE)
            buf_char(out, '.');
        buf_str(out, n->fields[i]);
    }
}

static void print_control(buf *out, const template_node *n)
{
    static const char *const words[] = {
        [PART_IF] = "if", [PART_WITH] = "with", [PART_RANGE] = "range"
    };
    buf_fmt(out, "{{%s ", words[n->kind]);
    print_pipe(out, n->pipe);
    buf_lit(out, "}}");
    print_list(out, &n->children, STR_EMPTY);
    if (n->has_else)
        buf_lit(out, "{{else}}");
    print_list(out, &n->otherwise, STR_EMPTY);
    buf_lit(out, "{{end}}");
}

static void print_call(buf *out, const template_node *n)
{
    buf_lit(out, "{{template ");
    print_quoted(out, n->text);
    if (n->pipe) {
        buf_char(out, ' ');
        print_pipe(out, n->pipe);
    }
    buf_lit(out, "}}");
}

void template_print_node(buf *out, const template_node *n)
{
    switch (n->kind) {
    case PART_ACTION:
        buf_lit(out, "{{");
        print_pipe(out, n->pipe);
        buf_lit(out, "}}");
        break;
    case PART_IF:
    case PART_WITH:
    case PART_RANGE:
        print_control(out, n);
        break;
    case PART_TEMPLATE:
        print_call(out, n);
        break;
    case PART_PIPE:
        print_pipe(out, n);
        break;
    case PART_COMMAND:
        for (const template_node *c = n->children.first; c; c = c->next) {
            print_nested(out, c);
            if (c->next)
                buf_char(out, ' ');
        }
        break;
    case PART_CHAIN:
        print_nested(out, n->operand);
        print_fields(out, n);
        break;
    case PART_FIELD:
    case PART_VARIABLE:
        print_fields(out, n);
        break;
    case PART_STRING:
        buf_str(out, n->written);
        break;
    case PART_BREAK:
    case PART_CONTINUE:
        buf_str(out, n->kind == PART_BREAK ? STR("{{break}}") : STR("{{continue}}"));
        break;
    case PART_DOT:
    case PART_NIL:
        buf_str(out, n->kind == PART_DOT ? STR(".") : STR("nil"));
        break;
    case PART_BOOL:
        buf_str(out, n->boolean ? STR("true") : STR("false"));
        break;
    case PART_TEXT:
    case PART_NUMBER:
    case PART_IDENTIFIER:
        buf_str(out, n->text);
        break;
    }
}
