// SPDX-License-Identifier: Apache-2.0
/* What the files of the Loki API share. */
#ifndef SONDE_API_LOKI_H
#define SONDE_API_LOKI_H

#include "api/request.h"
#include "query/logql/logql.h"

/* "start", "end" and the like: Unix nanoseconds, seconds (with fraction, or at most ten digits), or
 * RFC 3339. */
MUST_USE bool loki_time(api_request *r, const char *name, int64_t fallback_ns, int64_t *ret_ns);

/* [{"stream":{…},"values":[["ns","line",{…}],…]},…]: streams in order of appearance. The third
 * element holds structured metadata and extracted labels, as Loki's categorize-labels has them. */
void loki_write_streams(json_writer *w, const logql_lines *lines);
/* Lines `first` to before `end` in their own order: a stream comes again where it is interrupted.
 */
void loki_write_runs(json_writer *w, const logql_lines *lines, uint32_t first, uint32_t end);

void loki_query(api_request *r);
void loki_query_range(api_request *r);

#endif
