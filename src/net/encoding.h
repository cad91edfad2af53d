// SPDX-License-Identifier: Apache-2.0
/* Content encodings: gzip, deflate, zstd and snappy in, gzip out; every output is bounded twice, by
 * its own limit and by a budget that all requests in flight share. Any thread. */
#ifndef SONDE_NET_ENCODING_H
#define SONDE_NET_ENCODING_H

#include "base/buf.h"

#include <stdatomic.h>

/* Bytes that may be held at once by all who take from it. */
typedef struct {
    atomic_size_t used;
    size_t limit;
} byte_budget;

bool budget_take(byte_budget *b, size_t n);
void budget_give(byte_budget *b, size_t n);

/* Whether a Content-Encoding (or grpc-encoding) needs no decoding. */
bool encoding_is_identity(str encoding);

/* Appends the decoded bytes to `out`, at most `limit`; takes the memory from `budget` and adds what
 * it took to *charged, also on failure. STATUS_LIMIT: beyond `limit`; STATUS_BUSY: the budget is
 * used up; STATUS_UNSUPPORTED: an encoding not known here; STATUS_INVALID: damaged bytes. */
MUST_USE status encoding_decode(str encoding, str in, size_t limit, byte_budget *budget,
                                size_t *charged, buf *out, error *err);

/* Whether an Accept-Encoding header allows gzip. */
bool encoding_accepts_gzip(str accept);
/* Answers are for a client that waits: a half to a third of the time for 10 to 20 % more bytes. */
typedef enum { GZIP_FAST = 1, GZIP_SMALL = 4 } gzip_level;
MUST_USE status encoding_gzip(str in, gzip_level level, buf *out, error *err);

/* A gzip stream, GZIP_FAST, that is made piece by piece; about 256 KiB of memory. NULL: no memory.
 */
typedef struct gzip_stream gzip_stream;
gzip_stream *gzip_stream_new(void);
void gzip_stream_free(gzip_stream *g); /* NULL is fine */
typedef enum {
    GZIP_GATHER, /* what is not worth sending yet stays inside */
    GZIP_SYNC,   /* everything comes out, so that a reader sees it now */
    GZIP_END     /* and nothing more follows */
} gzip_step;
/* Appends what comes out to `out`. */
MUST_USE status gzip_stream_add(gzip_stream *g, str in, gzip_step step, buf *out, error *err);

#endif
