// SPDX-License-Identifier: Apache-2.0
/* Fields of messages with spans; see span_proto.h. */
#include "codec/span_proto.h"

/* Takes over the reader's problem; always false. */
static bool malformed(span_builder *d, const pb_reader *r)
{
    return span_builder_fail(d, STATUS_INVALID, "%s, at byte %zu",
                             r->problem ? r->problem : "a field has the wrong wire type",
                             (size_t)(r->at - r->base));
}

bool span_proto_fields(span_builder *d, pb_reader *r, span_proto_reader *read, void *to)
{
    pb_field field;
    while (pb_next(r, &field))
        if (!read(d, r, field, to))
            return malformed(d, r);
    return !r->problem || malformed(d, r);
}

bool span_proto_message(span_builder *d, pb_reader *r, pb_field field, span_proto_reader *read,
                        void *to)
{
    pb_reader inner;
    return field.wire == PB_LEN && pb_message(r, &inner) && span_proto_fields(d, &inner, read, to);
}

bool span_proto_text(span_builder *d, pb_reader *r, pb_field field, str *ret)
{
    str s;
    if (!span_proto_bytes(r, field, &s))
        return false;
    *ret = arena_utf8(&d->b->arena, s);
    return ret->ptr || span_builder_full(d);
}

bool span_proto_id(span_builder *d, pb_reader *r, pb_field field, uint8_t *to, size_t size)
{
    str bytes;
    if (!span_proto_bytes(r, field, &bytes))
        return false;
    if (bytes.len > size)
        return span_builder_fail(d, STATUS_INVALID, "an id of %zu bytes; it must have at most %zu",
                                 bytes.len, size);
    memset(to, 0, size);
    if (bytes.len)
        memcpy(to + size - bytes.len, bytes.ptr, bytes.len);
    return true;
}
