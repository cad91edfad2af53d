// SPDX-License-Identifier: Apache-2.0
/* Inside of spans, shared by lib/span*.c. A handle is the address of a slot in the live table.
 *
 * A slot's lock is held while its stream grows and while its span ends. A span of a scope whose
 * handle never left its thread (CONTEXT_SHARED) ends without it. Lock order: a local root before
 * one of its chain. Waiting is bounded, since a signal handler may have interrupted the holder. */
#ifndef SONDE_LIB_SPAN_INTERNAL_H
#define SONDE_LIB_SPAN_INTERNAL_H

#include "lib/context.h"
#include "lib/recorder_internal.h"
#include "lib/span_slots.h"
#include "lib/span_stream.h"
#include "sonde/span.h"

#define SPAN_NAME_BYTES 256u

bool span_lock(const writer *w, recorder_span *span);
void span_unlock(recorder_span *span);

/* Copies a finished span into the ring; false when it is full: counted. */
bool span_record(writer *w, recorder_span *span, uint64_t end_ticks);
/* Frees the slot of a span that has ended, and its stream's. */
void span_release(writer *w, recorder_span *span, uint32_t slot);

/* An entry of tag, u16 length and text, cut to half of what a record holds. */
void span_add_text(span_stream *s, uint8_t tag, str text);
void span_add_link(span_stream *s, const sonde_context *link, const sonde_attr *kvs, size_t count);
/* Another time than the recorder's clock. `tag`: RECORDER_TAG_START or RECORDER_TAG_END. */
void span_add_time(span_stream *s, uint8_t tag, int64_t unix_ns);

/* ---- always-on-error (span_keep.c) ---- */

/* Publishes an unsampled span, not seen by anyone yet, as tentative: a local root when `parent` is
 * NULL, else in the chain of the local root of `parent`. False when it cannot be kept; it is
 * counted then if that was for want of room. */
bool span_keep_begin(writer *w, recorder_span *span, uint32_t slot, const recorder_span *parent);
/* A tentative span ends, locked. True when its slot is to be freed by span_release. */
bool span_keep_end(writer *w, recorder_span *span, uint32_t slot);

#endif
