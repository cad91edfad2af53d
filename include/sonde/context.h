/* SPDX-License-Identifier: Apache-2.0 */
/* Context: what every log and span of a piece of work shares: the current span, and attributes such
 * as request_id, user_id, job_id.
 *
 *     SONDE_CONTEXT(sonde_kv("request_id", id), sonde_kv("user_id", user)) {
 *         sonde_info("request_received");           // carries both, and the current trace
 *     }
 *
 *     sonde_context saved = sonde_context_capture(); // to another thread, queue or callback:
 *     SONDE_WITH(saved) { … }
 *
 * Context belongs to a thread and nests; scopes close themselves, also on return, break and goto
 * (`continue` inside leaves the scope, not a loop around it). An inner value hides an outer one of
 * the same key. A context holds at most 952 bytes of attributes; what does not fit is left out and
 * counted. A child of fork starts without any. Opening a scope neither allocates nor locks; safe in
 * signal handlers. */
#ifndef SONDE_CONTEXT_H
#define SONDE_CONTEXT_H

#include <sonde/kv.h>

#ifdef __cplusplus
extern "C" {
#endif
#pragma GCC visibility push(default)

typedef struct sonde_span sonde_span;

#define SONDE_CONTEXT_BYTES 952

/* Everything that travels with a piece of work, by value: copy it freely, nothing is to be freed.
 * All zero is the empty context. The members are not for programs. */
typedef struct {
    uint8_t trace_id[16]; /* all zero: no trace */
    uint8_t span_id[8];
    uint32_t flags;  /* 1: sampled, 2: the ids came from another process */
    uint16_t count;  /* attributes for logs and spans */
    uint16_t used;   /* bytes that hold them, at the start of `bytes` */
    uint16_t hidden; /* bytes at the end of `bytes` that only travel (baggage, tracestate) */
    uint16_t reserved[3];
    sonde_span *span;
    uint64_t reserved2;
    uint8_t bytes[SONDE_CONTEXT_BYTES];
} sonde_context;

/* What a thread has current; scopes save and restore it. */
typedef struct {
    uint8_t trace_id[16];
    uint8_t span_id[8];
    uint32_t flags;
    uint32_t generation;
    sonde_span *span;
    const sonde_context *bag; /* NULL: no attributes */
} sonde_current_;

typedef struct {
    sonde_current_ saved;
} sonde_with_scope;

/* A copy of this thread's context. Safe in signal handlers. */
sonde_context sonde_context_capture(void);

/* SONDE_CONTEXT(kv…) { … }: adds attributes to everything recorded inside. */
#define SONDE_CONTEXT(...) SONDE_CONTEXT_AT_(__COUNTER__, __VA_ARGS__)

/* SONDE_WITH(saved) { … }: makes a captured context this thread's, instead of its own. `saved` is
 * an lvalue that stays unchanged until the scope ends. */
#define SONDE_WITH(saved) SONDE_WITH_(__COUNTER__, saved)

/* The same without a scope, for event loops and callbacks: attach when work on something begins or
 * goes on, detach before it yields, in reverse order and on the same thread. `context` stays
 * unchanged until then; NULL is the empty one. An attachment needs no cleanup when it is forgotten,
 * but the context stays current then. */
typedef struct {
    sonde_with_scope scope;
} sonde_attachment;
void sonde_context_attach(sonde_attachment *ret, const sonde_context *context);
void sonde_context_detach(sonde_attachment *attachment);

/* Adds or replaces an attribute in a context by value. False when there is no room. */
bool sonde_context_set(sonde_context *context, const sonde_attr *attribute);
/* The context inside of a span of another process whose ids came by a way of your own, as 32 and 16
 * hexadecimal digits: as the parent or a link of a span. The empty context when that is not what
 * they are, or one is zero. */
sonde_context sonde_context_of_ids(const char *trace_id, const char *span_id, bool sampled);

/* Lower-case hexadecimal and a terminator; "" and false when there is no current trace. */
bool sonde_trace_id(char ret[33]);
bool sonde_span_id(char ret[17]);
/* The current text value of a context key; empty when there is none. Valid until the scope that
 * set it ends. */
sonde_str sonde_context_get(const char *key);
/* sonde_context_get("request_id") */
sonde_str sonde_request_id(void);

/* ---- what the macros use ---- */

#define SONDE_NAME2_(a, b) a##b
#define SONDE_NAME_(a, b)  SONDE_NAME2_(a, b)

typedef struct {
    const sonde_context *saved_bag;
    uint32_t generation;
    sonde_context bag; /* only the attributes are used */
} sonde_context_scope;

sonde_context_scope *sonde_context_enter_(sonde_context_scope *scope, const sonde_attr *attrs,
                                          size_t count);
void sonde_context_leave_(sonde_context_scope *scope);
sonde_with_scope *sonde_with_enter_(sonde_with_scope *scope, const sonde_context *context);
void sonde_with_leave_(sonde_with_scope *scope);

/* A scope is a for loop of one round: its first variable cleans up, its second one ends the loop.
 * `n` makes the names unique, so that nested scopes hide nothing. */
#define SONDE_SCOPE_(type, leave, n, enter, ...) \
    for (type SONDE_NAME_(sonde_scope_, n) __attribute__((cleanup(leave))), \
         *SONDE_NAME_(sonde_once_, n) = enter(&SONDE_NAME_(sonde_scope_, n), __VA_ARGS__); \
         SONDE_NAME_(sonde_once_, n); SONDE_NAME_(sonde_once_, n) = NULL)
#define SONDE_CONTEXT_AT_(n, ...) \
    SONDE_SCOPE_(sonde_context_scope, sonde_context_leave_, n, sonde_context_enter_, \
                 SONDE_ATTRS_(__VA_ARGS__))
#define SONDE_WITH_(n, saved) \
    SONDE_SCOPE_(sonde_with_scope, sonde_with_leave_, n, sonde_with_enter_, &(saved))

#pragma GCC visibility pop
#ifdef __cplusplus
} /* extern "C" */

SONDE_INLINE sonde_context_scope *sonde_context_enter_(sonde_context_scope *scope,
                                                       sonde_attrs_ attrs)
{
    return sonde_context_enter_(scope, attrs.begin(), attrs.size());
}
#endif
#endif
