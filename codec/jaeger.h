// SPDX-License-Identifier: Apache-2.0
/* Jaeger's spans, mapped as OpenTelemetry's specification says ("Jaeger"): in as protobuf
 * (jaeger.api_v2.PostSpansRequest) and as Thrift (jaeger.thrift's Batch), out as protobuf.
 * In: the process becomes the resource, CHILD_OF of the same trace the parent, other references
 * links, logs events, and the tags that stand for kind, status, trace state, scope and counts those
 * fields. Jaeger's "debug" flag and warnings are kept as jaeger.debug and jaeger.warnings. A wrong
 * span refuses the whole request. Reentrant. */
#ifndef SONDE_CODEC_JAEGER_H
#define SONDE_CODEC_JAEGER_H

#include "codec/batch.h"
#include "codec/thrift.h"

#include "base/buf.h"

/* Append to b, a batch of SIGNAL_TRACES; texts are views into `bytes` where they can be. After a
 * failure b holds a part: clear it. */
MUST_USE status jaeger_proto_decode(batch *b, str bytes, error *err);
MUST_USE status jaeger_thrift_decode(batch *b, str bytes, thrift_protocol protocol, error *err);
/* What clients send to the agent's UDP port: a call of emitBatch with a Batch. */
MUST_USE status jaeger_agent_decode(batch *b, str bytes, thrift_protocol protocol, error *err);

/* Where the next request begins. */
typedef struct {
    uint32_t resource, row;
} jaeger_cursor;

/* Appends one PostSpansRequest: spans of one resource, as many as stay below max_bytes, but at
 * least one. False: nothing is left (or `out` failed: check it). */
MUST_USE bool jaeger_proto_encode(const batch *b, jaeger_cursor *at, size_t max_bytes, buf *out,
                                  uint32_t *ret_spans);

#endif
