/* SPDX-License-Identifier: Apache-2.0 */
/* Context across process boundaries: W3C Trace Context (traceparent, tracestate), baggage, B3, AWS
 * X-Ray, Jaeger, and X-Request-ID, over HTTP headers, message properties, arrays or the members of
 * a JSON payload.
 *
 *     sonde_context from = sonde_extract(header_of, request);    // a receiver
 *     SONDE_WITH(from) { SONDE_SPAN("handle") { … } }
 *
 *     sonde_carrier out;                                         // a sender
 *     sonde_inject_pairs(&out);
 *     for (int i = 0; out.pairs[i]; i += 2)
 *         add_header(request, out.pairs[i], out.pairs[i + 1]);
 *
 * OTEL_PROPAGATORS decides which headers are read and written (tracecontext and baggage unless told
 * otherwise); the request id always is. All that are chosen are written; of what comes in, the
 * first of these that holds a trace decides: tracecontext, b3 (one header, then several; either
 * name reads both), xray, jaeger. A wrong traceparent means: no trace from outside. A tracestate is
 * handed on up to 512 bytes, baggage as far as a context has room (baggage.h). A request id is 1 to
 * 128 visible ASCII characters, and becomes the context's "request_id". Needs up to 16 KiB of
 * stack. Thread-safe; not for signal handlers. */
#ifndef SONDE_PROPAGATE_H
#define SONDE_PROPAGATE_H

#include <sonde/context.h>

#ifdef __cplusplus
extern "C" {
#endif
#pragma GCC visibility push(default)

/* The value of a header, terminated, or NULL. Names come in lower case; headers are found in any
 * case. The result needs to be valid until the next call. A header that came several times: all its
 * values, joined by commas (as HTTP has it: tracestate and baggage are lists, two traceparents are
 * none). Where only one value is to be had, sonde_extract_all is better. */
typedef const char *sonde_header_get(void *user, const char *name);
/* The n-th value of a header, from 0, or NULL. */
typedef const char *sonde_header_nth(void *user, const char *name, size_t n);
/* Takes over copies of both. */
typedef void sonde_header_set(void *user, const char *name, const char *value);

/* What came from outside: for SONDE_WITH, or as the parent or link of a span. The empty context
 * when nothing (good) came. */
sonde_context sonde_extract(sonde_header_get *get, void *user);
/* The same where a header may come several times. */
sonde_context sonde_extract_all(sonde_header_nth *get, void *user);
/* Hands this thread's current context to `set`: traceparent, tracestate, baggage, x-request-id, as
 * far as there are any. */
void sonde_inject(sonde_header_set *set, void *user);

/* ---- arrays: name, value, name, value, …, NULL; a name may come several times ---- */

sonde_context sonde_extract_pairs(const char *const *pairs);

typedef struct {
    const char *pairs[23]; /* headers and a NULL; they point into `text` */
    char text[3072];
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

/* For payloads that have names of their own. All of it may be zero. */
typedef struct {
    /* Member that holds the request id; NULL: "request_id". With "trace_id", and no traceparent in
     * the payload, the context's logs carry it as trace_id too: tracing by one id, from a request
     * to its jobs, without spans. */
    const char *request_id_member;
    bool request_id_only; /* no traceparent, tracestate and baggage */
} sonde_json_options;
size_t sonde_inject_json_as(char *ret, size_t size, const sonde_json_options *options);
sonde_context sonde_extract_json_as(const char *json, size_t len,
                                    const sonde_json_options *options);

/* "present" when a trace or a request id came with it, else "missing": a label of few values. */
const char *sonde_trace_presence(const sonde_context *from);

#pragma GCC visibility pop
#ifdef __cplusplus
}
#endif
#endif
