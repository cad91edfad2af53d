// SPDX-License-Identifier: Apache-2.0
/* Inside of contexts: building and reading them, for propagators and the HTTP helpers.
 *
 * `bytes` of a sonde_context holds two lists: from the start, attributes encoded as in a record
 * (tag, key, value), which every log and span copies; from the end downwards, hidden entries, which
 * only travel: [u16 length of the rest, u8 kind, u8 key length, key, value]. All functions are safe
 * in signal handlers. */
#ifndef SONDE_LIB_CONTEXT_H
#define SONDE_LIB_CONTEXT_H

#include "base/str.h"
#include "sonde/context.h"

#define CONTEXT_SAMPLED  1u
#define CONTEXT_REMOTE   2u
#define CONTEXT_SHARED   4u  /* the current span's handle was given out */
#define CONTEXT_RANDOM   8u  /* the trace id's last 7 bytes are random (W3C level 2) */
#define CONTEXT_DEFERRED 16u /* the sender left the decision whether it is sampled to us */
#define CONTEXT_DEBUG    32u /* sampled, by all means (B3, Jaeger) */

typedef enum { CONTEXT_BAGGAGE = 1, CONTEXT_TRACESTATE = 2 } context_hidden;

/* Adds or replaces. False (and counted by the caller, if it wants) when there is no room. */
bool context_put(sonde_context *c, const sonde_attr *attribute);
bool context_put_hidden(sonde_context *c, context_hidden kind, str key, str value);
/* All entries of a kind. */
void context_remove_hidden(sonde_context *c, context_hidden kind);
/* Counts values that a context had no room for. */
void context_count_lost(uint64_t lost);
/* The n-th hidden entry, newest first; false when there is none. */
bool context_hidden_at(const sonde_context *c, size_t n, context_hidden *ret_kind, str *ret_key,
                       str *ret_value);
/* Text of an attribute; false when absent or not text. */
bool context_text(const sonde_context *c, str key, str *ret);
/* Tracestate of a context; empty when none. */
str context_tracestate(const sonde_context *c);

static inline bool context_has_trace(const sonde_current_ *current)
{
    uint64_t half[2];
    memcpy(half, current->trace_id, 16);
    return (half[0] | half[1]) != 0;
}

/* This thread's own, in place: valid until the scope that set it ends. */
const sonde_current_ *context_current(void);

/* Makes ids and attributes current without a scope, and back (for begin … end pairs of calls). */
void context_set_current(const sonde_current_ *current);

/* A new random trace or span id, never zero. */
void ids_trace(uint8_t ret[16]);
void ids_span(uint8_t ret[8]);

#endif
