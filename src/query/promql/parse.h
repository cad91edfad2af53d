// SPDX-License-Identifier: Apache-2.0
/* What the files of the PromQL parser share. */
#ifndef SONDE_QUERY_PROMQL_PARSE_H
#define SONDE_QUERY_PROMQL_PARSE_H

#include "query/promql/ast.h"
#include "query/promql/lex.h"

typedef struct parser parser;

/* Reads an operand that PromQL does not have, or leaves *ret NULL. */
typedef status parser_operand(parser *p, promql_node **ret);

struct parser {
    str query;
    arena *arena;
    error *err;
    const token *tokens; /* ends with TOKEN_END */
    uint32_t at;
    uint32_t depth;
    uint32_t aggregations;   /* that are open: an unexpected token in one is told so */
    uint32_t features;       /* that are switched on */
    parser_operand *operand; /* of a language that shares the operators; NULL: PromQL */
};

/* Returns from the calling function when `expression` failed. */
#define TRY(expression) \
    do { \
        status try_status_ = (expression); \
        if (try_status_ != STATUS_OK) \
            return try_status_; \
    } while (0)

static inline const token *parser_peek(const parser *p)
{
    return &p->tokens[p->at];
}

static inline const token *parser_next(parser *p)
{
    const token *t = &p->tokens[p->at];
    if (t->kind != TOKEN_END && t->kind != TOKEN_ERROR)
        p->at++;
    return t;
}

/* What a word means to the grammar. */
typedef enum {
    WORD_NAME,
    WORD_AGGREGATION,
    WORD_OPERATOR, /* and, or, unless, atan2 */
    WORD_KEYWORD,  /* by, on, offset, … */
    WORD_CONTEXT,  /* start, end, step, range, max_of, min_of */
    WORD_NUMBER    /* inf, nan */
} word_class;
word_class parser_word(const token *t);

/* The token behind the next one; TOKEN_END repeats. */
const token *parser_peek_second(const parser *p);
bool token_is_word(const token *t, const char *word); /* ASCII case does not matter */
bool token_is_op(const token *t, const char *op);
void parser_report_unexpected(parser *p, const token *t, const char *context, const char *expected);
static inline status parser_unexpected(parser *p, const token *t, const char *context,
                                       const char *expected)
{
    parser_report_unexpected(p, t, context, expected);
    return STATUS_INVALID;
}

static inline status parser_no_memory(parser *p)
{
    fail(p->err, STATUS_LIMIT, "the query is too large for its memory limit");
    return STATUS_LIMIT;
}

promql_node *parser_node(parser *p, promql_kind kind, uint32_t start);

/* Makes child a part of n: keeps the height, refuses a tree that is too high. */
MUST_USE status parser_adopt(parser *p, promql_node *n, const promql_node *child);

/* Appends to an array in the arena that grows by doubling; *array is NULL at first. */
MUST_USE bool parser_append(parser *p, void *array, uint32_t count, size_t size, const void *item);

MUST_USE status parse_expression(parser *p, uint8_t min_precedence, promql_node **ret);
MUST_USE status parse_vector_selector(parser *p, promql_node **ret);
/* [5m], [5m:1m], offset 5m, @ 12.5, anchored, smoothed, behind *node. */
MUST_USE status parse_postfix(parser *p, promql_node **node);
/* The value of a number or duration, which is the next token. */
MUST_USE status parse_literal(parser *p, double *ret);
/* A duration in brackets, or behind offset, where only parentheses hold an operator.
 * A literal has kind DURATION_LITERAL. */
MUST_USE status parse_duration(parser *p, const char *context, const char *expected,
                               promql_duration **ret);
MUST_USE status parse_offset_duration(parser *p, promql_duration **ret);
/* (a, b, "c"): the names in parentheses of by, on, group_left. */
MUST_USE status parse_names(parser *p, const char *context, str **ret, uint32_t *ret_count);

/* From the tokens to the checked tree. */
MUST_USE status parse_all(parser *p, const promql_node **ret);

/* Types of the whole tree; see check.c. */
MUST_USE status promql_check(const promql_node *node, str query, error *err);

#endif
