// SPDX-License-Identifier: Apache-2.0
/* Spans as Zipkin's v2 JSON (https://zipkin.io/zipkin-api, POST /api/v2/spans) or protobuf
 * (zipkin.proto3.ListOfSpans), mapped as OpenTelemetry's specification says: status and what was
 * dropped as otel.* tags, events as annotations. Trace states and links have no place there and are
 * left out. Pure functions. */
#ifndef SONDE_CODEC_ZIPKIN_JSON_H
#define SONDE_CODEC_ZIPKIN_JSON_H

#include "base/buf.h"
#include "codec/batch.h"

/* Append all spans of b, JSON as an array; STATUS_LIMIT or STATUS_NO_MEMORY when `out` failed.
 * fallback_service: of spans whose resource names none. */
MUST_USE status zipkin_json_encode(const batch *b, str fallback_service, buf *out, error *err);
MUST_USE status zipkin_proto_encode(const batch *b, str fallback_service, buf *out, error *err);

#endif
