// SPDX-License-Identifier: Apache-2.0
/* A trace as a waterfall of text: the tree of spans, a bar for when each ran, duration and status.
 */
#ifndef SONDE_CMD_TRACE_PRINT_H
#define SONDE_CMD_TRACE_PRINT_H

#include "cmd/client.h"

typedef struct {
    unsigned width; /* columns of the terminal */
    bool color;
} trace_style;

/* `trace`: one element of "data" of Jaeger's API. False when there is no memory. */
MUST_USE bool trace_print(const trace_style *style, const value *trace, arena *a, buf *out);

#endif
