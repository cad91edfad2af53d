// SPDX-License-Identifier: Apache-2.0
/* Compressing what is sent. Any thread. */
#ifndef SONDE_NET_CLIENT_ENCODING_H
#define SONDE_NET_CLIENT_ENCODING_H

#include "base/buf.h"

/* encoding: "gzip", "zstd", "deflate" (zlib's format) or "snappy" (one block), as Content-Encoding
 * and grpc-encoding name them. Appends to `out`. STATUS_UNSUPPORTED: another name. */
MUST_USE status client_compress(const char *encoding, str in, buf *out, error *err);

#endif
