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
MUST_USE status encoding_gzip(str in, buf *out, error *err);

#endif
