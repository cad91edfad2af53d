// SPDX-License-Identifier: Apache-2.0
/* OTLP (opentelemetry-proto 1.x): export requests, responses and errors, as protobuf and as JSON.
 * Receivers decode requests into a batch, exporters encode batches; decode(encode(b)) equals b when
 * b's rows are grouped by resource, scope and metric (else they come back in that order).
 * Not carried, because the batch has no place for it: Metric.metadata, Resource.entity_refs and
 * unknown fields. All functions are reentrant.
 *
 * What is wrong with a request is one of three:
 * - malformed bytes, a field of the wrong wire or JSON type, an id of the wrong length:
 * STATUS_INVALID;
 * - more than a limit allows: STATUS_LIMIT with what, where and how much;
 * - a row that contradicts itself (histogram bounds that do not fit the buckets or do not rise, a
 *   time past 2262, a number point without a number): only that row is left out and counted.
 * Text in protobuf that is not UTF-8 is repaired, each wrong byte becoming U+FFFD, and counted: the
 * Collector takes such requests, and one program's bad log line must not cost a whole batch. In
 * JSON it is malformed, as RFC 8259 says. */
#ifndef SONDE_CODEC_OTLP_H
#define SONDE_CODEC_OTLP_H

#include "codec/batch.h"

#include "base/buf.h"

/* 0 in a member means its default. The memory limit is the batch's own (batch_init): usual requests
 * take 2 to 4 times their protobuf bytes, hostile ones (millions of empty rows) 100 times and more.
 */
typedef struct {
    uint32_t max_rows;       /* rows in one request; 1,048,576 */
    uint32_t max_attributes; /* of one row, event, link, exemplar, scope or resource; 1,024 */
    uint32_t max_depth;      /* arrays and maps within an attribute's value; 32, at most 100 */
} otlp_limits;

/* What was not taken as it came. */
typedef struct {
    uint64_t rejected; /* rows left out */
    uint64_t repaired; /* texts that were not UTF-8 */
    char
        message[256]; /* why the first row was left out: where and what; else a warning, or empty */
} otlp_partial;

typedef enum { OTLP_PROTOBUF, OTLP_JSON } otlp_format;
/* "application/x-protobuf", "application/json" */
const char *otlp_content_type(otlp_format format);
/* By a Content-Type header, parameters ignored; false when it is neither. */
MUST_USE bool otlp_format_of(str content_type, otlp_format *ret);

/* Decodes an Export{Trace,Metrics,Logs}ServiceRequest, by b->signal, and appends to b (usually
 * fresh or cleared). Texts are views into `bytes` where they can be. limits and partial may be
 * NULL; *partial is overwritten. After a failure b holds a part of the request: clear it. */
MUST_USE status otlp_decode(batch *b, str bytes, const otlp_limits *limits, otlp_partial *partial,
                            error *err);
/* The same from OTLP/JSON: hexadecimal ids, 64-bit integers as numbers or strings, enums as numbers
 * or names, unknown members ignored, null as absent. */
MUST_USE status otlp_decode_json(batch *b, str bytes, const otlp_limits *limits,
                                 otlp_partial *partial, error *err);

/* Append the request for all of b to `out`; STATUS_LIMIT or STATUS_NO_MEMORY when `out` failed. */
MUST_USE status otlp_encode(const batch *b, buf *out, error *err);
/* The same for sonde's own log: native histograms exactly, in a field that others do not know
 * (docs/format/intake.md). Decoding takes it either way. */
MUST_USE status otlp_encode_own(const batch *b, buf *out, error *err);
MUST_USE status otlp_encode_json(const batch *b, buf *out, error *err);

/* Export*ServiceResponse; partial NULL or with nothing rejected and no message: plain success. */
void otlp_encode_response(otlp_format format, signal_kind signal, const otlp_partial *partial,
                          buf *out);
/* For exporters: what the server rejected. Never trusts the server's message to be short. */
MUST_USE status otlp_decode_response(otlp_format format, signal_kind signal, str bytes,
                                     otlp_partial *ret, error *err);

/* google.rpc.Status, the body of every OTLP/HTTP error answer. grpc_code: 3 INVALID_ARGUMENT,
 * 8 RESOURCE_EXHAUSTED, 13 INTERNAL, 14 UNAVAILABLE, 16 UNAUTHENTICATED. */
void otlp_encode_status(otlp_format format, int grpc_code, str message, buf *out);
/* The message is cut to `size` - 1 bytes and terminated. */
MUST_USE status otlp_decode_status(otlp_format format, str bytes, int *ret_code, char *ret_message,
                                   size_t size, error *err);

#endif
