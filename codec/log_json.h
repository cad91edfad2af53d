// SPDX-License-Identifier: Apache-2.0
/* Log records as JSON lines, one object each, fields flat, keys unique:
 *
 *   {"timestamp":"2025-10-12T20:30:00.125Z","level":"info","service":"api","trace_id":"…",
 *    "span_id":"…","message":"image_created","image_id":"img_1","duration_ms":45}
 *
 * What is absent is left out. When a field's key comes twice, the later one counts. A field named
 * like one of the members above is written as "field_" and its name. Text that is not UTF-8 is
 * repaired; NaN and infinities are strings. Pure functions over one batch. */
#ifndef SONDE_CODEC_LOG_JSON_H
#define SONDE_CODEC_LOG_JSON_H

#include "base/buf.h"
#include "codec/batch.h"

typedef struct {
    uint8_t fraction_digits; /* of the timestamp: 3, 6 or 9; 0 means 6 */
    bool with_type;          /* "type":"log" comes first */
    bool with_hidden;        /* attributes that begin with "sonde." are written too */
} log_json_options;

/* Appends the row and a newline; failure is the buf's. options may be NULL. */
void log_json_row(const batch *b, uint32_t row, const log_json_options *options, buf *out);

/* "trace", "debug", "info", "warn", "error", "fatal"; "" for 0 and what is out of range. */
const char *severity_name(uint8_t severity);

#endif
