/* SPDX-License-Identifier: Apache-2.0 */
/* Baggage: names and values that travel with a trace through all services (W3C Baggage), and are
 * not recorded by themselves.
 *
 *     SONDE_BAGGAGE(sonde_kv("tenant", "acme"), sonde_kv("beta", true)) {
 *         call_the_next_service();                 // sonde_inject writes: baggage: tenant=acme,…
 *     }
 *     char tenant[64];
 *     if (sonde_baggage_get("tenant", tenant, sizeof(tenant)))
 *         sonde_span_set(sonde_kv("tenant", tenant));
 *
 * It is part of the context (context.h) and captured, attached and propagated with it. Everybody
 * whom requests reach can read it: put no secrets there. Keys are tokens of RFC 9110 (letters,
 * digits, and !#$%&'*+-.^_`|~); values any UTF-8 text. A context holds at most 64 entries in the
 * room that its attributes leave of 952 bytes; what does not fit is left out and counted.
 * Thread-safe as contexts are; nothing here allocates or locks. Not for signal handlers. */
#ifndef SONDE_BAGGAGE_H
#define SONDE_BAGGAGE_H

#include <sonde/context.h>

#ifdef __cplusplus
extern "C" {
#endif
#pragma GCC visibility push(default)

/* SONDE_BAGGAGE(kv…) { … }: sets entries inside of the scope; a NULL text removes one. Numbers are
 * written as text. */
#define SONDE_BAGGAGE(...) SONDE_BAGGAGE_AT_(__COUNTER__, __VA_ARGS__)

/* The current value of `key`, decoded, cut to size - 1 bytes and terminated. False, and the empty
 * text, when there is none. */
bool sonde_baggage_get(const char *key, char *ret, size_t size);

/* Called for each entry, in the order of the header; false ends it. The texts are valid during the
 * call. `properties` stand as in the header ("ttl=5;secure"), mostly empty. */
typedef bool sonde_baggage_visit(void *user, sonde_str key, sonde_str value, sonde_str properties);
void sonde_baggage_each(sonde_baggage_visit *visit, void *user);

/* In a context by value, for SONDE_WITH or the parent of a span. `properties` may be NULL. False,
 * and nothing changed, when the key is no token, the properties hold a comma or a control
 * character, or there is no room. */
bool sonde_baggage_set(sonde_context *context, const char *key, sonde_str value,
                       const char *properties);
/* False only without a context. */
bool sonde_baggage_remove(sonde_context *context, const char *key);

/* ---- what the macros use ---- */

sonde_context_scope *sonde_baggage_enter_(sonde_context_scope *scope, const sonde_attr *attrs,
                                          size_t count);
#define SONDE_BAGGAGE_AT_(n, ...) \
    SONDE_SCOPE_(sonde_context_scope, sonde_context_leave_, n, sonde_baggage_enter_, \
                 SONDE_ATTRS_(__VA_ARGS__))

#pragma GCC visibility pop
#ifdef __cplusplus
} /* extern "C" */

SONDE_INLINE sonde_context_scope *sonde_baggage_enter_(sonde_context_scope *scope,
                                                       sonde_attrs_ attrs)
{
    return sonde_baggage_enter_(scope, attrs.begin(), attrs.size());
}
#endif
#endif
