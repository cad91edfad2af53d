// SPDX-License-Identifier: Apache-2.0
/* Typed values, attributes, resources, scopes, events and links as compact bytes (layout:
 * docs/format/part.md, "Typed values"), in memory and in parts alike: filters look into them
 * without building anything. Decoded texts are views into the bytes. Pure functions. */
#ifndef SONDE_STORE_ENC_H
#define SONDE_STORE_ENC_H

#include "codec/batch.h"
#include "store/bytes.h"

enum { ENC_DEPTH = 100 }; /* nesting of arrays and maps that is decoded; deeper reads as empty */

void enc_value(buf *out, const value *v);
void enc_attrs(buf *out, const attrs *a);
void enc_resource(buf *out, const batch_resource *r);
void enc_scope(buf *out, const batch_scope *s);
void enc_events(buf *out, const span_events *e);
void enc_links(buf *out, const span_links *l);

/* False when the bytes are wrong or the arena is full. */
MUST_USE bool dec_value(str bytes, arena *a, value *ret);
MUST_USE bool dec_attrs(str bytes, arena *a, attrs *ret);
MUST_USE bool dec_resource(str bytes, arena *a, batch_resource *ret);
MUST_USE bool dec_scope(str bytes, arena *a, batch_scope *ret); /* ret->resource stays */
MUST_USE bool dec_events(str bytes, arena *a, span_events *ret);
MUST_USE bool dec_links(str bytes, arena *a, span_links *ret);

/* A value that was not decoded. */
typedef struct {
    value_type type;
    str bytes; /* text and bytes: their content; map: its attributes; else the payload */
} enc_view;

bool enc_next_value(bytes_reader *r, enc_view *ret);
/* Iterates encoded attributes: start with enc_attrs_begin, then while enc_attrs_next. */
bytes_reader enc_attrs_begin(str bytes, uint32_t *ret_count);
bool enc_attrs_next(bytes_reader *r, str *ret_key, enc_view *ret);
/* The attributes within an encoded resource. */
str enc_resource_attrs(str bytes);

/* The first attribute whose key is `key`, or, where a '_' stands in `key`, has a '.' there. */
bool enc_find(str bytes, str key, enc_view *ret);
bool enc_key_matches(str stored, str wanted);

/* The value as text: a text as it is (a view), others are written to `scratch` (cleared). */
str enc_text(enc_view v, buf *scratch, arena *a);

#endif
