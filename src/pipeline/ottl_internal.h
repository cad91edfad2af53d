// SPDX-License-Identifier: Apache-2.0
/* What the files of OTTL share: tokens, the parsed tree, values, and the tables of paths and
 * functions. Included by ottl_*.c only. */
#ifndef SONDE_PIPELINE_OTTL_INTERNAL_H
#define SONDE_PIPELINE_OTTL_INTERNAL_H

#include "pipeline/ottl.h"
#include "pipeline/pattern.h"

enum {
    OTTL_TEXT_LIMIT = 16 * 1024, /* bytes of a condition */
    OTTL_DEPTH_LIMIT = 64,
    OTTL_ARGS = 3,
    OTTL_INDEXES = 8,
    OTTL_LIST_LIMIT = 1024
};

/* ---- tokens ---- */

typedef enum {
    TOKEN_END,
    TOKEN_NAME,
    TOKEN_STRING,
    TOKEN_INT,
    TOKEN_FLOAT,
    TOKEN_BYTES,
    TOKEN_OPERATOR, /* one or two characters, in `text` */
} ottl_token_type;

typedef struct {
    ottl_token_type type;
    uint32_t at; /* byte offset */
    str text;    /* as written; of strings and bytes what they mean */
    value number;
} ottl_token;

typedef struct {
    str text;
    size_t at;
    arena *memory;
    ottl_token token; /* the newest */
} ottl_lexer;

MUST_USE status ottl_next(ottl_lexer *l, error *err);
/* "column N: …", always STATUS_INVALID. */
status ottl_fail(error *err, uint32_t at, const char *format, ...) PRINTF_LIKE(3, 4);

/* ---- values ---- */

/* A time (ns since 1970) and a duration (ns) are VALUE_I64 with a unit. nil is VALUE_EMPTY. */
typedef enum { UNIT_NONE, UNIT_TIME, UNIT_DURATION } ottl_unit;

typedef struct {
    value v;
    ottl_unit unit;
} ottl_value;

const char *ottl_value_kind(const ottl_value *v); /* "string", "time", … */

/* ---- the tree ---- */

typedef enum {
    NODE_LITERAL,
    NODE_LIST,
    NODE_PATH,
    NODE_INDEX, /* items[0] by the others */
    NODE_CALL,
    NODE_NOT,
    NODE_AND,
    NODE_OR,
    NODE_COMPARE,
    NODE_ARITHMETIC,
    NODE_NEGATE
} ottl_node_type;

typedef enum { OP_EQ, OP_NE, OP_LT, OP_LE, OP_GT, OP_GE, OP_ADD, OP_SUB, OP_MUL, OP_DIV } ottl_op;

typedef struct ottl_node ottl_node;
typedef struct ottl_function ottl_function;
typedef struct ottl_path ottl_path;

struct ottl_node {
    ottl_node_type type;
    ottl_op op;
    uint32_t at;
    ottl_value literal;
    const ottl_path *path;
    const ottl_function *function;
    pattern *pattern;  /* of a call whose second argument is a pattern */
    ottl_node **items; /* operands, arguments, elements, what is indexed and its indexes */
    uint32_t item_count;
};

/* ---- evaluation ---- */

typedef struct {
    const ottl_row *row;
    arena *memory;
    error *err;
} ottl_run;

MUST_USE status ottl_eval(const ottl_run *run, const ottl_node *n, ottl_value *ret);
bool ottl_equal(const ottl_value *a, const ottl_value *b);
/* Three-way comparison; false when these two have no order. */
bool ottl_order(const ottl_value *a, const ottl_value *b, int *ret);

/* The resolved path of `names` (dot-separated, as written) in a context; NULL when there is none.
 */
const ottl_path *ottl_path_find(ottl_context c, str names);
/* A near one for messages, or "". */
const char *ottl_path_nearest(ottl_context c, str names);
MUST_USE status ottl_path_get(const ottl_run *run, const ottl_path *p, ottl_value *ret);
/* Whether ["k"] may stand behind it. */
bool ottl_path_indexable(const ottl_path *p);
bool ottl_path_is_trace_state(const ottl_path *p);

typedef status ottl_call(const ottl_run *run, const ottl_node *n, const ottl_value *args,
                         ottl_value *ret);

struct ottl_function {
    const char *name;
    uint8_t min, max;  /* arguments */
    bool pattern;      /* the second is a literal pattern */
    unsigned contexts; /* bits 1 << ottl_context; 0: all */
    uint8_t bytes;     /* the argument is a literal of that many bytes; 0: anything */
    ottl_call *call;
    const char *help;
};

const ottl_function *ottl_function_find(str name);
const char *ottl_function_nearest(str name);

/* Number of changed, added and removed letters between two names, up to 99. */
unsigned ottl_distance(str a, str b);

#endif
