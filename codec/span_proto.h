// SPDX-License-Identifier: Apache-2.0
/* Protobuf messages with spans, read field by field into a span_builder: what the decoders of
 * Jaeger's and Zipkin's messages share. A decoder whose first member is the builder finds itself by
 * its address. Text that is not UTF-8 is repaired, unknown fields are passed over. */
#ifndef SONDE_CODEC_SPAN_PROTO_H
#define SONDE_CODEC_SPAN_PROTO_H

#include "codec/protobuf.h"
#include "codec/span_tags.h"

/* Reads one field, or passes over it; false on a failure, which is the builder's or r's, or else
 * that the field has the wrong wire type. */
typedef bool span_proto_reader(span_builder *d, pb_reader *r, pb_field field, void *to);

/* All fields of the message that r stands in. False on a failure, which is then the builder's. */
bool span_proto_fields(span_builder *d, pb_reader *r, span_proto_reader *read, void *to);
/* A field that is a message. */
bool span_proto_message(span_builder *d, pb_reader *r, pb_field field, span_proto_reader *read,
                        void *to);
bool span_proto_text(span_builder *d, pb_reader *r, pb_field field, str *ret);
/* Ids that are shorter than usual have zeros in front. */
bool span_proto_id(span_builder *d, pb_reader *r, pb_field field, uint8_t *to, size_t size);

static inline bool span_proto_bytes(pb_reader *r, pb_field field, str *ret)
{
    return field.wire == PB_LEN && pb_bytes(r, ret);
}

static inline bool span_proto_varint(pb_reader *r, pb_field field, uint64_t *ret)
{
    return field.wire == PB_VARINT && pb_varint(r, ret);
}

static inline bool span_proto_fixed64(pb_reader *r, pb_field field, uint64_t *ret)
{
    return field.wire == PB_FIXED64 && pb_fixed64(r, ret);
}

#endif
