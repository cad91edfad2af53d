// SPDX-License-Identifier: Apache-2.0
/* Log records as JSON lines, one object each, keys unique. Which members there are, what they are
 * called and in which order they come is a schema; the default one:
 *
 *   {"timestamp":"2025-10-12T20:30:00.125000Z","level":"info","service":"api","logger":"app.db",
 *    "trace_id":"…","span_id":"…","message":"image_created","image_id":"img_1","duration_ms":45}
 *
 * What is absent is left out, unless the schema wants null. When a field's key comes twice, the
 * later one counts. A field named like a member of the schema is written as "field_" and its name.
 * Text that is not UTF-8 is repaired; NaN and infinities are strings. Pure functions over one
 * batch. */
#ifndef SONDE_CODEC_LOG_JSON_H
#define SONDE_CODEC_LOG_JSON_H

#include "base/buf.h"
#include "codec/batch.h"

#define LOG_MEMBERS_MAX 40u
#define LOG_LEVELS      6u /* trace, debug, info, warn, error, fatal */

/* What a member of the object shows. */
typedef enum {
    LOG_PART_TIME,
    LOG_PART_LEVEL,
    LOG_PART_SERVICE,
    LOG_PART_ENVIRONMENT,
    LOG_PART_LOGGER,
    LOG_PART_TRACE,
    LOG_PART_SPAN,
    LOG_PART_MESSAGE,
    LOG_PART_DATA, /* the call's own attributes, as an object; else among the rest */
    LOG_PART_COUNT,
    LOG_PART_ATTRIBUTE = LOG_PART_COUNT, /* the one of that key, wherever it comes from */
    LOG_PART_CONTEXT,                    /* what the context gave and no member names */
    LOG_PART_REST                        /* what is left */
} log_part;

typedef struct {
    log_part part;
    str key; /* its name in the object */
} log_member;

typedef struct {
    log_member members[LOG_MEMBERS_MAX];
    uint32_t count;
    uint8_t time_digits; /* 0, 3, 6 or 9 */
    bool context_apart;  /* a member of the kind LOG_PART_CONTEXT is there */
    bool code;           /* code.file.path, code.line.number, code.function.name are shown */
    bool absent_null;    /* members and named keys without a value are null, empty data is {} */
    str levels[LOG_LEVELS];
} log_schema;

extern const log_schema log_schema_default;

typedef struct {
    uint8_t fraction_digits;  /* of the timestamp: 3, 6 or 9; 0: as the schema says */
    bool with_type;           /* "type":"log" comes first */
    bool with_hidden;         /* attributes that begin with "sonde." are written too */
    const log_schema *schema; /* NULL: the default */
} log_json_options;

/* Appends the row and a newline; failure is the buf's. options may be NULL. */
void log_json_row(const batch *b, uint32_t row, const log_json_options *options, buf *out);

/* "trace", "debug", "info", "warn", "error", "fatal"; "" for 0 and what is out of range. */
const char *severity_name(uint8_t severity);

/* ---- for other ways to write a row (log_console.c) ---- */

/* Time of the event, else when it was seen; 0: neither is known. */
int64_t log_row_time(const batch *b, uint32_t row);
str log_row_logger(const batch *b, uint32_t row); /* empty: none */
/* Whether the row's n-th attribute is shown: neither hidden, nor said again later. */
bool log_row_shows(const batch *b, uint32_t row, uint32_t n, bool with_hidden, bool with_code);
bool log_row_in_context(const batch *b, uint32_t row, uint32_t n);

#endif
