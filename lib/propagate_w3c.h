// SPDX-License-Identifier: Apache-2.0
/* The text forms of the W3C Trace Context recommendation (traceparent, tracestate), and of request
 * ids. Pure functions: no state, no allocation. */
#ifndef SONDE_LIB_PROPAGATE_W3C_H
#define SONDE_LIB_PROPAGATE_W3C_H

#include "base/buf.h"
#include "codec/batch.h"

#define W3C_TRACEPARENT_SIZE 56 /* with the terminator */
#define W3C_TRACESTATE_MAX   512
#define REQUEST_ID_MAX       128

#define W3C_FLAG_SAMPLED 1u
#define W3C_FLAG_RANDOM  2u /* level 2 */

typedef struct {
    trace_id trace;
    span_id span;
    uint8_t flags;
} w3c_parent;

/* Strict: lower-case digits, ids not zero, version ff refused, version 00 exactly 55 bytes; a later
 * version is read as far as version 00 goes. White space around it is taken off. */
MUST_USE bool w3c_parse_traceparent(str text, w3c_parent *ret);
void w3c_format_traceparent(const w3c_parent *parent, char ret[W3C_TRACEPARENT_SIZE]);

/* The part of a tracestate that is handed on: all of it up to 512 bytes; of a longer one, first the
 * members over 128 bytes go, then the last ones. Writes to `out`, which has
 * W3C_TRACESTATE_MAX bytes, and returns the length: 0 when the syntax is wrong (then none of it may
 * be used). At most 32 members, no key twice. */
size_t w3c_tracestate(str text, char *out);

/* 1 to 128 visible ASCII characters without quotes, commas and semicolons: safe in a header, a
 * log line and a file name's neighbourhood. */
bool request_id_is_good(str id);

#endif
