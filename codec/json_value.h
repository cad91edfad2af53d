// SPDX-License-Identifier: Apache-2.0
/* The batch's typed values as text and as plain JSON (not OTLP's JSON, which otlp.h has): for log
 * bodies, label values, log sinks and query answers. */
#ifndef SONDE_CODEC_JSON_VALUE_H
#define SONDE_CODEC_JSON_VALUE_H

#include "codec/batch.h"
#include "codec/json.h"

/* A string as it is, an empty value as nothing, bytes as base64, anything else as JSON:
 * 5, 2.5, true, ["a",1], {"k":"v"}; NaN and infinities as NaN, Infinity, -Infinity. */
void value_to_text(const value *v, buf *out);
/* An empty value as null, bytes as a base64 string, a map as an object (a key may repeat). */
void value_to_json(const value *v, json_writer *w);
/* An object. */
void attrs_to_json(const attrs *a, json_writer *w);

/* The next JSON value of `r` as a typed value in the arena, integers that fit as VALUE_I64.
 * False on an error, which is r's. */
MUST_USE bool value_from_json(json_reader *r, arena *memory, value *ret);

#endif
