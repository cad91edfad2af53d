// SPDX-License-Identifier: Apache-2.0
/* Between the propagators: what headers there are, and what each of them makes of a context. Pure
 * functions over texts; lib/propagate.c fetches and hands out. */
#ifndef SONDE_LIB_PROPAGATE_INTERNAL_H
#define SONDE_LIB_PROPAGATE_INTERNAL_H

#include "lib/context.h"
#include "lib/propagate.h"

typedef enum {
    HEADER_TRACEPARENT,
    HEADER_TRACESTATE,
    HEADER_BAGGAGE,
    HEADER_REQUEST_ID,
    HEADER_B3,
    HEADER_B3_TRACE,
    HEADER_B3_SPAN,
    HEADER_B3_SAMPLED,
    HEADER_B3_FLAGS,
    HEADER_XRAY,
    HEADER_JAEGER,
    HEADER_COUNT
} header_kind;

/* The text of each header; empty: not there. */
typedef struct {
    str of[HEADER_COUNT];
} carried;

#define SHORT_HEADER_MAX 256u /* of a header that one trace and span id are read from */

/* Everything in `in` that is good and wanted. */
sonde_context propagate_extract(const carried *in);
/* What the current context hands on; the texts are in `text` or in the context. */
#define PROPAGATE_TEXT 1280u
void propagate_current(carried *ret, char text[PROPAGATE_TEXT]);

/* Ids and flags into a context; false when there are none, or wrong ones. */
bool b3_extract(const carried *in, sonde_context *c);
bool xray_extract(const carried *in, sonde_context *c);
bool jaeger_extract(const carried *in, sonde_context *c);

/* The texts for a current trace, terminated; they fit into SHORT_HEADER_MAX. */
size_t b3_format(const sonde_current_ *now, char *ret);
size_t xray_format(const sonde_current_ *now, char *ret);
size_t jaeger_format(const sonde_current_ *now, char *ret);

/* ---- baggage (W3C), as text of its header ---- */

#define BAGGAGE_MEMBERS_MAX 64u
#define BAGGAGE_BYTES_MAX   8192u

typedef struct {
    str key, value, properties; /* as they stand there: the value still encoded */
} baggage_member;

/* The next good member of *rest; false at the end. Members that are wrong are passed over. */
bool baggage_next(str *rest, baggage_member *ret);
/* Replaces a context's baggage by the first members of `header`, as many as the limits and the room
 * allow. Returns how many were left out. */
uint32_t baggage_put(sonde_context *c, str header);
/* The text of a context's baggage; empty when none. */
str baggage_of(const sonde_context *c);

#endif
