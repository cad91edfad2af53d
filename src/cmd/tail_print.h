// SPDX-License-Identifier: Apache-2.0
/* Prints the messages of Loki's tail endpoint, for people or as JSON lines. */
#ifndef SONDE_CMD_TAIL_PRINT_H
#define SONDE_CMD_TAIL_PRINT_H

#include "base/buf.h"

typedef struct {
    bool json;
    bool color;
} tail_style;

/* Appends the lines of one message, {"streams":[…],"dropped_entries":[…]}, to `out`; *ret_dropped
 * counts entries that the server had to leave out. STATUS_INVALID: it is no such message. */
MUST_USE status tail_print(const tail_style *style, str message, buf *out, uint64_t *ret_dropped,
                           error *err);

#endif
