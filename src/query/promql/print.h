// SPDX-License-Identifier: Apache-2.0
/* What the printers of PromQL (one line, several lines, JSON) share. */
#ifndef SONDE_QUERY_PROMQL_PRINT_H
#define SONDE_QUERY_PROMQL_PRINT_H

#include "query/promql/ast.h"

/* Whether a name may stand in by (…) and on (…) without quotes: not all words of the language may
 * (parse.c). */
bool promql_word_is_label(str name);
/* Infinity to a power, which is printed without its sign: a sign binds looser, so that "+Inf ^ 2"
 * would be read as +(Inf ^ 2). */
bool promql_is_infinite_base(const promql_binary *b);

/* 90061000 as 1d1h1m1s. */
void promql_print_milliseconds(buf *out, int64_t ms);
/* Without an exponent. */
void promql_print_number(buf *out, double v);
/* "+", "step", …; empty for a literal. */
const char *promql_duration_operator(promql_duration_kind kind);
const char *promql_match_name(match_op op);
/* "+ on (a) group_left (b)" */
void promql_print_operator(buf *out, const promql_binary *b);
/* "sum by (a) " */
void promql_print_aggregation(buf *out, const promql_aggregate *a);
/* "[5m:1m] offset 5m" */
void promql_print_window(buf *out, const promql_subquery *s);

#endif
