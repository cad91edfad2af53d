// SPDX-License-Identifier: Apache-2.0
/* What decoders of foreign logs (Loki, Elasticsearch, lines of files) share: levels, ids and times
 * as people write them. Pure functions; thread-safe. */
#ifndef SONDE_CODEC_LOG_FIELDS_H
#define SONDE_CODEC_LOG_FIELDS_H

#include "codec/batch.h"

/* The SeverityNumber of a level's name in any case: "trace", "DEBUG", "info", "notice", "warning",
 * "err", "critical", "emerg", "ERROR2", …; 0 when it is none. */
uint8_t severity_parse(str text);

/* As severity_parse, for a member of a JSON line: also the numbers 10 to 60 of bunyan and pino. */
uint8_t severity_of_value(const value *v);

/* 32 hexadecimal digits, also as a UUID with dashes or 16 digits (a 64-bit id); not all zero. */
MUST_USE bool trace_id_parse(str text, trace_id *ret);
MUST_USE bool span_id_parse(str text, span_id *ret); /* 16 digits */

/* A time as log lines have it: RFC 3339, the same without a zone (UTC) or with a blank for the T,
 * or a number of seconds, ms, µs or ns since 1970, told apart by its size. */
MUST_USE bool log_time_parse(str text, int64_t *ret_ns);
MUST_USE bool log_time_of_value(const value *v, int64_t *ret_ns);

/* Sets what a foreign field is known to mean: the first trace id, span id, level. False: the field
 * is none of those (or does not parse), and is the caller's to keep as an attribute. `row` of
 * b->logs; names in any of their spellings: "trace_id", "traceId", "trace.id", … */
bool log_set_known_field(batch *b, uint32_t row, str name, const value *v);

#endif
