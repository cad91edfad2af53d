/* SPDX-License-Identifier: Apache-2.0 */
/* Spans: timed pieces of work that form a trace.
 *
 *     SONDE_SPAN("checkout", sonde_kv("user.id", "u-17")) {
 *         if (!pay(order))
 *             sonde_span_fail("card_declined");
 *     }                                             // ends here, also by return and break
 *
 * A span is the child of the current one (context.h), else it begins a trace. Without scopes (event
 * loops, callbacks): sonde_span_start … sonde_span_end, from any thread. A span that is open when
 * the process dies is exported as ended by the death, with the attributes it had.
 *
 * Names of SONDE_SPAN are string literals: what varies belongs into attributes. An unsampled span
 * costs the same few nanoseconds and leaves nothing; its ids still travel. 16,384 spans may be open
 * at once; one more is not recorded and counted. Every function takes NULL and does nothing then.
 * Thread-safe; safe in signal handlers; in a child of fork the parent's spans are ignored. */
#ifndef SONDE_SPAN_H
#define SONDE_SPAN_H

#include <sonde/context.h>
#include <sonde/log.h>

#ifdef __cplusplus
extern "C" {
#endif
#pragma GCC visibility push(default)

typedef enum {
    SONDE_INTERNAL = 1, /* 0 means the same */
    SONDE_SERVER = 2,
    SONDE_CLIENT = 3,
    SONDE_PRODUCER = 4,
    SONDE_CONSUMER = 5
} sonde_span_kind;

/* SONDE_SPAN(name, kv…) { … }. `continue` inside leaves the span, not a loop around it. */
#define SONDE_SPAN(...) SONDE_SPAN_AS_(__COUNTER__, SONDE_INTERNAL, __VA_ARGS__)
/* SONDE_SPAN_KIND(SONDE_CLIENT, name, kv…) { … } */
#define SONDE_SPAN_KIND(kind, ...) SONDE_SPAN_AS_(__COUNTER__, kind, __VA_ARGS__)

/* All of it may be zero. */
typedef struct {
    sonde_span_kind kind;
    const sonde_context *parent; /* instead of the current context; {0}: begin a new trace */
    const sonde_context *links;  /* spans that this one follows from */
    size_t link_count;
    const sonde_attr *attrs;
    size_t attr_count;
    int64_t start_ns; /* when it began, ns since 1970 (CLOCK_REALTIME); 0: now */
} sonde_span_options;

/* Starts a span without making it current (SONDE_WITH(sonde_span_context(s)) does that). `name` is
 * copied, at most 256 bytes. NULL when the library is off or too many spans are open. */
sonde_span *sonde_span_start(const char *name, const sonde_span_options *options);
/* Records it. The handle must not be used any more. */
void sonde_span_end(sonde_span *span);
/* The same for work that ended at another time: ns since 1970; 0: now. An end before the start is
 * recorded as the start. */
void sonde_span_end_at(sonde_span *span, int64_t end_ns);
/* The context inside of a span: its ids, and the attributes of the thread's context. */
sonde_context sonde_span_context(sonde_span *span);

/* sonde_span_set(kv…): attributes for the current span; a key set again has its last value. */
#define sonde_span_set(...) sonde_span_set_(SONDE_ATTRS_(__VA_ARGS__))
/* sonde_span_set_on(span, kv…) */
#define sonde_span_set_on(span, ...) sonde_span_set_on_((span), SONDE_ATTRS_(__VA_ARGS__))
/* sonde_span_event(name, kv…): something that happened at a moment within the current span. */
#define sonde_span_event(...) SONDE_SPAN_EVENT_(__VA_ARGS__)
/* sonde_span_fail(message, kv…): status error of the current span. `message` may be NULL. */
#define sonde_span_fail(...) SONDE_SPAN_FAIL_(__VA_ARGS__)
/* The same on a given span. */
void sonde_span_event_on(sonde_span *span, const char *name, const sonde_attr *attrs, size_t count);
void sonde_span_fail_on(sonde_span *span, const char *message, const sonde_attr *attrs,
                        size_t count);
/* An event that happened at another time than now: ns since 1970. */
void sonde_span_event_at(sonde_span *span, int64_t time_ns, const char *name,
                         const sonde_attr *attrs, size_t count);

/* sonde_span_error(type, message, kv…): what other languages call recording an exception. Adds the
 * event "exception" with exception.type, exception.message and the attributes given
 * (exception.stacktrace is the usual one), sets error.type, and the status error with the message.
 * `type` is a class of errors of few values ("timeout", "ENOENT"); NULL leaves it out, as does a
 * NULL message. */
#define sonde_span_error(...) SONDE_SPAN_ERROR_(__VA_ARGS__)
void sonde_span_error_on(sonde_span *span, const char *type, const char *message,
                         const sonde_attr *attrs, size_t count);

/* sonde_span_link(&context, kv…): the current span follows from that span too. A context without a
 * trace is left out. */
#define sonde_span_link(...) SONDE_SPAN_LINK_(__VA_ARGS__)
void sonde_span_link_on(sonde_span *span, const sonde_context *to, const sonde_attr *attrs,
                        size_t count);

/* Status ok: says that an error seen on the way was dealt with. Nothing changes it any more. */
void sonde_span_ok(void);
void sonde_span_ok_on(sonde_span *span);
/* Whether what is set on the current span (or `span`) is kept: false for an unsampled one, unless
 * sonde_options.always_on_error, and for one that has ended. To save the work of computing
 * attributes. */
bool sonde_span_is_recording(void);
bool sonde_span_is_recording_on(sonde_span *span);
/* Gives the current span (or `span`) another name, at most 256 bytes. */
void sonde_span_rename(const char *name);
void sonde_span_rename_on(sonde_span *span, const char *name);
/* The current span; NULL when there is none in this process. */
sonde_span *sonde_span_current(void);

/* ---- what the macros use ---- */

typedef struct {
    sonde_current_ saved;
    sonde_span *span;
    uint32_t generation; /* of the recorder that `span` is in; 0: ask for it */
    uint32_t slot;       /* where `span` is */
} sonde_span_scope;

sonde_span_scope *sonde_span_enter_(sonde_span_scope *scope, sonde_site *site, int kind,
                                    const sonde_attr *attrs, size_t count);
void sonde_span_leave_(sonde_span_scope *scope);
void sonde_span_set_(const sonde_attr *attrs, size_t count);
void sonde_span_set_on_(sonde_span *span, const sonde_attr *attrs, size_t count);
void sonde_span_event_(const char *name, const sonde_attr *attrs, size_t count);
void sonde_span_fail_(const char *message, const sonde_attr *attrs, size_t count);
void sonde_span_error_(const char *type, const char *message, const sonde_attr *attrs,
                       size_t count);
void sonde_span_link_(const sonde_context *to, const sonde_attr *attrs, size_t count);

#define SONDE_SPAN_AS_(n, kind_, ...) SONDE_SPAN_SITE_(n, kind_, __VA_ARGS__)
#define SONDE_SPAN_SITE_(n, kind_, name_, ...) \
    SONDE_SCOPE_(sonde_span_scope, sonde_span_leave_, n, sonde_span_enter_, __extension__({ \
                     static sonde_site SONDE_NAME_(sonde_site_, n) = SONDE_SITE_INIT_(0, name_); \
                     &SONDE_NAME_(sonde_site_, n); \
                 }), \
                 (kind_), SONDE_ATTRS_(__VA_ARGS__))
#define SONDE_SPAN_EVENT_(name_, ...)   sonde_span_event_((name_), SONDE_ATTRS_(__VA_ARGS__))
#define SONDE_SPAN_FAIL_(message_, ...) sonde_span_fail_((message_), SONDE_ATTRS_(__VA_ARGS__))
#define SONDE_SPAN_ERROR_(type_, message_, ...) \
    sonde_span_error_((type_), (message_), SONDE_ATTRS_(__VA_ARGS__))
#define SONDE_SPAN_LINK_(to_, ...) sonde_span_link_((to_), SONDE_ATTRS_(__VA_ARGS__))

#pragma GCC visibility pop
#ifdef __cplusplus
} /* extern "C" */

SONDE_INLINE sonde_span_scope *sonde_span_enter_(sonde_span_scope *scope, sonde_site *site,
                                                 int kind, sonde_attrs_ attrs)
{
    return sonde_span_enter_(scope, site, kind, attrs.begin(), attrs.size());
}
SONDE_INLINE void sonde_span_set_(sonde_attrs_ attrs)
{
    sonde_span_set_(attrs.begin(), attrs.size());
}
SONDE_INLINE void sonde_span_set_on_(sonde_span *span, sonde_attrs_ attrs)
{
    sonde_span_set_on_(span, attrs.begin(), attrs.size());
}
SONDE_INLINE void sonde_span_event_(const char *name, sonde_attrs_ attrs)
{
    sonde_span_event_(name, attrs.begin(), attrs.size());
}
SONDE_INLINE void sonde_span_fail_(const char *message, sonde_attrs_ attrs)
{
    sonde_span_fail_(message, attrs.begin(), attrs.size());
}
SONDE_INLINE void sonde_span_error_(const char *type, const char *message, sonde_attrs_ attrs)
{
    sonde_span_error_(type, message, attrs.begin(), attrs.size());
}
SONDE_INLINE void sonde_span_link_(const sonde_context *to, sonde_attrs_ attrs)
{
    sonde_span_link_(to, attrs.begin(), attrs.size());
}
#endif
#endif
