// SPDX-License-Identifier: Apache-2.0
/* Log records for people at a terminal:
 *
 *   20:30:00.125 INFO  app.db: image_created image_id=img_1 duration_ms=45 request_id=r-1
 *
 * Time of day in UTC, level, logger, event, the call's own attributes, then those of the context,
 * then trace_id. A stack trace follows on lines of its own. Whatever could move the cursor or
 * change the terminal (control characters, bidirectional marks) is written as an escape. Pure. */
#ifndef SONDE_CODEC_LOG_CONSOLE_H
#define SONDE_CODEC_LOG_CONSOLE_H

#include "base/buf.h"
#include "codec/batch.h"

/* Appends the row with its newline. `digits` of the seconds: 0, 3, 6 or 9. */
void log_console_row(const batch *b, uint32_t row, int digits, bool colour, buf *out);

#endif
