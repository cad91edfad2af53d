// SPDX-License-Identifier: Apache-2.0
/* Zipkin's v2 spans, as JSON or as protobuf (zipkin.proto3.ListOfSpans), into a batch: the inverse
 * of OpenTelemetry's mapping (zipkin_json.h). The service of the local endpoint becomes the
 * resource; the remote endpoint peer.service and network.peer.*, unless the tags say it already;
 * annotations events; tags attributes, but for those that stand for status, scope and counts.
 * Trace ids of 64 bits are filled up with zeros in front. A wrong span refuses the whole request,
 * as Zipkin does. Reentrant. */
#ifndef SONDE_CODEC_ZIPKIN_READ_H
#define SONDE_CODEC_ZIPKIN_READ_H

#include "codec/batch.h"

typedef struct {
    int64_t now_ns;  /* when a span without a time and without annotations began */
    bool parse_tags; /* "true", "5" and "2.5" become a bool, an integer and a double */
} zipkin_options;

/* Appends to b, a batch of SIGNAL_TRACES; texts are views into `bytes` where they can be. After a
 * failure b holds a part: clear it. */
MUST_USE status zipkin_json_decode(batch *b, str bytes, const zipkin_options *options, error *err);
MUST_USE status zipkin_proto_decode(batch *b, str bytes, const zipkin_options *options, error *err);

#endif
