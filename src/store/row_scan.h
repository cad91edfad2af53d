// SPDX-License-Identifier: Apache-2.0
/* The scan under store_rows, store_trace and the names of logs and traces. */
#ifndef SONDE_STORE_ROW_SCAN_H
#define SONDE_STORE_ROW_SCAN_H

#include "store/part_rows.h"
#include "store/row_filter.h"
#include "store/store_internal.h"

/* Gets each matching row in the query's order; *ret_more false ends the scan. The row is valid
 * until it returns; only the wanted columns are set for sure. */
typedef status row_visitor(void *user, const row *r, const row_names *names, bool *ret_more,
                           error *err);
MUST_USE status row_scan(store *s, const row_query *q, uint32_t columns, row_visitor *visit,
                         void *user, error *err);

#endif
