// SPDX-License-Identifier: Apache-2.0
/* The stream of a live span: attributes, events and the like, appended to its slot and, when that
 * is full, to further slots. Readers see whole entries only. The appender holds the slot's lock. */
#ifndef SONDE_LIB_SPAN_STREAM_H
#define SONDE_LIB_SPAN_STREAM_H

#include "base/str.h"
#include "lib/state_thread.h"
#include "sonde/span.h"

/* Pieces that are put together to one entry, or one after the other to several. */
typedef struct {
    recorder_span *span;
    writer *w; /* whose slots are taken */
    char *at;  /* next byte, and how many fit there */
    size_t room;
    uint32_t *next; /* where the continuation's number + 1 goes */
    size_t bytes;   /* of the stream, with what is not committed yet */
    bool full;      /* nothing of the entry is kept */
    bool is_event;  /* a full one counts as an event left out */
} span_stream;

span_stream span_stream_open(writer *w, recorder_span *span);
void span_stream_add(span_stream *s, const void *bytes, size_t n);
void span_stream_attr(span_stream *s, const sonde_attr *a);
/* Ends an entry: from here on it is the span's. A full one is counted as left out. */
void span_stream_commit(span_stream *s);

/* Copies the first `bytes` of the stream to `to`. */
void span_stream_copy(const recorder *r, const recorder_span *span, size_t bytes, char *to);
/* Gives the further slots back. */
void span_stream_free(writer *w, recorder_span *span);

/* A free slot, or SLOT_NONE. */
uint32_t span_slot_take(writer *w);
void span_slot_free(writer *w, uint32_t slot);

#endif
