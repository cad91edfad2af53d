// SPDX-License-Identifier: Apache-2.0
/* What the two files of the lexer share. */
#ifndef SONDE_QUERY_PROMQL_LEX_PROMQL_H
#define SONDE_QUERY_PROMQL_LEX_PROMQL_H

#include "query/promql/lex.h"

typedef struct {
    arena *arena;
    token *tokens;
    uint32_t count, capacity;
} token_list;

/* False: no memory. */
bool token_push(token_list *list, token t);

/* The last token is TOKEN_END or TOKEN_ERROR. False: no memory. */
bool lex_promql(token_list *list, str query, bool utf8_names);

#endif
