// SPDX-License-Identifier: Apache-2.0
/* What the files of the template engine share: tokens, nodes, functions, the state of an execution,
 * and printing as Go's fmt does. */
#ifndef SONDE_RULES_TEMPLATE_INTERNAL_H
#define SONDE_RULES_TEMPLATE_INTERNAL_H

#include "rules/template.h"

/* ---- tokens ---- */

typedef enum {
    TOKEN_ERROR,
    TOKEN_EOF,
    TOKEN_TEXT,
    TOKEN_LEFT,  /* {{ */
    TOKEN_RIGHT, /* }} */
    TOKEN_SPACE,
    TOKEN_ASSIGN,
    TOKEN_DECLARE,
    TOKEN_PIPE,
    TOKEN_OPEN,
    TOKEN_CLOSE,
    TOKEN_STRING,
    TOKEN_RAW_STRING,
    TOKEN_CHARACTER,
    TOKEN_NUMBER,
    TOKEN_COMPLEX,
    TOKEN_BOOL,
    TOKEN_FIELD,
    TOKEN_VARIABLE,
    TOKEN_IDENTIFIER,
    TOKEN_OTHER,   /* any other printable character */
    TOKEN_KEYWORD, /* those after it are keywords */
    TOKEN_BLOCK,
    TOKEN_BREAK,
    TOKEN_CONTINUE,
    TOKEN_DOT,
    TOKEN_DEFINE,
    TOKEN_ELSE,
    TOKEN_END,
    TOKEN_IF,
    TOKEN_NIL,
    TOKEN_RANGE,
    TOKEN_TEMPLATE,
    TOKEN_WITH
} token_kind;

typedef struct {
    token_kind kind;
    uint32_t offset, line;
    str text; /* TOKEN_ERROR: what is wrong */
} token;

typedef struct {
    token *items; /* the last one is TOKEN_EOF or TOKEN_ERROR */
    uint32_t count, capacity;
} token_list;

/* False without memory. */
MUST_USE bool template_lex(arena *a, str text, token_list *ret);

/* ---- nodes ---- */

typedef enum {
    PART_TEXT,
    PART_ACTION,
    PART_IF,
    PART_WITH,
    PART_RANGE,
    PART_TEMPLATE,
    PART_BREAK,
    PART_CONTINUE,
    PART_PIPE,
    PART_COMMAND,
    PART_IDENTIFIER,
    PART_FIELD,
    PART_CHAIN,
    PART_VARIABLE,
    PART_DOT,
    PART_NIL,
    PART_BOOL,
    PART_NUMBER,
    PART_STRING
} part_kind;

typedef struct {
    str name, text; /* for positions in errors */
} template_source;

typedef struct template_function template_function;
typedef struct template_node template_node;

typedef struct {
    template_node *first, **last;
    uint32_t count;
} part_list;

struct template_node {
    part_kind kind;
    uint32_t offset;
    const template_source *source;
    template_node *next;
    str text;          /* text; name of a function or template; string's value; number as written */
    str written;       /* a string as written */
    const str *fields; /* of a field, variable (its name first), chain */
    uint32_t field_count;
    const template_function *function;
    template_node *operand; /* of a chain */
    template_node *pipe;    /* of an action, if, with, range, template; may be NULL */
    part_list children;     /* commands of a pipe, arguments of a command, body */
    part_list otherwise;    /* else */
    bool has_else;
    part_list variables; /* declared or assigned by a pipe */
    bool assigns;
    bool is_int, is_float, is_fraction; /* of a number: what it can be; written as a fraction */
    bool boolean;
    int64_t integer;
    double number;
};

typedef struct {
    str name;
    template_node *root; /* a PART_PIPE that only holds children */
} template_entry;

struct template_set {
    arena *memory;
    const template_set *base;
    template_dialect dialect;
    template_entry *entries;
    uint32_t count, capacity;
    str alert; /* of template_parse_alert: the text's own name */
};

const template_entry *template_find(const template_set *set, str name);
/* Only of the set itself. */
template_entry *template_find_own(const template_set *set, str name);
/* The node as Go prints it in errors. */
void template_print_node(buf *out, const template_node *node);

/* A number or character token as a PART_NUMBER; NULL when good, else what is wrong: the token
 * follows one that ends in a space or a quote. */
const char *template_read_number(arena *a, const token *t, template_node *ret);

/* ---- functions ---- */

typedef struct execution execution;

typedef struct {
    execution *x;
    arena *memory;
    const template_context *context;
    const template_value *args; /* of a method: the receiver first */
    size_t count;
    template_value *ret;
    error *err;
} template_call;

/* params, one letter for each: s string, a anything, l list of strings, q query result, p sample,
 * t time, d duration, i int; "." at the end: the last one any number of times. */
struct template_function {
    const char *name, *params;
    status (*run)(template_call *call);
    const char *usage, *text; /* of the reference */
};

typedef struct {
    const template_function *items;
    size_t count;
    const char *title, *text;
    bool prometheus, alertmanager;
} template_function_table;

extern const template_function_table template_go_functions, template_common_functions,
    template_text_functions, template_number_functions, template_prometheus_functions,
    template_alertmanager_functions;

enum { TEMPLATE_TABLES = 6 };
extern const template_function_table *const template_tables[TEMPLATE_TABLES];

const template_function *template_function_find(template_dialect dialect, str name);

struct template_type {
    const char *name;
    const template_function *methods;
    size_t method_count;
    const struct template_type *item; /* of each item of a list */
    bool strings;                     /* a map of strings: the absent is empty */
    bool safe;                        /* not escaped in HTML */
};

extern const template_type template_type_strings, template_type_any_map, template_type_html,
    template_type_samples, template_type_sample, template_type_time_pointer,
    template_type_duration_pointer, template_type_rule, template_type_alert_list,
    template_type_pair, template_type_pairs, template_type_time, template_type_duration;

/* The methods of a value, its own or those of its kind; NULL when it has none such. */
const template_function *template_method(const template_value *v, str name);

status template_run_title_lower(template_call *call);

/* A histogram as a value: its text. False without memory. */
MUST_USE bool template_histogram(arena *a, const histogram *h, template_value *ret);

/* ---- values ---- */

const char *template_type_name(const template_value *v);
bool template_truth(const template_value *v);
/* NULL when absent. */
const template_value *template_member_find(const template_value *map, str name);
/* The members by key, a copy in `a`; NULL without memory. */
const template_member *template_sorted(arena *a, const template_value *map);
MUST_USE bool template_string_list(arena *a, const str *items, size_t count, template_value *ret);

static inline template_value template_bool(bool boolean)
{
    return (template_value){ .kind = TEMPLATE_BOOL, .boolean = boolean };
}

static inline template_value template_int(int64_t integer)
{
    return (template_value){ .kind = TEMPLATE_INT, .integer = integer };
}

static inline template_value template_typed_text(str text, const template_type *type)
{
    return (template_value){ .kind = TEMPLATE_STRING, .type = type, .text = text };
}

/* As fmt.Print prints it. */
void template_print(buf *out, const template_value *v);
/* As inside of another value: nil is "<nil>". */
void template_print_inner(buf *out, const template_value *v);
/* As fmt.Sprint and fmt.Sprintf. */
void template_print_all(buf *out, const template_value *args, size_t count);
void template_printf(buf *out, str format, const template_value *args, size_t count);
/* strconv's AppendFloat: verb e, f, g (or upper case); precision -1: the shortest. */
void template_format_float(buf *out, double v, char verb, int precision);

struct tm;
/* The time in its own zone. */
void template_civil_time(const template_value *t, struct tm *ret);
void template_print_time(buf *out, const template_value *t);
/* Go's layouts ("2006-01-02 15:04"). */
void template_format_time(buf *out, const template_value *t, str layout);
void template_print_duration(buf *out, int64_t ns);
/* Sets offset_s and zone from the system's time zone files; false when there is no such zone. */
MUST_USE bool template_set_zone(template_value *t, str name);

void template_escape_html(buf *out, str s, bool of_html_package);
void template_escape_query(buf *out, str s);

/* The buffer's text in the call's arena as the result; frees the buffer. */
status template_return_buf(template_call *call, buf *b, const template_type *type);
void template_buf(template_call *call, buf *b);

#endif
