// SPDX-License-Identifier: Apache-2.0
/* The typed syntax tree of PromQL. Built by promql_parse in an arena, immutable afterwards;
 * positions are byte offsets into the query, so that every error can point at its cause. */
#ifndef SONDE_QUERY_PROMQL_AST_H
#define SONDE_QUERY_PROMQL_AST_H

#include "base/buf.h"
#include "store/store.h"

typedef enum {
    PROMQL_NONE,
    PROMQL_SCALAR,
    PROMQL_VECTOR,
    PROMQL_MATRIX,
    PROMQL_STRING
} promql_type;

const char *promql_type_name(promql_type t); /* "instant vector", … */

typedef enum {
    NODE_NUMBER,
    NODE_STRING,
    NODE_VECTOR, /* instant vector selector */
    NODE_MATRIX, /* range vector selector */
    NODE_SUBQUERY,
    NODE_UNARY,
    NODE_BINARY,
    NODE_PAREN,
    NODE_CALL,
    NODE_AGGREGATE,
    NODE_EXTERNAL /* a leaf of another language that computes the same kind of rows (LogQL) */
} promql_kind;

typedef enum {
    OP_NONE,
    OP_ADD,
    OP_SUB,
    OP_MUL,
    OP_DIV,
    OP_MOD,
    OP_POW,
    OP_ATAN2,
    OP_EQ,
    OP_NE,
    OP_GT,
    OP_LT,
    OP_GE,
    OP_LE,
    OP_TRIM_UPPER, /* </ keeps what of a histogram is below */
    OP_TRIM_LOWER, /* >/ keeps what of a histogram is above */
    OP_AND,
    OP_OR,
    OP_UNLESS,
    OP_COUNT
} promql_op;

/* One row per operator: what the parser, the evaluator and the printer know of it. */
typedef struct {
    const char *text;
    uint8_t precedence; /* higher binds tighter */
    bool right;         /* right associative */
    bool comparison;
    bool set;
    const char *help;
} promql_operator;
extern const promql_operator promql_operators[OP_COUNT];

typedef enum { AT_NONE, AT_TIME, AT_START, AT_END } promql_at;

typedef enum {
    DURATION_LITERAL,
    DURATION_STEP,  /* step(): the query's step, 0 s of an instant query */
    DURATION_RANGE, /* range(): from the query's start to its end */
    DURATION_MIN_OF,
    DURATION_MAX_OF,
    DURATION_PLUS, /* of right alone */
    DURATION_MINUS,
    DURATION_ADD,
    DURATION_SUB,
    DURATION_MUL,
    DURATION_DIV,
    DURATION_MOD,
    DURATION_POW
} promql_duration_kind;

/* A duration that is computed: [5m * 2], offset (step() + 1s). promql_bind makes a number of it,
 * so the evaluator never sees one. */
typedef struct promql_duration {
    promql_duration_kind kind;
    bool parens;      /* was written in parentheses */
    bool is_duration; /* DURATION_LITERAL was written as 1h30m */
    uint32_t start, end;
    uint32_t height;
    double number; /* DURATION_LITERAL: seconds */
    const struct promql_duration *left, *right;
} promql_duration;

/* offset and @ of a selector or subquery. */
typedef struct {
    const promql_duration *offset; /* NULL: offset_ms counts */
    int64_t offset_ms;
    promql_at at;
    int64_t at_ms;
} promql_shift;

typedef struct promql_node promql_node;
typedef struct promql_function promql_function;
typedef struct promql_aggregation promql_aggregation;

typedef struct {
    str name;          /* as written before the braces; empty when there is none */
    matcher *matchers; /* "__name__" included; that of `name` is the last */
    uint32_t matcher_count;
    bool takes_all; /* every matcher accepts an absent label: only info() may take it */
    const promql_duration *range; /* NODE_MATRIX; NULL: range_ms counts */
    int64_t range_ms;
    promql_shift shift;
    bool anchored, smoothed;
} promql_selector;

typedef struct {
    promql_node *inner;
    const promql_duration *range, *step; /* NULL: range_ms, step_ms count */
    int64_t range_ms;
    int64_t step_ms; /* 0: the default evaluation interval */
    promql_shift shift;
} promql_subquery;

typedef enum { MATCH_ONE_TO_ONE, MATCH_MANY_TO_ONE, MATCH_ONE_TO_MANY } promql_cardinality;

typedef struct {
    promql_op op;
    promql_node *left, *right;
    bool returns_bool;
    bool on;     /* on(…), else ignoring(…) */
    bool stated; /* on or ignoring was written */
    str *names;
    uint32_t name_count;
    promql_cardinality cardinality;
    str *include; /* labels of group_left, group_right */
    uint32_t include_count;
    /* fill(…): the value of a side that has no series where the other has one. */
    bool has_fill_left, has_fill_right;
    double fill_left, fill_right;
} promql_binary;

typedef struct {
    const promql_function *function;
    promql_node **args;
    uint32_t arg_count;
} promql_call;

typedef struct {
    const promql_aggregation *aggregation;
    promql_node *param; /* topk, quantile, count_values …; else NULL */
    promql_node *inner;
    bool without;
    str *names;
    uint32_t name_count;
} promql_aggregate;

struct promql_engine;
struct promql_grid;
struct promql_window;
struct promql_value;
struct promql_cell;

/* What --enable-feature switches on, by Prometheus's names (promql_feature_find). Duration
 * expressions and extended range selectors are always on; their names are still taken. */
enum {
    PROMQL_EXPERIMENTAL_FUNCTIONS = 1 << 0,   /* promql-experimental-functions */
    PROMQL_DURATION_EXPR = 1 << 1,            /* promql-duration-expr */
    PROMQL_DELAYED_NAME_REMOVAL = 1 << 2,     /* promql-delayed-name-removal */
    PROMQL_EXTENDED_RANGE_SELECTORS = 1 << 3, /* promql-extended-range-selectors */
    PROMQL_BINOP_FILL_MODIFIERS = 1 << 4,     /* promql-binop-fill-modifiers */
    PROMQL_PER_STEP_STATS = 1 << 5,           /* promql-per-step-stats */
    PROMQL_UNQUOTED_UTF8_NAMES = 1 << 6       /* promql-unquoted-utf8-names */
};
/* 0: no such name. */
uint32_t promql_feature_find(str name);

typedef struct {
    status (*eval)(struct promql_engine *e, const struct promql_grid *g,
                   const struct promql_node *n, struct promql_value *ret);
    void *user;
} promql_external;

struct promql_node {
    promql_kind kind;
    promql_type type;
    uint32_t start, end; /* byte offsets in the query */
    uint32_t height;     /* 0 for a leaf; at most PROMQL_HEIGHT_LIMIT, so that recursion is safe */
    union {
        struct {
            double number;
            bool is_duration; /* was written as 1h30m */
        };
        str string;
        promql_selector selector;
        promql_subquery subquery;
        struct {
            promql_op op; /* OP_ADD or OP_SUB */
            promql_node *operand;
        } unary;
        promql_binary binary;
        promql_node *paren;
        promql_call call;
        promql_aggregate aggregate;
        promql_external external;
    };
};

/* What stands in the parentheses, however many. */
static inline const promql_node *promql_bare(const promql_node *n)
{
    while (n->kind == NODE_PAREN)
        n = n->paren;
    return n;
}

/* ---- the tables that parser, evaluator, help and completion share ---- */

#define PROMQL_MAX_ARGS 4

/* One of math, range and general is set: a function of each value; of each window of a range
 * vector; or of the whole call. */
struct promql_function {
    const char *name;
    promql_type returns;
    promql_type args[PROMQL_MAX_ARGS];
    uint8_t min_args;
    uint8_t max_args; /* UINT8_MAX: the last type repeats without limit */
    bool keeps_name;  /* the result keeps "__name__" */
    double (*math)(double x);
    bool (*range)(const struct promql_window *w, double *ret); /* of floats */
    /* Of windows with histograms in them, alone or among floats. NULL: the function is of floats,
     * and gets the window without its histograms. False: no value at this step. */
    bool (*native)(const struct promql_window *w, struct promql_cell *ret);
    uint32_t feature; /* PROMQL_EXPERIMENTAL_FUNCTIONS, or 0: always there */
    status (*general)(struct promql_engine *e, const struct promql_grid *g,
                      const struct promql_node *call, struct promql_value *ret);
    const char *help;
};
const promql_function *promql_function_find(str name);
const promql_function *promql_function_list(size_t *ret_count);

struct promql_aggregation {
    const char *name;
    promql_type param; /* PROMQL_NONE: takes none */
    uint8_t kind;      /* of aggregate.c */
    const char *help;
    uint32_t feature; /* PROMQL_EXPERIMENTAL_FUNCTIONS, or 0: always there */
};
const promql_aggregation *promql_aggregation_find(str name);
const promql_aggregation *promql_aggregation_list(size_t *ret_count);

/* ---- parsing and printing ---- */

#define PROMQL_QUERY_LIMIT  KiB(256)
#define PROMQL_DEPTH_LIMIT  200 /* of the parser's recursion */
#define PROMQL_HEIGHT_LIMIT 1000

/* Texts of the tree may point into `query`, which must live as long as it.
 * Errors read "LINE:COLUMN: parse error: …" as Prometheus's do; STATUS_INVALID. */
MUST_USE status promql_parse(const promql_node **ret, str query, uint32_t features, arena *a,
                             error *err);

/* A series selector alone, as in match[]. */
MUST_USE status promql_parse_selector(const promql_node **ret, str query, arena *a, error *err);

/* The query in canonical form, on one line. */
void promql_print(buf *out, const promql_node *node);

/* The same over several lines where one would be longer than 100 characters. */
void promql_print_pretty(buf *out, const promql_node *node);

/* The tree as JSON. */
void promql_print_json(buf *out, const promql_node *node);

/* What a query is bound to before it is evaluated. */
typedef struct {
    int64_t start_ms, end_ms;
    int64_t step_ms; /* 0: an instant query */
} promql_range_bounds;

/* The tree with durations computed and start(), end(), range() and step() as numbers: `query`
 * itself where it has none of them. Selectors keep AT_START and AT_END only inside `query`; in the
 * answer they are AT_TIME. */
MUST_USE status promql_bind(const promql_node **ret, const promql_node *query,
                            const promql_range_bounds *bounds, arena *a, error *err);

#endif
