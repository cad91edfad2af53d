// SPDX-License-Identifier: Apache-2.0
/* Tokens of PromQL and LogQL. The whole query is cut into an array first; the parser walks over it.
 */
#ifndef SONDE_QUERY_PROMQL_LEX_H
#define SONDE_QUERY_PROMQL_LEX_H

#include "base/arena.h"

typedef enum {
    TOKEN_END,
    TOKEN_IDENT, /* a name; keywords are names too, the parser knows where they count */
    TOKEN_NUMBER,
    TOKEN_DURATION, /* 5m; the value in seconds is in .number */
    TOKEN_BYTES,    /* LogQL: 10KB; the value in bytes is in .number */
    TOKEN_STRING,   /* .text is unquoted */
    TOKEN_OP,       /* + - * / % ^ == != > < >= <= =~ !~ =, and in LogQL | |= |~ |> !> */
    TOKEN_LPAREN,
    TOKEN_RPAREN,
    TOKEN_LBRACE,
    TOKEN_RBRACE,
    TOKEN_LBRACKET,
    TOKEN_RBRACKET,
    TOKEN_COMMA,
    TOKEN_COLON,
    TOKEN_AT,
    TOKEN_ERROR /* PromQL: the text goes on with something that is no token; .text says what */
} token_kind;

typedef struct {
    token_kind kind;
    uint32_t start, end; /* byte offsets in the query */
    bool in_braces;      /* PromQL: a name there is never a keyword */
    str text;
    str wrong; /* PromQL: why the number or duration has no value; empty when it has */
    double number;
} token;

/* LEX_PROMQL_UTF8: names may have letters of any script and dots (promql-unquoted-utf8-names). */
typedef enum { LEX_PROMQL, LEX_PROMQL_UTF8, LEX_LOGQL } lex_language;

/* The last token is TOKEN_END, in PromQL also TOKEN_ERROR. LogQL's errors carry their position. */
MUST_USE status promql_lex(token **ret, uint32_t *ret_count, str query, lex_language language,
                           arena *a, error *err);

/* 10KB, 1.5MiB as bytes. */
bool lex_bytes(str text, double *ret);

/* "LINE:COLUMN: parse error: …" with STATUS_INVALID. */
void promql_report_at(error *err, str query, uint32_t at, const char *format, ...)
    PRINTF_LIKE(4, 5);
#define promql_fail_at(...) (promql_report_at(__VA_ARGS__), STATUS_INVALID)
/* 1-based line and column (in bytes) of an offset. */
void promql_position(str query, uint32_t at, uint32_t *ret_line, uint32_t *ret_column);

#endif
