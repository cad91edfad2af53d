// SPDX-License-Identifier: Apache-2.0
/* Spans and metric points as JSON lines, one object each, for people and scripts (the console
 * exporter, `sonde recover`). Not OTLP's JSON, which codec/otlp.h has. Pure functions. */
#ifndef SONDE_CODEC_SPAN_JSON_H
#define SONDE_CODEC_SPAN_JSON_H

#include "base/buf.h"
#include "codec/batch.h"

/* {"type":"span","name":…,"kind":"server","service":…,"trace_id":…,"span_id":…,"parent_span_id":…,
 *  "start":…,"end":…,"duration_ms":…,"status":"error","status_message":…,"attributes":{…},
 *  "events":[…],"links":[…]} and a newline; what is absent is left out. */
void span_json_row(const batch *b, uint32_t row, buf *out);

/* {"type":"metric","name":…,"kind":"counter","service":…,"unit":…,"timestamp":…,"attributes":{…},
 *  "value":…} and a newline; histograms have "count", "sum", "bounds" and "buckets" for "value". */
void point_json_row(const batch *b, uint32_t row, buf *out);

/* "internal", "server", …; "unspecified" for anything else. */
const char *span_kind_name(uint8_t kind);

#endif
