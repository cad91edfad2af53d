// SPDX-License-Identifier: Apache-2.0
/* What formats older than OpenTelemetry (Jaeger, Zipkin) have no field for and carry as tags of a
 * span: status, kind, trace state, scope, dropped counts. The names are OpenTelemetry's ("Mapping
 * to non-OTLP formats"), so that a span comes back as it went out.
 * And the way from a stream of spans to a batch's resources and scopes. One thread per builder. */
#ifndef SONDE_CODEC_SPAN_TAGS_H
#define SONDE_CODEC_SPAN_TAGS_H

#include "codec/batch.h"

#include "base/buf.h"
#include "base/map.h"

/* ---- out: fields to tags ---- */

typedef void span_tag_sink(void *user, str key, const value *v);
/* Who reads them: the two mark a failed span in ways of their own. */
typedef enum { SPAN_TAGS_ZIPKIN, SPAN_TAGS_JAEGER } span_tag_reader;

/* All that the row says beside its attributes, as far as it has it. */
void span_tags_each(const batch *b, uint32_t row, span_tag_reader reader, span_tag_sink *sink,
                    void *user);
/* "internal", "server", …; empty for unspecified. */
str span_kind_tag(uint8_t kind);
/* By that name, in any case; false when it is none. */
MUST_USE bool span_kind_of_tag(str name, uint8_t *ret);

/* ---- in: tags to fields ---- */

/* A request may not have more: the intake log's own limits are the same. */
enum { SPAN_TAGS_MAX = 1024, SPAN_REQUEST_MAX = 1 << 20 };

typedef struct {
    batch *b;
    map scopes;     /* "resource name version" to index + 1; keys live in b's arena */
    uint32_t scope; /* of the newest row */
    status code;
    char problem[160];
} span_builder;

void span_builder_init(span_builder *s, batch *b);
void span_builder_done(span_builder *s);
/* Records the first failure; always false. */
bool span_builder_fail(span_builder *s, status code, const char *format, ...) PRINTF_LIKE(3, 4);
bool span_builder_full(span_builder *s); /* the arena is at its limit */

/* Appends, but not beyond SPAN_TAGS_MAX. */
MUST_USE bool span_builder_tag(span_builder *s, attrs *list, uint32_t *capacity, str key, value v);
/* A row below `resource`. Those of `tags` that stand for a field become that field; the others are
 * its attributes; *tags is changed in place. BATCH_FULL on a failure. */
uint32_t span_builder_row(span_builder *s, uint32_t resource, attrs *tags);
/* Room for one more in an array of `size`-byte elements in b's arena; NULL on a failure. */
void *span_builder_more(span_builder *s, void *items, uint32_t count, uint32_t *capacity,
                        size_t size);

#endif
