// SPDX-License-Identifier: Apache-2.0
/* What the files of the LogQL parser share; it stands on PromQL's. */
#ifndef SONDE_QUERY_LOGQL_PARSE_H
#define SONDE_QUERY_LOGQL_PARSE_H

#include "query/logql/logql.h"
#include "query/promql/parse.h"

#include <stdio.h>

/* Appends the stages that follow to the pipeline. */
MUST_USE status logql_parse_stages(parser *p, logql_pipeline *l);
bool logql_match_op(const token *t, match_op *ret);
MUST_USE status logql_compile(parser *p, const token *at, str text, regex_mode mode, regex **ret);

#endif
