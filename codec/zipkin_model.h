// SPDX-License-Identifier: Apache-2.0
/* What Zipkin's JSON and protobuf share, out (what a row's span says in Zipkin's terms) and in (a
 * Zipkin span, however it was written, into a batch). Used by codec/zipkin_*.c only. */
#ifndef SONDE_CODEC_ZIPKIN_MODEL_H
#define SONDE_CODEC_ZIPKIN_MODEL_H

#include "codec/span_tags.h"
#include "codec/zipkin_read.h"

/* ---- out ---- */

/* Microseconds, as all of Zipkin's times; a span that took less than one took one, since 0 means
 * that it is not known. */
int64_t zipkin_duration_us(const batch *b, uint32_t row);
str zipkin_service(const batch *b, uint32_t row, str fallback);
/* The service that the span called, and its port or 0; false when it called none. */
bool zipkin_remote(const batch *b, uint32_t row, str *ret_name, uint16_t *ret_port);
/* An event as an annotation's value, "name" or "name":{"key":"value"}; lives until `scratch`
 * changes. */
str zipkin_annotation(const span_event *e, buf *scratch);

typedef void zipkin_tag_sink(void *user, str key, str text);
/* Attributes of the span and of the resource, and what has no field. */
void zipkin_tags_each(const batch *b, uint32_t row, buf *scratch, zipkin_tag_sink *sink,
                      void *user);

/* ---- in ---- */

typedef struct {
    str service, address; /* empty: not said */
    int64_t port;         /* 0: not said */
} zipkin_endpoint;

typedef struct {
    trace_id trace;
    span_id span, parent;
    str name;
    uint8_t kind;                   /* span_kind; what says none is internal */
    uint64_t start_us, duration_us; /* 0: not said */
    zipkin_endpoint local, remote;
    span_event *events; /* names are the annotations' values */
    uint32_t event_count, event_capacity;
    attrs tags;
    uint32_t tag_capacity;
    bool debug, shared;
} zipkin_span;

typedef struct {
    span_builder build; /* first: see span_proto.h */
    zipkin_options options;
    map services; /* service name to resource index */
} zipkin_sink;

void zipkin_sink_init(zipkin_sink *z, batch *b, const zipkin_options *options);
/* What went wrong, in span number `index` of the request; frees. */
status zipkin_sink_done(zipkin_sink *z, uint32_t index, error *err);
bool zipkin_sink_annotation(zipkin_sink *z, zipkin_span *s, uint64_t us, str text);
bool zipkin_sink_tag(zipkin_sink *z, zipkin_span *s, str key, str text);
/* False on a failure. */
bool zipkin_sink_span(zipkin_sink *z, zipkin_span *s);

#endif
