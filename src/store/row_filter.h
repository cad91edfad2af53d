// SPDX-License-Identifier: Apache-2.0
/* Whether rows satisfy a row_query: what can be decided by resource is decided once per resource.
 * One thread per filter. */
#ifndef SONDE_STORE_ROW_FILTER_H
#define SONDE_STORE_ROW_FILTER_H

#include "store/match.h"
#include "store/row.h"

enum { ROW_MATCHERS_MAX = 64 };

typedef struct {
    signal_kind signal;
    match_set set;
    int64_t from_ns, to_ns;
    int64_t min_duration_ns, max_duration_ns;
    arena memory; /* scratch of one row */
    buf scratch;
} row_filter;

/* One byte per matcher; see row_filter.c. */
typedef struct {
    uint8_t of[ROW_MATCHERS_MAX];
} resource_verdict;

MUST_USE status row_filter_init(row_filter *ret, const row_query *q, error *err);
void row_filter_done(row_filter *f);
/* False when no row of this resource can match. */
bool row_filter_resource(row_filter *f, str resource, resource_verdict *ret);
/* True when a row matches only if the row itself has the name. */
bool row_filter_needs_row(const resource_verdict *v, uint32_t matcher);
bool row_filter_row(row_filter *f, const row *r, const resource_verdict *v);

/* "trace" … "fatal" by severity number, else from the severity text; empty when there is neither.
 */
str row_level(const row *r);
/* Of a span: "kind" or "status" in words; empty for any other name. */
str row_field_text(const row *r, str name);
str row_body_text(const row *r, buf *scratch, arena *a);

#endif
