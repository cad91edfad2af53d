// SPDX-License-Identifier: Apache-2.0
/* The page /metrics, for every way in which it is served. */
#ifndef SONDE_LIB_METRIC_PAGE_H
#define SONDE_LIB_METRIC_PAGE_H

#include "base/buf.h"

/* Appends the page of the current recorder, an empty one before sonde_start, in the format that the
 * Accept header `accept` (may be NULL) asks for. Returns the HTTP status; *ret_type is static text.
 * Any thread. */
int metric_page(const char *accept, buf *out, const char **ret_type);
/* Waits until nobody reads metrics out of the recorder, which is about to close. */
void metric_page_release(void);
/* In the child of a fork. */
void metric_page_forked(void);

#endif
