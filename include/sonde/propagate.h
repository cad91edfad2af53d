/* SPDX-License-Identifier: Apache-2.0 */
/* Context across process boundaries: W3C Trace Context (traceparent, tracestate), baggage, and
 * X-Request-ID, over HTTP headers, message properties, arrays or the fields of a JSON payload.
 *
 *     sonde_context from = sonde_extract(header_of, request);    // a receiver
 *     SONDE_WITH(from) { SONDE_SPAN("handle") { … } }
 *
 *     sonde_carrier out;                                         // a sender
 *     sonde_inject_pairs(&out);
 *     for (int i = 0; out.pairs[i]; i += 2)
 *         add_header(request, out.pairs[i], out.pairs[i + 1]);
 *
 * A wrong traceparent means: no trace from outside. A tracestate is handed on up to 512 bytes,
 * baggage as it came, as far as a context has room (context.h). A request id is 1 to 128 visible
 * ASCII characters, and becomes the context's "request_id". OTEL_PROPAGATORS decides which headers
 * are read and written; the request id always is. Thread-safe; not for signal handlers. */
#ifndef SONDE_PROPAGATE_H
#define SONDE_PROPAGATE_H

#include <sonde/context.h>

#ifdef __cplusplus
extern "C" {
#endif
#pragma GCC visibility push(default)

/* The value of a header, terminated, or NULL. Names come in lower case; headers are found in any
 * case. The result needs to be valid until the next call. */
typedef const char *sonde_header_get(void *user, const char *name);
/* Takes over copies of both. */
typedef void sonde_header_set(void *user, const char *name, const char *value);

/* What came from outside: for SONDE_WITH, or as the parent or link of a span. The empty context
 * when nothing (good) came. */
sonde_context sonde_extract(sonde_header_get *get, void *user);
/* Hands this thread's current context to `set`: traceparent, tracestate, baggage, x-request-id, as
 * far as there are any. */
void sonde_inject(sonde_header_set *set, void *user);

/* ---- arrays: name, value, name, value, …, NULL ---- */

sonde_context sonde_extract_pairs(const char *const *pairs);

typedef struct {
    const char *pairs[9]; /* up to four headers and a NULL; they point into `text` */
    char text[2048];
} sonde_carrier;
void sonde_inject_pairs(sonde_carrier *ret);

/* ---- JSON payloads: members traceparent, tracestate, baggage and request_id of an object ---- */

/* Writes the members without braces, to be put into an object under construction:
 *     "traceparent":"00-…-01","request_id":"…"
 * Terminated. Returns the length; 0, and an empty text, when there is nothing to hand on or it does
 * not fit (1,024 bytes suffice unless there is baggage). */
size_t sonde_inject_json(char *ret, size_t size);
/* From the top level of an object; anything that is not JSON gives the empty context. */
sonde_context sonde_extract_json(const char *json, size_t len);

#pragma GCC visibility pop
#ifdef __cplusplus
}
#endif
#endif
