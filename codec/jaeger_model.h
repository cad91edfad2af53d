// SPDX-License-Identifier: Apache-2.0
/* What Jaeger's protobuf and Thrift share: one span as a plain structure, and how it becomes a row.
 * Used by codec/jaeger*.c only. */
#ifndef SONDE_CODEC_JAEGER_MODEL_H
#define SONDE_CODEC_JAEGER_MODEL_H

#include "codec/jaeger.h"
#include "codec/span_tags.h"

/* Both schemas number them so. */
enum { JAEGER_CHILD_OF = 0, JAEGER_FOLLOWS_FROM = 1 };
enum { JAEGER_SAMPLED = 1, JAEGER_DEBUG = 2 };

/* The attribute of a link that was a second parent (OpenTelemetry's semantic conventions). */
#define JAEGER_REF_TYPE   "opentracing.ref_type"
#define JAEGER_NO_SERVICE "OTLPResourceNoServiceName"

typedef struct {
    attrs list;
    uint32_t capacity;
} jaeger_tags;

typedef struct {
    trace_id trace;
    span_id span;
    int64_t type;
} jaeger_reference;

typedef struct {
    trace_id trace;
    span_id span, parent; /* parent: Thrift's own field */
    str name;
    uint64_t flags;
    int64_t start_ns, duration_ns;
    jaeger_tags tags;
    span_event *events;
    uint32_t event_count, event_capacity;
    jaeger_reference *references;
    uint32_t reference_count, reference_capacity;
    values warnings;
    uint32_t warning_capacity;
} jaeger_span;

/* One process as a resource's attributes: service.name first. */
bool jaeger_process(span_builder *s, uint32_t resource, str service, const attrs *tags);
/* The event's name is taken out of its fields. */
bool jaeger_event(span_builder *s, jaeger_span *span, int64_t time_ns, attrs *fields);
bool jaeger_add_reference(span_builder *s, jaeger_span *span, const jaeger_reference *r);
bool jaeger_row(span_builder *s, uint32_t resource, jaeger_span *span);
/* seconds and nanoseconds as one number; false, and a failure, when that does not fit. */
bool jaeger_time(span_builder *s, int64_t seconds, int64_t ns, int64_t *ret);

#endif
