// SPDX-License-Identifier: Apache-2.0
/* Where an HTTP/1.1 head and the parts of a chunked body end, read strictly (RFC 9112): lines end
 * with CR LF, none goes on in the next. The parser behind this is more tolerant, and what programs
 * on the way read differently can hide a request in another. One per connection. */
#ifndef SONDE_NET_HTTP1_FRAMING_H
#define SONDE_NET_HTTP1_FRAMING_H

#include "base/error.h"

typedef enum { CHUNK_SIZE, CHUNK_EXTENSION, CHUNK_DATA, CHUNK_TRAILER, CHUNK_END } chunk_part;

typedef struct {
    bool head_done;
    bool begun;      /* a line that is not empty was seen */
    char last;       /* byte of the line at hand */
    size_t line_len; /* of that line, its CR included */
    chunk_part part;
    unsigned digits;
    uint64_t left; /* of the chunk's data with its CR LF; while its size is read: the size */
} http1_framing;

/* For the next request. */
void framing_begin(http1_framing *f);
/* *ret: how many of the bytes belong to the head (or the chunked body); the rest is what follows.
 */
MUST_USE status framing_head(http1_framing *f, const char *bytes, size_t n, size_t *ret,
                             error *err);
MUST_USE status framing_chunks(http1_framing *f, const char *bytes, size_t n, size_t *ret,
                               error *err);

#endif
